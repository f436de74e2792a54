//! What is asked of a key service, and what becomes of an answer that refuses: a kind, a sentence, a hint.
//!
//! Owns the sentences that are the same for every service, and what a status means that no row of its table explains. What
//! may pass by itself becomes Unreachable, which the adapter tries again; nothing that was refused does. It must never
//! show a service's words that repeat a secret of the question.

use crate::error::{Error, Kind};
use crate::kek::web::{NOT_SHOWN, repeats};
use crate::net::{Answer, Cause, NetError};
use crate::text::clean;
use serde_json::{Map, Value};

/// What is asked, for messages.
pub(in crate::kek) struct Question<'a> {
    /// What it is for: "have Google wrap a data key".
    pub(in crate::kek) op: &'static str,
    /// What is called, as the service's documents and permissions name it.
    pub(in crate::kek) call: &'static str,
    /// The key, role or identity that it is about; the KEY of hints.
    pub(in crate::kek) key: &'a str,
    /// The URL of the service, without what may be secret.
    pub(in crate::kek) place: &'a str,
    /// Who is asked.
    pub(in crate::kek) service: &'static str,
    /// The options that decide who is asked, for hints: "endpoint and proxy".
    pub(in crate::kek) options: &'static str,
}

/// An answer that refuses, as its table sees it.
pub(in crate::kek) struct Refusal<'a> {
    /// The HTTP status.
    pub(in crate::kek) status: u16,
    /// The service's own code, cleaned; empty: it gave none.
    pub(in crate::kek) code: &'a str,
    /// Its sentence, cleaned; empty: it gave none.
    pub(in crate::kek) message: &'a str,
}

