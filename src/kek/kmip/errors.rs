//! What went wrong with a KMIP server, in our kinds, with what to do next.
//!
//! Owns the one table of result reasons (KMIP 2.1 section 11.48; those of 1.2 to 1.4 mean the same). What may pass by
//! itself becomes Unreachable, which the adapter tries again; nothing that was refused does. It must never show more of an
//! answer than the server's own sentence, cleaned and cut.

use super::message::{NoAnswer, Operation};
use crate::error::{Error, Kind};
use crate::net::{Cause, NetError};
use crate::text::clean;
use rustls::{AlertDescription, Error as TlsError};

/// What was asked, for messages.
pub(super) struct Question<'a> {
    /// Completes "Could not …".
    pub(super) op: &'static str,
    /// The operation.
    pub(super) operation: Operation,
    /// The key.
    pub(super) key: &'a str,
    /// The servers.
    pub(super) place: String,
}

impl Question<'_> {
    fn shown(&self) -> String {
        let (operation, key, place) = (self.operation.name(), self.key, &self.place);
        format!("{operation} with the key '{}' ({place})", clean(key))
    }

    fn error(&self, kind: Kind, why: impl std::fmt::Display) -> Error {
        Error::new(kind, self.op, format!("{}: {why}", self.shown()))
    }

    /// The error of an answer that has nothing of what was asked for.
    pub(super) fn without(&self, no: NoAnswer) -> Error {
        match no {
            NoAnswer::Fault(fault) => self.odd(&format!("what is no message of KMIP: {fault}")),
            NoAnswer::Odd(why) => self.odd(&why),
            NoAnswer::Length(length) => {
                self.odd(&format!("a data key of {length} bytes instead of 32"))
            }
            NoAnswer::Refused { reason, said } => self.refused(reason, &said),
        }
    }

    fn odd(&self, what: &str) -> Error {
        self.error(Kind::Config, format!("it answered with {what}"))
            .hint("Check addresses, version and mode. What answers there is no KMIP server, or one that this program does not understand.")
    }

    /// The server is in trouble by its own word, and refuses nothing.
    pub(super) fn may_pass(&self, no: &NoAnswer) -> bool {
        match no {
            NoAnswer::Refused { reason, .. } => self.meaning(*reason).1 == Kind::Unreachable,
            _ => false,
        }
    }

    /// Why there is nothing, in a few words.
    pub(super) fn told(&self, no: &NoAnswer) -> String {
        match no {
            NoAnswer::Refused { reason, said } => self.words(*reason, said),
            _ => "what is no answer".into(),
        }
    }

    fn meaning(&self, reason: Option<u32>) -> (&'static str, Kind, &'static str) {
        by_reason(reason.unwrap_or(GENERAL_FAILURE), self.operation)
    }

    fn words(&self, reason: Option<u32>, said: &str) -> String {
        let name = match (self.meaning(reason).0, reason) {
            ("", Some(number)) => format!("result reason 0x{number:X}"),
            (_, None) => "no result reason".into(),
            (name, _) => name.into(),
        };
        match clean(said) {
            said if said.is_empty() => name,
            said => format!("{name}: {}", said.trim_end_matches('.')),
        }
    }

    fn refused(&self, reason: Option<u32>, said: &str) -> Error {
        let (_, kind, hint) = self.meaning(reason);
        let error = self.error(kind, self.words(reason, said)).hint(hint);
        match reason.is_some_and(withdraws) {
            true => error.withdrawn(),
            false => error,
        }
    }

    /// The error of servers none of which answered. What may pass says more of when to try again than what won't.
    pub(super) fn unanswered(&self, failed: Vec<NetError>) -> Error {
        let mut failed = failed;
        let passing = |e: &NetError| kind_of(e) == Kind::Unreachable;
        let lead = failed.iter().position(passing).unwrap_or(0);
        if failed.is_empty() {
            return self.error(Kind::Config, "no server is configured");
        }
        let lead = failed.remove(lead);
        let mut shown = self.shown();
        for other in &failed {
            shown = format!("{shown}: {other}");
        }
        Error::new(kind_of(&lead), self.op, shown)
            .hint(hint_of(&lead))
            .because(lead)
    }
}

/// General Failure.
const GENERAL_FAILURE: u32 = 0x100;

const STATE: &str = "Look at the key's state, its usage mask (Encrypt and Decrypt) and who may use it: it must be Active, and this client certificate must be its owner's or be allowed by the server's policy. Then reload the keyring (docs/reference/tool.md).";
const CLIENT: &str = "Check client_certificate and client_key_file: the server must know their authority, they must not have expired, and must be made for client authentication.";
const SERVER: &str =
    "The server is in trouble. It is tried again while there is time; see the server's log.";
