//! Asking every KEK of a keyring, and wrapping for those that have no valid stanza.
//!
//! Owns what became of each KEK in a test or a sync. It must never drop a stanza, unless a split DEK is split anew.

use super::Budget;
use super::keks::Keks;
use super::member::{Answer, Member};
use super::search::{Tried, another_dek, no_stanza, refused, search};
use super::share::split_of;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};

const WRAP: &str = "wrap the DEK";

/// What became of one KEK in a sync.
#[derive(Debug)]
pub enum SyncOutcome {
    /// It had a valid stanza.
    Valid,
    /// The DEK was wrapped for it now.
    Wrapped,
    /// It has a stanza; whether that is valid nobody can tell here: its secret is kept elsewhere, or it was not asked.
    Untested,
    /// It could not be asked, or not wrap.
    Failed(Error),
}

/// A KEK, and what became of it in a sync.
#[derive(Debug)]
pub struct Synced {
    /// The KEK's name.
    pub name: String,
    /// What became of it.
    pub outcome: SyncOutcome,
}

impl Keks {
    /// Asks every KEK to open its stanza, each until the deadline that `until` gives when it comes to it, and keeps what came
    /// of it for [`Keks::info`]. `dek`: what whole parts must be; whether a share is right shows only together with others.
    pub fn test(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanzas: &[Stanza],
        dek: &SecretBytes,
        until: &dyn Fn() -> Deadline,
    ) {
        let tried = |m: &&Member| m.starts() || self.recovering;
        for member in self.members.iter().filter(tried) {
            let deadline = until();
            let mut budget = Budget::new(deadline);
            budget.ask_once_until(deadline);
            let own = self.candidates(member, stanzas);
            // What came of it is kept with the KEK.
            let opened = member.asked(|| {
                let found = match search(pool, &member.keys, file_id, &own, &mut budget)? {
                    Tried::Found(found) => found,
                    Tried::Refused => return Err(refused(&member.keys)),
                    Tried::NotMine => return Err(no_stanza(&member.describe())),
                };
                let stanza = &stanzas[found.stanza];
                if stanza.share().is_none() && !equal(&found.dek, dek) {
                    return Err(another_dek(&member.describe()));
                }
                Ok((found.kek, Some(stanza.clone())))
            });
            if let Ok(key) = opened {
                member.opened_by_key(key);
            }
        }
    }

    /// Wraps for every KEK that has no valid stanza among `old`, as [`Keks::test`] has found before: all stanzas then, and
    /// what became of each KEK. A split DEK is split anew by all KEKs where one of them has no share.
    ///
    /// # Errors
    /// Config: it must be split anew, and a share is there for a KEK that is not configured. Those of wrapping it anew.
    pub fn complete(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        old: &[Stanza],
        dek: &SecretBytes,
        deadline: Deadline,
    ) -> Result<(Vec<Stanza>, Vec<Synced>)> {
        self.check_same_threshold(old)?;
        let states: Vec<State> = self.members.iter().map(|m| self.state(m, old)).collect();
        let mut each = self.members.iter().zip(&states);
        if each.any(|(m, s)| m.number.is_some() && matches!(s, State::Lacks)) {
            self.check_all_configured(old)?;
            let mut made = self.wrap(pool, file_id, dek, deadline)?;
            // The whole DEK by a KEK that is not configured: it is the same DEK, so it opens as before.
            let configured = |s: &Stanza| self.members.iter().any(|m| m.is_named_by(s));
            let whole = old.iter().filter(|s| s.share().is_none());
            made.extend(whole.filter(|s| !configured(s)).cloned());
            let wrapped = |m: &Member| synced_as(m, SyncOutcome::Wrapped);
            return Ok((made, self.members.iter().map(wrapped).collect()));
        }
        let mut made = old.to_vec();
        let mut synced = Vec::new();
        for (i, state) in states.into_iter().enumerate() {
            let outcome = match state {
                State::Valid => SyncOutcome::Valid,
                State::Untested => SyncOutcome::Untested,
                State::Away(e) => SyncOutcome::Failed(e),
                State::Lacks => match self.wrap_for(i, pool, file_id, dek, deadline.third()) {
                    Ok(stanza) => {
                        made.push(stanza);
                        SyncOutcome::Wrapped
                    }
                    Err(e) => SyncOutcome::Failed(e),
                },
            };
            synced.push(synced_as(&self.members[i], outcome));
        }
        Ok((made, synced))
    }

