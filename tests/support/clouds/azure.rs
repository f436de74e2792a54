//! Azure: the metadata service for identities, an app's, Microsoft Entra ID, and a vault or Managed HSM, told apart by path.
//!
//! Settings, each with a default that works:
//! - `identities`: `system` (default), client ids, or both, separated by commas; `none`
//! - `identity_header`: what an app has to show
//! - `tenant`, `client_id`, `client_secret`, `certificate` (PEM): the application; `secret_expired`
//! - `subject`: of the federated token that the application trusts; `GET /cluster/token` gives one (`sub`, `aud`, `life`,
//!   `foreign` in its query)
//! - `GET /last/assertion` gives the last assertion that came, `GET /last/unwrapped` the last answer of an unwrapkey
//! - `token_life`: seconds that a token lives, negative: it has expired when it is given
//! - `vault_tenant`: the vault's, where it is another one than `tenant`
//! - `hsm`: it is a Managed HSM
//! - `versions`: how many versions each key has, the last of which is the current one (default 1)
//! - `state`: of the keys: `enabled`, `disabled`, `expired`, `not_yet_valid`, `deleted`, `recovering`; with `=N` behind it only of
//!   version N
//! - `operations`: what the keys may do, default `wrapKey,unwrapKey`; `allow`: what the identity may do, the same default
//! - `refusal`: how it is told that the identity may not: `rbac` (default), `policy`, `firewall`, `connection`
//!
//! Keys are made when they are first asked for: `mysql` and `other` (RSA of 2,048 bits), `big` (RSA of 4,096), `aes` (oct-HSM,
//! 256 bits, in an HSM only), `curve` (EC).

use super::{Answer, Cloud, Request, World, value};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, UnparsedPublicKey,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const CLIENT_ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";
pub const CLIENT_SECRET: &str = "HIDDEN~client.secret-0123456789";
pub const IDENTITY_HEADER: &str = "HIDDEN-identity-header-0123456789";
pub const SUBJECT: &str = "system:serviceaccount:db:mysql";
/// Who a federated token is for.
const EXCHANGE: &str = "api://AzureADTokenExchange";
const CLUSTER: &str = "https://cluster.example.org";
/// How far the clocks of Entra and of an assertion may be apart, in seconds.
const LEEWAY: i64 = 300;
const API_VERSIONS: [&str; 5] = ["7.3", "7.4", "7.5", "7.6", "2025-07-01"];

enum Material {
    Rsa(PrivateDecryptingKey),
    Aes([u8; 32]),
    Curve,
}

struct Version {
    id: String,
    material: Material,
}

/// The fake's keys: its own for tokens, a cluster's, and those of the vault.
pub struct Azure {
    entra: &'static KeyPair,
    cluster: &'static KeyPair,
    foreign: &'static KeyPair,
    keys: BTreeMap<String, Vec<Version>>,
    assertion: String,
    unwrapped: String,
}

/// Entra's, a cluster's, and one that nobody trusts. Keys take long to be made: all fakes of a process have the same, and tell
/// them apart by their versions.
static SIGNERS: LazyLock<[KeyPair; 3]> =
    LazyLock::new(|| [(); 3].map(|()| KeyPair::generate(KeySize::Rsa2048).unwrap()));
static RSA: Mutex<BTreeMap<(String, usize), PrivateDecryptingKey>> = Mutex::new(BTreeMap::new());

/// The RSA key of a version of a key.
fn rsa(name: &str, version: usize) -> PrivateDecryptingKey {
    let size = match name {
        "big" => KeySize::Rsa4096,
        _ => KeySize::Rsa2048,
    };
    let mut keys = RSA.lock().unwrap();
    let made = || PrivateDecryptingKey::generate(size).unwrap();
    let key = keys.entry((name.into(), version)).or_insert_with(made);
    key.clone()
}

