//! Documents: named blobs of Keyring Ward's own, which live beside the keys.
//!
//! Owns the bounds of name and content. The content may be secret, so it must never leave secret memory but sealed.

use super::extensions::Extensions;
use crate::error::{Error, Kind, Result};
use crate::secret::SecretBytes;

/// Longest name of a document in bytes.
pub const MAX_DOCUMENT_NAME: usize = 64;
/// Longest content of a document in bytes.
pub const MAX_DOCUMENT: usize = 65_536;

/// A document. No `Debug`: it may hold a secret.
pub struct Document {
    name: String,
    content: SecretBytes,
    extensions: Extensions,
}

impl Document {
    /// A document; one without content removes the one that has its name.
    ///
    /// # Errors
    /// InvalidInput: the name is not 1 to 64 visible characters of ASCII, or the content is longer than 65,536 bytes.
    pub fn new(name: &[u8], content: SecretBytes, extensions: Extensions) -> Result<Document> {
        let bad = |why: String| {
            Error::new(Kind::InvalidInput, "keep the document", why).hint("Nothing was changed.")
        };
        let visible = name.iter().all(u8::is_ascii_graphic);
        let name = std::str::from_utf8(name).unwrap_or_default();
        if !visible || !(1..=MAX_DOCUMENT_NAME).contains(&name.len()) {
            return Err(bad(
                "its name is not 1 to 64 visible characters of ASCII".into()
            ));
        }
        if content.len() > MAX_DOCUMENT {
            return Err(bad(format!(
                "'{name}' has {} bytes; the limit is {MAX_DOCUMENT}",
                content.len()
            )));
        }
        Ok(Document {
            name: name.into(),
            content,
            extensions,
        })
    }

    /// What it is found by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What its record says beside that.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// It has no content: it removes the one that has its name.
    pub fn is_removal(&self) -> bool {
        self.content.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretPool;

    #[test]
    fn names_and_contents_have_bounds() {
        let pool = SecretPool::new();
        let new = |name: &[u8], length| {
            Document::new(name, pool.zeroed(length).unwrap(), Extensions::default())
        };
        assert!(new(&[b'n'; 64], MAX_DOCUMENT).is_ok() && new(b"a", 0).unwrap().is_removal());
        for name in [
            &b""[..],
            &[b'n'; 65],
            b"a b",
            b"a\n",
            "é".as_bytes(),
            b"\xff",
        ] {
            let e = new(name, 1).map(drop).unwrap_err();
            assert_eq!(e.kind(), Kind::InvalidInput, "{name:?}");
        }
        let e = new(b"a", MAX_DOCUMENT + 1).map(drop).unwrap_err();
        assert!(e.to_string().contains("'a' has 65537 bytes"), "{e}");
    }
}
