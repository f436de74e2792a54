//! Alibaba Cloud as a fake: KMS, STS (AssumeRoleWithOIDC) and the metadata service of an instance with a RAM role.
//!
//! It verifies ACS3-HMAC-SHA256 (signature, which headers are signed, the body's hash, 15 minutes, nonces, security tokens),
//! permissions, the key's state and version, the encryption context; OIDC tokens by their signature, issuer, audience,
//! subject and expiry; the metadata service's token. Parameters may stand in the query and in a form, as with the real one.
//!
//! Settings: `state` of the key [`KEY`] (Enabled, Disabled, PendingDeletion, PendingImport, Unavailable), `version` (the number
//! of its current version, from 1 on), `lost_version` (one that is not there), `alias` (the id that alias/mysql names), `denied` (actions
//! that RAM denies, between commas), `access_key` (`inactive`, `unknown`), `signature` (`refused`: none fits), `role` of the instance (`none`: it has none), `role_code` (what the metadata
//! service says instead of Success), `metadata` (`off`), `life` of temporary credentials in seconds.

use super::{Answer, Cloud, Request, World, value};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use aws_lc_rs::{digest, hmac};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

pub const REGION: &str = "cn-hangzhou";
pub const ACCOUNT: &str = "113511544585";
/// Two symmetric keys of the account, and one that signs.
pub const KEY: &str = "key-hzz630494463ejqjx0001";
pub const OTHER_KEY: &str = "08ec3bb9-034f-485b-b1cd-3459baa889c7";
pub const RSA_KEY: &str = "key-hzz630494463ejqjx0003";
/// The access key of a RAM user.
pub const ACCESS_KEY_ID: &str = "LTAI5tKeyringWardFake01";
pub const ACCESS_KEY_SECRET: &str = "HIDDENsecretOfTheFakesAccessKey";
/// The role of the instance.
pub const ROLE: &str = "keyring-ward";
/// The role that a pod assumes, and who is trusted to say that it is that pod.
pub const ROLE_ARN: &str = "acs:ram::113511544585:role/keyring-ward-pod";
pub const PROVIDER_ARN: &str = "acs:ram::113511544585:oidc-provider/ack-rrsa-c1";
pub const ISSUER: &str = "https://oidc-ack-cn-hangzhou.example/c1";
pub const AUDIENCE: &str = "sts.aliyuncs.com";
pub const SUBJECT: &str = "system:serviceaccount:db:mysql";

/// How far a request's time may be off, in seconds.
const SKEW: i64 = 15 * 60;
/// Headers that must be signed, beside every `x-acs-…` that is there.
const SIGNED: [&str; 5] = [
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-version",
];

static OIDC_KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// A token of the identity provider with these claims.
pub fn oidc_token(claims: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "1"});
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; OIDC_KEY.public_modulus_len()];
    let random = SystemRandom::new();
    OIDC_KEY
        .sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// The claims of the pod that may assume the role; the token expires at `expires`, in seconds since 1970.
pub fn claims(expires: i64) -> Value {
    json!({"iss": ISSUER, "aud": [AUDIENCE], "sub": SUBJECT, "exp": expires, "iat": expires - 3600})
}

/// The value of the header Authorization for a request with these headers (names in lower case, `host` among them).
/// Written apart from the library's, by the vendor's page.
pub fn authorization(
    method: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
    (id, secret): (&str, &str),
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let (names, _, signature) = signature(method, query, headers, &names, secret);
    format!("ACS3-HMAC-SHA256 Credential={id},SignedHeaders={names},Signature={signature}")
}

