//! `import`: keys of other keyrings into one of ours.
//!
//! Owns what all sources have in common: look first, refuse to replace a key by another one, store each durably, read
//! everything back. It must never alter a source.

mod component_json;
mod conflict;
mod plugin_file;
mod versions;

pub use component_json::parse as parse_component_json;
pub use plugin_file::parse as parse_plugin_file;

use super::init::create;
use super::{Target, open_alone, open_dry, open_to_look};
use crate::config::Config;
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::{ACTOR, Extensions, INDEX};
use crate::key::id::{KeyId, check_length, check_type};
use crate::key::record::KeyRecord;
use crate::keyring::{By, Keyring, only_in_a_file};
use crate::os::file;
use crate::os::signals;
use crate::secret::{SecretBytes, SecretPool};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use versions::{Versions, plain};

const OP: &str = "import the keys";
/// Largest file that is imported, in bytes: more than an export of the largest keyring has.
pub const MAX_SOURCE: u64 = 4 << 30;

/// A key of another keyring.
pub struct Found {
    /// Name and owner.
    pub id: KeyId,
    /// The type, checked.
    pub key_type: String,
    /// The material.
    pub material: SecretBytes,
    /// When it was made, in seconds since 1970, and in which generation of its keyring file, where the source knows.
    pub made: Option<(i64, u64)>,
    /// What its record says beside that, in a keyring of ours.
    pub extensions: Extensions,
    /// Its attributes in a keyring of ours.
    pub attributes: Extensions,
}

impl Found {
    /// Checks a key as a server's would be.
    ///
    /// # Errors
    /// InvalidInput: name, type or length are outside our limits.
    pub fn new(name: &[u8], owner: &[u8], key_type: &[u8], material: SecretBytes) -> Result<Found> {
        let id = KeyId::new(name, owner)?;
        let of = |e: Error| e.context(format!("the key {id}"));
        check_type(key_type).map_err(of)?;
        check_length(material.len()).map_err(of)?;
        let key_type = String::from_utf8_lossy(key_type).into_owned();
        Ok(Found {
            id,
            key_type,
            material,
            made: None,
            extensions: Extensions::default(),
            attributes: Extensions::default(),
        })
    }

    /// The key as it goes into a keyring; one whose age nobody knows is as old as the import.
    fn record(&self, keyring: &Keyring, versions: &Versions, now: (i64, u64)) -> Result<KeyRecord> {
        let (created_at, generation) = self.made.unwrap_or(now);
        let record = KeyRecord::new(
            self.id.clone(),
            self.key_type.as_bytes(),
            keyring.pool().copy(&self.material)?,
            created_at,
            generation,
        )?;
        Ok(record
            .with_extensions(versions.extensions(self)?)
            .with_attributes(self.attributes.clone()))
    }
}

/// Where keys come from.
pub enum Source<'a> {
    /// A file of component_keyring_file or of the plugin keyring_file; its bytes tell which.
    File(&'a Path),
    /// Such a file that is open already, and its name for messages.
    Open(&'a Path, &'a std::fs::File),
    /// Another keyring of ours, under whatever KEK its configuration names.
    Ward(&'a Config),
}

/// What an import did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the source is, for people.
    pub format: String,
    /// Keys that are new here.
    pub new: Vec<String>,
    /// Keys that are here already with the same material.
    pub same: usize,
    /// Removed keys of the source that are kept, and that are not here.
    pub retired: usize,
}

/// What a source holds.
struct Read {
    format: String,
    keys: Vec<Found>,
    /// Removed keys that are kept.
    retired: Vec<Arc<KeyRecord>>,
}

/// Reads the keys of a source.
///
/// # Errors
/// InvalidInput: not a format that we know. Tampered: it is damaged. Its own errors for a keyring of ours.
pub fn read(source: &Source<'_>, pool: &SecretPool) -> Result<(String, Vec<Found>)> {
    let read = read_telling(source, pool, &drop)?;
    Ok((read.format, read.keys))
}

