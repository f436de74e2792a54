//! What went wrong with Alibaba Cloud, in our kinds, with what to do next.
//!
//! Owns the tables of the error codes of KMS and STS (KMS, "Common error codes"; STS, "Error codes"). What may pass by
//! itself becomes Unreachable, which the adapter tries again; nothing that was refused does. A hint must never tell to make
//! a new key where an old one may come back.

use crate::error::Kind;
use crate::kek::cloud::{Known, Refusal};

/// What KMS is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A new data key.
    GenerateDataKey,
    /// A data key back.
    Decrypt,
}

impl Action {
    /// Its name in the interface.
    pub(super) fn name(self) -> &'static str {
        match self {
            Action::GenerateDataKey => "GenerateDataKey",
            Action::Decrypt => "Decrypt",
        }
    }

    /// Its name in RAM's policies.
    pub(super) fn permission(self) -> &'static str {
        match self {
            Action::GenerateDataKey => "kms:GenerateDataKey",
            Action::Decrypt => "kms:Decrypt",
        }
    }
}

const LATER: &str =
    "It is tried again while there is time. If it stays, see the Alibaba Cloud status page.";
const THROTTLED: &str = "The calls of this account are limited. It is tried again while there is time; ask for a higher quota if it stays.";
const POLICY: &str = "Allow that action on KEY to the RAM role or user, in its RAM policy and, for a key of a KMS instance, in the key's policy (docs/guide/alibaba-kms.md); keyring-ward init prints the least.";
const ALTERED: &str = "The wrapped data key was changed, or is another file's (the encryption context binds it to this one). Restore the keyring file from a backup. Nothing was changed.";
const REQUEST: &str = "KMS does not take the request as it is: check key_id, region and endpoint. The key must be a symmetric one (KeySpec Aliyun_AES_256 or Aliyun_SM4): aliyun kms DescribeKey --KeyId KEY.";

/// What a code of KMS means in the answer to `action`.
pub(super) fn of_kms(action: Action, refusal: &Refusal<'_>) -> Known {
    about_the_key(action, refusal.code)
        .or_else(|| about_the_request(action, refusal.code))
        .or_else(|| of_every_service(refusal.code))
}

fn about_the_key(action: Action, code: &str) -> Known {
    Some(match code {
        "Forbidden.KeyNotFound" if action == Action::Decrypt => (
            Kind::NotFound,
            "The key that wrapped the DEK is not there: check region, endpoint and account: aliyun kms DescribeKey --KeyId KEY. One that was deleted does not come back: restore a keyring file that is under another key.",
        ),
        "Forbidden.KeyNotFound" => (
            Kind::NotFound,
            "Check key_id, region, endpoint and account: aliyun kms DescribeKey --KeyId KEY. A key of another account is named by its ARN.",
        ),
        "Forbidden.AliasNotFound" => (
            Kind::NotFound,
            "Check key_id, region, endpoint and account: aliyun kms ListAliases.",
        ),
        "Forbidden.KeyVersionNotFound" => (
            Kind::NotFound,
            "The key's version that wrapped the DEK is not there: aliyun kms ListKeyVersions --KeyId KEY. Restore a keyring file that is under another version.",
        ),
        "Rejected.Disabled" => (
            Kind::Denied,
            "Run aliyun kms EnableKey --KeyId KEY, then reload the keyring (docs/reference/tool.md).",
        ),
        "Rejected.PendingDeletion" => (
            Kind::Denied,
            "NOW run aliyun kms CancelKeyDeletion --KeyId KEY, and EnableKey where it is disabled then: when the key is deleted, every keyring under it is lost. Then reload the keyring (docs/reference/tool.md).",
        ),
        "Rejected.PendingImport" => (
            Kind::Denied,
            "The key has no key material (PendingImport), or it has expired: import the same material again (aliyun kms ImportKeyMaterial), then reload the keyring (docs/reference/tool.md).",
        ),
        "Rejected.Unavailable" => (
            Kind::Denied,
            "The key is Unavailable: look at it and at its KMS instance, which may have expired or be paid for no more: aliyun kms DescribeKey --KeyId KEY. Then reload the keyring (docs/reference/tool.md).",
        ),
        "Forbidden.NoPermission" | "Forbidden.RAM" | "NoPermission" => (Kind::Denied, POLICY),
        "Forbidden.KmsServiceNotEnabled" | "Forbidden.UbsmsInvalidBid" => (
            Kind::Denied,
            "Activate Key Management Service for the account.",
        ),
        code if code.starts_with("Forbidden.InDebt") => (
            Kind::Denied,
            "Pay what the account owes NOW: KMS may delete what it keeps for accounts in debt.",
        ),
        _ => return None,
    })
}