    /// What is known of a KEK's stanza.
    fn state(&self, member: &Member, old: &[Stanza]) -> State {
        let named = (old.iter())
            .any(|stanza| member.has(stanza) && self.holds_its_part(member, stanza, old));
        match member.answer() {
            // Its new key has none.
            Answer::Opened if member.needs_its_old_key() => State::Lacks,
            Answer::Opened if named || self.opened_the_whole(member, old) => State::Valid,
            Answer::NotAsked if named => State::Untested,
            Answer::Failed { kind, .. } if kind != Kind::WrongKek => {
                let why = format!("the KEK '{}' could not be asked", member.naming.name);
                State::Away(member.last_error(why))
            }
            Answer::Opened | Answer::NotAsked | Answer::Failed { .. } => State::Lacks,
        }
    }

    /// It is to hold the whole DEK, and has opened it by a stanza that is nobody else's: one under a name that nobody has now
    /// would become that of the next KEK of this name.
    fn opened_the_whole(&self, member: &Member, old: &[Stanza]) -> bool {
        let opened = old.iter().filter(|s| member.has_opened(s));
        let mut nameless = opened.filter(|s| s.holder.is_none());
        member.number.is_none() && (!self.listed || nameless.next().is_some())
    }

    /// The part that the stanza wraps is one that this KEK is to hold. Which number a share has is of no account, but KEKs of
    /// one group have the same, and others have others.
    fn holds_its_part(&self, member: &Member, stanza: &Stanza, old: &[Stanza]) -> bool {
        let (Some(share), Some(number)) = (stanza.share(), member.number) else {
            return stanza.share().is_none() && member.number.is_none();
        };
        let fits_beside = |other: &Member| {
            let shares = old.iter().filter(|s| other.is_named_by(s));
            let same_group = other.number == Some(number);
            shares
                .filter_map(Stanza::share)
                .all(|s| (s.number == share.number) == same_group)
        };
        (share.threshold, share.shares) == (self.threshold, self.shares)
            && self.members.iter().all(fits_beside)
    }

    /// A sync changes no threshold.
    fn check_same_threshold(&self, old: &[Stanza]) -> Result<()> {
        let has = split_of(old)?.map_or(1, |share| share.threshold);
        if has == self.threshold {
            return Ok(());
        }
        let why = format!(
            "the keyring needs {has} KEKs, the configuration says {} (threshold)",
            self.threshold
        );
        Err(Error::new(Kind::Config, WRAP, why).hint(
            "keyring-ward rekey brings the keyring under another threshold. Nothing was changed.",
        ))
    }

    fn check_all_configured(&self, old: &[Stanza]) -> Result<()> {
        // One that a KEK has opened is that KEK's under an old name.
        let is_of = |m: &Member, s: &Stanza| m.is_named_by(s) || m.has_opened(s);
        let others = (old.iter()).filter(|s| !self.members.iter().any(|m| is_of(m, s)));
        for holder in others.filter_map(|s| s.holder.as_ref()) {
            if holder.share.is_some() {
                let why = format!(
                    "the DEK must be split anew, and the KEK '{}', which the configuration does not name, has a share of it",
                    holder.kek
                );
                return Err(Error::new(Kind::Config, WRAP, why).hint(
                    "Put it back into the configuration, or take it out of the keyring: keyring-ward kek remove. Nothing was changed.",
                ));
            }
        }
        Ok(())
    }
}

fn synced_as(member: &Member, outcome: SyncOutcome) -> Synced {
    Synced {
        name: member.naming.name.clone(),
        outcome,
    }
}

/// What is known of a KEK's stanza before a sync.
enum State {
    Valid,
    Untested,
    Lacks,
    Away(Error),
}