impl Default for Azure {
    fn default() -> Azure {
        let [entra, cluster, foreign] = &*SIGNERS;
        let mut azure = Azure {
            entra,
            cluster,
            foreign,
            keys: BTreeMap::new(),
            assertion: String::new(),
            unwrapped: String::new(),
        };
        // Nobody waits for the first one.
        azure.prepare(&World::default(), "mysql");
        azure
    }
}

impl Cloud for Azure {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer {
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        let answer = match (request.method.as_str(), &parts[..]) {
            ("GET", ["metadata", "identity", "oauth2", "token"]) => self.machine(world, request),
            ("GET", ["msi", "token"]) => self.app(world, request),
            ("GET", ["cluster", "token"]) => self.pod(world, request),
            ("GET", ["last", "assertion"]) => Answer::text(200, &self.assertion),
            ("GET", ["last", "unwrapped"]) => Answer::text(200, &self.unwrapped),
            ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
                let host = request.header("host").unwrap_or_default();
                let base = format!("https://{host}/{tenant}");
                Answer::json(
                    200,
                    &json!({
                        "issuer": format!("{base}/v2.0"), "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                    }),
                )
            }
            ("GET", ["common", "discovery", "instance"]) => {
                let host = request.header("host").unwrap_or_default();
                Answer::json(
                    200,
                    &json!({
                        "api-version": "1.1",
                        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
                        "tenant_discovery_endpoint": format!("https://{host}/{}/v2.0/.well-known/openid-configuration", tenant(world)),
                    }),
                )
            }
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => self.entra(world, request, tenant),
            (_, ["keys", rest @ ..]) => self.vault(world, request, rest),
            _ => Answer::text(404, "<html>404</html>"),
        };
        answer.header("Date", http_date(world.now()))
    }
}

/// A setting, or its default.
fn setting<'w>(world: &'w World, name: &str, default: &'w str) -> &'w str {
    match world.get(name) {
        "" => default,
        given => given,
    }
}

fn tenant(world: &World) -> &str {
    setting(world, "tenant", TENANT)
}

fn resource(world: &World) -> &'static str {
    match world.get("hsm") {
        "" => "https://vault.azure.net",
        _ => "https://managedhsm.azure.net",
    }
}

fn http_date(seconds: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let date = at.format(&time::format_description::well_known::Rfc2822);
    date.unwrap().replace("+0000", "GMT")
}

fn sign(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
        .unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn public(key: &KeyPair) -> Vec<u8> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// Header and claims of a token, if the key of `spki` signed it.
fn verified(token: &str, spki: &[u8]) -> Option<(Value, Value)> {
    let (text, signature) = token.rsplit_once('.')?;
    let (header, claims) = text.split_once('.')?;
    let part = |text: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()
    };
    let (header, claims) = (part(header)?, part(claims)?);
    let algorithm: &'static RsaParameters = match header["alg"].as_str()? {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        _ => return None,
    };
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    let key = UnparsedPublicKey::new(algorithm, spki);
    key.verify(text.as_bytes(), &signature).ok()?;
    Some((header, claims))
}