/// The names that are signed, the canonical request, the signature.
fn signature(
    method: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
    names: &[&str],
    secret: &str,
) -> (String, String, String) {
    let mut query: Vec<String> = query
        .iter()
        .map(|(n, v)| format!("{}={}", encoded(n), encoded(v)))
        .collect();
    query.sort();
    let mut names = names.to_vec();
    names.sort_unstable();
    let of = |name: &str| headers.iter().find(|(n, _)| n == name).map_or("", |h| &h.1);
    let lines: String = names
        .iter()
        .map(|name| format!("{name}:{}\n", of(name).trim()))
        .collect();
    let joined = names.join(";");
    let canonical = format!(
        "{method}\n/\n{}\n{lines}\n{joined}\n{}",
        query.join("&"),
        of("x-acs-content-sha256")
    );
    let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    (joined, canonical, signature)
}

pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn encoded(text: &str) -> String {
    let one = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        b => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// 24 random letters and digits.
fn name() -> String {
    HEXLOWER.encode(&random(12))
}

/// Temporary credentials.
struct Issued {
    secret: String,
    token: String,
    until: i64,
}

/// The cloud.
#[derive(Default)]
pub struct Alibaba {
    nonces: BTreeSet<String>,
    issued: BTreeMap<String, Issued>,
    /// Tokens of the metadata service.
    metadata: BTreeMap<String, i64>,
}

type Outcome = Result<Value, Answer>;

impl Cloud for Alibaba {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer {
        let answer = match request.path.strip_prefix("/latest/") {
            Some(path) => self.metadata(world, request, path),
            None => {
                let outcome = match request.header("x-acs-action") {
                    Some(_) => self.kms(world, request),
                    None => self.sts(world, request),
                };
                match outcome {
                    Ok(value) => Answer::json(200, &value),
                    Err(answer) => answer,
                }
            }
        };
        let now = OffsetDateTime::from_unix_timestamp(world.now()).unwrap();
        let date = now.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        answer.header("Date", date)
    }
}

/// A refusal, as every service of Alibaba Cloud writes it.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "RequestId": request_id(), "HostId": "kms.cn-hangzhou.aliyuncs.com", "Code": code, "Message": message,
        "Recommend": format!("https://api.aliyun.com/troubleshoot?q={code}"),
    });
    Answer::json(status, &body)
}

fn refuse<T>(status: u16, code: &str, message: &str) -> Result<T, Answer> {
    Err(refusal(status, code, message))
}

fn request_id() -> String {
    uuid(&random(16))
}

fn uuid(bytes: &[u8]) -> String {
    let hex = HEXLOWER.encode(&bytes[..16]);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

// ---- the metadata service --------------------------------------------------------------------------

impl Alibaba {
    fn metadata(&mut self, world: &World, request: &Request, path: &str) -> Answer {
        const ROLES: &str = "meta-data/ram/security-credentials/";
        let page = |status| Answer::text(status, "<html><head><title>No</title></head></html>");
        if world.get("metadata") == "off" {
            return page(403);
        }
        if (request.method.as_str(), path) == ("PUT", "api/token") {
            let life = request.header("x-aliyun-ecs-metadata-token-ttl-seconds");
            let life: i64 = match life.and_then(|life| life.parse().ok()) {
                Some(life) if (1..=21_600).contains(&life) => life,
                _ => return page(400),
            };
            let token = BASE64.encode(&random(33));
            self.metadata.insert(token.clone(), world.now() + life);
            return Answer::text(200, &token);
        }
        // The hardened mode: no token, no answer.
        let token = request.header("x-aliyun-ecs-metadata-token").unwrap_or("");
        let until = self.metadata.get(token).copied().unwrap_or(0);
        if until < world.now() {
            return page(403);
        }
        let role = match world.get("role") {
            "none" => return page(404),
            "" => ROLE,
            role => role,
        };
        match (request.method.as_str(), path.strip_prefix(ROLES)) {
            ("GET", Some("")) => Answer::text(200, role),
            ("GET", Some(asked)) if asked == role => match world.get("role_code") {
                "" => {
                    let mut given = self.issue(world);
                    given["Code"] = "Success".into();
                    given["LastUpdated"] = utc(world.now()).into();
                    Answer::json(200, &given)
                }
                code => Answer::json(200, &json!({"Code": code})),
            },
            _ => page(404),
        }
    }

    fn issue(&mut self, world: &World) -> Value {
        let life = world.get("life").parse().unwrap_or(3600);
        let id = format!("STS.N{}", name());
        let issued = Issued {
            secret: format!("HIDDENsecret{}", name()),
            token: format!("CAIShiddenToken{}", BASE64.encode(&random(120))),
            until: world.now() + life,
        };
        let given = json!({
            "AccessKeyId": id, "AccessKeySecret": issued.secret, "SecurityToken": issued.token,
            "Expiration": utc(issued.until),
        });
        self.issued.insert(id, issued);
        given
    }
}

fn utc(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    at.format(&Rfc3339).unwrap()
}

/// The time of a request is there, and not off by more than is allowed.
fn check_time(world: &World, text: &str) -> Result<(), Answer> {
    let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) else {
        return refuse(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        );
    };
    match (at.unix_timestamp() - world.now()).abs() > SKEW {
        true => refuse(
            400,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ),
        false => Ok(()),
    }
}

