//! The options of the backend `kmip`: which key, on which servers, and as whom to ask.
//!
//! It must never do without a client certificate: a KMIP server knows its clients by nothing else.

use super::KmipKek;
use super::message::{Mode, Version};
use super::options::{NAME, OPTIONS};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, KekConfig, Settings};
use crate::kek::{Kek, make};
use crate::options::Section;
use crate::secret_source::SecretRef;
use crate::text::shorten;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "a KMIP server",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/kmip.md",
    example: "--option kmip_addresses=kmip.example.org --option kmip_key_id=1234 --option kmip_client_certificate=/var/lib/mysql-keyring/kmip.pem --option kmip_client_key_file=/var/lib/mysql-keyring/kmip.key --user mysql",
};

/// The port that KMIP has (KMIP Profiles 1.4, section 3.1.1).
const PORT: u16 = 5696;
/// Most servers.
const MAX_ADDRESSES: usize = 8;
/// Most keys that `previous_key_ids` names.
const MAX_PREVIOUS: usize = 8;
/// Longest unique identifier in bytes. Servers' are UUIDs or numbers.
const MAX_KEY: usize = 256;
/// Longest path, or list of them, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest name of a host in bytes (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        let (host, port) = match text.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, rest)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                is_name(host).then_some((host, port))?
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            None if port.is_empty() => PORT,
            _ => return None,
        };
        (port > 0).then(|| Address {
            host: host.into(),
            port,
        })
    }
}

/// A name that a host and a certificate can have, or an IPv4 address.
fn is_name(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b".-_".contains(&c);
    (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(fits)
}

/// A KEK on KMIP servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmipConfig {
    /// The servers, in the order of asking.
    pub addresses: Vec<Address>,
    /// The key's unique identifier.
    pub key: String,
    /// The client certificate's file.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: SecretRef,
    /// Certificates of those who are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name in the servers' certificates; `None`: the host's.
    pub server_name: Option<String>,
    /// How the servers encrypt.
    pub mode: Mode,
    /// The version in which they are asked.
    pub version: Version,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one server may take, its connection included.
    pub attempt_timeout: Duration,
}

/// Reads the section: the key first, then the previous ones.
fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let first = KmipConfig::read(section)?;
    let mut all = vec![KekConfig::new(first.clone())];
    for key in keys(section, "previous_key_ids", MAX_PREVIOUS)? {
        let previous = KmipConfig {
            key,
            ..first.clone()
        };
        all.push(KekConfig::new(previous));
    }
    Ok(all)
}

/// What no text may be: too long, or not on one line.
fn fault(text: &str) -> Option<(String, &'static str)> {
    (text.len() > MAX_TEXT || text.chars().any(char::is_control)).then(|| {
        let fault = format!("has more than {MAX_TEXT} bytes or control characters");
        (fault, "Correct it.")
    })
}

/// The parts of a list, bounded.
fn list(section: &Section<'_>, member: &str, most: usize) -> Result<Vec<String>> {
    let text = section.text(member, fault)?;
    let parts = text.iter().flat_map(|text| text.split(','));
    let parts: Vec<String> = parts.map(|part| part.trim().to_string()).collect();
    if parts.len() > most {
        return Err(section.mistake(
            format!("{member} names {}", parts.len()),
            format!("Name no more than {most}."),
        ));
    }
    Ok(parts)
}

/// Keys of a list, each of which can be one.
fn keys(section: &Section<'_>, member: &str, most: usize) -> Result<Vec<String>> {
    let keys = list(section, member, most)?;
    let bad = |key: &&String| key.is_empty() || key.len() > MAX_KEY;
    match keys.iter().find(bad) {
        None => Ok(keys),
        Some(key) => Err(section.mistake(
            format!("'{}' is not the unique identifier of a key", shorten(key)),
            format!(
                "Use the identifier that the server gave when the key was made: 1 to {MAX_KEY} bytes."
            ),
        )),
    }
}

