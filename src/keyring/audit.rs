//! The key of the audit log's signatures, which lies in the keyring as a document.
//!
//! Owns when it is made: at its first use. It must never be given to anybody but who signs the log.

use super::Keyring;
use crate::audit::chain::{DOCUMENT, Signer};
use crate::caller::Caller;
use crate::error::{Error, Kind, Result};
use crate::store::Mode;

/// The document that says that a server served without being able to write its log.
const UNLOGGED: &str = "audit.unlogged";

impl Keyring {
    /// Whether a server served without being able to write its log, and nobody has told that yet.
    pub fn is_unlogged(&self) -> bool {
        self.document(UNLOGGED).is_some()
    }

    /// Keeps whether it is so: what was read then is known to nobody, and the log must not say otherwise.
    ///
    /// # Errors
    /// As writing a document.
    pub fn set_unlogged(&self, is_so: bool) -> Result<()> {
        match is_so == self.is_unlogged() {
            true => Ok(()),
            false => {
                let content: &[u8] = if is_so { &[1] } else { &[] };
                self.by(&Caller::Server(None))
                    .put_document(UNLOGGED, content)
            }
        }
    }

    /// The key, which is made if there is none.
    ///
    /// # Errors
    /// NotFound: there is none, and nothing may be written. As [`Keyring::document`] and writing one.
    pub fn audit_signer(&self) -> Result<Signer> {
        if let Some(signer) = self.known_audit_signer()? {
            return Ok(signer);
        }
        if self.mode() != Mode::ReadWrite {
            let why = "the keyring is opened read-only and has no key for it";
            return Err(Error::new(Kind::Config, "begin the audit log", why)
                .hint("Let a server that writes begin it, or set read_only to false."));
        }
        let content = Signer::generate(self.pool())?;
        self.by(&Caller::Server(None))
            .put_document(DOCUMENT, &content)?;
        self.audit_signer()
    }

    /// The key, if there is one.
    ///
    /// # Errors
    /// UnsupportedVersion, Internal: it is none that this program knows.
    pub fn known_audit_signer(&self) -> Result<Option<Signer>> {
        let document = self.document(DOCUMENT);
        document.map(|d| Signer::read(d.content())).transpose()
    }
}
