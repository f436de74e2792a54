//! The KEKs of one keyring: which there are, and who holds which part of its DEK.
//!
//! Owns the list and what is told of it; `wrapping` wraps, `rounds` opens. It must never hold a part of a DEK.

use super::member::{KekInfo, Member, Use};
use super::randomness::Random;
use super::{Contact, Kek};
use crate::error::Error;
use crate::format::stanza::Stanza;

/// A KEK that gave a part of a DEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The index of the KEK.
    pub member: usize,
    /// The index of the key among the KEK's.
    pub key: usize,
    /// The index of the stanza.
    pub stanza: usize,
}

/// The KEKs of one keyring.
pub struct Keks {
    pub(super) members: Vec<Member>,
    /// How many shares open it; 1: each KEK has the whole DEK.
    pub(super) threshold: u8,
    /// The keyring's region: KEKs in it are tried first.
    pub(super) region: Option<String>,
    /// They stand in a list, so stanzas name their holders.
    pub(super) listed: bool,
    /// Recovery KEKs are tried, too.
    pub(super) recovering: bool,
    /// A secret that is not there yet may come: the server is starting.
    pub(super) patient: bool,
    /// How many shares there are.
    pub(super) shares: u8,
    /// Where new DEKs come from beside the system.
    pub(super) random: Random,
}

impl Keks {
    /// The only KEK: the first of `keys` wraps, any opens.
    pub fn lone(keys: Vec<Box<dyn Kek>>) -> Keks {
        Keks::of_member(Member::new(Default::default(), keys, Vec::new()))
    }

    /// The same with all that is known of it.
    pub fn of_member(member: Member) -> Keks {
        Keks {
            members: vec![member],
            threshold: 1,
            region: None,
            listed: false,
            recovering: false,
            patient: false,
            shares: 0,
            random: Random::default(),
        }
    }

    /// Several KEKs, of which `threshold` open the keyring. KEKs of one group hold the same share; groups are numbered as
    /// they come.
    pub fn several(mut members: Vec<Member>, threshold: u8, region: Option<String>) -> Keks {
        let mut shares = 0;
        let mut groups: Vec<(String, u8)> = Vec::new();
        for member in members.iter_mut().filter(|_| threshold > 1) {
            let group = member.naming.group.clone();
            let known = groups.iter().find(|(g, _)| Some(g) == group.as_ref());
            member.number = match (known, &member.naming.usage) {
                (Some((_, number)), _) => Some(*number),
                // It holds the whole DEK.
                (None, Use::Recovery) if group.is_none() => None,
                (None, _) => {
                    shares += 1;
                    groups.extend(group.map(|g| (g, shares)));
                    Some(shares)
                }
            };
        }
        Keks {
            members,
            threshold,
            region,
            listed: true,
            recovering: false,
            patient: false,
            shares,
            random: Random::default(),
        }
    }

    /// Recovery KEKs are tried, too.
    pub fn recovering(self, recovering: bool) -> Keks {
        Keks { recovering, ..self }
    }

    /// A secret of this machine that is missing may come until the deadline.
    pub fn patient(self, patient: bool) -> Keks {
        Keks { patient, ..self }
    }

    /// There is one, without a list.
    pub(super) fn is_lone(&self) -> bool {
        !self.listed
    }

    /// The key that is asked for what only one KEK can say.
    pub fn first(&self) -> Option<&dyn Kek> {
        self.members.first()?.keys.first().map(|kek| &**kek)
    }

    /// The stanzas that a KEK is tried on: those that name it, and those that name no KEK that is configured.
    pub(super) fn candidates<'a>(
        &self,
        member: &Member,
        stanzas: &'a [Stanza],
    ) -> Vec<(usize, &'a Stanza)> {
        let of_another = |stanza: &Stanza| {
            let others = self.members.iter().filter(|m| !std::ptr::eq(*m, member));
            self.listed && others.into_iter().any(|m| m.is_named_by(stanza))
        };
        let all = stanzas.iter().enumerate();
        let mut own: Vec<_> = all.filter(|(_, s)| !of_another(s)).collect();
        own.sort_by_key(|(_, s)| !member.is_named_by(s));
        own
    }

    /// What is told of each.
    pub fn info(&self, stanzas: &[Stanza]) -> Vec<KekInfo> {
        self.members.iter().map(|m| m.info(stanzas)).collect()
    }

    /// They stand in a list.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    /// How many KEKs open the keyring.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Who opened the keyring, or would make it, for people.
    pub fn describe(&self, used: &[Used]) -> String {
        let shown = |used: &Used| {
            let member = &self.members[used.member];
            let key = member.keys.get(used.key).map(|k| k.describe());
            let key = key.unwrap_or_default();
            match self.is_lone() {
                true => key,
                false => format!("KEK '{}', {key}", member.naming.name),
            }
        };
        match used {
            [] if self.is_lone() => self
                .members
                .first()
                .map(Member::describe)
                .unwrap_or_default(),
            [] => {
                let names = self.members.iter().map(|m| m.naming.name.as_str());
                format!("KEKs {}", names.collect::<Vec<_>>().join(", "))
            }
            used => used.iter().map(shown).collect::<Vec<_>>().join(" and the "),
        }
    }

    /// The last contact to the KEK that opened the keyring, or would make it, where it is not on this machine.
    pub fn contact(&self, used: &[Used]) -> Option<Contact> {
        let (member, key) = used.first().map_or((0, 0), |used| (used.member, used.key));
        self.members.get(member)?.keys.get(key)?.contact()
    }

    /// Sentences for the log that came up since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        let keys = self.members.iter().flat_map(|m| &m.keys);
        keys.flat_map(|key| key.take_warnings()).collect()
    }

    /// Names the KEK in an error of one of several.
    pub(super) fn of_member_error(&self, member: &Member, e: Error) -> Error {
        match self.is_lone() {
            true => e,
            false => e.context(format_args!("the KEK '{}'", member.naming.name)),
        }
    }
}
