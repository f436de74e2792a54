//! The toy provider: what a provider needs at least, to copy from (docs/adding-a-provider.md) and for tests/toy.rs.
//!
//! Owns its section and its KEK, a token that a service far away would know; here the service is an HKDF. It is compiled
//! with the feature `toy-provider` only. It must never be in a library that is used.

use super::adapter::Adapter;
use super::settings::{Driver, KekConfig, Remark, Settings};
use super::{Budget, Kek, Unwrapped, local, make};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, WrapKeys};
use crate::error::Result;
use crate::format::stanza::{Part, Stanza};
use crate::options::{OptionSpec, Section, ValueKind};
use crate::os::undo::Undo;
use crate::secret::SecretPool;
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
            format!("{}.", section.to_set("key and token_file")),
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
        WrapKeys::derive(pool, &token, self.0.key.as_bytes(), NAME)
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
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        let keys = self.wrap_keys(pool, deadline)?;
        local::wrap(&keys, (NAME, MECHANISM), Vec::new(), file_id, part)
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
        if stanza.mechanism != MECHANISM {
            return Err(local::unknown_mechanism(stanza));
        }
        let keys = self.wrap_keys(pool, budget.deadline())?;
        local::unwrap(pool, &keys, file_id, stanza)
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        self.wrap_keys(pool, deadline).map(drop)
    }
}
