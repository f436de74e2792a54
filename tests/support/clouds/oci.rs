//! A fake of OCI: the metadata service of an instance, the login that gives it a token, and a vault's cryptographic
//! endpoint. It verifies every signature, of either kind, as OCI does: the lines that have to be signed, the hash of the
//! body, the clock (five minutes), whose key it is.
//!
//! Settings:
//! - `state`: of the key: `ENABLED` (as where it is not set), `DISABLED`, `PENDING_DELETION`; `DELETED`: it is not there.
//! - `policy`: which calls are allowed: `all` (as where it is not set), `none`, `decrypt`, `encrypt`.
//! - `version`: the current version of the key, 1 where it is not set: what was made with a later one does not open.
//! - `algorithm`: of the key: `AES` (as where it is not set) or another, which makes no data keys.
//! - `token_seconds`: how long a token lives; one of 0 has run out when it is used.
//! - `dynamic_group`: `no`: the instance is in none.
//! - `identity`: `absent`: the metadata service has no certificate; `renewing N`: that many times the key is another one.
//! - `answers`: how decrypt answers: `old` (the key is not named), `other` (another key is named), `changed` (the plaintext
//!   is), `unchecked` (no checksum); `repeating`: every call is refused with the words of its signature.

mod signature;

use super::{Answer, Cloud, Request, World};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256,
    PublicKeyData,
};
use serde_json::{Value, json};
use signature::{http_date, signature};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Who asks.
pub const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaakeyringwardtest";
pub const USER: &str = "ocid1.user.oc1..aaaaaaaakeyringwardtest";
/// Of the key of tests that follows: the MD5 of its public half, by openssl.
pub const FINGERPRINT: &str = "14:1d:69:be:f2:81:de:de:9f:51:46:19:9d:5f:13:5b";
pub const USER_KEY: &str = include_str!("../../../mysql-test/harness/clouds/oci_user.pem");
/// The keys of the vault.
pub const KEY: &str = "ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljskeyringward";
pub const OTHER_KEY: &str = "ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljsanother";
/// The signed lines of a key call, and of a login.
const OF_CALL: &str = "date (request-target) host content-length content-type x-content-sha256";
const OF_LOGIN: &str = "date (request-target) content-length content-type x-content-sha256";

/// An instance's identity: made once in a process, RSA takes its time.
struct Identity {
    leaf: Vec<u8>,
    leaf_pem: String,
    key_pem: String,
    public: Vec<u8>,
    intermediate_pem: String,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "PKISVC Identity Intermediate");
    let intermediate = params.self_signed(&authority).unwrap();
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut of_leaf = CertificateParams::default();
    let name = &mut of_leaf.distinguished_name;
    name.push(DnType::CommonName, "ocid1.instance.oc1.eu-frankfurt-1.abc");
    let tenant = format!("opc-tenant:{TENANCY}");
    name.push(DnType::OrganizationalUnitName, tenant);
    let leaf = of_leaf.signed_by(&key, &Issuer::from_params(&params, &authority));
    let leaf = leaf.unwrap();
    Identity {
        leaf: leaf.der().to_vec(),
        leaf_pem: leaf.pem(),
        key_pem: key.serialize_pem(),
        public: key.subject_public_key_info(),
        intermediate_pem: intermediate.pem(),
    }
});

/// The user's public key.
static USER_PUBLIC: LazyLock<Vec<u8>> = LazyLock::new(|| {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;
    use rustls::pki_types::{PrivatePkcs1KeyDer, pem::PemObject};
    let pkcs1 = PrivatePkcs1KeyDer::from_pem_slice(USER_KEY.as_bytes()).unwrap();
    let pair = aws_lc_rs::rsa::KeyPair::from_der(pkcs1.secret_pkcs1_der()).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    der.as_ref().to_vec()
});

/// The fake.
#[derive(Default)]
pub struct Oci {
    /// The tokens that were given: until when, and the public key of who may use it.
    tokens: BTreeMap<String, (i64, Vec<u8>)>,
    requests: u64,
    renewals: u64,
}

impl Cloud for Oci {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer {
        self.requests += 1;
        let path = request.path.as_str();
        let answer = match path.strip_prefix("/opc/v2/") {
            Some(what) => self.metadata(world, request, what),
            None => match self.api(world, request, path) {
                Ok(value) => Answer::json(200, &value),
                Err(refusal) => refusal,
            },
        };
        answer
            .header("Date", http_date(world.now()))
            .header("opc-request-id", format!("FAKE/{:08X}", self.requests))
    }
}

/// A refusal, as OCI writes it.
fn refuse(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"code": code, "message": message}))
}

fn unknown_signature() -> Answer {
    refuse(
        401,
        "NotAuthenticated",
        "The required information to complete authentication was not provided or was incorrect.",
    )
}

fn invalid(what: &str) -> Answer {
    refuse(400, "InvalidParameter", what)
}

