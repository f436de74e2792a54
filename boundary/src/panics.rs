//! Panics at the C boundary.
//!
//! Owns the hook and the one way to catch one. It must never tell the payload of a panic, which might quote data: only the
//! place.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

thread_local! {
    /// Where this thread's last panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on a panic of this library prints nothing: who catches it tells it.
pub fn be_silent() {
    set_hook(Box::new(note));
}

/// As [`be_silent`], and nevertheless shown on standard error: for tests, where one that fails shows why.
pub fn be_noted() {
    set_hook(Box::new(|info| {
        eprintln!("{info}");
        note(info);
    }));
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map(|l| format!("{}:{}", l.file(), l.line()));
    // A thread that is ending has none any more.
    let _ = PLACE.try_with(|p| *p.borrow_mut() = place.unwrap_or_default());
}

/// Runs `body`.
///
/// # Errors
/// It panicked: the file and line, empty where nobody has called [`be_silent`].
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    outcome.map_err(|payload| {
        // Dropping a payload may panic again: what the C boundary can't have.
        std::mem::forget(payload);
        PLACE.try_with(|p| p.borrow().clone()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_place_without_its_text() {
        be_silent();
        let place = caught(|| panic!("with a secret")).unwrap_err();
        assert!(place.contains("src/panics.rs:"), "{place}");
        assert!(!place.contains("secret"), "{place}");
        assert_eq!(caught(|| 1), Ok(1));
    }
}
