//! What seals values and what computes blind indexes: keys made of the material of a logical key's versions.
//!
//! Owns which version seals, which one opens, and where the secret of a blind index lies: with each version, sealed under it, so
//! that it lives as long as any of them (ADR 21). It must never give material away, and never seal with a version that is not
//! current.

use super::index::Family;
use super::*;
use crate::envelope::{IndexKey, KEY, LEAST_MATERIAL, Purpose, VALUE_RANDOM, ValueKeys, equal};
use crate::key::extensions::{INDEX, PAIR, VERSION};
use crate::key::logical::{ID, Logical, State, VersionOf};
use crate::sealed::{self, Sealed};
use crate::secret::fill_random;

const SEAL: &str = "seal with the key";
const OPEN: &str = "open with the key";
const INDEX_OP: &str = "compute the blind index";
/// The types of keys that seal values: their material is nothing but a secret.
const TYPES: [&str; 2] = ["AES", "SECRET"];

/// How far the changes of a keyring have come: what was derived from its keys holds as long as it stays there.
#[derive(Clone)]
pub struct Epoch {
    of: Arc<AtomicU64>,
    at: u64,
}

/// The keys of one version's values.
pub struct VersionKeys {
    /// The version's number.
    pub number: u32,
    /// What seals and opens.
    pub keys: ValueKeys,
    /// When that is over, for a temporary key: seconds since 1970.
    pub expires: Option<i64>,
}

/// What opens a value although it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// Not what is sealed with a compromised version.
    Sound,
    /// That too: the caller says that he knows.
    Compromised,
}

/// What is known of one version, and its key.
pub(super) struct Chosen {
    id: [u8; ID],
    pub(super) number: u32,
    expires: Option<i64>,
    pub(super) key: KnownKey,
}

impl Keyring {
    /// Where the changes are now.
    pub fn epoch(&self) -> Epoch {
        Epoch {
            of: self.epoch.clone(),
            at: self.epoch.load(Ordering::Acquire),
        }
    }

    /// Nothing was changed since then, and it was this keyring.
    pub fn is_at(&self, epoch: &Epoch) -> bool {
        Arc::ptr_eq(&self.epoch, &epoch.of) && self.epoch.load(Ordering::Acquire) == epoch.at
    }

    /// The keys of the version that is current: the one that seals.
    ///
    /// # Errors
    /// NotFound: there is no such logical key. KeyState: none of its versions is current, or its time is over. InvalidInput: keys
    /// of its type seal nothing.
    pub fn sealing_keys(&self, id: &KeyId) -> Result<VersionKeys> {
        let chosen = self.current_version(id, SEAL)?;
        self.value_keys(id, SEAL, chosen)
    }

    /// The keys of the version that a value names.
    ///
    /// # Errors
    /// NotFound: there is no such logical key, or no such version. KeyState: it is compromised, and `opens` does not allow that; it
    /// is destroyed; its time is over. InvalidInput: keys of its type seal nothing.
    pub fn opening_keys(&self, id: &KeyId, number: u32, opens: Opens) -> Result<VersionKeys> {
        let chosen = self.opening_version(id, OPEN, number, opens)?;
        self.value_keys(id, OPEN, chosen)
    }

    /// The key of the logical key's blind index, which rotations leave alone.
    ///
    /// # Errors
    /// NotFound: there is no such logical key. InvalidInput: keys of its type seal nothing. KeyState: it has no blind index, or its
    /// time is over.
    pub fn index_key(&self, id: &KeyId) -> Result<IndexKey> {
        let chosen = self.choose_one(id, INDEX_OP, |family| {
            if !seals(family.keys.newest()) {
                return Err(no_index());
            }
            family.index_holder().ok_or_else(|| {
                kept(INDEX_OP, "it has no secret of an index")
                    .hint("keyring_ward_key_rotate_index() gives it one.")
            })
        })?;
        let material = self.whole(chosen.key.clone())?;
        let secret = open_index(
            &self.pool,
            &chosen.id,
            chosen.number,
            material.material(),
            &chosen.key,
        );
        IndexKey::derive(&self.pool, &chosen.id, &secret?)
    }

