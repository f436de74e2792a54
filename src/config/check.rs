//! From values to a checked configuration: [`Layer::finish`].
//!
//! Owns the checks of the general options, and which section counts; a section's own are its driver's. It must never let
//! through what nobody meant.

use super::options::{GENERAL, OPTIONS};
use super::{Config, KekList, Layer, Lease, Limits, OP, OnRevocation, Patience, read_keks};
use crate::error::{Error, Kind, Result};
use crate::kek::drivers::{DRIVERS, Driver, NAMES, of_name};
use crate::kek::randomness::{Random, Source};
use crate::key::limits::FINGERPRINT;
use crate::options::{OptionSpec, Section, parse_bool};
use crate::text::{from_hex, shorten};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest path of a file in bytes, as Linux has it (PATH_MAX).
const MAX_PATH: usize = 4096;
/// More than one is needed only while a DEK is changed.
const MAX_FINGERPRINTS: usize = 16;
/// Largest `max_size`. Keys, their removals and the reserves fit a file several times.
const MAX_TOTAL: u64 = 1 << 30;
/// Smallest `max_owner_size`: a few of the longest keys.
const MIN_TOTAL: u64 = 64 << 10;

/// Where new DEKs and keys come from: as the general options say, else as a KEK's own do.
fn random(general: &Section<'_>, keks: &KekList) -> Result<Random> {
    let words = [Source::System, Source::Kek, Source::Hardware].map(|s| (s.name(), s));
    let source = general.choice("random", &words, "Use system, kek or hardware.")?;
    let keys = match general.given("random_keys") {
        None => None,
        Some(_) => Some(general.flag("random_keys")?),
    };
    let own = keks.tried().find_map(|kek| kek.random());
    let random = match source {
        Some(source) => Random {
            source,
            keys: keys.unwrap_or(false),
            by_default: false,
        },
        None => {
            let own = own.unwrap_or_default();
            Random {
                keys: keys.unwrap_or(own.keys),
                // Who writes random_keys=true asks for it: a generator that is missing is told then.
                by_default: own.by_default && keys != Some(true),
                ..own
            }
        }
    };
    if random.keys && random.source == Source::System {
        return match keys {
            Some(_) => Err(general.mistake(
                "random_keys is true, but random names no source beside the system",
                "Set random to kek or hardware, or take random_keys out.",
            )),
            None => Ok(Random::default()),
        };
    }
    let is_there = || keks.tried().any(|kek| kek.kek().has_generator());
    if random.source == Source::Kek && !random.by_default && !is_there() {
        return Err(general.mistake(
            "random is kek, but no KEK that a server tries has a random generator",
            "Use system or hardware, or name a KEK that has one (docs/guide/randomness.md).",
        ));
    }
    Ok(random)
}

/// Longest lease and grace in seconds: a day, and 30 days.
const MAX_LEASE: u64 = 86_400;
const MAX_GRACE: u64 = 30 * MAX_LEASE;
/// Shortest lease in seconds: the KEKs are asked three times in it.
const MIN_LEASE: u64 = 3;

/// The lease, if one is configured.
fn lease(general: &Section<'_>, keks: &KekList) -> Result<Option<Lease>> {
    let length = general.whole("lease", (0, MAX_LEASE))?.unwrap_or(0);
    let grace = general.whole("grace", (0, MAX_GRACE))?.filter(|g| *g > 0);
    let words = [
        ("disable", OnRevocation::Disable),
        ("shutdown", OnRevocation::Shutdown),
    ];
    let on_revocation = general.choice("on_revocation", &words, "Use disable or shutdown.")?;
    if length == 0 {
        return match (grace, on_revocation) {
            (None, None) => Ok(None),
            _ => Err(general.mistake(
                "grace or on_revocation is given, but there is no lease",
                "Set lease to the seconds that the keyring may serve after its KEKs refused, or take the others out.",
            )),
        };
    }
    if length < MIN_LEASE || grace.is_some_and(|g| g < length) {
        return Err(general.mistake(
            format!("a lease has at least {MIN_LEASE} seconds, and grace is not shorter than it"),
            "Correct lease and grace: the KEKs are asked every third of a lease.",
        ));
    }
    let cannot = |kek: &&super::NamedKek| kek.keys.iter().any(|key| !key.can_refuse());
    if let Some(kek) = keks.tried().find(cannot) {
        return Err(general.mistake(
            format!(
                "the KEK '{}' is a secret of this machine, so that nobody can refuse it, and a lease would never end",
                kek.naming.name
            ),
            "Take lease out, or the KEK; or let it be for recovery only (use=recovery).",
        ));
    }
    Ok(Some(Lease {
        length: Duration::from_secs(length),
        grace: grace.map(Duration::from_secs),
        on_revocation: on_revocation.unwrap_or_default(),
    }))
}