// ---- STS -------------------------------------------------------------------------------------------

impl Alibaba {
    fn sts(&mut self, world: &World, request: &Request) -> Outcome {
        let given = parameters(request)?;
        let of = |name| value(&given, name);
        if of("Action") != "AssumeRoleWithOIDC" || of("Version") != "2015-04-01" {
            return refuse(
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            );
        }
        if of("Format") != "JSON" {
            return Err(Answer::text(
                200,
                "<?xml version='1.0' encoding='UTF-8'?><AssumeRoleWithOIDCResponse/>",
            ));
        }
        check_time(world, of("Timestamp"))?;
        let life = of("DurationSeconds").parse().unwrap_or(3600);
        if !(900..=43_200).contains(&life) {
            return refuse(
                400,
                "InvalidParameter.DurationSeconds",
                "The Min/Max value of DurationSeconds is 15min/1hr.",
            );
        }
        if !(2..=64).contains(&of("RoleSessionName").len()) {
            return refuse(
                400,
                "InvalidParameter.RoleSessionName",
                "The parameter RoleSessionName is wrongly formed.",
            );
        }
        if of("RoleArn") != ROLE_ARN {
            return refuse(404, "EntityNotExist.Role", "The specified Role not exists.");
        }
        if of("OIDCProviderArn") != PROVIDER_ARN {
            return refuse(
                401,
                "AuthenticationFail.NoPermission",
                "No such OIDC Provider registered.",
            );
        }
        check_oidc(world, of("OIDCToken"))?;
        let credentials = self.issue(world);
        Ok(json!({
            "RequestId": request_id(), "Credentials": credentials,
            "AssumedRoleUser": {"AssumedRoleId": "33157794895460:x", "Arn": format!("{ROLE_ARN}/x")},
            "OIDCTokenInfo": {"Subject": SUBJECT, "Issuer": ISSUER, "ClientIds": AUDIENCE},
        }))
    }
}

fn check_oidc(world: &World, token: &str) -> Result<(), Answer> {
    let no = |what: &str, message: &str| {
        refuse(
            401,
            &format!("AuthenticationFail.OIDCToken.{what}"),
            message,
        )
    };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return no(
            "Invalid",
            "The number of Jwt field should be divided into 3 parts with '.' .",
        );
    };
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
    };
    let (Some(head), Some(of)) = (json(header), json(claims)) else {
        return no(
            "Invalid",
            "The Jwt content is invalid that cannot be recognized.",
        );
    };
    if head["alg"] != "RS256" {
        let message = format!(
            "The algorithm {} that be specified in Jwt header is unknown.",
            head["alg"]
        );
        return no("Invalid", &message);
    }
    let signed = format!("{header}.{claims}");
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes());
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, OIDC_KEY.public_key());
    if public
        .verify(signed.as_bytes(), &signature.unwrap_or_default())
        .is_err()
    {
        return no(
            "InvalidSignature",
            "OIDC token validate failed: invalid signature.",
        );
    }
    if of["exp"].as_i64().unwrap_or(0) <= world.now() {
        return no("Expired", "This JsonWebToken is expired.");
    }
    let audiences = of["aud"].as_array().cloned().unwrap_or_default();
    if !audiences.contains(&json!(AUDIENCE)) {
        return no("AudienceNotMatch", "Invalid audience.");
    }
    if of["iss"] != ISSUER || of["sub"] != SUBJECT {
        return refuse(
            401,
            "AuthenticationFail.NoPermission",
            "There is no permission",
        );
    }
    Ok(())
}

