//! The one error type: a kind with a stable number, what was being done, the context and a hint.
//!
//! It must never carry key bytes, passphrases or PINs: contexts are built from names, paths,
//! offsets and the operating system's errors only.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What caused an error, with its type. It can be sent to another thread.
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, in the terms an operator acts upon. The numbers are stable; they are
/// explained in `docs/reference/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// The key, file or item asked for does not exist.
    NotFound = 1,
    /// A key with this name and owner exists already.
    AlreadyExists = 2,
    /// An argument is outside the limits (name, type, length).
    InvalidInput = 3,
    /// The keyring is opened read-only or refuses writes for now.
    ReadOnly = 4,
    /// The configuration is missing, incomplete or contradictory.
    Config = 5,
    /// File modes or owners are wrong, or the system refused access.
    Permission = 6,
    /// Another process holds the keyring.
    Locked = 7,
    /// None of the configured KEKs opens the file.
    WrongKek = 8,
    /// The file is damaged or was changed by somebody.
    Tampered = 9,
    /// The file was written by a newer Keyring Ward.
    UnsupportedVersion = 10,
    /// The operating system reported an input/output error.
    Io = 11,
    /// A service (HSM, KMS) can't be reached.
    Unreachable = 12,
    /// A service refused permission.
    Denied = 13,
    /// A service did not answer within the deadline.
    Timeout = 14,
    /// A defect in Keyring Ward.
    Internal = 15,
    /// The state of the key forbids it: compromised, held, not due yet.
    KeyState = 16,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 16] = [
        Kind::NotFound,
        Kind::AlreadyExists,
        Kind::InvalidInput,
        Kind::ReadOnly,
        Kind::Config,
        Kind::Permission,
        Kind::Locked,
        Kind::WrongKek,
        Kind::Tampered,
        Kind::UnsupportedVersion,
        Kind::Io,
        Kind::Unreachable,
        Kind::Denied,
        Kind::Timeout,
        Kind::Internal,
        Kind::KeyState,
    ];

    /// The stable name, as it stands in messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotFound => "NotFound",
            Kind::AlreadyExists => "AlreadyExists",
            Kind::InvalidInput => "InvalidInput",
            Kind::ReadOnly => "ReadOnly",
            Kind::Config => "Config",
            Kind::Permission => "Permission",
            Kind::Locked => "Locked",
            Kind::WrongKek => "WrongKek",
            Kind::Tampered => "Tampered",
            Kind::UnsupportedVersion => "UnsupportedVersion",
            Kind::Io => "Io",
            Kind::Unreachable => "Unreachable",
            Kind::Denied => "Denied",
            Kind::Timeout => "Timeout",
            Kind::Internal => "Internal",
            Kind::KeyState => "KeyState",
        }
    }

    /// The stable number.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error: kind, operation, context, hint and the typed cause where there is one: the system's error, that of a
/// library or of the network.
///
/// It is one pointer wide, so that `Result`s on the fetch path stay small.
#[derive(Debug)]
pub struct Error(pub(crate) Box<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) kind: Kind,
    /// A constant, unless it came from a child of this process.
    pub(crate) op: Cow<'static, str>,
    pub(crate) context: String,
    pub(crate) hint: Option<String>,
    pub(crate) source: Option<Cause>,
    pub(crate) standing: Standing,
    pub(crate) withdrawn: bool,
}

/// What an error is to those who look after the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Trouble,
    Refused,
    Expected,
}

