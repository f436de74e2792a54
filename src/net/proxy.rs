//! Proxies: which one stands before a host.
//!
//! Owns the reading of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (by the HTTP library, as curl does) and the
//! check that it understands them. It must never show a proxy's URL from the environment: a password may be in it.

use super::split_url;
use crate::error::{Error, Kind, Result};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::sync::Arc;

const OP: &str = "set up HTTPS";
/// Longest URL of a proxy in bytes.
const MAX_URL: usize = 2048;

/// What stands between this machine and a service.
#[derive(Clone, Copy)]
pub enum Proxy<'a> {
    /// What HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.
    Environment,
    /// This proxy for every host: http://HOST:PORT.
    Url(&'a str),
    /// Nothing.
    None,
}

/// The proxies of a client.
#[derive(Clone)]
pub(super) struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    pub(super) const NONE: Proxies = Proxies(None);

    pub(super) fn new(proxy: Proxy<'_>) -> Result<Proxies> {
        let matcher = match proxy {
            Proxy::None => return Ok(Proxies::NONE),
            Proxy::Environment => {
                check_environment()?;
                Matcher::from_env()
            }
            Proxy::Url(url) => {
                if !is_proxy(url) {
                    return Err(Error::new(
                        Kind::Config,
                        OP,
                        format!("'{url}' is not the URL of a proxy"),
                    )
                    .hint("Use http://HOST:PORT."));
                }
                Matcher::builder().all(url).build()
            }
        };
        Ok(Proxies(Some(Arc::new(matcher))))
    }

    /// The proxy before this host.
    pub(super) fn before(&self, target: &http::Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(target)
    }
}

/// The proxies of the environment: what the HTTP library does not understand it would pass by without a word.
fn check_environment() -> Result<()> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    for name in names.into_iter().flat_map(|n| [n.into(), n.to_lowercase()]) {
        let Some(value) = std::env::var_os(&name).filter(|v| !v.is_empty()) else {
            continue;
        };
        let fits = value.to_str().is_some_and(is_proxy);
        if !fits {
            // Not shown: it may hold a password.
            return Err(Error::new(
                Kind::Config,
                OP,
                format!("{name} in the environment is not the URL of a proxy"),
            )
            .hint("Use http://HOST:PORT or http://USER:PASSWORD@HOST:PORT with nothing around it (a carriage return at its end comes from a file with Windows line ends), or take it out."));
        }
    }
    Ok(())
}

/// The library takes it for a proxy, instead of passing it by.
fn is_understood(url: &str) -> bool {
    let any = http::Uri::from_static("https://any.invalid");
    Matcher::builder()
        .all(url)
        .build()
        .intercept(&any)
        .is_some()
}

/// `http://` or `https://` and a host, with a port, user and password as one likes.
fn is_proxy(url: &str) -> bool {
    let scheme_first = split_url(url).is_some_and(|(s, _)| ["http", "https"].contains(&s));
    let bare = !url.contains("://") && !url.starts_with('/');
    // What is behind the host, or a password with these characters in it, the library reads otherwise than it is meant.
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let plain = !rest.trim_end_matches('/').contains(['/', '?', '#']);
    (scheme_first || bare)
        && plain
        && is_understood(url)
        && url.len() <= MAX_URL
        && url.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_the_environment_are_urls() {
        for good in [
            "http://proxy:3128",
            "https://u:p%40@proxy",
            "proxy.example.org:80",
        ] {
            assert!(is_proxy(good), "{good}");
        }
        for bad in [
            "http://proxy:3128\r",
            "http://",
            "socks5://proxy",
            "http://a b",
            "/proxy",
            "proxy:3128/",
            "proxy:80/x",
            "http://[::1:3128",
            "http://u:p|w@proxy",
            "http://u:p#w@proxy:3128",
            "http://u:p?w@proxy:3128",
            "http://u:1/w@proxy:3128",
        ] {
            assert!(!is_proxy(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_configured_proxy_is_used_for_every_host_or_refused() {
        let host = http::Uri::from_static("https://kms.example.org");
        let proxies = Proxies::new(Proxy::Url("http://u:p@proxy:3128")).unwrap();
        let found = proxies.before(&host).unwrap();
        assert_eq!(found.uri().host(), Some("proxy"));
        assert!(found.basic_auth().is_some());
        assert!(Proxies::new(Proxy::None).unwrap().before(&host).is_none());
        for bad in ["", "socks5://proxy", "http://"] {
            let e = Proxies::new(Proxy::Url(bad)).err().unwrap();
            assert_eq!(e.kind(), Kind::Config, "{bad}");
        }
    }
}
