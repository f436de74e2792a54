//! Panics on purpose, to show in a real server that none crosses into it.
//!
//! Does nothing in every build but one with the feature `inject-panics`, which is never released.

/// A place that can be made to panic by writing its name into `/tmp/kw-panic`.
#[cfg(feature = "inject-panics")]
pub fn point(name: &str) {
    let wanted = std::fs::read_to_string("/tmp/kw-panic").unwrap_or_default();
    assert!(wanted.trim() != name, "injected at {name}");
}

/// A place that could be made to panic: see the feature `inject-panics`.
#[cfg(not(feature = "inject-panics"))]
#[inline(always)]
pub fn point(_name: &str) {}
