//! MySQL's own files, read without a server: which key of a keyring each needs, and what proves that a key is the one.
//!
//! One file for each kind of MySQL's files. No number of a file is trusted: what is read and what is allocated has a bound of
//! its own, and what does not fit is told as unreadable, never guessed. Nothing is written, and no link is followed.
//!
//! It must never run inside mysqld: closing a file gives back the locks that InnoDB holds on it in the same process.

mod bytes;
mod crypt;
#[cfg(test)]
pub(crate) mod fixture;
pub mod info;
pub mod log;
pub mod need;
pub mod page;
pub mod persisted;
pub mod records;
pub mod redo;
pub mod source;
pub mod tablespace;
#[cfg(test)]
mod tests;
pub mod walk;
