//! How a token wraps the DEK: choosing the mechanism, and the four ways (docs/reference/format.md).
//!
//! AES-GCM takes the stanza as associated data. Key wrap has none: there the token wraps a key of its own,
//! made for this one stanza, which seals the DEK here, with the stanza as associated data and a
//! commitment. AES-CBC is authenticated by a second key before anything is decrypted. It must never
//! return what was not authenticated, and never tell one failure of an unwrap from another.

use super::PROVIDER;
use super::errors;
use super::token::{Key, LoggedIn, find_mac_key, find_rsa, mechanism_names, require_key};
use super::{Mechanism, Pkcs11Config};
use crate::envelope::{KEY, LOCAL_BLOB, NONCE, TAG, WrapKeys, equal, unwrap_local, wrap_local};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool, fill_random};
use cryptoki::error::{Error as Ck, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism as CkMechanism, MechanismInfo, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::types::Ulong;
use zeroize::Zeroize;

const WRAP: &str = "wrap the DEK on the token";
const UNWRAP: &str = "unwrap the DEK on the token";
const IV: usize = 16;
const MAC: usize = 32;
/// Longest IV that a token of its own choice may give for GCM.
const MAX_GCM_IV: usize = 16;

/// The KEK on the token, ready for use.
pub(super) struct Wrapper<'a> {
    login: &'a LoggedIn,
    pub(super) key: Key,
    mac_key: Option<ObjectHandle>,
    public_key: Option<ObjectHandle>,
    pub(super) mechanism: Mechanism,
    /// Key wrap by C_WrapKey and C_UnwrapKey; else by C_Encrypt and C_Decrypt (PKCS#11 3.0 and later).
    by_wrap_calls: bool,
}

/// A wrapped part: commitment (zeroes where the mechanism has none) and blob.
pub(super) struct Wrapped {
    pub(super) commitment: [u8; KEY],
    pub(super) blob: Vec<u8>,
}

/// The label of the second key that authenticates AES-CBC.
pub(crate) fn mac_label(label: &str) -> String {
    format!("{label}-mac")
}

fn ck(mechanism: Mechanism) -> MechanismType {
    match mechanism {
        Mechanism::AesGcm => MechanismType::AES_GCM,
        Mechanism::AesKeyWrapPad => MechanismType::AES_KEY_WRAP_PAD,
        Mechanism::AesKeyWrap => MechanismType::AES_KEY_WRAP,
        Mechanism::AesCbcHmac => MechanismType::AES_CBC,
        Mechanism::RsaOaep => MechanismType::RSA_PKCS_OAEP,
    }
}

/// OAEP with SHA-256, MGF1 with SHA-256, no label (RFC 8017).
fn oaep() -> CkMechanism<'static> {
    CkMechanism::RsaPkcsOaep(PkcsOaepParams::new(
        MechanismType::SHA256,
        PkcsMgfType::MGF1_SHA256,
        PkcsOaepSource::empty(),
    ))
}

/// What the token can do with a mechanism; `None`: it does not have it.
///
/// # Errors
/// The token fails: that must not be taken for a token that lacks something.
pub(super) fn ability(login: &LoggedIn, mechanism: Mechanism) -> Result<Option<MechanismInfo>> {
    let context = &login.module.context;
    let has = |m| match context.get_mechanism_info(login.slot, m) {
        Ok(info) => Ok(Some(info)),
        Err(e) if errors::code(&e) == Some(RvError::MechanismInvalid) => Ok(None),
        Err(e) => Err(errors::error("ask for the token's mechanisms", &e)),
    };
    let Some(info) = has(ck(mechanism))? else {
        return Ok(None);
    };
    if mechanism == Mechanism::AesCbcHmac
        && !has(MechanismType::SHA256_HMAC)?.is_some_and(|hmac| hmac.sign())
    {
        return Ok(None);
    }
    Ok(Some(info))
}

