//! What AWS's texts look like: each is checked before a request, a header or a URL sees it.
//!
//! Owns the one table of such texts with their bounds. It must never show the value of what it refuses: some are
//! secrets, and all come from outside.

use crate::error::{Error, Kind, Result};
use crate::net::MAX_URL;

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// An access key id; a part of the header Authorization.
    AccessKeyId,
    /// A secret access key.
    SecretKey,
    /// A session token, a bearer token: a header.
    Token,
    /// A web identity token: a parameter of STS.
    WebIdentity,
    /// A region; a part of a host name.
    Region,
    /// A profile of the shared files.
    Profile,
    /// The ARN of a role.
    Role,
    /// A name of a role's session.
    SessionName,
    /// An external id.
    ExternalId,
    /// The name of an instance's role; a part of a URL.
    RoleName,
    /// The path of a container's credentials; a part of a URL.
    Path,
}

impl Text {
    /// Longest in bytes, the other characters beside ASCII letters and digits, and what it should be, for people.
    fn rule(self) -> (usize, &'static str, &'static str) {
        const GRAPHIC: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
        match self {
            Text::AccessKeyId => (128, "_-.+@:", "letters and digits"),
            Text::SecretKey => (512, GRAPHIC, "printable characters without blanks"),
            Text::Token => (16_384, GRAPHIC, "printable characters without blanks"),
            Text::WebIdentity => (20_000, GRAPHIC, "printable characters without blanks"),
            Text::Region => (40, "-", "a name like eu-central-1"),
            Text::Profile => (255, "_-/.%@:+ ", "letters, digits and _-/.%@:+"),
            Text::Role => (
                2048,
                "/+=,.@_-:",
                "an ARN like arn:aws:iam::ACCOUNT:role/NAME",
            ),
            Text::SessionName => (64, "_+=,.@-", "letters, digits and _+=,.@-"),
            Text::ExternalId => (1224, "_+=,.@:/-", "letters, digits and _+=,.@:/-"),
            Text::RoleName => (128, "_+=,.@-", "letters, digits and _+=,.@-"),
            Text::Path => (MAX_URL, "/-._~%:?&=+,@", "a path that begins with /"),
        }
    }

    /// What is wrong with `text`, without showing it; `None`: nothing.
    pub fn fault(self, text: &str) -> Option<String> {
        let (most, others, what) = self.rule();
        if text.is_empty() {
            return Some("is empty".into());
        }
        if text.len() > most {
            return Some(format!("has {} bytes, the limit is {most}", text.len()));
        }
        let strange = |c: char| !(c.is_ascii_alphanumeric() || others.contains(c));
        if let Some((at, c)) = text.char_indices().find(|(_, c)| strange(*c)) {
            let place = format!("at byte {} of {}", at + 1, text.len());
            let found = match c {
                '\r' => "a carriage return".into(),
                '\n' => "a line end".into(),
                ' ' | '\t' => "a blank".into(),
                '\u{feff}' => "a byte order mark".into(),
                c if c.is_control() => format!("a control character (U+{:04X})", u32::from(c)),
                _ => "a character that can't be in it".to_string(),
            };
            return Some(format!("has {found} {place}; it must be {what}"));
        }
        let formed = match self {
            Text::Role => text.starts_with("arn:aws") && text.contains(":role/"),
            Text::SessionName => text.len() >= 2,
            Text::ExternalId => text.len() >= 2,
            Text::Path => text.starts_with('/'),
            Text::Region => !text.starts_with('-') && !text.ends_with('-'),
            _ => true,
        };
        (!formed).then(|| format!("is not {what}"))
    }

    /// Checks `text`, which comes from `place` (a variable, a file and its line, a service).
    ///
    /// # Errors
    /// Config: the text names the place and what is wrong, never the value.
    pub fn check(self, text: &str, place: impl std::fmt::Display) -> Result<()> {
        let Some(fault) = self.fault(text) else {
            return Ok(());
        };
        Err(Error::new(Kind::Config, "use the AWS credentials", format!("{place} {fault}"))
            .hint("Correct it there (a carriage return at the end comes from a file with Windows line ends). The value is not shown, and nothing was sent."))
    }
}

/// A region's name.
pub fn is_region(text: &str) -> bool {
    Text::Region.fault(text).is_none() && !text.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_checked_and_never_shown() {
        for (kind, good) in [
            (Text::AccessKeyId, "AKIDEXAMPLE"),
            (Text::SecretKey, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            (Text::Token, "IQoJb3JpZ2luX2VjEA==/+"),
            (Text::WebIdentity, "eyJh.eyJz.c2ln-_"),
            (Text::Region, "us-gov-west-1"),
            (Text::Profile, "team/db prod"),
            (Text::Role, "arn:aws-cn:iam::111122223333:role/a/b+c"),
            (Text::SessionName, "i-0abc@x"),
            (Text::ExternalId, "x:/1"),
            (Text::RoleName, "web_role"),
            (Text::Path, "/v2/credentials/0f-1?x=1"),
        ] {
            assert_eq!(kind.fault(good), None, "{kind:?}");
            for bad in ["\r", "\n", "\0", "\u{1b}[1m", "ä", "\u{feff}", "\u{7f}"] {
                let text = format!("{good}{bad}");
                let e = kind.check(&text, "AWS_X in the environment").unwrap_err();
                let said = e.to_string();
                assert!(said.contains("AWS_X in the environment has a"), "{said}");
                assert!(
                    !said.contains(good) && !said.contains(char::is_control),
                    "{said}"
                );
            }
            assert!(
                kind.fault(&"x".repeat(30_000))
                    .unwrap()
                    .contains("the limit is")
            );
            assert_eq!(kind.fault("").unwrap(), "is empty");
        }
        assert!(
            Text::AccessKeyId.fault("AKID/20260101").is_some(),
            "it would end the scope"
        );
        assert!(Text::RoleName.fault("../x").is_some() && Text::Path.fault("x").is_some());
    }
}
