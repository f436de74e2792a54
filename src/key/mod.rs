//! Keys: what one is called, what is known of it, its material, and a change to it.
//!
//! Owns the limits that MySQL sets, and those of what is known of a key beside its material. It must never know where a
//! key is kept.

pub mod document;
pub mod extensions;
pub mod id;
pub mod info;
pub mod limits;
pub mod logical;
mod merge;
pub mod of_server;
pub mod record;
pub mod retired;
pub mod tags;