fn read_telling(source: &Source<'_>, pool: &SecretPool, warn: &dyn Fn(String)) -> Result<Read> {
    match source {
        Source::Ward(config) => {
            let of_source = Target {
                warn,
                ..Target::from(*config)
            };
            let keyring = open_to_look(&of_source, pool)?;
            let keys = keyring.list_with_material()?.into_iter().map(|key| {
                // With the newest that is known of its logical key in its own record, wherever it goes.
                let key = keyring.complete(key)?;
                let found = Found::new(
                    key.id.name(),
                    key.id.owner(),
                    key.key_type.as_bytes(),
                    pool.copy(key.material())?,
                )?;
                Ok(Found {
                    made: Some((key.created_at, key.generation)),
                    // Who brings it here is another one.
                    extensions: key.extensions().without(&[ACTOR]),
                    attributes: key.attributes().without(&[ACTOR]),
                    ..found
                })
            });
            let retired = (keyring.retired().into_iter())
                .filter_map(|key| keyring.retired_key(&key.info.id, key.removal.number));
            Ok(Read {
                format: format!(
                    "Keyring Ward, generation {}",
                    keyring.status().store.generation
                ),
                keys: keys.collect::<Result<_>>()?,
                retired: retired.collect(),
            })
        }
        Source::File(path) | Source::Open(path, _) => {
            let io = |e| Error::io(OP, format!("'{}'", path.display()), e);
            let mut file = match source {
                Source::Open(_, file) => file.try_clone(),
                _ => file::open_following(path).map(|(file, _)| file),
            }
            .map_err(io)?;
            let bytes = file::read_bounded(&mut file, MAX_SOURCE).map_err(io)?;
            let parsed = if bytes.first() == Some(&b'{') {
                parse_component_json(&bytes, pool).map(|k| ("component_keyring_file".into(), k))
            } else {
                parse_plugin_file(&bytes, pool)
            };
            let (format, keys) = parsed.map_err(|e| e.context(format!("'{}'", path.display())))?;
            Ok(Read {
                format,
                keys,
                retired: Vec::new(),
            })
        }
    }
}

/// Stores the keys at once, where the store can: many syncs would take minutes. Nothing is promised before that is
/// over; a crash leaves the keyring as it was, or with all keys.
fn store(
    keyring: &By<'_>,
    new: &[&Found],
    versions: &Versions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    let now = (crate::os::unix_seconds(), keyring.status().store.generation);
    let mut records = Vec::with_capacity(new.len());
    for (i, key) in new.iter().enumerate() {
        progress(i, new.len());
        signals::check(OP)
            .map_err(|e| e.hint("Nothing was changed. Repeat the import when it suits."))?;
        records.push(key.record(keyring, versions, now)?);
    }
    keyring.restore_all(records)
}

/// What an import does not bring of a key that is here already.
fn leaves_behind(key: &Found, what: &str) -> String {
    format!(
        "{} is here already: the import leaves {what} behind.",
        key.id
    )
}

/// Brings removed keys that are kept; gives how many are new here.
fn bring_retired(
    keyring: &By<'_>,
    retired: &[Arc<KeyRecord>],
    warn: &dyn Fn(String),
) -> Result<usize> {
    if !retired.is_empty() && keyring.keeps_removed_for() == 0 {
        warn(format!(
            "The source keeps {} removed keys (keyring-ward key list --retired). They stay there alone: a token, or a keyring with \
             retain_removed 0, keeps none. Don't delete the source as long as files or backups may need them.",
            retired.len()
        ));
        return Ok(0);
    }
    let mut brought = 0;
    for key in retired {
        brought += usize::from(keyring.keep_removed(key)?);
    }
    Ok(brought)
}

