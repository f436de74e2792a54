//! `rekey` and `reseal`: the keyring file under another KEK or under the same one, with a new DEK, by the tool or by a server.
//!
//! It must never call a KEK new that opened the file before, never take a secret that exists for one that it was told to
//! make, and never take away a KEK that the file may be under.

use super::init::{make, or_generate, to_make};
use super::pin::{self, Pin};
use super::{Target, open_alone, open_dry};
use crate::config::{Config, KekList, NamedKek};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::key::limits::FINGERPRINT;
use crate::keyring::{By, Keyring, RetiredKey};
use crate::os::signals;
use crate::os::undo::Undo;
use crate::secret::SecretPool;
use crate::text::hex;
use std::mem::ManuallyDrop;

const OP: &str = "put the keyring under another KEK";

/// What `rekey` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The new KEK was made: full sentences about it.
    pub made: Option<String>,
    /// How many keys the file holds.
    pub keys: usize,
    /// The file's generation now.
    pub generation: u64,
    /// The KEK that opens it now, for people.
    pub opened_by: String,
    /// The DEK's fingerprint now.
    pub fingerprint: String,
    /// The configuration pins a fingerprint that is not the DEK's: that of the old one.
    pub pin_is_stale: bool,
    /// It is the same key of the same token or KMS as before, only wrapped in another way: not another KEK.
    pub same_key: bool,
    /// The retired keys that were ended.
    pub purged: Vec<RetiredKey>,
}

/// Whether [`rekey`] would have to fail, as far as that shows without writing; gives the number of keys.
///
/// # Errors
/// As [`rekey`].
pub fn could_rekey<'a>(
    target: impl Into<Target<'a>>,
    keks: &KekList,
    generate: bool,
) -> Result<usize> {
    let target = target.into();
    let keyring = open_dry(&target)?;
    if generate {
        keyring.check_storage(keks)?;
        to_make(keks)?;
    } else {
        let checked = keyring.check_new_keks(keks);
        checked
            .and_then(|()| probe(target.config, keks))
            .map_err(|e| or_generate(e, keks))?;
    }
    Ok(keyring.len())
}

/// Whether [`reseal`] would have to fail, as far as that shows without writing; gives the number of keys, and the retired keys
/// that would end.
///
/// # Errors
/// As [`reseal`].
pub fn could_reseal<'a>(
    target: impl Into<Target<'a>>,
    purge: Purge,
) -> Result<(usize, Vec<RetiredKey>)> {
    let target = target.into();
    let keyring = open_dry(&target)?;
    let purged = purge.of(&keyring.by())?;
    probe(target.config, &target.config.keks)?;
    Ok((keyring.len(), purged))
}

/// Which retired keys end before the file is written anew. What is held stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// None.
    Nothing,
    /// Those whose time is over.
    Over,
    /// All.
    All,
}

impl Purge {
    /// Ends them; gives which.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub fn of(self, keyring: &By<'_>) -> Result<Vec<RetiredKey>> {
        match self {
            Purge::Nothing => Ok(Vec::new()),
            Purge::Over => keyring.purge_retired(false),
            Purge::All => keyring.purge_retired(true),
        }
    }
}

/// All of them have to be there.
pub(super) fn probe(config: &Config, keks: &KekList) -> Result<()> {
    let pool = SecretPool::new();
    let one = |kek: &NamedKek| {
        let deadline = Deadline::after(config.patience.call);
        kek.kek().probe(&pool, deadline)
    };
    keks.iter().try_for_each(one)
}

/// Writes the file of `config` anew under `keks`, all of them. Until the last step the old file is in force, from
/// then on the new one: a crash never leaves neither. `generate`: the secret file or the key on the token is made,
/// of a list each that can be made and is not there; it goes again if the file does not come under it.
///
/// # Errors
/// Locked: a server holds the file. AlreadyExists: what `generate` should make is there. InvalidInput: the file is
/// under `keks` already. Config: a configuration does not admit the new DEK. All errors of opening and writing a keyring.
pub fn rekey<'a>(
    target: impl Into<Target<'a>>,
    keks: &KekList,
    keep_dek: bool,
    generate: bool,
    pin: &Pin<'_>,
) -> Result<Outcome> {
    let target = target.into();
    let config = target.config;
    let mut outcome = Outcome::default();
    let mut undo = Undo::new();
    // Locked and opened before anything is made.
    let keyring = open_alone(&target)?;
    if generate {
        keyring.check_storage(keks)?;
        outcome.made = Some(make(keks, config.patience.call, &mut undo)?);
    }
    keyring
        .check_new_keks(keks)
        .map_err(|e| or_generate(e, keks))?;
    signals::check(OP)?;
    let before = keyring.status().store;
    // From here on the file may be under the new KEK: even a panic must not take it away.
    let undo = ManuallyDrop::new(undo);
    let done = put_under(&keyring.by(), keks, keep_dek, |new| pin.admit(new));
    let mut undo = ManuallyDrop::into_inner(undo);
    match done {
        Err(e) => {
            drop(keyring);
            if is_as_before(config, before.generation) {
                return Err(e);
            }
            undo.keep();
            Err(e.context("the file may be under the new KEK already, which was kept"))
        }
        Ok(done) => {
            undo.keep();
            Ok(Outcome {
                made: outcome.made,
                ..done.beside(config)
            })
        }
    }
}

