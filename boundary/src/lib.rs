//! What the two libraries that mysqld loads share of the C boundary: the keyring (`keyring_ward`) and its companion for SQL
//! (`keyring_ward_sql`).
//!
//! Owns the declarations of the tables that are exchanged with the server and between the two ([`abi`]), acquiring and
//! releasing services ([`registry`]), the shape of a function that the server calls ([`extern_fn!`]), the way in which a panic is
//! caught ([`panics`]) and a line of the error log ([`log`]). It must never know what a keyring is, and depends on nothing.
#![allow(unsafe_code)]

#[rustfmt::skip]
#[allow(missing_docs, non_camel_case_types, clippy::all, clippy::undocumented_unsafe_blocks)]
pub mod abi;
pub mod log;
pub mod panics;
pub mod registry;

/// Defines an extern "C" function whose body runs under a guard.
///
/// The guard is a function `run(name, failure, body)`: it catches panics, tells of errors, and gives `failure` for both. The
/// body is a closure that returns `Result` of the return type. A library wraps this macro in one of its own, which names its
/// guard; a test looks for extern functions outside of that.
#[macro_export]
macro_rules! extern_fn {
    ($guard:path; $(#[$meta:meta])* $vis:vis fn $name:ident $(<const $of:ident: $kind:ty>)? ($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty,
     failure = $failure:expr; $body:block) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// The pointers are the caller's, mysqld's: as its interface describes them.
        $vis unsafe extern "C" fn $name $(<const $of: $kind>)? ($($arg: $ty),*) -> $ret {
            $guard(stringify!($name), $failure, move || $body)
        }
    };
}
