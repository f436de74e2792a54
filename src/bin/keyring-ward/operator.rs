//! Who runs the tool, for what it changes.
//!
//! Owns what is remembered of it from the first moment on: later the process may have become another account.

use keyring_ward::caller::{Caller, Operator};
use keyring_ward::os::identity;
use std::sync::OnceLock;

/// What the system writes where nobody has logged in.
const NOBODY: u32 = u32::MAX;

struct Known {
    user: u32,
    login: Option<u32>,
    command: String,
}

static KNOWN: OnceLock<Known> = OnceLock::new();

/// Remembers who has started the program, and for which command.
pub fn remember(command: String) {
    KNOWN.get_or_init(|| Known {
        user: identity::ids().0,
        login: login(),
        command,
    });
}

/// The user id of the session's login.
fn login() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|user| *user != NOBODY)
}

/// Who has started the program.
pub fn caller() -> Caller<'static> {
    KNOWN.get().map_or(Caller::Unknown, |known| {
        Caller::Tool(Operator {
            user: known.user,
            login: known.login,
            command: &known.command,
        })
    })
}
