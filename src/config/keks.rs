//! The KEKs of a configuration: one by the short form, or a list of them by their names.
//!
//! Owns the list's checks; what a KEK's own options mean its provider says. It must never take fewer KEKs for enough than
//! were written down.

use super::OP;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{MAX_KEK_NAME, is_kek_name};
use crate::kek::drivers::{NAMES, provider_of_name};
use crate::kek::file::LocalConfig;
use crate::kek::member::{Member, Naming, Use};
use crate::kek::{KekConfig, Keks};
use crate::options::{OptionSpec, Section};
use crate::secret_source::SecretRef;
use crate::text::{nearest, shorten};
use std::ops::{Deref, DerefMut};
use std::path::Path;

/// Most KEKs of one keyring.
pub const MAX_KEKS: usize = 16;
/// What a KEK of the list says of itself, beside its provider's options.
pub const OWN: [&str; 5] = ["name", "provider", "region", "group", "use"];
/// Longest name of a region or group in bytes.
const MAX_WORD: usize = 64;

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
    keys: Vec<KekConfig>,
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
    list: Vec<NamedKek>,
    /// How many of them open the keyring: 1, or the threshold of shares.
    pub threshold: u8,
    /// The keyring's own region: KEKs in it are tried first.
    pub region: Option<String>,
    /// They stand in a list, and not in the short form of one.
    pub listed: bool,
    /// KEKs for recovery are tried as well: the tool was told so.
    pub recovering: bool,
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
        keks.recovering(self.recovering).patient(patient)
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

    /// The KEK of this name, and its place.
    pub fn find(&self, name: &str) -> Option<(usize, &NamedKek)> {
        let all = self.list.iter().enumerate();
        all.into_iter().find(|(_, kek)| kek.naming.name == name)
    }
}

fn mistake(why: String, origin: &str, hint: &str) -> Error {
    Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint)
}

/// Checks a list as it was written. `path` is the keyring file's.
///
/// # Errors
/// Config: a KEK or the list is none that can be.
pub(super) fn read(
    raw: &[RawKek],
    threshold: Option<&str>,
    region: Option<&str>,
    (origin, path): (&str, &Path),
) -> Result<KekList> {
    if raw.len() > MAX_KEKS {
        let why = format!(
            "{} KEKs are configured, at most {MAX_KEKS} may be",
            raw.len()
        );
        return Err(mistake(why, origin, "Take some out of keks."));
    }
    let list: Vec<NamedKek> = raw
        .iter()
        .map(|kek| read_one(kek, path))
        .collect::<Result<_>>()?;
    let keks = KekList {
        threshold: read_threshold(threshold, origin)?,
        region: word(region, "region", origin)?,
        list,
        listed: true,
        recovering: false,
    };
    check_list(&keks, origin)?;
    Ok(keks)
}

fn read_threshold(text: Option<&str>, origin: &str) -> Result<u8> {
    match text.map(|t| (t, t.parse())) {
        None => Ok(1),
        Some((_, Ok(number))) if (1..=MAX_KEKS as u8).contains(&number) => Ok(number),
        Some((text, _)) => Err(mistake(
            format!("'{}' is not a value for threshold", shorten(text)),
            origin,
            "Use the number of KEKs that are needed to open the keyring: 1, or more up to the number of KEKs.",
        )),
    }
}

fn word(text: Option<&str>, what: &str, origin: &str) -> Result<Option<String>> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let fits = |b: u8| b.is_ascii_graphic();
    match text.len() <= MAX_WORD && text.bytes().all(fits) {
        true => Ok(Some(text.into())),
        false => Err(mistake(
            format!("'{}' is not a value for {what}", shorten(text)),
            origin,
            "Use up to 64 visible characters of ASCII.",
        )),
    }
}

/// What holds of every list, and of what is left of one.
fn check_list(keks: &KekList, origin: &str) -> Result<()> {
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

fn read_one(raw: &RawKek, path: &Path) -> Result<NamedKek> {
    let RawKek { name, origin, .. } = raw;
    if !is_kek_name(name) {
        let why = format!("'{}' is not a name for a KEK", shorten(name));
        let hint = format!("Use 1 to {MAX_KEK_NAME} of a-z, 0-9, - and _.");
        return Err(mistake(why, origin, &hint));
    }
    let Some(provider) = raw.given("provider") else {
        let why = format!("the KEK '{name}' has no provider");
        let hint = format!("Set provider to {NAMES}.");
        return Err(mistake(why, origin, &hint));
    };
    let Some(driver) = provider_of_name(provider) else {
        let why = format!(
            "'{}', the provider of the KEK '{name}', is not known",
            shorten(provider)
        );
        let hint = format!("This version has {NAMES}.");
        return Err(mistake(why, origin, &hint));
    };
    let usage = match raw.given("use") {
        None | Some("start") => Use::Start,
        Some("recovery") => Use::Recovery,
        Some(other) => {
            let why = format!(
                "'{}' is not a value for use, of the KEK '{name}'",
                shorten(other)
            );
            return Err(mistake(why, origin, "Use start or recovery."));
        }
    };
    let naming = Naming {
        name: name.clone(),
        provider: driver.name,
        region: word(raw.given("region"), "region", origin)?,
        group: word(raw.given("group"), "group", origin)?,
        usage,
    };
    let values = values_of(raw, driver.options)?;
    let values = values.iter().map(|(name, value)| (*name, value.as_str()));
    let place = format!("the KEK '{name}' in {origin}");
    let section = Section::new(driver.options, values, &place, path);
    let keys = (driver.read)(&section)?;
    match keys.is_empty() {
        true => Err(section.mistake("it names no key", "Name one.")),
        false => Ok(NamedKek { naming, keys }),
    }
}

/// The provider's options by their flat names. A member that is neither the list's nor the provider's is a mistake.
fn values_of(raw: &RawKek, options: &'static [OptionSpec]) -> Result<Vec<(&'static str, String)>> {
    let mut values = Vec::new();
    for (member, value) in &raw.values {
        match options.iter().find(|option| option.json.1 == member) {
            Some(option) => values.push((option.name, value.clone())),
            None if OWN.contains(&member.as_str()) => {}
            None => {
                let known = options.iter().map(|o| o.json.1).chain(OWN);
                let hint = match nearest(member, known) {
                    Some(near) => format!("Did you mean '{near}'?"),
                    None => {
                        "docs/reference/configuration.md lists the options of each provider.".into()
                    }
                };
                let why = format!(
                    "'{}' is not an option of the KEK '{}'",
                    shorten(member),
                    raw.name
                );
                return Err(mistake(why, &raw.origin, &hint));
            }
        }
    }
    Ok(values)
}
