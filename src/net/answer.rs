//! An answer: status, the headers that were asked for, and a body that was bounded while it was read.
//!
//! Owns the reading of Retry-After and Date. It must never show the body: keys and tokens are in it.

use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest pause that a service may ask for; what is longer counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// An answer. Its body is wiped when it is dropped.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// An answer with these headers, their names in lower case.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Zeroizing<Vec<u8>>) -> Answer {
        Answer {
            status,
            headers,
            body,
        }
    }

    /// The HTTP status. A redirect is an answer like any other: it is not followed.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header that was asked for, by its name in lower case; one that is not text counts as absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The whole body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The whole body, for those who keep it.
    pub fn into_body(self) -> Zeroizing<Vec<u8>> {
        self.body
    }

    /// When the service says that it answered, in seconds since 1970.
    pub fn date(&self) -> Option<i64> {
        self.header("date").and_then(http_date)
    }

    /// How long the service asks to be left alone (RFC 9110, 10.2.3): seconds, or a date, which is compared with the
    /// service's own clock where it tells it. At most [`MAX_RETRY_AFTER`]; `None`: it does not say.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let seconds = match digits {
            // More digits than fit are a long time.
            true => value.parse().unwrap_or(u64::MAX),
            false => {
                let now = self.date().unwrap_or_else(crate::os::unix_seconds);
                u64::try_from(http_date(value)?.saturating_sub(now)).unwrap_or(0)
            }
        };
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &names)
            .field("body", &self.body.len())
            .finish()
    }
}

/// Seconds since 1970 of a date as HTTP writes it (IMF-fixdate of RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    use time::{OffsetDateTime, format_description::well_known::Rfc2822};
    let at = OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?;
    Some(at.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(n, v)| (n.to_string(), v.to_string()));
        Answer::new(429, headers.collect(), Zeroizing::new(b"HIDDEN".to_vec()))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(3600)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Fri, 21 Oct 2033 07:28:00 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            let answer = with(&[("retry-after", value), date]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(answer.retry_after(), expected, "{value}");
        }
        assert_eq!(with(&[date]).retry_after(), None);
        assert_eq!(with(&[date]).date(), Some(1_445_412_480));
        // Without the service's clock ours counts: that date is over.
        let past = with(&[("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT")]);
        assert_eq!(past.retry_after(), Some(Duration::ZERO));
    }

    #[test]
    fn debug_shows_no_body() {
        let shown = format!("{:?}", with(&[("x-token", "HIDDEN")]));
        assert!(!shown.contains("HIDDEN"), "{shown}");
    }
}
