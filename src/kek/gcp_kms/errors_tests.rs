//! Each refusal of Google has its kind and says what to do next.

use super::*;
use serde_json::json;

fn of(step: Step, status: u16, code: &str, message: &str) -> Known {
    explain(
        step,
        &Refusal {
            status,
            code,
            message,
        },
    )
}

#[test]
fn only_what_may_pass_is_unreachable() {
    const V: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1 is not enabled, current state is: ";
    let state = |state: &str| format!("{V}{state}.");
    let (decrypt, encrypt, random) = (Step::Decrypt, Step::Encrypt, Step::Random);
    for (step, status, code, message, kind, words) in [
        (
            decrypt,
            400,
            "INVALID_ARGUMENT",
            "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
            Kind::WrongKek,
            "another key",
        ),
        (
            decrypt,
            400,
            "INVALID_ARGUMENT",
            "Decryption failed: the ciphertext is invalid.",
            Kind::WrongKek,
            "was changed",
        ),
        (
            encrypt,
            400,
            "INVALID_ARGUMENT",
            "The checksum in field plaintext_crc32c did not match the data in field plaintext.",
            Kind::Unreachable,
            "on its way",
        ),
        (
            encrypt,
            400,
            "INVALID_ARGUMENT",
            "purpose",
            Kind::Config,
            "ENCRYPT_DECRYPT",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION KEY_DISABLED",
            &state("DISABLED"),
            Kind::Denied,
            "versions enable KEY",
        ),
        (
            encrypt,
            400,
            "FAILED_PRECONDITION",
            &state("DISABLED"),
            Kind::Denied,
            "versions enable KEY",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION",
            &state("DESTROY_SCHEDULED"),
            Kind::Denied,
            "NOW",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION",
            &state("DESTROYED"),
            Kind::Denied,
            "imported",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION",
            &state("PENDING_GENERATION"),
            Kind::Unreachable,
            "again",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION",
            &state("IMPORT_FAILED"),
            Kind::Denied,
            "versions list",
        ),
        (
            decrypt,
            400,
            "FAILED_PRECONDITION",
            "something new",
            Kind::Denied,
            "keys describe",
        ),
        (
            decrypt,
            403,
            "PERMISSION_DENIED",
            "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied on resource 'x' (or it may not exist).",
            Kind::Denied,
            "A key that is not there",
        ),
        (
            decrypt,
            403,
            "PERMISSION_DENIED SERVICE_DISABLED",
            "x",
            Kind::Denied,
            "services enable cloudkms",
        ),
        (
            decrypt,
            403,
            "PERMISSION_DENIED BILLING_DISABLED",
            "x",
            Kind::Denied,
            "billing",
        ),
        (
            decrypt,
            403,
            "PERMISSION_DENIED ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "x",
            Kind::Denied,
            "access scopes",
        ),
        (
            decrypt,
            403,
            "PERMISSION_DENIED VPC_SERVICE_CONTROLS",
            "x",
            Kind::Denied,
            "perimeter",
        ),
        (
            random,
            403,
            "PERMISSION_DENIED",
            "x",
            Kind::Denied,
            "generateRandomBytes",
        ),
        (random, 400, "INVALID_ARGUMENT", "x", Kind::Config, "HSMs"),
        (
            random,
            404,
            "NOT_FOUND",
            "x",
            Kind::NotFound,
            "locations list",
        ),
        (decrypt, 404, "NOT_FOUND", "x", Kind::NotFound, "keys list"),
        (decrypt, 401, "UNAUTHENTICATED", "x", Kind::Denied, "clock"),
        (
            decrypt,
            429,
            "RESOURCE_EXHAUSTED",
            "x",
            Kind::Unreachable,
            "quota",
        ),
        (decrypt, 499, "CANCELLED", "x", Kind::Unreachable, "again"),
        (
            Step::Metadata,
            404,
            "",
            "x",
            Kind::Denied,
            "no service account",
        ),
        (Step::Metadata, 403, "", "x", Kind::Denied, "GKE"),
        (Step::Metadata, 400, "", "x", Kind::Config, "metadata_url"),
        (
            Step::Exchange,
            400,
            "invalid_grant",
            "x",
            Kind::Denied,
            "subject token",
        ),
        (
            Step::Exchange,
            400,
            "invalid_grant",
            "Error connecting to the given credential's issuer.",
            Kind::Unreachable,
            "issuer",
        ),
        (
            Step::Exchange,
            400,
            "invalid_target",
            "x",
            Kind::Denied,
            "pool or provider",
        ),
        (
            Step::Exchange,
            400,
            "invalid_request",
            "x",
            Kind::Config,
            "create-cred-config",
        ),
        (
            Step::Exchange,
            401,
            "unauthorized_client",
            "x",
            Kind::Denied,
            "attribute condition",
        ),
        (
            Step::Exchange,
            403,
            "PERMISSION_DENIED",
            "x",
            Kind::Denied,
            "pool",
        ),
        (
            Step::Impersonate,
            403,
            "PERMISSION_DENIED IAM_PERMISSION_DENIED",
            "x",
            Kind::Denied,
            "workloadIdentityUser",
        ),
        (
            Step::Impersonate,
            403,
            "PERMISSION_DENIED SERVICE_DISABLED",
            "x",
            Kind::Denied,
            "iamcredentials",
        ),
        (
            Step::Impersonate,
            404,
            "NOT_FOUND",
            "x",
            Kind::NotFound,
            "service account",
        ),
        (
            Step::Impersonate,
            400,
            "INVALID_ARGUMENT",
            "x",
            Kind::Config,
            "impersonation_url",
        ),
    ] {
        let (got, hint) = of(step, status, code, message).unwrap();
        assert_eq!(got, kind, "{status} {code} {message}");
        assert!(hint.contains(words), "{words}: {hint}");
    }
    for (step, status) in [
        (decrypt, 500),
        (decrypt, 503),
        (encrypt, 504),
        (decrypt, 408),
        (Step::Exchange, 503),
        (Step::Metadata, 500),
        (decrypt, 302),
        (decrypt, 200),
    ] {
        // cloud::Question knows them.
        assert_eq!(of(step, status, "X", "x"), None, "{status}");
    }
}

