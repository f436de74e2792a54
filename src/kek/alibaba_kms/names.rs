//! What Alibaba Cloud's texts look like: each is checked before a URL, a header or a form sees it.
//!
//! Owns the one table of such texts with their bounds. It must never show the value of what it refuses: some are
//! secrets, and all come from outside.

use crate::error::{Error, Kind, Result};
use std::fmt::Display;

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// An access key id; a part of the header Authorization.
    AccessKeyId,
    /// The secret of an access key. It is sent nowhere.
    AccessKeySecret,
    /// A security token, or the metadata service's: a header.
    Token,
    /// A token of an OIDC identity provider: a field of a form.
    OidcToken,
    /// A region; a part of host names.
    Region,
    /// The name of a RAM role; a part of a URL.
    RoleName,
    /// The ARN of a RAM role.
    RoleArn,
    /// The ARN of an OIDC identity provider.
    ProviderArn,
}

impl Text {
    /// Shortest and longest in bytes, the other characters beside ASCII letters and digits, and what it should be, for
    /// people.
    fn rule(self) -> (usize, usize, &'static str, &'static str) {
        const GRAPHIC: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
        const PRINTABLE: &str = "printable characters without blanks";
        match self {
            Text::AccessKeyId => (1, 128, "._-", "letters, digits and ._-"),
            Text::AccessKeySecret => (1, 512, GRAPHIC, PRINTABLE),
            Text::Token => (1, 16_384, GRAPHIC, PRINTABLE),
            // STS API reference, AssumeRoleWithOIDC.
            Text::OidcToken => (4, 20_000, GRAPHIC, PRINTABLE),
            Text::Region => (2, 40, "-", "a name like cn-hangzhou"),
            Text::RoleName => (1, 64, "._-", "letters, digits and ._-"),
            Text::RoleArn => (1, 512, ":/._-", "an ARN like acs:ram::ACCOUNT:role/NAME"),
            Text::ProviderArn => (
                1,
                512,
                ":/._-",
                "an ARN like acs:ram::ACCOUNT:oidc-provider/NAME",
            ),
        }
    }

    /// What is wrong with `text`, without showing it: the end of a sentence that names its place. `None`: nothing.
    pub(super) fn fault(self, text: &str) -> Option<String> {
        let (least, most, others, what) = self.rule();
        if text.is_empty() {
            return Some("is empty".into());
        }
        if !(least..=most).contains(&text.len()) {
            let length = text.len();
            return Some(format!(
                "has {length} bytes; it must have {least} to {most}"
            ));
        }
        let strange = |c: &char| !(c.is_ascii_alphanumeric() || others.contains(*c));
        if let Some(c) = text.chars().find(strange) {
            let found = match c {
                '\r' => "a carriage return",
                ' ' | '\t' => "a blank",
                '\u{feff}' => "a byte order mark",
                c if c.is_control() => "a control character",
                _ => "a character that can't be in it",
            };
            return Some(format!("has {found}; it must be {what}"));
        }
        let inside = |begin: &str, part: &str| {
            let rest = text.strip_prefix(begin);
            rest.and_then(|rest| rest.split_once(part))
                .is_some_and(|(account, name)| !account.is_empty() && !name.is_empty())
        };
        let formed = match self {
            // Nothing that means another place in a path.
            Text::RoleName => !text.bytes().all(|b| b == b'.'),
            Text::Region => {
                let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                text.bytes().all(small) && !text.starts_with('-') && !text.ends_with('-')
            }
            Text::RoleArn => inside("acs:ram::", ":role/"),
            Text::ProviderArn => inside("acs:ram::", ":oidc-provider/"),
            _ => true,
        };
        (!formed).then(|| format!("is not {what}"))
    }

    /// Checks `text`, which comes from `place` (a variable, a file, a service).
    ///
    /// # Errors
    /// Config: the sentence names the place and what is wrong, never the value.
    pub(super) fn check(self, text: &str, place: impl Display) -> Result<()> {
        let Some(fault) = self.fault(text) else {
            return Ok(());
        };
        const OP: &str = "use the Alibaba Cloud credentials";
        Err(Error::new(Kind::Config, OP, format!("{place} {fault}"))
            .hint("Correct it there. The value is not shown, and nothing was sent."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(Text, &str); 9] = [
        (Text::AccessKeyId, "STS.NUgYrLnoC37mZZCNnAbez"),
        (Text::AccessKeyId, "LTAI5tExample"),
        (Text::AccessKeySecret, "wyLTSmsyPGP1ohvvw8xYgB29dlGI8K/+=~"),
        (Text::Token, "CAIS8wF1q6Ft5B2yfSjIr5bKD+/=="),
        (Text::OidcToken, "eyJh.eyJz.c2ln-_"),
        (Text::Region, "ap-southeast-1"),
        (Text::RoleName, "KeyringWard.role-1_x"),
        (Text::RoleArn, "acs:ram::113511544585:role/keyring-ward"),
        (
            Text::ProviderArn,
            "acs:ram::113511544585:oidc-provider/ack-rrsa-c1",
        ),
    ];

    #[test]
    fn texts_are_checked_and_never_shown() {
        for (kind, good) in GOOD {
            assert_eq!(kind.fault(good), None, "{kind:?}");
            for bad in [
                "\r",
                "\n",
                "\0",
                "\u{1b}[1m",
                " ",
                "ä",
                "\u{feff}",
                "\u{7f}",
            ] {
                let text = format!("{good}{bad}");
                let e = kind
                    .check(&text, "VARIABLE in the environment")
                    .unwrap_err();
                let said = e.to_string();
                assert!(said.contains("VARIABLE in the environment has a"), "{said}");
                assert!(
                    !said.contains(good) && !said.contains(char::is_control),
                    "{said}"
                );
            }
            let long = kind.fault(&"x".repeat(30_000)).unwrap();
            assert!(long.contains("it must have"), "{long}");
            assert_eq!(kind.fault("").unwrap(), "is empty");
        }
    }

    #[test]
    fn a_text_stays_what_it_is_in_a_url_or_a_header() {
        for (kind, bad) in [
            (Text::AccessKeyId, "AK,SignedHeaders=host"),
            (Text::RoleName, ".."),
            (Text::RoleName, "a/../b"),
            (Text::RoleName, "a%2fb"),
            (Text::Region, "cn-hangzhou.example.org"),
            (Text::Region, "CN"),
            (Text::Region, "-x"),
            (Text::Region, "x-"),
            (Text::RoleArn, "acs:ram::113:user/x"),
            (Text::RoleArn, "acs:ram:::role/x"),
            (Text::RoleArn, "acs:ram::113:role/"),
            (Text::ProviderArn, "acs:ram::113:role/x"),
            (Text::OidcToken, "a.b"),
        ] {
            assert!(kind.fault(bad).is_some(), "{kind:?} {bad}");
        }
    }
}
