//! mysqld-auto.cnf: variables that were persisted. Sensitive ones are encrypted.
//!
//! Owns its members. What is inside is decrypted only to see that it is what the server wrote, and wiped.

use super::crypt;
use super::need::{Fit, Need, Sealed, Seen, Unread};
use super::source::Source;
use crate::error::Result as Outcome;
use crate::json;
use crate::secret::{SecretPool, wipe_stack};
use crate::text::from_hex;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The file's name, in the data directory.
pub const FILE: &str = "mysqld-auto.cnf";
/// The name of its key.
pub const KEY: &str = "persisted_variables_key";
/// A server's has a few kilobytes.
const MOST: usize = 4 << 20;

/// What is under the key.
pub struct Persisted {
    file_key: [u8; crypt::KEY],
    file_key_iv: [u8; crypt::BLOCK],
    blob: Vec<u8>,
    blob_iv: [u8; crypt::BLOCK],
}

/// What the file needs.
///
/// # Errors
/// See [`Unread`].
pub fn look(source: &(impl Source + ?Sized)) -> Result<Seen, Unread> {
    let mut text = Vec::new();
    let mut piece = [0; 16_384];
    loop {
        match source.read_at(text.len() as u64, &mut piece)? {
            0 => break,
            n => text.extend_from_slice(&piece[..n]),
        }
        if text.len() > MOST {
            return Err(Unread::Unknown(
                "it is larger than any file of persisted variables",
            ));
        }
    }
    let whole = json::parse(&text).map_err(|_| Unread::Damaged("it is not JSON, or not whole"))?;
    let Some(sealed) = whole.get("mysql_sensitive_variables") else {
        return Ok(Seen::Plain);
    };
    let sealed = read(sealed).ok_or(Unread::Damaged(
        "the members of its sensitive variables are not readable",
    ))?;
    Ok(Seen::Needs(Need {
        name: KEY.into(),
        sealed: Box::new(sealed),
        sound: true,
    }))
}

fn read(members: &Value) -> Option<Persisted> {
    let hex = |name: &str| from_hex(members.get(name)?.as_str()?, MOST);
    let iv = |name: &str| hex(name)?.try_into().ok();
    let blob = hex("mysql_sensitive_variables_blob")?;
    let whole_blocks = !blob.is_empty() && blob.len().is_multiple_of(crypt::BLOCK);
    Some(Persisted {
        file_key: hex("file_key")?.try_into().ok()?,
        file_key_iv: iv("file_key_iv")?,
        blob: whole_blocks.then_some(blob)?,
        blob_iv: iv("mysql_sensitive_variables_iv")?,
    })
}

impl Persisted {
    /// The key opens the file's key, and that the variables.
    fn opens(&self, key: &[u8], pool: &SecretPool) -> Outcome<bool> {
        let mut file_key = pool.copy(&self.file_key)?;
        if crypt::open_cbc(key, &self.file_key_iv, &mut file_key).is_none() {
            return Ok(false);
        }
        let mut clear = pool.copy(&self.blob)?;
        if crypt::open_cbc(&file_key, &self.blob_iv, &mut clear).is_none() {
            return Ok(false);
        }
        let Some(length) = unpadded(&clear) else {
            return Ok(false);
        };
        Ok(serde_json::from_slice::<IgnoredAny>(&clear[..length]).is_ok())
    }
}

impl Sealed for Persisted {
    fn fit(&self, key: &[u8], pool: &SecretPool) -> Outcome<Fit> {
        let opens = self.opens(key, pool);
        wipe_stack();
        opens.map(Fit::of)
    }
}

/// The length without the padding of PKCS #7.
fn unpadded(clear: &[u8]) -> Option<usize> {
    let pad = usize::from(*clear.last()?);
    let length = clear.len().checked_sub(pad)?;
    let right = (1..=crypt::BLOCK).contains(&pad)
        && clear[length..].iter().all(|byte| usize::from(*byte) == pad);
    right.then_some(length)
}
