//! The KEK provider `pkcs11`: a key that never leaves an HSM wraps the DEK.
//!
//! One operation is one short session: module initialised, token found, logged in, done, logged out, module
//! ended. Nothing of the module lives between two operations. It must never take module, token or key
//! from the keyring file, only from the configuration, and never try a refused PIN again.

mod config;
mod errors;
mod mechanism;
mod module;
pub(crate) mod objects;
mod options;
mod pin;
mod process;
pub mod survey;
mod token;

pub use config::{DRIVER, KeyChoice, Mechanism, Pkcs11Config, Storage, TokenChoice};

use super::{Budget, Kek, Unwrapped, local};
use crate::deadline::Deadline;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool};
use mechanism::Wrapper;
use std::sync::{Arc, Mutex, PoisonError};
use token::LoggedIn;

/// The provider's name in stanzas.
pub const PROVIDER: &str = "pkcs11";

/// A KEK on a PKCS#11 token.
pub struct Pkcs11Kek {
    config: Arc<Pkcs11Config>,
    warnings: Mutex<Vec<String>>,
}

impl Pkcs11Kek {
    /// A KEK that is looked up on its token each time it is needed.
    pub fn new(config: Pkcs11Config) -> Pkcs11Kek {
        Pkcs11Kek {
            config: Arc::new(config),
            warnings: Mutex::new(Vec::new()),
        }
    }

    /// Runs one operation in a session of its own.
    fn session<T: Send + 'static>(
        &self,
        op: &'static str,
        pool: &SecretPool,
        deadline: Deadline,
        f: impl FnOnce(&LoggedIn, &Pkcs11Config, &SecretPool, &mut Vec<String>) -> Result<T>
        + Send
        + 'static,
    ) -> Result<T> {
        let (config, own_pool) = (self.config.clone(), pool.clone());
        let (result, warnings) = process::bounded(op, &self.config.module, deadline, move || {
            let mut warnings = Vec::new();
            let result = LoggedIn::new(&config, &own_pool, false, &mut warnings)
                .and_then(|login| f(&login, &config, &own_pool, &mut warnings));
            Ok((result, warnings))
        })?;
        let mut kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            // An operation may be attempted many times.
            if !kept.contains(&warning) {
                kept.push(warning);
            }
        }
        result
    }
}

impl Kek for Pkcs11Kek {
    fn describe(&self) -> String {
        format!(
            "{} on the {} (PKCS#11 module '{}')",
            self.config.key,
            self.config.token,
            self.config.module.display()
        )
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        let (holder, file_id) = (part.holder.cloned(), *file_id);
        let part = pool.copy(part)?;
        self.session(
            "wrap the DEK on the token",
            pool,
            deadline,
            move |login, config, pool, warnings| {
                let wrapper = Wrapper::choose(login, config, None)?;
                warnings.extend(wrapper.warnings());
                let mut stanza = Stanza::begin(
                    (PROVIDER, wrapper.mechanism.name()),
                    login.reference_to(&wrapper.key),
                    holder.as_ref(),
                    Vec::new(),
                );
                let wrapped = wrapper.wrap(pool, &stanza.associated_data(&file_id), &part)?;
                (stanza.commitment, stanza.blob) = (wrapped.commitment, wrapped.blob);
                Ok(stanza)
            },
        )
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == PROVIDER
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        let Some(mechanism) = Mechanism::from_name(&stanza.mechanism) else {
            return Err(local::unknown_mechanism(stanza));
        };
        if self.config.mechanism.is_some_and(|m| m != mechanism) {
            return Err(Error::new(
                Kind::WrongKek,
                "open the keyring file",
                format!(
                    "its DEK is wrapped by '{}', the configuration pins '{}'",
                    mechanism.name(),
                    self.config.mechanism.map_or("", Mechanism::name)
                ),
            )
            .hint("Leave pkcs11_mechanism out, or use keyring-ward rekey to wrap the DEK anew. Nothing was changed."));
        }
        if mechanism == Mechanism::RsaOaep && self.config.mechanism.is_none() {
            return Err(Error::new(
                Kind::WrongKek,
                "open the keyring file",
                "its DEK is wrapped for a public RSA key, which anybody can do",
            )
            .hint("If it is yours, set pkcs11_mechanism to rsa-oaep-sha256 and pin its fingerprint. Nothing was changed."));
        }
        if !stanza.params.is_empty() {
            return Ok(Unwrapped::WrongKey);
        }
        let (stanza, file_id) = (stanza.clone(), *file_id);
        self.session(
            "unwrap the DEK on the token",
            pool,
            budget.deadline(),
            move |login, config, pool, warnings| {
                let wrapper = Wrapper::choose(login, config, Some(mechanism))?;
                warnings.extend(wrapper.warnings());
                let aad = stanza.associated_data(&file_id);
                let part = wrapper.unwrap(pool, &aad, &stanza.commitment, &stanza.blob)?;
                // Only key wrap has a commitment of its own; elsewhere the field must be empty.
                let plain = matches!(mechanism, Mechanism::AesGcm | Mechanism::AesCbcHmac);
                let part = part.filter(|_| !plain || stanza.commitment == [0; 32]);
                Ok(part.map_or(Unwrapped::WrongKey, Unwrapped::Opened))
            },
        )
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        self.session(
            "look for the KEK on the token",
            pool,
            deadline,
            |login, config, _, warnings| {
                let wrapper = Wrapper::choose(login, config, None)?;
                warnings.extend(wrapper.warnings());
                Ok(())
            },
        )
    }

    fn has_generator(&self) -> bool {
        true
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        const OP: &str = "get random bytes of the token";
        self.session(OP, pool, deadline, move |login, _, pool, _| {
            let mut bytes = pool.zeroed(length)?;
            match login.session.generate_random_slice(&mut bytes) {
                Ok(()) => Ok(bytes),
                Err(e) if has_no_generator(&e) => {
                    Err(Error::new(Kind::Config, OP, "it has no generator")
                        .hint("Set random to system."))
                }
                Err(e) => Err(errors::error(OP, &e)),
            }
        })
    }

    fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn has_no_generator(e: &cryptoki::error::Error) -> bool {
    use cryptoki::error::RvError;
    matches!(
        errors::code(e),
        Some(RvError::RandomNoRng | RvError::FunctionNotSupported)
    ) || matches!(e, cryptoki::error::Error::NullFunctionPointer)
}

/// Runs `f` in a session of its own. `writing`: objects of the token are made or removed.
fn with_login<T: Send + 'static>(
    config: &Pkcs11Config,
    writing: bool,
    deadline: Deadline,
    f: impl FnOnce(&LoggedIn, &Pkcs11Config, &SecretPool) -> Result<T> + Send + 'static,
) -> Result<T> {
    let config = config.clone();
    let module = config.module.clone();
    process::bounded("use the token", &module, deadline, move || {
        let pool = SecretPool::new();
        let login = LoggedIn::new(&config, &pool, writing, &mut Vec::new())?;
        f(&login, &config, &pool)
    })
}
