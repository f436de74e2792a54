//! What Google's refusals mean, in our kinds, with what to do next.
//!
//! Owns the one table of its answers, and the two forms in which it refuses: that of its APIs (google.rpc.Status), and
//! OAuth's (RFC 6749, 5.2). What has no code of its own (a version's state, a checksum, a decryption) is told apart by
//! Google's sentence: it is looked for here, and nowhere else. What may pass by itself becomes Unreachable.

use crate::error::Kind;
use crate::kek::cloud::{Known, Refusal};
use serde_json::{Map, Value};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A token, of the metadata server.
    Metadata,
    /// A token for one of somebody else, of Google's security token service.
    Exchange,
    /// A service account's token for that one.
    Impersonate,
    /// A data key under the key.
    Encrypt,
    /// A data key.
    Decrypt,
    /// Random bytes.
    Random,
}

/// The most details of a refusal that are looked at.
const MAX_DETAILS: usize = 8;

/// What Google says in the body of a refusal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The status of google.rpc, and behind it the reasons of its details; or OAuth's error.
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// What is said in these members of a body.
pub(super) fn said(members: &Map<String, Value>) -> Said {
    let text = |members: &Map<String, Value>, name: &str| {
        members.get(name).and_then(Value::as_str).map(String::from)
    };
    match members.get("error") {
        Some(Value::Object(error)) => {
            let status = error.get("status").and_then(Value::as_str);
            let words: Vec<&str> = status.into_iter().chain(reasons(error)).collect();
            Said {
                code: (!words.is_empty()).then(|| words.join(" ")),
                message: text(error, "message"),
            }
        }
        Some(Value::String(error)) => Said {
            code: Some(error.clone()),
            message: text(members, "error_description"),
        },
        _ => Said::default(),
    }
}

/// The reasons of an error's details (google.rpc.ErrorInfo), and the types of what was violated (PreconditionFailure).
fn reasons(error: &Map<String, Value>) -> impl Iterator<Item = &str> {
    fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
        of.get(name)
            .and_then(Value::as_array)
            .map_or(&[], |list| list)
    }
    let details = error.get("details").and_then(Value::as_array);
    let details = details.into_iter().flatten().take(MAX_DETAILS);
    let words = details.flat_map(|detail| {
        let violations = list(detail, "violations").iter().take(MAX_DETAILS);
        let types = violations.filter_map(|violation| violation.get("type"));
        detail.get("reason").into_iter().chain(types)
    });
    words.filter_map(Value::as_str)
}

/// What stands before the state of a version that is not enabled.
const STATE_IS: &str = "current state is: ";
const MAYBE_LATER: &str = "It is tried again while there is time.";

/// What a refusal means.
pub(super) fn explain(step: Step, refusal: &Refusal<'_>) -> Known {
    match refusal.status {
        429 => Some((
            Kind::Unreachable,
            "A quota of the project is used up: see Cloud KMS on the console's page of quotas. It is tried again while there is time.",
        )),
        499 => Some((Kind::Unreachable, MAYBE_LATER)),
        // What 408 and the server's own errors mean is not Google's alone.
        408 | 500.. => None,
        ..400 => None,
        _ => match step {
            Step::Metadata => Some(of_metadata(refusal)),
            Step::Exchange => Some(of_exchange(refusal)),
            Step::Impersonate => Some(of_impersonation(refusal)),
            Step::Encrypt | Step::Decrypt | Step::Random => Some(of_kms(step, refusal)),
        },
    }
}

/// Whether it is the use of the key itself that is refused, to somebody whom Google has accepted: not for this identity any
/// more, disabled, destroyed, deleted. What ails the project as a whole is not that.
pub(super) fn withdraws(step: Step, refusal: &Refusal<'_>) -> bool {
    let of_the_project = [
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "VPC_SERVICE_CONTROLS",
        "CONSUMER_SUSPENDED",
        "CONSUMER_INVALID",
    ];
    match (step, refusal.status) {
        (Step::Decrypt, 403) => {
            has(refusal, "PERMISSION_DENIED")
                && !of_the_project.iter().any(|reason| has(refusal, reason))
        }
        (Step::Decrypt, 404) => has(refusal, "NOT_FOUND"),
        (Step::Decrypt, 400) => {
            let gone = ["DISABLED", "DESTROY_SCHEDULED", "DESTROYED"];
            gone.contains(&state(refusal))
        }
        _ => false,
    }
}

