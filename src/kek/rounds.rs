//! Opening: which KEKs are tried, in which order, how often and how long.
//!
//! Owns the rounds. Each KEK gets one attempt in each round, and a third of the time that is left at most, so that a dead
//! one does not starve the next; rounds go on until parts are there that give the DEK, until nothing more can be expected,
//! or until the deadline. What was refused is not tried again. It must never try a recovery KEK for a server, never take a
//! part for more than the configured threshold makes it, and never end at a KEK that gives something wrong.

use super::Budget;
use super::keks::{Keks, Used};
use super::member::Member;
use super::search::{Found, OP, Tried, no_stanza, open_dek, refused, search};
use super::share::{combine, split_of};
use crate::deadline::{Backoff, Deadline};
use crate::envelope::{FILE_ID, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Share, Stanza};
use crate::secret::{SecretBytes, SecretPool};

/// Says of a DEK whether it is the keyring's: the header's MAC fits.
pub type Proof<'a> = dyn Fn(&SecretBytes) -> bool + 'a;

/// A DEK, and what gave it.
pub struct Opened {
    /// The DEK. That of a list of KEKs has passed the proof; what a lone KEK gives, the caller holds against it.
    pub dek: SecretBytes,
    /// The KEKs that gave it: one, or as many as the threshold.
    pub used: Vec<Used>,
    /// What was wrong with others: full sentences.
    pub warnings: Vec<String>,
}

impl Keks {
    /// Finds the DEK. Of several KEKs one that gives something wrong is no reason not to ask the next.
    ///
    /// # Errors
    /// WrongKek: none fits. Tampered: the file asks for less than is configured, its shares don't belong together, or what
    /// they give is not proved. The KEKs' own errors; with several KEKs one that has them all.
    pub fn open(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanzas: &[Stanza],
        proof: &Proof<'_>,
        deadline: Deadline,
    ) -> Result<Opened> {
        open(self, pool, file_id, stanzas, proof, deadline)
    }
}

fn open(
    keks: &Keks,
    pool: &SecretPool,
    file_id: &[u8; FILE_ID],
    stanzas: &[Stanza],
    proof: &Proof<'_>,
    deadline: Deadline,
) -> Result<Opened> {
    let split = split_of(stanzas)?;
    if let (true, None, [member]) = (keks.is_lone(), &split, &keks.members[..]) {
        let found = member.asked(|| {
            let found = open_dek(pool, &member.keys, file_id, stanzas, deadline)?;
            let stanza = stanzas.get(found.stanza).cloned();
            Ok((found, stanza))
        })?;
        return Ok(Opened {
            used: vec![used(0, &found)],
            dek: found.dek,
            warnings: Vec::new(),
        });
    }
    check_threshold(keks, split.as_ref(), stanzas)?;
    Rounds {
        keks,
        pool,
        file_id,
        stanzas,
        split,
        proof,
        parts: Vec::new(),
        one_is_wrong: false,
        budget: Budget::new(deadline),
        deadline,
    }
    .run()
}

fn used(member: usize, found: &Found) -> Used {
    Used {
        member,
        key: found.kek,
        stanza: found.stanza,
    }
}

/// A file whose stanzas ask for fewer KEKs than the configuration is none that the configuration describes: whoever may
/// call one KEK's encrypt could have written it.
fn check_threshold(keks: &Keks, split: Option<&Share>, stanzas: &[Stanza]) -> Result<()> {
    let wanted = keks.threshold;
    let has = split.map_or(1, |share| share.threshold);
    let lower = |name: &str, has: u8| {
        let of = if name.is_empty() {
            String::new()
        } else {
            format!(" by the KEK '{name}'")
        };
        let why = format!(
            "the configuration demands {wanted} KEKs (threshold), its stanzas claim that {has} is enough{of}"
        );
        Err(Error::new(Kind::Tampered, OP, why).hint(
            "Somebody who may use one of the KEKs could have written it: restore the file from a backup. If threshold was \
             raised in the configuration, or a KEK's use or group changed, put it back, and bring the keyring under the new \
             configuration by keyring-ward rekey. Nothing was changed.",
        ))
    };
    if has < wanted {
        return lower("", has);
    }
    // One that stands for a KEK that is tried, and has the whole DEK instead of a share.
    let holds_all = |stanza: &&Stanza| {
        let tried = |m: &&Member| m.number.is_some() && (m.starts() || keks.recovering);
        let mut members = keks.members.iter().filter(tried);
        stanza.share().is_none() && members.any(|m| m.is_named_by(stanza))
    };
    match stanzas.iter().find(holds_all) {
        Some(Stanza {
            holder: Some(holder),
            ..
        }) if wanted > 1 => lower(&holder.kek, 1),
        _ => Ok(()),
    }
}

