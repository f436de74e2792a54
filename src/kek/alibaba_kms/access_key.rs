//! An access key in a secret file: two lines, `access_key_id=…` and `access_key_secret=…`, in any order.
//!
//! Owns the form of the file. It must never show a value of it.

use super::credentials::Credentials;
use crate::error::{Error, Kind, Result};
use crate::secret::SecretPool;
use crate::secret_source::{self, SecretRef, Warnings};

const OP: &str = "read the access key";
const NAMES: [&str; 2] = ["access_key_id", "access_key_secret"];

/// Reads it.
///
/// # Errors
/// Those of a secret file. InvalidInput: it has another form.
pub(super) fn read(
    pool: &SecretPool,
    source: &SecretRef,
    warnings: &Warnings,
) -> Result<Credentials> {
    let mut told = Vec::new();
    let bytes = secret_source::read_warned(pool, OP, source, &mut told)?;
    warnings.add(told);
    let whose = source.to_string();
    let bad = |why: &str| {
        Error::new(Kind::InvalidInput, OP, format!("{whose} {why}"))
            .hint("Put two lines into it, access_key_id=… and access_key_secret=…, without quotes and blanks. It is not shown, and nothing was sent.")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("is not text"))?;
    if text.contains('\r') {
        return Err(bad("has Windows line ends"));
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut values = [None; 2];
    for (i, line) in text.split('\n').enumerate() {
        let number = i + 1;
        let Some((name, value)) = line.split_once('=') else {
            return Err(bad(&format!("has no NAME=VALUE in line {number}")));
        };
        let Some(at) = NAMES.iter().position(|known| *known == name) else {
            return Err(bad(&format!("has another name in line {number}")));
        };
        if values[at].replace(value).is_some() {
            return Err(bad(&format!("has {} twice", NAMES[at])));
        }
    }
    match values {
        [Some(id), Some(secret)] => Credentials::new(id, secret, None, &whose),
        [None, _] => Err(bad("has no access_key_id")),
        [_, None] => Err(bad("has no access_key_secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_source::Held;

    fn of(text: &[u8]) -> Result<Credentials> {
        let pool = SecretPool::new();
        let held = SecretRef::Held(Held::new(pool.copy(text)?));
        read(&pool, &held, &Warnings::default())
    }

    #[test]
    fn two_lines_and_nothing_else() {
        for good in [
            "access_key_id=LTAI5t\naccess_key_secret=HIDDEN+/==\n",
            "access_key_secret=HIDDEN+/==\naccess_key_id=LTAI5t",
        ] {
            let credentials = of(good.as_bytes()).unwrap();
            let parts = (
                credentials.access_key_id(),
                credentials.access_key_secret(),
                credentials.security_token(),
            );
            assert_eq!(parts, ("LTAI5t", "HIDDEN+/==", None));
            assert!(!format!("{credentials:?}").contains("HIDDEN"));
        }
        for (bad, words) in [
            (&b""[..], "no NAME=VALUE in line 1"),
            (b"HIDDEN", "no NAME=VALUE in line 1"),
            (b"access_key_id=LTAI5t", "no access_key_secret"),
            (b"access_key_secret=HIDDEN", "no access_key_id"),
            (b"access_key_id=a\naccess_key_secret=HIDDEN\n\n", "line 3"),
            (
                b"access_key_id=a\r\naccess_key_secret=HIDDEN\r\n",
                "Windows",
            ),
            (
                b"access_key_id=a\naccess_key_secret=HIDDEN\nHIDDEN=x",
                "another name in line 3",
            ),
            (
                b"access_key_id=a\naccess_key_id=HIDDEN",
                "access_key_id twice",
            ),
            (
                b"access_key_id =a\naccess_key_secret=HIDDEN",
                "another name in line 1",
            ),
            (b"access_key_id=\naccess_key_secret=HIDDEN", "is empty"),
            (b"access_key_id=a\naccess_key_secret=HID DEN", "a blank"),
            (
                b"access_key_id=a\naccess_key_secret=\"HIDDEN\xff",
                "is not text",
            ),
        ] {
            let e = of(bad).unwrap_err().to_string();
            assert!(e.contains(words) && !e.contains("HID"), "{words}: {e}");
        }
    }
}
