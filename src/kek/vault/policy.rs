//! The least that a KEK in Vault needs to be allowed, as a policy.
//!
//! Owns its text. It must never grant `create`: with that, `encrypt` makes a key that is missing (a misspelt name would
//! become a key that nobody knows of).

use super::config::{Login, VaultConfig};

/// The policy of the role or token, with what each part is for.
pub(super) fn of(config: &VaultConfig) -> String {
    let path = |path: String| format!("path \"{path}\" {{ capabilities = [\"update\"] }}\n");
    let (mount, key) = (&config.mount, &config.key);
    let mut policy = path(format!("{mount}/encrypt/{key}"));
    policy += &path(format!("{mount}/decrypt/{key}"));
    if !matches!(config.login, Login::Token(_)) {
        policy += "# Only where the role gives service tokens, without the policy \"default\":\n";
        policy += &path("auth/token/revoke-self".into());
    }
    policy
}

#[cfg(test)]
mod tests {
    use crate::kek::drivers::read_of_tests;

    #[test]
    fn nothing_but_update_is_granted() {
        let values = [
            ("vault_address", "https://h"),
            ("vault_key", "k"),
            ("vault_mount", "m/n"),
            ("vault_token_file", "/t"),
        ];
        let keks = read_of_tests(&super::super::DRIVER, &values).unwrap();
        assert_eq!(
            keks[0].rights().unwrap(),
            "path \"m/n/encrypt/k\" { capabilities = [\"update\"] }\npath \"m/n/decrypt/k\" { capabilities = [\"update\"] }\n"
        );
    }
}
