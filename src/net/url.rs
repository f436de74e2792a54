//! URLs of services: what one may look like, and which may be asked without TLS.
//!
//! Owns these checks for every provider. It must never let a service that gives keys be asked over plain http, but on
//! this machine.

use std::net::IpAddr;

/// Longest URL in bytes.
pub const MAX_URL: usize = 2048;

/// Scheme and authority of a URL.
pub fn split_url(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    (!authority.is_empty() && !url.contains(char::is_whitespace)).then_some((scheme, authority))
}

/// Checks the URL of an endpoint: `https`, or `http` for this machine itself.
///
/// # Errors
/// What the operator should do.
pub fn check_endpoint(url: &str) -> std::result::Result<(), &'static str> {
    const FORM: &str = "Use https://HOST or https://HOST:PORT.";
    let (scheme, here) = endpoint(url).ok_or(FORM)?;
    // The path is its client's business.
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    if !path.is_empty() {
        return Err(FORM);
    }
    match scheme {
        "https" => Ok(()),
        "http" if here => Ok(()),
        "http" => Err(
            "Use https: keys and tokens would cross the network in clear text. Plain http is accepted for this machine itself only.",
        ),
        _ => Err(FORM),
    }
}

/// Whether a URL's host is this machine by its name or address; a URL that is not well-formed names another one.
pub fn is_here(url: &str) -> bool {
    endpoint(url).is_some_and(|(_, here)| here)
}

/// The scheme of a well-formed URL, and whether its host is this machine by its name or address.
fn endpoint(url: &str) -> Option<(&str, bool)> {
    let (scheme, _) = split_url(url)?;
    let host = host(url)?;
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    Some((scheme, here))
}

/// The host of a URL without user, query and fragment; `None`: it is not well-formed.
pub fn host(url: &str) -> Option<&str> {
    let path_fits = |c: u8| c.is_ascii_alphanumeric() || b"/:.-_~%[]".contains(&c);
    let (_, authority) = split_url(url)?;
    if url.len() > MAX_URL || !url.bytes().all(path_fits) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (address, rest) = v6.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (
                address,
                rest.strip_prefix(':')
                    .or(rest.is_empty().then_some("443"))?,
            )
        }
        None => authority.split_once(':').unwrap_or((authority, "443")),
    };
    let name_fits = |c: u8| c.is_ascii_alphanumeric() || b".-_:".contains(&c);
    let fits = !host.is_empty() && host.len() <= 253 && host.bytes().all(name_fits);
    (fits && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
        .then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_well_formed_or_refused() {
        for good in [
            "https://kms.eu-central-1.amazonaws.com",
            "http://127.0.0.1:4566",
            "http://[::1]:80",
            "https://localhost/",
        ] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "kms",
            "https://",
            "https://a b",
            "https://a\r",
            "https://a:x",
            "https://a/x",
            "https://a:65536",
            "https://[::1",
            "https://[::1]x",
            "https://a@b",
            "https://a?x",
            "https://a#x",
            "https://ä",
            "https://a\"b",
            "ftp://x",
            "http://kms.example.org",
            "http://localhost.example.org",
        ] {
            assert!(check_endpoint(bad).is_err(), "{bad:?}");
        }
    }
}
