//! How a key is named in Alibaba Cloud KMS: id, ARN, or alias.
//!
//! It must never let through a name that is none of these.

use super::names::Text;
use std::fmt;

/// Longest key id in bytes: a UUID has 36, `key-…` 24.
const MAX_ID: usize = 64;
/// Longest name of an alias in bytes, without `alias/` (KMS, "Create an alias").
const MAX_ALIAS: usize = 255;
const ALIAS: &str = "alias/";

/// The name of a key, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyName(String);

impl KeyName {
    /// Reads one of the three forms.
    pub(super) fn parse(text: &str) -> Option<KeyName> {
        let fits = match text.strip_prefix("acs:kms:") {
            Some(rest) => {
                let mut parts = rest.splitn(3, ':');
                let (region, account) = (parts.next()?, parts.next()?);
                let id = parts.next()?.strip_prefix("key/")?;
                let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                Text::Region.fault(region).is_none()
                    && (1..=32).contains(&account.len())
                    && digits(account)
                    && is_id(id)
            }
            None => text
                .strip_prefix(ALIAS)
                .map_or_else(|| is_id(text), is_alias),
        };
        fits.then(|| KeyName(text.into()))
    }

    /// As it is configured.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The region in the ARN.
    pub(super) fn region(&self) -> Option<&str> {
        self.0.strip_prefix("acs:kms:")?.split(':').next()
    }

    /// The account in the ARN.
    pub(super) fn account(&self) -> Option<&str> {
        self.0.strip_prefix("acs:kms:")?.split(':').nth(1)
    }

    /// The id without ARN; `None` for an alias, which may point to any key.
    pub(super) fn id(&self) -> Option<&str> {
        match self.0.starts_with(ALIAS) {
            true => None,
            false => self.0.rsplit('/').next(),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key's id: a UUID, or `key-` and more letters and digits. So KMS names a key in its answers, however it was asked for.
pub(super) fn is_id(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let uuid = || {
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
    };
    let named = || {
        text.strip_prefix("key-")
            .is_some_and(|rest| !rest.is_empty())
    };
    text.len() <= MAX_ID && text.bytes().all(inside) && (named() || uuid())
}

fn is_alias(name: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
    (1..=MAX_ALIAS).contains(&name.len()) && name.bytes().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_key() {
        const UUID: &str = "08ec3bb9-034f-485b-b1cd-3459baa889c7";
        const NAMED: &str = "key-hzz630494463ejqjx0001";
        for (text, region, account, id) in [
            (UUID, None, None, Some(UUID)),
            (NAMED, None, None, Some(NAMED)),
            (
                "acs:kms:cn-hangzhou:113511544585:key/key-hzz630494463ejqjx0001",
                Some("cn-hangzhou"),
                Some("113511544585"),
                Some(NAMED),
            ),
            ("alias/team/mysql_1", None, None, None),
        ] {
            let key = KeyName::parse(text).unwrap();
            let parts = (key.region(), key.account(), key.id());
            assert_eq!(parts, (region, account, id), "{text}");
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("key-{}", "x".repeat(61));
        let long_alias = format!("alias/{}", "x".repeat(256));
        for bad in [
            "",
            "mysql",
            "key-",
            "key-a b",
            "key-a&Action=x",
            "08ec3bb9-034f-485b-b1cd-3459baa889c",
            "08ec3bb9-034f-485b-b1cd-3459baa889cg",
            "alias/",
            "alias/a b",
            "acs:kms:cn-hangzhou:113:alias/mysql",
            "acs:kms:cn-hangzhou:113:key/mysql",
            "acs:kms:cn-hangzhou::key/key-x",
            "acs:kms:cn.hangzhou:113:key/key-x",
            "acs:kms:cn-hangzhou:113",
            "acs:oss:cn-hangzhou:113:key/key-x",
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            &long,
            &long_alias,
        ] {
            assert_eq!(KeyName::parse(bad), None, "{bad}");
        }
    }
}
