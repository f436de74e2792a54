//! Encrypted binary logs and relay logs.
//!
//! Owns the layout of their header. The proof of a key is the first four bytes of the log itself.

use super::crypt;
use super::need::{Fit, Need, Sealed, Seen, Unread};
use super::source::Source;
use crate::error::Result as Outcome;
use crate::secret::{SecretPool, wipe_stack};
use sha2::{Digest, Sha512};
use zeroize::Zeroize;

/// How an encrypted log begins.
pub const MAGIC: [u8; 4] = [0xFD, b'b', b'i', b'n'];
/// How any other one begins, and what is inside an encrypted one.
pub(super) const CLEAR: [u8; 4] = [0xFE, b'b', b'i', b'n'];
const HEADER: usize = 512;
const VERSION: u8 = 1;
const KEY_NAME: u8 = 1;
const PASSWORD: u8 = 2;
const IV: u8 = 3;
/// How the names of the server's keys for logs begin; the server's uuid follows.
pub const NAMES: &str = "MySQLReplicationKey_";

/// What is under the key of a log.
pub struct Log {
    password: [u8; 32],
    iv: [u8; 16],
    /// The first bytes behind the header, encrypted; `None`: there are none yet.
    first: Option<[u8; 4]>,
}

/// What a file needs that begins with [`MAGIC`] or not.
///
/// # Errors
/// See [`Unread`].
pub fn look(source: &(impl Source + ?Sized)) -> Result<Seen, Unread> {
    let mut bytes = [0; HEADER + 4];
    let filled = source.read_at(0, &mut bytes)?;
    if filled < MAGIC.len() || bytes[..4] != MAGIC {
        return Ok(Seen::Plain);
    }
    if filled < HEADER {
        return Err(Unread::Short);
    }
    if bytes[4] != VERSION {
        return Err(Unread::Unknown("it is a log of a newer version of MySQL"));
    }
    let fields = fields(&bytes[5..HEADER]);
    let (name, password, iv) = fields.ok_or(Unread::Damaged("its header is not readable"))?;
    let first = (filled == bytes.len()).then(|| {
        [
            bytes[HEADER],
            bytes[HEADER + 1],
            bytes[HEADER + 2],
            bytes[HEADER + 3],
        ]
    });
    let sealed = Box::new(Log {
        password,
        iv,
        first,
    });
    // The header has no checksum, but is written at once and has fields of fixed lengths.
    Ok(Seen::Needs(Need {
        name,
        sealed,
        sound: true,
    }))
}

/// The key's name, the password under it, and the iv.
fn fields(mut rest: &[u8]) -> Option<(String, [u8; 32], [u8; 16])> {
    let (mut name, mut password, mut iv) = (None, None, None);
    while let Some((kind, after)) = rest.split_first() {
        rest = match *kind {
            KEY_NAME if name.is_none() => {
                let (length, after) = after.split_first()?;
                let (text, after) = after.split_at_checked(usize::from(*length))?;
                let visible = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
                name = visible.then(|| String::from_utf8_lossy(text).into_owned());
                name.as_ref()?;
                after
            }
            PASSWORD if password.is_none() => {
                let (bytes, after) = after.split_first_chunk()?;
                password = Some(*bytes);
                after
            }
            IV if iv.is_none() => {
                let (bytes, after) = after.split_first_chunk()?;
                iv = Some(*bytes);
                after
            }
            0 => break,
            _ => return None,
        };
    }
    Some((name?, password?, iv?))
}

impl Sealed for Log {
    fn fit(&self, key: &[u8], pool: &SecretPool) -> Outcome<Fit> {
        let Some(mut first) = self.first else {
            return Ok(Fit::Unproven);
        };
        let mut password = pool.copy(&self.password)?;
        if crypt::open_cbc(key, &self.iv, &mut password).is_none() {
            return Ok(Fit::Wrong);
        }
        let mut digest = Sha512::digest(&*password);
        let opened = digest
            .first_chunk()
            .and_then(|both| crypt::open_ctr(both, &mut first));
        digest.zeroize();
        wipe_stack();
        Ok(Fit::of(opened.is_some() && first == CLEAR))
    }
}

/// The uuid in the name of a log's key, and its number.
pub fn uuid_and_number(name: &str) -> Option<(&str, u64)> {
    let (uuid, number) = name.strip_prefix(NAMES)?.split_once('_')?;
    Some((uuid, number.parse().ok()?))
}