const ASKED: &str =
    "The server can't do what was asked: check version and mode, and that the key is an AES key.";
const GONE: &str = "Check key_id and addresses. A key that was destroyed is gone, and every keyring under it with it, unless the server's backup has it.";
const CHANGED: &str = "Servers don't tell which: the wrapped data key was changed, or is another file's, or the key of this name is another one than when the DEK was wrapped, or the server is in trouble (see its log first, and reload the keyring then). Put the key back, or restore the keyring file from a backup. Nothing was changed.";

/// A result reason by which the server refuses the key itself, to a client that it has accepted.
fn withdraws(reason: u32) -> bool {
    matches!(
        reason,
        0x01 | 0x36 | 0x37 | 0x39 | 0x0B | 0x0C | 0x0D | 0x29 | 0x43
    )
}

/// The name, the kind and the hint of a result reason; no name: it is not in the table.
fn by_reason(reason: u32, operation: Operation) -> (&'static str, Kind, &'static str) {
    let decrypting = operation == Operation::Decrypt;
    match reason {
        0x01 => ("Item Not Found", Kind::NotFound, GONE),
        0x36 => ("Object Destroyed", Kind::NotFound, GONE),
        0x37 => ("Object Not Found", Kind::NotFound, GONE),
        0x03 => ("Authentication Not Successful", Kind::Denied, CLIENT),
        0x39 => ("Not Authorised", Kind::Denied, STATE),
        0x14 => ("Attestation Required", Kind::Denied, STATE),
        0x15 => ("Attestation Failed", Kind::Denied, STATE),
        0x0B => ("Illegal Operation", Kind::Denied, STATE),
        0x0C => ("Permission Denied", Kind::Denied, STATE),
        0x0D => ("Object Archived", Kind::Denied, STATE),
        0x1A => ("Usage Limit Exceeded", Kind::Denied, STATE),
        0x29 => ("Incompatible Cryptographic Usage Mask", Kind::Denied, STATE),
        0x43 => ("Wrong Key Lifecycle State", Kind::Denied, STATE),
        0x0A if decrypting => ("Cryptographic Failure", Kind::Tampered, CHANGED),
        GENERAL_FAILURE if decrypting => ("General Failure", Kind::Tampered, CHANGED),
        0x0A => ("Cryptographic Failure", Kind::Config, ASKED),
        GENERAL_FAILURE => ("General Failure", Kind::Unreachable, SERVER),
        0x09 => ("Operation Canceled", Kind::Unreachable, SERVER),
        0x2A => ("Internal Server Error", Kind::Unreachable, SERVER),
        0x3A => ("Server Limit Exceeded", Kind::Unreachable, SERVER),
        0x44 => ("Protection Storage Unavailable", Kind::Unreachable, SERVER),
        0x48 => (
            "Private Protection Storage Unavailable",
            Kind::Unreachable,
            SERVER,
        ),
        0x49 => (
            "Public Protection Storage Unavailable",
            Kind::Unreachable,
            SERVER,
        ),
        0x02 => ("Response Too Large", Kind::Config, ASKED),
        0x04 => ("Invalid Message", Kind::Config, ASKED),
        0x05 => ("Operation Not Supported", Kind::Config, ASKED),
        0x06 => ("Missing Data", Kind::Config, ASKED),
        0x07 => ("Invalid Field", Kind::Config, ASKED),
        0x08 => ("Feature Not Supported", Kind::Config, ASKED),
        0x24 => ("Bad Cryptographic Parameters", Kind::Config, ASKED),
        0x26 => ("Codec Error", Kind::Config, ASKED),
        0x3B => ("Unknown Enumeration", Kind::Config, ASKED),
        0x3D => ("Unknown Tag", Kind::Config, ASKED),
        0x3E => ("Unsupported Cryptographic Parameters", Kind::Config, ASKED),
        0x3F => ("Unsupported Protocol Version", Kind::Config, ASKED),
        _ => (
            "",
            Kind::Denied,
            "See the server's documentation for this reason, and its log.",
        ),
    }
}

/// The kind of what kept an answer away. That a server refuses our certificate is its word about us, not about TLS.
pub(super) fn kind_of(e: &NetError) -> Kind {
    match e.cause() {
        Cause::Tls(TlsError::AlertReceived(alert)) if is_about_us(*alert) => Kind::Denied,
        _ => e.kind(),
    }
}

/// An alert that a server sends about a client's certificate (RFC 8446, section 6.2); TLS 1.2 servers tell a missing one
/// by handshake_failure as well.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::HandshakeFailure,
        A::NoCertificate,
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::AccessDenied,
        // Its signature does not fit the authority of that name.
        A::DecryptError,
        A::CertificateRequired,
    ]
    .contains(&alert)
}

