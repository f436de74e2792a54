//! The guard around every function that mysqld calls.
//!
//! Owns what becomes of a panic and of a failure: a line of the log, and the function's failure value. `guarded_fn!` is the only
//! way to write such a function (a test looks for others).

use crate::log;
use keyring_ward_boundary::panics;

/// What went wrong, as a sentence.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Runs the body of an extern function. `failure` is what the server is told when it fails.
pub(crate) fn run<T>(name: &'static str, failure: T, body: impl FnOnce() -> Result<T>) -> T {
    let why = match panics::caught(body) {
        Ok(Ok(value)) => return value,
        Ok(Err(sentence)) => sentence,
        Err(place) => format!(
            "KW-0015 Internal: Could not {name} in component_keyring_ward_sql: a defect was caught (a panic at {place}). The call \
             failed, the server goes on. Please report this with the lines around it."
        ),
    };
    // Reporting must not bring a panic across the boundary either.
    let _ = panics::caught(|| log::error(&why));
    failure
}

/// Defines an extern "C" function under the guard. The body is a closure that returns
/// `Result<return type>`; `failure` is the value for errors and panics.
macro_rules! guarded_fn {
    ($($function:tt)*) => {
        keyring_ward_boundary::extern_fn! { $crate::guard::run; $($function)* }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_failure_become_the_failure_value() {
        panics::be_silent();
        assert_eq!(run("test", 1, || panic!("on purpose")), 1);
        assert_eq!(run("test", 1, || Err("no".into())), 1);
        assert_eq!(run("test", 1, || Ok(0)), 0);
    }
}