/// Whether a refusal has this word in its code.
fn has(refusal: &Refusal<'_>, word: &str) -> bool {
    refusal
        .code
        .split_whitespace()
        .any(|of_code| of_code == word)
}

fn of_metadata(refusal: &Refusal<'_>) -> (Kind, &'static str) {
    match refusal.status {
        404 => (
            Kind::Denied,
            "This machine has no service account: attach one (gcloud compute instances set-service-account, while it is stopped), or choose another auth.",
        ),
        401 | 403 => (
            Kind::Denied,
            "In GKE the pod's service account must be allowed to be a service account of IAM: see its annotation iam.gke.io/gcp-service-account, and roles/iam.workloadIdentityUser on that account.",
        ),
        _ => (
            Kind::Config,
            "The metadata server does not take such a question: check metadata_url.",
        ),
    }
}

fn of_exchange(refusal: &Refusal<'_>) -> (Kind, &'static str) {
    let says = |words: &str| refusal.message.contains(words);
    if says("Error connecting to the given credential's issuer") {
        return (
            Kind::Unreachable,
            "Google does not reach the issuer of the subject token, whose keys it needs. It is tried again while there is time; if it stays, upload the keys to the provider (gcloud iam workload-identity-pools providers update-oidc --jwk-json-path).",
        );
    }
    match refusal.code {
        "invalid_grant" => (
            Kind::Denied,
            "Google does not accept the subject token: see its issuer, audience, expiry and signature against the provider (gcloud iam workload-identity-pools providers describe), and whether somebody still renews its file.",
        ),
        "invalid_target" => (
            Kind::Denied,
            "The pool or provider that audience in the credentials file names is disabled, deleted, or not there: gcloud iam workload-identity-pools providers list. Within 30 days a deleted one comes back by undelete.",
        ),
        "unauthorized_client" | "access_denied" => (
            Kind::Denied,
            "The provider's attribute condition rejects this identity: gcloud iam workload-identity-pools providers describe.",
        ),
        "invalid_request" | "unsupported_grant_type" | "invalid_scope" => (
            Kind::Config,
            "Check audience, subject_token_type and token_url in the credentials file: gcloud iam workload-identity-pools create-cred-config writes it.",
        ),
        _ => (
            Kind::Denied,
            "See the workload identity pool and its provider: gcloud iam workload-identity-pools providers describe.",
        ),
    }
}

fn of_impersonation(refusal: &Refusal<'_>) -> (Kind, &'static str) {
    match refusal.status {
        404 => (
            Kind::NotFound,
            "The service account that service_account_impersonation_url in the credentials file names is not there: gcloud iam service-accounts list. Within 30 days a deleted one comes back: gcloud iam service-accounts undelete ID.",
        ),
        _ if has(refusal, "SERVICE_DISABLED") => (
            Kind::Denied,
            "Enable it in the project that the sentence names: gcloud services enable iamcredentials.googleapis.com --project PROJECT.",
        ),
        401 | 403 => (
            Kind::Denied,
            "The federated identity needs roles/iam.workloadIdentityUser on the service account (or that is not there): gcloud iam service-accounts add-iam-policy-binding.",
        ),
        _ => (
            Kind::Config,
            "Check service_account_impersonation_url in the credentials file.",
        ),
    }
}

