# Azure Key Vault or a Managed HSM, with an account of the operator's. Sourced by scripts/real-cloud.sh. It makes nothing and changes
# nothing at Azure: each run wraps some data keys and unwraps them.
#
# What an operator must have (docs/guide/azure-key-vault.md has the commands; a key costs some cents a month, a Managed HSM dollars an hour):
# - a vault with an RSA key of 2,048 bits or more (--ops wrapKey unwrapKey), or a Managed HSM with such a key or one of oct-HSM
# - an identity with "Key Vault Crypto Service Encryption User" (of an HSM: "Managed HSM Crypto Service Encryption User") on that key,
#   or wrapKey and unwrapKey of an access policy
# - a way to be that identity on this machine: a virtual machine with it (managed_identity), an app (app_service), a pod
#   (workload_identity), a certificate, or a client secret
#
# Variables:
#   KW_REAL_AZURE_VAULT_URL     https://NAME.vault.azure.net or https://NAME.managedhsm.azure.net; required
#   KW_REAL_AZURE_KEY           the key's name; required
#   KW_REAL_AZURE_ALGORITHM     A256KW for an oct-HSM key
#   KW_REAL_AZURE_AUTH          managed_identity (default), app_service, workload_identity, certificate, secret
#   KW_REAL_AZURE_TENANT_ID, KW_REAL_AZURE_CLIENT_ID
#   KW_REAL_AZURE_CERTIFICATE_FILE, KW_REAL_AZURE_PRIVATE_KEY_FILE, KW_REAL_AZURE_CLIENT_SECRET_FILE, KW_REAL_AZURE_FEDERATED_TOKEN_FILE
#                               files of the account that runs this, mode 0600
#   KW_REAL_AZURE_AUTHORITY     in a sovereign cloud, where the vault's host does not tell it

# The provider's options, by their flat names; those that are not set are left out.
real_options() {
  local member variable
  : "${KW_REAL_AZURE_VAULT_URL:?the URL of a vault or Managed HSM}" "${KW_REAL_AZURE_KEY:?the name of a key}"
  for member in vault_url key algorithm auth tenant_id client_id certificate_file private_key_file client_secret_file federated_token_file authority; do
    variable=KW_REAL_AZURE_${member^^}
    [ -z "${!variable:-}" ] || printf 'azure_key_vault_%s=%s\n' "$member" "${!variable}"
  done
}
