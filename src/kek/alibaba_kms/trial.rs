//! Answers that Alibaba Cloud did not give, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::credentials::Credentials;
use super::errors::Action;
use super::{AlibabaKmsKek, client, ecs, sts};
use crate::error::Result;
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};

/// Who is asked for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// KMS: a new data key.
    GenerateDataKey,
    /// KMS: a data key.
    Decrypt,
    /// STS: a role's credentials for a token.
    AssumeRole,
    /// The metadata service: the name of the instance's role.
    RoleName,
    /// The metadata service: the credentials of a role.
    Role,
}

/// What an answer gives.
pub enum Given {
    /// A new data key, with its copy under the key of KMS and that one's id.
    NewDataKey(SecretBytes, Vec<u8>, String),
    /// A data key.
    DataKey(SecretBytes),
    /// An access key id, its secret, and a security token.
    Credentials(String, String, Option<String>),
    /// The name of a role.
    RoleName(String),
}

impl AlibabaKmsKek {
    /// What this answer gives to the question, as if Alibaba Cloud had given it. `key` wrapped the data key; `sent` is a
    /// secret that the question carried.
    ///
    /// # Errors
    /// As when Alibaba Cloud gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        asked: Asked,
        answer: &Answer,
        (key, sent): (&str, &str),
    ) -> Result<Given> {
        let of_kms = |action| {
            let question = self.question("try an answer", action, key);
            let members = client::read(&question, action, answer, &[sent]);
            members.map(|members| (question, members))
        };
        match asked {
            Asked::GenerateDataKey => of_kms(Action::GenerateDataKey).and_then(|(q, members)| {
                let new = self.take_new(&q, pool, &members)?;
                Ok(Given::NewDataKey(
                    new.plaintext,
                    new.ciphertext,
                    new.key_ref,
                ))
            }),
            Asked::Decrypt => of_kms(Action::Decrypt).and_then(|(q, members)| {
                self.take_back(&q, pool, &members, key).map(Given::DataKey)
            }),
            Asked::AssumeRole => {
                let question = sts::question(&self.config.endpoint, "acs:ram::1:role/x");
                sts::read(&question, answer, sent).map(texts)
            }
            Asked::RoleName => {
                let question = ecs::question(ecs::ADDRESS, "a role", None);
                ecs::role_name(&question, answer).map(Given::RoleName)
            }
            Asked::Role => {
                let question = ecs::question(ecs::ADDRESS, "a role", Some("role"));
                ecs::of_role(&question, answer, sent).map(texts)
            }
        }
    }
}

fn texts(credentials: Credentials) -> Given {
    Given::Credentials(
        credentials.access_key_id().into(),
        credentials.access_key_secret().into(),
        credentials.security_token().map(String::from),
    )
}

#[cfg(test)]
mod tests {
    use super::super::names::Text;
    use super::super::{AlibabaKmsConfig, DRIVER, key};
    use super::*;
    use crate::error::Kind;
    use crate::kek::drivers::read_of_tests;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::sync::LazyLock;
    use zeroize::Zeroizing;

    const ID: &str = "key-hzz630494463ejqjx0001";
    const SENT: &str = "CAIS-SENT-SECRET-0123456789";
    const ALL: [Asked; 5] = [
        Asked::GenerateDataKey,
        Asked::Decrypt,
        Asked::AssumeRole,
        Asked::RoleName,
        Asked::Role,
    ];

    static KEKS: LazyLock<[AlibabaKmsKek; 2]> = LazyLock::new(|| {
        [ID, "alias/mysql"].map(|key| {
            let values = [
                ("alibaba_kms_key_id", key),
                ("alibaba_kms_region", "cn-hangzhou"),
            ];
            let keks = read_of_tests(&DRIVER, &values).unwrap();
            let config = keks[0].settings_of::<AlibabaKmsConfig>().unwrap();
            AlibabaKmsKek::new(config.clone())
        })
    });

    fn receive(kek: &AlibabaKmsKek, asked: Asked, status: u16, body: &[u8]) -> Result<Given> {
        let answer = Answer::new(status, Vec::new(), Zeroizing::new(body.to_vec()));
        kek.receive(&SecretPool::new(), asked, &answer, (ID, SENT))
    }

