//! A panic is a defect of ours, and an error like any other to whoever asked.
//!
//! Owns that error. It must never tell the payload of a panic, which might quote data: only the place.

use crate::error::{Error, Kind, Result};
use keyring_ward_boundary::panics;

/// From now on a panic prints nothing: who catches it tells it.
pub fn be_silent() {
    match cfg!(test) {
        // A test that fails shows why.
        true => panics::be_noted(),
        false => panics::be_silent(),
    }
}

/// Runs `body`, which `what` names for the message.
///
/// # Errors
/// Those of `body`; Internal: it panicked.
pub fn caught<T>(what: &'static str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    try_caught(what, body).unwrap_or_else(Err)
}

/// As [`caught`]; the outer error is a panic's.
///
/// # Errors
/// Internal: it panicked.
pub fn try_caught<T>(what: &'static str, body: impl FnOnce() -> T) -> Result<T> {
    let outcome = panics::caught(|| {
        crate::fault::point(what);
        body()
    });
    outcome.map_err(|place| {
        Error::new(
            Kind::Internal,
            what,
            format!("a defect in Keyring Ward was caught (a panic at {place})"),
        )
        .hint("Please report this with the lines around it.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_place_and_without_its_text() {
        be_silent();
        let e = caught("try this", || -> Result<()> { panic!("with a secret") }).unwrap_err();
        let text = e.to_string();
        assert_eq!(e.kind(), Kind::Internal);
        assert!(
            text.contains("Could not try this") && text.contains("src/panics.rs:"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(caught("try this", || Ok(1)).unwrap(), 1);
    }
}
