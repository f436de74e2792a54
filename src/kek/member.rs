//! One KEK of a keyring: its name, what it may be used for, the keys that it is made of, and what it did last.
//!
//! Owns what is told of a KEK by itself. It must never hold a part of a DEK.

use super::{Contact, Kek};
use crate::error::{Error, Kind};
use crate::format::stanza::{Holder, Stanza};
use crate::secret_source::{SecretRef, credential_path};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a KEK is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// It opens the keyring when the server starts.
    #[default]
    Start,
    /// It opens the keyring when all else is lost, by the tool with `--recovery`. A server never tries it.
    Recovery,
}

impl Use {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Use::Start => "start",
            Use::Recovery => "recovery",
        }
    }
}

/// What a KEK is called, and where it stands among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Its name in the configuration; for the only KEK of the short form its provider's.
    pub name: String,
    /// Its provider's name.
    pub provider: &'static str,
    /// Where it is; those of the keyring's own region are tried first.
    pub region: Option<String>,
    /// KEKs of one group hold the same share.
    pub group: Option<String>,
    /// What it is for.
    pub usage: Use,
}

/// What a KEK answered last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked since the keyring was opened.
    #[default]
    NotAsked,
    /// It opened its stanza, or wrapped for it.
    Opened,
    /// It did not.
    Failed {
        /// Why, in one word.
        kind: Kind,
        /// The whole error: full sentences.
        message: String,
        /// Its use was refused ([`Error::withdrawn`]).
        withdrawn: bool,
    },
}

impl Answer {
    /// It failed when it was asked last.
    pub fn has_failed(&self) -> bool {
        matches!(self, Answer::Failed { .. })
    }

    /// For people: one word.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::NotAsked => "not asked",
            Answer::Opened => "opened",
            Answer::Failed { kind, .. } => kind.name(),
        }
    }
}

/// What is told of a KEK.
#[derive(Clone, Debug, Default)]
pub struct KekInfo {
    /// Its name and place.
    pub naming: Naming,
    /// For people: the key, and where it comes from.
    pub describe: String,
    /// It has a stanza in the keyring; `None`: stanzas of its provider are there that name no KEK.
    pub wrapped: Option<bool>,
    /// How it wraps.
    pub mechanism: String,
    /// Which key of the provider it was when the part was wrapped.
    pub key_ref: String,
    /// Which share it holds, and of how many, how many are needed; `None`: the whole DEK.
    pub share: Option<(u8, u8, u8)>,
    /// What it answered last.
    pub answer: Answer,
    /// How long that took.
    pub latency: Option<Duration>,
    /// When that was, in seconds since 1970.
    pub at: Option<i64>,
    /// The contact to it, where it is not on this machine.
    pub contact: Option<Contact>,
}

/// What was seen of a KEK.
#[derive(Clone, Default)]
struct Seen {
    answer: Answer,
    latency: Option<Duration>,
    at: Option<i64>,
    /// The stanza that it opened or made.
    stanza: Option<Stanza>,
    /// It opened it by a key that wraps no more.
    by_old_key: bool,
}

/// One KEK.
pub struct Member {
    /// Its name and place.
    pub naming: Naming,
    /// The share that it holds where the DEK is split; `None`: the whole DEK.
    pub(super) number: Option<u8>,
    /// The first one wraps, any opens.
    pub(super) keys: Vec<Box<dyn Kek>>,
    secrets: Vec<SecretRef>,
    seen: Mutex<Seen>,
}

impl Member {
    /// A KEK made of `keys`, of which the first wraps and any opens. `secrets`: what it reads on this machine.
    pub fn new(naming: Naming, keys: Vec<Box<dyn Kek>>, secrets: Vec<SecretRef>) -> Member {
        Member {
            naming,
            number: None,
            keys,
            secrets,
            seen: Mutex::default(),
        }
    }

    /// For people: the key that wraps.
    pub fn describe(&self) -> String {
        self.keys.first().map(|k| k.describe()).unwrap_or_default()
    }

