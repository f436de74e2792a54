//! What OCI's texts look like: each is checked before a URL, a header or a request sees it.
//!
//! Owns these rules with their bounds. It must never show the value of what it refuses.

/// Longest OCID in bytes.
const MAX_OCID: usize = 255;
/// Longest security token in bytes: one has a few thousand. It stands in a header.
const MAX_TOKEN: usize = 16_384;

/// Whether a text is an OCID of this type: `ocid1.TYPE.REALM.REGION.UNIQUE`.
pub(super) fn is_ocid(text: &str, of_type: &str) -> bool {
    let rest = text
        .strip_prefix("ocid1.")
        .and_then(|rest| rest.strip_prefix(of_type))
        .and_then(|rest| rest.strip_prefix('.'));
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    rest.is_some_and(|rest| rest.contains('.')) && text.len() <= MAX_OCID && text.bytes().all(fits)
}

/// What is wrong with the OCID of a key.
pub(super) fn key_fault(text: &str) -> Option<(String, &'static str)> {
    let fault = match text {
        text if is_ocid(text, "key") => return None,
        text if is_ocid(text, "keyversion") => "is the OCID of one version of a key",
        text if is_ocid(text, "vault") => "is the OCID of a vault",
        _ => "is not the OCID of a key",
    };
    Some((
        fault.into(),
        "Use the key's own, ocid1.key.…, as oci kms management key list shows it.",
    ))
}

/// Whether a text is the fingerprint of an API signing key: 16 bytes, `aa:bb:…`.
pub(super) fn is_fingerprint(text: &str) -> bool {
    let byte = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    text.split(':').count() == 16 && text.split(':').all(byte)
}

/// Whether a text can be a security token: printable, and nothing that would end its place in a signature's header.
pub(super) fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits)
}

/// Where instances of the region and realm of this cryptographic endpoint get their tokens; `None`: its host is not
/// `PREFIX-crypto.kms.REGION.DOMAIN`, with `oci.` before the domain or without.
pub(super) fn federation_endpoint(crypto_endpoint: &str) -> Option<String> {
    let host = crate::net::host(crypto_endpoint)?;
    let (region, domain) = host.split_once("-crypto.kms.")?.1.split_once('.')?;
    let domain = domain.strip_prefix("oci.").unwrap_or(domain);
    let fits = !region.is_empty() && domain.contains('.');
    fits.then(|| format!("https://auth.{region}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ocid1.key.oc1.ap-seoul-1.cnqrnkn6aagiu.abuwgljrwmtnmwymzu2ikzjp43as3fa66oh";

    #[test]
    fn an_ocid_stays_one_word() {
        assert!(is_ocid(KEY, "key") && key_fault(KEY).is_none());
        assert!(is_ocid("ocid1.tenancy.oc1..aaaa", "tenancy"));
        assert!(!is_ocid(KEY, "tenancy"));
        let long = format!("{KEY}{}", "x".repeat(255));
        for bad in [
            "",
            "ocid1",
            "ocid1.key",
            "ocid1.key.",
            "ocid1.keys.oc1.x.y",
            "ocid1.key.oc1.a b.c",
            "ocid1.key.oc1.a\".c",
            "ocid1.key.oc1.a/b.c",
            "ocid1.key.oc1.ä.c",
            "ocid1.key.oc1.a.c\n",
            &long,
        ] {
            assert!(!is_ocid(bad, "key"), "{bad:?}");
            let (said, _) = key_fault(bad).unwrap();
            assert_eq!(said, "is not the OCID of a key");
        }
        let of = |text| key_fault(text).unwrap().0;
        assert!(of("ocid1.keyversion.oc1.x.y.z").contains("one version"));
        assert!(of("ocid1.vault.oc1.x.y.z").contains("of a vault"));
    }

    #[test]
    fn a_fingerprint_has_16_bytes() {
        assert!(is_fingerprint(
            "20:3b:97:13:55:1C:5b:0d:d3:37:d8:50:4e:c5:3a:34"
        ));
        for bad in [
            "",
            "20:3b",
            "203b9713551c5b0dd337d8504ec53a34",
            "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:3",
            "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:3g",
            "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34:00",
            "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34\n",
        ] {
            assert!(!is_fingerprint(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_token_stays_in_its_place() {
        assert!(is_token("eyJhbGciOiJSUzI1NiJ9.e30.x_-"));
        for bad in [
            "",
            "a b",
            "a\"b",
            "a\\b",
            "a\r\nb",
            "ä",
            &"x".repeat(16_385),
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_login_is_in_the_realm_of_the_vault() {
        for (vault, login) in [
            (
                "https://cnqrnkn6aagiu-crypto.kms.ap-seoul-1.oraclecloud.com",
                "https://auth.ap-seoul-1.oraclecloud.com",
            ),
            (
                "https://x-crypto.kms.us-ashburn-1.oci.oraclecloud.com/",
                "https://auth.us-ashburn-1.oraclecloud.com",
            ),
            (
                "https://x-crypto.kms.us-langley-1.oraclegovcloud.com:443",
                "https://auth.us-langley-1.oraclegovcloud.com",
            ),
        ] {
            assert_eq!(federation_endpoint(vault).as_deref(), Some(login));
        }
        for other in [
            "http://127.0.0.1:8080",
            "https://kms.example.org",
            "https://x-crypto.kms.",
            "https://x-crypto.kms.here",
            "https://x-crypto.kms.here.com",
            "https://x-management.kms.ap-seoul-1.oraclecloud.com",
            "",
        ] {
            assert_eq!(federation_endpoint(other), None, "{other}");
        }
    }
}