    /// Nothing of an answer makes a panic, shows what was sent, or is taken for more than it is.
    fn is_harmless(status: u16, body: &[u8]) {
        let asked = ALL
            .iter()
            .flat_map(|asked| KEKS.iter().map(|kek| (kek, *asked)));
        for (kek, asked) in asked {
            let result = receive(kek, asked, status, body);
            assert!(result.is_err() || (200..300).contains(&status));
            match result {
                Ok(Given::NewDataKey(data_key, ciphertext, id)) => {
                    assert!(data_key.len() == 32 && (1..=6144).contains(&ciphertext.len()));
                    assert!(key::is_id(&id) && (id == ID || kek.config.key.id().is_none()));
                }
                Ok(Given::DataKey(data_key)) => assert_eq!(data_key.len(), 32),
                Ok(Given::Credentials(id, secret, token)) => {
                    assert_eq!(Text::AccessKeyId.fault(&id), None);
                    assert_eq!(Text::AccessKeySecret.fault(&secret), None);
                    assert_eq!(Text::Token.fault(&token.unwrap()), None);
                }
                Ok(Given::RoleName(name)) => assert_eq!(Text::RoleName.fault(&name), None),
                Err(e) => {
                    let said = e.to_string();
                    assert_ne!(e.kind(), Kind::Internal, "{said}");
                    assert!(said.len() < 2500 && !said.contains("SENT-SECRET"), "{said}");
                    assert!(!said.contains(char::is_control), "{said:?}");
                }
            }
        }
    }

    #[test]
    fn a_good_answer_gives_what_was_asked_for() {
        let data_key = data_encoding::BASE64.encode(&[7; 32]);
        let of_kms =
            json!({"KeyId": ID, "Plaintext": data_key, "CiphertextBlob": "AAAA"}).to_string();
        let parts = json!({"AccessKeyId": "STS.x", "AccessKeySecret": "s", "SecurityToken": "t", "Code": "Success"});
        let of_sts = json!({"Credentials": parts}).to_string();
        let of = |asked, body: &str| receive(&KEKS[0], asked, 200, body.as_bytes()).unwrap();
        let given = of(Asked::GenerateDataKey, &of_kms);
        assert!(
            matches!(given, Given::NewDataKey(key, c, id) if *key == [7; 32] && c == [0; 3] && id == ID)
        );
        let given = of(Asked::Decrypt, &of_kms);
        assert!(matches!(given, Given::DataKey(key) if *key == [7; 32]));
        for (asked, body) in [
            (Asked::AssumeRole, of_sts),
            (Asked::Role, parts.to_string()),
        ] {
            let Given::Credentials(id, secret, token) = of(asked, &body) else {
                panic!("something else");
            };
            assert_eq!(
                (&*id, &*secret, token.as_deref()),
                ("STS.x", "s", Some("t"))
            );
        }
        let given = of(Asked::RoleName, "keyring-ward\n");
        assert!(matches!(given, Given::RoleName(name) if name == "keyring-ward"));
    }

    /// JSON of the members that are looked for, with values of any shape.
    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("Success".to_string()),
            Just(ID.to_string()),
            Just(data_encoding::BASE64.encode(&[7; 32])),
            Just("Rejected.Disabled".to_string()),
            Just(format!("a {SENT} b\n")),
            "\\PC{0,20}",
            ".{0,20}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 40, 6, |inner| {
            let name = prop::sample::select(vec![
                "KeyId",
                "Plaintext",
                "CiphertextBlob",
                "Code",
                "Message",
                "Credentials",
                "AccessKeyId",
                "AccessKeySecret",
                "SecurityToken",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..8).prop_map(|members| {
                    let members = members.into_iter().map(|(n, v)| (n.to_string(), v));
                    Value::Object(members.collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            is_harmless(status, &body);
        }

        #[test]
        fn any_json_is_harmless(
            status in prop::sample::select(vec![200u16, 204, 302, 400, 403, 404, 409, 429, 500, 503]),
            value in any_json(),
        ) {
            is_harmless(status, value.to_string().as_bytes());
        }
    }
}
