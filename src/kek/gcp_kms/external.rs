//! Google's credentials file of the type `external_account`, as gcloud iam workload-identity-pools create-cred-config writes
//! it.
//!
//! Owns what it may name. It is no secret, but it says who gets the subject token: only Google does, whatever stands in it.
//! It must never have a program run or a URL asked for the subject token: that comes from a file.

use super::names::{self, is_name};
use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::trusted::{self, Rule};
use crate::text::clean;
use serde_json::{Map, Value};
use std::path::Path;

/// What it is read for.
pub(super) const OP: &str = "log in to Google by federation";
/// Largest file in bytes.
const MAX_FILE: u64 = 65_536;
/// Google's security token service.
const STS: &str = "https://sts.googleapis.com/v1/token";
/// How Google's types of tokens begin (RFC 8693, section 3).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:token-type:";
/// The types of subject tokens that a file can hold.
const SUBJECTS: [&str; 3] = ["jwt", "id_token", "saml2"];
/// The end of a URL by which a service account is impersonated.
const IMPERSONATE: &str = ":generateAccessToken";

/// What the credentials file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct External {
    /// The provider of the pool.
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    pub(super) token_url: String,
    /// Where the service account's token comes from; `None`: the identity itself may use the key.
    pub(super) impersonation_url: Option<String>,
    /// The file of the subject token.
    pub(super) file: String,
    /// The member that it is, where the file is JSON.
    pub(super) member: Option<String>,
}