fn hint_of(e: &NetError) -> &'static str {
    match e.cause() {
        Cause::Tls(TlsError::AlertReceived(AlertDescription::HandshakeFailure)) => {
            "The server agrees to no TLS with this client: check client_certificate and client_key_file first, then which versions and suites of TLS the server has."
        }
        Cause::Tls(TlsError::AlertReceived(alert)) if is_about_us(*alert) => CLIENT,
        Cause::Tls(TlsError::InvalidCertificate(_)) => {
            "The server's certificate is not accepted: check addresses, server_name, the clock and ca_file. Someone between may be pretending to be the server."
        }
        Cause::Tls(_) => "TLS could not be agreed upon: check addresses and what stands between.",
        Cause::Dns { .. } => {
            "The name could not be resolved: check addresses and the resolver (/etc/resolv.conf); it is tried again while there is time."
        }
        Cause::Connect(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            "Nothing listens there: check addresses and firewall; it is tried again while there is time."
        }
        Cause::Alien | Cause::TooLarge(_) => {
            "Check addresses: what answers there is no KMIP server. Its port is 5696 as a rule."
        }
        Cause::BadUrl(_) => "Correct addresses and server_name.",
        _ => "Check network, firewall and addresses; it is tried again while there is time.",
    }
}

/// The one sentence for all that can be wrong with a wrap whose server authenticates nothing (CBC). Told apart, a wrong
/// padding and a wrong data key would answer questions about what the server decrypted.
pub(super) fn changed(question: &Question<'_>) -> Error {
    let why = "it opens with no data key that this key has wrapped for this file";
    question.error(Kind::Tampered, why).hint(CHANGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(operation: Operation) -> Question<'static> {
        Question {
            op: "ask",
            operation,
            key: "k\n1",
            place: "h:5696".into(),
        }
    }

    #[test]
    fn only_what_may_pass_is_unreachable() {
        let (encrypt, decrypt) = (Operation::Encrypt, Operation::Decrypt);
        for (reason, operation, kind, words) in [
            (Some(0x01), decrypt, Kind::NotFound, "Item Not Found"),
            (Some(0x36), decrypt, Kind::NotFound, "destroyed"),
            (Some(0x03), decrypt, Kind::Denied, "client_certificate"),
            (Some(0x0B), decrypt, Kind::Denied, "Illegal Operation"),
            (Some(0x0C), decrypt, Kind::Denied, "Active"),
            (Some(0x0D), encrypt, Kind::Denied, "Object Archived"),
            (Some(0x0A), decrypt, Kind::Tampered, "don't tell which"),
            (Some(0x100), decrypt, Kind::Tampered, "General Failure"),
            (None, decrypt, Kind::Tampered, "server is in trouble"),
            (Some(0x0A), encrypt, Kind::Config, "version and mode"),
            (Some(0x100), encrypt, Kind::Unreachable, "server's log"),
            (Some(0x2A), decrypt, Kind::Unreachable, "Internal Server"),
            (Some(0x48), decrypt, Kind::Unreachable, "Private Protection"),
            (Some(0x07), encrypt, Kind::Config, "Invalid Field"),
            (Some(0x04), encrypt, Kind::Config, "Invalid Message"),
            (Some(0x3F), encrypt, Kind::Config, "Protocol Version"),
            (Some(0x7777), encrypt, Kind::Denied, "reason 0x7777"),
        ] {
            let no = NoAnswer::Refused {
                reason,
                said: "No\x1b[1m way.".into(),
            };
            let e = asked(operation).without(no);
            assert_eq!(e.kind(), kind, "{e}");
            let said = e.to_string();
            assert!(said.contains(words) && said.contains("No [1m way. "), "{e}");
            assert!(said.contains("'k 1' (h:5696)"), "{e}");
            assert!(!said.contains(char::is_control));
        }
        let silent = NoAnswer::Refused {
            reason: Some(0x0C),
            said: String::new(),
        };
        let said = asked(decrypt).without(silent).to_string();
        assert!(said.contains("h:5696): Permission Denied. Look"), "{said}");
    }

    #[test]
    fn every_reason_of_the_specification_has_a_kind_and_a_hint() {
        for reason in (0..0x60).chain([0x100, 0x8000_0000]) {
            for operation in [Operation::Encrypt, Operation::Decrypt] {
                let (_, kind, hint) = by_reason(reason, operation);
                assert!(!hint.is_empty() && kind != Kind::Internal);
            }
        }
    }

    #[test]
    fn alerts_about_us_are_told_as_such() {
        assert!(is_about_us(AlertDescription::UnknownCA));
        assert!(is_about_us(AlertDescription::CertificateExpired));
        assert!(!is_about_us(AlertDescription::ProtocolVersion));
        assert!(!is_about_us(AlertDescription::InternalError));
    }
}
