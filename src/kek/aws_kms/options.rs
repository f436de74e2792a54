//! The options of the backend `aws_kms`.
//!
//! Owns their names and one line about each; `config.rs` says what they may be.

use crate::options::{OptionSpec, ValueKind};

/// The section's name.
pub(super) const NAME: &str = "aws_kms";

/// In the order in which people are told of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::of(
        NAME,
        "aws_kms_key_id",
        ValueKind::Text,
        "The KMS key: id, ARN, alias/NAME or alias ARN",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_previous_key_ids",
        ValueKind::List,
        "Keys that may open the keyring as well, separated by commas",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_region",
        ValueKind::Text,
        "The key's region, where its ARN does not tell",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_endpoint_url",
        ValueKind::Text,
        "KMS's endpoint, e.g. of a VPC, instead of the region's public one",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_sts_endpoint_url",
        ValueKind::Text,
        "The endpoint of STS, for role_arn",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_profile",
        ValueKind::Text,
        "The profile in AWS's shared files",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_credentials_file",
        ValueKind::Text,
        "AWS's shared credentials file, or credential:NAME, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_role_arn",
        ValueKind::Text,
        "The role to assume",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_external_id",
        ValueKind::Text,
        "The external id that the role asks for",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_use_fips",
        ValueKind::Bool,
        "Use FIPS endpoints",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_use_dualstack",
        ValueKind::Bool,
        "Use endpoints with IPv4 and IPv6",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_proxy",
        ValueKind::Text,
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_ca_file",
        ValueKind::Text,
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_encryption_context",
        ValueKind::Text,
        "More pairs of the encryption context: NAME=VALUE,NAME=VALUE",
    ),
    OptionSpec::of(
        NAME,
        "aws_kms_random",
        ValueKind::Text,
        "The older name of random and random_keys: system, or aws_kms (kek, keys too)",
    ),
];