/// Brings the keys of `source` into the keyring of `config`, which is made where it does not exist, and reads them
/// back. With `dry_run` nothing is written. `progress` hears how many of how many new keys are stored.
///
/// # Errors
/// AlreadyExists: a key is here with other material; nothing was changed. All errors of opening and writing a
/// keyring, and nothing was changed then; a token may have some of the keys. After an error an import can be repeated:
/// what is here already is the same.
pub fn import<'a>(
    target: impl Into<Target<'a>>,
    source: &Source<'_>,
    dry_run: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Plan> {
    let target = target.into();
    let config = target.config;
    let pool = SecretPool::new();
    let Read {
        format,
        keys,
        retired,
    } = read_telling(source, &pool, target.warn)?;
    let mut plan = Plan {
        format,
        ..Plan::default()
    };
    let absent =
        config.token_storage().is_none() && std::fs::symlink_metadata(&config.path).is_err();
    let keyring = match (dry_run, absent) {
        (true, true) => None,
        (true, false) => Some(open_dry(&target)?),
        (false, _) => Some(open_alone(&target)?),
    };
    let mut seen: HashMap<&KeyId, &Found> = HashMap::with_capacity(keys.len());
    let mut new = Vec::new();
    // Here already, without what is known of them there.
    let mut noted: Vec<&Found> = Vec::new();
    let mut conflicts = Vec::new();
    for key in &keys {
        let here = match &keyring {
            Some(keyring) => keyring.read_key(key.id.name(), key.id.owner())?,
            None => None,
        };
        let same = |material: &[u8], key_type: &str| {
            equal(material, &key.material) && key_type.eq_ignore_ascii_case(&key.key_type)
        };
        let twice = seen.insert(&key.id, key);
        match (here, twice) {
            (Some(here), _) if same(here.material(), &here.key_type) => {
                plan.same += 1;
                if plain(&key.extensions) != plain(here.extensions()) {
                    (target.warn)(leaves_behind(key, "the extensions of its record"));
                }
                let index = key.extensions.get(INDEX);
                if index.is_some() && here.version_bytes().is_some() && here.said(INDEX) != index {
                    (target.warn)(leaves_behind(
                        key,
                        "the secret of its blind index, because it has another one here",
                    ));
                }
                let noted_here = plain(here.attributes());
                match noted_here.is_empty() {
                    true if !key.attributes.is_empty() => noted.push(key),
                    false if key.attributes != noted_here => {
                        (target.warn)(leaves_behind(
                            key,
                            "its attributes, because it has others here",
                        ));
                    }
                    _ => {}
                }
            }
            (None, Some(other)) if same(&other.material, &other.key_type) => {}
            (None, None) => new.push(key),
            _ => conflicts.push(&key.id),
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict::error(&conflicts, keys.len(), &config.path));
    }
    let mut brings = new.iter().chain(&noted);
    if config.token_storage().is_some() && brings.any(|key| !key.attributes.is_empty()) {
        return Err(only_in_a_file());
    }
    let versions = Versions::plan(keyring.as_deref(), &keys, &new)?;
    plan.retired = retired.len();
    plan.new = new.iter().map(|k| k.id.to_string()).collect();
    let Some(keyring) = keyring.filter(|_| !dry_run) else {
        return Ok(plan);
    };
    let fresh = !keyring.status().store.exists;
    if fresh {
        create(&keyring.by(), config)?;
    }
    let stored = store(&keyring.by(), &new, &versions, progress);
    if stored.is_err() && fresh && config.token_storage().is_none() {
        // All of it is in the source, and this process holds the lock.
        let _ = std::fs::remove_file(&config.path);
    }
    stored?;
    for key in &noted {
        let list = key.attributes.clone();
        (keyring.by()).set_attributes(key.id.name(), key.id.owner(), list)?;
    }
    versions.settle(&keyring.by(), &keys, target.warn)?;
    plan.retired = bring_retired(&keyring.by(), &retired, target.warn)?;
    let written: HashSet<&KeyId> = new.iter().map(|key| &key.id).collect();
    // From the disk, not from memory.
    drop(keyring);
    let check = Keyring::open(config, &super::environment(true), &pool)?;
    for key in &keys {
        let there = check.read_key(key.id.name(), key.id.owner())?;
        let same = match there {
            Some(there) => {
                let told = plain(there.extensions()) == plain(&key.extensions)
                    && plain(there.attributes()) == key.attributes;
                equal(there.material(), &key.material) && (told || !written.contains(&key.id))
            }
            None => false,
        };
        if !same {
            return Err(Error::new(
                Kind::Internal,
                OP,
                format!("{} was stored, but is not read back", key.id),
            )
            .hint("Keep the source. Report this."));
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{config, noted, open};
    use crate::caller::Caller;

    #[test]
    fn what_is_known_of_a_key_that_is_here_comes_or_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from.ward", "to.ward"].map(|name| config(dir.path(), name));
        let (source, target) = (open(&from), open(&to));
        source
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        source
            .by(&Caller::Unknown)
            .set_attributes(b"k", b"", noted())
            .unwrap();
        let key = source.fetch(b"k", b"").unwrap().unwrap();
        target
            .by(&Caller::Unknown)
            .store_key(b"k", b"", b"AES", key.material())
            .unwrap();
        drop((source, target));
        let plan = import(&to, &Source::Ward(&from), false, &mut |_, _| {}).unwrap();
        assert_eq!((plan.same, plan.new.len()), (1, 0));
        let target = open(&to);
        let brought = target.fetch(b"k", b"").unwrap().unwrap();
        assert_eq!(brought.attributes(), &noted());
        // It has others of its own: they stay, and the import says so.
        let others = Extensions::new([(8, b"y".to_vec())]).unwrap();
        target
            .by(&Caller::Unknown)
            .set_attributes(b"k", b"", others.clone())
            .unwrap();
        drop(target);
        let said = std::cell::RefCell::new(Vec::new());
        let warn = |sentence| said.borrow_mut().push(sentence);
        let telling = Target {
            warn: &warn,
            ..Target::from(&to)
        };
        import(telling, &Source::Ward(&from), false, &mut |_, _| {}).unwrap();
        let there = open(&to).fetch(b"k", b"").unwrap().unwrap();
        assert_eq!(there.attributes(), &others);
        assert!(
            said.borrow().iter().any(|s| s.contains("its attributes")),
            "{said:?}"
        );
    }
}
