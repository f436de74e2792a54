//! A new DEK where configurations pin fingerprints: they name it before the file comes under it.
//!
//! A file under a DEK that the configuration does not name would not open again. The tool has no right to write the
//! administrator's files, so it tells the fingerprint and waits until it stands there; whatever ends the waiting leaves the
//! old file in force. It must never let a file come under a DEK that a configuration does not admit.

use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::key::limits::FINGERPRINT;
use crate::os::signals;
use crate::text::hex;
use std::time::Duration;

const OP: &str = "make a new DEK";
/// Between two looks at the configurations.
const PAUSE: Duration = Duration::from_millis(250);

/// The fingerprints that one configuration pins; none: it admits every DEK.
pub type Pinned = Vec<[u8; FINGERPRINT]>;

/// Whether a configuration opens a file under a DEK of this fingerprint.
pub fn admits(pinned: &[[u8; FINGERPRINT]], fingerprint: &[u8; FINGERPRINT]) -> bool {
    pinned.is_empty() || pinned.contains(fingerprint)
}

/// As [`Pin::admit`] for a server, which can't change its configuration: the fingerprint is told, and the next call takes the
/// same DEK.
///
/// # Errors
/// Config: the configuration does not name it.
pub fn admit_at_once(pinned: &[[u8; FINGERPRINT]], new: &[u8; FINGERPRINT]) -> Result<()> {
    if admits(pinned, new) {
        return Ok(());
    }
    let why = format!(
        "the configuration pins the DEK's fingerprint, and does not name that of the new one, {}",
        hex(new)
    );
    Err(Error::new(Kind::Config, OP, why).hint(
        "Add it to fingerprint in the configuration, beside the old one, and call the function again before the keyring is \
         reloaded. Where variables of the plugin are the configuration, stop the server and use keyring-ward with --wait. \
         Nothing was changed.",
    ))
}

/// How the configurations are asked, and the operator is told.
pub struct Pin<'a> {
    /// What the configurations pin now: the server's, and the one that is to take its place.
    pub pinned: &'a dyn Fn() -> Result<Vec<Pinned>>,
    /// How long it may take until they name the new fingerprint.
    pub wait: Duration,
    /// Tells the operator what to write: a full sentence.
    pub tell: &'a dyn Fn(&str),
}

impl Pin<'_> {
    /// Waits until all configurations admit a DEK of this fingerprint.
    ///
    /// # Errors
    /// Config: they don't, in time. Io: a signal ended the waiting.
    pub fn admit(&self, new: &[u8; FINGERPRINT]) -> Result<()> {
        let deadline = Deadline::after(self.wait);
        let mut told = false;
        loop {
            // One that is just being written may be none for a moment.
            let found = (self.pinned)();
            if let Ok(all) = &found
                && all.iter().all(|pinned| admits(pinned, new))
            {
                return Ok(());
            }
            signals::check(OP)?;
            if deadline.passed() {
                return Err(match found {
                    Err(e) => e,
                    Ok(_) => self.refused(),
                });
            }
            if !told {
                told = true;
                (self.tell)(&format!(
                    "The configuration pins the DEK's fingerprint. Add {} to fingerprint now, beside the old one (separated by \
                     a comma). Nothing is changed before it stands there; waiting {} s.",
                    hex(new),
                    self.wait.as_secs()
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn refused(&self) -> Error {
        let why = match self.wait.is_zero() {
            true => {
                "the configuration pins the DEK's fingerprint, so it has to name the new one first"
                    .into()
            }
            false => format!(
                "the configuration did not name the new fingerprint within {} s",
                self.wait.as_secs()
            ),
        };
        Error::new(Kind::Config, OP, why).hint(
            "With --wait SECONDS the new fingerprint is told, and the file changed as soon as the configuration names it beside \
             the old one. Nothing was changed.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    const OLD: [u8; FINGERPRINT] = [0; FINGERPRINT];
    const NEW: [u8; FINGERPRINT] = [0xab; FINGERPRINT];

    #[test]
    fn it_waits_until_every_configuration_names_the_new_one() {
        let (looks, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let pinned = || {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 => Ok(vec![vec![OLD]]),
                2 => Err(Error::new(Kind::Config, "read", "it is being written")),
                3 => Ok(vec![vec![], vec![OLD]]),
                _ => Ok(vec![vec![], vec![OLD, NEW]]),
            }
        };
        let pin = Pin {
            pinned: &pinned,
            wait: Duration::from_secs(60),
            tell: &|sentence| told.borrow_mut().push(sentence.to_string()),
        };
        pin.admit(&NEW).unwrap();
        assert_eq!(looks.get(), 4);
        assert_eq!(told.borrow().len(), 1);
        assert!(told.borrow()[0].contains(&hex(&NEW)));
    }

    #[test]
    fn without_waiting_nothing_is_told_and_nothing_admitted() {
        let of = |fingerprints: Pinned| {
            let pin = Pin {
                pinned: &|| Ok(vec![fingerprints.clone()]),
                wait: Duration::ZERO,
                tell: &|_| panic!("told"),
            };
            pin.admit(&NEW)
        };
        let e = of(vec![OLD]).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        assert!(e.to_string().contains("--wait"), "{e}");
        of(vec![]).unwrap();
        of(vec![NEW]).unwrap();
    }
}