/// A mistake in the file, and what to do.
type Mistake = (String, &'static str);

fn mistake(path: &str, (why, hint): Mistake) -> Error {
    Error::new(Kind::Config, OP, format!("'{}' {why}", clean(path))).hint(hint)
}

impl External {
    /// Reads the file. `here`: this machine itself may be Google, for tests.
    pub(super) fn read(path: &str, here: bool) -> Result<External> {
        const HINT: &str = "Let gcloud iam workload-identity-pools create-cred-config write it.";
        let mut found = trusted::open(Path::new(path), Rule::Settings, OP)?;
        let bytes = file::read_bounded(&mut found.file, MAX_FILE)
            .map_err(|e| Error::io(OP, format!("'{}'", clean(path)), e))?;
        match crate::json::parse(&bytes) {
            Ok(Value::Object(members)) => {
                External::parse(&members, here).map_err(|why| mistake(path, why))
            }
            Ok(_) => Err(mistake(path, ("holds no JSON object".into(), HINT))),
            Err(e) => Err(mistake(path, (format!("is no JSON: {e}"), HINT))),
        }
    }

    fn parse(members: &Map<String, Value>, here: bool) -> std::result::Result<External, Mistake> {
        check_kind(members)?;
        let audience = required(members, "audience")?;
        let of_pool = audience.starts_with("//iam.googleapis.com/projects/");
        if !of_pool || !audience.contains("/workloadIdentityPools/") {
            return Err((
                "names no provider of a workload identity pool as audience".into(),
                "It must be //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER. Workforce pools are for people.",
            ));
        }
        let subject_token_type = required(members, "subject_token_type")?;
        let kind = subject_token_type.strip_prefix(TYPE);
        if !kind.is_some_and(|kind| SUBJECTS.contains(&kind)) {
            return Err((
                "has another subject_token_type than jwt, id_token or saml2".into(),
                "Use a provider of OpenID Connect or SAML: urn:ietf:params:oauth:token-type:jwt.",
            ));
        }
        let token_url = optional(members, "token_url")?.unwrap_or_else(|| STS.into());
        let impersonation_url = optional(members, "service_account_impersonation_url")?;
        let to_iam = |url: &String| {
            names::is_googles(url, "iamcredentials", here) && url.ends_with(IMPERSONATE)
        };
        if !names::is_googles(&token_url, "sts", here) {
            return Err(foreign("token_url"));
        }
        if !impersonation_url.iter().all(to_iam) {
            return Err(foreign("service_account_impersonation_url"));
        }
        let (file, member) = source(members.get("credential_source"))?;
        Ok(External {
            audience,
            subject_token_type,
            token_url,
            impersonation_url,
            file,
            member,
        })
    }
}

fn foreign(member: &str) -> Mistake {
    (
        format!("names another {member} than Google's"),
        "It must be an https URL below googleapis.com, as gcloud iam workload-identity-pools create-cred-config writes it: who it leads to gets the token. Nothing was sent.",
    )
}

/// The kind of file, and for whose cloud it is.
fn check_kind(members: &Map<String, Value>) -> std::result::Result<(), Mistake> {
    match members.get("type").and_then(Value::as_str) {
        Some("external_account") => {}
        Some("service_account") => {
            return Err((
                "is the key of a service account".into(),
                "Set auth to service_account, and give the file the mode 600.",
            ));
        }
        Some("authorized_user" | "external_account_authorized_user") => {
            return Err((
                "holds the login of a person".into(),
                "A server has an identity of its own: see docs/guide/gcp-kms.md for the ways to log in.",
            ));
        }
        _ => {
            return Err((
                "is not an external account of Google".into(),
                "Its type must be external_account: let gcloud iam workload-identity-pools create-cred-config write it.",
            ));
        }
    }
    match members.get("universe_domain") {
        None => Ok(()),
        Some(Value::String(domain)) if domain == "googleapis.com" => Ok(()),
        Some(_) => Err((
            "is for another universe_domain than googleapis.com".into(),
            "Other universes are not supported.",
        )),
    }
}

/// Where the subject token is.
fn source(source: Option<&Value>) -> std::result::Result<(String, Option<String>), Mistake> {
    let empty = Map::new();
    let source = source.and_then(Value::as_object).unwrap_or(&empty);
    let others = [
        ("executable", "has a program print the subject token"),
        ("url", "has the subject token come from a URL"),
        (
            "certificate",
            "has a certificate instead of a subject token",
        ),
        (
            "environment_id",
            "has the identity of another cloud instead of a subject token",
        ),
    ];
    if let Some((_, what)) = others.iter().find(|(name, _)| source.contains_key(*name)) {
        return Err((
            format!("{what} (credential_source)"),
            "This is refused: who can write the file could run programs or ask services as mysqld. Have the token put into a file, and name it as credential_source.file.",
        ));
    }
    let file = source.get("file").and_then(Value::as_str);
    let file = file.filter(|file| file.starts_with('/')).ok_or((
        "names no file with an absolute path as credential_source.file".into(),
        "Name the file that the subject token is in, from the root on.",
    ))?;
    let Some(format) = source.get("format") else {
        return Ok((file.into(), None));
    };
    let text = |name: &str| format.get(name).and_then(Value::as_str);
    match (text("type"), text("subject_token_field_name")) {
        (Some("text"), _) => Ok((file.into(), None)),
        (Some("json"), Some(member)) if is_name(member) => Ok((file.into(), Some(member.into()))),
        _ => Err((
            "has a credential_source.format that is none".into(),
            "Its type is text, or json with a subject_token_field_name.",
        )),
    }
}

/// A text that has to be there.
fn required(members: &Map<String, Value>, name: &str) -> std::result::Result<String, Mistake> {
    optional(members, name)?.ok_or_else(|| unfit(name))
}

/// A text that may be there.
fn optional(
    members: &Map<String, Value>,
    name: &str,
) -> std::result::Result<Option<String>, Mistake> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text.clone())),
        Some(_) => Err(unfit(name)),
    }
}

fn unfit(name: &str) -> Mistake {
    (
        format!("has no {name}, or one that is not a short text without blanks"),
        "Let gcloud iam workload-identity-pools create-cred-config write it.",
    )
}

