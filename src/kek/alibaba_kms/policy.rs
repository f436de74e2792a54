//! The least that a KEK in Alibaba Cloud KMS needs to be allowed, as a RAM policy.
//!
//! Owns its text. It must never allow more than the two actions on the one key.

use super::config::AlibabaKmsConfig;

/// The policy of the role or user.
pub(super) fn of(config: &AlibabaKmsConfig) -> String {
    let key = &config.key;
    let region = config.region.as_deref().unwrap_or("*");
    let account = key.account().unwrap_or("*");
    let id = key.id().unwrap_or("THE-ID-OF-THE-KEY");
    let mut policy = format!(
        "{{\"Version\": \"1\", \"Statement\": [{{\"Effect\": \"Allow\", \"Action\": [\"kms:GenerateDataKey\", \"kms:Decrypt\"],\n \"Resource\": [\"acs:kms:{region}:{account}:key/{id}\"]}}]}}\n"
    );
    if key.id().is_none() {
        policy += &format!(
            "Put the id of the key that {key} names in its place: Decrypt knows no alias, so this policy says which key opens.\n"
        );
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::super::DRIVER;
    use crate::kek::drivers::read_of_tests;
    use serde_json::{Value, json};

    fn of(key: &str, region: &str) -> String {
        let values = [
            ("alibaba_kms_key_id", key),
            ("alibaba_kms_region", region),
            ("alibaba_kms_endpoint", "https://h"),
        ];
        read_of_tests(&DRIVER, &values).unwrap()[0]
            .rights()
            .unwrap()
    }

    #[test]
    fn two_actions_on_one_key() {
        for (key, region, resource) in [
            ("key-x1", "cn-hangzhou", "acs:kms:cn-hangzhou:*:key/key-x1"),
            ("key-x1", "", "acs:kms:*:*:key/key-x1"),
            (
                "acs:kms:cn-beijing:113:key/key-x1",
                "",
                "acs:kms:cn-beijing:113:key/key-x1",
            ),
        ] {
            let policy: Value = serde_json::from_str(&of(key, region)).unwrap();
            let statement = json!({
                "Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": [resource],
            });
            assert_eq!(policy, json!({"Version": "1", "Statement": [statement]}));
        }
        let policy = of("alias/mysql", "cn-hangzhou");
        assert!(policy.contains("key/THE-ID-OF-THE-KEY"), "{policy}");
        assert!(
            policy.contains("the key that alias/mysql names"),
            "{policy}"
        );
    }
}