/// The file of the access policy, if one is configured.
fn policy_file(general: &Section<'_>) -> Result<Option<PathBuf>> {
    let named = general.given("policy_file").map(PathBuf::from);
    named
        .map(|path| general.absolute_file("policy_file", path, MAX_PATH))
        .transpose()
}

impl Layer {
    /// The typed, checked configuration.
    ///
    /// # Errors
    /// Config: something is missing, contradictory or malformed.
    pub fn finish(self) -> Result<Config> {
        let origin = self.origins.join(", ");
        let nowhere = Path::new("");
        let general = self.section(GENERAL, &origin, nowhere);
        if !self.has_list() {
            self.driver(&general)?;
        }
        let path = self.checked_path(&general)?;
        self.no_config_file(&general)?;
        let read_only = match self.get("read_only") {
            None => false,
            Some(text) => parse_bool(text)
                .ok_or_else(|| general.no_value("read_only", text, "Use true or false."))?,
        };
        let fingerprint = self.pinned()?;
        let default = Patience::default();
        let patience = Patience {
            start: general.seconds("start_timeout", default.start)?,
            call: general.seconds("timeout", default.call)?,
        };
        let (default, bounds) = (Limits::default(), (MIN_TOTAL, MAX_TOTAL));
        let limits = Limits {
            total: general.bytes("max_size", default.total, bounds)?,
            per_owner: general.bytes("max_owner_size", default.per_owner, bounds)?,
            retain_removed: retain_removed(&general, default.retain_removed)?,
            ..default
        };
        let mut keks = self.kek_list(&general, (&origin, &path))?;
        keks.random = random(&general, &keks)?;
        let lease = lease(&general, &keks)?;
        let audit = super::audited::read(&general, &keks)?;
        Ok(Config {
            path,
            read_only,
            fingerprint,
            keks,
            patience,
            limits,
            lease,
            policy_file: policy_file(&general)?,
            audit,
            origin,
        })
    }

    /// The KEKs stand in a list.
    fn has_list(&self) -> bool {
        self.given("keks").is_some() || !self.keks.is_empty()
    }

    /// The KEKs: a list, or the one that `backend` and its section name.
    fn kek_list(&self, general: &Section<'_>, (origin, path): (&str, &Path)) -> Result<KekList> {
        if !self.has_list() {
            let driver = self.driver(general)?;
            self.only_options_of(driver, general)?;
            if self.given("threshold").is_some() {
                let why = "threshold is for several KEKs, and keks names none";
                return Err(general.mistake(why, "Take it out, or name the KEKs in keks."));
            }
            let keys = match &self.held {
                Some(held) if held.driver().name == driver.name => vec![held.clone()],
                _ => (driver.read)(&self.section(driver.options, origin, path))?,
            };
            return match keys.iter().any(|key| key.opens_here()) {
                true => Ok(keys.into()),
                false => Err(only_wraps(general, driver)),
            };
        }
        let short = OPTIONS.iter().find(|option| {
            let of_one = option.json.0.is_some() || option.name == "backend";
            of_one && self.given(option.name).is_some()
        });
        if let Some(option) = short {
            let why = format!("both keks and {} name KEKs", option.name);
            return Err(general.mistake(
                why,
                "Keep one of the two: the list, or backend and its section for one KEK.",
            ));
        }
        if self.keks.is_empty() {
            return Err(general.mistake(
                "keks names KEKs, but nothing says what they are",
                "In my.cnf each has a group [keyring_ward_kek_NAME]; as plugin name a JSON file: loose_keyring_ward_config_file.",
            ));
        }
        let given = |name| self.given(name);
        read_keks::read(
            &self.keks,
            given("threshold"),
            given("region"),
            (origin, path),
        )
    }