/// What an attempt gave.
enum Attempt {
    Part(Found),
    /// It need not be tried again.
    Refused(Error),
    /// It may be otherwise in a moment.
    MayPass(Error),
}

/// A share that was opened.
struct Given {
    number: u8,
    part: SecretBytes,
    used: Used,
}

struct Rounds<'a> {
    keks: &'a Keks,
    pool: &'a SecretPool,
    file_id: &'a [u8; FILE_ID],
    stanzas: &'a [Stanza],
    split: Option<Share>,
    proof: &'a Proof<'a>,
    parts: Vec<Given>,
    /// One of the parts must be, since enough of them don't give the DEK.
    one_is_wrong: bool,
    budget: Budget,
    deadline: Deadline,
}

impl Rounds<'_> {
    fn run(mut self) -> Result<Opened> {
        let mut waiting = order(self.keks);
        let mut errors: Vec<(usize, Error)> = Vec::new();
        let mut spares = Vec::new();
        let mut backoff = Backoff::new();
        loop {
            let mut again = Vec::new();
            for member in waiting {
                if self.deadline.passed() {
                    again.push(member);
                    continue;
                }
                if !self.one_is_wrong && self.is_spare(member) {
                    errors.retain(|(m, _)| *m != member);
                    spares.push(member);
                    continue;
                }
                let attempt = self.attempt(member);
                errors.retain(|(m, _)| *m != member);
                match attempt {
                    Attempt::Part(found) => {
                        if let Some((dek, used)) = self.take(member, found)? {
                            let warnings = self.warnings(&errors, &used);
                            return Ok(Opened {
                                dek,
                                used,
                                warnings,
                            });
                        }
                    }
                    Attempt::Refused(e) => errors.push((member, e)),
                    Attempt::MayPass(e) => {
                        errors.push((member, e));
                        again.push(member);
                    }
                }
            }
            // Enough are there, and don't give the DEK: what had been given already is asked for once more, from others.
            self.one_is_wrong = self.is_enough();
            if self.one_is_wrong && !spares.is_empty() {
                again.append(&mut spares);
            } else if again.is_empty() || !backoff.pause(&self.deadline) {
                return Err(self.none(errors));
            }
            if self.deadline.passed() {
                return Err(self.none(errors));
            }
            waiting = again;
        }
    }

    /// The stanzas that a KEK may be tried on: not those whose share is here already, unless one of the shares is wrong, nor
    /// what the threshold forbids.
    fn candidates(&self, member: &Member) -> Vec<(usize, &Stanza)> {
        let mut all = self.keks.candidates(member, self.stanzas);
        all.retain(|(_, stanza)| match stanza.share() {
            Some(share) => self.one_is_wrong || self.parts.iter().all(|p| p.number != share.number),
            // The whole DEK by one KEK alone: where a threshold is configured, only a KEK that is to hold no share has it.
            None => member.number.is_none(),
        });
        all
    }

    /// What this KEK could give is there already. KEKs of one group count once, whatever the file says of their shares: who
    /// may call the encrypt of one of them may often call that of all.
    fn is_spare(&self, index: usize) -> bool {
        let member = &self.keks.members[index];
        let of_group = |given: &Given| {
            let other = &self.keks.members[given.used.member];
            member.number.is_some() && other.number == member.number
        };
        let own = self.stanzas.iter().filter(|s| member.is_named_by(s));
        let mut numbers = own.filter_map(|s| Some(s.share()?.number));
        self.parts.iter().any(of_group)
            || numbers.any(|number| self.parts.iter().any(|p| p.number == number))
    }

    fn attempt(&mut self, index: usize) -> Attempt {
        let (keks, pool, file_id) = (self.keks, self.pool, self.file_id);
        let member = &keks.members[index];
        let mut budget = std::mem::replace(&mut self.budget, Budget::new(self.deadline));
        budget.ask_once_until(self.deadline.third());
        let own = self.candidates(member);
        let asked =
            member.asked(
                || match search(pool, &member.keys, file_id, &own, &mut budget)? {
                    Tried::Found(found) => {
                        let stanza = self.stanzas.get(found.stanza).cloned();
                        let whole = stanza.as_ref().is_some_and(|s| s.share().is_none());
                        if whole && !(self.proof)(&found.dek) {
                            return Err(unproved("what it gave is not this keyring's DEK"));
                        }
                        Ok((found, stanza))
                    }
                    Tried::Refused => Err(refused(&member.keys)),
                    Tried::NotMine => Err(no_stanza(&member.describe())),
                },
            );
        self.budget = budget;
        match asked {
            Ok(found) => Attempt::Part(found),
            Err(e) if may_pass(&e, keks, member) => Attempt::MayPass(e),
            Err(e) => Attempt::Refused(e),
        }
    }

    /// Takes a part; the DEK where that is enough. A whole one is proved.
    fn take(&mut self, member: usize, found: Found) -> Result<Option<(SecretBytes, Vec<Used>)>> {
        let used = used(member, &found);
        let part = found.dek;
        match self.stanzas[found.stanza].share().map(|share| share.number) {
            None => Ok(Some((part, vec![used]))),
            Some(number) => {
                self.parts.push(Given { number, part, used });
                self.combined()
            }
        }
    }

    /// The DEK by the newest share and as many of the others as are needed: one that is wrong may be among them.
    fn combined(&self) -> Result<Option<(SecretBytes, Vec<Used>)>> {
        let (Some(split), Some((newest, others))) = (&self.split, self.parts.split_last()) else {
            return Ok(None);
        };
        // At most 15 others (MAX_SHARES).
        let sets = (0u32..1 << others.len())
            .filter(|set| set.count_ones() + 1 == u32::from(split.threshold));
        for set in sets {
            let some: Vec<&Given> = (others.iter().enumerate())
                .filter_map(|(i, given)| (set >> i & 1 == 1).then_some(given))
                .chain([newest])
                .collect();
            if !self.are_apart(&some) {
                continue;
            }
            let shares: Vec<(u8, &SecretBytes)> = some
                .iter()
                .map(|given| (given.number, &given.part))
                .collect();
            let dek = combine(self.pool, &shares)?;
            if (self.proof)(&dek) {
                return Ok(Some((dek, some.iter().map(|given| given.used).collect())));
            }
            // Behind the first one only: shares that came at the last moment are as good as others.
            if self.deadline.passed() {
                break;
            }
        }
        Ok(None)
    }

    /// Each is another share, of another group.
    fn are_apart(&self, some: &[&Given]) -> bool {
        let group = |given: &Given| self.keks.members[given.used.member].number;
        let apart = |a: &Given, b: &Given| {
            a.number != b.number && (group(a).is_none() || group(a) != group(b))
        };
        (some.iter().enumerate()).all(|(i, a)| some[..i].iter().all(|b| apart(a, b)))
    }

    /// As many shares were given as are needed.
    fn is_enough(&self) -> bool {
        let needed = self
            .split
            .as_ref()
            .map(|split| usize::from(split.threshold));
        needed.is_some_and(|needed| self.parts.len() >= needed)
    }

    /// What was wrong with those that were tried before enough had answered, and what a start should tell of the stanzas.
    fn warnings(&self, errors: &[(usize, Error)], used: &[Used]) -> Vec<String> {
        let members = &self.keks.members;
        let mut all: Vec<String> = errors
            .iter()
            .map(|(member, e)| {
                let name = &members[*member].naming.name;
                format!("The KEK '{name}' did not open the keyring, others did: {e}")
            })
            .collect();
        let is_used = |given: &&Given| used.iter().any(|u| u.member == given.used.member);
        // Another of its group may have given the same.
        let is_right = |given: &&Given| {
            let mut right = self.parts.iter().filter(is_used);
            right.any(|r| r.number == given.number && equal(&r.part, &given.part))
        };
        all.extend(self.parts.iter().filter(|given| !is_right(given)).map(|given| {
            let name = &members[given.used.member].naming.name;
            format!("The KEK '{name}' gave a share that is wrong. See that it is whole, and bring it under a new stanza by keyring-ward rekey.")
        }));
        let has = self.split.map_or(1, |split| split.threshold);
        if has > self.keks.threshold {
            all.push(format!(
                "The keyring needs {has} KEKs, the configuration says {} (threshold). Correct it, or bring the keyring under it \
                 by keyring-ward rekey.",
                self.keks.threshold
            ));
        }
        for holder in self.stanzas.iter().filter_map(|s| s.holder.as_ref()) {
            if self.keks.listed && members.iter().all(|m| m.naming.name != holder.kek) {
                all.push(format!(
                    "The keyring can also be opened by the KEK '{0}', which the configuration does not name. keyring-ward kek \
                     remove {0} ends that.",
                    holder.kek
                ));
            }
        }
        all.dedup();
        all
    }

    /// Why the keyring could not be opened: what was wrong with each KEK.
    fn none(&self, errors: Vec<(usize, Error)>) -> Error {
        let name = |member: usize| self.keks.members[member].naming.name.as_str();
        let kinds: Vec<String> = (errors.iter())
            .map(|(m, e)| format!("{}: {}", name(*m), e.kind().name()))
            .collect();
        let kinds = match kinds.is_empty() {
            true if !self.parts.is_empty() => "no other KEK is configured".into(),
            true => "none could be tried".into(),
            false => kinds.join(", "),
        };
        let why = match &self.split {
            Some(_) if self.is_enough() => {
                format!("the shares that were opened don't give this keyring's DEK ({kinds})")
            }
            Some(split) => format!(
                "{} of the {} shares that are needed were opened ({kinds})",
                self.parts.len(),
                split.threshold
            ),
            None => format!("none of the KEKs that were tried opened it ({kinds})"),
        };
        let each: Vec<String> = (errors.iter())
            .map(|(m, e)| format!("{}: {e}", name(*m)))
            .collect();
        let kind = errors
            .iter()
            .map(|(_, e)| e.kind())
            .min_by_key(|k| rank(*k));
        let unasked = match self.parts.is_empty() {
            true => Kind::Timeout,
            false => Kind::WrongKek,
        };
        if self.is_enough() {
            return unproved(why).hint(format!("{UNPROVED} {}", each.join(" | ")).trim_end());
        }
        let hint = format!("{} Nothing was changed.", each.join(" | "));
        Error::new(kind.unwrap_or(unasked), OP, why).hint(hint.trim_start())
    }
}

