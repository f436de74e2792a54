//! Signatures of requests as OCI verifies them (version 1, rsa-sha256).

use super::super::{Request, World};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use data_encoding::BASE64;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// By how many seconds a clock may be off.
const SKEW: i64 = 300;

/// What a request's signature says. It is not verified yet.
pub struct Signature {
    pub key_id: String,
    signed: String,
    signature: Vec<u8>,
}

impl Signature {
    pub fn is_of(&self, public: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }
}

/// The signature of a request, if its lines are those that have to be signed, its clock is right, and its body is the one
/// whose hash was signed.
pub fn signature(world: &World, request: &Request, lines: &str) -> Option<Signature> {
    let given = request
        .header("authorization")?
        .strip_prefix("Signature ")?;
    let part = |name: &str| {
        let begin = format!("{name}=\"");
        let mut parts = given.split(',');
        let found = parts.find_map(|part| part.strip_prefix(&begin))?;
        Some(found.trim_end_matches('"').to_string())
    };
    if part("version")? != "1" || part("algorithm")? != "rsa-sha256" || part("headers")? != lines {
        return None;
    }
    let target = format!("{} {}", request.method.to_lowercase(), request.path);
    let signed = lines.split(' ').map(|name| {
        let value = match name {
            "(request-target)" => Some(target.as_str()),
            name => request.header(name),
        };
        Some(format!("{name}: {}", value?))
    });
    let signed: Option<Vec<String>> = signed.collect();
    let hash = BASE64.encode(digest(&SHA256, &request.body).as_ref());
    let length = request.body.len().to_string();
    let is_whole = request.header("x-content-sha256") == Some(&hash)
        && request.header("content-length") == Some(&length);
    let off = world.now() - seconds(request.header("date")?)?;
    (is_whole && off.abs() <= SKEW).then_some(Signature {
        key_id: part("keyId")?,
        signed: signed?.join("\n"),
        signature: BASE64.decode(part("signature")?.as_bytes()).ok()?,
    })
}

fn seconds(date: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    Some(at.unix_timestamp())
}

pub fn http_date(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap();
    at.format(&Rfc2822).unwrap().replace("+0000", "GMT")
}
