//! Keyring Ward: an encrypted keyring for MySQL.
//!
//! One shared library that MySQL loads as a component (manifest) or as a keyring plugin. The core
//! (everything but [`mysql`]) is synchronous, knows nothing of MySQL and is tested without it.
//!
//! Dependencies point one way: `mysql` and the tool → [`admin`] → [`status`] → [`lifecycle`] → [`keyring`] → [`store`] → [`config`] →
//! [`transport`] → [`kek`] → [`format`](mod@format), [`envelope`] → [`net`], [`options`] → [`key`], [`secret_source`], [`os`], [`secret`], [`text`], [`error`]; `tests/house.rs`
//! has the whole order and holds the house to it. `unsafe` lives in `mysql/`, `os/` and `secret.rs` only; the lints deny it
//! elsewhere.

pub mod admin;
pub mod audit;
pub mod caller;
pub mod config;
pub mod deadline;
pub mod envelope;
pub mod error;
mod fault;
pub mod format;
pub mod json;
pub mod kek;
pub mod key;
pub mod key_pair;
pub mod keyring;
pub mod lifecycle;
#[allow(unsafe_code)]
pub mod mysql;
pub mod net;
pub mod options;
#[allow(unsafe_code)]
pub mod os;
pub mod panics;
pub mod policy;
pub mod scan;
pub mod sealed;
#[allow(unsafe_code)]
pub mod secret;
pub mod secret_source;
pub mod status;
pub mod store;
pub mod text;
pub mod transport;

/// Every block of memory is wiped when it is freed: what an HTTP or TLS library saw of a data key is in buffers that
/// it does not wipe. Secrets of our own are in [`secret`]'s pages besides.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// The version of this library, as in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The component's name, which is also the base name of the library and of its configuration.
pub const COMPONENT: &str = "component_keyring_ward";
