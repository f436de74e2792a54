//! What went wrong with AWS, in our kinds, with what to do next.
//!
//! Owns the one table of AWS's error codes. What may pass by itself becomes Unreachable, which the adapter tries
//! again; nothing that was refused does. It must never show credentials: AWS's own sentences name ARNs and
//! access key ids, and are cleaned and cut.

use crate::error::{Error, Kind};
use crate::kek::web::{NOT_SHOWN, repeats};
use crate::net::{Answer, Cause, NetError};
pub(super) use crate::text::clean;

/// What was asked, for messages.
pub(super) struct Question<'a> {
    pub(super) op: &'static str,
    /// The IAM action.
    pub(super) action: &'static str,
    /// The key or role.
    pub(super) key: &'a str,
    /// Endpoint or region.
    pub(super) place: String,
    /// Who is asked: AWS KMS, STS.
    pub(super) service: &'static str,
    /// The key itself is used: credentials were found already.
    pub(super) of_key: bool,
}

impl Question<'_> {
    pub(super) fn error(&self, kind: Kind, why: impl std::fmt::Display) -> Error {
        Error::new(kind, self.op, format!("{}: {why}", self.shown()))
    }

    fn shown(&self) -> String {
        format!("{} for '{}' ({})", self.action, self.key, self.place)
    }

    /// An answer that KMS can't give.
    pub(super) fn odd_answer(&self, what: &str) -> Error {
        self.error(Kind::Config, format!("it answered with {what}"))
            .hint("The endpoint is not AWS KMS, or something between changes its answers. Check endpoint_url and proxy.")
    }
}

/// The kind and the hint of an AWS error code; `None`: the code says nothing to us.
fn by_code(code: &str) -> Option<(Kind, &'static str)> {
    const CLOCK: &str =
        "The signature's time does not fit: set the clock of this machine (chronyc makestep).";
    const LATER: &str =
        "It is tried again while there is time. If it stays, see the AWS Health Dashboard.";
    Some(match code {
        "NotFoundException" => (
            Kind::NotFound,
            "Check key_id, region and account: aws kms describe-key --key-id KEY.",
        ),
        "DisabledException" => (
            Kind::Denied,
            "Run aws kms enable-key --key-id KEY, then reload the keyring (docs/reference/tool.md).",
        ),
        "KMSInvalidStateException" => (
            Kind::Denied,
            "Look at its state: aws kms describe-key --key-id KEY. When it is Enabled, reload the keyring (docs/reference/tool.md).",
        ),
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "NotAuthorizedException"
        | "UnauthorizedOperation" => (
            Kind::Denied,
            "Allow that action to that identity in the key's policy or in its IAM policy; conditions on the encryption context must fit (docs/guide/aws-kms.md). For a role: its trust policy and external id.",
        ),
        "IncorrectKeyException" => (
            Kind::WrongKek,
            "Name the key that wrapped the DEK in previous_key_ids, or put back the keyring file that belongs to the configured key. Nothing was changed.",
        ),
        "InvalidCiphertextException" => (
            Kind::Tampered,
            "The wrapped data key was changed, or is another file's (the encryption context binds it to this one). Restore the keyring file from a backup. Nothing was changed.",
        ),
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "SlowDown" => (
            Kind::Unreachable,
            "KMS limits the calls of this account and region. It is tried again while there is time; ask for a higher quota if it stays.",
        ),
        "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "PriorRequestNotComplete"
        | "IDPCommunicationError" => (Kind::Unreachable, LATER),
        "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" => (
            Kind::Denied,
            "The credentials have expired: renew them where they come from, then reload the keyring (docs/reference/tool.md).",
        ),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => (
            Kind::Denied,
            "AWS does not know these credentials: correct them where they come from.",
        ),
        "InvalidIdentityToken"
        | "InvalidIdentityTokenException"
        | "IDPRejectedClaim"
        | "IDPRejectedClaimException" => (
            Kind::Denied,
            "STS does not accept the web identity token: check that it is the one of this account and audience (sts.amazonaws.com), the identity provider in IAM, and the clock.",
        ),
        "SignatureDoesNotMatch" | "InvalidSignatureException" => (
            Kind::Denied,
            "The secret access key is wrong, or the clock of this machine, or a proxy changes requests.",
        ),
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => (Kind::Denied, CLOCK),
        "InvalidKeyUsageException" | "UnsupportedOperationException" => (
            Kind::Config,
            "Name a symmetric key for encryption (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT) in key_id.",
        ),
        "InvalidArnException" | "ValidationException" | "ValidationError" => (
            Kind::Config,
            "Correct key_id (or role_arn) and region in the configuration.",
        ),
        "OptInRequired" | "SubscriptionRequiredException" | "RegionDisabledException" => {
            (Kind::Denied, "Enable KMS and this region for the account.")
        }
        _ => return None,
    })
}

/// A code by which KMS refuses the key itself, to an identity that it has accepted.
fn withdraws(code: &str, message: &str) -> bool {
    match code {
        "NotFoundException" | "DisabledException" | "AccessDeniedException" => true,
        // A key whose HSM is away is in such a state, too.
        "KMSInvalidStateException" => {
            let message = message.to_ascii_lowercase().replace(' ', "");
            message.contains("pendingdeletion") || message.contains("disabled")
        }
        _ => false,
    }
}

