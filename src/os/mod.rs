//! What the operating system does for the process as a whole.
//!
//! Owns no state. It must never know of keyrings.

pub mod command;
pub mod library;
pub mod signals;
