//! The KEKs of a configuration: one by the short form, or a list of them by their names.
//!
//! Owns the types, and what holds of every list; `read_keks` reads one. It must never take fewer KEKs for enough than were
//! written down.

use super::OP;
use crate::error::{Error, Kind, Result};
use crate::kek::file::LocalConfig;
use crate::kek::member::{Member, Naming, Use};
use crate::kek::randomness::Random;
use crate::kek::{KekConfig, Keks};
use crate::secret_source::SecretRef;
use crate::text::shorten;
use std::ops::{Deref, DerefMut};

/// Most KEKs of one keyring.
pub const MAX_KEKS: usize = 16;
/// What a KEK of the list says of itself, beside its provider's options.
pub const OWN: [&str; 5] = ["name", "provider", "region", "group", "use"];

/// A KEK of the list as it was written: nothing of it is checked but its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawKek {
    /// Its name.
    pub name: String,
    /// Members and their values, each once: those of [`OWN`] but the name, and its provider's without prefix.
    pub values: Vec<(String, String)>,
    /// Where it stands, for messages.
    pub origin: String,
}

impl RawKek {
    /// A value that is there and not empty.
    pub fn given(&self, member: &str) -> Option<&str> {
        let found = self.values.iter().find(|(name, _)| name == member);
        found
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Puts a value in the place of what is there.
    pub fn set(&mut self, member: &str, value: String) {
        self.values.retain(|(name, _)| name != member);
        self.values.push((member.into(), value));
    }
}

/// A configured KEK: its name and place, and its keys, of which the first wraps and any opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKek {
    /// Its name and place.
    pub naming: Naming,
    /// Its keys, at least one.
    pub(super) keys: Vec<KekConfig>,
}

impl NamedKek {
    /// Its keys.
    pub fn keys(&self) -> &[KekConfig] {
        &self.keys
    }

    /// The KEK itself. Nothing is read or reached yet.
    pub fn member(&self) -> Member {
        let keys = self.keys.iter().map(|key| key.kek()).collect();
        let secrets = self.keys.iter().flat_map(|key| key.secrets());
        Member::new(self.naming.clone(), keys, secrets.cloned().collect())
    }
}

impl Deref for NamedKek {
    type Target = KekConfig;
    fn deref(&self) -> &KekConfig {
        &self.keys[0]
    }
}

impl DerefMut for NamedKek {
    fn deref_mut(&mut self) -> &mut KekConfig {
        &mut self.keys[0]
    }
}

/// The KEKs of one keyring, as they are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekList {
    pub(super) list: Vec<NamedKek>,
    /// How many of them open the keyring: 1, or the threshold of shares.
    pub threshold: u8,
    /// The keyring's own region: KEKs in it are tried first.
    pub region: Option<String>,
    /// They stand in a list, and not in the short form of one.
    pub listed: bool,
    /// KEKs for recovery are tried as well: the tool was told so.
    pub recovering: bool,
    /// Where new DEKs and keys come from beside the system.
    pub random: Random,
}

impl Deref for KekList {
    type Target = [NamedKek];
    fn deref(&self) -> &[NamedKek] {
        &self.list
    }
}

impl DerefMut for KekList {
    fn deref_mut(&mut self) -> &mut [NamedKek] {
        &mut self.list
    }
}

/// The short form: one KEK, of which the first key wraps and any opens.
impl From<Vec<KekConfig>> for KekList {
    fn from(keys: Vec<KekConfig>) -> KekList {
        let provider = keys.first().map_or("", |key| key.driver().name);
        let naming = Naming {
            name: provider.into(),
            provider,
            ..Naming::default()
        };
        let list = match keys.is_empty() {
            true => Vec::new(),
            false => vec![NamedKek { naming, keys }],
        };
        KekList {
            list,
            threshold: 1,
            region: None,
            listed: false,
            recovering: false,
            random: Random::default(),
        }
    }
}

impl From<KekConfig> for KekList {
    fn from(key: KekConfig) -> KekList {
        vec![key].into()
    }
}

impl From<LocalConfig> for KekList {
    fn from(key: LocalConfig) -> KekList {
        KekConfig::from(key).into()
    }
}

impl KekList {
    /// The KEKs. Nothing is read or reached yet. `patient`: a secret that is not there yet may come.
    pub fn keks(&self, patient: bool) -> Keks {
        let mut members: Vec<Member> = self.list.iter().map(NamedKek::member).collect();
        let keks = match (self.listed, members.len()) {
            (false, 1) => Keks::of_member(members.remove(0)),
            (false, _) => Keks::lone(Vec::new()),
            (true, _) => Keks::several(members, self.threshold, self.region.clone()),
        };
        keks.recovering(self.recovering)
            .patient(patient)
            .with_random(self.random)
    }

    /// All keys of all KEKs.
    pub fn all_keys(&self) -> impl Iterator<Item = &KekConfig> {
        self.list.iter().flat_map(|kek| &kek.keys)
    }

    /// Those that are tried when the keyring is opened.
    pub fn tried(&self) -> impl Iterator<Item = &NamedKek> {
        let tried = |kek: &&NamedKek| self.recovering || kek.naming.usage == Use::Start;
        self.list.iter().filter(tried)
    }

