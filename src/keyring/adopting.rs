//! Plain keys that become the versions of a logical key: one that never was one, or those of a logical key that came here by a
//! way that knows none.
//!
//! Owns which keys those are, and the order of their records: the newest first, which says all that is known, so that after a crash
//! the same call ends what it began. It must never give two logical keys one id.

use super::changes::not_found;
use super::index::Family;
use super::logical::{CREATE, Wanted, adds};
use super::*;
use crate::key::extensions::{INDEX, VERSION};
use crate::key::logical::{
    ID, Logical, MAX_VERSIONS, State, Version, VersionOf, check_name, split,
};
use std::collections::BTreeMap;

/// What becomes of plain keys.
#[derive(Clone, Debug, Default)]
pub struct Adopting {
    /// What the logical key is to be.
    pub wanted: Wanted,
    /// The id that it had before, by which its sealed values open; `None`: a new one.
    pub id: Option<[u8; ID]>,
    /// `name@2` and so on are its versions, too, and `name@1` if there is no `name`. Without: `name` alone.
    pub versions: bool,
}

impl From<&Wanted> for Adopting {
    fn from(wanted: &Wanted) -> Adopting {
        Adopting {
            wanted: wanted.clone(),
            ..Adopting::default()
        }
    }
}

impl From<&Adopting> for Adopting {
    fn from(how: &Adopting) -> Adopting {
        how.clone()
    }
}

/// Reads the id of a logical key as it is shown: 32 hexadecimal digits.
///
/// # Errors
/// InvalidInput: it is something else.
pub fn id_of_text(text: &str) -> Result<[u8; ID]> {
    let bytes = crate::text::from_hex(text, ID);
    let id = bytes.and_then(|bytes| <[u8; ID]>::try_from(bytes).ok());
    id.ok_or_else(|| {
        let why = "an id of a logical key has 32 hexadecimal digits";
        Error::new(Kind::InvalidInput, CREATE, why).hint(
            "Nothing was changed. It is what keyring-ward key show and keyring_ward_keys() showed of the key where it came from.",
        )
    })
}

/// What is to be written of a key.
type Said = Vec<(u8, Vec<u8>)>;
/// The keys that become versions, by number.
type Coming = BTreeMap<u32, KnownKey>;

impl By<'_> {
    /// Makes plain keys the versions of a logical key: `id` itself version 1, whose bare name answers its own material for good, or
    /// with [`Adopting::versions`] all keys that are called as its versions. The highest number is current. They get a blind index
    /// with a new secret. What a crash has left of it, the same call ends. Gives the numbers.
    ///
    /// # Errors
    /// NotFound: there is no such key. KeyState: it has versions already. AlreadyExists: a name that ends in @ and a number is
    /// taken, or another logical key has the id. InvalidInput: the server's own keys have none; the keys are of several types.
    pub fn adopt(&self, id: &KeyId, how: impl Into<Adopting>) -> Result<Vec<u32>> {
        let how = how.into();
        check_name(id.name(), id.owner())?;
        if how.wanted.follow && !how.versions {
            return Err(can_not_follow());
        }
        let mut logical = how.wanted.logical()?;
        logical.id = how.id.unwrap_or(logical.id);
        let mut store = self.writer()?;
        if let Ok((known, newest)) =
            self.with_family(id, |f| (f.logical().clone(), f.keys.newest().clone()))
        {
            let begun = how.versions && how.id.is_none_or(|own| own == known.id);
            let missing = match begun {
                true => self.missing_versions(id, &known)?,
                false => Coming::new(),
            };
            if missing.is_empty() {
                return Err(already(id, "a logical key"));
            }
            check_one_type(missing.values().chain([&newest]))?;
            return self.join(&mut **store, id, &known, &missing);
        }
        self.check_id_free(&logical.id)?;
        let coming = self.coming_versions(id, how.versions)?;
        logical.adopted = coming.get(&1).is_some_and(|key| key.id == *id);
        if logical.adopted && logical.follow {
            return Err(can_not_follow());
        }
        describe(&mut logical, &coming)?;
        self.join(&mut **store, id, &logical, &coming)
    }

    /// Writes with each key which version it is.
    fn join(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        logical: &Logical,
        coming: &Coming,
    ) -> Result<Vec<u32>> {
        let secret = self.index_secret(store, id, &logical.id)?;
        let (mut all, mut more) = (Vec::new(), 0);
        for (number, key) in coming.iter().rev() {
            let version = VersionOf {
                number: *number,
                logical: logical.clone(),
            };
            let record = self.whole_in(store, key.clone())?;
            let of = (key.key_type.as_bytes(), record.material());
            let index = self.index_under(&logical.id, *number, of, &secret)?;
            let said: Said = [(VERSION, version.to_bytes())]
                .into_iter()
                .chain(index.map(|index| (INDEX, index)))
                .collect();
            more += adds(key, said.clone())?;
            all.push((key, said));
        }
        (self.sizes()).check(&self.config.limits, id.owner(), more)?;
        for (key, said) in all {
            self.note_in(store, id, key, said)?;
        }
        Ok(coming.keys().copied().collect())
    }
}

