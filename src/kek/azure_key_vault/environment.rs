//! What the environment of an app or of a pod says, where the way to log in is that environment.
//!
//! Owns the variables' names, and what each may be: everybody who starts mysqld writes there, and none of it is taken into a
//! URL or a header before it was looked at. It must never show the value of IDENTITY_HEADER.

use super::names::{is_authority, is_guid, is_tenant, is_token};
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::Metadata;
use crate::text::shorten;
use std::ffi::OsString;
use zeroize::Zeroizing;

const OP: &str = "log in to Azure";
/// Longest variable that is read, in bytes.
const MAX_VARIABLE: usize = 16_384;

/// The process's environment, or a test's.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The service for identities of an app.
pub(super) struct AppService {
    pub(super) service: Metadata,
    /// Its path, from the slash on.
    pub(super) path: String,
    pub(super) header: Zeroizing<String>,
}

/// As whom a pod logs in.
pub(super) struct Pod {
    pub(super) tenant: String,
    pub(super) client_id: String,
    /// `None`: it does not say.
    pub(super) authority: Option<String>,
    pub(super) token_file: String,
}

/// What App Service and Container Apps set.
pub(super) fn app_service(variables: Variables<'_>) -> Result<AppService> {
    const ENDPOINT: &str = "IDENTITY_ENDPOINT";
    const HEADER: &str = "IDENTITY_HEADER";
    const UNSET: &str = "App Service and Container Apps set it where the app has an identity (az webapp identity assign, az containerapp identity assign). Elsewhere choose another auth.";
    let endpoint = needed(variables, ENDPOINT, UNSET)?;
    // "http://HOST:PORT/PATH"
    let (origin, path) = match endpoint.match_indices('/').nth(2) {
        Some((at, _)) => endpoint.split_at(at),
        None => (endpoint.as_str(), "/"),
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    let Some(service) = Metadata::at(origin).filter(|_| path.bytes().all(fits)) else {
        return Err(wrong(
            ENDPOINT,
            &format!(
                "'{}' is not http://ADDRESS:PORT/PATH of this machine or of a link-local address",
                shorten(&endpoint)
            ),
        ));
    };
    let header = Zeroizing::new(needed(variables, HEADER, UNSET)?);
    match is_token(header.as_bytes()) {
        true => Ok(AppService {
            service,
            path: path.into(),
            header,
        }),
        false => Err(wrong(
            HEADER,
            "it has blanks or other characters than ASCII",
        )),
    }
}

/// What Azure's webhook for workload identities sets; what is given stands in its place.
pub(super) fn pod(
    variables: Variables<'_>,
    tenant: Option<&str>,
    client_id: Option<&str>,
    authority: Option<&str>,
    token_file: Option<&str>,
) -> Result<Pod> {
    const UNSET: &str = "Azure's webhook sets it for pods with the label azure.workload.identity/use=true and a service account that names a client id. Or set the option.";
    let text = |given: Option<&str>, name, fits: fn(&str) -> bool, what| match given {
        Some(given) => Ok(given.to_string()),
        None => {
            let value = needed(variables, name, UNSET)?;
            match fits(&value) {
                true => Ok(value),
                false => Err(wrong(name, &format!("'{}' is not {what}", shorten(&value)))),
            }
        }
    };
    Ok(Pod {
        tenant: text(tenant, "AZURE_TENANT_ID", is_tenant, "a tenant")?,
        client_id: text(client_id, "AZURE_CLIENT_ID", is_guid, "a client id")?,
        // `token_file` looks at the path.
        token_file: text(token_file, "AZURE_FEDERATED_TOKEN_FILE", |_| true, "a path")?,
        authority: match authority {
            Some(given) => Some(given.into()),
            None => of_authority(variables)?,
        },
    })
}

fn of_authority(variables: Variables<'_>) -> Result<Option<String>> {
    const NAME: &str = "AZURE_AUTHORITY_HOST";
    let Some(value) = optional(variables, NAME)? else {
        return Ok(None);
    };
    let bare = value.trim_end_matches('/');
    match is_authority(bare) {
        true => Ok(Some(bare.into())),
        false => Err(wrong(
            NAME,
            &format!("'{}' is not one of Microsoft's", shorten(&value)),
        )),
    }
}

fn needed(variables: Variables<'_>, name: &str, hint: &'static str) -> Result<String> {
    optional(variables, name)?.ok_or_else(|| {
        let why = format!("{name} is not set in the environment of this process");
        Error::new(Kind::Config, OP, why).hint(hint)
    })
}

/// An empty variable is not set.
fn optional(variables: Variables<'_>, name: &str) -> Result<Option<String>> {
    let Some(value) = variables(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) if value.len() <= MAX_VARIABLE && !value.contains(char::is_control) => {
            Ok(Some(value))
        }
        _ => Err(wrong(
            name,
            &format!("it is not text of one line, or has more than {MAX_VARIABLE} bytes"),
        )),
    }
}

