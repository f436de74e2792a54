//! Pending versions that are taken away again.
//!
//! Owns that: the version leaves the description, so that its number is free for the one that another server gave it, and its key is
//! kept as a retired one. It must never take a version that was current, or is.

use super::*;
use crate::key::logical::{Logical, State};

const OP: &str = "drop the pending version";

impl By<'_> {
    /// Takes a pending version away at once. Whether something is sealed with it (on a replica, whose source has made it current) is for
    /// the caller to know. Numbers that were given are not given again here.
    ///
    /// # Errors
    /// NotFound: there is no such key or version. KeyState: the version is not pending, it is the only one, or the key is held. ReadOnly, Io.
    pub fn drop_pending(&self, id: &KeyId, number: u32) -> Result<()> {
        let mut store = self.writer()?;
        self.change_logical_in(&mut **store, id, &[number], |logical, _| {
            logical.drop_pending(number)
        })?;
        self.let_go(&mut **store, id)
    }
}

impl Logical {
    fn drop_pending(&mut self, number: u32) -> Result<()> {
        self.check_not_held()?;
        let version = *self.version_mut(number)?;
        if version.state != State::Pending {
            let why = format!("version {number} is {}, not pending", version.state.name());
            return Err(Error::new(Kind::KeyState, OP, why).hint(
                "Nothing was changed. What was current once has sealed values: keyring-ward key destroy plans its end.",
            ));
        }
        let others = self.versions.iter().filter(|v| v.number != number);
        if others.filter(|v| v.state != State::Destroyed).count() == 0 {
            let why = format!("version {number} is all that is left of the key");
            return Err(Error::new(Kind::KeyState, OP, why).hint(
                "Nothing was changed. keyring-ward key destroy plans the end of the whole key.",
            ));
        }
        self.versions.retain(|v| v.number != number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(states: &[State]) -> Logical {
        let mut logical = Logical::unknown([7; 16]);
        for state in states {
            let number = logical.add_version(1).unwrap();
            logical.put_into(number, *state, 1).unwrap();
        }
        logical
    }

    #[test]
    fn only_a_pending_version_goes_and_its_number_can_come_from_elsewhere() {
        let mut key = logical(&[State::Deactivated, State::Active, State::Pending]);
        for number in [1, 2] {
            let why = key.drop_pending(number).unwrap_err();
            assert_eq!(why.kind(), Kind::KeyState, "{number}");
        }
        assert_eq!(key.drop_pending(4).unwrap_err().kind(), Kind::NotFound);
        key.hold(Some("a case")).unwrap();
        assert_eq!(key.drop_pending(3).unwrap_err().kind(), Kind::KeyState);
        key.hold(None).unwrap();
        key.drop_pending(3).unwrap();
        assert_eq!(key.version(3), None);
        // Here the next one has another number; another server's may come under this one.
        assert_eq!(key.clone().add_version(2).unwrap(), 4);
        key.take_over(3, State::Active, 2).unwrap();
        assert_eq!(key.current().unwrap().number, 3);
    }

    #[test]
    fn what_is_left_of_a_key_stays() {
        let mut key = logical(&[State::Destroyed, State::Pending]);
        assert_eq!(key.drop_pending(2).unwrap_err().kind(), Kind::KeyState);
    }
}
