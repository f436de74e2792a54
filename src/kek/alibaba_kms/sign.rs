//! Alibaba Cloud's signature, version 3 (ACS3-HMAC-SHA256).
//!
//! Owns the header Authorization ("V3 request structure and signature"). What it is made from lives in memory that is
//! wiped: a security token is in it. It must never sign a request for another host than the one that is asked.

use super::credentials::Credentials;
use crate::secret::wipe_stack;
use crate::text::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// What is signed: a request to `/`, all that an RPC interface needs.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// The query as the signature has it; empty in all that we send, the published vector has one.
    pub(super) query: &'a str,
    /// Names in lower case: `host`, `content-type` where there is one, and every `x-acs-…` that is sent.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The value of `x-acs-content-sha256`.
    pub(super) body_hash: &'a str,
}

/// The value of the header `x-acs-content-sha256`.
pub(super) fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// The value of the header Authorization.
pub(super) fn authorization(request: &Signed<'_>, credentials: &Credentials) -> String {
    let mut headers = request.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut parts = vec![request.method, "\n/\n", request.query, "\n"];
    for (name, value) in &headers {
        parts.extend([*name, ":", value.trim(), "\n"]);
    }
    parts.extend(["\n", &names, "\n", request.body_hash]);
    // One allocation, which is wiped.
    let canonical = Zeroizing::new(parts.concat());
    let text = format!("{ALGORITHM}\n{}", body_hash(canonical.as_bytes()));
    let signature = mac(credentials.access_key_secret().as_bytes(), &text);
    wipe_stack();
    format!(
        "{ALGORITHM} Credential={},SignedHeaders={names},Signature={}",
        credentials.access_key_id(),
        hex(&signature)
    )
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
    fn the_signature_is_that_of_the_published_vector() {
        // RunInstances, the example of "V3 request structure and signature".
        let credentials =
            Credentials::new("YourAccessKeyId", "YourAccessKeySecret", None, "the vector").unwrap();
        let body_hash = body_hash(b"");
        let request = Signed {
            method: "POST",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
            // In any order.
            headers: &[
                ("x-acs-version", "2014-05-26"),
                ("x-acs-action", "RunInstances"),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("x-acs-content-sha256", &body_hash),
                ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ],
            body_hash: &body_hash,
        };
        assert_eq!(
            authorization(&request, &credentials),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,\
             SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }
}
