//! The C boundary: the only place that talks to mysqld.
//!
//! Owns the one static of the crate that a keyring lives in, the component's and the plugin's tables, the guard around
//! every extern function, the way to the server's services and every conversion of a C pointer. It must never let a panic cross the
//! boundary, never use a pointer or a length before it is checked, and never report a failure as
//! an absent key. Facts about the interface are in the project's notes on MySQL's keyring ABI.

#[macro_use]
mod guard;
#[macro_use]
mod cursor;
mod account;
pub mod component;
mod gate;
mod identity;
mod instance;
mod log;
pub mod plugin;
mod ptr;
mod registry;
pub mod services;
mod session_keys;
mod sql_error;
mod state;
mod status_variables;
mod tables;
pub mod udf;

pub use keyring_ward_boundary::abi;