impl Error {
    /// A new error. `op` completes "Could not …"; `context` says what exactly and why.
    pub fn new(kind: Kind, op: &'static str, context: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            op: Cow::Borrowed(op),
            context: context.into(),
            hint: None,
            source: None,
            standing: Standing::Trouble,
            withdrawn: false,
        }))
    }

    /// An error of the operating system. Permission problems and read-only file systems get the
    /// kind of their own; all else is [`Kind::Io`].
    pub fn io(op: &'static str, context: impl Into<String>, source: io::Error) -> Error {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::Permission,
            io::ErrorKind::ReadOnlyFilesystem => Kind::ReadOnly,
            _ => Kind::Io,
        };
        Error::new(kind, op, context).because(source)
    }

    /// Keeps what caused it, whose sentence then ends the message. It must be fit for people, and hold no secret.
    pub fn because(mut self, source: impl Into<Cause>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what the operator should do next: one or more full sentences.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error under another kind.
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.0.kind = kind;
        self
    }

    /// Puts `what` (a file, a service) before the context.
    pub fn context(mut self, what: impl fmt::Display) -> Error {
        self.0.context = format!("{what}: {}", self.0.context);
        self
    }

    /// Marks an answer of normal operation: the caller asked for a key that is there already, or is not there. The
    /// server does so to find out; nobody needs to act.
    pub fn expected(mut self) -> Error {
        self.0.standing = Standing::Expected;
        self
    }

    /// Marks a request that was refused, by who asked for it: nothing is wrong with the keyring, but an account got less
    /// than it asked for, and SQL shows it NULL at best.
    pub fn refused(mut self) -> Error {
        self.0.standing = Standing::Refused;
        self
    }

    /// See [`Error::refused`]. What is outside the limits always is such a request.
    pub fn is_refused(&self) -> bool {
        match self.0.standing {
            Standing::Refused => true,
            Standing::Trouble => self.kind() == Kind::InvalidInput,
            Standing::Expected => false,
        }
    }

    /// See [`Error::expected`].
    pub fn is_expected(&self) -> bool {
        self.0.standing == Standing::Expected
    }

    /// Marks that the use of a KEK itself was refused, after its service had accepted who asks: it is disabled, destroyed,
    /// or not for this identity any more. What is wrong with a login, a token or the clock is not that.
    pub fn withdrawn(mut self) -> Error {
        self.0.withdrawn = true;
        self
    }

    /// See [`Error::withdrawn`].
    pub fn is_withdrawn(&self) -> bool {
        self.0.withdrawn
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What could not be done and why: one sentence without number, kind and hint.
    pub fn message(&self) -> String {
        let e = &self.0;
        // A context may end with the sentences of another error.
        let context = e.context.strip_suffix('.').unwrap_or(&e.context);
        match &e.source {
            Some(source) => format!("Could not {}: {context}: {source}.", e.op),
            None => format!("Could not {}: {context}.", e.op),
        }
    }

    /// For programs: `{"number", "kind", "message", "hint"}`; the hint may be null.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "number": self.kind().number(), "kind": self.kind().name(),
            "message": self.message(), "hint": self.0.hint,
        })
    }

    /// What to do next.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0;
        let (number, name) = (e.kind.number(), e.kind.name());
        write!(f, "KW-{number:04} {name}: {}", self.message())?;
        match &e.hint {
            Some(hint) => write!(f, " {hint}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_ends_with_a_sentence_gets_no_second_full_stop() {
        let e = Error::new(
            Kind::Denied,
            "keep the keyring",
            "the KEK refused. Enable it.",
        );
        assert_eq!(
            e.message(),
            "Could not keep the keyring: the KEK refused. Enable it."
        );
    }

    #[test]
    fn message_carries_number_kind_context_and_hint() {
        let e = Error::new(
            Kind::WrongKek,
            "open the keyring",
            "the passphrase does not fit",
        )
        .hint("Check the passphrase file.");
        assert_eq!(
            e.to_string(),
            "KW-0008 WrongKek: Could not open the keyring: the passphrase does not fit. \
             Check the passphrase file."
        );
    }

    #[test]
    fn numbers_are_stable() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.number()), i + 1);
            assert_eq!(kind.name(), format!("{kind:?}"));
        }
    }

    #[test]
    fn programs_get_the_same_in_parts() {
        let source = io::Error::from_raw_os_error(libc::ENOSPC);
        let e = Error::io("write", "'/f'", source).hint("Make room.");
        let json = e.to_json();
        assert_eq!((&json["number"], &json["kind"]), (&11.into(), &"Io".into()));
        let parts = [&json["message"], &json["hint"]].map(|p| p.as_str().unwrap());
        assert_eq!(format!("KW-0011 Io: {}", parts.join(" ")), e.to_string());
        let bare = Error::new(Kind::Io, "x", "y").to_json();
        assert!(bare["hint"].is_null());
    }

    #[test]
    fn a_cause_keeps_its_type_and_costs_no_room() {
        let cause = String::from_utf8(vec![0xff]).unwrap_err();
        let e = Error::new(Kind::Config, "read it", "'/f'").because(cause);
        let source = StdError::source(&e).unwrap();
        assert!(source.is::<std::string::FromUtf8Error>());
        assert!(e.message().ends_with(&format!("'/f': {source}.")), "{e}");
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn system_errors_get_their_kind() {
        let of = |code| Error::io("x", "y", io::Error::from_raw_os_error(code)).kind();
        assert_eq!(of(libc::EACCES), Kind::Permission);
        assert_eq!(of(libc::EROFS), Kind::ReadOnly);
        assert_eq!(of(libc::ENOSPC), Kind::Io);
        assert_eq!(of(libc::ENOENT), Kind::NotFound);
    }
}
