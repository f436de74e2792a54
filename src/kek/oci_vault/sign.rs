//! Signatures of requests, version 1 of OCI (draft-cavage-http-signatures-08, rsa-sha256).
//!
//! Owns the text that is signed, and the headers of a signed POST. It must never show a key, or the token that stands in
//! the place of its name.

use crate::error::Result;
use crate::kek::cloud::RsaKey;
use crate::net::{Method, Request, split_url};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use time::OffsetDateTime;
use zeroize::Zeroizing;

const JSON: &str = "application/json";

/// Who signs.
pub(super) struct Signer {
    /// The key's name; a token's begins with `ST$`.
    key_id: Zeroizing<String>,
    key: RsaKey,
    /// `key_id` is a secret.
    of_token: bool,
}

impl Signer {
    /// With a key that OCI knows by this name.
    pub(super) fn of_key(key_id: String, key: RsaKey) -> Signer {
        Signer {
            key_id: Zeroizing::new(key_id),
            key,
            of_token: false,
        }
    }

    /// With the key that the token was given for.
    pub(super) fn of_token(token: &str, key: RsaKey) -> Signer {
        Signer {
            key_id: Zeroizing::new(["ST$", token].concat()),
            key,
            of_token: true,
        }
    }

    /// What of a request must not be shown.
    pub(super) fn secret(&self) -> &str {
        match self.of_token {
            true => &self.key_id,
            false => "",
        }
    }

    /// A POST of JSON to `path` of the service at `base`, signed now. A login's signature leaves the host out.
    pub(super) fn post(
        &self,
        base: &str,
        path: &str,
        body: Vec<u8>,
        with_host: bool,
    ) -> Result<Request> {
        let host = split_url(base).map_or("", |(_, authority)| authority);
        let date = http_date(crate::os::unix_seconds());
        let lines = lines(path, with_host.then_some(host), &body, &date);
        let hash = hash(&body);
        let request = Request::new(Method::Post, format!("{base}{path}"))
            .header("date", date)
            .header("content-type", JSON)
            .header("x-content-sha256", hash)
            .header("accept", JSON)
            .header("authorization", self.authorization(&lines)?)
            .want("opc-request-id")
            .body(body);
        Ok(request)
    }

    fn authorization(&self, lines: &[(&'static str, String)]) -> Result<String> {
        let signature = self.key.sign(signing_string(lines).as_bytes())?;
        let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        // One allocation: a token may be in it.
        Ok([
            "Signature version=\"1\",keyId=\"",
            &self.key_id,
            "\",algorithm=\"rsa-sha256\",headers=\"",
            &names.join(" "),
            "\",signature=\"",
            &BASE64.encode(&signature),
            "\"",
        ]
        .concat())
    }
}

/// What of a POST is signed, in its order.
fn lines(path: &str, host: Option<&str>, body: &[u8], date: &str) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("date", date.to_string()),
        ("(request-target)", format!("post {path}")),
    ];
    lines.extend(host.map(|host| ("host", host.to_string())));
    lines.extend([
        ("content-length", body.len().to_string()),
        ("content-type", JSON.to_string()),
        ("x-content-sha256", hash(body)),
    ]);
    lines
}

/// The text that is signed.
fn signing_string(lines: &[(&'static str, String)]) -> String {
    let lines = lines.iter().map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn hash(body: &[u8]) -> String {
    BASE64.encode(digest(&SHA256, body).as_ref())
}

/// A time as HTTP writes it (IMF-fixdate of RFC 9110, 5.6.7). One that a calendar does not have is its beginning.
fn http_date(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:.3}, {:02} {:.3} {:04} {:02}:{:02}:{:02} GMT",
        at.weekday().to_string(),
        at.day(),
        at.month().to_string(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{
        RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
        UnparsedPublicKey,
    };

    /// The public half of the 1,024 bits that Oracle's examples are signed with ("Request Signatures" in its
    /// documentation; the key of draft-cavage-http-signatures, appendix C).
    const OF_EXAMPLES: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C36rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJwoYi+1hqp1fIekaxsyQIDAQAB";
    const DATE: &str = "Thu, 05 Jan 2014 21:31:40 GMT";
    const HOST: &str = "iaas.us-phoenix-1.oraclecloud.com";

    fn verifies(text: &str, signature: &str) -> bool {
        let key = BASE64.decode(OF_EXAMPLES.as_bytes()).unwrap();
        let signature = BASE64.decode(signature.as_bytes()).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
            .verify(text.as_bytes(), &signature)
            .is_ok()
    }

    #[test]
    fn oracles_get_is_signed_so() {
        let target = "get /20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=TeamXInstances&volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";
        let text = signing_string(&[
            ("date", DATE.into()),
            ("(request-target)", target.into()),
            ("host", HOST.into()),
        ]);
        let signature = "GBas7grhyrhSKHP6AVIj/h5/Vp8bd/peM79H9Wv8kjoaCivujVXlpbKLjMPeDUhxkFIWtTtLBj3sUzaFj34XE6YZAHc9r2DmE4pMwOAy/kiITcZxa1oHPOeRheC0jP2dqbTll8fmTZVwKZOKHYPtrLJIJQHJjNvxFWeHQjMaR7M=";
        assert!(verifies(&text, signature));
        assert!(!verifies(&text.replace("host", "Host"), signature));
    }

    #[test]
    fn oracles_post_is_signed_so() {
        let body = concat!(
            "{\n    \"compartmentId\": \"ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa\",\n",
            "    \"instanceId\": \"ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a\",\n",
            "    \"volumeId\": \"ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q\"\n}"
        );
        let lines = lines(
            "/20160918/volumeAttachments",
            Some(HOST),
            body.as_bytes(),
            DATE,
        );
        let text = signing_string(&lines);
        assert!(
            text.contains("\ncontent-length: 316\n")
                && text.ends_with("V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0="),
            "{text}"
        );
        assert!(verifies(
            &text,
            "Mje8vIDPlwIHmD/cTDwRxE7HaAvBg16JnVcsuqaNRim23fFPgQfLoOOxae6WqKb1uPjYEl0qIdazWaBy/Ml8DRhqlocMwoSXv0fbukP8J5N80LCmzT/FFBvIvTB91XuXI3hYfP9Zt1l7S6ieVadHUfqBedWH0itrtPJBgKmrWso="
        ));
    }

    #[test]
    fn a_header_has_the_signature_of_the_lines_that_it_names() {
        let key = RsaKey::generate("test").unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().unwrap());
        let signer = Signer::of_token("tok", key);
        let lines = lines("/v1/x509", None, b"{}", DATE);
        let header = signer.authorization(&lines).unwrap();
        let (before, signature) = header.rsplit_once("signature=\"").unwrap();
        assert_eq!(
            before,
            "Signature version=\"1\",keyId=\"ST$tok\",algorithm=\"rsa-sha256\",headers=\"date (request-target) content-length content-type x-content-sha256\","
        );
        let signature = BASE64.decode(signature.trim_end_matches('"').as_bytes());
        let text = signing_string(&lines);
        public.verify(text.as_bytes(), &signature.unwrap()).unwrap();
        assert_eq!(signer.secret(), "ST$tok");
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(1_445_412_480), "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(http_date(1_388_957_500), "Sun, 05 Jan 2014 21:31:40 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(i64::MAX), http_date(0));
    }
}