/// The service account in the URL by which it is impersonated.
pub(super) fn account(url: &str) -> &str {
    let last = url.rsplit('/').next().unwrap_or_default();
    last.strip_suffix(IMPERSONATE).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/k8s";
    const ACCOUNT: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/keyring@p.iam.gserviceaccount.com:generateAccessToken";

    /// The file as gcloud writes it, with changes; null takes a member out.
    fn parse(changes: Value) -> std::result::Result<External, Mistake> {
        let mut file = json!({
            "universe_domain": "googleapis.com", "type": "external_account", "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": STS,
            "service_account_impersonation_url": ACCOUNT, "token_info_url": "https://sts.googleapis.com/v1/introspect",
            "credential_source": {"file": "/var/run/token", "format": {"type": "text"}},
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(file.as_object_mut().unwrap().remove(name)),
                false => file[name] = value.clone(),
            }
        }
        External::parse(file.as_object().unwrap(), false)
    }

    #[test]
    fn what_gcloud_writes_is_read() {
        let whole = parse(json!({})).unwrap();
        assert_eq!(whole.file, "/var/run/token");
        assert_eq!(whole.impersonation_url.as_deref(), Some(ACCOUNT));
        assert_eq!(account(ACCOUNT), "keyring@p.iam.gserviceaccount.com");
        let least = parse(json!({
            "universe_domain": null, "token_url": null, "service_account_impersonation_url": null,
            "credential_source": {"file": "/t", "format": {"type": "json", "subject_token_field_name": "id_token"}},
        }))
        .unwrap();
        assert_eq!(
            (least.token_url.as_str(), least.impersonation_url),
            (STS, None)
        );
        assert_eq!(least.member.as_deref(), Some("id_token"));
    }

    #[test]
    fn whoever_could_get_the_token_otherwise_is_refused() {
        for (changes, words) in [
            (json!({"type": null}), "not an external account"),
            (
                json!({"type": "service_account"}),
                "key of a service account",
            ),
            (json!({"type": "authorized_user"}), "login of a person"),
            (json!({"universe_domain": "example.org"}), "universe_domain"),
            (json!({"audience": null}), "no audience"),
            (json!({"audience": "x y"}), "no audience"),
            (
                json!({"audience": "//iam.googleapis.com/locations/global/workforcePools/w/providers/p"}),
                "no provider of a workload identity pool",
            ),
            (
                json!({"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request"}),
                "subject_token_type",
            ),
            (json!({"subject_token_type": 7}), "no subject_token_type"),
            (
                json!({"token_url": "https://sts.example.org/v1/token"}),
                "another token_url",
            ),
            (
                json!({"token_url": "http://127.0.0.1/v1/token"}),
                "another token_url",
            ),
            (
                json!({"token_url": "https://storage.googleapis.com/bucket"}),
                "another token_url",
            ),
            (
                json!({"service_account_impersonation_url": STS}),
                "another service_account_impersonation_url",
            ),
            (
                json!({"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x:signBlob"}),
                "another service_account_impersonation_url",
            ),
            (json!({"credential_source": null}), "names no file"),
            (
                json!({"credential_source": {"file": "token"}}),
                "names no file",
            ),
            (
                json!({"credential_source": {"executable": {"command": "/bin/x"}, "file": "/t"}}),
                "has a program",
            ),
            (
                json!({"credential_source": {"url": "http://169.254.169.254/x"}}),
                "from a URL",
            ),
            (
                json!({"credential_source": {"environment_id": "aws1"}}),
                "another cloud",
            ),
            (
                json!({"credential_source": {"certificate": {}}}),
                "a certificate",
            ),
            (
                json!({"credential_source": {"file": "/t", "format": {"type": "xml"}}}),
                "format",
            ),
            (
                json!({"credential_source": {"file": "/t", "format": {"type": "json"}}}),
                "format",
            ),
        ] {
            let (why, hint) = parse(changes.clone()).unwrap_err();
            assert!(why.contains(words), "{changes}: {why}");
            assert!(hint.ends_with('.'), "{hint}");
        }
    }
}