impl Keyring {
    /// The plain keys that become versions.
    fn coming_versions(&self, id: &KeyId, versions: bool) -> Result<Coming> {
        let bare = self.look_up(id.name(), id.owner());
        if !versions {
            let bare = bare.ok_or_else(|| match self.check_no_versions(id) {
                Ok(()) => not_found(CREATE, id),
                Err(e) => not_found(CREATE, id).hint(e.advice().unwrap_or_default().to_string()),
            })?;
            if bare.version_bytes().is_some() {
                return Err(already(id, "a version of a logical key"));
            }
            self.check_no_versions(id)?;
            return Ok(Coming::from([(1, bare)]));
        }
        let mut coming = self.numbered(id)?;
        if let Some(bare) = bare
            && let Some(first) = coming.insert(1, bare)
        {
            let why = format!("{id} and {} would both be version 1", first.id);
            return Err(Error::new(Kind::AlreadyExists, CREATE, why).hint(
                "Nothing was changed. Look which of them sealed the data; store the other one under another name, and remove it here.",
            ));
        }
        if coming.is_empty() {
            return Err(not_found(CREATE, id));
        }
        if let Some(key) = coming.values().find(|key| key.version_bytes().is_some()) {
            return Err(already(&key.id, "a version of a logical key"));
        }
        check_one_type(coming.values())?;
        Ok(coming)
    }

    /// The keys that are called as versions of `id`.
    fn numbered(&self, id: &KeyId) -> Result<Coming> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let number = |key: &KnownKey| match split(key.id.name()) {
            Some((base, number)) if base == id.name() && key.id.owner() == id.owner() => {
                Some(number)
            }
            _ => None,
        };
        let found: Coming = (map.list().into_iter())
            .filter_map(|key| Some((number(&key)?, key)))
            .collect();
        if found.len() > MAX_VERSIONS {
            let why = format!(
                "{} keys are called as versions of {id}, and it can have {MAX_VERSIONS}",
                found.len()
            );
            return Err(Error::new(Kind::InvalidInput, CREATE, why)
                .hint("Nothing was changed. Remove those that nothing needs."));
        }
        Ok(found)
    }

    /// The versions of a logical key whose keys are plain ones: a call that was broken off has left them.
    fn missing_versions(&self, id: &KeyId, known: &Logical) -> Result<Coming> {
        let here: Vec<u32> =
            self.with_family(id, |family| family.keys.iter().map(|(n, _)| n).collect())?;
        let mut missing = Coming::new();
        let alive = known
            .versions
            .iter()
            .filter(|v| v.state != State::Destroyed);
        for number in alive.map(|v| v.number).filter(|n| !here.contains(n)) {
            let key = self.look_up(&known.key_name(id.name(), number), id.owner());
            let plain = key.filter(|key| key.version_bytes().is_none());
            missing.extend(plain.map(|key| (number, key)));
        }
        Ok(missing)
    }

    /// No logical key has this id.
    fn check_id_free(&self, id: &[u8; ID]) -> Result<()> {
        match self.with_family_of_id(id, Family::name) {
            None => Ok(()),
            Some(other) => Err(Error::new(
                Kind::AlreadyExists,
                CREATE,
                format!("the logical key {other} has this id"),
            )
            .hint("Nothing was changed. Values that were sealed under the id belong to that key: keyring-ward reown gives it to another account.")),
        }
    }
}

/// All versions of the logical key, of which the highest is current.
fn describe(logical: &mut Logical, coming: &Coming) -> Result<()> {
    let now = crate::os::unix_seconds();
    let version = |number: &u32| Version {
        number: *number,
        state: State::Deactivated,
        since: now,
        destroy_at: None,
        was_compromised: false,
    };
    logical.versions = coming.keys().map(version).collect();
    logical.highest = coming.keys().next_back().copied().unwrap_or_default();
    logical.switch_to(logical.highest, now)
}

/// The next version is of the type of the newest one: all are.
fn check_one_type<'a>(mut keys: impl Iterator<Item = &'a KnownKey>) -> Result<()> {
    let Some(first) = keys.next() else {
        return Ok(());
    };
    match keys.find(|key| !key.key_type.eq_ignore_ascii_case(&first.key_type)) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            Kind::InvalidInput,
            CREATE,
            format!(
                "{} is of type {}, and {} of type {}: they are no versions of one key",
                first.id, &*first.key_type, other.id, &*other.key_type
            ),
        )
        .hint("Nothing was changed. Store the one that does not belong to it under another name, and remove it here.")),
    }
}

fn already(id: &KeyId, what: &str) -> Error {
    let why = format!("{id} is {what} already");
    Error::new(Kind::KeyState, CREATE, why)
        .hint("Nothing was changed. keyring-ward key show tells all of it.")
}

fn can_not_follow() -> Error {
    let why = "a plain key that is made logical goes on answering its own material";
    Error::new(Kind::InvalidInput, CREATE, why).hint(
        "Leave follow out: programs that decrypt under the bare name would get the next version's material otherwise.",
    )
}