    /// Who reads it takes it out.
    fn no_config_file(&self, general: &Section<'_>) -> Result<()> {
        match self.given("config_file") {
            None => Ok(()),
            Some(_) => Err(general.mistake(
                "config_file is a variable of the plugin only",
                "The component's JSON file is component_keyring_ward.cnf in the plugin directory; the tool's is --config.",
            )),
        }
    }

    /// The values of these options.
    fn section<'a>(
        &'a self,
        options: &'static [OptionSpec],
        origin: &'a str,
        path: &'a Path,
    ) -> Section<'a> {
        let given = OPTIONS.iter().zip(&self.values);
        let given = given.filter_map(|(option, value)| Some((option.name, value.as_deref()?)));
        Section::new(options, given, origin, path)
    }

    /// The driver that `backend` names.
    fn driver(&self, general: &Section<'_>) -> Result<&'static Driver> {
        match self.get("backend") {
            Some(text) => of_name(text).ok_or_else(|| {
                general.mistake(
                    format!("'{}' is not a backend", shorten(text)),
                    format!("This version has {}.", all_backends()),
                )
            }),
            None => Err(general.mistake("no backend is named", format!("Set backend to {NAMES}."))),
        }
    }

    fn checked_path(&self, general: &Section<'_>) -> Result<PathBuf> {
        let Some(path) = self.path() else {
            return Err(general.mistake(
                "no path is given for the keyring file",
                "Set path to an absolute path outside the data directory.",
            ));
        };
        general.absolute_file("the path", path, MAX_PATH)
    }

    /// The fingerprints that it pins.
    ///
    /// # Errors
    /// Config: one of them is none, or they are too many.
    pub fn pinned(&self) -> Result<Vec<[u8; FINGERPRINT]>> {
        parse_fingerprints(self.get("fingerprint").unwrap_or_default()).map_err(|why| {
            let why = format!("{why} (in {})", self.origins.join(", "));
            Error::new(Kind::Config, OP, why).hint(
                "Use the 32 hexadecimal digits that keyring-ward status shows; several, separated by commas.",
            )
        })
    }

    /// An option of another backend than the one that is chosen is a mistake worth a word: whoever wrote
    /// it believes that it counts.
    fn only_options_of(&self, driver: &Driver, general: &Section<'_>) -> Result<()> {
        for option in &OPTIONS {
            if let (Some(section), Some(_)) = (option.json.0, self.given(option.name))
                && section != driver.name
            {
                return Err(general.mistake(
                    format!(
                        "{} is an option of the backend {section}, but the backend is {}",
                        option.name, driver.name
                    ),
                    "Remove it, or choose the other backend.",
                ));
            }
        }
        Ok(())
    }
}

/// The only KEK has its secret elsewhere.
fn only_wraps(general: &Section<'_>, driver: &Driver) -> Error {
    let why = format!(
        "the backend {} wraps the DEK, but nothing on this machine could open it again",
        driver.name
    );
    general.mistake(
        why,
        "Take another KEK for the server, and this one for recovery beside it (keks, use); or, to open a keyring on a machine where \
         the secret key is, name that (age_identity_file).",
    )
}

/// "two backends: this and that", for all of them.
fn all_backends() -> String {
    let names: Vec<&str> = DRIVERS.iter().map(|driver| driver.name).collect();
    let how_many = in_words(names.len());
    match names.split_last() {
        Some((last, before)) => format!("{how_many} backends: {} and {last}", before.join(", ")),
        None => format!("{how_many} backends"),
    }
}

/// A small number in words.
fn in_words(number: usize) -> String {
    const WORDS: [&str; 12] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let word = number.checked_sub(1).and_then(|i| WORDS.get(i));
    word.map_or_else(|| number.to_string(), |word| word.to_string())
}

