//! A list of KEKs as it was written, read: from names and values to [`KekList`].
//!
//! Owns the checks of each KEK; what a KEK's own options mean its provider says. It must never pass over a member that
//! nobody knows.

use super::keks::{KekList, MAX_KEKS, NamedKek, OWN, RawKek, check_list, mistake};
use crate::error::Result;
use crate::format::stanza::{MAX_KEK_NAME, is_kek_name};
use crate::kek::drivers::{NAMES, provider_of_name};
use crate::kek::member::{Naming, Use};
use crate::kek::randomness::Random;
use crate::options::{OptionSpec, Section};
use crate::text::{nearest, shorten};
use std::path::Path;

/// Longest name of a region or group in bytes.
const MAX_WORD: usize = 64;

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
        random: Random::default(),
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
    let section = Section::new(driver.options, values, &place, path).of_list();
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