/// The parameters, wherever they stand; a form must say that it is one.
fn parameters(request: &Request) -> Result<Vec<(String, String)>, Answer> {
    let kind = request.header("content-type").unwrap_or("");
    let form = match kind.starts_with("application/x-www-form-urlencoded") {
        true => request.form(),
        false => Vec::new(),
    };
    Ok(request.query_pairs().into_iter().chain(form).collect())
}

// ---- KMS -------------------------------------------------------------------------------------------

impl Alibaba {
    fn kms(&mut self, world: &World, request: &Request) -> Outcome {
        self.verify(world, request)?;
        if request.header("x-acs-version") != Some("2016-01-20") {
            return refuse(
                400,
                "InvalidVersion",
                "Specified parameter Version is not valid.",
            );
        }
        let action = request.header("x-acs-action").unwrap_or("");
        let given = parameters(request)?;
        if world
            .get("denied")
            .split(',')
            .any(|denied| denied == action)
        {
            return refuse(
                403,
                "Forbidden.NoPermission",
                "This operation is forbidden by permission system.",
            );
        }
        let answer = match action {
            "GenerateDataKey" => generate_data_key(world, &given),
            "Decrypt" => decrypt(world, &given),
            _ => refuse(
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            ),
        }?;
        // The default of its interfaces is XML.
        match request.header("accept") == Some("application/json") {
            true => Ok(answer),
            false => Err(Answer::text(
                200,
                "<?xml version='1.0' encoding='UTF-8'?><KMS/>",
            )),
        }
    }

    /// Who asks is known, the request is his, of now, and the first of its kind.
    fn verify(&mut self, world: &World, request: &Request) -> Result<(), Answer> {
        let header = request.header("authorization").unwrap_or("");
        let incomplete = || {
            refusal(
                400,
                "IncompleteSignature",
                "The request signature does not conform to Alibaba Cloud standards.",
            )
        };
        let part = |name: &str| {
            let parts = header
                .strip_prefix("ACS3-HMAC-SHA256 ")
                .unwrap_or("")
                .split(',');
            let found = parts
                .filter_map(|part| part.trim().split_once('='))
                .find(|(n, _)| *n == name);
            found.map(|(_, value)| value)
        };
        let (Some(id), Some(names), Some(claimed)) =
            (part("Credential"), part("SignedHeaders"), part("Signature"))
        else {
            return Err(incomplete());
        };
        let names: Vec<&str> = names.split(';').collect();
        let mut wanted: Vec<&str> = SIGNED.to_vec();
        wanted.extend(
            request
                .headers
                .iter()
                .map(|(n, _)| n.as_str())
                .filter(|n| n.starts_with("x-acs-")),
        );
        wanted.extend(request.header("content-type").map(|_| "content-type"));
        if request.header("x-acs-signature-nonce").is_none()
            || wanted.iter().any(|n| !names.contains(n))
        {
            return Err(incomplete());
        }
        let secret = self.secret(world, request, id)?;
        let (_, canonical, right) = signature(
            &request.method,
            &request.query_pairs(),
            &request.headers,
            &names,
            &secret,
        );
        let hash = request.header("x-acs-content-sha256").unwrap_or("");
        let refused = world.get("signature") == "refused";
        if refused || claimed != right || hash != sha256(&request.body) {
            // The real one tells what it signed, the security token among it.
            let message = format!(
                "Specified signature does not match our calculation. server StringToSign is [ACS3-HMAC-SHA256\n{}] server CanonicalRequest is [{canonical}]",
                sha256(canonical.as_bytes())
            );
            return refuse(400, "SignatureDoesNotMatch", &message);
        }
        check_time(world, request.header("x-acs-date").unwrap_or(""))?;
        let nonce = request.header("x-acs-signature-nonce").unwrap_or("");
        match self.nonces.insert(nonce.into()) {
            true => Ok(()),
            false => refuse(
                400,
                "SignatureNonceUsed",
                "Specified signature nonce was used already.",
            ),
        }
    }