    /// The version that is current.
    pub(super) fn current_version(&self, id: &KeyId, op: &'static str) -> Result<Chosen> {
        self.choose_one(id, op, |family| {
            let current = family.logical().current().map(|v| v.number);
            current.ok_or_else(|| {
                kept(op, "none of its versions is current").hint(
                    "keyring_ward_key_rotate() gives it one, keyring_ward_key_activate() makes a pending one current.",
                )
            })
        })
    }

    /// A version whose values are opened.
    pub(super) fn opening_version(
        &self,
        id: &KeyId,
        op: &'static str,
        number: u32,
        opens: Opens,
    ) -> Result<Chosen> {
        self.choose_one(id, op, |family| {
            family.logical().check_opens(number, opens)?;
            Ok(number)
        })
    }

    fn choose_one(
        &self,
        id: &KeyId,
        op: &'static str,
        number: impl FnOnce(&Family) -> Result<u32>,
    ) -> Result<Chosen> {
        let chosen = self.choose(id, op, |family| number(family).map(|n| vec![n]))?;
        chosen.into_iter().next().ok_or_else(|| not_here(id, op, 0))
    }

    /// Finds the versions that `numbers` names, while the map is read.
    pub(super) fn choose(
        &self,
        id: &KeyId,
        op: &'static str,
        numbers: impl FnOnce(&Family) -> Result<Vec<u32>>,
    ) -> Result<Vec<Chosen>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let told = |e: Error| e.context(id).refused();
        let Some(family) = map.index.get(id) else {
            let why = format!("{id} is no logical key");
            return Err(Error::new(Kind::NotFound, op, why).refused().hint(
                "keyring_ward_key_create() makes one, keyring_ward_key_adopt() makes one of a plain key. Each account has keys of its own. Where its versions \
                 came here by a migration they are plain keys now, and only the id that the key had opens its values: adopt them with it \
                 (docs/reference/sealed-values.md).",
            ));
        };
        let logical = family.logical();
        if logical.expires.is_some() {
            logical
                .check_time(crate::os::unix_seconds())
                .map_err(told)?;
        }
        let one = |number: u32| {
            let key = family.keys.get(number);
            Ok(Chosen {
                id: logical.id,
                number,
                expires: logical.expires,
                key: key.ok_or_else(|| not_here(id, op, number))?.clone(),
            })
        };
        numbers(family)
            .map_err(told)?
            .into_iter()
            .map(one)
            .collect()
    }

    fn value_keys(&self, id: &KeyId, op: &'static str, chosen: Chosen) -> Result<VersionKeys> {
        if !seals(&chosen.key) {
            let why = format!(
                "{id} is of type {}, or a key pair, or shorter than {LEAST_MATERIAL} bytes",
                &*chosen.key.key_type
            );
            let error = Error::new(Kind::InvalidInput, op, why);
            return Err(error.hint("Take a logical key of type AES or SECRET with 32 bytes."));
        }
        let record = self.whole(chosen.key)?;
        let (pool, purpose) = (&self.pool, Purpose::Value);
        let keys = ValueKeys::derive(pool, purpose, &chosen.id, chosen.number, record.material())?;
        Ok(VersionKeys {
            number: chosen.number,
            keys,
            expires: chosen.expires,
        })
    }

    /// What a new version's key says of the blind index: the secret that the logical key has, or a new one, sealed under the new
    /// version. `None`: such keys seal nothing.
    pub(super) fn index_for(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        logical: &Logical,
        number: u32,
        (key_type, material): (&[u8], &[u8]),
    ) -> Result<Option<Vec<u8>>> {
        if !may_seal(key_type, material) {
            return Ok(None);
        }
        let secret = self.index_secret(store, id, &logical.id)?;
        self.index_under(&logical.id, number, (key_type, material), &secret)
    }

    /// The secret of the blind index that the logical key has, or a new one where none of its versions is here.
    pub(super) fn index_secret(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        logical: &[u8; ID],
    ) -> Result<SecretBytes> {
        let holder = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            let family = map.index.get(id);
            family.and_then(|f| {
                let number = f.index_holder()?;
                Some((number, f.keys.get(number)?.clone()))
            })
        };
        match holder {
            None => self.new_secret(),
            Some((holds, key)) => {
                let record = self.whole_in(store, key.clone())?;
                open_index(&self.pool, logical, holds, record.material(), &key)
            }
        }
    }

    /// The secret of a blind index sealed under a version. `None`: such keys seal nothing.
    pub(super) fn index_under(
        &self,
        logical: &[u8; ID],
        number: u32,
        (key_type, material): (&[u8], &[u8]),
        secret: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        match may_seal(key_type, material) {
            false => Ok(None),
            true => seal_index(&self.pool, logical, number, material, secret).map(Some),
        }
    }
}