#[test]
fn both_forms_of_a_refusal_are_read() {
    let of = |value: Value| said(value.as_object().unwrap());
    let text = |text: &str| Some(text.to_string());
    let both = |code: &str, message: &str| Said {
        code: text(code),
        message: text(message),
    };
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED", "domain": "googleapis.com"},
        {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [{"type": "KEY_DISABLED", "subject": "x"}, 7]},
        {"reason": 7, "violations": "x"}, null,
    ]);
    assert_eq!(
        of(
            json!({"error": {"code": 403, "message": "m", "status": "PERMISSION_DENIED", "details": details}})
        ),
        both("PERMISSION_DENIED SERVICE_DISABLED KEY_DISABLED", "m")
    );
    assert_eq!(
        of(json!({"error": "invalid_grant", "error_description": "d"})),
        both("invalid_grant", "d")
    );
    let many: Vec<Value> = (0..1000).map(|_| json!({"reason": "R"})).collect();
    let code = of(json!({"error": {"details": many}})).code.unwrap();
    assert_eq!(code.len(), 2 * MAX_DETAILS - 1);
    for nothing in [
        json!({}),
        json!({"error": null}),
        json!({"error": []}),
        json!({"error": {"status": 7, "message": {}, "details": "x"}}),
    ] {
        assert_eq!(of(nothing.clone()), Said::default(), "{nothing}");
    }
}

#[test]
fn only_a_refusal_of_the_key_itself_withdraws_it() {
    let of = |step, status, code, message| {
        withdraws(
            step,
            &Refusal {
                status,
                code,
                message,
            },
        )
    };
    let denied = "PERMISSION_DENIED IAM_PERMISSION_DENIED";
    for (status, code, message) in [
        (403, denied, "x"),
        (403, "PERMISSION_DENIED", "x"),
        (404, "NOT_FOUND", "x"),
        (
            400,
            "FAILED_PRECONDITION",
            "x is not enabled, current state is: DISABLED.",
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "x is not enabled, current state is: DESTROY_SCHEDULED.",
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "x is not enabled, current state is: DESTROYED.",
        ),
    ] {
        assert!(of(Step::Decrypt, status, code, message), "{code} {message}");
        for step in [
            Step::Encrypt,
            Step::Random,
            Step::Impersonate,
            Step::Exchange,
        ] {
            assert!(!of(step, status, code, message), "{step:?}");
        }
    }
    for (status, code, message) in [
        (401, "UNAUTHENTICATED", "x"),
        (403, "", "x"),
        (403, "PERMISSION_DENIED SERVICE_DISABLED", "x"),
        (403, "PERMISSION_DENIED BILLING_DISABLED", "x"),
        (
            403,
            "PERMISSION_DENIED ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "x",
        ),
        (403, "PERMISSION_DENIED VPC_SERVICE_CONTROLS", "x"),
        (404, "", "x"),
        (400, "INVALID_ARGUMENT", "Decryption failed: x"),
        (
            400,
            "FAILED_PRECONDITION",
            "x is not enabled, current state is: PENDING_IMPORT.",
        ),
        (429, "RESOURCE_EXHAUSTED", "x"),
        (503, "UNAVAILABLE", "x"),
    ] {
        assert!(
            !of(Step::Decrypt, status, code, message),
            "{code} {message}"
        );
    }
}