/// None, one or several fingerprints; an error is the beginning of a sentence.
fn parse_fingerprints(text: &str) -> std::result::Result<Vec<[u8; FINGERPRINT]>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() > MAX_FINGERPRINTS {
        return Err(format!(
            "{} fingerprints are pinned, at most {MAX_FINGERPRINTS} may be",
            parts.len()
        ));
    }
    let one = |part: &&str| from_hex(part, FINGERPRINT)?.try_into().ok();
    let each = parts
        .iter()
        .map(|part| one(part).ok_or_else(|| format!("'{}' is not a fingerprint", shorten(part))));
    each.collect()
}

/// Days for which removed keys are kept.
fn retain_removed(general: &Section<'_>, default: u16) -> Result<u16> {
    let days = general.whole("retain_removed", (0, 3_650))?;
    Ok(days.map_or(default, |days| days as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::file::LocalConfig;
    use crate::secret_source::SecretRef;

    fn layer(values: &[(&str, &str)]) -> Layer {
        Layer::of("test", values)
    }

    const GOOD: [(&str, &str); 3] = [
        ("backend", "file"),
        ("path", "/k/f"),
        ("file_passphrase_file", "/p"),
    ];

    #[test]
    fn complete() {
        let config = layer(&GOOD).finish().unwrap();
        assert_eq!(
            config.keks,
            LocalConfig::Passphrase(SecretRef::File("/p".into())).into()
        );
        assert!(!config.read_only);
    }

    #[test]
    fn a_lease_and_randomness() {
        let token = [
            ("backend", "pkcs11"),
            ("path", "/k/keyring"),
            ("pkcs11_module", "/m"),
            ("pkcs11_token_label", "t"),
            ("pkcs11_key_label", "k"),
            ("pkcs11_pin_file", "/pin"),
        ];
        let of = |more: &[(&str, &str)]| layer(&[&token[..], more].concat()).finish().unwrap();
        let plain = of(&[]);
        assert_eq!(plain.lease, None);
        let random = plain.keks.random;
        assert_eq!(
            (random.source, random.keys, random.by_default),
            (Source::Kek, false, true)
        );
        let config = of(&[
            ("lease", "30"),
            ("grace", "3600"),
            ("on_revocation", "shutdown"),
            ("random", "hardware"),
            ("random_keys", "ON"),
        ]);
        let lease = config.lease.unwrap();
        assert_eq!(
            (lease.length, lease.grace),
            (Duration::from_secs(30), Some(Duration::from_secs(3600)))
        );
        assert_eq!(lease.on_revocation, OnRevocation::Shutdown);
        let random = config.keks.random;
        assert_eq!(
            (random.source, random.keys, random.by_default),
            (Source::Hardware, true, false)
        );
        // The older names; the general ones win.
        let random = of(&[("pkcs11_random", "system")]).keks.random;
        assert_eq!((random.source, random.keys), (Source::System, false));
        let random = of(&[("pkcs11_random", "system"), ("random", "kek")])
            .keks
            .random;
        assert_eq!((random.source, random.by_default), (Source::Kek, false));
        assert!(of(&[("pkcs11_storage", "token")]).keks.random.keys);
        // A token is the default, but who writes random_keys=true asks for it.
        for (said, keys, by_default) in [("true", true, false), ("false", false, true)] {
            let random = of(&[("random_keys", said)]).keks.random;
            assert_eq!(
                (random.source, random.keys, random.by_default),
                (Source::Kek, keys, by_default)
            );
        }
        let short = layer(&[&token[..], &[("lease", "30"), ("grace", "20")]].concat());
        assert!(
            short
                .finish()
                .unwrap_err()
                .to_string()
                .contains("not shorter")
        );
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        for (name, value, sentence) in [
            ("backend", "", "is not a backend"),
            ("backend", "pkcs12", "'pkcs12' is not a backend"),
            ("path", "", "no path"),
            ("path", "k", "not an absolute path"),
            ("path", "/", "not an absolute path"),
            ("read_only", "maybe", "not a value for read_only"),
            ("timeout", "0", "not a value for timeout"),
            ("timeout", "-1", "not a value for timeout"),
            ("start_timeout", "3601", "not a value for start_timeout"),
            ("max_size", "0", "not a value for max_size"),
            ("max_size", "65535", "not a value for max_size"),
            ("max_size", "1025M", "not a value for max_size"),
            (
                "max_size",
                "99999999999999999999G",
                "not a value for max_size",
            ),
            ("max_size", "M", "not a value for max_size"),
            ("max_size", "+1G é", "not a value for max_size"),
            ("max_owner_size", "-1", "not a value for max_owner_size"),
            ("pkcs11_module", "/m", "is an option of the backend pkcs11"),
            ("fingerprint", "xyz", "not a fingerprint"),
            (
                "fingerprint",
                "00112233445566778899aabbccddeeff,",
                "not a fingerprint",
            ),
            (
                "fingerprint",
                "00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff",
                "not a fingerprint",
            ),
            ("backend", "age", "option of the backend file"),
            ("file_passphrase_file", "p", "neither an absolute path"),
            ("file_passphrase_file", "", "has no KEK"),
            (
                "file_key_file",
                "/k",
                "both a passphrase file and a key file",
            ),
            ("lease", "x", "not a value for lease"),
            ("lease", "86401", "not a value for lease"),
            ("lease", "2", "at least 3 seconds"),
            ("lease", "60", "nobody can refuse it"),
            ("grace", "60", "there is no lease"),
            ("on_revocation", "shutdown", "there is no lease"),
            ("on_revocation", "burn", "not a value for on_revocation"),
            ("random", "dice", "not a value for random"),
            ("random", "kek", "no KEK that a server tries has"),
            ("random_keys", "true", "names no source"),
            ("random_keys", "maybe", "not a value for random_keys"),
        ] {
            let mut l = layer(&GOOD);
            l.overlay(layer(&[(name, value)]));
            let message = l.finish().unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }

    #[test]
    fn sizes_as_the_server_writes_them() {
        assert_eq!(layer(&GOOD).finish().unwrap().limits, Limits::default());
        for (text, bytes) in [
            ("65536", 65536),
            ("64k", 65536),
            ("3M", 3 << 20),
            ("1G", 1 << 30),
        ] {
            let mut l = layer(&GOOD);
            l.overlay(layer(&[("max_size", text), ("max_owner_size", text)]));
            let limits = l.finish().unwrap().limits;
            assert_eq!((limits.total, limits.per_owner), (bytes, bytes), "{text}");
        }
        let Limits { reserve, file, .. } = Limits::default();
        // After a rewrite the file is header and live keys; the removals of all must fit, and the reserves.
        assert!(2 * (MAX_TOTAL + 2 * reserve) + 2 * reserve + (1 << 17) <= file);
    }

    #[test]
    fn the_backends_are_named_and_counted() {
        let message = layer(&[("backend", "pkcs12")]).finish().unwrap_err();
        let names = NAMES.replace(" or ", " and ");
        let end = format!(
            "This version has {} backends: {names}.",
            in_words(DRIVERS.len())
        );
        assert!(message.to_string().ends_with(&end), "{message}");
        assert!(names.starts_with("file, pkcs11, aws_kms"), "{names}");
        for (number, word) in [
            (1, "one"),
            (4, "four"),
            (12, "twelve"),
            (13, "13"),
            (0, "0"),
        ] {
            assert_eq!(in_words(number), word);
        }
    }

    #[test]
    fn an_option_of_another_backend_is_a_mistake() {
        let pkcs11 = [("backend", "pkcs11"), ("file_key_file", "/x")];
        let aws_kms = [("backend", "aws_kms"), ("pkcs11_module", "/m")];
        for (values, other) in [(pkcs11, "file"), (aws_kms, "pkcs11")] {
            let mut l = layer(&GOOD[1..2]);
            l.overlay(layer(&values));
            let message = l.finish().unwrap_err().to_string();
            let sentence = format!("an option of the backend {other}");
            assert!(message.contains(&sentence), "{message}");
        }
    }
}