const NETWORK: &str =
    "Check network, firewall, endpoint_url and proxy; it is tried again while there is time.";

/// The error for an answer that is none: AWS's code decides, where there is none the HTTP status. `sent`: secrets that the
/// question carried.
pub(super) fn from_answer(
    asked: &Question<'_>,
    answer: &Answer,
    code: Option<&str>,
    message: Option<&str>,
    sent: &[&str],
) -> Error {
    let ahead = answer
        .date()
        .map(|theirs| crate::os::unix_seconds() - theirs);
    explain(asked, answer.status(), code, message, ahead, sent)
}

/// Some services answer a wrong signature with what should have been signed, the session token among it (seen in public
/// reports of others than KMS and STS): no word of that.
fn without_headers(message: &str) -> &str {
    message
        .find("The Canonical String")
        .map_or(message, |at| message[..at].trim_end())
}

/// `ahead`: by how many seconds this machine is ahead of the answer's Date.
fn explain(
    asked: &Question<'_>,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    ahead: Option<i64>,
    sent: &[&str],
) -> Error {
    let code = code.map(clean);
    let said = match (&code, message) {
        (Some(code), Some(message)) => format!("{code}: {}", clean(without_headers(message))),
        (Some(code), None) => code.clone(),
        (None, _) => format!("HTTP status {status} without an AWS error code"),
    };
    let said = match repeats(&said, sent) {
        true => format!("{NOT_SHOWN} (HTTP status {status})"),
        false => said,
    };
    let known = code.as_deref().and_then(by_code);
    let (kind, hint) = match (known, status) {
        (Some(known), _) => known,
        (None, 500.. | 408 | 429) => (
            Kind::Unreachable,
            "It is tried again while there is time. If it stays, check endpoint_url and proxy.",
        ),
        (None, 401 | 403 | 407) if code.is_none() => (
            Kind::Denied,
            "Something before KMS refuses: check endpoint_url, proxy and the policy of the VPC endpoint.",
        ),
        (None, _) if code.is_none() => (
            Kind::Config,
            "This is not AWS KMS: check endpoint_url and proxy. Redirects are not followed.",
        ),
        (None, _) => (Kind::Denied, "See KMS's documentation for this code."),
    };
    let mut error = asked.error(kind, said);
    if asked.of_key && code.is_some_and(|code| withdraws(&code, message.unwrap_or_default())) {
        error = error.withdrawn();
    }
    match ahead.filter(|s| kind == Kind::Denied && s.abs() > 240) {
        Some(seconds) => error.hint(format!(
            "The clock of this machine differs from AWS's by {seconds} s: set it (chronyc makestep)."
        )),
        None => error.hint(hint),
    }
}

/// The error of a request that got no answer. Its sentence is the network's.
pub(super) fn from_net(asked: &Question<'_>, e: NetError) -> Error {
    let hint = match e.cause() {
        Cause::TooLarge(_) => return asked.odd_answer("more than 1 MiB"),
        Cause::Timeout { .. } => {
            let who = format!("{} ({}), {}", asked.service, asked.place, asked.action);
            return Error::new(e.kind(), asked.op, who).because(e).hint(
                "Check network, firewall, name resolution and proxy; it is tried again while there is time.",
            );
        }
        Cause::Tls(rustls::Error::InvalidCertificate(_)) => {
            "The server's certificate is not accepted: check endpoint_url, the clock, the system's certificates (ca-certificates) and ca_file. Someone between may be pretending to be KMS."
        }
        Cause::Tls(_) => {
            "TLS could not be agreed upon: check endpoint_url, proxy and what stands between."
        }
        Cause::Dns { .. } => {
            "The name could not be resolved: check endpoint_url, region and the resolver (/etc/resolv.conf); it is tried again while there is time."
        }
        Cause::Connect(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            "Nothing listens there: check endpoint_url, proxy and firewall; it is tried again while there is time."
        }
        Cause::BadUrl(_) | Cause::BadHeader(_) => PLACE,
        _ => NETWORK,
    };
    Error::new(e.kind(), asked.op, asked.shown())
        .because(e)
        .hint(hint)
}

/// Options that name a host and choose another one.
pub(super) fn place_of_nothing(region: &str) -> Error {
    let why = format!(
        "in the region '{region}': an endpoint is configured, and so is another kind of endpoint (use_fips or use_dualstack)"
    );
    Error::new(Kind::Config, "find the endpoint", why).hint(PLACE)
}

const PLACE: &str = "Check region, endpoint_url, sts_endpoint_url, use_fips and use_dualstack: not every region has every endpoint.";

