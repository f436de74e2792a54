//! The toy provider: what a provider needs at least, to copy from (docs/adding-a-provider.md) and for tests/toy.rs.
//!
//! Owns its section and its KEK, a token that a service far away would know; here the service is an HKDF. It is compiled
//! with the feature `toy-provider` only. It must never be in a library that is used.

use super::adapter::Adapter;
use super::settings::{Driver, KekConfig, Remark, Settings};
use super::{Budget, Kek, Unwrapped, make};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY, WrapKeys, hkdf, unwrap_local, wrap_local};
use crate::error::Result;
use crate::format::stanza::Stanza;
use crate::options::{OptionSpec, Section, ValueKind};
use crate::os::undo::Undo;
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use crate::secret_source::{self, SecretRef};
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "a toy",
    options: &[
        OptionSpec::of(
            NAME,
            "toy_key",
            ValueKind::Text,
            "The name of the key in the toy service",
        ),
        OptionSpec::of(
            NAME,
            "toy_token_file",
            ValueKind::Text,
            "The file that holds the token, or credential:NAME",
        ),
        OptionSpec::of(
            NAME,
            "toy_insecure",
            ValueKind::Bool,
            "Do without what makes it secure",
        ),
    ],
    instead: &[],
    read,
    page: "",
    example: "--option toy_key=mysql --option toy_token_file=/var/lib/mysql-keyring/token --generate --user mysql",
};
const NAME: &str = "toy";
const MECHANISM: &str = "token+aes-256-gcm";

/// A key of the toy service.
#[derive(Clone, Debug, PartialEq)]
struct ToyConfig {
    key: String,
    token: SecretRef,
    insecure: bool,
}

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let too_long = |text: &str| {
        (text.len() > 64).then(|| ("is longer than 64 bytes".into(), "Choose a shorter one."))
    };
    let (Some(key), Some(token)) = (
        section.text("key", too_long)?,
        section.secret("token_file")?,
    ) else {
        return Err(section.mistake(
            "the toy backend has no key or no token",
            "Set key and token_file in \"toy\" (my.cnf: toy_key and toy_token_file).",
        ));
    };
    let insecure = section.flag("insecure")?;
    Ok(vec![KekConfig::new(ToyConfig {
        key,
        token,
        insecure,
    })])
}

impl Settings for ToyConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(ToyKek(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        vec![&self.token]
    }

    fn check_makeable(&self) -> Result<()> {
        make::secret_path(&self.token).map(drop)
    }

    fn make(&self, _patience: Duration, undo: &mut Undo) -> Result<String> {
        make::secret_file(&self.token, true, undo)
    }

    fn remarks(&self) -> Vec<Remark> {
        let insecure = Remark {
            what: "toy",
            detail: format!("the key '{}' is used in an insecure way", self.key),
            remedy: "Take insecure out of \"toy\".".into(),
        };
        self.insecure.then_some(insecure).into_iter().collect()
    }
}

struct ToyKek(ToyConfig);

impl ToyKek {
    /// What a real provider asks its service for, until `deadline`.
    fn wrap_keys(&self, pool: &SecretPool, _deadline: Deadline) -> Result<WrapKeys> {
        let token = secret_source::line(pool, "read the token", &self.0.token, &mut Vec::new())?;
        let mut out = pool.zeroed(2 * KEY)?;
        hkdf(
            &token,
            self.0.key.as_bytes(),
            b"keyring-ward/1 toy",
            &mut out,
        )?;
        wipe_stack();
        WrapKeys::new(out)
    }
}

impl Kek for ToyKek {
    fn describe(&self) -> String {
        format!("toy key '{}'", self.0.key)
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &[u8],
        deadline: Deadline,
    ) -> Result<Stanza> {
        let keys = self.wrap_keys(pool, deadline)?;
        let mut stanza = Stanza {
            provider: NAME.into(),
            mechanism: MECHANISM.into(),
            key_ref: self.0.key.clone(),
            group: 0,
            index: 0,
            threshold: 1,
            params: Vec::new(),
            commitment: keys.commitment(),
            blob: Vec::new(),
        };
        stanza.blob = wrap_local(&keys, &stanza.associated_data(file_id), part)?;
        Ok(stanza)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == NAME
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
        let keys = self.wrap_keys(pool, budget.deadline())?;
        let aad = stanza.associated_data(file_id);
        let part: Option<SecretBytes> =
            unwrap_local(pool, &keys, &aad, &stanza.commitment, &stanza.blob)?;
        Ok(part.map_or(Unwrapped::WrongKey, Unwrapped::Opened))
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        self.wrap_keys(pool, deadline).map(drop)
    }
}