    /// Every secret on this machine that opening reads.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let keys = self.tried().flat_map(|kek| &kek.keys);
        keys.flat_map(|key| key.secrets()).collect()
    }

    /// What is worth a word of a list that is as it may be: full sentences.
    pub fn remarks(&self) -> Vec<String> {
        let mut all = Vec::new();
        for kek in self.list.iter().filter(|_| self.threshold > 1) {
            if kek.naming.usage == Use::Recovery && kek.naming.group.is_none() {
                all.push(format!(
                    "The recovery KEK '{}' holds the whole DEK: alone it opens what takes {} of the others (threshold). Give it \
                     a group if it shall hold a share.",
                    kek.naming.name, self.threshold
                ));
            }
        }
        for (i, kek) in self.list.iter().enumerate() {
            let same = |other: &&NamedKek| other.keys[0] == kek.keys[0];
            let twin = self.list[..i].iter().find(same);
            if let Some(twin) = twin {
                all.push(format!(
                    "The KEKs '{}' and '{}' are the same: who loses one loses both.",
                    twin.naming.name, kek.naming.name
                ));
            }
        }
        all
    }

    /// The list without a KEK.
    ///
    /// # Errors
    /// NotFound: it has none of that name. Config: what is left is no list that can be.
    pub fn without(&self, name: &str) -> Result<KekList> {
        let mut left = self.clone();
        left.list.retain(|kek| kek.naming.name != name);
        if left.list.len() == self.list.len() {
            let why = format!("the configuration names no KEK '{}'", shorten(name));
            return Err(Error::new(Kind::NotFound, "take a KEK out", why)
                .hint("keyring-ward kek list shows their names."));
        }
        check_list(&left, "the KEKs that are left")?;
        Ok(left)
    }

    /// These KEKs alone, those for recovery too: to see what they open by themselves.
    ///
    /// # Errors
    /// NotFound: it has none of one of these names.
    pub fn only(&self, names: &[String]) -> Result<KekList> {
        let unknown = names.iter().find(|name| self.find(name).is_none());
        if let Some(name) = unknown {
            let why = format!("the configuration names no KEK '{}'", shorten(name));
            return Err(Error::new(Kind::NotFound, "take some KEKs alone", why)
                .hint("keyring-ward kek list shows their names."));
        }
        let mut alone = self.clone();
        alone.list.retain(|kek| names.contains(&kek.naming.name));
        alone.recovering = true;
        Ok(alone)
    }

    /// The KEK of this name, and its place.
    pub fn find(&self, name: &str) -> Option<(usize, &NamedKek)> {
        let all = self.list.iter().enumerate();
        all.into_iter().find(|(_, kek)| kek.naming.name == name)
    }
}

pub(super) fn mistake(why: String, origin: &str, hint: &str) -> Error {
    Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint)
}

/// What holds of every list, and of what is left of one.
pub(super) fn check_list(keks: &KekList, origin: &str) -> Result<()> {
    let starts: Vec<&NamedKek> = (keks.list.iter())
        .filter(|kek| kek.naming.usage == Use::Start)
        .collect();
    for (i, kek) in keks.list.iter().enumerate() {
        let name = &kek.naming.name;
        if keks.list[..i]
            .iter()
            .any(|other| other.naming.name == *name)
        {
            let why = format!("two KEKs have the name '{name}'");
            return Err(mistake(why, origin, "Give each KEK a name of its own."));
        }
    }
    if starts.is_empty() {
        let why = "no KEK opens the keyring when the server starts".to_string();
        return Err(mistake(
            why,
            origin,
            "Name one without \"use\": \"recovery\".",
        ));
    }
    if let Some(kek) = starts
        .iter()
        .find(|kek| !kek.keys.iter().any(|key| key.opens_here()))
    {
        let why = format!(
            "a server would try the KEK '{}' when it starts, but nothing on this machine opens with it",
            kek.naming.name
        );
        return Err(mistake(
            why,
            origin,
            "Set its use to recovery. To start with it all the same, name its secret key.",
        ));
    }
    if let Some(kek) = (keks.list.iter()).find(|kek| super::token_storage(kek).is_some()) {
        let why = format!(
            "the KEK '{}' keeps the keys themselves on its token (storage), which no list of KEKs can",
            kek.naming.name
        );
        return Err(mistake(
            why,
            origin,
            "Take storage out, or use the short form: backend and its section.",
        ));
    }
    let mut groups: Vec<&str> = Vec::new();
    let mut alone = 0;
    for kek in starts {
        match kek.naming.group.as_deref() {
            None => alone += 1,
            Some(group) if groups.contains(&group) => {}
            Some(group) => groups.push(group),
        }
    }
    let shares = alone + groups.len();
    if usize::from(keks.threshold) > shares {
        let why = format!(
            "threshold is {}, but there are {shares} shares for KEKs that a server tries (KEKs of one group hold the same share)",
            keks.threshold
        );
        return Err(mistake(why, origin, "Lower threshold, or add KEKs."));
    }
    if keks.threshold == 1 && keks.list.iter().any(|kek| kek.naming.group.is_some()) {
        let why = "a KEK has a group, but threshold is 1: each KEK holds the whole DEK".to_string();
        return Err(mistake(why, origin, "Take group out, or set threshold."));
    }
    Ok(())
}
