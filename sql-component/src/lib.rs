//! The companion of the keyring component: what one `INSTALL COMPONENT` brings to SQL.
//!
//! It registers what the keyring component tells it to: SQL functions, dynamic privileges and tables in `performance_schema`; and it
//! hears of statements ALTER INSTANCE and of connections that end. MySQL loads it again at each start. It holds no keyring, no key and no state of
//! its own: functions live in the keyring's library, rows come from there. It must never be what a keyring needs: without it,
//! and without what it needs, a server starts and serves.
#![allow(unsafe_code)]

#[macro_use]
mod guard;
pub mod component;
mod connections;
mod control;
mod events;
mod functions;
mod log;
mod privileges;
mod registry;
mod tables;