fn addresses(section: &Section<'_>) -> Result<Vec<Address>> {
    let texts = list(section, "addresses", MAX_ADDRESSES)?;
    if texts.is_empty() {
        return Err(section.mistake(
            "the kmip backend has no server",
            format!("{} to HOST or HOST:PORT.", section.to_set("addresses")),
        ));
    }
    let parse = |text: &String| {
        Address::parse(text).ok_or_else(|| {
            section.mistake(
                format!("'{}' is not the address of a server", shorten(text)),
                "Use HOST or HOST:PORT without a scheme; an IPv6 address stands in brackets.",
            )
        })
    };
    texts.iter().map(parse).collect()
}

/// A path from the root on.
fn path(section: &Section<'_>, member: &str) -> Result<Option<PathBuf>> {
    let path = section.text(member, fault)?;
    match path.as_deref().filter(|path| !path.starts_with('/')) {
        Some(path) => Err(section.mistake(
            format!("'{}' is not an absolute path", shorten(path)),
            format!("Give the path of {member} from the root on."),
        )),
        None => Ok(path.map(PathBuf::from)),
    }
}

/// Who we are for the servers: certificate and private key.
fn identity(section: &Section<'_>) -> Result<(PathBuf, SecretRef)> {
    section.text("client_key_file", fault)?;
    match (
        path(section, "client_certificate")?,
        section.secret("client_key_file")?,
    ) {
        (Some(certificate), Some(key)) => Ok((certificate, key)),
        _ => Err(section.mistake(
            "the kmip backend has no client certificate or no key of it",
            format!(
                "{}: the servers know mysqld by them.",
                section.to_set("client_certificate and client_key_file")
            ),
        )),
    }
}

fn server_name(section: &Section<'_>) -> Result<Option<String>> {
    let name = section.text("server_name", fault)?;
    match name.as_deref().filter(|name| !is_name(name)) {
        Some(name) => Err(section.no_value(
            "server_name",
            name,
            "Use a name that stands in the servers' certificates.",
        )),
        None => Ok(name),
    }
}

impl KmipConfig {
    /// Reads the options of the key that wraps.
    fn read(section: &Section<'_>) -> Result<KmipConfig> {
        let addresses = addresses(section)?;
        let key = keys(section, "key_id", 1)?.pop().ok_or_else(|| {
            section.mistake(
                "the kmip backend has no key",
                format!(
                    "{} to the unique identifier of an active AES key.",
                    section.to_set("key_id")
                ),
            )
        })?;
        let (certificate, private_key) = identity(section)?;
        let modes = [("gcm", Mode::Gcm), ("cbc", Mode::Cbc)];
        let hint = "Use gcm, or cbc where the server has no GCM.";
        let mode = section.choice("mode", &modes, hint)?.unwrap_or(Mode::Gcm);
        let versions = [
            ("1.2", Version(1, 2)),
            ("1.3", Version(1, 3)),
            ("1.4", Version(1, 4)),
            ("2.0", Version(2, 0)),
            ("2.1", Version(2, 1)),
        ];
        let hint = "Use 1.2, 1.3, 1.4, 2.0 or 2.1.";
        let version = section.choice("version", &versions, hint)?;
        let version = version.unwrap_or(Version(1, 4));
        if mode == Mode::Gcm && version < Version(1, 4) {
            return Err(section.mistake(
                format!("KMIP {}.{} has no GCM", version.0, version.1),
                "Set version to 1.4 or later, or mode to cbc.",
            ));
        }
        Ok(KmipConfig {
            addresses,
            key,
            certificate,
            private_key,
            ca_file: path(section, "ca_file")?,
            server_name: server_name(section)?,
            mode,
            version,
            connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
            attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
        })
    }

    /// For messages: where the key is asked for.
    pub fn place(&self) -> String {
        let all: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        all.join(", ")
    }
}

