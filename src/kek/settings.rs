//! What a provider is to the rest: its row ([`Driver`]), and one configured KEK ([`KekConfig`]), made of its section.
//!
//! Owns the questions that the rest asks of it ([`Settings`]), each answered in the provider's folder. It must never
//! hold a secret: secrets are referenced.

use super::Kek;
use super::randomness::Random;
use crate::error::{Error, Kind, Result};
use crate::options::{OptionSpec, Section};
use crate::os::undo::Undo;
use crate::secret_source::SecretRef;
use std::any::Any;
use std::fmt::Debug;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

/// A provider's row.
#[derive(Debug)]
pub struct Driver {
    /// The name: the value of `backend`, the object in JSON, and what its options' flat names begin with.
    pub name: &'static str,
    /// What a keyring is under then, for the end of "An encrypted keyring under".
    pub under: &'static str,
    /// Its options, all of its own section ([`OptionSpec::of`]).
    pub options: &'static [OptionSpec],
    /// Names of options of which one is given instead of the others.
    pub instead: &'static [&'static [&'static str]],
    /// Checks its section; gives one KEK or more, of which the first one wraps and any opens.
    pub read: fn(&Section<'_>) -> Result<Vec<KekConfig>>,
    /// Its page in docs/, for the reference of the options; empty where that says all.
    pub page: &'static str,
    /// What stands behind `keyring-ward init --path FILE` to make a keyring under it.
    pub example: &'static str,
}

/// What a provider's section says, checked. Everything but [`driver`](Settings::driver) and [`kek`](Settings::kek) has
/// an answer that does for a provider with nothing of the kind.
pub trait Settings: Any + Debug + Send + Sync + Value {
    /// Whose settings they are.
    fn driver(&self) -> &'static Driver;

    /// The KEK. Nothing is read or reached yet. One that is not on this machine comes in an
    /// `Adapter`.
    fn kek(&self) -> Box<dyn Kek>;

    /// Every secret that using the KEK reads on this machine: a start waits for them, and they should not lie in the data
    /// directory.
    fn secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    /// Every other file that it reads, for `doctor`.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Where new DEKs and keys come from, as its own section says or where nothing does; `None`: it says nothing.
    fn random(&self) -> Option<Random> {
        None
    }

    /// The one secret of this machine that the KEK is made of. Two KEKs of one secret are not two: a leak opens both.
    fn own_secret(&self) -> Option<&SecretRef> {
        None
    }

    /// Somebody elsewhere can refuse its use while this machine has all that it needs: a service or a token that is asked.
    fn can_refuse(&self) -> bool {
        self.own_secret().is_none()
    }

    /// It can open what it wrapped on this machine; else its secret is kept elsewhere, for recovery.
    fn opens_here(&self) -> bool {
        true
    }

    /// Anybody could have wrapped a DEK with it, so that only a pinned fingerprint says which is ours.
    fn needs_fingerprint(&self) -> bool {
        false
    }

    /// Whether [`make`](Settings::make) could make it, as far as that shows on this machine.
    ///
    /// # Errors
    /// InvalidInput: this tool can't make it; AlreadyExists: it is there.
    fn check_makeable(&self) -> Result<()> {
        let why = format!(
            "a KEK of the backend {} can't be made by this tool",
            self.driver().name
        );
        Err(Error::new(Kind::InvalidInput, super::make::OP, why)
            .hint("Make it where it is kept. Then leave --generate out."))
    }

    /// Makes the KEK for `--generate`; gives full sentences for people: what was made, and what depends on it. `undo`
    /// gets what takes it away again. It must never take one that is there.
    ///
    /// # Errors
    /// As [`check_makeable`](Settings::check_makeable); what kept it from being made.
    fn make(&self, _patience: Duration, _undo: &mut Undo) -> Result<String> {
        self.check_makeable()?;
        Err(Error::new(
            Kind::Internal,
            super::make::OP,
            "such a KEK can't be made",
        ))
    }

    /// The least that the KEK's service must allow for it, as that service writes it, line by line; `init` prints it.
    fn rights(&self) -> Option<String> {
        None
    }

    /// What `doctor` says of it beside what it finds by itself: that its files and secrets can be read, and that it opens
    /// the keyring. Nothing is changed, and no secret is read.
    fn remarks(&self) -> Vec<Remark> {
        Vec::new()
    }
}

/// One step of `doctor` that only a provider can take.
#[derive(Debug)]
pub struct Remark {
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty: it is as it should be, else it is a warning.
    pub remedy: String,
}

/// What every type with `Clone` and `PartialEq` can do, where its type is not known.
pub trait Value {
    /// [`Clone`]
    fn boxed(&self) -> Box<dyn Settings>;
    /// [`PartialEq`]; settings of different types are different.
    fn equals(&self, other: &dyn Settings) -> bool;
}

impl<T: Settings + Clone + PartialEq> Value for T {
    fn boxed(&self) -> Box<dyn Settings> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn Settings) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }
}

/// One configured KEK, of whatever provider.
#[derive(Debug)]
pub struct KekConfig(Box<dyn Settings>);

impl KekConfig {
    /// These settings.
    pub fn new(settings: impl Settings) -> KekConfig {
        KekConfig(Box::new(settings))
    }

    /// The settings of one provider; `None`: they are another's.
    pub fn settings_of<T: Settings>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.0;
        settings.downcast_ref()
    }

    /// The same, to change them.
    pub fn settings_of_mut<T: Settings>(&mut self) -> Option<&mut T> {
        let settings: &mut dyn Any = &mut *self.0;
        settings.downcast_mut()
    }
}

impl Deref for KekConfig {
    type Target = dyn Settings;
    fn deref(&self) -> &(dyn Settings + 'static) {
        &*self.0
    }
}

impl Clone for KekConfig {
    fn clone(&self) -> KekConfig {
        KekConfig(self.0.boxed())
    }
}

impl PartialEq for KekConfig {
    fn eq(&self, other: &KekConfig) -> bool {
        self.0.equals(&*other.0)
    }
}
impl Eq for KekConfig {}
