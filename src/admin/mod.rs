//! Operations of administration, shared by the tool and (later) the SQL functions.
//!
//! One operation per file. They use the keyring's facade and print nothing; they must never show
//! key material.

pub mod init;
pub mod inspect;
pub mod marker;
pub mod rekey;