fn header_of(token: &str) -> Value {
    let header = token.split('.').next().unwrap_or_default();
    let bytes = BASE64URL_NOPAD
        .decode(header.as_bytes())
        .unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

// ---- tokens ------------------------------------------------------------------------------------------------------

impl Azure {
    /// A token of Entra for a resource.
    fn token(&self, world: &World, resource: &str, whose: &str) -> (String, i64) {
        let now = world.now();
        let life = world.get("token_life").parse().unwrap_or(86_399);
        let claims = json!({
            "aud": resource, "iss": format!("https://sts.windows.net/{}/", tenant(world)),
            "appid": whose, "nbf": now - LEEWAY, "iat": now - LEEWAY, "exp": now + life,
        });
        (
            sign(
                self.entra,
                &json!({"alg": "RS256", "typ": "JWT", "kid": "1"}),
                &claims,
            ),
            now + life,
        )
    }

    fn machine(&self, world: &World, request: &Request) -> Answer {
        let refuse = |status, code: &str, text: &str| {
            Answer::json(status, &json!({"error": code, "error_description": text}))
        };
        if request.header("metadata") != Some("true") || request.header("x-forwarded-for").is_some()
        {
            return refuse(
                400,
                "bad_request_102",
                "Required metadata header not specified",
            );
        }
        let query = request.query_pairs();
        if value(&query, "api-version") != "2018-02-01" {
            return refuse(
                400,
                "invalid_request",
                "Required query variable 'api-version' is missing",
            );
        }
        match self.identity(world, &query) {
            Ok(whose) => {
                let (token, until) = self.token(world, value(&query, "resource"), &whose);
                Answer::json(
                    200,
                    &json!({
                        "access_token": token, "client_id": whose, "expires_in": "86399", "expires_on": until.to_string(),
                        "ext_expires_in": "86399", "not_before": (world.now() - LEEWAY).to_string(),
                        "resource": value(&query, "resource"), "token_type": "Bearer",
                    }),
                )
            }
            Err(why) => refuse(400, "invalid_request", why),
        }
    }

    fn app(&self, world: &World, request: &Request) -> Answer {
        let refuse = |status: u16, text: &str| {
            Answer::json(status, &json!({"statusCode": status, "message": text}))
        };
        let expected = setting(world, "identity_header", IDENTITY_HEADER);
        if request.header("x-identity-header") != Some(expected) {
            return refuse(401, "The identity header is missing or wrong.");
        }
        let query = request.query_pairs();
        if value(&query, "api-version") != "2019-08-01" {
            return refuse(400, "Unsupported api-version.");
        }
        match self.identity(world, &query) {
            Ok(whose) => {
                let (token, until) = self.token(world, value(&query, "resource"), &whose);
                Answer::json(
                    200,
                    &json!({
                        "access_token": token, "client_id": whose, "expires_on": until.to_string(),
                        "resource": value(&query, "resource"), "token_type": "Bearer",
                    }),
                )
            }
            Err(why) => refuse(400, why),
        }
    }

    /// The client id of the identity that is asked for.
    fn identity(&self, world: &World, query: &[(String, String)]) -> Result<String, &'static str> {
        if value(query, "resource").is_empty() {
            return Err("Required query variable 'resource' is missing");
        }
        let all: Vec<&str> = setting(world, "identities", "system").split(',').collect();
        match value(query, "client_id") {
            "" if all.contains(&"system") => Ok("00000000-0000-0000-0000-000000000001".into()),
            "" if all.len() > 1 => Err(
                "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
            ),
            "" if all != ["none"] => Ok(all[0].into()),
            id if all.contains(&id) && id != "system" && id != "none" => Ok(id.into()),
            _ => Err("Identity not found"),
        }
    }

    /// A pod's token, as Kubernetes projects it.
    fn pod(&self, world: &World, request: &Request) -> Answer {
        let query = request.query_pairs();
        let or = |name: &str, default: &str| match value(&query, name) {
            "" => default.to_string(),
            given => given.to_string(),
        };
        let key = match value(&query, "foreign") {
            "" => self.cluster,
            _ => self.foreign,
        };
        let now = world.now();
        let life: i64 = or("life", "3600").parse().unwrap();
        let claims = json!({
            "iss": CLUSTER, "sub": or("sub", SUBJECT), "aud": [or("aud", EXCHANGE)],
            "iat": now - 10_000, "nbf": now - 10_000, "exp": now + life,
        });
        Answer::text(
            200,
            &sign(key, &json!({"alg": "RS256", "kid": "cluster"}), &claims),
        )
    }

    fn entra(&mut self, world: &World, request: &Request, asked: &str) -> Answer {
        let refuse = |status, error: &str, number: u32, text: &str| {
            Answer::json(
                status,
                &json!({
                    "error": error, "error_codes": [number], "timestamp": "2026-11-30 10:00:00Z",
                    "error_description": format!("AADSTS{number}: {text} Trace ID: 0f2b Correlation ID: 8c1d Timestamp: 2026-11-30 10:00:00Z"),
                    "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
                }),
            )
        };
        let form = request.form();
        if asked != tenant(world) {
            let text = format!(
                "Tenant '{asked}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
            );
            return refuse(400, "invalid_request", 90002, &text);
        }
        if value(&form, "grant_type") != "client_credentials" {
            return refuse(
                400,
                "unsupported_grant_type",
                70003,
                "The app requested an unsupported grant type.",
            );
        }
        let client_id = value(&form, "client_id");
        if client_id != setting(world, "client_id", CLIENT_ID) {
            let text = format!(
                "Application with identifier '{client_id}' was not found in the directory 'Contoso'."
            );
            return refuse(400, "unauthorized_client", 700016, &text);
        }
        let Some(resource) = value(&form, "scope").strip_suffix("/.default") else {
            return refuse(
                400,
                "invalid_scope",
                1002012,
                "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.",
            );
        };
        if !["https://vault.azure.net", "https://managedhsm.azure.net"].contains(&resource) {
            let text = format!(
                "The resource principal named {resource} was not found in the tenant named Contoso."
            );
            return refuse(400, "invalid_resource", 500011, &text);
        }
        let proof = match value(&form, "client_assertion") {
            "" => of_secret(world, value(&form, "client_secret")),
            _ if value(&form, "client_assertion_type")
                != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" =>
            {
                Err((50027, "JWT token is invalid or malformed."))
            }
            assertion => {
                self.assertion = assertion.into();
                let host = request.header("host").unwrap_or_default();
                self.of_assertion(world, assertion, client_id, host, asked)
            }
        };
        match proof {
            Ok(()) => {
                let (token, _) = self.token(world, resource, client_id);
                Answer::json(
                    200,
                    &json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}),
                )
            }
            Err((number, text)) => refuse(401, "invalid_client", number, text),
        }
    }

    /// What proves the application: a token of its own signed by its certificate's key, or one of the cluster.
    fn of_assertion(
        &self,
        world: &World,
        assertion: &str,
        client_id: &str,
        host: &str,
        tenant: &str,
    ) -> Result<(), (u32, &'static str)> {
        const SIGNATURE: (u32, &str) = (
            700027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        );
        const TIMES: (u32, &str) = (
            700024,
            "Client assertion is not within its valid time range. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        );
        let header = header_of(assertion);
        let thumbprint = header["x5t"].as_str().or(header["x5t#S256"].as_str());
        let claims = match thumbprint {
            Some(thumbprint) => {
                let der = CertificateDer::from_pem_slice(world.get("certificate").as_bytes());
                let der = der.map_err(|_| SIGNATURE)?;
                let known = match header["x5t"].is_string() {
                    true => digest(&SHA1_FOR_LEGACY_USE_ONLY, &der),
                    false => digest(&SHA256, &der),
                };
                if BASE64URL_NOPAD.encode(known.as_ref()) != thumbprint.trim_end_matches('=') {
                    return Err(SIGNATURE);
                }
                let parsed = ParsedCertificate::try_from(&der).unwrap();
                let spki = parsed.subject_public_key_info();
                let (_, claims) = verified(assertion, &spki).ok_or(SIGNATURE)?;
                // Made out to this URL; a client that was sent here by its transport made it out to the public one.
                let path = format!("/{tenant}/oauth2/v2.0/token");
                let urls = [
                    format!("http://{host}{path}"),
                    format!("https://{host}{path}"),
                ];
                if !urls.iter().any(|url| claims["aud"] == **url) {
                    return Err((
                        50027,
                        "JWT token is invalid or malformed. The audience is not valid.",
                    ));
                }
                if claims["iss"] != client_id || claims["sub"] != client_id {
                    return Err((
                        700021,
                        "Client assertion application identifier doesn't match 'client_id' parameter.",
                    ));
                }
                if claims["jti"].as_str().is_none_or(str::is_empty) {
                    return Err((50027, "JWT token is invalid or malformed."));
                }
                claims
            }
            None => {
                let trusted = verified(assertion, &public(self.cluster));
                let (_, claims) = trusted.ok_or((
                    700211,
                    "No matching federated identity record found for presented assertion issuer.",
                ))?;
                if claims["sub"] != setting(world, "subject", SUBJECT) {
                    return Err((
                        700213,
                        "No matching federated identity record found for presented assertion subject. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.",
                    ));
                }
                if claims["aud"] != json!([EXCHANGE]) {
                    return Err((
                        700212,
                        "No matching federated identity record found for presented assertion audience.",
                    ));
                }
                claims
            }
        };
        // Microsoft's own client says nothing of when it begins, and tells its end with a fraction.
        let (now, at) = (world.now(), |name: &str| {
            claims[name].as_f64().map(|at| at as i64)
        });
        let began = at("nbf").unwrap_or(0) <= now + LEEWAY;
        match at("exp").is_some_and(|end| began && now <= end + LEEWAY) {
            true => Ok(()),
            false => Err(TIMES),
        }
    }
}

