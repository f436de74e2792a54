//! The options of the backend `kmip`.
//!
//! Owns their names and one line about each; `config.rs` says what they may be.

use crate::options::{OptionSpec, ValueKind};

/// The section's name.
pub(super) const NAME: &str = "kmip";

/// In the order in which people are told of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::of(
        NAME,
        "kmip_addresses",
        ValueKind::List,
        "The KMIP servers in the order of asking: HOST or HOST:PORT, separated by commas; the port is 5696 unless named",
    ),
    OptionSpec::of(
        NAME,
        "kmip_key_id",
        ValueKind::Text,
        "The unique identifier of the AES key",
    ),
    OptionSpec::of(
        NAME,
        "kmip_previous_key_ids",
        ValueKind::List,
        "Keys that may open the keyring as well, separated by commas",
    ),
    OptionSpec::of(
        NAME,
        "kmip_client_certificate",
        ValueKind::Text,
        "The client certificate in PEM, with those between it and its authority",
    ),
    OptionSpec::of(
        NAME,
        "kmip_client_key_file",
        ValueKind::Text,
        "The file that holds the client certificate's private key in PEM, or credential:NAME",
    ),
    OptionSpec::of(
        NAME,
        "kmip_ca_file",
        ValueKind::Text,
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    OptionSpec::of(
        NAME,
        "kmip_server_name",
        ValueKind::Text,
        "The name in the servers' certificates, where it is not the host",
    ),
    OptionSpec::of(
        NAME,
        "kmip_mode",
        ValueKind::Text,
        "How the server encrypts: gcm (default), or cbc where it has no GCM",
    ),
    OptionSpec::of(
        NAME,
        "kmip_version",
        ValueKind::Text,
        "The protocol's version: 1.2, 1.3, 1.4 (default), 2.0 or 2.1",
    ),
    OptionSpec::of(
        NAME,
        "kmip_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "kmip_attempt_timeout",
        ValueKind::Number,
        "Seconds that one server may take",
    ),
];