impl By<'_> {
    /// Gives the logical key a blind index with a new secret. What was computed with the old one is not found any more.
    ///
    /// # Errors
    /// NotFound: there is no such logical key. KeyState: none of its versions is current. InvalidInput: keys of its type seal
    /// nothing. ReadOnly, Io.
    pub fn rotate_index(&self, id: &KeyId) -> Result<()> {
        let mut store = self.writer()?;
        let chosen = self.current_version(id, INDEX_OP)?;
        if !seals(&chosen.key) {
            return Err(no_index().context(id));
        }
        let record = self.whole_in(&mut **store, chosen.key.clone())?;
        let secret = self.new_secret()?;
        let (pool, number) = (&self.pool, chosen.number);
        let index = seal_index(pool, &chosen.id, number, record.material(), &secret)?;
        // A change like any other: of two copies of the keyring the one that has it counts.
        let mut logical = self.with_family(id, |family| family.logical().clone())?;
        logical.count_change().map_err(|e| e.context(id))?;
        let version = VersionOf { number, logical };
        let said = vec![(INDEX, index), (VERSION, version.to_bytes())];
        self.note_in(&mut **store, id, &chosen.key, said)
    }

    /// The version that is current next gets the secret of the blind index that counts now: since it was made, the current one
    /// may have been given another one.
    pub(super) fn carry_index(&self, store: &mut dyn Store, id: &KeyId, number: u32) -> Result<()> {
        let (holder, next, logical) = self.with_family(id, |family| {
            let next = family.keys.get(number).cloned();
            (family.index_holder(), next, family.logical().id)
        })?;
        let (Some(holds), Some(next)) = (holder, next) else {
            return Ok(());
        };
        if holds == number || !seals(&next) {
            return Ok(());
        }
        let to = self.whole_in(store, next.clone())?;
        let secret = self.index_secret(store, id, &logical)?;
        let own = open_index(&self.pool, &logical, number, to.material(), &next);
        if own.is_ok_and(|own| equal(&own, &secret)) {
            return Ok(());
        }
        let index = seal_index(&self.pool, &logical, number, to.material(), &secret)?;
        self.note_in(store, id, &next, vec![(INDEX, index)])
    }
}

impl Keyring {
    fn new_secret(&self) -> Result<SecretBytes> {
        let mut secret = self.pool.random(KEY)?;
        // It lies beside a key that says what it is of.
        let _ = self.mix_random(&mut secret);
        Ok(secret)
    }

    /// A key with its material, for who has the store.
    pub(super) fn whole_in(&self, store: &mut dyn Store, key: KnownKey) -> Result<Arc<KeyRecord>> {
        let info = match key {
            KnownKey::Whole(record) => return Ok(record),
            KnownKey::Info(info) => info,
        };
        let read = store.on_demand().ok_or_else(nowhere)?.fetch(&info.id)?;
        let read = read.ok_or_else(|| changes::not_found("read the key", &info.id))?;
        Ok(Arc::new(read))
    }
}