fn of_secret(world: &World, secret: &str) -> Result<(), (u32, &'static str)> {
    if secret.is_empty() {
        return Err((
            7000218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        ));
    }
    if secret != setting(world, "client_secret", CLIENT_SECRET) {
        return Err((
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app.",
        ));
    }
    match world.get("secret_expired") {
        "" => Ok(()),
        _ => Err((7000222, "The provided client secret keys are expired.")),
    }
}

// ---- the vault ---------------------------------------------------------------------------------------------------

fn refused(status: u16, code: &str, inner: &str, text: &str) -> Answer {
    let mut error = json!({"code": code, "message": text});
    if !inner.is_empty() {
        error["innererror"] = json!({"code": inner});
    }
    Answer::json(status, &json!({"error": error}))
}

impl Azure {
    /// `None`: the token is good.
    fn unauthorized(&self, world: &World, request: &Request) -> Option<Answer> {
        let issuer = setting(world, "vault_tenant", tenant(world));
        let token = request
            .header("authorization")
            .and_then(|h| h.strip_prefix("Bearer "));
        let why = match token.map(|token| verified(token, &public(self.entra))) {
            None => "AKV10000: Request is missing a Bearer or PoP token.".into(),
            Some(None) => {
                "AKV10046: Unable to resolve the key used for signature validation.".into()
            }
            Some(Some((_, claims))) => {
                let expected = format!("https://sts.windows.net/{issuer}/");
                let (now, at) = (world.now(), |name: &str| claims[name].as_i64().unwrap());
                if claims["iss"] != *expected {
                    format!(
                        "AKV10032: Invalid issuer. Expected one of {expected}, found {}.",
                        claims["iss"].as_str().unwrap()
                    )
                } else if claims["aud"] != resource(world) {
                    format!(
                        "AKV10022: Invalid audience. Expected {}, found: {}.",
                        resource(world),
                        claims["aud"].as_str().unwrap()
                    )
                } else if now < at("nbf") || now >= at("exp") {
                    "[TokenExpired] Error validating token: IDX10223: Lifetime validation failed. The token is expired.".into()
                } else {
                    return None;
                }
            }
        };
        let challenge = format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{issuer}\", resource=\"{}\"",
            resource(world)
        );
        Some(refused(401, "Unauthorized", "", &why).header("WWW-Authenticate", challenge))
    }

    fn vault(&mut self, world: &World, request: &Request, rest: &[&str]) -> Answer {
        if let Some(answer) = self.unauthorized(world, request) {
            return answer;
        }
        if !API_VERSIONS.contains(&value(&request.query_pairs(), "api-version")) {
            return refused(
                400,
                "BadParameter",
                "",
                "The specified version of api-version is not recognized.",
            );
        }
        // The version may be left out, with its slash or without.
        let (name, version, action) = match (request.method.as_str(), rest) {
            ("POST", [name, action]) => (*name, "", *action),
            ("POST", [name, version, action]) => (*name, *version, *action),
            // Nobody may: so the official client wraps there, and not by the public key.
            ("GET", [name, ..]) => (*name, "", "get"),
            _ => return Answer::text(404, "<html>404</html>"),
        };
        let operation = match action {
            "wrapkey" => "wrapKey",
            "unwrapkey" => "unwrapKey",
            "get" => "get",
            _ => return Answer::text(404, "<html>404</html>"),
        };
        if let Some(answer) = not_allowed(world, request, operation, name) {
            return answer;
        }
        // Names have no case.
        let key = name.to_ascii_lowercase();
        self.prepare(world, &key);
        let missing = || {
            let id = [name, version].join("/");
            refused(
                404,
                "KeyNotFound",
                "",
                &format!(
                    "A key with (name/id) {} was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
                    id.trim_end_matches('/')
                ),
            )
        };
        let versions = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
        let versions = &versions[..count(world).min(versions.len())];
        let at = match version {
            "" => versions.len().checked_sub(1),
            id => versions.iter().position(|v| v.id == id),
        };
        let Some(at) = at else { return missing() };
        let (state, of) = world
            .get("state")
            .split_once('=')
            .unwrap_or((world.get("state"), ""));
        let state = if of.is_empty() || of == (at + 1).to_string() {
            state
        } else {
            ""
        };
        let forbidden = |inner, what: &str| {
            refused(
                403,
                "Forbidden",
                inner,
                &format!("Operation {operation} is {what} key."),
            )
        };
        match state {
            "deleted" => return missing(),
            "recovering" => {
                return refused(
                    409,
                    "Conflict",
                    "ObjectIsBeingRecovered",
                    &format!("Key {name} is currently being recovered."),
                );
            }
            "disabled" if operation == "unwrapKey" => {
                return forbidden("KeyDisabled", "not allowed on a disabled");
            }
            "expired" if operation == "wrapKey" => {
                return forbidden("KeyExpired", "not allowed on an expired");
            }
            "not_yet_valid" if operation == "wrapKey" => {
                return forbidden("KeyNotYetValid", "not allowed on a not yet valid");
            }
            _ => {}
        }
        let operations = setting(world, "operations", "wrapKey,unwrapKey");
        if !operations.split(',').any(|o| o == operation) {
            return refused(
                403,
                "Forbidden",
                "KeyOperationForbidden",
                &format!("Operation {operation} is not permitted on this key."),
            );
        }
        let version = &versions[at];
        match work(version, &request.json(), operation) {
            Ok(made) => {
                let host = request.header("host").unwrap_or_default();
                let kid = format!("https://{host}/keys/{name}/{}", version.id);
                let answer = json!({"kid": kid, "value": BASE64URL_NOPAD.encode(&made)});
                if operation == "unwrapKey" {
                    self.unwrapped = answer.to_string();
                }
                Answer::json(200, &answer)
            }
            Err(text) => refused(400, "BadParameter", "", text),
        }
    }

    /// Makes the versions of a key that are asked for.
    fn prepare(&mut self, world: &World, name: &str) {
        let known = match name {
            "mysql" | "other" | "big" | "curve" => true,
            "aes" => !world.get("hsm").is_empty(),
            _ => false,
        };
        if !known {
            return;
        }
        let versions = self.keys.entry(name.into()).or_default();
        while versions.len() < count(world) {
            let (mut id, mut aes) = ([0; 16], [0; 32]);
            fill(&mut id).unwrap();
            fill(&mut aes).unwrap();
            versions.push(Version {
                id: HEXLOWER.encode(&id),
                material: match name {
                    "aes" => Material::Aes(aes),
                    "curve" => Material::Curve,
                    _ => Material::Rsa(rsa(name, versions.len())),
                },
            });
        }
    }
}

