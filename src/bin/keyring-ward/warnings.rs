//! Warnings of commands: on standard error as they come up, or, where JSON is asked for, in the answer or beside the error.
//!
//! It must never drop one, and never put a second line beside an error in JSON.

use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

static JSON: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// JSON is asked for: warnings are kept for [`put_into`].
pub fn keep() {
    JSON.store(true, Ordering::Relaxed);
}

/// Tells a warning: full sentences.
pub fn warn(sentence: String) {
    match JSON.load(Ordering::Relaxed) {
        true => KEPT
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sentence),
        false => eprintln!("warning: {sentence}"),
    }
}

/// Puts what was kept into an object, behind what it warns of already.
pub fn put_into(answer: &mut Value) {
    let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
    match answer["warnings"].as_array_mut() {
        Some(warnings) => warnings.extend(kept.into_iter().map(Value::from)),
        None => answer["warnings"] = kept.into(),
    }
}

/// Some were kept.
pub fn any() -> bool {
    !KEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_empty()
}
