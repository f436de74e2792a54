//! The options of the backend `age`: for whom the DEK is wrapped, and where the identity is, if it is here at all.
//!
//! Owns the bounds on both. It must never ask for a secret to wrap: a KEK for recovery has its secret elsewhere.

use super::recipient::Recipient;
use super::wrapped::MAX_RECIPIENTS;
use super::{AgeKek, NAME};
use crate::error::Result;
use crate::kek::Kek;
use crate::kek::settings::{Driver, KekConfig, Settings};
use crate::options::{OptionSpec, Section, ValueKind};
use crate::secret_source::SecretRef;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "an age key",
    options: &[
        OptionSpec::of(
            NAME,
            "age_recipients",
            ValueKind::List,
            "For whom the DEK is wrapped: age1... or SSH public keys, separated by commas; each opens alone",
        ),
        OptionSpec::of(
            NAME,
            "age_identity_file",
            ValueKind::Text,
            "The file of the secret key (of age-keygen or ssh-keygen), or credential:NAME; wrapping needs none",
        ),
    ],
    instead: &[],
    read: |section| Ok(vec![KekConfig::new(AgeConfig::read(section)?)]),
    page: "guide/recovery.md",
    example: "--option age_recipients=age1slcf3j48luf97x4n2fnlym02m2zeemfm4s2nxg99p5sft4qx6vzs329vu9 --option age_identity_file=/run/recovery/identity",
};

/// Whom the DEK is wrapped for.
#[derive(Clone, Debug, PartialEq)]
pub struct AgeConfig {
    /// 1 to [`MAX_RECIPIENTS`], each once.
    pub(super) recipients: Vec<Recipient>,
    /// The file with a secret key; `None`: this machine wraps only.
    pub(super) identity: Option<SecretRef>,
}

impl AgeConfig {
    fn read(section: &Section<'_>) -> Result<AgeConfig> {
        let Some(text) = section.given("recipients") else {
            return Err(section.mistake(
                "the age backend has no recipient",
                format!(
                    "{} to the public key that age-keygen shows, or to an SSH public key.",
                    section.to_set("recipients")
                ),
            ));
        };
        let mut recipients: Vec<Recipient> = Vec::new();
        for one in text.split(',') {
            let one = Recipient::parse(one.trim())
                .map_err(|(fault, hint)| section.mistake(format!("a recipient {fault}"), hint))?;
            if recipients.contains(&one) {
                let why = format!("the recipient {} is named twice", one.name());
                return Err(section.mistake(why, "Name each recipient once."));
            }
            recipients.push(one);
            if recipients.len() > MAX_RECIPIENTS {
                return Err(section.mistake(
                    format!("more than {MAX_RECIPIENTS} recipients are named"),
                    "Name fewer: each of them alone opens the keyring.",
                ));
            }
        }
        let identity = section.secret("identity_file")?;
        Ok(AgeConfig {
            recipients,
            identity,
        })
    }
}

impl Settings for AgeConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(AgeKek::new(self.clone()))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.identity.iter().collect()
    }

    fn can_refuse(&self) -> bool {
        false
    }

    fn opens_here(&self) -> bool {
        self.identity.is_some()
    }

    fn needs_fingerprint(&self) -> bool {
        // Where nothing is opened with it, nobody can be deceived by it.
        self.opens_here()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::age::recipient::tests::{ED25519, X25519};

    fn read(changes: &[(&str, &str)]) -> Result<AgeConfig> {
        let base = [("age_recipients", X25519)];
        let keks = crate::kek::drivers::read_of_tests(&DRIVER, base.iter().chain(changes))?;
        Ok(keks[0].settings_of::<AgeConfig>().unwrap().clone())
    }

    #[test]
    fn complete() {
        let config = read(&[]).unwrap();
        assert_eq!(config.recipients[0].name(), X25519);
        assert!(!config.opens_here() && !config.needs_fingerprint());
        assert!(config.secrets().is_empty());
        let both = format!("{X25519}, {ED25519}");
        let config = read(&[("age_recipients", &both), ("age_identity_file", "/i")]).unwrap();
        assert_eq!(config.recipients.len(), 2);
        assert!(config.opens_here() && config.needs_fingerprint());
        assert_eq!(config.secrets(), [&SecretRef::File("/i".into())]);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let twice = format!("{X25519},{X25519}");
        let many = [X25519; MAX_RECIPIENTS + 1].join(",");
        for (name, value, sentence) in [
            ("age_recipients", "", "has no recipient"),
            ("age_recipients", "bob", "'bob' is neither"),
            ("age_recipients", ",", "is empty"),
            ("age_recipients", &twice, "is named twice"),
            ("age_recipients", &many, "is named twice"),
            ("age_identity_file", "i", "neither an absolute path"),
        ] {
            let message = read(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }

    #[test]
    fn there_are_at_most_eight() {
        let pool = crate::secret::SecretPool::new();
        let of = |n: usize| {
            let keys = (0..n).map(|_| crate::kek::age::tests::pair(&pool).0.name());
            keys.collect::<Vec<_>>().join(",")
        };
        read(&[("age_recipients", &of(MAX_RECIPIENTS))]).unwrap();
        let e = read(&[("age_recipients", &of(MAX_RECIPIENTS + 1))]).unwrap_err();
        assert!(e.to_string().contains("more than 8 recipients"), "{e}");
    }
}