fn count(world: &World) -> usize {
    world.get("versions").parse().unwrap_or(1)
}

/// Why the identity may not do this; `None`: it may.
fn not_allowed(world: &World, request: &Request, operation: &str, name: &str) -> Option<Answer> {
    let allow = setting(world, "allow", "wrapKey,unwrapKey");
    if allow.split(',').any(|o| o == operation) {
        return None;
    }
    let caller = "Caller: appid=0123;oid=4567;iss=https://sts.windows.net/1111/";
    let vault = request.header("host").unwrap_or_default();
    Some(match world.get("refusal") {
        "policy" => refused(
            403,
            "Forbidden",
            "AccessDenied",
            &format!(
                "The user, group or application 'appid=0123;oid=4567;iss=https://sts.windows.net/1111/' does not have keys {operation} permission on key vault '{vault};location=westeurope'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
            ),
        ),
        "firewall" => refused(
            403,
            "Forbidden",
            "ForbiddenByFirewall",
            &format!(
                "Client address is not authorized and caller is not a trusted service.\r\nClient address: 198.51.100.7\r\n{caller}\r\nVault: {vault};location=westeurope"
            ),
        ),
        "connection" => refused(
            403,
            "Forbidden",
            "ForbiddenByConnection",
            &format!(
                "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\n{caller}\r\nVault: {vault};location=westeurope"
            ),
        ),
        _ => {
            let action = operation.trim_end_matches("Key");
            refused(
                403,
                "Forbidden",
                "ForbiddenByRbac",
                &format!(
                    "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n{caller}\r\nAction: 'Microsoft.KeyVault/vaults/keys/{action}/action'\r\nResource: '/subscriptions/0123/resourcegroups/db/providers/microsoft.keyvault/vaults/kv1/keys/{name}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: kv1;location=westeurope\r\n"
                ),
            )
        }
    })
}

