//! What providers over HTTP have in common: the texts of their sections, the client that these make, and requests of
//! texts.
//!
//! Owns the sentences about such texts, and what of a service's words is not shown. It must never show a proxy's URL: a
//! password may be in it. It knows no vendor.

use crate::deadline::Deadline;
use crate::error::Result;
use crate::net::{
    Answer, Client, Identity, NetError, Options, Proxy, Request, check_endpoint, host, is_here,
    split_url,
};
use crate::options::Section;
use crate::text::shorten;
use std::path::Path;
use std::time::Duration;

/// Longest text of an option, in bytes. AWS KMS takes key ids of up to 2,048 characters; no other service more.
const MAX_TEXT: usize = 2048;

/// What stands in the place of a service's words that repeat what was sent.
pub(super) const NOT_SHOWN: &str = "its words are not shown: a secret is in them";

/// A part of a secret is in the words: they were cut, perhaps in the middle of it. Secrets are ASCII.
pub(super) fn repeats(said: &str, secrets: &[&str]) -> bool {
    /// What is shorter gives nobody the rest.
    const PART: usize = 16;
    secrets.iter().any(|secret| {
        let part = secret.len().min(PART);
        let parts = || secret.as_bytes().windows(part);
        part > 0
            && said
                .as_bytes()
                .windows(part)
                .any(|of_said| parts().any(|of_secret| of_secret == of_said))
    })
}

/// A text of one line.
pub(super) fn line(section: &Section<'_>, member: &str) -> Result<Option<String>> {
    section.text(member, |text| {
        (text.len() > MAX_TEXT || text.chars().any(char::is_control)).then(|| {
            let fault = format!("has more than {MAX_TEXT} bytes or control characters");
            (fault, "Correct it.")
        })
    })
}

/// The URL of a service: https, or http for this machine itself.
pub(super) fn address(section: &Section<'_>, member: &str) -> Result<Option<String>> {
    let Some(url) = line(section, member)? else {
        return Ok(None);
    };
    match check_endpoint(&url) {
        Ok(()) => Ok(Some(url)),
        Err(hint) => Err(section.no_value(member, &url, hint)),
    }
}

/// The member `proxy`.
pub(super) fn proxy(section: &Section<'_>) -> Result<Option<String>> {
    let proxy = line(section, "proxy")?;
    if let Some(url) = &proxy
        && (host(url).is_none() || !matches!(split_url(url), Some(("http", _))))
    {
        // Not shown: it may hold a password.
        return Err(section.mistake(
            "the value of proxy is not a proxy",
            "Use http://HOST:PORT. A proxy that wants a password is given by HTTPS_PROXY in the environment of mysqld.",
        ));
    }
    Ok(proxy)
}

/// Plain http to a service on this machine is for this machine alone: a proxy elsewhere would read tokens and keys.
pub(super) fn check_way(
    section: &Section<'_>,
    address: Option<&str>,
    proxy: Option<&str>,
) -> Result<()> {
    let plain = address
        .and_then(split_url)
        .is_some_and(|(scheme, _)| scheme == "http");
    match proxy {
        Some(proxy) if plain && !is_here(proxy) => Err(section.mistake(
            "the service is asked by plain http, and the proxy is another machine",
            "Leave proxy out, or use https: keys and tokens would cross the network in clear text.",
        )),
        _ => Ok(()),
    }
}

/// The path of a file that is no secret.
pub(super) fn absolute_path(section: &Section<'_>, member: &str) -> Result<Option<String>> {
    let path = line(section, member)?;
    match path.as_deref().filter(|path| !path.starts_with('/')) {
        Some(path) => Err(section.mistake(
            format!("'{}' is not an absolute path", shorten(path)),
            format!("Give the path of {member} from the root on."),
        )),
        None => Ok(path),
    }
}

/// The client of one operation.
pub(super) struct Web {
    pub(super) client: Client,
    /// The configuration names a proxy on this machine: what is asked by plain http may go through it.
    through: bool,
}

impl Web {
    /// `proxy`: the one that the configuration names; the environment's where it names none.
    pub(super) fn new(
        ca_file: Option<&str>,
        identity: Option<Identity<'_>>,
        proxy: Option<&str>,
        connect: Duration,
    ) -> Result<Web> {
        let client = Client::new(&Options {
            ca_file: ca_file.map(Path::new),
            identity,
            proxy: proxy.map_or(Proxy::Environment, Proxy::Url),
            connect,
        })?;
        Ok(Web {
            client,
            through: proxy.is_some_and(is_here),
        })
    }

    /// Sends a request. Plain http is for this machine alone (`net::check_endpoint`): a proxy elsewhere would read keys and
    /// tokens, and so would one of the environment, which nobody has named for it. [`check_way`] says so of addresses that
    /// are configured; others come from the environment or from a file.
    pub(super) fn send(
        &self,
        request: &Request,
        end: Deadline,
    ) -> std::result::Result<Answer, NetError> {
        match request.is_https() || self.through {
            true => self.client.send(request, end),
            false => self.client.without_proxy().send(request, end),
        }
    }
}

/// A JSON object of texts, in one allocation: what is in it is wiped with it. The names need no escaping.
pub(super) fn object(fields: &[(&str, &str)]) -> Vec<u8> {
    // At worst each byte becomes six.
    let most = |(name, value): &(&str, &str)| name.len() + 6 * value.len() + 6;
    let mut out = Vec::with_capacity(2 + fields.iter().map(most).sum::<usize>());
    for (i, (name, value)) in fields.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        // Writing a text into memory can't fail.
        let _ = serde_json::to_writer(&mut out, value);
    }
    out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Method;
    use serde_json::{Value, json};
    use std::net::TcpListener;

    /// Whether somebody has connected to it.
    fn is_asked(listener: &TcpListener) -> bool {
        listener.set_nonblocking(true).unwrap();
        listener.accept().is_ok()
    }

    #[test]
    fn only_a_proxy_on_this_machine_reads_plain_http() {
        // A name of this machine that is_here does not know stands for another one.
        for (name, through) in [("127.0.0.1", true), ("127.1", false)] {
            let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
            let (service, proxy) = (listen(), listen());
            let port = |of: &TcpListener| of.local_addr().unwrap().port();
            let named = format!("http://{name}:{}", port(&proxy));
            let web = Web::new(None, None, Some(&named), Duration::from_secs(5)).unwrap();
            let url = format!("http://127.0.0.1:{}/token", port(&service));
            let request = Request::new(Method::Post, url).body("HIDDEN");
            let end = Deadline::after(Duration::from_millis(300));
            assert!(web.send(&request, end).is_err(), "nobody answers");
            assert_eq!(
                (is_asked(&proxy), is_asked(&service)),
                (through, !through),
                "{named}"
            );
        }
    }

    #[test]
    fn a_request_is_json_in_one_allocation() {
        assert_eq!(object(&[]), b"{}");
        let value = "a\"b\\c\u{1}ä";
        let text = object(&[("x", value), ("role", "")]);
        assert_eq!(text.capacity(), 2 + (1 + 6 * value.len() + 6) + 10);
        let back: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(back, json!({"x": value, "role": ""}));
    }
}
