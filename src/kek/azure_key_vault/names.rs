//! What Azure's names look like: hosts of vaults and HSMs, keys and their versions, tenants, applications, tokens.
//!
//! Owns the closed lists of resources and of authorities, and these rules with their bounds: each text is checked before a
//! URL, a header or a request sees it. It must never show the value of what it refuses where that may be a secret.

use crate::net::{MAX_URL, host, is_here, split_url};
use crate::text::from_hex;

/// Length of a key version in bytes; Azure writes it as hexadecimal digits.
pub(super) const VERSION: usize = 16;
/// Longest name of a key in bytes.
const MAX_KEY: usize = 127;
/// Lengths of the name of a vault or an HSM.
const ACCOUNT: std::ops::RangeInclusive<usize> = 3..=24;
/// Longest name of a tenant in bytes: a GUID, or a domain.
const MAX_TENANT: usize = 253;
/// Longest token in bytes; an identity's with many groups has some thousand.
const MAX_TOKEN: usize = 16_384;

/// What a token is for: the services of one kind in one cloud.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// The end of its hosts' names.
    domain: &'static str,
    /// Its name in a request for a token.
    pub(super) url: &'static str,
    /// They are Managed HSMs.
    pub(super) hsm: bool,
    /// Who gives tokens in that cloud.
    pub(super) authority: &'static str,
}

const fn resource(url: &'static str, hsm: bool, authority: &'static str) -> Resource {
    let (_, domain) = url.split_at("https://".len());
    Resource {
        domain,
        url,
        hsm,
        authority,
    }
}

const WORLD: &str = "https://login.microsoftonline.com";
const US: &str = "https://login.microsoftonline.us";
const CHINA: &str = "https://login.chinacloudapi.cn";

/// All that are known. A token for anything else is never asked for.
static RESOURCES: [Resource; 6] = [
    resource("https://vault.azure.net", false, WORLD),
    resource("https://managedhsm.azure.net", true, WORLD),
    resource("https://vault.usgovcloudapi.net", false, US),
    resource("https://managedhsm.usgovcloudapi.net", true, US),
    resource("https://vault.azure.cn", false, CHINA),
    resource("https://managedhsm.azure.cn", true, CHINA),
];

/// All that a secret or an assertion is sent to, beside this machine itself.
const AUTHORITIES: [&str; 4] = [WORLD, US, CHINA, "https://login.partner.microsoftonline.cn"];

impl Resource {
    /// The one of this name.
    pub(super) fn named(url: &str) -> Option<&'static Resource> {
        let url = url.trim_end_matches('/');
        RESOURCES.iter().find(|known| known.url == url)
    }

    /// The one that a host's name tells: `NAME.` and its domain.
    pub(super) fn of_host(host: &str) -> Option<&'static Resource> {
        RESOURCES.iter().find(|known| known.has(host))
    }

    /// The host is one of its.
    pub(super) fn has(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = host.strip_suffix(self.domain);
        name.and_then(|name| name.strip_suffix('.'))
            .is_some_and(|name| {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
                ACCOUNT.contains(&name.len()) && name.bytes().all(fits)
            })
    }
}

/// Whether a URL is one of Microsoft's authorities, or this machine; without a slash at its end.
pub(super) fn is_authority(url: &str) -> bool {
    let bare = url.splitn(4, '/').nth(3).is_none();
    let known = AUTHORITIES.contains(&url);
    bare && (known || is_here(url))
}

/// Whether a text is the name of a key.
pub(super) fn is_key(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(fits)
}

/// The version of a key that 32 hexadecimal digits stand for.
pub(super) fn version(text: &str) -> Option<[u8; VERSION]> {
    from_hex(text, VERSION)?.try_into().ok()
}

/// Whether a text is a GUID, as applications' ids are.
pub(super) fn is_guid(text: &str) -> bool {
    let fits = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// Whether a text names a tenant: a GUID, or a domain.
pub(super) fn is_tenant(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let part = |part: &str| !part.is_empty() && part.bytes().all(fits);
    text.len() <= MAX_TENANT && text.split('.').all(part)
}

/// Whether a text can be a token, an assertion or a client secret: printable without blanks, so that a header holds it.
pub(super) fn is_token(text: &[u8]) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

/// A key's identifier, as answers name it: `https://HOST/keys/NAME/VERSION`.
pub(super) struct KeyId<'a> {
    /// Without a port.
    pub(super) host: &'a str,
    pub(super) name: &'a str,
    pub(super) version: [u8; VERSION],
}

