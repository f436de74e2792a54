//! What a PKCS#11 module answered, as an error of ours: the function, the CKR code, words, kind, hint.
//!
//! It decides what may pass by itself ([`Kind::Unreachable`], tried again by the adapter) and what must
//! never be tried again. It never carries a PIN or key bytes: modules give codes only.

use crate::error::{Error, Kind};
use cryptoki::context::Function;
use cryptoki::error::{Error as Ck, RvError};

/// The error for `op` ("Could not <op>").
pub(super) fn error(op: &'static str, e: &Ck) -> Error {
    match e {
        Ck::Pkcs11(code, function) => {
            let (kind, words, hint) = match (function, meaning(*code)) {
                // It has not looked at any token or network by then, but at its own configuration. It may pass all
                // the same: some modules wait for a daemon of theirs.
                (Function::Initialize, (kind @ Kind::Unreachable, words, _)) => {
                    (kind, words, START)
                }
                (_, meaning) => meaning,
            };
            let words = format!("C_{function:?} answered {}{words}", name(*code));
            let error = Error::new(kind, op, words).hint(hint);
            match withdraws(*code) {
                true => error.withdrawn(),
                false => error,
            }
        }
        Ck::LibraryLoading(e) => Error::new(
            Kind::Config,
            op,
            format!("the module can't be loaded: {}", loader_words(e)),
        )
        .hint(NOT_A_MODULE),
        Ck::MissingSymbol(symbol) => Error::new(
            Kind::Config,
            op,
            format!("the file is a library, but not a PKCS#11 module: it has no {symbol}"),
        )
        .hint(NOT_A_MODULE),
        Ck::NullFunctionPointer => Error::new(
            Kind::Config,
            op,
            "the module lacks a function that is needed",
        )
        .hint("Install a current version of the HSM's client software."),
        e => Error::new(
            Kind::Unreachable,
            op,
            format!("the module's answer can't be understood ({e})"),
        )
        .hint("Check the HSM's client software with its vendor's tools."),
    }
}

const NOT_A_MODULE: &str = "Set pkcs11_module to the PKCS#11 library that the HSM's vendor documents, for this machine's architecture.";
const GONE: &str =
    "Check the HSM, its network and its client software. Nothing of the keyring was changed.";
const START: &str = "The module did not start. Check its own configuration: the account of mysqld must be able to read \
    the file and every folder above it (SoftHSM2: the file that SOFTHSM2_CONF names, else /etc/softhsm/softhsm2.conf, which \
    Debian lets only the group softhsm read), and the variable that names it must be in mysqld's environment.";
const LOGIN: &str = "Correct the PIN file, or unblock the PIN with the vendor's tool. It is not tried again by itself.";
const FULL: &str = "Close sessions or remove objects on the token, or raise its limits.";
const KEY: &str = "keyring-ward hsm list shows keys, their usage and the token's mechanisms.";

fn loader_words(e: &libloading::Error) -> String {
    // The loader's own words name the file and the missing library.
    match std::error::Error::source(e) {
        Some(source) => source.to_string(),
        None => e.to_string(),
    }
}

/// The token was taken out or made anew, or does not let this key be used any more.
fn withdraws(code: RvError) -> bool {
    use RvError as R;
    matches!(
        code,
        R::DeviceRemoved
            | R::TokenNotPresent
            | R::UserPinNotInitialized
            | R::KeyFunctionNotPermitted
            | R::ActionProhibited
    )
}

