//! The least that a key must allow the identity, as Azure's command line tool gives it.
//!
//! Owns its text. It must never grant what makes, changes or reads keys.

use super::config::AzureKeyVaultConfig;

/// The two data actions, and the ways to give them.
pub(super) fn of(config: &AzureKeyVaultConfig) -> String {
    let (account, key) = (config.account(), &config.key);
    match config.resource.hsm {
        true => format!(
            "Microsoft.KeyVault/managedHsm/keys/wrap/action\n\
             Microsoft.KeyVault/managedHsm/keys/unwrap/action\n\
             # The role that has them, beside reading the key's public half:\n\
             az keyvault role assignment create --hsm-name {account} --scope /keys/{key} \
             --role \"Managed HSM Crypto Service Encryption User\" --assignee-object-id PRINCIPAL --assignee-principal-type ServicePrincipal\n"
        ),
        false => format!(
            "Microsoft.KeyVault/vaults/keys/wrap/action\n\
             Microsoft.KeyVault/vaults/keys/unwrap/action\n\
             # The role that has them, beside reading the key's public half:\n\
             az role assignment create --scope \"$(az keyvault show --name {account} --query id --output tsv)/keys/{key}\" \
             --role \"Key Vault Crypto Service Encryption User\" --assignee-object-id PRINCIPAL --assignee-principal-type ServicePrincipal\n\
             # Where the vault has access policies instead of roles (they are for all of its keys):\n\
             az keyvault set-policy --name {account} --object-id PRINCIPAL --key-permissions wrapKey unwrapKey\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wrapping_and_unwrapping_is_granted() {
        let mut config = AzureKeyVaultConfig::of_tests();
        let rights = of(&config);
        assert!(rights.starts_with("Microsoft.KeyVault/vaults/keys/wrap/action\nMicrosoft.KeyVault/vaults/keys/unwrap/action\n"));
        assert!(
            rights.contains("--name kv1 ") && rights.contains("/keys/mysql\""),
            "{rights}"
        );
        assert!(rights.contains("--key-permissions wrapKey unwrapKey\n"));
        config.vault_url = "https://hsm1.managedhsm.azure.net".into();
        config.resource =
            super::super::names::Resource::of_host("hsm1.managedhsm.azure.net").unwrap();
        let rights = of(&config);
        assert!(
            rights.contains("--hsm-name hsm1 --scope /keys/mysql "),
            "{rights}"
        );
        for rights in rights.lines().filter(|line| line.starts_with("Microsoft")) {
            assert!(rights.ends_with("wrap/action"), "{rights}");
        }
    }
}
