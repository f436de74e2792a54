//! The audit log: who used and changed keys, as lines that are chained and signed (docs/reference/audit-log.md).
//!
//! Owns what a line is (`line`, `chain`), how it is checked without any secret (`verify`), what is to be told meanwhile (`ring` and
//! `seen` for reads and events, `outbox` for changes), and the file (`file`). It knows no keyring: what it needs of one it is given. Nothing that
//! a call of the server comes by here may wait for a disk or take a lock that somebody holds while he waits for one.

pub mod chain;
pub mod entry;
pub mod event;
pub mod feed;
pub mod file;
pub mod line;
pub mod note;
pub mod outbox;
pub mod position;
mod resume;
pub mod ring;
pub mod seen;
pub mod settings;
mod summary;
mod syslog;
pub mod verify;
pub mod writer;

pub use feed::Feed;
pub use settings::{Reads, Settings};

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod tests;
