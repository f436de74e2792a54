//! `rekey`: the keyring file under another KEK, with a new DEK.
//!
//! It must never call a KEK new that opened the file before, never take a secret that exists for one that it was told to
//! make, and never take away a KEK that the file may be under.

use super::init::{Made, check_makeable, make_kek, or_generate};
use super::pin::Pin;
use super::undo::Undo;
use super::{Target, open_alone, open_dry};
use crate::config::{Config, KekConfig};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::keyring::Keyring;
use crate::os::signals;
use crate::secret::SecretPool;
use crate::text::hex;
use std::mem::ManuallyDrop;

const OP: &str = "put the keyring under another KEK";

/// What `rekey` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The new KEK was made.
    pub made: Option<Made>,
    /// How many keys the file holds.
    pub keys: usize,
    /// The file's generation now.
    pub generation: u64,
    /// The DEK's fingerprint now.
    pub fingerprint: String,
    /// The configuration pins a fingerprint that is not the DEK's: that of the old one.
    pub pin_is_stale: bool,
    /// It is the same key of the same token or KMS as before, only wrapped in another way: not another KEK.
    pub same_key: bool,
}

/// Whether [`rekey`] would have to fail, as far as that shows without writing; gives the number of keys.
///
/// # Errors
/// As [`rekey`].
pub fn could_rekey<'a>(
    target: impl Into<Target<'a>>,
    kek: &KekConfig,
    generate: bool,
) -> Result<usize> {
    let target = target.into();
    let keyring = open_dry(&target)?;
    if generate {
        keyring.check_storage(std::slice::from_ref(kek))?;
        check_makeable(kek)?;
    } else {
        let checked = keyring.check_new_kek(kek);
        checked
            .and_then(|()| probe(target.config, kek))
            .map_err(|e| or_generate(e, kek))?;
    }
    Ok(keyring.len())
}

/// Whether [`reseal`] would have to fail, as far as that shows without writing; gives the number of keys.
///
/// # Errors
/// As [`reseal`].
pub fn could_reseal<'a>(target: impl Into<Target<'a>>) -> Result<usize> {
    let target = target.into();
    let keyring = open_dry(&target)?;
    probe(target.config, &target.config.keks[0])?;
    Ok(keyring.len())
}

fn probe(config: &Config, kek: &KekConfig) -> Result<()> {
    let deadline = Deadline::after(config.patience.call);
    crate::kek::from_config(kek).probe(&SecretPool::new(), deadline)
}

/// Writes the file of `config` anew under `kek`. Until the last step the old file is in force, from
/// then on the new one: a crash never leaves neither. `generate`: the secret file or the key on the token is made;
/// it goes again if the file does not come under it.
///
/// # Errors
/// Locked: a server holds the file. AlreadyExists: what `generate` should make is there. InvalidInput: the file is
/// under `kek` already. Config: a configuration does not admit the new DEK. All errors of opening and writing a keyring.
pub fn rekey<'a>(
    target: impl Into<Target<'a>>,
    kek: &KekConfig,
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
        keyring.check_storage(std::slice::from_ref(kek))?;
        outcome.made = Some(make_kek(kek, config.patience, &mut undo)?);
    }
    keyring
        .check_new_kek(kek)
        .map_err(|e| or_generate(e, kek))?;
    signals::check(OP)?;
    let before = keyring.status().store;
    // From here on the file may be under the new KEK: even a panic must not take it away.
    let undo = ManuallyDrop::new(undo);
    let admit = |new: &_| pin.admit(new);
    let done = keyring.rekey_if(std::slice::from_ref(kek), keep_dek, admit);
    let mut undo = ManuallyDrop::into_inner(undo);
    if let Err(e) = done {
        drop(keyring);
        if is_as_before(config, before.generation) {
            return Err(e);
        }
        undo.keep();
        return Err(e.context("the file may be under the new KEK already, which was kept"));
    }
    undo.keep();
    outcome.same_key =
        !before.key_ref.is_empty() && keyring.status().store.key_ref == before.key_ref;
    Ok(told(outcome, &keyring, config))
}

/// Writes the file anew under the same KEK with a new DEK.
///
/// # Errors
/// As [`rekey`].
pub fn reseal<'a>(target: impl Into<Target<'a>>, pin: &Pin<'_>) -> Result<Outcome> {
    let target = target.into();
    let config = target.config;
    let keyring = open_alone(&target)?;
    signals::check(OP)?;
    keyring.rekey_if(&config.keks[..1], false, |new| pin.admit(new))?;
    Ok(told(Outcome::default(), &keyring, config))
}

fn told(mut outcome: Outcome, keyring: &Keyring, config: &Config) -> Outcome {
    let status = keyring.status();
    let fingerprint = status.store.fingerprint;
    outcome.keys = status.keys;
    outcome.generation = status.store.generation;
    outcome.fingerprint = fingerprint.map(|f| hex(&f)).unwrap_or_default();
    outcome.pin_is_stale = config
        .fingerprint
        .iter()
        .any(|pinned| Some(*pinned) != fingerprint);
    outcome
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
            let dry = could_rekey(&file, &token.keks[0], generate).map(drop);
            let wet = rekey(&file, &token.keks[0], false, generate, &pin).map(drop);
            for refused in [dry, wet] {
                let e = refused.unwrap_err();
                assert_eq!(e.kind(), Kind::Config);
                assert!(e.to_string().contains("keyring-ward import"), "{e}");
            }
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
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
        says(could_rekey(&file, &other.keks[0], false).unwrap_err());
        // With a keyring that needs the old one, a new secret is no help.
        std::fs::remove_file(&kek).unwrap();
        let e = could_reseal(&file).unwrap_err();
        assert!(e.to_string().contains("Restore it from the copy"), "{e}");
    }
}