    /// The secret of an access key, if its security token fits.
    fn secret(&self, world: &World, request: &Request, id: &str) -> Result<String, Answer> {
        let token = request.header("x-acs-security-token");
        if id == ACCESS_KEY_ID && world.get("access_key") != "unknown" {
            return match world.get("access_key") {
                "inactive" => refuse(
                    403,
                    "InvalidAccessKeyId.Inactive",
                    "Specified access key is disabled.",
                ),
                _ => Ok(ACCESS_KEY_SECRET.into()),
            };
        }
        let Some(issued) = self.issued.get(id) else {
            return refuse(
                404,
                "InvalidAccessKeyId.NotFound",
                "Specified access key is not found.",
            );
        };
        match token {
            None => refuse(
                400,
                "MissingSecurityToken",
                "SecurityToken is mandatory for this action.",
            ),
            Some(token)
                if self.issued.values().any(|i| i.token == token) && token != issued.token =>
            {
                refuse(
                    400,
                    "InvalidSecurityToken.MismatchWithAccessKey",
                    "Specified SecurityToken mismatch with the AccessKey.",
                )
            }
            Some(token) if token != issued.token => refuse(
                400,
                "InvalidSecurityToken.Malformed",
                "Specified SecurityToken is malformed.",
            ),
            Some(_) if issued.until <= world.now() => refuse(
                400,
                "InvalidSecurityToken.Expired",
                "Specified SecurityToken is expired.",
            ),
            Some(_) => Ok(issued.secret.clone()),
        }
    }
}

/// The id of a key that is named in one of the ways.
fn resolve<'a>(world: &'a World, named: &'a str) -> Result<&'a str, Answer> {
    let arn = format!("acs:kms:{REGION}:{ACCOUNT}:key/");
    let id = match named.strip_prefix("alias/") {
        Some("mysql") => match world.get("alias") {
            "" => KEY,
            id => id,
        },
        Some("other") => OTHER_KEY,
        Some(_) => {
            return refuse(
                404,
                "Forbidden.AliasNotFound",
                "The specified Alias is not found.",
            );
        }
        None => named.strip_prefix(&arn).unwrap_or(named),
    };
    match [KEY, OTHER_KEY, RSA_KEY].contains(&id) {
        true => Ok(id),
        false => refuse(
            404,
            "Forbidden.KeyNotFound",
            "The specified Key is not found.",
        ),
    }
}

/// The key can be used for what is symmetric.
fn check_state(world: &World, id: &str) -> Result<(), Answer> {
    if id == RSA_KEY {
        return refuse(400, "UnsupportedOperation", "This action is not supported.");
    }
    match world.get("state") {
        state if id == KEY && !matches!(state, "" | "Enabled") => refuse(
            409,
            &format!("Rejected.{state}"),
            &format!("The request was rejected because the key state is {state}."),
        ),
        _ => Ok(()),
    }
}

/// A version's id, and its material.
fn version(id: &str, number: u32) -> (String, LessSafeKey) {
    let of = |what: &str| {
        let text = format!("{what} of version {number} of {id}");
        digest::digest(&digest::SHA256, text.as_bytes())
    };
    let material = UnboundKey::new(&AES_256_GCM, of("material").as_ref()).unwrap();
    (uuid(of("id").as_ref()), LessSafeKey::new(material))
}