impl<'a> Wrapper<'a> {
    /// The strongest mechanism that token and key allow, or the one of `stanza` or of the configuration.
    pub(super) fn choose(
        login: &'a LoggedIn,
        config: &Pkcs11Config,
        recorded: Option<Mechanism>,
    ) -> Result<Wrapper<'a>> {
        if config.mechanism == Some(Mechanism::RsaOaep) {
            return Self::rsa(login, config);
        }
        let key = require_key(&login.session, &config.key, &login.token_name())?;
        let label = mac_label(&key.label);
        let mut mac_key = None;
        let mut why_not = Vec::new();
        for mechanism in Mechanism::ALL {
            if recorded
                .or(config.mechanism)
                .is_some_and(|m| m != mechanism)
            {
                continue;
            }
            let Some(info) = ability(login, mechanism)? else {
                why_not.push(format!("{}: the token lacks it", mechanism.name()));
                continue;
            };
            let by_cipher = info.encrypt() && info.decrypt() && key.encrypts;
            let by_wrap_calls = info.wrap() && info.unwrap() && key.wraps;
            let usable = match mechanism {
                Mechanism::AesGcm => by_cipher,
                Mechanism::AesKeyWrapPad | Mechanism::AesKeyWrap => by_wrap_calls || by_cipher,
                Mechanism::AesCbcHmac => {
                    mac_key = find_mac_key(&login.session, &label)?;
                    by_cipher && mac_key.is_some()
                }
                Mechanism::RsaOaep => false,
            };
            if !usable {
                why_not.push(format!(
                    "{}: the key's usage does not permit it{}",
                    mechanism.name(),
                    match mechanism {
                        Mechanism::AesCbcHmac => format!(", or there is no second key '{label}'"),
                        _ => String::new(),
                    }
                ));
                continue;
            }
            return Ok(Wrapper {
                login,
                key,
                mac_key,
                public_key: None,
                mechanism,
                by_wrap_calls,
            });
        }
        Err(Error::new(
            Kind::Config,
            "choose how the token wraps the DEK",
            format!(
                "{}; the token has {}; the key is {}",
                why_not.join("; "),
                mechanism_names(&login.module.context, login.slot)?.join(", "),
                key.line()
            ),
        )
        .hint(
            "Make a key that encrypts and decrypts, or wraps and unwraps (keyring-ward init does), or \
             choose another mechanism.",
        ))
    }

    /// The RSA key pair of the configuration.
    fn rsa(login: &'a LoggedIn, config: &Pkcs11Config) -> Result<Wrapper<'a>> {
        let name = login.token_name();
        let private = ObjectClass::PRIVATE_KEY;
        let key = find_rsa(&login.session, &config.key, private, &name)?;
        let public = find_rsa(&login.session, &config.key, ObjectClass::PUBLIC_KEY, &name)?;
        let info = ability(login, Mechanism::RsaOaep)?;
        if !info.is_some_and(|i| i.encrypt() && i.decrypt()) {
            return Err(Error::new(
                Kind::Config,
                "choose how the token wraps the DEK",
                format!(
                    "rsa-oaep-sha256: the token lacks it; it has {}",
                    mechanism_names(&login.module.context, login.slot)?.join(", ")
                ),
            )
            .hint("Use an AES key instead."));
        }
        Ok(Wrapper {
            login,
            key,
            mac_key: None,
            public_key: Some(public.handle),
            mechanism: Mechanism::RsaOaep,
            by_wrap_calls: false,
        })
    }

    /// Sentences about a key that protects less than it could.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut say = |what: &str| {
            warnings.push(format!(
                "The KEK {} on the token '{}' {what}: make a new one with keyring-ward init, then use \
                 keyring-ward rekey.",
                self.key.line(),
                self.login.token_name()
            ));
        };
        if self.key.extractable {
            say("is extractable, so it can be taken out of the HSM");
        }
        if !self.key.sensitive {
            say("is not sensitive, so whoever has the PIN can read it");
        }
        warnings
    }

    /// Wraps a part of exactly 32 bytes.
    pub(super) fn wrap(&self, pool: &SecretPool, aad: &[u8], part: &[u8]) -> Result<Wrapped> {
        if part.len() != KEY {
            return Err(Error::new(Kind::Internal, WRAP, "the DEK has not 32 bytes"));
        }
        let failed = |e: Ck| errors::error(WRAP, &e);
        match self.mechanism {
            Mechanism::AesGcm => Ok(Wrapped {
                commitment: [0; KEY],
                blob: self.gcm_encrypt(aad, part)?,
            }),
            Mechanism::AesKeyWrapPad | Mechanism::AesKeyWrap | Mechanism::RsaOaep => {
                let inner = pool.random(KEY)?;
                let wrapped = self
                    .key_wrap(&inner)
                    .map_err(|e| self.no_sha256(&e).unwrap_or(failed(e)))?;
                let keys = WrapKeys::derive(pool, &inner, b"", PROVIDER)?;
                let Ok(length) = u16::try_from(wrapped.len()) else {
                    return Err(Error::new(
                        Kind::Internal,
                        WRAP,
                        "the wrapped key is too long",
                    ));
                };
                let mut blob = length.to_le_bytes().to_vec();
                blob.extend_from_slice(&wrapped);
                blob.extend_from_slice(&wrap_local(&keys, aad, part)?);
                Ok(Wrapped {
                    commitment: keys.commitment(),
                    blob,
                })
            }
            Mechanism::AesCbcHmac => {
                let mut iv = [0; IV];
                fill_random(&mut iv)?;
                let text = self
                    .login
                    .session
                    .encrypt(&CkMechanism::AesCbc(iv), self.key.handle, part)
                    .map_err(failed)?;
                let mut blob = iv.to_vec();
                blob.extend_from_slice(&text);
                let mac = self.mac(aad, &blob).map_err(failed)?;
                blob.extend_from_slice(&mac);
                Ok(Wrapped {
                    commitment: [0; KEY],
                    blob,
                })
            }
        }
    }

    /// Some tokens have OAEP with SHA-1 only, and say so by refusing the parameters.
    fn no_sha256(&self, e: &Ck) -> Option<Error> {
        let refused = matches!(
            errors::code(e),
            Some(RvError::ArgumentsBad | RvError::MechanismParamInvalid)
        );
        (refused && self.mechanism == Mechanism::RsaOaep).then(|| {
            Error::new(
                Kind::Config,
                WRAP,
                "the token does not do RSA-OAEP with SHA-256",
            )
            .hint("Use an AES key instead.")
        })
    }

    /// Unwraps a part. `None`: another key wrapped it, or it was changed.
    ///
    /// # Errors
    /// The token fails.
    pub(super) fn unwrap(
        &self,
        pool: &SecretPool,
        aad: &[u8],
        commitment: &[u8],
        blob: &[u8],
    ) -> Result<Option<SecretBytes>> {
        let failed = match self.unwrap_once(pool, aad, commitment, blob) {
            Err(Failed::Token(e)) if may_mean_not_authentic(&e) => e,
            result => return result.map_err(Failed::into_error),
        };
        // "Not authentic" has many codes (CKR_GENERAL_ERROR on SoftHSM2), and some of them mean a passing
        // fault as well. What the token does with a blob of its own, and then again with this one, tells.
        if !self.works(pool) {
            return Err(Failed::Token(failed).into_error());
        }
        match self.unwrap_once(pool, aad, commitment, blob) {
            Err(Failed::Token(e)) if may_mean_not_authentic(&e) => Ok(None),
            result => result.map_err(Failed::into_error),
        }
    }

    fn unwrap_once(
        &self,
        pool: &SecretPool,
        aad: &[u8],
        commitment: &[u8],
        blob: &[u8],
    ) -> std::result::Result<Option<SecretBytes>, Failed> {
        let part = match self.mechanism {
            Mechanism::AesGcm => self.gcm_decrypt(pool, aad, blob)?,
            Mechanism::AesCbcHmac => self.cbc_decrypt(pool, aad, blob)?,
            Mechanism::AesKeyWrapPad | Mechanism::AesKeyWrap | Mechanism::RsaOaep => {
                let Some((wrapped, sealed)) = split(blob) else {
                    return Ok(None);
                };
                let inner = self.key_unwrap(pool, wrapped)?;
                if inner.len() != KEY {
                    return Ok(None);
                }
                let keys = WrapKeys::derive(pool, &inner, b"", PROVIDER)?;
                unwrap_local(pool, &keys, aad, commitment, sealed)?
            }
        };
        Ok(part.filter(|p| p.len() == KEY))
    }

    /// Wraps and unwraps something of no value.
    fn works(&self, pool: &SecretPool) -> bool {
        let Ok(probe) = pool.random(KEY) else {
            return false;
        };
        let Ok(wrapped) = self.wrap(pool, b"probe", &probe) else {
            return false;
        };
        let opened = match self.mechanism {
            Mechanism::AesGcm => self
                .gcm_decrypt(pool, b"probe", &wrapped.blob)
                .ok()
                .flatten(),
            Mechanism::AesCbcHmac => self
                .cbc_decrypt(pool, b"probe", &wrapped.blob)
                .ok()
                .flatten(),
            Mechanism::AesKeyWrapPad | Mechanism::AesKeyWrap | Mechanism::RsaOaep => {
                return split(&wrapped.blob).is_some_and(|(w, _)| self.key_unwrap(pool, w).is_ok());
            }
        };
        opened.is_some_and(|o| equal(&o, &probe))
    }

    /// IV length, IV, text and tag. The IV is read after the call: some tokens choose their own.
    fn gcm_encrypt(&self, aad: &[u8], part: &[u8]) -> Result<Vec<u8>> {
        let failed = |e: Ck| errors::error(WRAP, &e);
        let mut iv = [0; NONCE];
        fill_random(&mut iv)?;
        let tag_bits = Ulong::new((TAG * 8) as _);
        let text = {
            let params = GcmParams::new(&mut iv, aad, tag_bits).map_err(failed)?;
            self.login
                .session
                .encrypt(&CkMechanism::AesGcm(params), self.key.handle, part)
                .map_err(failed)?
        };
        if text.len() != KEY + TAG {
            return Err(Error::new(
                Kind::Internal,
                WRAP,
                format!(
                    "the token gave {} bytes instead of {}",
                    text.len(),
                    KEY + TAG
                ),
            ));
        }
        let mut blob = vec![NONCE as u8];
        blob.extend_from_slice(&iv);
        blob.extend_from_slice(&text);
        Ok(blob)
    }

    fn gcm_decrypt(
        &self,
        pool: &SecretPool,
        aad: &[u8],
        blob: &[u8],
    ) -> std::result::Result<Option<SecretBytes>, Failed> {
        let Some((&length, rest)) = blob.split_first() else {
            return Ok(None);
        };
        let length = usize::from(length);
        if !(1..=MAX_GCM_IV).contains(&length) || rest.len() != length + KEY + TAG {
            return Ok(None);
        }
        let mut iv = rest[..length].to_vec();
        let params = GcmParams::new(&mut iv, aad, Ulong::new((TAG * 8) as _))?;
        let part = self.login.session.decrypt(
            &CkMechanism::AesGcm(params),
            self.key.handle,
            &rest[length..],
        )?;
        Ok(Some(take(pool, part)?))
    }

    fn cbc_decrypt(
        &self,
        pool: &SecretPool,
        aad: &[u8],
        blob: &[u8],
    ) -> std::result::Result<Option<SecretBytes>, Failed> {
        if blob.len() != IV + KEY + MAC {
            return Ok(None);
        }
        let (sealed, mac) = blob.split_at(IV + KEY);
        if !equal(&self.mac(aad, sealed)?, mac) {
            return Ok(None);
        }
        let mut iv = [0; IV];
        iv.copy_from_slice(&sealed[..IV]);
        let part =
            self.login
                .session
                .decrypt(&CkMechanism::AesCbc(iv), self.key.handle, &sealed[IV..])?;
        Ok(Some(take(pool, part)?))
    }

    fn mac(&self, aad: &[u8], sealed: &[u8]) -> std::result::Result<Vec<u8>, Ck> {
        let key = self.mac_key.ok_or(Ck::InvalidValue)?;
        let mut data = b"keyring-ward/1 cbc".to_vec();
        data.extend_from_slice(&(aad.len() as u32).to_le_bytes());
        data.extend_from_slice(aad);
        data.extend_from_slice(sealed);
        self.login
            .session
            .sign(&CkMechanism::Sha256Hmac, key, &data)
    }

    fn key_wrap_mechanism(&self) -> CkMechanism<'static> {
        match self.mechanism {
            Mechanism::AesKeyWrap => CkMechanism::AesKeyWrap,
            Mechanism::RsaOaep => oaep(),
            _ => CkMechanism::AesKeyWrapPad,
        }
    }

    fn key_wrap(&self, inner: &[u8]) -> std::result::Result<Vec<u8>, Ck> {
        let session = &self.login.session;
        let mechanism = self.key_wrap_mechanism();
        if !self.by_wrap_calls {
            let key = self.public_key.unwrap_or(self.key.handle);
            return session.encrypt(&mechanism, key, inner);
        }
        let mut template = session_secret().to_vec();
        template.push(Attribute::Value(inner.to_vec()));
        let object = session.create_object(&template);
        if let Some(Attribute::Value(value)) = template.last_mut() {
            value.zeroize();
        }
        let object = object?;
        let wrapped = session.wrap_key(&mechanism, self.key.handle, object);
        let _ = session.destroy_object(object);
        wrapped
    }

    fn key_unwrap(
        &self,
        pool: &SecretPool,
        wrapped: &[u8],
    ) -> std::result::Result<SecretBytes, Failed> {
        let session = &self.login.session;
        let mechanism = self.key_wrap_mechanism();
        if !self.by_wrap_calls {
            let inner = session.decrypt(&mechanism, self.key.handle, wrapped)?;
            return Ok(take(pool, inner)?);
        }
        let unwrap = |template: &[Attribute]| {
            session.unwrap_key(&mechanism, self.key.handle, wrapped, template)
        };
        let object = match unwrap(&session_secret()) {
            // opencryptoki decides itself what an unwrapped key is.
            Err(e) if errors::code(&e) == Some(RvError::AttributeReadOnly) => {
                let mut template = session_secret().to_vec();
                template
                    .retain(|a| !matches!(a, Attribute::Sensitive(_) | Attribute::Extractable(_)));
                unwrap(&template)?
            }
            result => result?,
        };
        let value = session.get_attributes(object, &[AttributeType::Value]);
        let _ = session.destroy_object(object);
        match value?.pop() {
            Some(Attribute::Value(inner)) => Ok(take(pool, inner)?),
            _ => Err(Failed::Ours(
                Error::new(
                    Kind::Config,
                    UNWRAP,
                    "the token does not let an unwrapped key be read",
                )
                .hint("Choose another mechanism: AES-GCM needs no such key."),
            )),
        }
    }
}

