//! Keys: what one is called, what is known of it, and a change to it.
//!
//! Owns the limits that MySQL sets. It must never know where a key is kept.

pub mod id;
pub mod limits;
pub mod record;
