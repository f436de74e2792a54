//! What OCI's refusals mean, in our kinds, with what to do next.
//!
//! Owns the one table of its codes. What may pass by itself becomes Unreachable; nothing that was refused does. It must
//! never see a token.

use super::config::OciVaultConfig;
use crate::error::Kind;
use crate::kek::cloud::{Known, Question, Refusal};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A token for an instance.
    Login,
    /// A data key, in clear and under the key in the vault.
    Generate,
    /// A data key, from its copy.
    Decrypt,
}

/// How a request is signed: what it means that it is not accepted depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Instance,
    User,
}

/// A question about the key.
pub(super) fn about_the_key(config: &OciVaultConfig, step: Step) -> Question<'_> {
    let (op, call) = match step {
        Step::Decrypt => ("have OCI Vault decrypt the data key", "Decrypt"),
        _ => ("get a data key from OCI Vault", "GenerateDataEncryptionKey"),
    };
    Question {
        op,
        call,
        key: &config.key_ocid,
        place: &config.crypto_endpoint,
        service: "OCI Vault",
        options: "crypto_endpoint and proxy",
    }
}

const ABSENT: &str = "OCI gives the same answer for what is not there and for what is not allowed. Check key_ocid, and crypto_endpoint: region and vault of that key. Then the policy (docs/guide/oci-vault.md): Allow dynamic-group NAME to use keys in compartment NAME where target.key.id = 'KEY', and that the instance is in that dynamic group.";
const ABSENT_FOR_USER: &str = "OCI gives the same answer for what is not there and for what is not allowed. Check key_ocid, and crypto_endpoint: region and vault of that key. Then the policy (docs/guide/oci-vault.md): Allow group NAME to use keys in compartment NAME where target.key.id = 'KEY', and that the user is in that group.";
const STATE: &str = "The key or its vault is disabled, or it is to be deleted. If it is to be deleted, cancel that NOW: oci kms management key cancel-deletion --key-id KEY --endpoint (the vault's management endpoint). If it is disabled: oci kms management key enable, with the same arguments. Then reload the keyring (docs/reference/tool.md).";
const OTHER_KEY: &str = "Either another key wrapped the DEK, or the keyring file was changed or its header is another file's: OCI gives the same answer for all of them. Check key_ocid and crypto_endpoint first; then restore the file from a backup. Nothing was changed.";
const WRONG_USER_KEY: &str = "OCI does not accept the user's signature: check tenancy_ocid, user_ocid, fingerprint and private_key_file (oci iam user api-key list shows what OCI knows), whether the user is blocked, and the clock of this machine, which may be five minutes off.";
const WRONG_TOKEN: &str = "OCI does not accept the token that it gave this instance: it has run out, or the clock of this machine is off by more than five minutes, or federation_endpoint is of another realm than crypto_endpoint.";
const WRONG_CERTIFICATE: &str = "OCI does not accept the certificate of this instance: check federation_endpoint (the instance's own region and realm), metadata_url, and the clock of this machine, which may be five minutes off.";
const NOT_THE_SERVICE: &str = "There is no such call: crypto_endpoint is not the cryptographic endpoint of a vault. oci kms management vault get shows it as crypto-endpoint; the management endpoint is another one.";
const BAD_REQUEST: &str = "Check key_ocid: it must be a key for AES, which makes data keys; those for RSA and ECDSA do not.";
const BAD_LOGIN: &str = "Check federation_endpoint and metadata_url.";
const LATER: &str = "It is tried again while there is time. If it stays, look at the state of the region's services.";
const AWAY: &str = "The key is kept outside of OCI, and its key manager does not answer. It is tried again while there is time.";
const LIMIT: &str = "A limit or quota of the tenancy forbids it: ask who administers it.";

/// What a refusal means at this step.
pub(super) fn known(step: Step, by: By, refusal: &Refusal<'_>) -> Known {
    let row = match (refusal.status, refusal.code) {
        (401, _) => match (step, by) {
            (Step::Login, _) => (Kind::Denied, WRONG_CERTIFICATE),
            (_, By::Instance) => (Kind::Denied, WRONG_TOKEN),
            (_, By::User) => (Kind::Denied, WRONG_USER_KEY),
        },
        (400, "LimitExceeded" | "QuotaExceeded") => (Kind::Denied, LIMIT),
        (_, "RelatedResourceNotAuthorizedOrNotFound" | "NotAuthorizedOrNotFound")
        | (402 | 403, _)
            if step != Step::Login =>
        {
            match by {
                By::Instance => (Kind::Denied, ABSENT),
                By::User => (Kind::Denied, ABSENT_FOR_USER),
            }
        }
        (409, "LockConflict") => (Kind::Unreachable, LATER),
        (409, "ExternalServerIncorrectState") => (Kind::Unreachable, AWAY),
        (409, _) if step != Step::Login => (Kind::Denied, STATE),
        (400, "InvalidParameter") if step == Step::Decrypt => (Kind::WrongKek, OTHER_KEY),
        (400, _) if step != Step::Login => (Kind::Config, BAD_REQUEST),
        (404 | 405 | 501, _) if step != Step::Login => (Kind::Config, NOT_THE_SERVICE),
        (400 | 404 | 405 | 501, _) => (Kind::Config, BAD_LOGIN),
        _ => return None,
    };
    Some(row)
}

