//! The options of the provider `alibaba_kms`: names, places and what they are for.

use crate::options::{OptionSpec, ValueKind};

/// The section.
pub(super) const NAME: &str = "alibaba_kms";

/// All of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    text(
        "alibaba_kms_key_id",
        "The key in Alibaba Cloud KMS: its id, its ARN, or alias/NAME",
    )
    .about("the symmetric key: its id (`key-…`, or a UUID), its ARN (`acs:kms:REGION:ACCOUNT:key/ID`), or `alias/NAME`"),
    text(
        "alibaba_kms_region",
        "The region of the key, as cn-hangzhou",
    )
    .about("the region of the key, as `cn-hangzhou`; default: the one in the key's ARN"),
    text(
        "alibaba_kms_endpoint",
        "The endpoint of KMS, instead of the region's public one",
    )
    .about("the endpoint of KMS; default `https://kms.REGION.aliyuncs.com`"),
    text(
        "alibaba_kms_auth",
        "How to come by credentials: ecs_ram_role, oidc or access_key",
    )
    .about("how to come by credentials: `ecs_ram_role` (the instance's RAM role; the default), `oidc` (a RAM role for a pod's token, as ACK's RRSA) or `access_key` (a file)"),
    text(
        "alibaba_kms_role_name",
        "The RAM role of the instance, for auth ecs_ram_role",
    )
    .about("the RAM role of the instance, for `ecs_ram_role`; default: the metadata service is asked for it, which is one more request"),
    text(
        "alibaba_kms_role_arn",
        "The ARN of the RAM role, for auth oidc",
    )
    .about("the ARN of the RAM role, for `oidc`; default: `ALIBABA_CLOUD_ROLE_ARN` in the environment"),
    text(
        "alibaba_kms_oidc_provider_arn",
        "The ARN of the OIDC identity provider, for auth oidc",
    )
    .about("the ARN of the OIDC identity provider, for `oidc`; default: `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` in the environment"),
    text(
        "alibaba_kms_oidc_token_file",
        "The file with the OIDC token, for auth oidc",
    )
    .about("the file with the OIDC token, read for each operation, for `oidc`; default: `ALIBABA_CLOUD_OIDC_TOKEN_FILE` in the environment"),
    text(
        "alibaba_kms_sts_endpoint",
        "The endpoint of STS, instead of the region's public one, for auth oidc",
    )
    .about("the endpoint of STS, for `oidc`; default `https://sts.REGION.aliyuncs.com`"),
    text(
        "alibaba_kms_credentials_file",
        "The file with the access key, or credential:NAME, for auth access_key",
    )
    .about("the file with the access key, or `credential:NAME`, for `access_key`: two lines, `access_key_id=…` and `access_key_secret=…`"),
    text(
        "alibaba_kms_metadata_url",
        "The instance metadata service, for auth ecs_ram_role",
    )
    .about("the instance metadata service, for `ecs_ram_role`; default `http://100.100.100.200`"),
    text(
        "alibaba_kms_ca_file",
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    text(
        "alibaba_kms_proxy",
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "alibaba_kms_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "alibaba_kms_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take, its credentials included",
    ),
];

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec::of(NAME, name, ValueKind::Text, help)
}
