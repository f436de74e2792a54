//! ACS3-HMAC-SHA256: its making and its checking, written apart from the library's, by the vendor's page.

use super::super::{Answer, Request, World};
use super::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Alibaba, check_time, refusal, refuse};
use aws_lc_rs::{digest, hmac};
use data_encoding::HEXLOWER;

/// Headers that must be signed, beside every `x-acs-…` that is there.
const SIGNED: [&str; 5] = [
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-version",
];

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

impl Alibaba {
    /// Who asks is known, the request is his, of now, and the first of its kind.
    pub(super) fn verify(&mut self, world: &World, request: &Request) -> Result<(), Answer> {
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
