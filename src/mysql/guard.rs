//! The guard around every function that mysqld calls.
//!
//! `guarded_fn!` is the only way to write one (a test looks for others): it catches panics, turns
//! errors into a log line and the function's failure value, and does what is to be done before a call.

use super::log;
use super::state::LIFECYCLE;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an extern function. `failure` is what the server is told when it fails.
pub fn run<T>(name: &'static str, failure: T, body: impl FnOnce() -> Result<T>) -> T {
    // Reporting must not bring a panic across the boundary either.
    let tell = |error: &Error| drop(catch_unwind(AssertUnwindSafe(|| report(error))));
    // By itself: what goes wrong there is no failure of the call, which has its own way to tell one.
    if LIFECYCLE.has_chores() {
        let tended = LIFECYCLE.caught("do what is to be done before a call", || {
            LIFECYCLE.tend();
            Ok(())
        });
        tended.unwrap_or_else(|error| tell(&error));
    }
    LIFECYCLE.caught(name, body).unwrap_or_else(|error| {
        tell(&error);
        failure
    })
}

/// Who needs to know of a call's error.
#[derive(Debug, PartialEq, Eq)]
enum Weight {
    Note,
    Warning,
    Error,
}

fn weight(error: &Error) -> Weight {
    match error.kind() {
        _ if error.is_expected() => Weight::Note,
        _ if error.is_refused() => Weight::Warning,
        _ => Weight::Error,
    }
}

/// Logs an error of a call, and keeps for the status rows what is not an answer of normal operation.
pub(super) fn report(error: &Error) {
    let text = error.to_string();
    match weight(error) {
        Weight::Note => log::note(&text),
        Weight::Warning => {
            LIFECYCLE.remember_refusal(error);
            log::refusal(&text);
        }
        Weight::Error => {
            LIFECYCLE.remember_error(error);
            log::error_limited(&text);
        }
    }
}

/// Defines an extern "C" function under the guard. The body is a closure that returns
/// `Result<return type>`; `failure` is the value for errors and panics.
macro_rules! guarded_fn {
    ($($function:tt)*) => {
        keyring_ward_boundary::extern_fn! { $crate::mysql::guard::run; $($function)* }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_panic_becomes_the_failure_value() {
        assert_eq!(
            run("test", 1, || -> Result<i32> { panic!("on purpose") }),
            1
        );
        assert_eq!(run("test", 1, || Ok(0)), 0);
        assert_eq!(run("test", 7, || Err(Error::new(Kind::Io, "x", "y"))), 7);
    }

    #[test]
    fn a_panic_is_told_as_last_error_with_its_place() {
        super::super::state::learn_about_process();
        let e = LIFECYCLE
            .caught("test the guard", || -> Result<()> {
                panic!("with a secret")
            })
            .unwrap_err();
        assert_eq!(e.kind(), Kind::Internal);
        let told = LIFECYCLE.last_errors();
        for text in [e.to_string(), told[0].to_string()] {
            assert!(
                text.contains("Could not test the guard") && text.contains("src/mysql/guard.rs:"),
                "{text}"
            );
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_missing_key_of_the_kms_is_not_an_answer_of_normal_operation() {
        // The same kind; only one of them needs an operator.
        let absent = |what: &str| Error::new(Kind::NotFound, "test", what);
        let in_keyring = absent("no such key in the keyring").expected();
        assert_eq!(weight(&in_keyring), Weight::Note);
        assert_eq!(weight(&absent("no such key in KMS")), Weight::Error);
        // An account that asked for something and got nothing shall find out why.
        assert_eq!(weight(&absent("its key").refused()), Weight::Warning);
        let limits = Error::new(Kind::InvalidInput, "test", "a length");
        assert_eq!(weight(&limits), Weight::Warning);
    }

    #[test]
    fn no_extern_function_is_outside_the_guard() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = ["src", "boundary/src", "sql-component/src"]
            .map(|f| root.join(f))
            .to_vec();
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                // The generated declarations define no function; the macros are the guard.
                let skipped = [
                    "boundary/src/abi.rs",
                    "boundary/src/lib.rs",
                    "mysql/guard.rs",
                ];
                if skipped.iter().any(|skipped| path.ends_with(skipped)) {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                seen += text.matches("guarded_fn!").count();
                for (number, line) in text.lines().enumerate() {
                    // The fork handler may set an atomic and nothing else; a child that is about to be another
                    // program may make system calls and nothing else. mysqld calls neither.
                    let allowed =
                        line.contains(" fn in_child()") || line.contains(" fn become_program(");
                    assert!(
                        allowed
                            || !(line.contains("extern \"C\" fn ")
                                && line.trim_end().ends_with('{')),
                        "{}:{}: use guarded_fn!",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
        assert!(seen > 25, "the search found the functions at all: {seen}");
    }
}