/// What a row of a service's table makes of a refusal. KEY in a hint becomes the question's key.
pub(in crate::kek) type Known = Option<(Kind, &'static str)>;

const LATER: &str = "It is tried again while there is time.";
/// From this difference on a refusal is told as the clock's, in seconds: the services allow five minutes and more.
const SKEW: i64 = 240;

impl Question<'_> {
    /// An error about it.
    pub(in crate::kek) fn error(&self, kind: Kind, why: impl std::fmt::Display) -> Error {
        Error::new(kind, self.op, format!("{}: {why}", self.shown()))
    }

    fn shown(&self) -> String {
        format!("{} for '{}' ({})", self.call, clean(self.key), self.place)
    }

    /// An answer that the service can't give.
    pub(in crate::kek) fn odd_answer(&self, what: &str) -> Error {
        self.error(Kind::Config, format!("it answered with {what}"))
            .hint(self.not_the_service())
    }

    fn not_the_service(&self) -> String {
        format!(
            "This is not {}, or something between changes its answers: check {}. Redirects are not followed.",
            self.service, self.options
        )
    }

    /// The error for an answer that refuses. `code` and `message` as the service gave them; `table` knows its codes; `sent`
    /// are secrets that the question carried.
    pub(in crate::kek) fn refused(
        &self,
        answer: &Answer,
        code: Option<&str>,
        message: Option<&str>,
        table: impl Fn(&Refusal<'_>) -> Known,
        sent: &[&str],
    ) -> Error {
        let ahead = answer
            .date()
            .map(|theirs| crate::os::unix_seconds() - theirs);
        self.explain(answer.status(), code, message, table, ahead, sent)
    }

    /// The same, marked ([`Error::withdrawn`]) where `withdraws` says that it is the key itself that is refused, to an
    /// identity that was accepted: disabled, destroyed, or not for this one any more.
    pub(in crate::kek) fn refused_or_withdrawn(
        &self,
        answer: &Answer,
        (code, message): (Option<&str>, Option<&str>),
        table: impl Fn(&Refusal<'_>) -> Known,
        withdraws: impl Fn(&Refusal<'_>) -> bool,
        sent: &[&str],
    ) -> Error {
        let withdrawn = withdraws(&Refusal {
            status: answer.status(),
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
        });
        let error = self.refused(answer, code, message, table, sent);
        match withdrawn {
            true => error.withdrawn(),
            false => error,
        }
    }

    /// `ahead`: by how many seconds this machine is ahead of the answer's Date.
    fn explain(
        &self,
        status: u16,
        code: Option<&str>,
        message: Option<&str>,
        table: impl Fn(&Refusal<'_>) -> Known,
        ahead: Option<i64>,
        sent: &[&str],
    ) -> Error {
        let (code, message) = (
            clean(code.unwrap_or_default()),
            clean(message.unwrap_or_default()),
        );
        let silent = code.is_empty() && message.is_empty();
        let said = match (code.is_empty(), message.is_empty()) {
            (true, true) => format!("HTTP status {status} without a word of {}", self.service),
            (true, false) => format!("{message} (HTTP status {status})"),
            (false, true) => format!("{code} (HTTP status {status})"),
            (false, false) => format!("{code}: {message} (HTTP status {status})"),
        };
        let said = match repeats(&said, sent) {
            true => format!("{NOT_SHOWN} (HTTP status {status})"),
            false => said,
        };
        let known = match silent {
            true => None,
            false => table(&Refusal {
                status,
                code: &code,
                message: &message,
            }),
        };
        let (kind, hint) = match (known, status) {
            (Some((kind, hint)), _) => (kind, hint.replace("KEY", &clean(self.key))),
            (None, 408 | 429 | 500..) => (
                Kind::Unreachable,
                format!("{LATER} If it stays, check {}.", self.options),
            ),
            (None, 401 | 403 | 407) if silent => (
                Kind::Denied,
                format!(
                    "Something before {} refuses: check {}.",
                    self.service, self.options
                ),
            ),
            (None, _) if silent || status < 400 => (Kind::Config, self.not_the_service()),
            (None, _) => (
                Kind::Denied,
                format!("See the documentation of {} for it.", self.service),
            ),
        };
        let error = self.error(kind, said);
        match ahead.filter(|s| kind == Kind::Denied && s.abs() > SKEW) {
            // Both may be the reason, and a hint that says NOW must not get lost.
            Some(seconds) => error.hint(format!(
                "The clock of this machine differs from that of {} by {seconds} s: set it (chronyc makestep). {hint}",
                self.service
            )),
            None => error.hint(hint),
        }
    }

    /// The error of a question that got no answer. Its sentence is the network's.
    pub(in crate::kek) fn no_answer(&self, e: NetError) -> Error {
        let options = self.options;
        let hint = match e.cause() {
            Cause::TooLarge(limit) => return self.odd_answer(&format!("more than {limit} bytes")),
            Cause::Tls(rustls::Error::InvalidCertificate(_)) => format!(
                "The server's certificate is not accepted: check {options}, the clock, ca_file and the system's certificates (ca-certificates). Someone between may be pretending to be {}.",
                self.service
            ),
            Cause::Tls(_) => {
                format!("TLS could not be agreed upon: check {options} and what stands between.")
            }
            Cause::Dns { .. } => format!(
                "The name could not be resolved: check {options} and the resolver (/etc/resolv.conf). {LATER}"
            ),
            Cause::Connect(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                format!("Nothing listens there: check {options} and the firewall. {LATER}")
            }
            Cause::BadUrl(_) | Cause::BadHeader(_) => format!("Check {options}."),
            _ => format!("Check network, firewall, {options}. {LATER}"),
        };
        Error::new(e.kind(), self.op, self.shown())
            .because(e)
            .hint(hint)
    }
}

/// The members of a body that is a JSON object.
pub(in crate::kek) fn json_object(body: &[u8]) -> Option<Map<String, Value>> {
    match crate::json::parse(body) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Question<'_> = Question {
        op: "ask",
        call: "x.decrypt",
        key: "projects/p/k",
        place: "https://h",
        service: "X KMS",
        options: "endpoint and proxy",
    };

    fn table(r: &Refusal<'_>) -> Known {
        (r.status == 403 && r.code == "Off").then_some((Kind::NotFound, "Enable KEY."))
    }

    fn explain(status: u16, code: &str, message: &str, ahead: i64) -> (Kind, String) {
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        // Leaked for a test's convenience.
        let leak = |text: &str| -> &'static str { Box::leak(text.to_string().into_boxed_str()) };
        let e = ASKED.explain(
            status,
            given(leak(code)),
            given(leak(message)),
            table,
            Some(ahead),
            &["0123456789SECRET0123456789"],
        );
        (e.kind(), e.to_string())
    }

    #[test]
    fn the_table_decides_then_the_status() {
        for (status, code, message, kind, words) in [
            (
                403,
                "Off",
                "it is off",
                Kind::NotFound,
                "Enable projects/p/k.",
            ),
            (
                403,
                "Other",
                "m",
                Kind::Denied,
                "Other: m (HTTP status 403)",
            ),
            (403, "", "", Kind::Denied, "Something before X KMS refuses"),
            (400, "", "", Kind::Config, "This is not X KMS"),
            (200, "", "", Kind::Config, "This is not X KMS"),
            (302, "Off", "m", Kind::Config, "Redirects are not followed"),
            (
                404,
                "",
                "nothing here",
                Kind::Denied,
                "nothing here (HTTP status 404)",
            ),
            (429, "Slow", "", Kind::Unreachable, "tried again"),
            (503, "", "", Kind::Unreachable, "tried again"),
            (408, "", "", Kind::Unreachable, "tried again"),
        ] {
            let (got, text) = explain(status, code, message, 0);
            assert_eq!(got, kind, "{status}: {text}");
            assert!(text.contains(words), "{status}: {text}");
            assert!(
                text.contains("x.decrypt for 'projects/p/k' (https://h)"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_only_where_it_may_be_the_reason() {
        assert!(
            explain(403, "Other", "m", -600)
                .1
                .contains("differs from that of X KMS by -600 s")
        );
        assert!(
            explain(403, "Other", "m", -600)
                .1
                .contains("See the documentation of X KMS")
        );
        assert!(!explain(403, "Off", "m", 600).1.contains("clock"));
        assert!(!explain(403, "Other", "m", 200).1.contains("clock"));
        assert!(!explain(503, "", "", 600).1.contains("clock"));
    }

    #[test]
    fn what_repeats_a_secret_is_not_shown() {
        let text = explain(400, "Bad", "you sent 89SECRET01234567 …", 0).1;
        assert!(
            !text.contains("SECRET") && text.contains("a secret is in them"),
            "{text}"
        );
        assert!(
            !explain(400, "Bad\n", "a\u{7}b", 0)
                .1
                .contains(char::is_control)
        );
    }
}