impl Settings for KmipConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(KmipKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        vec![&self.private_key]
    }

    fn files(&self) -> Vec<PathBuf> {
        let certificate = std::iter::once(&self.certificate);
        certificate.chain(&self.ca_file).cloned().collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key on a KMIP server can't be made by this tool";
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(
            "Make it there: an AES key of 256 bits for Encrypt and Decrypt, and activate it. Then leave --generate out.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(changes: &[(&str, &str)]) -> Result<Vec<KmipConfig>> {
        let base = [
            ("kmip_addresses", "kmip.example.org"),
            ("kmip_key_id", "1"),
            ("kmip_client_certificate", "/k/client.pem"),
            ("kmip_client_key_file", "/k/client.key"),
        ];
        let values = base.iter().chain(changes);
        let keks = crate::kek::drivers::read_of_tests(&DRIVER, values)?;
        let config = |kek: &KekConfig| kek.settings_of::<KmipConfig>().unwrap().clone();
        Ok(keks.iter().map(config).collect())
    }

    #[test]
    fn complete() {
        let plain = &finish(&[]).unwrap()[0];
        assert_eq!((plain.mode, plain.version), (Mode::Gcm, Version(1, 4)));
        assert_eq!(plain.place(), "kmip.example.org:5696");
        let all = finish(&[
            ("kmip_addresses", "a, 10.0.0.1:1,[fd00::1], [::1]:65535"),
            ("kmip_previous_key_ids", "7, 8"),
            ("kmip_client_key_file", "credential:kmip"),
            ("kmip_ca_file", "/k/ca.pem"),
            ("kmip_server_name", "kmip.internal"),
            ("kmip_mode", "cbc"),
            ("kmip_version", "1.2"),
        ])
        .unwrap();
        let keys: Vec<_> = all.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys, ["1", "7", "8"]);
        assert_eq!(
            all[2].place(),
            "a:5696, 10.0.0.1:1, [fd00::1]:5696, [::1]:65535"
        );
        assert_eq!(all[0].files().len(), 2);
        assert_eq!(all[0].secrets().len(), 1);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let nine = "a,b,c,d,e,f,g,h,i";
        let long = "x".repeat(MAX_KEY + 1);
        let address = "is not the address of a server";
        for (name, value, sentence) in [
            ("kmip_addresses", "", "has no server"),
            ("kmip_addresses", nine, "addresses names 9"),
            ("kmip_addresses", "a,,b", address),
            ("kmip_addresses", "a b", address),
            ("kmip_addresses", "https://a", address),
            ("kmip_addresses", "a:0", address),
            ("kmip_addresses", "a:65536", address),
            ("kmip_addresses", "a:", address),
            ("kmip_addresses", "a:+1", address),
            ("kmip_addresses", ":5696", address),
            ("kmip_addresses", "fd00::1", address),
            ("kmip_addresses", "[fd00::1", address),
            ("kmip_addresses", "[fd00::1]5696", address),
            ("kmip_addresses", "[a]:1", address),
            ("kmip_addresses", "u@a", address),
            ("kmip_addresses", "ä", address),
            ("kmip_key_id", "", "has no key"),
            ("kmip_key_id", "a,b", "key_id names 2"),
            ("kmip_key_id", &long, "is not the unique identifier"),
            ("kmip_key_id", "a\nb", "control characters"),
            ("kmip_previous_key_ids", "a,,b", "is not the unique"),
            ("kmip_previous_key_ids", nine, "previous_key_ids names 9"),
            ("kmip_client_certificate", "", "no client certificate"),
            ("kmip_client_certificate", "c.pem", "not an absolute path"),
            ("kmip_client_key_file", "", "no client certificate"),
            ("kmip_client_key_file", "k", "neither an absolute path"),
            ("kmip_ca_file", "ca.pem", "not an absolute path"),
            ("kmip_server_name", "a b", "not a value for"),
            ("kmip_mode", "ecb", "not a value for mode"),
            ("kmip_version", "1.1", "not a value for version"),
            ("kmip_version", "1.3", "KMIP 1.3 has no GCM"),
            ("kmip_connect_timeout", "0", "not a value for"),
            ("kmip_attempt_timeout", "x", "not a value for"),
        ] {
            let message = finish(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }

    #[test]
    fn a_key_is_made_elsewhere() {
        let config = &finish(&[]).unwrap()[0];
        let e = config.check_makeable().unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput);
    }
}
