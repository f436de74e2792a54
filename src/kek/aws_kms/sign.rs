//! AWS Signature Version 4, for requests to `/` without a query: all that KMS and STS need.
//!
//! Owns the header Authorization (IAM User Guide, "Create a signed AWS API request"). Derived keys live in memory that is
//! wiped. It must never sign a request for another host, region or service than the one that is asked.

use super::credentials::Credentials;
use crate::secret::wipe_stack;
use crate::text::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// What is signed.
pub(super) struct Signed<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    /// POST in all that we send; the published vectors have others.
    pub(super) method: &'a str,
    /// Names in lower case, `host` and `x-amz-date` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// A time as AWS writes it: 20150830T123600Z.
pub(super) fn amz_date(now: OffsetDateTime) -> String {
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The value of the header Authorization. `date` is that of x-amz-date.
pub(super) fn authorization(request: &Signed<'_>, credentials: &Credentials, date: &str) -> String {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n/\n\n", request.method);
    for (name, value) in &headers {
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{}", digest(request.body)));
    let day = date.get(..8).unwrap_or_default();
    let scope = [day, request.region, request.service, "aws4_request"];
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{}\n{}",
        scope.join("/"),
        digest(canonical.as_bytes())
    );
    let secret = format!("AWS4{}", credentials.secret_access_key());
    let mut key = Zeroizing::new(secret.into_bytes());
    for part in scope {
        key = Zeroizing::new(mac(&key, part).to_vec());
    }
    let signature = hex(&mac(&key, &text));
    wipe_stack();
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id(),
        scope.join("/"),
    )
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        // get-vanilla and post-vanilla of AWS's Signature Version 4 test suite.
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, None);
        let date = amz_date(OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap());
        assert_eq!(date, "20150830T123600Z");
        for (method, signature) in [
            (
                "GET",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let request = Signed {
                service: "service",
                region: "us-east-1",
                method,
                // In any order.
                headers: &[("x-amz-date", &date), ("host", "example.amazonaws.com")],
                body: b"",
            };
            assert_eq!(
                authorization(&request, &credentials, &date),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }
}
