//! A token for one operation, by each way to log in.
//!
//! Owns the requests for tokens. It must never ask for a token for anything but the configured vault's resource, never
//! follow what a challenge says, and never keep a token.

use super::answer::{self, MOST};
use super::certificate;
use super::config::{Application, AzureKeyVaultConfig, Login};
use super::environment::{self, Variables};
use super::errors::{Step, for_a_token};
use super::names::is_token;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{Metadata, form};
use crate::kek::token_file;
use crate::kek::web::Web;
use crate::net::{Method, Request};
use crate::secret::SecretPool;
use crate::secret_source::{self, Warnings};
use zeroize::Zeroizing;

const OP: &str = "log in to Azure";
/// What a machine's own identity is called in messages.
const SYSTEM: &str = "the system-assigned identity";

/// What a login has at hand.
pub(super) struct Asking<'a> {
    pub(super) config: &'a AzureKeyVaultConfig,
    pub(super) web: &'a Web,
    pub(super) pool: &'a SecretPool,
    pub(super) warnings: &'a Warnings,
    /// The end of the attempt.
    pub(super) end: Deadline,
}

impl Asking<'_> {
    /// A token, as the configuration says.
    pub(super) fn token(&self) -> Result<Zeroizing<String>> {
        let variables: Variables<'_> = &|name| std::env::var_os(name);
        match &self.config.login {
            Login::Machine {
                client_id,
                metadata,
            } => self.of_identity(
                metadata,
                ("/metadata/identity/oauth2/token", "2018-02-01"),
                client_id.as_deref(),
                None,
            ),
            Login::AppService { client_id } => {
                let app = environment::app_service(variables)?;
                let header = Some(app.header.as_str());
                let path = (app.path.as_str(), "2019-08-01");
                self.of_identity(&app.service, path, client_id.as_deref(), header)
            }
            Login::Workload {
                tenant,
                client_id,
                authority,
                token_file,
            } => {
                let pod = environment::pod(
                    variables,
                    tenant.as_deref(),
                    client_id.as_deref(),
                    authority.as_deref(),
                    token_file.as_deref(),
                )?;
                let named = match token_file {
                    Some(_) => "federated_token_file of \"azure_key_vault\"",
                    None => "AZURE_FEDERATED_TOKEN_FILE in the environment",
                };
                let assertion = token_file::read(&pod.token_file, named)?;
                let usual = || self.config.resource.authority.into();
                let application = Application {
                    authority: pod.authority.unwrap_or_else(usual),
                    tenant: pod.tenant,
                    client_id: pod.client_id,
                };
                match is_token(assertion.as_bytes()) {
                    true => self.by_assertion(&application, &assertion),
                    false => Err(no_token(&format!("'{}'", pod.token_file))),
                }
            }
            Login::Certificate {
                application,
                certificate,
                key,
            } => {
                let assertion = certificate::assertion(
                    application,
                    &token_url(application),
                    (certificate, key),
                    self.pool,
                    self.warnings,
                )?;
                self.by_assertion(application, &assertion)
            }
            Login::Secret {
                application,
                secret,
            } => {
                let mut told = Vec::new();
                let text = secret_source::line(self.pool, OP, secret, &mut told)?;
                self.warnings.add(told);
                match std::str::from_utf8(&text) {
                    Ok(text) if is_token(text.as_bytes()) => {
                        self.of_entra(application, &[("client_secret", text)], text)
                    }
                    _ => Err(no_token(&secret.to_string())),
                }
            }
        }
    }

    /// The token of a machine's or an app's identity. `header`: what proves that it is the app that asks.
    fn of_identity(
        &self,
        service: &Metadata,
        (path, version): (&str, &str),
        client_id: Option<&str>,
        header: Option<&str>,
    ) -> Result<Zeroizing<String>> {
        let asked = for_a_token(Step::Identity, client_id.unwrap_or(SYSTEM), service.base());
        let mut pairs = vec![
            ("api-version", version),
            ("resource", self.config.resource.url),
        ];
        pairs.extend(client_id.map(|id| ("client_id", id)));
        let url = format!("{}{path}?{}", service.base(), *form(&pairs));
        let mut request = Request::new(Method::Get, url).header("metadata", "true");
        if let Some(header) = header {
            request = request.header("x-identity-header", header);
        }
        let answer = service.send(&asked, request, self.end)?;
        let sent: Vec<&str> = header.into_iter().collect();
        let members = answer::read(&asked, Step::Identity, &answer, &sent)?;
        answer::token(&asked, members)
    }

    fn by_assertion(
        &self,
        application: &Application,
        assertion: &str,
    ) -> Result<Zeroizing<String>> {
        const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let proof = [
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
        ];
        self.of_entra(application, &proof, assertion)
    }

    /// The token of Microsoft Entra ID for an application. `proof` says that it is the application, `secret` is in it.
    fn of_entra(
        &self,
        application: &Application,
        proof: &[(&str, &str)],
        secret: &str,
    ) -> Result<Zeroizing<String>> {
        let place = format!("{}/{}", application.authority, application.tenant);
        let asked = for_a_token(Step::Login, &application.client_id, &place);
        let scope = format!("{}/.default", self.config.resource.url);
        let rest = [
            ("client_id", application.client_id.as_str()),
            ("grant_type", "client_credentials"),
            ("scope", &scope),
        ];
        let body = form(&[&rest, proof].concat());
        let request = Request::new(Method::Post, token_url(application))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body.as_bytes())
            .at_most(MOST);
        let answer = self
            .web
            .send(&request, self.end)
            .map_err(|e| asked.no_answer(e))?;
        let members = answer::read(&asked, Step::Login, &answer, &[secret])?;
        answer::token(&asked, members)
    }
}

/// The URL that gives a tenant's tokens; assertions are made out to it.
fn token_url(application: &Application) -> String {
    format!(
        "{}/{}/oauth2/v2.0/token",
        application.authority, application.tenant
    )
}

fn no_token(whose: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        OP,
        format!("{whose} holds no token and no secret: it has blanks, other characters than ASCII, or too many"),
    )
    .hint("Put it alone into the file. It is not shown, and nothing was sent.")
}
