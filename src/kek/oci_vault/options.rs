//! The options of the provider `oci_vault`: names, places and what they are for.

use crate::options::{OptionSpec, ValueKind};

/// The section.
pub(super) const NAME: &str = "oci_vault";

/// All of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    text(
        "oci_vault_crypto_endpoint",
        "The vault's cryptographic endpoint, as https://PREFIX-crypto.kms.REGION.oraclecloud.com",
    ),
    text("oci_vault_key_ocid", "The key's OCID"),
    text(
        "oci_vault_auth",
        "As whom to ask: instance_principal or user_key",
    )
    .about("as whom to ask: `instance_principal` (the instance itself, by its metadata service; the default) or `user_key` (a user, by an API signing key)"),
    text(
        "oci_vault_federation_endpoint",
        "Where an instance gets its token, for auth instance_principal",
    )
    .about("where an instance gets its token, for `instance_principal`, without a path; default `https://auth.REGION.oraclecloud.com`, with region and domain of `crypto_endpoint`"),
    text(
        "oci_vault_metadata_url",
        "The metadata service of the instance, for auth instance_principal",
    )
    .about("the metadata service of the instance, for `instance_principal`; default `http://169.254.169.254`"),
    text(
        "oci_vault_tenancy_ocid",
        "The OCID of the tenancy, for auth user_key",
    ),
    text(
        "oci_vault_user_ocid",
        "The OCID of the user, for auth user_key",
    ),
    text(
        "oci_vault_fingerprint",
        "The fingerprint of the user's API signing key, for auth user_key",
    ),
    text(
        "oci_vault_private_key_file",
        "The file with the user's API signing key in PEM, or credential:NAME, for auth user_key",
    ),
    text(
        "oci_vault_ca_file",
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    text(
        "oci_vault_proxy",
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "oci_vault_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "oci_vault_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take, the login included",
    ),
];

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec::of(NAME, name, ValueKind::Text, help)
}