/// Writes the file anew under the same KEK with a new DEK, after retired keys have ended.
///
/// # Errors
/// As [`rekey`].
pub fn reseal<'a>(target: impl Into<Target<'a>>, pin: &Pin<'_>, purge: Purge) -> Result<Outcome> {
    let target = target.into();
    let config = target.config;
    let keyring = open_alone(&target)?;
    signals::check(OP)?;
    let purged = purge.of(&keyring.by())?;
    let done = put_under(&keyring.by(), &config.keks, false, |new| pin.admit(new));
    let done = done.map_err(|e| match purged.len() {
        0 => e,
        n => e.context(format!("{n} retired keys were ended before")),
    })?;
    Ok(Outcome {
        purged,
        ..done.beside(config)
    })
}

/// [`rekey`] of a keyring that serves, under the KEK that `config`, its configuration as it is now, names. The caller loads
/// the keyring anew.
///
/// # Errors
/// Config: it is not about this keyring, or does not admit the new DEK. As [`rekey`].
pub fn rekey_serving(keyring: &By<'_>, config: &Config) -> Result<Outcome> {
    if config.path != keyring.config().path || config.read_only {
        return Err(Error::new(
            Kind::Config,
            "rekey the keyring",
            "the configuration names another path now, or read_only",
        )
        .hint(
            "A rekey changes the KEK of this keyring. Use keyring_ward_reload() for another one.",
        ));
    }
    keyring.check_new_keks(&config.keks)?;
    put_under(keyring, &config.keks, false, |new| {
        pin::admit_at_once(&config.fingerprint, new)
    })
}

/// [`reseal`] of a keyring that serves. `config` is its configuration as it is now.
///
/// # Errors
/// Config: it does not admit the new DEK. As [`rekey`].
pub fn reseal_serving(keyring: &By<'_>, config: &Config) -> Result<Outcome> {
    put_under(keyring, &keyring.config().keks, false, |new| {
        pin::admit_at_once(&config.fingerprint, new)
    })
}

/// Writes the file of an open keyring anew under `keks`, if `admit` says so of the new DEK.
pub(super) fn put_under(
    keyring: &By<'_>,
    keks: &KekList,
    keep_dek: bool,
    admit: impl FnOnce(&[u8; FINGERPRINT]) -> Result<()>,
) -> Result<Outcome> {
    let before = keyring.status().store.key_ref;
    keyring.rekey_if(keks, keep_dek, admit)?;
    Ok(Outcome {
        same_key: !keks.listed && !before.is_empty() && keyring.status().store.key_ref == before,
        ..Outcome::of(keyring)
    })
}

impl Outcome {
    /// What `keyring` is now.
    pub fn of(keyring: &Keyring) -> Outcome {
        let status = keyring.status();
        let store = status.store;
        Outcome {
            keys: status.keys,
            generation: store.generation,
            opened_by: store.opened_by,
            fingerprint: store.fingerprint.map(|f| hex(&f)).unwrap_or_default(),
            ..Outcome::default()
        }
    }

    /// Beside what `config` pins.
    pub(super) fn beside(self, config: &Config) -> Outcome {
        let mut pinned = config.fingerprint.iter();
        Outcome {
            pin_is_stale: pinned.any(|pinned| hex(pinned) != self.fingerprint),
            ..self
        }
    }
}