impl Oci {
    fn metadata(&mut self, world: &World, request: &Request, what: &str) -> Answer {
        if request.header("authorization") != Some("Bearer Oracle") {
            return Answer::text(
                403,
                "<html><head><title>403 Forbidden</title></head></html>",
            );
        }
        if world.get("identity") == "absent" && what.starts_with("identity/") {
            return Answer::text(
                404,
                "<html><head><title>404 Not Found</title></head></html>",
            );
        }
        let renewals = world.get("identity").strip_prefix("renewing ");
        let renewals = renewals.map_or(0, |n| n.parse().unwrap());
        match (request.method.as_str(), what) {
            ("GET", "identity/cert.pem") => Answer::text(200, &IDENTITY.leaf_pem),
            ("GET", "identity/key.pem") if self.renewals < renewals => {
                self.renewals += 1;
                Answer::text(200, USER_KEY)
            }
            ("GET", "identity/key.pem") => Answer::text(200, &IDENTITY.key_pem),
            ("GET", "identity/intermediate.pem") => Answer::text(200, &IDENTITY.intermediate_pem),
            ("GET", "instance/region") => Answer::text(200, "eu-frankfurt-1"),
            _ => Answer::text(404, ""),
        }
    }

    fn api(&mut self, world: &World, request: &Request, path: &str) -> Result<Value, Answer> {
        match (request.method.as_str(), path) {
            ("POST", "/v1/x509") => self.log_in(world, request),
            ("POST", "/20180608/generateDataEncryptionKey") => {
                let (key, body) = self.key_call(world, request, "encrypt")?;
                generate(world, key, &body)
            }
            ("POST", "/20180608/encrypt") => {
                let (key, body) = self.key_call(world, request, "encrypt")?;
                let plaintext = bytes(&body, "plaintext")?;
                let ciphertext = seal(version(world), key, &bound(&body)?, &plaintext);
                Ok(json!({"ciphertext": BASE64.encode(&ciphertext), "keyId": key}))
            }
            ("POST", "/20180608/decrypt") => {
                let (key, body) = self.key_call(world, request, "decrypt")?;
                decrypt(world, key, &body)
            }
            _ => Err(refuse(404, "NotFound", "Not Found")),
        }
    }

    fn log_in(&mut self, world: &World, request: &Request) -> Result<Value, Answer> {
        let body = request.json();
        let leaf = BASE64.decode(text(&body, "certificate").as_bytes());
        let chain = body["intermediateCertificates"].as_array();
        let chain = chain.and_then(|chain| chain.first()?.as_str());
        let issuer = IDENTITY.intermediate_pem.replace(['\n', '\r'], "");
        let issued = chain.is_some_and(|one| !one.is_empty() && issuer.contains(one));
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &IDENTITY.leaf);
        let hash: Vec<String> = hash.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        let name = format!("{TENANCY}/fed-x509/{}", hash.join(":"));
        let signed = signature(world, request, OF_LOGIN).filter(|s| s.key_id == name);
        let signed = signed.is_some_and(|s| s.is_of(&IDENTITY.public));
        if leaf.ok().as_ref() != Some(&IDENTITY.leaf) || !issued || !signed {
            return Err(unknown_signature());
        }
        let session = BASE64.decode(text(&body, "publicKey").as_bytes());
        let session = session.map_err(|_| invalid("publicKey is not a public key"))?;
        let seconds = world.get("token_seconds").parse().unwrap_or(1200);
        let until = world.now() + seconds;
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let token = format!(
            "{}.{}.{}",
            part(&json!({"kid": "asw", "alg": "RS256"})),
            part(
                &json!({"sub": "ocid1.instance", "ttype": "x509", "exp": until, "iat": world.now()})
            ),
            BASE64URL_NOPAD.encode(digest(&SHA256, &session).as_ref())
        );
        self.tokens.insert(token.clone(), (until, session));
        Ok(json!({ "token": token }))
    }

    /// What every call of the vault goes through: the key, and the body.
    fn key_call(
        &self,
        world: &World,
        request: &Request,
        what: &str,
    ) -> Result<(&'static str, Value), Answer> {
        let signature = signature(world, request, OF_CALL).ok_or_else(unknown_signature)?;
        let of_user = format!("{TENANCY}/{USER}/{FINGERPRINT}");
        let (public, is_allowed) = match signature.key_id.strip_prefix("ST$") {
            Some(token) => {
                let given = self.tokens.get(token);
                let given = given.filter(|(until, _)| world.now() < *until);
                let (_, public) = given.ok_or_else(unknown_signature)?;
                (public.as_slice(), world.get("dynamic_group") != "no")
            }
            None if signature.key_id == of_user => (USER_PUBLIC.as_slice(), true),
            None => return Err(unknown_signature()),
        };
        if !signature.is_of(public) {
            return Err(unknown_signature());
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|_| refuse(400, "CannotParseRequest", "Incorrectly formatted request."))?;
        if world.get("answers") == "repeating" {
            return Err(invalid(request.header("authorization").unwrap()));
        }
        if !body["keyId"].is_string() {
            return Err(refuse(400, "MissingParameter", "keyId is required"));
        }
        let key = [KEY, OTHER_KEY]
            .into_iter()
            .find(|key| body["keyId"] == *key);
        let is_allowed = is_allowed && ["", "all", what].contains(&world.get("policy"));
        let Some(key) = key.filter(|_| is_allowed && world.get("state") != "DELETED") else {
            return Err(refuse(
                404,
                "NotAuthorizedOrNotFound",
                "Authorization failed or requested resource not found.",
            ));
        };
        match world.get("state") {
            "" | "ENABLED" => Ok((key, body)),
            state => Err(refuse(
                409,
                "IncorrectState",
                &format!("The key {key} is in the state {state}."),
            )),
        }
    }
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_default()
}

