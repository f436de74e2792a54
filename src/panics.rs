//! A panic is a defect of ours, and an error like any other to whoever asked.
//!
//! Owns the one way to catch one. It must never tell the payload of a panic, which might quote data: only the place.

use crate::error::{Error, Kind, Result};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// Where this thread's last panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on a panic prints nothing: who catches it tells it.
pub fn be_silent() {
    std::panic::set_hook(Box::new(note));
}

fn note(info: &PanicHookInfo<'_>) {
    // A test that fails shows why.
    #[cfg(test)]
    eprintln!("{info}");
    let place = info
        .location()
        .map(|l| format!("{}:{}", l.file(), l.line()));
    // A thread that is ending has none any more.
    let _ = PLACE.try_with(|p| *p.borrow_mut() = place.unwrap_or_default());
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
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        crate::fault::point(what);
        body()
    }));
    outcome.map_err(|_| {
        let place = PLACE.try_with(|p| p.borrow().clone()).unwrap_or_default();
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
