//! Metadata services: what a cloud tells its own machines, by plain http over a link that goes no further.
//!
//! Owns where they may be and how long one may take. It must never use a proxy for them, never follow where they point,
//! and never wait for one longer than the stated seconds.

use super::question::Question;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::web::line;
use crate::net::{Answer, Client, Request, host, is_here, split_url};
use crate::options::Section;
use std::net::IpAddr;
use std::time::Duration;

/// How long connecting may take: it is a hop away, or not there.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a question may take in all. The services make tokens while one waits.
const WHOLE: Duration = Duration::from_secs(3);
/// Longest answer in bytes.
const MOST: usize = 64 * 1024;
/// Alibaba's is in the carriers' private range, not link-local.
const ALIBABA: &str = "100.100.100.200";

/// A metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kek) struct Metadata {
    base: String,
}

impl Metadata {
    /// The one that the option `member` names, `vendors` where it is not given: `http://ADDRESS[:PORT]` of a link that goes
    /// no further (169.254.0.0/16, fe80::/10, fd00:ec2::/32, fd00:c1::/32, 100.100.100.200) or of this machine.
    pub(in crate::kek) fn read(
        section: &Section<'_>,
        member: &str,
        vendors: &str,
    ) -> Result<Metadata> {
        let Some(url) = line(section, member)? else {
            return Ok(Metadata {
                base: vendors.into(),
            });
        };
        Metadata::at(&url).ok_or_else(|| section.no_value(
            member,
            &url,
            "Use http://ADDRESS or http://ADDRESS:PORT of a link-local address, or leave it out: what it gives is a secret, and goes over the wire in clear text.",
        ))
    }

    /// The one at this URL; `None`: it may not be one.
    pub(in crate::kek) fn at(url: &str) -> Option<Metadata> {
        let base = url.trim_end_matches('/').into();
        is_metadata(url).then_some(Metadata { base })
    }

    /// Its URL without a path.
    pub(in crate::kek) fn base(&self) -> &str {
        &self.base
    }

    /// Asks it; any status is an answer. `asked` is for messages.
    pub(in crate::kek) fn send(
        &self,
        asked: &Question<'_>,
        request: Request,
        end: Deadline,
    ) -> Result<Answer> {
        let limit = WHOLE.min(end.remaining());
        let answer =
            Client::link_local(CONNECT).send(&request.at_most(MOST), Deadline::after(limit));
        answer.map_err(|e| match e.kind() {
            Kind::Unreachable => {
                Error::new(Kind::Unreachable, asked.op, format!("the metadata service {}", self.base))
                    .because(e)
                    .hint("It is there only on a machine of that cloud: elsewhere choose another auth. It is tried again while there is time; no proxy is used for it.")
            }
            _ => asked.no_answer(e),
        })
    }
}

fn is_metadata(url: &str) -> bool {
    let plain = matches!(split_url(url), Some(("http", _)));
    let bare = url.splitn(4, '/').nth(3).unwrap_or_default().is_empty();
    let near = match host(url).and_then(|host| host.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(ip)) => ip.is_link_local() || ip.to_string() == ALIBABA,
        Some(IpAddr::V6(ip)) => {
            let vendors = [[0xfd00, 0x0ec2], [0xfd00, 0x00c1]];
            ip.is_unicast_link_local() || vendors.iter().any(|net| ip.segments()[..2] == *net)
        }
        None => false,
    };
    plain && bare && (near || is_here(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_link_away_is_asked_in_clear_text() {
        for good in [
            "http://169.254.169.254",
            "http://169.254.169.254:80/",
            "http://100.100.100.200",
            "http://[fd00:ec2::254]",
            "http://[fd00:c1::a9fe:a9fe]",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
        ] {
            assert!(is_metadata(good), "{good}");
        }
        for bad in [
            "https://169.254.169.254",
            "http://169.254.169.254/latest",
            "http://100.100.100.201",
            "http://metadata.google.internal",
            "http://10.0.0.1",
            "http://[fd00::1]",
            "169.254.169.254",
            "",
        ] {
            assert!(!is_metadata(bad), "{bad}");
        }
    }
}