/// KMS refuses the key itself, to an identity that it has accepted: disabled, to be deleted, gone, without material, or not for
/// this identity any more. A key whose instance is away, and an account in debt, are not that.
pub(super) fn withdraws(action: Action, refusal: &Refusal<'_>) -> bool {
    let of_the_key = [
        "Forbidden.KeyNotFound",
        "Forbidden.KeyVersionNotFound",
        "Rejected.Disabled",
        "Rejected.PendingDeletion",
        "Rejected.PendingImport",
        "Forbidden.NoPermission",
        "Forbidden.RAM",
        "NoPermission",
    ];
    action == Action::Decrypt && of_the_key.contains(&refusal.code)
}

fn about_the_request(action: Action, code: &str) -> Known {
    let refused = code.starts_with("InvalidParameter")
        || code.starts_with("InvalidCiphertext")
        || code.ends_with("UnsupportedOperation");
    Some(match action {
        Action::Decrypt if refused => (Kind::Tampered, ALTERED),
        _ if refused
            || code.starts_with("MissingParameter")
            || code.starts_with("InvalidAction") =>
        {
            (Kind::Config, REQUEST)
        }
        _ => return None,
    })
}

/// What a code of STS means. KEY is the role.
pub(super) fn of_sts(refusal: &Refusal<'_>) -> Known {
    Some(match refusal.code {
        "AuthenticationFail.OIDCToken.Expired" => (
            Kind::Denied,
            "The token in oidc_token_file has expired: it must be the one that the cluster renews (a projected volume), and the clock of this machine must be right.",
        ),
        "AuthenticationFail.OIDCToken.AudienceNotMatch" => (
            Kind::Denied,
            "The token's audience must be one of the client ids of the OIDC identity provider in RAM, usually sts.aliyuncs.com.",
        ),
        "AuthenticationFail.NoPermission" => (
            Kind::Denied,
            "Check that the OIDC identity provider is registered in RAM (oidc_provider_arn), and that the trust policy of KEY names it with the token's oidc:iss, oidc:aud and oidc:sub.",
        ),
        code if code.starts_with("AuthenticationFail") => (
            Kind::Denied,
            "STS does not accept the token: check oidc_token_file, and issuer and fingerprint of the OIDC identity provider in RAM (oidc_provider_arn).",
        ),
        code if code.starts_with("EntityNotExist") => {
            (Kind::NotFound, "Check role_arn: aliyun ram ListRoles.")
        }
        code if code.starts_with("NoPermission") || code.starts_with("Forbidden") => (
            Kind::Denied,
            "The trust policy of KEY must let the OIDC identity provider assume it.",
        ),
        code if code.starts_with("InvalidParameter") || code.starts_with("MissingParameter") => (
            Kind::Config,
            "Check role_arn, oidc_provider_arn and the token's file.",
        ),
        code => return of_every_service(code),
    })
}

