//! `export`: the keys as component_keyring_file's JSON, for tools that know only that keyring, and for leaving us.
//!
//! What is known of a version of a logical key goes along as that format's `extension`, which it has for such things: MySQL's own
//! component takes any, and passes over it.
//!
//! The result is in clear text: it is made for the caller's eyes only (mode 0600), and never over a file that exists.

use super::Target;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::{INDEX, PAIR};
use crate::key::logical::VersionOf;
use crate::key::record::KeyRecord;
use crate::os::file::{self, Access};
use crate::os::signals;
use crate::os::undo::Undo;
use crate::secret::SecretPool;
use crate::text::hex;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// The member of an element's extension that is ours.
pub(super) const OURS: &str = "keyring_ward";

/// What an element says beside its fixed fields: of a version of a logical key, which one it is and what is known of that
/// key, and the secret of its blind index, sealed under the material that stands beside it.
fn extension(key: &KeyRecord) -> serde_json::Value {
    let Some(version) = key.version_bytes() else {
        return json!([]);
    };
    let id = VersionOf::head(version).map(|head| hex(&head.id));
    let index = key.said(INDEX).map(hex);
    json!([{ OURS: { "id": id, "version": hex(version), "index": index } }])
}

/// Writes all keys to the new file `to`; gives their number.
///
/// # Errors
/// AlreadyExists: there is such a file. InvalidInput: a name is not text, which JSON can't hold. All errors of
/// opening a keyring.
pub fn component_json<'a>(target: impl Into<Target<'a>>, to: &Path) -> Result<usize> {
    const OP: &str = "export the keys";
    let target = target.into();
    let keyring = super::open_to_look(&target, &SecretPool::new())?;
    let mut keys = keyring.list_with_material()?;
    keys.retain(|key| {
        let exported = key.said(PAIR).is_none();
        if !exported {
            (target.warn)(format!(
                "{} is left out: it is the private half of a key pair, which gets into no file in clear text. keyring-ward import \
                 brings it into another keyring of Keyring Ward.",
                key.id
            ));
        }
        exported
    });
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    // With the newest that is known of its logical key.
    let keys = keys.into_iter().map(|key| keyring.complete(key));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let mut text = String::from("{\"version\":\"1.0\",\"elements\":[");
    for (i, key) in keys.iter().enumerate() {
        let quoted = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(serde_json::Value::from(text).to_string()),
            Err(_) => Err(Error::new(
                Kind::InvalidInput,
                OP,
                format!("{} is not text in UTF-8, which JSON can't hold", key.id),
            )
            .hint("Use mysql_migrate_keyring, or remove that key first.")),
        };
        let comma = if i == 0 { "" } else { "," };
        text.push_str(&format!(
            "{comma}{{\"user\":{},\"data_id\":{},\"data_type\":{},\"data\":\"{}\",\"extension\":{}}}",
            quoted(key.id.owner())?,
            quoted(key.id.name())?,
            quoted(key.key_type.as_bytes())?,
            hex(key.material()).to_ascii_uppercase(),
            extension(key)
        ));
    }
    text.push_str("]}");
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::new(
            Kind::AlreadyExists,
            OP,
            format!("'{}' exists already", to.display()),
        )
        .hint("It is not touched. Name another file."),
        _ => Error::io(OP, format!("'{}'", to.display()), e),
    };
    signals::check(OP)?;
    let mut undo = Undo::new();
    let (mut file, _) = file::open(to, Access::CreateNew).map_err(fail)?;
    undo.file(to, &file);
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::path::absolute(to))
        .and_then(|path| file::sync_folder(path.parent().unwrap_or(Path::new("/"))))
        .map_err(fail)?;
    undo.keep();
    Ok(keys.len())
}