fn bytes(body: &Value, name: &str) -> Result<Vec<u8>, Answer> {
    let found = BASE64.decode(text(body, name).as_bytes()).ok();
    found
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| invalid(&format!("{name} is not valid")))
}

fn version(world: &World) -> u32 {
    world.get("version").parse().unwrap_or(1)
}

/// What a ciphertext is bound to: names and texts, in one order.
fn bound(body: &Value) -> Result<String, Answer> {
    let none = serde_json::Map::new();
    let pairs = match &body["associatedData"] {
        Value::Null => &none,
        Value::Object(pairs) => pairs,
        _ => return Err(invalid("associatedData is not an object")),
    };
    let sorted: BTreeMap<&String, &Value> = pairs.iter().collect();
    let text = serde_json::to_string(&sorted).unwrap();
    match sorted.values().all(|value| value.is_string()) && text.len() < 4096 {
        true => Ok(text),
        false => Err(invalid("associatedData is not valid")),
    }
}

fn generate(world: &World, key: &str, body: &Value) -> Result<Value, Answer> {
    let shape = &body["keyShape"];
    let length = shape["length"].as_u64().unwrap_or(0);
    let of_key = world.get("algorithm");
    if shape["algorithm"] != "AES"
        || ![16, 24, 32].contains(&length)
        || !["", "AES"].contains(&of_key)
    {
        return Err(invalid("keyShape is not valid for this key"));
    }
    let Some(include) = body["includePlaintextKey"].as_bool() else {
        let what = "includePlaintextKey is required";
        return Err(refuse(400, "MissingParameter", what));
    };
    let mut plaintext = vec![0; usize::try_from(length).unwrap()];
    aws_lc_rs::rand::fill(&mut plaintext).unwrap();
    let sealed = seal(version(world), key, &bound(body)?, &plaintext);
    let mut answer = json!({"ciphertext": BASE64.encode(&sealed)});
    if include {
        answer["plaintext"] = BASE64.encode(&plaintext).into();
        answer["plaintextChecksum"] = crc32fast::hash(&plaintext).to_string().into();
    }
    Ok(answer)
}

fn decrypt(world: &World, key: &str, body: &Value) -> Result<Value, Answer> {
    let plaintext = open(
        version(world),
        key,
        &bound(body)?,
        &bytes(body, "ciphertext")?,
    );
    let mut plaintext = plaintext.ok_or_else(|| invalid("The ciphertext can not be decrypted."))?;
    let sum = crc32fast::hash(&plaintext).to_string();
    let how = world.get("answers");
    if how == "changed" {
        plaintext[0] ^= 1;
    }
    let mut answer = json!({
        "plaintext": BASE64.encode(&plaintext), "plaintextChecksum": sum, "keyId": key,
        "keyVersionId": format!("ocid1.keyversion.oc1.eu-frankfurt-1.bbptestaaacuu.{}", version(world)),
        "encryptionAlgorithm": "AES_256_GCM",
    });
    match how {
        "old" => ["keyId", "keyVersionId", "encryptionAlgorithm"]
            .into_iter()
            .for_each(|name| answer[name] = Value::Null),
        "other" => answer["keyId"] = OTHER_KEY.into(),
        "unchecked" => answer["plaintextChecksum"] = Value::Null,
        _ => {}
    }
    Ok(answer)
}

/// A version of a key, the same in each run: a fake that was started again opens what it made before.
fn cipher(key: &str, version: u32) -> LessSafeKey {
    let bytes = digest(&SHA256, format!("{key} {version}").as_bytes());
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_ref()).unwrap())
}

/// Version, nonce, ciphertext with tag.
fn seal(version: u32, key: &str, bound: &str, plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    aws_lc_rs::rand::fill(&mut nonce).unwrap();
    let mut sealed = plaintext.to_vec();
    let (aad, unique) = (Aad::from(bound), Nonce::assume_unique_for_key(nonce));
    let cipher = cipher(key, version);
    cipher
        .seal_in_place_append_tag(unique, aad, &mut sealed)
        .unwrap();
    [&version.to_be_bytes()[..], &nonce, &sealed].concat()
}

fn open(newest: u32, key: &str, bound: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = sealed.split_first_chunk::<4>()?;
    let (nonce, rest) = rest.split_first_chunk::<12>()?;
    let version = u32::from_be_bytes(*version);
    let (mut rest, nonce) = (rest.to_vec(), Nonce::assume_unique_for_key(*nonce));
    let cipher = cipher(key, version);
    let opened = cipher
        .open_in_place(nonce, Aad::from(bound), &mut rest)
        .ok()?;
    (version <= newest).then(|| opened.to_vec())
}