    /// It is tried when a server starts.
    pub(super) fn starts(&self) -> bool {
        self.naming.usage == Use::Start
    }

    /// A secret that it needs is not on this machine (yet).
    pub(super) fn lacks_a_secret(&self) -> bool {
        self.secrets.iter().any(|secret| match secret {
            SecretRef::File(path) => !path.exists(),
            SecretRef::Credential(name) => credential_path(name).is_ok_and(|path| !path.exists()),
            SecretRef::Held(_) => false,
        })
    }

    /// The stanza names this KEK as its holder, and is of a kind that one of its keys could have made.
    pub(super) fn has(&self, stanza: &Stanza) -> bool {
        self.is_named_by(stanza) && self.keys.iter().any(|key| key.could_have_made(stanza))
    }

    /// This is the stanza that it opened when it was asked last.
    pub(super) fn has_opened(&self, stanza: &Stanza) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answer == Answer::Opened && seen.stanza.as_ref() == Some(stanza)
    }

    /// It was opened by the key `index` of this KEK when it was asked last.
    pub(super) fn opened_by_key(&self, index: usize) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_old_key = index > 0;
    }

    /// What it opened last it opened by a key that wraps no more.
    pub(super) fn needs_its_old_key(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_old_key
    }

    /// Some stanza names this KEK as its holder.
    pub(super) fn is_named_by(&self, stanza: &Stanza) -> bool {
        let holder = stanza.holder.as_ref();
        holder.is_some_and(|Holder { kek, .. }| *kek == self.naming.name)
    }

    /// Asks it by `work`, and keeps what came of it.
    pub(super) fn asked<T>(
        &self,
        work: impl FnOnce() -> Result<(T, Option<Stanza>), Error>,
    ) -> Result<T, Error> {
        let begin = Instant::now();
        let result = work();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.latency = Some(begin.elapsed());
        seen.by_old_key = false;
        seen.at = Some(crate::os::unix_seconds());
        match result {
            Ok((value, stanza)) => {
                seen.answer = Answer::Opened;
                seen.stanza = stanza.or(seen.stanza.take());
                Ok(value)
            }
            Err(e) => {
                seen.answer = Answer::Failed {
                    kind: e.kind(),
                    message: e.to_string(),
                    withdrawn: e.is_withdrawn(),
                };
                Err(e)
            }
        }
    }

    /// What it answered last.
    pub(super) fn answer(&self) -> Answer {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.answer.clone()
    }

    /// What it answered last, as an error.
    pub(super) fn last_error(&self, why: String) -> Error {
        match self.answer() {
            Answer::Failed { kind, message, .. } => {
                Error::new(kind, "ask a KEK", why).hint(format!("It said: {message}"))
            }
            _ => Error::new(Kind::Internal, "ask a KEK", why),
        }
    }

    /// What is told of it, beside the stanzas of its file.
    pub(super) fn info(&self, stanzas: &[Stanza]) -> KekInfo {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let own = seen.stanza.as_ref().filter(|s| stanzas.contains(s));
        let own = own.or_else(|| stanzas.iter().rev().find(|s| self.has(s)));
        let unnamed = |s: &&Stanza| s.holder.is_none() && self.keys.iter().any(|k| k.is_mine(s));
        KekInfo {
            naming: self.naming.clone(),
            describe: self.describe(),
            wrapped: match own {
                Some(_) => Some(true),
                None if stanzas.iter().any(|s| unnamed(&s)) => None,
                None => Some(false),
            },
            mechanism: own.map(|s| s.mechanism.clone()).unwrap_or_default(),
            key_ref: own.map(|s| s.key_ref.clone()).unwrap_or_default(),
            share: own
                .and_then(|s| s.share())
                .map(|s| (s.number, s.shares, s.threshold)),
            answer: seen.answer.clone(),
            latency: seen.latency,
            at: seen.at,
            contact: self.keys.first().and_then(|k| k.contact()),
        }
    }
}