const UNPROVED: &str = "The header was changed, or a KEK gives something wrong: restore the file from a backup, or look into that KEK.";

/// What was opened is something else.
fn unproved(why: impl Into<String>) -> Error {
    Error::new(Kind::Tampered, OP, why.into()).hint(UNPROVED)
}

/// Which of several KEKs' kinds the whole gets: what may pass before what somebody has to mend, a wrong KEK last.
fn rank(kind: Kind) -> usize {
    const ORDER: [Kind; 8] = [
        Kind::Unreachable,
        Kind::Timeout,
        Kind::NotFound,
        Kind::Denied,
        Kind::Config,
        Kind::Permission,
        Kind::InvalidInput,
        Kind::Tampered,
    ];
    let last = match kind {
        Kind::WrongKek => ORDER.len() + 1,
        _ => ORDER.len(),
    };
    ORDER.iter().position(|k| *k == kind).unwrap_or(last)
}

/// The KEKs that are tried: those of the keyring's region first, then as they are configured. Where a recovery is meant,
/// the recovery KEKs before all.
fn order(keks: &Keks) -> Vec<usize> {
    let members = keks.members.iter().enumerate();
    let tried = members.filter(|(_, m)| m.starts() || keks.recovering || keks.is_lone());
    let mut order: Vec<(bool, bool, usize)> = tried
        .map(|(i, m)| {
            let elsewhere = keks.region.is_none() || m.naming.region != keks.region;
            (m.starts(), elsewhere, i)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, i)| i).collect()
}

/// The trouble may be over in a moment.
fn may_pass(e: &Error, keks: &Keks, member: &Member) -> bool {
    match e.kind() {
        Kind::Unreachable | Kind::Timeout => true,
        Kind::NotFound => keks.patient && member.lacks_a_secret(),
        _ => false,
    }
}