/// The key itself is refused, to an identity whose signature was accepted: it is disabled, to be deleted, gone, or not for this
/// identity any more.
pub(super) fn withdraws(step: Step, refusal: &Refusal<'_>) -> bool {
    match (refusal.status, refusal.code) {
        _ if step != Step::Decrypt => false,
        (409, "LockConflict" | "ExternalServerIncorrectState") => false,
        (409, code) => !code.is_empty(),
        (_, "NotAuthorizedOrNotFound" | "RelatedResourceNotAuthorizedOrNotFound") => true,
        (403, code) => !code.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_unreachable() {
        use By::{Instance, User};
        use Step::{Decrypt, Generate, Login};
        for (step, by, status, code, kind, words) in [
            (
                Generate,
                User,
                401,
                "NotAuthenticated",
                Kind::Denied,
                "fingerprint",
            ),
            (
                Decrypt,
                Instance,
                401,
                "NotAuthenticated",
                Kind::Denied,
                "has run out",
            ),
            (
                Login,
                Instance,
                401,
                "NotAuthenticated",
                Kind::Denied,
                "certificate",
            ),
            (
                Decrypt,
                User,
                404,
                "NotAuthorizedOrNotFound",
                Kind::Denied,
                "use keys",
            ),
            (
                Decrypt,
                User,
                400,
                "RelatedResourceNotAuthorizedOrNotFound",
                Kind::Denied,
                "use keys",
            ),
            (
                Decrypt,
                User,
                403,
                "NotAuthorized",
                Kind::Denied,
                "use keys",
            ),
            (
                Decrypt,
                User,
                409,
                "IncorrectState",
                Kind::Denied,
                "cancel-deletion",
            ),
            (
                Decrypt,
                User,
                409,
                "Conflict",
                Kind::Denied,
                "cancel-deletion",
            ),
            (
                Decrypt,
                User,
                409,
                "LockConflict",
                Kind::Unreachable,
                "tried again",
            ),
            (
                Generate,
                User,
                409,
                "ExternalServerIncorrectState",
                Kind::Unreachable,
                "outside of OCI",
            ),
            (
                Decrypt,
                User,
                400,
                "InvalidParameter",
                Kind::WrongKek,
                "another file's",
            ),
            (
                Generate,
                User,
                400,
                "InvalidParameter",
                Kind::Config,
                "for AES",
            ),
            (
                Decrypt,
                User,
                400,
                "CannotParseRequest",
                Kind::Config,
                "for AES",
            ),
            (Generate, User, 400, "QuotaExceeded", Kind::Denied, "quota"),
            (
                Generate,
                User,
                404,
                "NotFound",
                Kind::Config,
                "management endpoint",
            ),
            (
                Generate,
                User,
                405,
                "MethodNotAllowed",
                Kind::Config,
                "no such call",
            ),
            (
                Generate,
                User,
                501,
                "MethodNotImplemented",
                Kind::Config,
                "no such call",
            ),
            (
                Login,
                Instance,
                400,
                "InvalidParameter",
                Kind::Config,
                "federation_endpoint",
            ),
            (
                Login,
                Instance,
                404,
                "NotFound",
                Kind::Config,
                "federation_endpoint",
            ),
        ] {
            let refusal = Refusal {
                status,
                code,
                message: "m",
            };
            let (got, hint) = known(step, by, &refusal).unwrap();
            assert_eq!(got, kind, "{step:?} {status} {code}");
            assert!(hint.contains(words), "{step:?} {status} {code}: {hint}");
        }
        // What the statuses of HTTP say is said for every service.
        for status in [429, 500, 502, 503, 504, 418, 302] {
            let refusal = Refusal {
                status,
                code: "X",
                message: "m",
            };
            assert!(known(Decrypt, User, &refusal).is_none(), "{status}");
        }
    }

    #[test]
    fn only_a_refusal_of_the_key_itself_withdraws_it() {
        for (step, status, code, withdrawn) in [
            (Step::Decrypt, 404, "NotAuthorizedOrNotFound", true),
            (Step::Decrypt, 409, "IncorrectState", true),
            (Step::Decrypt, 409, "LockConflict", false),
            (Step::Decrypt, 409, "ExternalServerIncorrectState", false),
            (Step::Decrypt, 401, "NotAuthenticated", false),
            (Step::Decrypt, 429, "TooManyRequests", false),
            (Step::Decrypt, 500, "InternalServerError", false),
            (Step::Decrypt, 404, "", false),
            (Step::Login, 404, "NotAuthorizedOrNotFound", false),
        ] {
            let message = "";
            let refusal = Refusal {
                status,
                code,
                message,
            };
            assert_eq!(withdraws(step, &refusal), withdrawn, "{status} {code}");
        }
    }
}
