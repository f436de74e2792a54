//! The mechanism `data-key+aes-256-gcm` (ADR 8): a service makes a data key, or wraps one that is made here; it seals
//! the part of the DEK on this machine; its copy under the service's key stands in the stanza.
//!
//! Owns the stanza of every provider that wraps so, and its checks. It must never send the part anywhere, never keep a
//! data key beyond the call, and never ask the service for what the stanza itself shows to be another's.

use super::{Budget, Kek, Unwrapped, local};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY, LOCAL_BLOB, WrapKeys, unwrap_local, wrap_local};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding};

/// The mechanism's name in stanzas.
pub(super) const MECHANISM: &str = "data-key+aes-256-gcm";
/// Longest copy of a data key that fits into a stanza, in bytes. AWS's may have 6,144 (KMS API Reference, Decrypt:
/// CiphertextBlob), those of others are shorter.
pub(super) const MAX_CIPHERTEXT: usize = 6144;

/// A new data key.
pub(super) struct DataKey {
    /// Its 32 bytes.
    pub(super) plaintext: SecretBytes,
    /// The same under the service's key: 1 to [`MAX_CIPHERTEXT`] bytes.
    pub(super) ciphertext: Vec<u8>,
    /// The key as the service names it.
    pub(super) key_ref: String,
}

/// What a service has to do. Retries and deadlines are not its business.
pub(super) trait DataKeys {
    /// The provider's name in stanzas; the keys are derived with it.
    fn provider(&self) -> &'static str;

    /// What the stanza says beside the data key; it is authenticated with it.
    fn params(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The same, where it says something of the data key that was made.
    fn params_of(&self, _: &DataKey) -> Vec<u8> {
        self.params()
    }

    /// A new data key for the file.
    fn new_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<DataKey>;

    /// Refuses, without asking anybody, a stanza that does not fit the configuration.
    fn check(&self, stanza: &Stanza) -> Result<()>;

    /// The data key back, from its copy in `stanza`.
    fn open_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        ciphertext: &[u8],
        deadline: Deadline,
    ) -> Result<SecretBytes>;
}

/// A service that is a KEK by its data keys alone. What is not described here is as [`Kek`] says.
pub(super) trait KeyService: DataKeys + Send + Sync {
    /// [`Kek::describe`].
    fn describe(&self) -> String;

    /// [`Kek::has_generator`].
    fn has_generator(&self) -> bool {
        false
    }

    /// [`Kek::random`].
    fn random(&self, _: &SecretPool, _length: usize, _: Deadline) -> Result<SecretBytes> {
        Err(super::no_generator(&self.describe()))
    }

