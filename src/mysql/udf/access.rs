//! Who may call a SQL function, and see all rows of a table.
//!
//! Owns the privileges by name and the one rule which of them allows what. It must never say yes where the server does not
//! answer. (At --skip-grant-tables the server says yes to everything.)

use super::caller;
use crate::error::{Error, Kind, Result};
use crate::mysql::identity;
use std::ffi::CStr;

/// The server's own: the one for ALTER INSTANCE RELOAD KEYRING.
const ENCRYPTION_KEY_ADMIN: &CStr = c"ENCRYPTION_KEY_ADMIN";
/// Everything that the functions of administration do.
const ADMIN: &CStr = c"KEYRING_WARD_ADMIN";
/// Rotations and what belongs to them; nothing that ends a key.
const OPERATE: &CStr = c"KEYRING_WARD_OPERATE";
/// The use of keys. As long as there is no policy each account reaches its own keys, and only making key pairs needs it.
const USE: &CStr = c"KEYRING_WARD_USE";
/// Reading what the keyring tells of itself and of keys.
const AUDIT: &CStr = c"KEYRING_WARD_AUDIT";

/// The dynamic privileges that are ours. The server keeps 32 characters of a name.
pub(in crate::mysql) const OURS: [&CStr; 4] = [ADMIN, OPERATE, USE, AUDIT];

/// Who may call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mysql) enum Access {
    /// Administrators: it changes the keyring, its KEKs, or ends keys.
    Administer,
    /// Operators too: it makes or switches versions, or plans.
    Operate,
    /// Auditors too: it only tells.
    Read,
    /// Who may use keys: it makes one of the caller's own, which costs the server something.
    Use,
    /// Everybody: it reaches nothing but the caller's own keys.
    Everybody,
}

impl Access {
    /// It changes something: the audit log tells of it.
    pub(super) fn changes(self) -> bool {
        matches!(self, Access::Administer | Access::Operate)
    }

    /// Any of these will do; none: everybody may.
    fn any_of(self) -> &'static [&'static CStr] {
        match self {
            Access::Administer => &[ENCRYPTION_KEY_ADMIN, ADMIN],
            Access::Operate => &[ENCRYPTION_KEY_ADMIN, ADMIN, OPERATE],
            Access::Read => &[ENCRYPTION_KEY_ADMIN, ADMIN, OPERATE, AUDIT],
            Access::Use => &[ENCRYPTION_KEY_ADMIN, ADMIN, OPERATE, USE],
            Access::Everybody => &[],
        }
    }

    /// The calling account has what is needed, itself or by an active role.
    pub(super) fn is_granted(self) -> bool {
        let names = self.any_of();
        names.is_empty() || caller::has_any(names)
    }

    /// What a caller is told who has not.
    pub(super) fn refusal(self) -> String {
        let names: Vec<_> = (self.any_of().iter())
            .map(|name| name.to_string_lossy())
            .collect();
        let (first, others) = names
            .split_first()
            .map_or(("", &[][..]), |(f, o)| (&**f, o));
        format!(
            "Access denied; you need the {first} privilege or {} for this operation",
            others.join(" or ")
        )
    }
}

/// Whose keys the calling account sees in a list.
pub(in crate::mysql) enum Sight {
    /// Everybody's.
    All,
    /// Its own: of this owner.
    Own(Vec<u8>),
}

/// What the calling account may see of the keys.
///
/// # Errors
/// Denied: the server does not tell which account calls.
pub(in crate::mysql) fn sight() -> Result<Sight> {
    match Access::Read.is_granted() {
        true => Ok(Sight::All),
        false => match identity::account() {
            Some(account) => Ok(Sight::Own(account)),
            None => Err(unknown()),
        },
    }
}

fn unknown() -> Error {
    let why = "the server does not tell which account calls";
    Error::new(Kind::Denied, "list the keys", why).refused()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_what_the_server_keeps() {
        let long = OURS.iter().filter(|name| name.count_bytes() > 32);
        assert_eq!(long.count(), 0);
    }

    #[test]
    fn who_may_more_may_less() {
        let names = |access: Access| access.any_of();
        for (less, more) in [
            (Access::Read, Access::Operate),
            (Access::Use, Access::Operate),
            (Access::Operate, Access::Administer),
        ] {
            let all = |name| names(less).contains(name);
            assert!(names(more).iter().all(all), "{less:?}, {more:?}");
            assert!(names(less).len() > names(more).len());
        }
        assert!(Access::Everybody.is_granted());
        // No server answers here.
        assert!(!Access::Read.is_granted());
    }
}