/// Wraps or unwraps what a request holds; an error is the service's sentence.
fn work(version: &Version, body: &Value, operation: &str) -> Result<Vec<u8>, &'static str> {
    const NOT_BASE64: &str =
        "Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n";
    let given = body["value"].as_str().ok_or(NOT_BASE64)?;
    let given = BASE64URL_NOPAD
        .decode(given.as_bytes())
        .map_err(|_| NOT_BASE64)?;
    let wraps = operation == "wrapKey";
    match (&version.material, body["alg"].as_str()) {
        (Material::Rsa(key), Some("RSA-OAEP-256")) => {
            let mut out = vec![0; key.key_size_bytes()];
            let made = match wraps {
                true => OaepPublicEncryptingKey::new(key.public_key())
                    .unwrap()
                    .encrypt(&OAEP_SHA256_MGF1SHA256, &given, &mut out, None),
                false => OaepPrivateDecryptingKey::new(key.clone()).unwrap().decrypt(
                    &OAEP_SHA256_MGF1SHA256,
                    &given,
                    &mut out,
                    None,
                ),
            };
            let made = made.map(|made| made.to_vec());
            made.map_err(|_| "Error occurred while decoding OAEP padding.")
        }
        (Material::Aes(key), Some("A256KW")) => {
            let key = AesKek::new(&AES_256, key).unwrap();
            let mut out = vec![0; given.len() + 8];
            let made = match wraps {
                true => key.wrap(&given, &mut out),
                false => key.unwrap(&given, &mut out),
            };
            let made = made.map(|made| made.to_vec());
            made.map_err(|_| "The wrapped key is not valid.")
        }
        (_, None) => Err("Property 'alg' is required."),
        _ => Err("The algorithm is not supported by the key type."),
    }
}
