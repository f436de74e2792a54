//! `status`, `list` and `verify`: a look at a keyring file without a lock, beside a running server.

use crate::config::Config;
use crate::error::Result;
use crate::keyring::Keyring;
use crate::secret::SecretPool;
use crate::status::Status;

/// One key, without its material.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyLine {
    /// The name, with odd bytes escaped.
    pub name: String,
    /// The owner; empty for the server's own keys.
    pub owner: String,
    /// The type.
    pub key_type: String,
    /// Length of the material in bytes.
    pub length: usize,
    /// When it was made, in UTC (RFC 3339).
    pub created: String,
    /// What it is, for MySQL's own names.
    pub meaning: String,
}

/// What MySQL uses this key for; empty for keys that are not its own. A user may name a key as he likes: only the
/// server's keys have no owner.
pub fn meaning(name: &[u8], owner: &[u8]) -> String {
    if !owner.is_empty() {
        return String::new();
    }
    let name = &*String::from_utf8_lossy(name);
    let parts = |prefix: &str, between: char| {
        // A server's UUID has 36 characters.
        let rest = name.strip_prefix(prefix)?;
        let (uuid, rest) = rest.split_at_checked(36)?;
        Some((
            uuid.to_string(),
            rest.strip_prefix(between).unwrap_or("").to_string(),
        ))
    };
    if let Some((uuid, number)) = parts("INNODBKey-", '-') {
        return format!("InnoDB master key {number} of server {uuid}");
    }
    if let Some((uuid, rest)) = parts("MySQLReplicationKey_", '_') {
        return match rest.as_str() {
            "" => format!("binary log: which key is current, of server {uuid}"),
            number if number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("binary log key {number} of server {uuid}")
            }
            state => format!("binary log key rotation ({state}) of server {uuid}"),
        };
    }
    if name.starts_with("persisted_variables") {
        return "sensitive persisted variables".into();
    }
    String::new()
}

/// A keyring file as it is now.
#[derive(Debug)]
pub struct Report {
    /// All that it tells of itself.
    pub status: Status,
    /// Bytes of an incomplete record at the file's end: an interrupted write, or a copy that was cut off.
    pub torn: u64,
    /// How many keys there are.
    pub keys: usize,
    /// By which KEK it was opened, for people.
    pub opened_by: String,
}

/// Reads and authenticates the whole file. This is what `verify` means.
///
/// # Errors
/// All errors of opening a keyring.
pub fn inspect(config: &Config) -> Result<Report> {
    settled(config).map(|(report, _)| report)
}

/// The same with the keys, sorted by name and owner.
///
/// # Errors
/// All errors of opening a keyring.
pub fn list(config: &Config) -> Result<(Report, Vec<KeyLine>)> {
    let (report, keyring) = settled(config)?;
    let mut keys: Vec<KeyLine> = keyring
        .list()
        .iter()
        .map(|key| KeyLine {
            created: crate::text::utc(key.created_at),
            meaning: meaning(key.id.name(), key.id.owner()),
            name: crate::text::name(key.id.name()),
            owner: crate::text::name(key.id.owner()),
            key_type: key.key_type.to_string(),
            length: key.length(),
        })
        .collect();
    keys.sort_unstable();
    Ok((report, keys))
}

/// The same with the keyring itself.
///
/// # Errors
/// All errors of opening a keyring.
pub(super) fn opened(config: &Config) -> Result<(Report, Keyring)> {
    settled(config)
}

fn settled(config: &Config) -> Result<(Report, Keyring)> {
    /// A server that writes all the time shows another end each time.
    const LOOKS: usize = 5;
    let (mut report, mut keyring) = look(config)?;
    for _ in 1..LOOKS {
        if report.torn == 0 {
            break;
        }
        // Beside a running server half of a record may just be on its way: an end that is cut off stays as it is.
        let (again, reopened) = look(config)?;
        let same = (again.torn, again.keys) == (report.torn, report.keys);
        (report, keyring) = (again, reopened);
        if same {
            break;
        }
    }
    Ok((report, keyring))
}

fn look(config: &Config) -> Result<(Report, Keyring)> {
    super::check_folder(config)?;
    let keyring = Keyring::open(config, &super::environment(true), &SecretPool::new())?;
    let status = Status::of_keyring(&keyring);
    let open = status.open.as_ref();
    let report = Report {
        torn: open.map_or(0, |open| open.store.torn),
        keys: open.map_or(0, |open| open.keys),
        opened_by: open.map_or(String::new(), |open| open.store.opened_by.clone()),
        status,
    };
    Ok((report, keyring))
}
