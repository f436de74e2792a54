//! The marker in the data directory: "there was a keyring, this one, at least this far".
//!
//! A missing keyring file is not an empty keyring when there was one (unmounted volume, wrong
//! path, older copy). The marker holds the file id and a lower bound of the last sequence number;
//! it is refreshed at open and rewrite, never on the write path. It holds no secret.

use crate::config::hex;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::sys::{self, Access};
use std::path::{Path, PathBuf};

/// The marker's name in the data directory.
pub const NAME: &str = "keyring_ward.marker";
const OP: &str = "read the keyring's marker";

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Which keyring file belongs to this data directory.
    pub file_id: [u8; FILE_ID],
    /// Its last sequence number is at least this.
    pub sequence: u64,
}

/// The marker's path in a data directory.
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// What to do about a marker that does not fit.
pub fn reset_hint(data_dir: &Path) -> String {
    format!(
        "Mount the volume or correct the path, or restore the keyring. Only if this data directory \
         really starts with another keyring (copied from another server, restored on purpose), run: \
         keyring-ward reset-marker --datadir '{}'",
        data_dir.display()
    )
}

/// Reads the marker of a data directory; `None` where there is none.
///
/// # Errors
/// It is there and can't be read.
pub fn read(data_dir: &Path) -> Result<Option<Marker>> {
    let path = path_in(data_dir);
    let fail = |e| Error::io(OP, format!("'{}'", path.display()), e);
    let mut file = match sys::open(&path, Access::Read) {
        Ok((file, _)) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let text = sys::read_bounded(&mut file, 4096).map_err(fail)?;
    let marker = std::str::from_utf8(&text)
        .ok()
        .and_then(parse)
        .ok_or_else(|| {
            Error::new(
                Kind::Tampered,
                OP,
                format!("'{}' is damaged", path.display()),
            )
            .hint(reset_hint(data_dir))
        })?;
    Ok(Some(marker))
}

fn parse(text: &str) -> Option<Marker> {
    let mut lines = text.lines();
    if lines.next()? != "keyring-ward marker 1" {
        return None;
    }
    let id = lines.next()?.strip_prefix("file_id ")?;
    let sequence = lines.next()?.strip_prefix("sequence ")?.parse().ok()?;
    let mut file_id = [0; FILE_ID];
    if id.len() != 2 * FILE_ID || !id.is_ascii() {
        return None;
    }
    for (i, byte) in file_id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&id[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(Marker { file_id, sequence })
}

/// Brings the marker up to date.
///
/// # Errors
/// The data directory can't be written.
pub fn refresh(data_dir: &Path, marker: &Marker) -> Result<()> {
    if read(data_dir).ok().flatten() == Some(*marker) {
        return Ok(());
    }
    write(data_dir, marker)
}

/// Writes the marker durably.
///
/// # Errors
/// The data directory can't be written.
pub fn write(data_dir: &Path, marker: &Marker) -> Result<()> {
    let path = path_in(data_dir);
    let text = format!(
        "keyring-ward marker 1\nfile_id {}\nsequence {}\n",
        hex(&marker.file_id),
        marker.sequence
    );
    sys::replace_file(&path, text.as_bytes()).map_err(|e| {
        Error::io(
            "write the keyring's marker",
            format!("'{}'", path.display()),
            e,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_missing_and_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let marker = Marker {
            file_id: [0xAB; 16],
            sequence: 77,
        };
        write(dir.path(), &marker).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(marker));
        let good = std::fs::read_to_string(path_in(dir.path())).unwrap();
        let id = "ab".repeat(16);
        for bad in [
            String::new(),
            good.replace(&id, &id[2..]),
            good.replace(&id, &format!("{id}ab")),
            // As long as an id, but not all ASCII.
            good.replace(&id, &format!("{}é", &id[2..])),
            good.replace("77", "x"),
        ] {
            assert_ne!(bad, good);
            std::fs::write(path_in(dir.path()), bad).unwrap();
            assert_eq!(read(dir.path()).unwrap_err().kind(), Kind::Tampered);
        }
        // One that can't be read is not one that is missing.
        std::fs::remove_file(path_in(dir.path())).unwrap();
        std::fs::create_dir(path_in(dir.path())).unwrap();
        assert_eq!(read(dir.path()).unwrap_err().kind(), Kind::Io);
    }
}