impl<'a> KeyId<'a> {
    /// `None`: it is none.
    pub(super) fn parse(text: &'a str) -> Option<KeyId<'a>> {
        let https = matches!(split_url(text), Some(("https", _)));
        if text.len() > MAX_URL || !https {
            return None;
        }
        let mut parts = text.split('/').skip(3);
        let of = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        match of {
            ("keys", name, digits, None) if is_key(name) => Some(KeyId {
                host: host(text)?,
                name,
                version: version(digits)?,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_follows_from_the_host() {
        for (host, url, hsm) in [
            ("kv-1.vault.azure.net", "https://vault.azure.net", false),
            ("KV1.Vault.Azure.net", "https://vault.azure.net", false),
            (
                "my-hsm.managedhsm.azure.net",
                "https://managedhsm.azure.net",
                true,
            ),
            ("abc.vault.azure.cn", "https://vault.azure.cn", false),
            (
                "abc.managedhsm.usgovcloudapi.net",
                "https://managedhsm.usgovcloudapi.net",
                true,
            ),
        ] {
            let found = Resource::of_host(host).unwrap();
            assert_eq!((found.url, found.hsm), (url, hsm), "{host}");
            assert_eq!(Resource::named(url), Some(found));
        }
        for bad in [
            "vault.azure.net",
            "ab.vault.azure.net",
            "a.b.vault.azure.net",
            "kv1.vault.azure.net.evil.org",
            "kv1vault.azure.net",
            "kv_1.vault.azure.net",
            "abcdefghijklmnopqrstuvwxy.vault.azure.net",
            "kv1.vault.azure.com",
            "localhost",
            "",
        ] {
            assert_eq!(Resource::of_host(bad), None, "{bad}");
        }
        assert_eq!(Resource::named("https://management.azure.com"), None);
    }

    #[test]
    fn an_authority_is_microsofts_or_this_machine() {
        for good in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.us",
            "https://login.partner.microsoftonline.cn",
            "http://127.0.0.1:8080",
            "https://localhost",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "",
            "https://login.microsoftonline.com/",
            "https://login.microsoftonline.com.evil.org",
            "http://login.microsoftonline.com",
            "https://login.microsoftonline.com/common",
            "http://127.0.0.1:8080/x",
            "https://example.org",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn names_stay_one_part_of_a_url() {
        for good in ["mysql", "A-1", "0"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "a.b", "a/b", "a_b", "ä", "a b", "..", "a%2f"] {
            assert!(!is_key(bad), "{bad:?}");
        }
        assert!(!is_key(&"x".repeat(128)));
        let guid = "0123abcd-0123-4567-89AB-0123456789ab";
        assert!(is_guid(guid) && is_tenant(guid) && is_tenant("contoso.onmicrosoft.com"));
        for bad in ["", "a/b", "..", ".a", "a..b", "a b", "a?b"] {
            assert!(!is_tenant(bad) && !is_guid(bad), "{bad:?}");
        }
        assert!(!is_guid("0123abcd-0123-4567-89ab-0123456789ag") && !is_guid("mysql"));
        assert!(is_token(b"eyJ0.eyJ1.c2ln-_"));
        for bad in [&b""[..], b"a b", b"a\r", b"\x00", &[b'x'; 16_385]] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_identifier_has_host_name_and_version() {
        let digits = "0123456789abcdef0123456789abcdef";
        for (host, text) in [
            ("kv1.vault.azure.net", "https://kv1.vault.azure.net"),
            ("kv1.vault.azure.net", "https://kv1.vault.azure.net:443"),
            ("127.0.0.1", "https://127.0.0.1:8080"),
        ] {
            let text = format!("{text}/keys/mysql/{digits}");
            let id = KeyId::parse(&text).unwrap();
            assert_eq!((id.host, id.name), (host, "mysql"));
            assert_eq!(crate::text::hex(&id.version), digits);
        }
        for bad in [
            "",
            "mysql",
            "https://kv1.vault.azure.net/keys/mysql",
            "https://kv1.vault.azure.net/keys/mysql/",
            "https://kv1.vault.azure.net/keys/mysql/0123",
            "https://kv1.vault.azure.net/secrets/mysql/0123456789abcdef0123456789abcdef",
            "https://kv1.vault.azure.net//keys/mysql/0123456789abcdef0123456789abcdef",
            "https://kv1.vault.azure.net/keys/my.sql/0123456789abcdef0123456789abcdef",
            "https://kv1.vault.azure.net/keys/mysql/0123456789abcdef0123456789abcdef/",
            "https://kv1.vault.azure.net/keys/mysql/0123456789abcdef0123456789abcdeg",
            "http://kv1.vault.azure.net/keys/mysql/0123456789abcdef0123456789abcdef",
            "https:///keys/mysql/0123456789abcdef0123456789abcdef",
            "https://kv1\n.vault.azure.net/keys/mysql/0123456789abcdef0123456789abcdef",
        ] {
            assert!(KeyId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
