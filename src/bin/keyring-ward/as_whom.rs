//! As whom a command is done, for the sentences about what it was refused.
//!
//! It must never send somebody without rights to change those of a keyring that is in order.

use crate::options::Keyring;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::os::identity::{self, Account, effective_uid};
use keyring_ward::os::lookup;

/// Who has started the command, and whose the keyring is.
pub struct AsWhom {
    was_root: bool,
    /// Known where the one is neither root nor the other.
    stranger: Option<Stranger>,
}

struct Stranger {
    me: Account,
    owner: Account,
}

impl AsWhom {
    /// Of this process; `keyring`: what its command is about, and whether that is an HSM.
    pub fn now(keyring: Option<(&Keyring, bool)>) -> AsWhom {
        let was_root = identity::is_root();
        let owner = keyring
            .filter(|_| !was_root)
            .and_then(|(keyring, hsm)| keyring.owner(hsm));
        let (uid, gid) = identity::ids();
        AsWhom {
            was_root,
            stranger: owner
                .filter(|owner| owner.uid != uid)
                .map(|owner| Stranger {
                    me: lookup::owner(uid, gid),
                    owner,
                }),
        }
    }

    /// For a command whose answer is the server's only with its rights.
    ///
    /// # Errors
    /// Permission: this process is neither root nor the account.
    pub fn must_be_the_account(&self) -> Result<()> {
        match &self.stranger {
            None => Ok(()),
            Some(stranger) => {
                let why = "its files are looked at with the rights of mysqld's account";
                let error = Error::new(Kind::Permission, "look at the server as it will be", why);
                Err(error.hint(stranger.hint()))
            }
        }
    }

    /// The error with what there is to say of the rights that were used.
    pub fn explain(&self, error: Error) -> Error {
        if error.kind() != Kind::Permission {
            return error;
        }
        match &self.stranger {
            Some(stranger) => error.hint(stranger.hint()),
            None if self.was_root && effective_uid() != 0 && error.advice().is_none() => {
                let (uid, gid) = identity::ids();
                error.hint(format!(
                    "This is done as {}, not as root: name a place that it can reach, or give that one to it (chown).",
                    lookup::owner(uid, gid)
                ))
            }
            None => error,
        }
    }
}

impl Stranger {
    fn hint(&self) -> String {
        match self.owner.is_root() {
            true => format!("You are {}: run this as root.", self.me),
            false => format!(
                "You are {}: run this as root or as {}.",
                self.me, self.owner
            ),
        }
    }
}
