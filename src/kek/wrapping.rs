//! Wrapping a DEK by all KEKs of a keyring, and proving them.
//!
//! Owns the rule that wrapping is strict: all KEKs, or nothing. Each new stanza is unwrapped once before anything depends
//! on it, unless its secret is kept elsewhere. It must never hold a part of a DEK beyond a call.

use super::Budget;
use super::keks::Keks;
use super::member::Member;
use super::search::{Tried, refused, search};
use super::share::split;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Holder, MAX_SHARES, Part, SPLIT_ID, Share, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random};

const WRAP: &str = "wrap the DEK";

impl Keks {
    /// Wraps a DEK by all KEKs, until `deadline`.
    ///
    /// # Errors
    /// One of them can't: then nothing is to be written. Internal: what was wrapped unwraps to something else.
    pub fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        dek: &SecretBytes,
        deadline: Deadline,
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
            stanzas.push(self.wrap_part(pool, i, file_id, part, share, deadline)?);
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
        deadline: Deadline,
    ) -> Result<Stanza> {
        self.wrap_part(pool, member, file_id, dek, None, deadline)
    }

    fn wrap_part(
        &self,
        pool: &SecretPool,
        member: usize,
        file_id: &[u8; FILE_ID],
        part: &SecretBytes,
        share: Option<Share>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        let member = &self.members[member];
        let holder = self.listed.then(|| Holder {
            kek: member.naming.name.clone(),
            share,
        });
        let made = member.asked(|| {
            let stanza = wrap_and_prove(pool, member, file_id, part, holder.as_ref(), deadline)?;
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
}

/// Wraps a part by the first key of a KEK, and proves what was made.
fn wrap_and_prove(
    pool: &SecretPool,
    member: &Member,
    file_id: &[u8; FILE_ID],
    part: &SecretBytes,
    holder: Option<&Holder>,
    deadline: Deadline,
) -> Result<Stanza> {
    let wrong = |why: &str| Err(Error::new(Kind::Internal, WRAP, why));
    let Some(key) = member.keys.first() else {
        return wrong("a KEK has no key");
    };
    let whole = Part::whole(part);
    let part_of = holder.map(|holder| Part::of(holder, part));
    let what = part_of.as_ref().unwrap_or(&whole);
    let stanza = key.wrap(pool, file_id, what, deadline)?;
    if stanza.holder.as_ref() != holder {
        return wrong("a provider has left out whose part it wraps");
    }
    if !key.opens_here() {
        return Ok(stanza);
    }
    let mut budget = Budget::new(deadline);
    let only = [(0, &stanza)];
    // All keys, as an opening would try them.
    match search(pool, &member.keys, file_id, &only, &mut budget)? {
        Tried::Found(found) if equal(&found.dek, part) => Ok(stanza),
        Tried::Found(_) => wrong("the wrapped DEK unwraps to another one"),
        Tried::Refused | Tried::NotMine => Err(refused(&member.keys)),
    }
}
