//! Tokens: the metadata server, the security token service, IAM's service account credentials, and who a bearer is.
//! Part of the fake of Google Cloud.

use super::bodies::{
    denied, has_word, invalid, members, need_scope, not_found, page, unauthenticated,
};
use super::jwt::{account_key, verify};
use super::{
    ACCOUNT, ACCOUNT_FILE, AUDIENCE, CLOUD_KMS, CLOUD_PLATFORM, Google, ISSUER, Issued, METADATA,
    Refused, SUBJECT,
};
use crate::clouds::{Answer, Request, World, value};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:";
/// By how many seconds Google lets a clock be ahead.
const SKEW: i64 = 300;
/// How old a subject token may be.
const STALE: i64 = 24 * 3600;

impl Google {
    fn issue(&mut self, world: &World, scopes: &str, who: &str) -> (String, i64) {
        let seconds = world.get("token_seconds").parse().unwrap_or(3599);
        let mut random = [0; 24];
        keyring_ward::secret::fill_random(&mut random).unwrap();
        let token = format!("ya29.c.{}", BASE64URL_NOPAD.encode(&random));
        let issued = Issued {
            expires: world.now() + seconds,
            scopes: scopes.into(),
            who: who.into(),
        };
        self.tokens.insert(token.clone(), issued);
        (token, seconds)
    }

    pub fn metadata(&mut self, world: &World, request: &Request, path: &str) -> Answer {
        let flavored = |answer: Answer| match world.get("flavor") {
            "none" => answer,
            _ => answer.header("Metadata-Flavor", "Google"),
        };
        if path == "/" {
            return flavored(Answer::text(200, "computeMetadata/\n"));
        }
        if request.header("metadata-flavor") != Some("Google") {
            return flavored(page(
                403,
                "Your client does not have permission to get URL <code>/computeMetadata/v1/</code> from this server. Missing Metadata-Flavor:Google header.",
            ));
        }
        // What came through a proxy may be somebody else's question.
        if request.header("x-forwarded-for").is_some() {
            return flavored(page(403, "X-Forwarded-For is not allowed."));
        }
        let scopes = match world.get("scopes") {
            "" => CLOUD_PLATFORM.to_string(),
            scopes => scopes.to_string(),
        };
        let query = request.query_pairs();
        let rest = path.strip_prefix(METADATA).unwrap_or_default();
        let of_account = rest
            .strip_prefix("instance/service-accounts/")
            .unwrap_or("-");
        let of_account = of_account.strip_prefix("default/").or(of_account
            .strip_prefix(ACCOUNT)
            .and_then(|rest| rest.strip_prefix('/')));
        let answer = match (rest, of_account) {
            ("universe/universe-domain", _) => Answer::text(200, "googleapis.com"),
            ("project/project-id", _) => Answer::text(200, "test-only"),
            (_, Some(""))
                if value(&query, "recursive") == "true" && world.get("account") != "none" =>
            {
                let account = json!({"aliases": ["default"], "email": ACCOUNT, "scopes": [scopes]});
                Answer::json(200, &account)
            }
            (_, Some("token")) if world.get("account") != "none" => {
                // A machine's scopes bound what is asked for.
                let asked = value(&query, "scopes");
                let given = match scopes == CLOUD_PLATFORM && !asked.is_empty() {
                    true => asked,
                    false => &scopes,
                };
                let (token, seconds) = self.issue(world, given, ACCOUNT);
                let token =
                    json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"});
                Answer::json(200, &token)
            }
            _ => page(404, "The requested URL was not found on this server."),
        };
        flavored(answer)
    }