    /// [`Kek::take_warnings`].
    fn take_warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<T: KeyService> Kek for T {
    fn describe(&self) -> String {
        KeyService::describe(self)
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        wrap(self, pool, file_id, part, deadline)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == self.provider()
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        unwrap(self, pool, file_id, stanza, budget.deadline())
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        // What the first write will need, without a trace: the data key is thrown away.
        let part = Part::whole(&[0; KEY]);
        wrap(self, pool, &[0; FILE_ID], &part, deadline).map(drop)
    }

    fn has_generator(&self) -> bool {
        KeyService::has_generator(self)
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        KeyService::random(self, pool, length, deadline)
    }

    fn take_warnings(&self) -> Vec<String> {
        KeyService::take_warnings(self)
    }
}

/// Wraps a part under a new data key.
pub(super) fn wrap(
    service: &dyn DataKeys,
    pool: &SecretPool,
    file_id: &[u8; FILE_ID],
    part: &Part<'_>,
    deadline: Deadline,
) -> Result<Stanza> {
    let key = service.new_data_key(pool, file_id, deadline)?;
    if !(1..=MAX_CIPHERTEXT).contains(&key.ciphertext.len()) {
        let why = "a provider took a wrapped data key of an impossible length";
        return Err(Error::new(Kind::Internal, "wrap the DEK", why));
    }
    let keys = WrapKeys::derive(pool, &key.plaintext, b"", service.provider())?;
    let (names, params) = ((service.provider(), MECHANISM), service.params_of(&key));
    let mut stanza = Stanza::begin(names, key.key_ref, part.holder, params);
    stanza.commitment = keys.commitment();
    stanza.blob = wrap_local(&keys, &stanza.associated_data(file_id), part)?;
    stanza.blob.extend_from_slice(&key.ciphertext);
    Ok(stanza)
}

/// Unwraps what [`wrap`] wrapped, for a stanza of the service's provider.
pub(super) fn unwrap(
    service: &dyn DataKeys,
    pool: &SecretPool,
    file_id: &[u8; FILE_ID],
    stanza: &Stanza,
    deadline: Deadline,
) -> Result<Unwrapped> {
    if stanza.provider != service.provider() {
        return Ok(Unwrapped::NotMine);
    }
    if stanza.mechanism != MECHANISM {
        return Err(local::unknown_mechanism(stanza));
    }
    service.check(stanza)?;
    let Some((wrapped, ciphertext)) = stanza.blob.split_at_checked(LOCAL_BLOB) else {
        return Ok(Unwrapped::WrongKey);
    };
    if !(1..=MAX_CIPHERTEXT).contains(&ciphertext.len()) {
        return Ok(Unwrapped::WrongKey);
    }
    let key = service.open_data_key(pool, file_id, stanza, ciphertext, deadline)?;
    let keys = WrapKeys::derive(pool, &key, b"", service.provider())?;
    let aad = stanza.associated_data(file_id);
    match unwrap_local(pool, &keys, &aad, &stanza.commitment, wrapped)? {
        Some(part) => Ok(Unwrapped::Opened(part)),
        None => Err(Error::new(
            Kind::Tampered,
            "open the keyring file",
            "the service gave the data key, but the DEK's wrap was changed",
        )
        .hint("Restore the file from a backup. Nothing was changed.")),
    }
}

/// A data key as JSON has it, in secret memory.
pub(super) fn to_base64(pool: &SecretPool, key: &[u8]) -> Result<SecretBytes> {
    encode(pool, &BASE64, key)
}

/// The same in the alphabet of URLs, without padding (RFC 7515, section 2).
pub(super) fn to_base64url(pool: &SecretPool, key: &[u8]) -> Result<SecretBytes> {
    encode(pool, &BASE64URL_NOPAD, key)
}

fn encode(pool: &SecretPool, encoding: &Encoding, key: &[u8]) -> Result<SecretBytes> {
    let mut text = pool.zeroed(encoding.encode_len(key.len()))?;
    encoding.encode_mut(key, &mut text);
    wipe_stack();
    Ok(text)
}

/// What a text of JSON stands for, straight into secret memory; `None`: it is no base64. The answer that the text is in is
/// wiped when it is freed, as all memory is.
pub(super) fn from_base64(pool: &SecretPool, text: &str) -> Result<Option<SecretBytes>> {
    decode(pool, &BASE64, text)
}

/// The same in the alphabet of URLs, without padding.
pub(super) fn from_base64url(pool: &SecretPool, text: &str) -> Result<Option<SecretBytes>> {
    decode(pool, &BASE64URL_NOPAD, text)
}

fn decode(pool: &SecretPool, encoding: &Encoding, text: &str) -> Result<Option<SecretBytes>> {
    let text = text.as_bytes();
    let Ok(room) = encoding.decode_len(text.len()) else {
        return Ok(None);
    };
    let mut decoded = pool.zeroed(room)?;
    let result = encoding.decode_mut(text, &mut decoded);
    wipe_stack();
    match result {
        Ok(length) => pool.copy(&decoded[..length]).map(Some),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    /// A service whose data key is 0, 1, … 31 and whose copy of it is the same backwards.
    #[derive(Default)]
    struct Toy {
        asked: Cell<u32>,
    }

    fn key() -> Vec<u8> {
        (0..KEY as u8).collect()
    }

    impl DataKeys for Toy {
        fn provider(&self) -> &'static str {
            "aws_kms"
        }
        fn params(&self) -> Vec<u8> {
            vec![1, 2]
        }
        fn new_data_key(
            &self,
            pool: &SecretPool,
            _: &[u8; FILE_ID],
            _: Deadline,
        ) -> Result<DataKey> {
            Ok(DataKey {
                plaintext: pool.copy(&key())?,
                ciphertext: key().into_iter().rev().collect(),
                key_ref: "k".into(),
            })
        }
        fn check(&self, stanza: &Stanza) -> Result<()> {
            match stanza.key_ref.as_str() {
                "k" => Ok(()),
                _ => Err(Error::new(Kind::WrongKek, "x", "another key")),
            }
        }
        fn open_data_key(
            &self,
            pool: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Stanza,
            ciphertext: &[u8],
            _: Deadline,
        ) -> Result<SecretBytes> {
            self.asked.set(self.asked.get() + 1);
            let key: Vec<u8> = ciphertext.iter().rev().copied().collect();
            pool.copy(&key)
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[test]
    fn the_bytes_on_disk_are_those_of_the_format() {
        let pool = SecretPool::new();
        let stanza = wrap(
            &Toy::default(),
            &pool,
            &[5; FILE_ID],
            &Part::whole(&[9; KEY]),
            soon(),
        )
        .unwrap();
        // HKDF-SHA256 of 00 01 … 1f without salt, info "keyring-ward/1 aws_kms", bytes 32 to 63: by another program.
        assert_eq!(
            crate::text::hex(&stanza.commitment),
            "377e2018e112f824eb09861e57f1bdc834af5827ff4302723d8330ca47efb45b"
        );
        assert_eq!(stanza.blob.len(), LOCAL_BLOB + KEY);
        assert!(stanza.blob.ends_with(&[2, 1, 0]));
        assert_eq!(
            (stanza.mechanism.as_str(), &stanza.holder),
            (MECHANISM, &None)
        );
        let toy = Toy::default();
        let opened = unwrap(&toy, &pool, &[5; FILE_ID], &stanza, soon()).unwrap();
        assert!(matches!(opened, Unwrapped::Opened(part) if *part == [9; KEY]));
        let e = unwrap(&toy, &pool, &[6; FILE_ID], &stanza, soon());
        assert_eq!(e.err().unwrap().kind(), Kind::Tampered, "another file");
    }

    #[test]
    fn what_the_stanza_shows_is_refused_before_anybody_is_asked() {
        let pool = SecretPool::new();
        let toy = Toy::default();
        let good = wrap(&toy, &pool, &[5; FILE_ID], &Part::whole(&[9; KEY]), soon()).unwrap();
        let of = |change: fn(&mut Stanza)| {
            let mut stanza = good.clone();
            change(&mut stanza);
            unwrap(&toy, &pool, &[5; FILE_ID], &stanza, soon())
        };
        assert!(matches!(
            of(|s| s.provider = "vault".into()),
            Ok(Unwrapped::NotMine)
        ));
        assert!(matches!(
            of(|s| s.blob.truncate(LOCAL_BLOB)),
            Ok(Unwrapped::WrongKey)
        ));
        assert!(matches!(
            of(|s| s.blob.resize(LOCAL_BLOB + MAX_CIPHERTEXT + 1, 0)),
            Ok(Unwrapped::WrongKey)
        ));
        let e = of(|s| s.mechanism = "rot13\n".into()).err().unwrap();
        assert_eq!(e.kind(), Kind::UnsupportedVersion);
        assert!(e.to_string().contains("'rot13 '"), "{e}");
        let e = of(|s| s.key_ref = "l".into()).err().unwrap();
        assert_eq!(e.kind(), Kind::WrongKek);
        assert_eq!(toy.asked.get(), 0);
        // What only the authentication shows costs a question.
        let e = of(|s| s.params = vec![1, 3]).err().unwrap();
        assert_eq!((e.kind(), toy.asked.get()), (Kind::Tampered, 1));
    }
}
