//! Two descriptions of one logical key become one: of copies that went on apart, of a version that comes back, and of
//! one that comes from another keyring.
//!
//! Owns the rule that no version is forgotten whose key is there, and that what was compromised stays so. It must never make an
//! older version the current one.

use super::logical::{Logical, MAX_DESTROYED, MAX_VERSIONS, State, Version};
use crate::error::{Error, Kind, Result};

const OP: &str = "bring what is known of a logical key together";

impl Logical {
    /// A version whose key is back. It is current where there is no current one and it is the newest, else it only opens; what was
    /// compromised is so again. `own`: what its own key says of it, for one that this description has forgotten.
    ///
    /// # Errors
    /// InvalidInput: it has as many versions as it can have.
    pub fn bring_back(&mut self, number: u32, own: Option<&Version>, now: i64) -> Result<()> {
        let compromised = own.is_some_and(Version::is_compromised);
        match self.version(number) {
            Some(version) if version.state != State::Destroyed => return Ok(()),
            Some(_) => {}
            None => self.insert(Version {
                number,
                state: State::Destroyed,
                since: now,
                destroy_at: None,
                was_compromised: compromised,
            })?,
        }
        let compromised = compromised || self.version_mut(number)?.was_compromised;
        if compromised {
            return self.put_into(number, State::Compromised, now);
        }
        match self.current().is_none() && self.highest == number {
            true => self.switch_to(number, now),
            false => self.put_into(number, State::Deactivated, now),
        }
    }

    /// A version that comes from another keyring, whose key is not here: in the state that it has there, but that the current
    /// one of there becomes current only where it is newer than the current one of here. It keeps its number.
    ///
    /// # Errors
    /// KeyState: it was destroyed here. InvalidInput: it is destroyed there, or it has as many versions as it can have.
    pub fn take_over(&mut self, number: u32, theirs: State, now: i64) -> Result<()> {
        let destroyed = || self.versions.iter().filter(|v| v.state == State::Destroyed);
        let is_forgotten = self.version(number).is_none()
            && destroyed().count() >= MAX_DESTROYED
            && destroyed().all(|v| number < v.number);
        if is_forgotten || destroyed().any(|v| v.number == number) {
            let why = format!("version {number} was destroyed here");
            return Err(Error::new(Kind::KeyState, OP, why)
                .hint("Nothing was changed. What was destroyed comes back by keyring-ward key restore only."));
        }
        let (state, switch) = match theirs {
            State::Destroyed => {
                let why = format!("version {number} is destroyed");
                return Err(Error::new(Kind::InvalidInput, OP, why).hint("Nothing was changed."));
            }
            State::Active if self.current().is_none_or(|v| v.number < number) => {
                (State::Pending, true)
            }
            State::Active => (State::Deactivated, false),
            other => (other, false),
        };
        if self.version(number).is_none() {
            self.insert(Version {
                number,
                state,
                since: now,
                destroy_at: None,
                was_compromised: false,
            })?;
        }
        match switch {
            true => self.switch_to(number, now),
            false => Ok(()),
        }
    }

    fn insert(&mut self, version: Version) -> Result<()> {
        if self.versions.len() >= MAX_VERSIONS {
            let oldest = self
                .versions
                .iter()
                .position(|v| v.state == State::Destroyed);
            let Some(oldest) = oldest else {
                let why = format!("it has {MAX_VERSIONS} versions, and can't have more");
                return Err(Error::new(Kind::InvalidInput, OP, why).hint("Nothing was changed."));
            };
            self.versions.remove(oldest);
        }
        self.highest = self.highest.max(version.number);
        self.versions.push(version);
        self.versions.sort_by_key(|v| v.number);
        Ok(())
    }

    /// This description, which counts here, together with that of another copy of the same logical key, whose keys that are not
    /// here come along. `None`: this one says it all.
    ///
    /// # Errors
    /// InvalidInput: more versions than there can be, or the two call version 1 by different names.
    pub fn merged(&self, other: &Logical) -> Result<Option<Logical>> {
        if self.adopted != other.adopted {
            let why = "the two copies call version 1 by different names";
            return Err(Error::new(Kind::InvalidInput, OP, why).hint("Nothing was changed."));
        }
        let mut all = match other.serial > self.serial {
            true => other.clone(),
            false => self.clone(),
        };
        all.held = self.held.clone().or(other.held.clone());
        all.highest = self.highest.max(other.highest);
        all.serial = self.serial;
        all.versions.clone_from(&self.versions);
        for theirs in &other.versions {
            match all.versions.iter_mut().find(|v| v.number == theirs.number) {
                Some(ours) => *ours = together(ours, theirs),
                // Destroyed there, and forgotten here.
                None if theirs.state == State::Destroyed && theirs.number <= self.highest => {}
                None => all.insert(*theirs)?,
            }
        }
        // The newest of those that are current somewhere is it, unless somebody else may have it.
        let ours = self.current().map(|v| v.number);
        let current = |v: &&Version| v.state == State::Active || Some(v.number) == ours;
        let newest = all.versions.iter().filter(current);
        let newest = newest.filter(|v| !v.is_compromised()).map(|v| v.number);
        let newest = newest.max();
        for version in &mut all.versions {
            if Some(version.number) == newest {
                version.state = State::Active;
            } else if version.state == State::Active {
                version.state = State::Deactivated;
            }
        }
        if all == *self {
            return Ok(None);
        }
        all.serial = self.serial.max(other.serial);
        all.count_change()?;
        Ok(Some(all))
    }
}

/// What two copies say of one version: the later state, but that its key is here wherever one of them has it.
fn together(ours: &Version, theirs: &Version) -> Version {
    let compromised = ours.is_compromised() || theirs.is_compromised();
    let mut all = match (ours.state, theirs.state) {
        (State::Destroyed, State::Destroyed) => Version {
            was_compromised: compromised,
            ..*ours
        },
        (State::Destroyed, _) => Version {
            state: theirs.state.max(State::Deactivated),
            ..*theirs
        },
        (_, State::Destroyed) => *ours,
        // What is current somewhere was not replaced there.
        (state, other) if state < other => Version {
            destroy_at: ours.destroy_at,
            ..*theirs
        },
        _ => *ours,
    };
    if compromised && all.state != State::Destroyed {
        all.state = State::Compromised;
    }
    all
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
