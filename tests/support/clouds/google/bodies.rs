//! Google's bodies for what it refuses. Part of the fake of Google Cloud.

use super::Refused;
use crate::clouds::{Answer, Request};
use serde_json::{Value, json};

pub fn refusal(code: u16, status: &str, message: &str, details: Value) -> Refused {
    let mut error = json!({"code": code, "message": message, "status": status});
    if details != json!([]) {
        error["details"] = details;
    }
    Box::new(Answer::json(code, &json!({"error": error})))
}

pub fn invalid(message: &str) -> Refused {
    refusal(400, "INVALID_ARGUMENT", message, json!([]))
}

pub fn not_found(message: &str) -> Refused {
    refusal(404, "NOT_FOUND", message, json!([]))
}

pub fn denied(permission: &str, resource: Option<&str>) -> Refused {
    let on = resource
        .map(|name| format!(" '{name}'"))
        .unwrap_or_default();
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com",
        "metadata": {"permission": permission}});
    let message =
        format!("Permission '{permission}' denied on resource{on} (or it may not exist).");
    refusal(403, "PERMISSION_DENIED", &message, json!([info]))
}

pub fn unauthenticated(reason: &str, method: &str) -> Refused {
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
        "metadata": {"method": method, "service": "cloudkms.googleapis.com"}});
    refusal(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        json!([info]),
    )
}

pub fn need_scope(caller: &(String, String), any: &[&str]) -> Result<(), Refused> {
    let mut scopes = caller.1.split([' ', ',']);
    if scopes.any(|scope| any.contains(&scope)) {
        return Ok(());
    }
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com",
        "metadata": {"service": "cloudkms.googleapis.com"}});
    Err(refusal(
        403,
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
        json!([info]),
    ))
}

/// The members of a request's body, all of them known.
pub fn members(request: &Request, known: &[&str]) -> Result<Value, Refused> {
    let kind = request.header("content-type").unwrap_or_default();
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    let Some(body) = body.filter(|body| body.is_object() && kind.starts_with("application/json"))
    else {
        return Err(invalid("Invalid JSON payload received."));
    };
    let mut names = body.as_object().unwrap().keys();
    match names.find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(invalid(&format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
        ))),
        None => Ok(body),
    }
}

/// A page as the metadata server has it for who is refused.
pub fn page(status: u16, words: &str) -> Answer {
    let mut answer = Answer::text(
        status,
        &format!(
            "<!DOCTYPE html>\n<html lang=en>\n  <title>Error {status}</title>\n  <p>{words}\n"
        ),
    );
    answer.headers = vec![("Content-Type", "text/html; charset=UTF-8".into())];
    answer
}

pub fn has_word(words: &str, word: &str) -> bool {
    words.split([' ', ',']).any(|w| w == word)
}

/// A time as the header Date has it.
pub fn date(seconds: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let text = at
        .format(&time::format_description::well_known::Rfc2822)
        .unwrap();
    text.replace("+0000", "GMT")
}