impl Family {
    /// The version whose key has the secret of the blind index: the current one, or else the newest that has it.
    fn index_holder(&self) -> Option<u32> {
        let logical = self.logical();
        let has = |number: &u32| {
            let alive = logical.version(*number);
            alive.is_some_and(|v| v.state != State::Destroyed)
                && self
                    .keys
                    .get(*number)
                    .is_some_and(|k| k.said(INDEX).is_some())
        };
        let current = logical.current().map(|v| v.number).filter(has);
        current.or_else(|| self.keys.iter().map(|(n, _)| n).rev().find(has))
    }
}

impl Logical {
    /// Whether values of a version are opened.
    fn check_opens(&self, number: u32, opens: Opens) -> Result<()> {
        let state = self.version(number).map(|v| v.state);
        match (state, opens) {
            (Some(State::Compromised), Opens::Sound) => Err(kept(
                OPEN,
                format!("version {number} is compromised: others may have made this value"),
            )
            .hint("Who knows that says so: keyring_ward_decrypt(key, sealed, context, 'compromised').")),
            (Some(State::Destroyed), _) => Err(destroyed(number)),
            (None, _) if number <= self.highest => Err(destroyed(number)),
            (None, _) => {
                let why = format!("it has no version {number}");
                Err(Error::new(Kind::NotFound, OPEN, why).hint(
                    "The value was sealed with another key, or by a server whose newer versions were not brought here.",
                ))
            }
            (Some(_), _) => Ok(()),
        }
    }
}

fn not_here(id: &KeyId, op: &'static str, number: u32) -> Error {
    let why = format!("{id}: the key of version {number} is not here");
    Error::new(Kind::NotFound, op, why).refused().hint(
        "It was destroyed or was never brought here: keyring_ward_key_restore() or an import brings it back.",
    )
}

fn destroyed(number: u32) -> Error {
    kept(OPEN, format!("version {number} is destroyed")).hint(
        "keyring_ward_key_restore() brings it back as long as it is kept: keyring_ward_retired_keys().",
    )
}

fn kept(op: &'static str, why: impl Into<String>) -> Error {
    Error::new(Kind::KeyState, op, why)
}

fn no_index() -> Error {
    let why = "keys of its type have no blind index";
    let error = Error::new(Kind::InvalidInput, INDEX_OP, why);
    error.hint("Take a logical key of type AES or SECRET with 32 bytes.")
}

/// Keys of that type and length seal values.
fn may_seal(key_type: &[u8], material: &[u8]) -> bool {
    let is_type = |t: &&str| key_type.eq_ignore_ascii_case(t.as_bytes());
    TYPES.iter().any(is_type) && material.len() >= LEAST_MATERIAL
}

/// Values are sealed with such a key.
fn seals(key: &KeyInfo) -> bool {
    TYPES.iter().any(|t| key.key_type.eq_ignore_ascii_case(t))
        && key.said(PAIR).is_none()
        && key.length() >= LEAST_MATERIAL
}

fn seal_index(
    pool: &SecretPool,
    id: &[u8; ID],
    number: u32,
    material: &[u8],
    secret: &[u8],
) -> Result<Vec<u8>> {
    let mut keys = ValueKeys::derive(pool, Purpose::IndexSecret, id, number, material)?;
    let (mut random, mut out) = ([0; VALUE_RANDOM], Vec::new());
    fill_random(&mut random)?;
    sealed::seal(&mut keys, number, &random, b"", secret, &mut out)?;
    crate::secret::wipe_stack();
    Ok(out)
}

fn open_index(
    pool: &SecretPool,
    id: &[u8; ID],
    number: u32,
    material: &[u8],
    key: &KeyInfo,
) -> Result<SecretBytes> {
    let mut keys = ValueKeys::derive(pool, Purpose::IndexSecret, id, number, material)?;
    let mut out = zeroize::Zeroizing::new(Vec::with_capacity(KEY));
    let told = |e: Error| {
        e.context(format!("the secret of the blind index in {}", key.id)).hint(
            "keyring_ward_key_rotate_index() makes a new one: what was computed with the old one is not found any more.",
        )
    };
    let value = Sealed::parse(key.said(INDEX).unwrap_or_default()).map_err(told)?;
    value.open(&mut keys, b"", &mut out).map_err(told)?;
    crate::secret::wipe_stack();
    pool.copy(&out)
}