    pub fn exchange(&mut self, world: &World, request: &Request) -> Answer {
        let form = request.form();
        let refuse = |error: &str, description: &str| {
            Answer::json(
                400,
                &json!({"error": error, "error_description": description}),
            )
        };
        if value(&form, "grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
            return refuse("unsupported_grant_type", "Bad Request");
        }
        if value(&form, "requested_token_type") != format!("{TOKEN_TYPE}access_token") {
            return refuse("invalid_request", "Invalid requested_token_type");
        }
        let scopes = value(&form, "scope");
        if scopes.is_empty() {
            return refuse("invalid_scope", "Scope must be provided.");
        }
        let jwt = format!("{TOKEN_TYPE}jwt");
        let id_token = format!("{TOKEN_TYPE}id_token");
        if ![jwt, id_token].contains(&value(&form, "subject_token_type").to_string()) {
            return refuse("invalid_request", "Invalid subject_token_type");
        }
        if value(&form, "audience") != AUDIENCE || world.get("pool") == "gone" {
            return refuse(
                "invalid_target",
                "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.",
            );
        }
        if world.get("pool") == "away" {
            return refuse(
                "invalid_grant",
                "Error connecting to the given credential's issuer.",
            );
        }
        let key = BASE64
            .decode(world.get("issuer_key").as_bytes())
            .unwrap_or_default();
        let claims = match verify(value(&form, "subject_token"), &key) {
            Ok((_, claims)) => claims,
            Err(why) => {
                return refuse(
                    "invalid_grant",
                    &format!("Unable to verify the ID Token signature: {why}."),
                );
            }
        };
        let number = |name: &str| claims[name].as_i64().unwrap_or(0);
        if claims["iss"] != ISSUER {
            return refuse(
                "invalid_grant",
                &format!(
                    "The issuer in ID Token {} does not match the expected ones: {ISSUER}.",
                    claims["iss"]
                ),
            );
        }
        let audience = claims["aud"].as_str().unwrap_or_default();
        if audience != AUDIENCE && audience != format!("https:{AUDIENCE}") {
            return refuse(
                "invalid_grant",
                &format!(
                    "The audience in ID Token [{audience}] does not match the expected audience https:{AUDIENCE}."
                ),
            );
        }
        let now = world.now();
        if number("exp") <= now - SKEW || now - number("iat") > STALE {
            return refuse(
                "invalid_grant",
                &format!("ID Token issued at {} is stale to sign-in.", number("iat")),
            );
        }
        if number("iat") > now + SKEW {
            return refuse("invalid_grant", "ID Token is used too early.");
        }
        if claims["sub"] != SUBJECT || world.get("pool") == "condition" {
            return refuse(
                "unauthorized_client",
                "The given credential is rejected by the attribute condition.",
            );
        }
        let (token, seconds) = self.issue(world, scopes, SUBJECT);
        Answer::json(
            200,
            &json!({
                "access_token": token, "issued_token_type": format!("{TOKEN_TYPE}access_token"), "token_type": "Bearer", "expires_in": seconds,
            }),
        )
    }

    pub fn impersonate(
        &mut self,
        world: &World,
        request: &Request,
        named: &str,
    ) -> Result<Answer, Refused> {
        let caller = self.caller(
            world,
            request,
            "google.iam.credentials.v1.IAMCredentials.GenerateAccessToken",
        )?;
        let iam = "https://www.googleapis.com/auth/iam";
        need_scope(&caller, &[iam, CLOUD_PLATFORM])?;
        let account = named.strip_prefix("projects/-/serviceAccounts/");
        if account != Some(ACCOUNT) {
            return Err(not_found("Not found; Gaia id not found for email"));
        }
        if caller.0 != SUBJECT || has_word(world.get("deny"), "impersonate") {
            return Err(denied("iam.serviceAccounts.getAccessToken", None));
        }
        let body = members(request, &["scope", "lifetime", "delegates"])?;
        let scopes = body["scope"].as_array().cloned().unwrap_or_default();
        let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
        let lifetime = body["lifetime"]
            .as_str()
            .unwrap_or("3600s")
            .strip_suffix('s');
        let lifetime = lifetime.and_then(|s| s.parse::<i64>().ok());
        if scopes.is_empty() || !lifetime.is_some_and(|s| (1..=3600).contains(&s)) {
            return Err(invalid("Request contains an invalid argument."));
        }
        let (token, seconds) = self.issue(world, &scopes.join(" "), ACCOUNT);
        let until = world.now() + seconds;
        let until = time::OffsetDateTime::from_unix_timestamp(until).unwrap();
        let until = until
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap();
        Ok(Answer::json(
            200,
            &json!({"accessToken": token, "expireTime": until}),
        ))
    }

    /// Who asks, with which scopes.
    pub fn caller(
        &self,
        world: &World,
        request: &Request,
        method: &str,
    ) -> Result<(String, String), Refused> {
        let header = request.header("authorization").unwrap_or_default();
        let Some(token) = header.strip_prefix("Bearer ") else {
            return Err(unauthenticated("CREDENTIALS_MISSING", method));
        };
        if let Some(issued) = self.tokens.get(token) {
            return match issued.expires > world.now() {
                true => Ok((issued.who.clone(), issued.scopes.clone())),
                false => Err(unauthenticated("ACCESS_TOKEN_EXPIRED", method)),
            };
        }
        let unsupported = || unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED", method);
        let (header, claims) = verify(token, &account_key(world)).map_err(|_| unsupported())?;
        let file: Value = serde_json::from_str(ACCOUNT_FILE).unwrap();
        let (iat, exp) = (
            claims["iat"].as_i64().unwrap_or(0),
            claims["exp"].as_i64().unwrap_or(0),
        );
        let now = world.now();
        let timely = iat <= now + SKEW && exp > now && exp - iat <= 3600;
        let ours = header["kid"] == file["private_key_id"]
            && claims["iss"] == ACCOUNT
            && claims["sub"] == ACCOUNT;
        // Either what it is for, or for whom it is.
        let scopes = match (claims["scope"].as_str(), claims["aud"].as_str()) {
            (Some(scopes), None) => scopes,
            (None, Some("https://cloudkms.googleapis.com/")) => CLOUD_KMS,
            _ => return Err(unsupported()),
        };
        match timely && ours {
            true => Ok((ACCOUNT.into(), scopes.into())),
            false => Err(unsupported()),
        }
    }
}