/// Codes of the gateway before all services: who asks, when, and how often.
fn of_every_service(code: &str) -> Known {
    Some(match code {
        "InvalidAccessKeyId.Inactive" | "Forbidden.AccessKey" | "Forbidden.AccessKeyDisabled" => (
            Kind::Denied,
            "The access key is disabled: enable it, or use another one.",
        ),
        "InvalidTimeStamp.Expired" | "IllegalTimestamp" | "InvalidTimeStamp.Format" => (
            Kind::Denied,
            "The request's time differs by more than 15 minutes: set the clock of this machine (chronyc makestep).",
        ),
        "SignatureDoesNotMatch" | "IncompleteSignature" => (
            Kind::Denied,
            "The access key's secret is wrong, or a proxy changes requests.",
        ),
        "SignatureNonceUsed" => (
            Kind::Unreachable,
            "Something between has sent the request twice: check proxy. It is tried again, with another number, while there is time.",
        ),
        "Rejected.Throttling" => (Kind::Unreachable, THROTTLED),
        // "Serivce…" is how some of the vendor's pages have it.
        "ServiceUnavailableTemporary"
        | "SerivceUnavailableTemporary"
        | "ServiceUnavailable"
        | "InternalFailure"
        | "InternalError" => (Kind::Unreachable, LATER),
        code if code.starts_with("Throttling") => (Kind::Unreachable, THROTTLED),
        code if code.starts_with("InvalidAccessKeyId") => (
            Kind::Denied,
            "Alibaba Cloud does not know this access key: correct it where it comes from. It says so of temporary credentials that have expired as well.",
        ),
        code if code.starts_with("InvalidSecurityToken")
            || code.starts_with("MissingSecurityToken") =>
        {
            (
                Kind::Denied,
                "The temporary credentials are not accepted, or have expired: see where they come from (auth), and the clock of this machine.",
            )
        }
        code if code.starts_with("Forbidden") || code.starts_with("NoPermission") => {
            (Kind::Denied, POLICY)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str) -> Refusal<'_> {
        Refusal {
            status: 400,
            code,
            message: "m",
        }
    }

    #[test]
    fn every_code_of_kms_has_its_kind() {
        use Action::{Decrypt, GenerateDataKey};
        use Kind::{Config, Denied, NotFound, Tampered, Unreachable};
        for (code, making, opening, words) in [
            (
                "Forbidden.KeyNotFound",
                NotFound,
                NotFound,
                "DescribeKey --KeyId KEY",
            ),
            ("Forbidden.AliasNotFound", NotFound, NotFound, "ListAliases"),
            (
                "Forbidden.KeyVersionNotFound",
                NotFound,
                NotFound,
                "ListKeyVersions",
            ),
            ("Rejected.Disabled", Denied, Denied, "EnableKey --KeyId KEY"),
            (
                "Rejected.PendingDeletion",
                Denied,
                Denied,
                "NOW run aliyun kms CancelKeyDeletion",
            ),
            (
                "Rejected.PendingImport",
                Denied,
                Denied,
                "ImportKeyMaterial",
            ),
            ("Rejected.Unavailable", Denied, Denied, "KMS instance"),
            ("Forbidden.NoPermission", Denied, Denied, "RAM policy"),
            ("Forbidden.RAM", Denied, Denied, "RAM policy"),
            ("NoPermission", Denied, Denied, "RAM policy"),
            (
                "Forbidden.ProhibitedByRiskControl",
                Denied,
                Denied,
                "RAM policy",
            ),
            ("Forbidden.KmsServiceNotEnabled", Denied, Denied, "Activate"),
            ("Forbidden.InDebtOverdue", Denied, Denied, "owes NOW"),
            ("InvalidParameter", Config, Tampered, ""),
            ("InvalidParameter.CiphertextBlob", Config, Tampered, ""),
            ("InvalidCiphertextBlob", Config, Tampered, ""),
            ("UnsupportedOperation", Config, Tampered, ""),
            ("Rejected.UnsupportedOperation", Config, Tampered, ""),
            ("MissingParameter", Config, Config, "as it is"),
            ("InvalidAction.NotFound", Config, Config, "as it is"),
            (
                "InvalidAccessKeyId.NotFound",
                Denied,
                Denied,
                "does not know this access key",
            ),
            ("InvalidAccessKeyId.Inactive", Denied, Denied, "is disabled"),
            ("SignatureDoesNotMatch", Denied, Denied, "secret is wrong"),
            ("IncompleteSignature", Denied, Denied, "secret is wrong"),
            ("SignatureNonceUsed", Unreachable, Unreachable, "twice"),
            (
                "InvalidSecurityToken.Expired",
                Denied,
                Denied,
                "have expired",
            ),
            (
                "InvalidSecurityToken.Malformed",
                Denied,
                Denied,
                "not accepted",
            ),
            ("MissingSecurityToken", Denied, Denied, "not accepted"),
            ("InvalidTimeStamp.Expired", Denied, Denied, "chronyc"),
            ("Rejected.Throttling", Unreachable, Unreachable, "limited"),
            ("Throttling.User", Unreachable, Unreachable, "limited"),
            (
                "ServiceUnavailableTemporary",
                Unreachable,
                Unreachable,
                "tried again",
            ),
            ("InternalFailure", Unreachable, Unreachable, "tried again"),
        ] {
            for (action, kind) in [(GenerateDataKey, making), (Decrypt, opening)] {
                let (got, hint) = of_kms(action, &refusal(code)).unwrap();
                assert_eq!(got, kind, "{code}");
                assert!(hint.contains(words), "{code}: {hint}");
            }
        }
        for unknown in ["", "Something.New", "forbidden"] {
            assert_eq!(of_kms(Decrypt, &refusal(unknown)), None, "{unknown}");
        }
    }

    #[test]
    fn every_code_of_sts_has_its_kind() {
        use Kind::{Config, Denied, NotFound, Unreachable};
        for (code, kind, words) in [
            (
                "AuthenticationFail.OIDCToken.Expired",
                Denied,
                "has expired",
            ),
            (
                "AuthenticationFail.OIDCToken.AudienceNotMatch",
                Denied,
                "audience",
            ),
            (
                "AuthenticationFail.OIDCToken.Invalid",
                Denied,
                "does not accept",
            ),
            (
                "AuthenticationFail.OIDCToken.InvalidSignature",
                Denied,
                "does not accept",
            ),
            (
                "AuthenticationFail.NoPermission",
                Denied,
                "trust policy of KEY",
            ),
            ("EntityNotExist.Role", NotFound, "role_arn"),
            ("NoPermission", Denied, "trust policy of KEY"),
            ("InvalidParameter.RoleArn", Config, "role_arn"),
            ("MissingParameter.OIDCToken", Config, "role_arn"),
            ("InvalidTimeStamp.Expired", Denied, "chronyc"),
            ("Throttling.User", Unreachable, "limited"),
            ("InternalError", Unreachable, "tried again"),
        ] {
            let (got, hint) = of_sts(&refusal(code)).unwrap();
            assert_eq!(got, kind, "{code}");
            assert!(hint.contains(words), "{code}: {hint}");
        }
        assert_eq!(of_sts(&refusal("Something.New")), None);
    }

    #[test]
    fn only_a_refusal_of_the_key_itself_withdraws_it() {
        for (code, withdrawn) in [
            ("Rejected.Disabled", true),
            ("Rejected.PendingDeletion", true),
            ("Forbidden.KeyNotFound", true),
            ("Forbidden.NoPermission", true),
            ("Rejected.Unavailable", false),
            ("Forbidden.InDebt", false),
            ("Rejected.Throttling", false),
            ("SignatureDoesNotMatch", false),
            ("InvalidSecurityToken.Expired", false),
        ] {
            assert_eq!(
                withdraws(Action::Decrypt, &refusal(code)),
                withdrawn,
                "{code}"
            );
            assert!(
                !withdraws(Action::GenerateDataKey, &refusal(code)),
                "{code}"
            );
        }
    }
}
