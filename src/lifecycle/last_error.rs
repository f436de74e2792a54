//! What went wrong last, kept for the status.
//!
//! Owns which of several is told: a caught panic beside whatever else is wrong, and a refused request only where nothing is.
//! It must never keep more than one of each kind.

use super::lock;
use crate::error::{Error, Kind};
use std::sync::Mutex;

/// An error as it is told later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Its kind; `None`: no error, but the reason why nothing was loaded.
    pub kind: Option<Kind>,
    /// One sentence without number, kind and hint.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// When it came up, in seconds since 1970.
    pub at: i64,
}

impl LastError {
    /// `error`, which came up just now.
    pub fn now(error: &Error) -> LastError {
        LastError {
            kind: Some(error.kind()),
            message: error.message(),
            hint: error.advice().map(Into::into),
            at: crate::os::unix_seconds(),
        }
    }

    /// For programs: what [`Error::to_json`] gives, and the time (RFC 3339, UTC).
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "number": self.kind.map(Kind::number), "kind": self.kind.map(Kind::name),
            "message": self.message, "hint": self.hint, "time": crate::text::utc(self.at),
        })
    }
}

/// As the error itself is told.
impl std::fmt::Display for LastError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "KW-{:04} {}: ", kind.number(), kind.name())?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " {hint}"),
            None => Ok(()),
        }
    }
}

/// The last of each sort.
pub(super) struct LastErrors {
    /// Why there is no keyring, or the last error of a call or reload.
    error: Mutex<Option<LastError>>,
    /// The last panic that was caught: it is told beside whatever else is wrong.
    defect: Mutex<Option<LastError>>,
    /// The last request of an account that was refused. No trouble, and never in the place of one.
    refusal: Mutex<Option<LastError>>,
}

impl LastErrors {
    pub(super) const fn new() -> LastErrors {
        LastErrors {
            error: Mutex::new(None),
            defect: Mutex::new(None),
            refusal: Mutex::new(None),
        }
    }

    pub(super) fn remember_error(&self, error: &Error) {
        *lock(&self.error) = Some(LastError::now(error));
    }

    pub(super) fn remember_defect(&self, error: &Error) {
        *lock(&self.defect) = Some(LastError::now(error));
    }

    pub(super) fn remember_refusal(&self, error: &Error) {
        *lock(&self.refusal) = Some(LastError::now(error));
    }

    /// Nothing is loaded, and nothing is wrong with that: a full sentence.
    pub(super) fn stay_idle(&self, why: &str) {
        *lock(&self.error) = Some(LastError {
            kind: None,
            message: why.into(),
            hint: None,
            at: crate::os::unix_seconds(),
        });
    }

    pub(super) fn forget(&self) {
        for of in [&self.error, &self.defect, &self.refusal] {
            *lock(of) = None;
        }
    }

    /// What is to be told, the most important first.
    pub(super) fn list(&self) -> Vec<LastError> {
        let (error, defect) = (lock(&self.error).clone(), lock(&self.defect).clone());
        // A load that panicked failed by that very panic.
        let is_same = |d: &LastError, e: &LastError| d.to_string() == e.to_string();
        match (defect, error) {
            (Some(defect), Some(error)) if !is_same(&defect, &error) => vec![defect, error],
            (Some(one), _) | (None, Some(one)) => vec![one],
            (None, None) => lock(&self.refusal).iter().cloned().collect(),
        }
    }

    /// The same for people; `None`: nothing is wrong.
    pub(super) fn text(&self) -> Option<String> {
        text(&self.list())
    }
}

/// Errors for people, in one line; `None`: there are none.
pub fn text(errors: &[LastError]) -> Option<String> {
    let all: Vec<String> = errors.iter().map(LastError::to_string).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_the_error_itself() {
        let plain = Error::new(Kind::Io, "write", "the disk is gone");
        let hinted = Error::new(Kind::Config, "read", "a name").hint("Correct it.");
        for error in [plain, hinted] {
            let last = LastError::now(&error);
            assert_eq!(last.to_string(), error.to_string());
            let (mut json, time) = (last.to_json(), crate::text::utc(last.at));
            assert_eq!(json["time"], time.as_str());
            json.as_object_mut().unwrap().remove("time");
            assert_eq!(json, error.to_json());
        }
    }

    #[test]
    fn what_is_wrong_goes_before_what_was_refused() {
        let of = |context: &str| Error::new(Kind::Io, "test", context);
        let errors = LastErrors::new();
        let told = || errors.text().unwrap_or_default();
        assert_eq!(errors.text(), None);
        errors.remember_refusal(&of("refused"));
        assert!(told().contains("refused"));
        errors.remember_error(&of("error"));
        assert!(told().contains("error") && !told().contains("refused"));
        errors.remember_defect(&of("defect"));
        let both = told();
        assert!(both.find("defect").unwrap() < both.find("error").unwrap());
        errors.remember_defect(&of("error"));
        assert_eq!(told().matches("error").count(), 1, "one thing is told once");
        errors.forget();
        assert_eq!(errors.text(), None);
    }
}