/// What fails in the middle of an unwrap.
enum Failed {
    Token(Ck),
    Ours(Error),
}

impl Failed {
    fn into_error(self) -> Error {
        match self {
            Failed::Token(e) => errors::error(UNWRAP, &e),
            Failed::Ours(e) => e,
        }
    }
}

impl From<Ck> for Failed {
    fn from(e: Ck) -> Failed {
        Failed::Token(e)
    }
}

impl From<Error> for Failed {
    fn from(e: Error) -> Failed {
        Failed::Ours(e)
    }
}

/// Moves what a module gave into secret memory and wipes the rest.
fn take(pool: &SecretPool, mut bytes: Vec<u8>) -> Result<SecretBytes> {
    let secret = pool.copy(&bytes);
    bytes.zeroize();
    secret
}

/// A secret that lives as long as its session and whose value can be read.
fn session_secret() -> [Attribute; 5] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ]
}

/// Wrapped key and sealed part of a key-wrap blob.
fn split(blob: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = blob.split_at_checked(2)?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (wrapped, sealed) = rest.split_at_checked(length)?;
    (sealed.len() == LOCAL_BLOB).then_some((wrapped, sealed))
}

/// Codes that tokens give for a blob that is not authentic; some of them mean a fault as well.
fn may_mean_not_authentic(e: &Ck) -> bool {
    use RvError as R;
    matches!(
        errors::code(e),
        Some(
            R::EncryptedDataInvalid
                | R::EncryptedDataLenRange
                | R::WrappedKeyInvalid
                | R::WrappedKeyLenRange
                | R::SignatureInvalid
                | R::DataInvalid
                | R::DataLenRange
                | R::GeneralError
                | R::FunctionFailed
                | R::ArgumentsBad
                | R::DeviceError
        )
    )
}
