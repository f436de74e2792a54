//! The options of the provider `gcp_kms`: names, places and what they are for.

use crate::options::{OptionSpec, ValueKind};

/// The section, and the provider's name in stanzas.
pub(super) const NAME: &str = "gcp_kms";

/// All of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    text(
        "gcp_kms_key",
        "The key, as projects/P/locations/L/keyRings/R/cryptoKeys/K",
    ),
    text(
        "gcp_kms_endpoint",
        "Cloud KMS's address, e.g. of Private Service Connect, instead of the public one",
    )
    .about("Cloud KMS's address; default `https://cloudkms.googleapis.com`"),
    text(
        "gcp_kms_auth",
        "How to log in: metadata, federation or service_account",
    )
    .about("how to log in: `metadata` (the service account of the machine or pod; the default), `federation` (workload identity federation) or `service_account` (a service account's key)"),
    text(
        "gcp_kms_credentials_file",
        "Google's JSON file: the external account for auth federation, the key (or credential:NAME) for auth service_account",
    ),
    text(
        "gcp_kms_metadata_url",
        "The metadata server, for auth metadata where it has another address",
    )
    .about("the metadata server, for `metadata`; default `http://169.254.169.254`"),
    text(
        "gcp_kms_ca_file",
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    text(
        "gcp_kms_proxy",
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "gcp_kms_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "gcp_kms_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take, the login included",
    ),
];

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec::of(NAME, name, ValueKind::Text, help)
}