fn wrong(name: &str, why: &str) -> Error {
    let why = format!("{name} in the environment of this process: {why}");
    Error::new(Kind::Config, OP, why)
        .hint("Correct it where mysqld is started, or take another auth. Nothing was sent.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    const GUID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    fn app(endpoint: &str, header: &str) -> std::result::Result<(String, String), String> {
        let variables = |name: &str| match name {
            "IDENTITY_ENDPOINT" => Some(endpoint.into()),
            "IDENTITY_HEADER" => Some(header.into()),
            _ => None,
        };
        app_service(&variables)
            .map(|app| (app.service.base().into(), app.path))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn an_apps_service_is_a_link_away() {
        for (endpoint, base, path) in [
            (
                "http://localhost:42356/msi/token",
                "http://localhost:42356",
                "/msi/token",
            ),
            (
                "http://169.254.130.2:8081/msi/token/",
                "http://169.254.130.2:8081",
                "/msi/token/",
            ),
            ("http://127.0.0.1:41599", "http://127.0.0.1:41599", "/"),
        ] {
            assert_eq!(app(endpoint, "h").unwrap(), (base.into(), path.into()));
        }
        for bad in [
            "https://localhost/msi/token",
            "http://10.0.0.1/msi/token",
            "http://example.org/msi/token",
            "http://localhost:1/msi/token?x",
            "http://localhost:1/msi token",
            "http://localhost:1@evil.org/msi",
            "localhost",
            "//x/y",
        ] {
            let e = app(bad, "HIDDEN").unwrap_err();
            assert!(
                e.contains("IDENTITY_ENDPOINT") && !e.contains("HIDDEN"),
                "{e}"
            );
        }
        for bad in ["HID DEN", "HIDDEN\n", "HIDDÉN"] {
            let e = app("http://localhost:1/msi/token", bad).unwrap_err();
            assert!(e.contains("IDENTITY_HEADER") && !e.contains("HID"), "{e}");
        }
        let e = app("", "h").unwrap_err();
        assert!(e.contains("IDENTITY_ENDPOINT is not set"), "{e}");
    }

    #[test]
    fn a_pods_environment_stands_where_nothing_is_given() {
        let with = |name: &'static str, value: OsString| {
            move |asked: &str| match asked {
                asked if asked == name => Some(value.clone()),
                "AZURE_TENANT_ID" | "AZURE_CLIENT_ID" => Some(GUID.into()),
                "AZURE_FEDERATED_TOKEN_FILE" => Some("/var/run/token".into()),
                "AZURE_AUTHORITY_HOST" => Some("https://login.microsoftonline.us/".into()),
                _ => None,
            }
        };
        let whole = with("", "".into());
        let found = pod(&whole, None, None, None, None).unwrap();
        assert_eq!(
            (found.tenant.as_str(), found.client_id.as_str()),
            (GUID, GUID)
        );
        assert_eq!(
            found.authority.as_deref(),
            Some("https://login.microsoftonline.us")
        );
        assert_eq!(found.token_file, "/var/run/token");
        let nothing = |_: &str| None;
        let found = pod(&nothing, Some("t"), Some("c"), Some("a"), Some("/f")).unwrap();
        assert_eq!(
            (found.tenant.as_str(), found.token_file.as_str()),
            ("t", "/f")
        );
        assert_eq!(
            pod(&nothing, Some("t"), Some("c"), None, Some("/f"))
                .unwrap()
                .authority,
            None
        );
        for (name, value, words) in [
            ("AZURE_TENANT_ID", "a/b", "is not a tenant"),
            ("AZURE_CLIENT_ID", "mysql", "is not a client id"),
            ("AZURE_CLIENT_ID", "", "is not set"),
            ("AZURE_FEDERATED_TOKEN_FILE", "", "is not set"),
            (
                "AZURE_AUTHORITY_HOST",
                "https://login.example.org/",
                "is not one of Microsoft's",
            ),
            ("AZURE_TENANT_ID", "a\nb", "not text of one line"),
        ] {
            let e = pod(&with(name, value.into()), None, None, None, None);
            let e = e.err().unwrap().to_string();
            assert!(e.contains(name) && e.contains(words), "{e}");
        }
        for bad in [vec![0xff], vec![b'x'; MAX_VARIABLE + 1]] {
            let variables = with("AZURE_TENANT_ID", OsString::from_vec(bad));
            assert!(pod(&variables, None, None, None, None).is_err());
        }
    }
}
