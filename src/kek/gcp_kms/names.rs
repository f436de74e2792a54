//! What Google's texts look like: each is checked before a URL, a header or a request sees it.
//!
//! Owns these rules with their bounds, and which addresses are Google's. It must never show what it refuses where that may
//! be a secret.

use crate::net::{host, is_here, split_url};

/// What a token is for: nothing but Cloud KMS.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// What a token of a federated identity is for that gets another one of IAM: nothing but IAM, as Google's own clients ask
/// for it.
pub(super) const SCOPE_OF_IAM: &str = "https://www.googleapis.com/auth/iam";
/// The domain of Google's APIs.
const DOMAIN: &str = ".googleapis.com";
/// Longest token in bytes, as Google documents it for the longest of its own (those of the security token service).
const MAX_TOKEN: usize = 16_384;
/// Longest name of an account, an audience or a key's id in bytes.
const MAX_NAME: usize = 512;

/// Whether a text can be a token: printable without blanks, so that a header holds it.
pub(super) fn is_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN && is_word(text)
}

/// Whether a text can be the name of something: short and printable without blanks.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && is_word(text)
}

/// ASCII, printable, without blanks, and not empty.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a URL leads to Google's service `service` (`sts`, `iamcredentials`): https to a host below googleapis.com with
/// that name, in a region or behind Private Service Connect as well. `here`: this machine itself may be it, by plain
/// http.
pub(super) fn is_googles(url: &str, service: &str, here: bool) -> bool {
    let Some((scheme, authority)) = split_url(url) else {
        return false;
    };
    // An account's name in the path has a sign that no authority may have.
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/:.-_~@".contains(&b);
    let bare = format!("{scheme}://{authority}");
    let Some(host) = host(&bare).filter(|_| url.len() <= MAX_NAME && url.bytes().all(fits)) else {
        return false;
    };
    match scheme {
        "https" => {
            let labels = host.strip_suffix(DOMAIN).filter(|_| host == authority);
            labels.is_some_and(|labels| is_of_service(labels, service))
        }
        "http" => here && is_here(&bare),
        _ => false,
    }
}

/// Whether `labels`, what stands before the domain, are a service's: its name alone, with a location before it or behind it
/// (`rep`), or with an endpoint's of Private Service Connect (`p`). Elsewhere below the domain the first label may be a
/// customer's: BUCKET.storage.googleapis.com.
fn is_of_service(labels: &str, service: &str) -> bool {
    let (first, rest) = labels.split_once('.').unwrap_or((labels, ""));
    let is_label = |text: &str| !text.is_empty() && !text.contains('.');
    match rest {
        "" => {
            let location = first.strip_suffix(service);
            first == service || location.is_some_and(|l| l.len() > 1 && l.ends_with('-'))
        }
        "p" => {
            let name = first.strip_prefix(service);
            name.is_some_and(|name| name.len() > 1 && name.starts_with('-'))
        }
        rest => first == service && rest.strip_suffix(".rep").is_some_and(is_label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_itself_gets_a_token() {
        for good in [
            "https://sts.googleapis.com/v1/token",
            "https://sts.europe-west3.rep.googleapis.com/v1/token",
            "https://europe-west3-sts.googleapis.com/v1/token",
            "https://sts-db.p.googleapis.com/v1/token",
        ] {
            assert!(is_googles(good, "sts", false), "{good}");
        }
        let account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken";
        assert!(is_googles(account, "iamcredentials", false));
        for bad in [
            "",
            "https://sts.googleapis.com.example.org/v1/token",
            "https://stsgoogleapis.com/v1/token",
            "https://googleapis.com/v1/token",
            "https://storage.googleapis.com/sts",
            "https://stsx.googleapis.com/v1/token",
            "https://-sts.googleapis.com/v1/token",
            "https://sts-.p.googleapis.com/v1/token",
            "https://sts.storage.googleapis.com/v1/token",
            "https://sts-db.storage.googleapis.com/v1/token",
            "https://db-sts.storage.googleapis.com/v1/token",
            "https://bucket.sts.rep.googleapis.com/v1/token",
            "https://sts.a.b.rep.googleapis.com/v1/token",
            "https://a@sts.googleapis.com/v1/token",
            "https://sts.googleapis.com@example.org/v1/token",
            "https://sts.googleapis.com:8443/v1/token",
            "https://sts.googleapis.com/v1/token?x=y",
            "https://sts.googleapis.com/v1/token#x",
            "https://sts.googleapis.com/v1/%2e",
            "https://sts.googleapis.com/v1/token\r\nx: y",
            "https://example.org/sts.googleapis.com",
            "https://example.org\\.sts.googleapis.com/",
            "http://sts.googleapis.com/v1/token",
            "http://127.0.0.1/v1/token",
            "ftp://sts.googleapis.com/v1/token",
        ] {
            assert!(!is_googles(bad, "sts", false), "{bad:?}");
        }
        assert!(is_googles("http://127.0.0.1:8080/v1/token", "sts", true));
        for bad in ["http://10.0.0.1/v1/token", "https://127.0.0.1/v1/token"] {
            assert!(!is_googles(bad, "sts", true), "{bad}");
        }
    }

    #[test]
    fn a_token_fits_into_a_header() {
        assert!(is_token("ya29.c.b0Aaek_~-"));
        for bad in ["", "a b", "a\r", "\0", "ä", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(!is_token(bad), "{bad:?}");
        }
        assert!(is_name("a@b.c") && !is_name(&"x".repeat(MAX_NAME + 1)));
    }
}