/// The file on the disk is still the old one: it opens with the old KEK and was not written anew.
fn is_as_before(config: &Config, generation: u64) -> bool {
    let environment = super::environment(true);
    Keyring::open(config, &environment, &SecretPool::new())
        .is_ok_and(|there| there.status().store.generation == generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;
    use crate::config::Layer;
    use crate::error::Kind;
    use crate::store::lock::Lock;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn config(values: &[(&str, &str)]) -> Config {
        Layer::of("test", values).finish().unwrap()
    }

    fn of_file(path: &Path, kek: &Path) -> Config {
        let (path, kek) = (path.display().to_string(), kek.display().to_string());
        config(&[
            ("backend", "file"),
            ("path", &path),
            ("file_key_file", &kek),
        ])
    }

    #[test]
    fn a_rekey_moves_no_key_onto_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kek) = (dir.path().join("k.ward"), dir.path().join("kek"));
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
        let file = of_file(&path, &kek);
        super::super::init::init(&file, false, false).unwrap();
        let before = std::fs::read(&path).unwrap();
        let text = path.display().to_string();
        let token = config(&[
            ("backend", "pkcs11"),
            ("path", &text),
            ("pkcs11_module", "/absent.so"),
            ("pkcs11_token_label", "t"),
            ("pkcs11_key_label", "k"),
            ("pkcs11_pin_file", "/absent"),
            ("pkcs11_storage", "token"),
        ]);
        let pin = Pin {
            pinned: &|| Ok(Vec::new()),
            wait: std::time::Duration::ZERO,
            tell: &|_| (),
        };
        for generate in [true, false] {
            let dry = could_rekey(&file, &token.keks, generate).map(drop);
            let wet = rekey(&file, &token.keks, false, generate, &pin).map(drop);
            for refused in [dry, wet] {
                let e = refused.unwrap_err();
                assert_eq!(e.kind(), Kind::Config);
                assert!(e.to_string().contains("keyring-ward import"), "{e}");
            }
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_keyring_that_serves_goes_the_same_way() {
        let dir = tempfile::tempdir().unwrap();
        let [path, old, new] = ["k.ward", "old", "new"].map(|name| dir.path().join(name));
        for (kek, byte) in [(&old, 1), (&new, 2)] {
            std::fs::write(kek, [byte; 32]).unwrap();
            std::fs::set_permissions(kek, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let before = of_file(&path, &old);
        let mut now = of_file(&path, &new);
        let environment = super::super::environment(false);
        let keyring = Keyring::open(&before, &environment, &SecretPool::new()).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        let first = Outcome::of(&keyring).fingerprint;
        // Another path, and the KEK that it is under already.
        let elsewhere = of_file(&dir.path().join("other.ward"), &new);
        let e = rekey_serving(&keyring.by(&Caller::Unknown), &elsewhere).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        let e = rekey_serving(&keyring.by(&Caller::Unknown), &before).unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput);
        // A pinned fingerprint: the new one is told, named, and taken.
        now.fingerprint = keyring.status().store.fingerprint.into_iter().collect();
        let e = rekey_serving(&keyring.by(&Caller::Unknown), &now).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        assert_eq!(Outcome::of(&keyring).generation, 1, "nothing was changed");
        let told = e.message();
        let told = told.trim_end_matches('.').rsplit(' ').next().unwrap();
        assert!(e.to_string().contains("call the function again"), "{e}");
        let named = crate::text::from_hex(told, FINGERPRINT).unwrap();
        now.fingerprint.push(named.try_into().unwrap());
        let done = rekey_serving(&keyring.by(&Caller::Unknown), &now).unwrap();
        assert_eq!((done.keys, done.generation), (1, 2));
        assert_eq!(done.fingerprint, told);
        assert!(done.opened_by.contains("new") && done.fingerprint != first);
        now.fingerprint.clear();
        let keyring = keyring.reload(&now, &environment).unwrap();
        let done = reseal_serving(&keyring.by(&Caller::Unknown), &now).unwrap();
        assert_eq!(done.generation, 3);
        assert_ne!(done.fingerprint, told);
    }

    #[test]
    fn a_secret_that_is_not_there_can_be_generated() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kek) = (dir.path().join("k.ward"), dir.path().join("kek"));
        let file = of_file(&path, &kek);
        let says = |e: crate::error::Error| {
            assert_eq!(e.kind(), Kind::NotFound);
            assert!(e.to_string().contains("--generate"), "{e}");
        };
        says(super::super::init::would_init(&file, false).unwrap_err());
        says(super::super::init::init(&file, false, false).unwrap_err());
        assert!(!Lock::path_for(&path).exists(), "nothing is left of it");
        super::super::init::init(&file, true, false).unwrap();
        let other = of_file(&path, &dir.path().join("other"));
        says(could_rekey(&file, &other.keks, false).unwrap_err());
        // With a keyring that needs the old one, a new secret is no help.
        std::fs::remove_file(&kek).unwrap();
        let e = could_reseal(&file, Purge::Nothing).map(drop).unwrap_err();
        assert!(e.to_string().contains("Restore it from the copy"), "{e}");
    }
}