fn current(world: &World, id: &str) -> u32 {
    match id {
        KEY => world.get("version").parse().unwrap_or(1),
        _ => 1,
    }
}

/// The pairs of the context in one spelling: their order does not matter.
fn context(given: &[(String, String)]) -> Result<String, Answer> {
    let text = value(given, "EncryptionContext");
    if text.is_empty() {
        return Ok("{}".into());
    }
    let pairs: Option<BTreeMap<String, String>> = serde_json::from_str(text).ok();
    match pairs.filter(|_| text.len() <= 8192) {
        Some(pairs) => Ok(json!(pairs).to_string()),
        None => refuse(
            400,
            "InvalidParameter",
            "The specified parameter \"EncryptionContext\" is not valid.",
        ),
    }
}

fn missing<T>(name: &str) -> Result<T, Answer> {
    let message = format!("The parameter \"{name}\" is needed but not provided.");
    refuse(400, "MissingParameter", &message)
}

fn generate_data_key(world: &World, given: &[(String, String)]) -> Outcome {
    let named = value(given, "KeyId");
    if named.is_empty() {
        return missing("KeyId");
    }
    let of_spec = match value(given, "KeySpec") {
        "" | "AES_256" => Some(32),
        "AES_128" => Some(16),
        _ => None,
    };
    let length = match value(given, "NumberOfBytes") {
        "" => of_spec,
        number => number.parse().ok().filter(|n| (1..=1024).contains(n)),
    };
    let Some(length) = length else {
        return refuse(
            400,
            "InvalidParameter",
            "The specified parameter \"KeySpec\" is not valid.",
        );
    };
    let context = context(given)?;
    let id = resolve(world, named)?;
    check_state(world, id)?;
    let key = random(length);
    let (version_id, material) = version(id, current(world, id));
    let nonce = random(12);
    let mut sealed = key.clone();
    let at = Nonce::try_assume_unique_for_key(&nonce).unwrap();
    material
        .seal_in_place_append_tag(at, Aad::from(context.as_bytes()), &mut sealed)
        .unwrap();
    // The real one's begins with the version's id, too.
    let blob = [version_id.as_bytes(), &nonce, &sealed].concat();
    Ok(json!({
        "KeyId": id, "KeyVersionId": version_id, "CiphertextBlob": BASE64.encode(&blob), "Plaintext": BASE64.encode(&key),
        "RequestId": request_id(),
    }))
}

fn decrypt(world: &World, given: &[(String, String)]) -> Outcome {
    let invalid = || {
        refusal(
            400,
            "InvalidParameter",
            "The specified parameter \"CiphertextBlob\" is not valid.",
        )
    };
    let text = value(given, "CiphertextBlob");
    if text.is_empty() {
        return missing("CiphertextBlob");
    }
    let context = context(given)?;
    let blob = BASE64.decode(text.as_bytes()).map_err(|_| invalid())?;
    if blob.len() < 36 + 12 + 16 {
        return Err(invalid());
    }
    let (version_id, rest) = blob.split_at(36);
    let (nonce, sealed) = rest.split_at(12);
    let all = [KEY, OTHER_KEY]
        .into_iter()
        .flat_map(|id| (1..=current(world, id)).map(move |number| (id, number)));
    let found = all
        .map(|(id, number)| (id, number, version(id, number)))
        .find(|(_, _, (of, _))| of.as_bytes() == version_id);
    let Some((id, number, (version_id, material))) = found else {
        return Err(invalid());
    };
    check_state(world, id)?;
    if world.get("lost_version") == number.to_string() {
        return refuse(
            404,
            "Forbidden.KeyVersionNotFound",
            "The specified Key version is not found.",
        );
    }
    let mut opened = sealed.to_vec();
    let at = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let key = material
        .open_in_place(at, Aad::from(context.as_bytes()), &mut opened)
        .map_err(|_| invalid())?;
    Ok(json!({
        "KeyId": id, "KeyVersionId": version_id, "Plaintext": BASE64.encode(key), "RequestId": request_id(),
    }))
}
