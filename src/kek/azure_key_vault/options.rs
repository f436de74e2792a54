//! The options of the provider `azure_key_vault`: names, places and what they are for.

use crate::options::{OptionSpec, ValueKind};

/// The section.
pub(super) const NAME: &str = "azure_key_vault";

/// All of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    text(
        "azure_key_vault_vault_url",
        "The vault or Managed HSM, as https://NAME.vault.azure.net",
    )
    .about("the vault, `https://NAME.vault.azure.net`, or the Managed HSM, `https://NAME.managedhsm.azure.net`; the hosts of the sovereign clouds as well"),
    text("azure_key_vault_key", "The name of the key"),
    text(
        "azure_key_vault_key_version",
        "The version of the key that wraps, 32 hexadecimal digits",
    )
    .about("the version of the key that wraps, 32 hexadecimal digits; default: the current one. What a file is wrapped with stands in the file"),
    text(
        "azure_key_vault_algorithm",
        "How the key wraps: RSA-OAEP-256, or A256KW in a Managed HSM",
    )
    .about("how the key wraps: `RSA-OAEP-256` (default), or `A256KW` with an AES key of 256 bits in a Managed HSM"),
    text(
        "azure_key_vault_resource",
        "What a token is asked for, where the host does not tell",
    )
    .about("what a token is asked for, where the host of `vault_url` does not tell: `https://vault.azure.net`, `https://managedhsm.azure.net` or that of a sovereign cloud"),
    text(
        "azure_key_vault_auth",
        "How to get a token: managed_identity, app_service, workload_identity, certificate or secret",
    )
    .about("how to get a token: `managed_identity` (the machine's, default), `app_service`, `workload_identity`, `certificate` or `secret`"),
    text(
        "azure_key_vault_tenant_id",
        "The tenant of Microsoft Entra ID, for auth workload_identity, certificate and secret",
    )
    .about("the tenant of Microsoft Entra ID, a GUID or a domain, for `certificate` and `secret`; default for `workload_identity`: `AZURE_TENANT_ID`"),
    text(
        "azure_key_vault_client_id",
        "The application's or user-assigned identity's client id",
    )
    .about("the client id of the application, or of a user-assigned identity; default for `workload_identity`: `AZURE_CLIENT_ID`"),
    text(
        "azure_key_vault_authority",
        "Who gives tokens, for auth workload_identity, certificate and secret",
    )
    .about("who gives tokens, for `workload_identity`, `certificate` and `secret`; default: `https://login.microsoftonline.com`, or that of the cloud that the host of `vault_url` is in (for `workload_identity` first `AZURE_AUTHORITY_HOST`)"),
    text(
        "azure_key_vault_federated_token_file",
        "The file with the federated token, for auth workload_identity",
    )
    .about("the file with the federated token, read at each login, for `workload_identity`; default: `AZURE_FEDERATED_TOKEN_FILE`"),
    text(
        "azure_key_vault_certificate_file",
        "The application's certificate in PEM, for auth certificate",
    ),
    text(
        "azure_key_vault_private_key_file",
        "The private RSA key of the certificate in PEM, or credential:NAME",
    ),
    text(
        "azure_key_vault_client_secret_file",
        "The file with the client secret, or credential:NAME, for auth secret",
    ),
    text(
        "azure_key_vault_metadata_url",
        "The metadata service, for auth managed_identity, in place of http://169.254.169.254",
    ),
    text(
        "azure_key_vault_ca_file",
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    text(
        "azure_key_vault_proxy",
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "azure_key_vault_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "azure_key_vault_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take, the login included",
    ),
];

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec::of(NAME, name, ValueKind::Text, help)
}
