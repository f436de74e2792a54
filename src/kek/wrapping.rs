//! Wrapping a DEK by all KEKs of a keyring, and proving them.
//!
//! Owns the rule that wrapping is strict: all KEKs, or nothing. Each new stanza is unwrapped once before anything depends
//! on it, unless its secret is kept elsewhere. It must never hold a part of a DEK beyond a call.

use super::Budget;
use super::keks::Keks;
use super::member::{Answer, Member};
use super::search::{Tried, another_dek, no_stanza, refused, search};
use super::share::{split, split_of};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Holder, MAX_SHARES, Part, SPLIT_ID, Share, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random};
use std::time::Duration;

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
    /// Wraps a DEK by all KEKs. Each may take `patience`.
    ///
    /// # Errors
    /// One of them can't: then nothing is to be written. Internal: what was wrapped unwraps to something else.
    pub fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        dek: &SecretBytes,
        patience: Duration,
    ) -> Result<Vec<Stanza>> {
        if self.members.is_empty() {
            return Err(Error::new(Kind::Config, WRAP, "no KEK is configured"));
        }
        let mut parts = Vec::new();
        let mut id = [0; SPLIT_ID];
        if self.threshold > 1 {
            if self.shares > MAX_SHARES || self.threshold > self.shares {
                let why = "there are fewer shares than are needed";
                return Err(Error::new(Kind::Internal, WRAP, why));
            }
            fill_random(&mut id)?;
            parts = split(pool, dek, self.threshold, self.shares)?;
        }
        let mut stanzas = Vec::with_capacity(self.members.len());
        for (i, member) in self.members.iter().enumerate() {
            let number = member.number;
            let part = match number {
                Some(number) => &parts[usize::from(number) - 1],
                None => dek,
            };
            let share = number.map(|number| Share {
                split: id,
                threshold: self.threshold,
                shares: self.shares,
                number,
            });
            stanzas.push(self.wrap_part(pool, i, file_id, part, share, patience)?);
        }
        Ok(stanzas)
    }

    /// Wraps the whole DEK by one KEK.
    ///
    /// # Errors
    /// As [`Keks::wrap`].
    pub fn wrap_for(
        &self,
        member: usize,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        dek: &SecretBytes,
        patience: Duration,
    ) -> Result<Stanza> {
        self.wrap_part(pool, member, file_id, dek, None, patience)
    }

    fn wrap_part(
        &self,
        pool: &SecretPool,
        member: usize,
        file_id: &[u8; FILE_ID],
        part: &SecretBytes,
        share: Option<Share>,
        patience: Duration,
    ) -> Result<Stanza> {
        let member = &self.members[member];
        let holder = self.listed.then(|| Holder {
            kek: member.naming.name.clone(),
            share,
        });
        let made = member.asked(|| {
            let stanza = wrap_and_prove(pool, member, file_id, part, holder.as_ref(), patience)?;
            Ok((stanza.clone(), Some(stanza)))
        });
        made.map_err(|e| self.of_member_error(member, e))
    }

    /// Asks all KEKs that may open whether they are there.
    ///
    /// # Errors
    /// The only KEK is not; none of several is, and this is the first one's.
    pub fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        let mut first = None;
        let mut any = false;
        for member in self.members.iter().filter(|m| m.starts() || self.is_lone()) {
            let share = match self.is_lone() {
                true => deadline,
                false => deadline.third(),
            };
            let mut keys = member.keys.iter().take(1);
            let probed = member.asked(|| {
                keys.try_for_each(|key| key.probe(pool, share))?;
                Ok(((), None))
            });
            match probed {
                Ok(()) => any = true,
                Err(e) => first = first.or(Some(self.of_member_error(member, e))),
            }
        }
        match first {
            Some(e) if !any => Err(e),
            _ => Ok(()),
        }
    }

    /// Asks every KEK to open its stanza, each for `patience` at the longest, and keeps what came of it for
    /// [`Keks::info`]. `dek`: what whole parts must be.
    pub fn test(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanzas: &[Stanza],
        dek: &SecretBytes,
        patience: Duration,
    ) {
        let tried = |m: &&Member| m.starts() || self.recovering;
        for member in self.members.iter().filter(tried) {
            let mut budget = Budget::new(Deadline::after(patience));
            budget.ask_once_until(Deadline::after(patience));
            let own = self.candidates(member, stanzas);
            // What came of it is kept with the KEK.
            let _ = member.asked(|| {
                let found = match search(pool, &member.keys, file_id, &own, &mut budget)? {
                    Tried::Found(found) => found,
                    Tried::Refused => return Err(refused(&member.keys)),
                    Tried::NotMine => return Err(no_stanza(&member.describe())),
                };
                let stanza = &stanzas[found.stanza];
                if stanza.share().is_none() && !equal(&found.dek, dek) {
                    return Err(another_dek(&member.describe()));
                }
                Ok(((), Some(stanza.clone())))
            });
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
        patience: Duration,
    ) -> Result<(Vec<Stanza>, Vec<Synced>)> {
        self.check_same_threshold(old)?;
        let states: Vec<State> = self.members.iter().map(|m| self.state(m, old)).collect();
        let lacks = states.iter().any(|s| matches!(s, State::Lacks));
        if self.threshold > 1 && lacks {
            self.check_all_configured(old)?;
            let made = self.wrap(pool, file_id, dek, patience)?;
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
                State::Lacks => match self.wrap_for(i, pool, file_id, dek, patience) {
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
        let named = old.iter().any(|stanza| {
            let fits = match stanza.share() {
                Some(share) => {
                    let numbers = (share.number, share.threshold, share.shares);
                    member.number.map(|n| (n, self.threshold, self.shares)) == Some(numbers)
                }
                None => member.number.is_none(),
            };
            fits && member.is_named_by(stanza)
        });
        match member.answer() {
            Answer::Opened if named || member.number.is_none() => State::Valid,
            Answer::NotAsked if named => State::Untested,
            Answer::Failed { kind, .. } if kind != Kind::WrongKek => {
                let why = format!("the KEK '{}' could not be asked", member.naming.name);
                State::Away(member.last_error(why))
            }
            Answer::Opened | Answer::NotAsked | Answer::Failed { .. } => State::Lacks,
        }
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
        let others = old
            .iter()
            .filter(|s| !self.members.iter().any(|m| m.is_named_by(s)));
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

/// Wraps a part by the first key of a KEK, and proves what was made.
fn wrap_and_prove(
    pool: &SecretPool,
    member: &Member,
    file_id: &[u8; FILE_ID],
    part: &SecretBytes,
    holder: Option<&Holder>,
    patience: Duration,
) -> Result<Stanza> {
    let wrong = |why: &str| Err(Error::new(Kind::Internal, WRAP, why));
    let Some(key) = member.keys.first() else {
        return wrong("a KEK has no key");
    };
    let whole = Part::whole(part);
    let part_of = holder.map(|holder| Part::of(holder, part));
    let what = part_of.as_ref().unwrap_or(&whole);
    let stanza = key.wrap(pool, file_id, what, Deadline::after(patience))?;
    if stanza.holder.as_ref() != holder {
        return wrong("a provider has left out whose part it wraps");
    }
    if !key.opens_here() {
        return Ok(stanza);
    }
    let mut budget = Budget::new(Deadline::after(patience));
    let only = [(0, &stanza)];
    // All keys, as an opening would try them.
    match search(pool, &member.keys, file_id, &only, &mut budget)? {
        Tried::Found(found) if equal(&found.dek, part) => Ok(stanza),
        Tried::Found(_) => wrong("the wrapped DEK unwraps to another one"),
        Tried::Refused | Tried::NotMine => Err(refused(&member.keys)),
    }
}