/// The error of a key that is to be deleted.
pub(super) fn pending_deletion(asked: &Question<'_>, date: Option<i64>) -> Error {
    let date = date.map_or_else(
        || "soon".to_string(),
        |d| format!("on {}", crate::text::utc(d)),
    );
    asked
        .error(
            Kind::Denied,
            format!("the key is pending deletion; it will be destroyed {date}, and every keyring under it with it"),
        )
        .hint(format!(
            "NOW run: aws kms cancel-key-deletion --key-id {0} && aws kms enable-key --key-id {0}; then reload the keyring (docs/reference/tool.md).",
            asked.key
        ))
        .withdrawn()
}

/// This machine is an EC2 instance: there should be a metadata service.
pub(super) fn on_ec2() -> bool {
    std::fs::read_to_string("/sys/devices/virtual/dmi/id/sys_vendor")
        .is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Question<'static> {
        Question {
            op: "ask",
            action: "kms:Decrypt",
            key: "alias/k",
            place: "eu-central-1".into(),
            service: "AWS KMS",
            of_key: true,
        }
    }

    #[test]
    fn only_what_may_pass_is_unreachable() {
        for (code, status, kind) in [
            (Some("NotFoundException"), 400, Kind::NotFound),
            (Some("AccessDeniedException"), 400, Kind::Denied),
            (Some("DisabledException"), 400, Kind::Denied),
            (Some("IncorrectKeyException"), 400, Kind::WrongKek),
            (Some("InvalidCiphertextException"), 400, Kind::Tampered),
            (Some("ThrottlingException"), 400, Kind::Unreachable),
            (Some("KMSInternalException"), 500, Kind::Unreachable),
            (Some("ExpiredTokenException"), 400, Kind::Denied),
            (Some("SomethingNew"), 400, Kind::Denied),
            (Some("SomethingNew"), 503, Kind::Unreachable),
            (None, 200, Kind::Config),
            (None, 302, Kind::Config),
            (None, 403, Kind::Denied),
            (None, 502, Kind::Unreachable),
        ] {
            let error = explain(&asked(), status, code, Some("text"), None, &[]);
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn external_text_is_cleaned_and_the_clock_is_named() {
        let long = "x\n\x1b".repeat(1000);
        let text = explain(&asked(), 400, Some("X"), Some(&long), None, &[]).to_string();
        assert!(text.len() < 1000 && !text.contains(char::is_control));
        let text = explain(
            &asked(),
            403,
            Some("InvalidSignatureException"),
            None,
            Some(900),
            &[],
        );
        assert!(text.to_string().contains("by 900 s"), "{text}");
    }

    #[test]
    fn only_what_kms_says_of_the_key_withdraws_it() {
        let of = |code: &str, message: &str, of_key: bool| {
            let asked = Question { of_key, ..asked() };
            explain(&asked, 400, Some(code), Some(message), None, &[]).is_withdrawn()
        };
        for (code, message, withdrawn) in [
            ("DisabledException", "", true),
            ("NotFoundException", "", true),
            ("AccessDeniedException", "", true),
            (
                "KMSInvalidStateException",
                "arn:k is pending deletion.",
                true,
            ),
            ("KMSInvalidStateException", "arn:k is unavailable.", false),
            ("ExpiredTokenException", "", false),
            ("UnrecognizedClientException", "", false),
            ("InvalidSignatureException", "", false),
            ("ThrottlingException", "", false),
            ("KeyUnavailableException", "", false),
            ("InvalidCiphertextException", "", false),
        ] {
            assert_eq!(of(code, message, true), withdrawn, "{code} {message}");
            assert!(!of(code, message, false), "{code} of STS is about a role");
        }
    }

    #[test]
    fn a_pending_deletion_says_when_and_what_to_do() {
        assert!(pending_deletion(&asked(), None).is_withdrawn());
        let text = pending_deletion(&asked(), Some(1_800_000_000)).to_string();
        assert!(
            text.contains("2027-01-15T08:00:00Z")
                && text.contains("cancel-key-deletion --key-id alias/k")
        );
    }

    #[test]
    fn a_refused_signature_shows_no_session_token() {
        let said = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:kms.eu-central-1.amazonaws.com\nx-amz-date:20260101T000000Z\nx-amz-security-token:HIDDENTOKEN\nx-amz-target:TrentService.Decrypt\n'";
        let text = explain(
            &asked(),
            400,
            Some("InvalidSignatureException"),
            Some(said),
            None,
            &[],
        )
        .to_string();
        assert!(!text.contains("HIDDENTOKEN"), "{text}");
    }

    /// Whatever stands between us and AWS may answer with what it was sent, in any of the places that are shown.
    #[test]
    fn words_that_repeat_what_was_sent_are_not_shown() {
        const SENT: &str = "IQoJb3JpZ2luX2VjEHIDDEN";
        for (code, said) in [
            ("AccessDeniedException", "the token IQoJb3JpZ2luX2VjEHIDDEN"),
            ("AccessDeniedException", "cut: ginX2VjEIQoJb3JpZ2luX2VjE"),
            (SENT, "no"),
        ] {
            let e = explain(&asked(), 400, Some(code), Some(said), None, &[SENT]);
            assert_eq!(e.kind(), Kind::Denied);
            let said = e.to_string();
            assert!(
                said.contains(NOT_SHOWN) && !said.contains("IQoJb3"),
                "{said}"
            );
        }
    }
}
