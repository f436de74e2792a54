//! The options of the backend `pkcs11`.
//!
//! Owns their names and one line about each; `config.rs` says what they may be.

use crate::options::{OptionSpec, ValueKind};

/// The section's name.
pub(super) const NAME: &str = "pkcs11";

/// In the order in which people are told of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::of(
        NAME,
        "pkcs11_module",
        ValueKind::Text,
        "The PKCS#11 module, an absolute path",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_module_args",
        ValueKind::Text,
        "What C_Initialize gets, for modules that need it (NSS)",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_token_label",
        ValueKind::Text,
        "The token's label",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_token_serial",
        ValueKind::Text,
        "The token's serial number, instead of its label",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_slot",
        ValueKind::Number,
        "The slot's number, instead of label and serial; may change",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_key_label",
        ValueKind::Text,
        "The label of the KEK on the token",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_key_id",
        ValueKind::Text,
        "The CKA_ID of the KEK on the token, hexadecimal",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_pin_file",
        ValueKind::Text,
        "The file that holds the user PIN, or credential:NAME",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_mechanism",
        ValueKind::Text,
        "How the DEK is wrapped, instead of the best that the token has",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_random",
        ValueKind::Text,
        "The older name of random: token (kek) or system",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_storage",
        ValueKind::Text,
        "Where sealed keys live: file (beside the KEK on the token) or token",
    ),
    OptionSpec::of(
        NAME,
        "pkcs11_cache",
        ValueKind::Bool,
        "With storage token: keep keys in memory too (true), or ask the token each time",
    ),
];