fn of_kms(step: Step, refusal: &Refusal<'_>) -> (Kind, &'static str) {
    match refusal.status {
        401 => (
            Kind::Denied,
            "Google does not accept the token: it has expired, the service account or its key was disabled or deleted (gcloud iam service-accounts keys list), or the clock of this machine is wrong.",
        ),
        403 => forbidden(step, refusal),
        404 if step == Step::Random => (
            Kind::NotFound,
            "Check project and location in key: gcloud kms locations list.",
        ),
        404 => (
            Kind::NotFound,
            "Check key: gcloud kms keys list --keyring RING --location LOCATION --project PROJECT. A project that was deleted comes back within 30 days: gcloud projects undelete. A key that was deleted does not: don't make a new one of its name, it opens nothing.",
        ),
        _ if refusal.message.contains(STATE_IS) => of_state(refusal),
        _ if refusal.message.contains("The checksum in field") => (
            Kind::Unreachable,
            "The request was changed on its way to Google. It is tried again while there is time; if it stays, look for what stands between.",
        ),
        _ if refusal.message.contains("Decryption failed") => (
            Kind::WrongKek,
            "Either this is another key than the one that wrapped the DEK, or the keyring file was changed or its header is another file's. Google gives the same answer for all of them. Check key first; then restore the file from a backup. Nothing was changed.",
        ),
        _ if step == Step::Random => (
            Kind::Config,
            "Random bytes come from HSMs only, which not every location has: gcloud kms locations list. Take random=kek out, or use a key in a location with HSMs.",
        ),
        _ if has(refusal, "INVALID_ARGUMENT") => (
            Kind::Config,
            "Name a key for symmetric encryption (purpose ENCRYPT_DECRYPT): gcloud kms keys describe KEY.",
        ),
        _ => (
            Kind::Denied,
            "See the state of the key and its primary version: gcloud kms keys describe KEY.",
        ),
    }
}

fn forbidden(step: Step, refusal: &Refusal<'_>) -> (Kind, &'static str) {
    let hint = if has(refusal, "SERVICE_DISABLED") {
        "Enable it in the project that the sentence names, the key's or that of the service account: gcloud services enable cloudkms.googleapis.com --project PROJECT. It takes some minutes."
    } else if has(refusal, "BILLING_DISABLED") {
        "The project has no billing account any more: gcloud billing projects link. Nothing is lost as long as the project and its keys are there."
    } else if has(refusal, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
        "The machine's access scopes leave Cloud KMS out: gcloud compute instances set-service-account INSTANCE --scopes cloud-platform, while it is stopped. In GKE use Workload Identity."
    } else if has(refusal, "VPC_SERVICE_CONTROLS") {
        "A service perimeter keeps this machine from Cloud KMS: see its id in the audit log, and the perimeter's ingress rules."
    } else if step == Step::Random {
        "It needs cloudkms.locations.generateRandomBytes in the key's project: keyring-ward init prints the commands. Or take random=kek out."
    } else {
        "Allow it: gcloud kms keys add-iam-policy-binding KEY --member MEMBER --role roles/cloudkms.cryptoKeyEncrypterDecrypter. A key that is not there gets the same answer: check key. A new right takes up to some minutes."
    };
    (Kind::Denied, hint)
}

/// The state of a version, as Google's sentence has it; empty: it is not about one.
fn state<'a>(refusal: &Refusal<'a>) -> &'a str {
    let (_, state) = refusal.message.split_once(STATE_IS).unwrap_or_default();
    let end = state.find(|c: char| !c.is_ascii_uppercase() && c != '_');
    &state[..end.unwrap_or(state.len())]
}

/// A version that is not enabled. Its number is in Google's sentence.
fn of_state(refusal: &Refusal<'_>) -> (Kind, &'static str) {
    match state(refusal) {
        "DISABLED" => (
            Kind::Denied,
            "Enable the version that the sentence names, at the end N: gcloud kms keys versions enable KEY/cryptoKeyVersions/N. Then reload the keyring.",
        ),
        "DESTROY_SCHEDULED" => (
            Kind::Denied,
            "NOW, before its date, restore the version that the sentence names, at the end N: gcloud kms keys versions restore KEY/cryptoKeyVersions/N, and then gcloud kms keys versions enable KEY/cryptoKeyVersions/N. Then reload the keyring. Once it is destroyed nothing opens what it wrapped.",
        ),
        "DESTROYED" => (
            Kind::Denied,
            "What this version wrapped can't be opened by it any more, unless its material was imported and is kept elsewhere (gcloud kms keys versions import). Use another KEK of this keyring (keyring-ward kek list), or a backup of the file under another key or version. Don't remove the file.",
        ),
        "PENDING_GENERATION" | "PENDING_IMPORT" => (Kind::Unreachable, MAYBE_LATER),
        _ => (
            Kind::Denied,
            "See the state of the version: gcloud kms keys versions list --key KEY.",
        ),
    }
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