/// Kind, words behind the code, hint. PKCS#11 3.1, section 5.1.
fn meaning(code: RvError) -> (Kind, &'static str, &'static str) {
    use RvError as R;
    match code {
        R::PinIncorrect => (Kind::Denied, ": the PIN is wrong", LOGIN),
        R::PinInvalid | R::PinLenRange => (
            Kind::Denied,
            ": the token does not take a PIN of this length or with these characters",
            LOGIN,
        ),
        R::PinLocked => (
            Kind::Denied,
            ": the PIN is locked after too many wrong ones",
            LOGIN,
        ),
        R::PinExpired => (Kind::Denied, ": the PIN has expired", LOGIN),
        R::UserPinNotInitialized => (
            Kind::Denied,
            ": the token has no user PIN yet",
            "Set the token's user PIN with the vendor's tool.",
        ),
        R::UserTooManyTypes | R::UserAnotherAlreadyLoggedIn => (
            Kind::Denied,
            ": somebody else is logged in in this process",
            GONE,
        ),
        R::DeviceRemoved => (Kind::Unreachable, ": the token was removed", GONE),
        R::DeviceError => (Kind::Unreachable, ": the token reports a fault", GONE),
        R::TokenNotPresent => (Kind::Unreachable, ": there is no token in the slot", GONE),
        R::SlotIdInvalid => (
            Kind::Unreachable,
            ": there is no slot of this number (any more)",
            GONE,
        ),
        R::SessionHandleInvalid | R::SessionClosed => {
            (Kind::Unreachable, ": the session was lost", GONE)
        }
        R::UserNotLoggedIn => (Kind::Unreachable, ": the login was lost", GONE),
        R::CryptokiNotInitialized => (
            Kind::Unreachable,
            ": somebody else in this process has ended the module",
            GONE,
        ),
        R::GeneralError => (Kind::Unreachable, ": the module reports a fault", GONE),
        R::FunctionFailed => (Kind::Unreachable, ": the call failed", GONE),
        R::HostMemory => (Kind::Unreachable, ": the module got no memory", GONE),
        R::DeviceMemory => (Kind::Unreachable, ": the token is full", FULL),
        R::SessionCount => (Kind::Unreachable, ": the token has no free session", FULL),
        R::TokenWriteProtected | R::SessionReadOnly => (
            Kind::ReadOnly,
            ": the token can't be written",
            "Make the key with the vendor's tool, or remove the write protection.",
        ),
        R::TokenNotRecognized => (
            Kind::Config,
            ": the module does not know this token",
            NOT_A_MODULE,
        ),
        R::MechanismInvalid | R::MechanismParamInvalid => {
            (Kind::Config, ": the token does not do this", KEY)
        }
        R::KeyFunctionNotPermitted => (Kind::Config, ": the key's usage does not permit this", KEY),
        R::KeyTypeInconsistent | R::KeySizeRange => {
            (Kind::Config, ": the key is of another type or size", KEY)
        }
        R::AttributeReadOnly
        | R::AttributeSensitive
        | R::AttributeTypeInvalid
        | R::AttributeValueInvalid
        | R::TemplateIncomplete
        | R::TemplateInconsistent => (
            Kind::Config,
            ": the token does not allow such an object",
            KEY,
        ),
        R::ActionProhibited | R::FunctionRejected => {
            (Kind::Denied, ": the token's policy forbids this", KEY)
        }
        R::FunctionNotSupported => (Kind::Config, ": the module lacks this function", KEY),
        _ => (Kind::Unreachable, "", GONE),
    }
}

/// The code as the standard writes it, e.g. CKR_PIN_INCORRECT.
pub(super) fn name(code: RvError) -> String {
    if let RvError::VendorDefined(n) = code {
        return format!("the vendor's code {n:#x}");
    }
    let mut out = String::from("CKR");
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// The code, where the module gave one.
pub(super) fn code(e: &Ck) -> Option<RvError> {
    match e {
        Ck::Pkcs11(code, _) => Some(*code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_function_and_code_in_words() {
        let e = error(
            "log in",
            &Ck::Pkcs11(RvError::PinIncorrect, Function::Login),
        );
        let text = e.to_string();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(
            text.contains("C_Login answered CKR_PIN_INCORRECT: the PIN is wrong"),
            "{text}"
        );
        assert_eq!(
            name(RvError::SessionHandleInvalid),
            "CKR_SESSION_HANDLE_INVALID"
        );
    }

    #[test]
    fn a_module_that_does_not_start_points_at_its_configuration() {
        for code in [
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::DeviceError,
            RvError::HostMemory,
            RvError::ArgumentsBad,
            RvError::VendorDefined(0x8000_0001),
        ] {
            let start = error("start", &Ck::Pkcs11(code, Function::Initialize));
            assert_eq!(start.kind(), Kind::Unreachable, "{code:?}");
            let text = start.to_string();
            assert!(
                text.contains("SOFTHSM2_CONF") && !text.contains("network"),
                "{text}"
            );
            let later = error("sign", &Ck::Pkcs11(code, Function::Sign)).to_string();
            assert!(!later.contains("SOFTHSM2_CONF"), "{later}");
        }
    }

    #[test]
    fn what_may_pass_and_what_may_not() {
        let kind = |code| error("x", &Ck::Pkcs11(code, Function::Decrypt)).kind();
        for code in [
            RvError::DeviceError,
            RvError::GeneralError,
            RvError::HostMemory,
            RvError::SessionHandleInvalid,
            RvError::UserNotLoggedIn,
            RvError::DeviceRemoved,
        ] {
            assert_eq!(kind(code), Kind::Unreachable, "{code:?}");
        }
        for code in [
            RvError::PinIncorrect,
            RvError::PinLocked,
            RvError::PinExpired,
        ] {
            assert_eq!(kind(code), Kind::Denied, "{code:?}");
        }
    }
}
