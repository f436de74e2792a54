//! A data directory that was used before it had this keyring: what is encrypted in it is under another one's keys.

use super::Look;
use crate::admin::inspect::list;
use crate::config::Config;
use crate::key::of_server::INNODB;
use crate::os::file::{self, Access};
use crate::os::running::is_initialised;
use crate::store::marker;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

const WHAT: &str = "keys of before";
/// More tablespaces than this are not looked at.
const MOST: usize = 100_000;

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let Some(dir) = look.setup.data_dir.filter(|dir| is_initialised(dir)) else {
        return;
    };
    if marker::is_there(dir) {
        return;
    }
    // What does not open has been said.
    let Some(keys) = server_keys(config) else {
        return;
    };
    let from = match stock_file(look) {
        Some((file, configured)) => format!("'{}' ({})", file.display(), configured.display()),
        None => "FILE".into(),
    };
    let bring = format!(
        "bring its keys first: keyring-ward import --from {from} (docs/guide/coming-from.md)"
    );
    if let Some((table, key)) = lacking(dir, &keys) {
        return look.fail(
            WHAT,
            format!(
                "'{}' is encrypted under '{key}', which this keyring does not have: the data directory was used with another one",
                table.display()
            ),
            format!("Before the server starts with this keyring, {bring}"),
        );
    }
    let begin = format!("{INNODB}{}", uuid(dir).unwrap_or_default());
    if !keys.iter().any(|key| key.starts_with(&begin)) {
        look.warn(
            WHAT,
            "this data directory was used without this keyring",
            format!("If anything in it is encrypted (redo log, binary log), {bring}"),
        );
    }
}

/// A small file's text. The account may have put anything in its place.
fn text(path: &Path) -> Option<String> {
    const MOST: u64 = 65_536;
    let (mut file, _) = file::open(path, Access::Read).ok()?;
    let bytes = file::read_bounded(&mut file, MOST).ok()?;
    String::from_utf8(bytes).ok()
}

/// The server's name for itself, which its keys have in theirs.
fn uuid(data_dir: &Path) -> Option<String> {
    let text = text(&data_dir.join("auto.cnf"))?;
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut named = lines.filter(|(name, _)| matches!(name.trim(), "server-uuid" | "server_uuid"));
    named.next().map(|(_, uuid)| uuid.trim().to_string())
}

/// Names of the server's own keys in the keyring; `None`: it does not open.
fn server_keys(config: &Config) -> Option<HashSet<String>> {
    if config.token_storage().is_none() && config.path.symlink_metadata().is_err() {
        return Some(HashSet::new());
    }
    let (_, keys) = list(config).ok()?;
    let own = keys.into_iter().filter(|key| key.owner.is_empty());
    Some(own.map(|key| key.name).collect())
}

/// A tablespace whose key is not among these, and that key.
fn lacking(data_dir: &Path, keys: &HashSet<String>) -> Option<(PathBuf, String)> {
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let top = files(data_dir);
    let below = top.iter().filter(|p| p.is_dir()).flat_map(|p| files(p));
    let all = top.iter().cloned().chain(below).take(MOST);
    let mut tables = all.filter(|p| p.extension().is_some_and(|x| x == "ibd"));
    tables.find_map(|path| {
        let key = key_of(&path).filter(|key| !keys.contains(key))?;
        Some((path, key))
    })
}

/// The master key that a tablespace is under, as its first page says: the flag, and somewhere behind the list of extents
/// (whose length is the page size's) three letters, the key's number and the server's UUID.
fn key_of(tablespace: &Path) -> Option<String> {
    const LARGEST_PAGE: usize = 65_536;
    const FLAGS: usize = 54;
    const ENCRYPTION: u32 = 1 << 13;
    const UUID: usize = 36;
    let mut page = Vec::with_capacity(LARGEST_PAGE);
    let (file, _) = file::open(tablespace, Access::Read).ok()?;
    file.take(LARGEST_PAGE as u64).read_to_end(&mut page).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?));
    if number(FLAGS)? & ENCRYPTION == 0 {
        return None;
    }
    let is_uuid = |text: &[u8]| {
        let of = |(i, b): (usize, &u8)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        };
        text.iter().enumerate().all(of)
    };
    page.windows(3 + 4 + UUID)
        .enumerate()
        .find_map(|(at, info)| {
            let uuid = &info[7..];
            let found = matches!(&info[..3], b"lCB" | b"lCC") && is_uuid(uuid);
            let uuid = found.then(|| String::from_utf8_lossy(uuid))?;
            Some(format!("{INNODB}{uuid}-{}", number(at + 3)?))
        })
}

/// The stock component's file, and the configuration that names it.
fn stock_file(look: &Look<'_>) -> Option<(PathBuf, PathBuf)> {
    let folders = [
        look.plugin_dir(),
        look.setup.data_dir.map(Path::to_path_buf),
    ];
    folders.into_iter().flatten().find_map(|folder| {
        let configured = folder.join("component_keyring_file.cnf");
        let value: serde_json::Value = serde_json::from_str(&text(&configured)?).ok()?;
        Some((value.get("path")?.as_str()?.into(), configured))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01f53b93-e903-11f1-ac18-0242ac110003";

    #[test]
    fn what_the_data_directory_tells() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(uuid(dir.path()), None);
        let text = format!("[auto]\nserver-uuid={UUID}\n");
        std::fs::write(dir.path().join("auto.cnf"), text).unwrap();
        assert_eq!(uuid(dir.path()).unwrap(), UUID);
        std::fs::create_dir(dir.path().join("d")).unwrap();
        // As MySQL 9.7.4 has written them.
        let write = |name: &str, flags: u32| {
            let mut page = vec![0; 16_384];
            page[54..58].copy_from_slice(&flags.to_be_bytes());
            page[10_390..10_393].copy_from_slice(b"lCC");
            page[10_396] = 7;
            page[10_397..10_433].copy_from_slice(UUID.as_bytes());
            std::fs::write(dir.path().join(name), page).unwrap();
        };
        write("mysql.ibd", 0x4800);
        write("d/plain.ibd", 0x4021);
        write("d/no-table", 0x6021);
        std::fs::write(dir.path().join("d/short.ibd"), "x").unwrap();
        assert_eq!(lacking(dir.path(), &HashSet::new()), None);
        write("d/t.ibd", 0x6021);
        let key = format!("INNODBKey-{UUID}-7");
        let (table, name) = lacking(dir.path(), &HashSet::new()).unwrap();
        assert_eq!((table, &name), (dir.path().join("d/t.ibd"), &key));
        assert_eq!(lacking(dir.path(), &HashSet::from([key])), None);
    }
}
