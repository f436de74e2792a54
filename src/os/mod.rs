//! What the operating system does for the process as a whole, and files that it is asked for with care.
//!
//! Owns no state. It must never know of keyrings.

pub mod command;
pub mod library;
pub mod signals;
pub mod trusted;
