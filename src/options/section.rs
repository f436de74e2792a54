//! The values of one section, and how they are read: what every check of a section has in common.
//!
//! Owns the sentences about a value that is none. It must never look at another section's values.

use super::{OptionSpec, parse_bool, parse_size};
use crate::error::{Error, Kind, Result};
use crate::secret_source::SecretRef;
use crate::text::shorten;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OP: &str = "read the configuration";

/// The values that are given in one section (or among the general options), by the members' names in JSON. An empty
/// value is none.
pub struct Section<'a> {
    options: &'static [OptionSpec],
    values: Vec<(&'static str, &'a str)>,
    origin: &'a str,
    path: &'a Path,
    of_list: bool,
}

impl<'a> Section<'a> {
    /// `values` are by flat names; those of other options than `options` are left out. `origin` is for messages, `path`
    /// the keyring file's.
    pub fn new(
        options: &'static [OptionSpec],
        values: impl IntoIterator<Item = (&'static str, &'a str)>,
        origin: &'a str,
        path: &'a Path,
    ) -> Section<'a> {
        let ours = |name: &str| options.iter().any(|o| o.name == name);
        let given = |(name, value): &(&str, &str)| !value.is_empty() && ours(name);
        Section {
            options,
            values: values.into_iter().filter(given).collect(),
            origin,
            path,
            of_list: false,
        }
    }

    /// The same as the section of one KEK of a list, whose members stand without their prefix in my.cnf as well.
    pub fn of_list(self) -> Section<'a> {
        Section {
            of_list: true,
            ..self
        }
    }

    /// The keyring file's path.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// A member's flat name.
    fn name(&self, member: &str) -> &'static str {
        let option = self.options.iter().find(|o| o.json.1 == member);
        debug_assert!(option.is_some(), "'{member}' is not among the options");
        option.map_or("", |o| o.name)
    }

    /// A value that is there and not empty.
    pub fn given(&self, member: &str) -> Option<&'a str> {
        let name = self.name(member);
        let found = self.values.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| *value)
    }

    /// How a hint begins that tells to set members, as "key" or "key and pin_file": with where they stand.
    pub fn to_set(&self, members: &str) -> String {
        if self.of_list {
            return format!("Set {members} of this KEK");
        }
        let words = members.split(' ');
        let flat = words.map(|word| match word {
            "and" | "or" => word,
            member => self.name(member),
        });
        let flat = flat.collect::<Vec<_>>().join(" ");
        let object = self.options.iter().find_map(|o| o.json.0).unwrap_or("");
        format!("Set {members} in \"{object}\" (my.cnf: {flat})")
    }

    /// A mistake in this section; `hint` says what to write instead.
    pub fn mistake(&self, why: impl Display, hint: impl Into<String>) -> Error {
        let why = format!("{why} (in {})", self.origin);
        Error::new(Kind::Config, OP, why).hint(hint)
    }

    /// The mistake of a value that the member `member` can't have.
    pub fn no_value(&self, member: &str, text: &str, hint: impl Into<String>) -> Error {
        let name = self.name(member);
        self.mistake(
            format!("'{}' is not a value for {name}", shorten(text)),
            hint,
        )
    }

    /// A text in which `fault` finds nothing: a fault is what stands behind the option's name in a sentence, and the hint.
    ///
    /// # Errors
    /// Config: it has a fault.
    pub fn text(
        &self,
        member: &str,
        fault: impl Fn(&str) -> Option<(String, &'static str)>,
    ) -> Result<Option<String>> {
        let Some(text) = self.given(member) else {
            return Ok(None);
        };
        match fault(text) {
            None => Ok(Some(text.to_string())),
            Some((fault, hint)) => {
                Err(self.mistake(format!("{} {fault}", self.name(member)), hint))
            }
        }
    }

    /// One of several words, and what each stands for.
    ///
    /// # Errors
    /// Config: it is none of them.
    pub fn choice<T: Copy>(
        &self,
        member: &str,
        words: &[(&str, T)],
        hint: &str,
    ) -> Result<Option<T>> {
        let Some(text) = self.given(member) else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.mistake(
                format!("'{}' is not a value for {member}", shorten(text)),
                hint,
            )),
        }
    }

    /// True or false; false where it is not given.
    ///
    /// # Errors
    /// Config: it is neither.
    pub fn flag(&self, member: &str) -> Result<bool> {
        match self.given(member) {
            None => Ok(false),
            Some(text) => {
                parse_bool(text).ok_or_else(|| self.no_value(member, text, "Use true or false."))
            }
        }
    }

    /// A number of seconds, up to an hour.
    ///
    /// # Errors
    /// Config: it is no number, or out of bounds.
    pub fn seconds(&self, member: &str, default: Duration) -> Result<Duration> {
        const LONGEST: u64 = 3600;
        let Some(text) = self.given(member) else {
            return Ok(default);
        };
        match text.parse() {
            Ok(seconds) if (1..=LONGEST).contains(&seconds) => Ok(Duration::from_secs(seconds)),
            _ => Err(self.no_value(
                member,
                text,
                format!("Use a number of seconds from 1 to {LONGEST}."),
            )),
        }
    }

    /// A whole number between two bounds; `None`: it is not given.
    ///
    /// # Errors
    /// Config: it is no number, or out of bounds.
    pub fn whole(&self, member: &str, (least, most): (u64, u64)) -> Result<Option<u64>> {
        let Some(text) = self.given(member) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let hint = format!("Use a whole number from {least} to {most}.");
                Err(self.no_value(member, text, hint))
            }
        }
    }

    /// A number of bytes between two bounds, see [`parse_size`].
    ///
    /// # Errors
    /// Config: it is no number, or out of bounds.
    pub fn bytes(&self, member: &str, default: u64, (least, most): (u64, u64)) -> Result<u64> {
        let Some(text) = self.given(member) else {
            return Ok(default);
        };
        match parse_size(text) {
            Some(bytes) if (least..=most).contains(&bytes) => Ok(bytes),
            _ => Err(self.no_value(
                member,
                text,
                format!(
                    "Use a number of bytes from {least} to {most}; in option files 256M is one, too."
                ),
            )),
        }
    }

    /// A path that must be absolute, of a file, and of at most `longest` bytes. `what`: how it is called.
    ///
    /// # Errors
    /// Config.
    pub fn absolute_file(&self, what: &str, path: PathBuf, longest: usize) -> Result<PathBuf> {
        match path.is_absolute() && path.file_name().is_some() && path.as_os_str().len() <= longest
        {
            true => Ok(path),
            false => Err(self.mistake(
                format!(
                    "{what} '{}' is not an absolute path of a file",
                    shorten(&path.display().to_string())
                ),
                "Give the path from the root on: the server changes its working directory.",
            )),
        }
    }

    /// Where a secret comes from.
    ///
    /// # Errors
    /// Config: it is neither an absolute path nor a credential.
    pub fn secret(&self, member: &str) -> Result<Option<SecretRef>> {
        let text = self.given(member);
        text.map(|text| SecretRef::parse(text, self.name(member), self.origin))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ValueKind;
    use super::*;

    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::of("s", "s_flag", ValueKind::Bool, "A flag"),
        OptionSpec::of("s", "s_wait", ValueKind::Number, "Seconds"),
        OptionSpec::of("s", "s_word", ValueKind::Text, "A word"),
        OptionSpec::of("s", "s_pin_file", ValueKind::Text, "A secret"),
    ];

    fn section<'a>(values: &[(&'static str, &'a str)]) -> Section<'a> {
        Section::new(OPTIONS, values.iter().copied(), "f", Path::new("/k"))
    }

    #[test]
    fn a_hint_names_what_stands_there() {
        assert_eq!(
            section(&[]).to_set("word or pin_file"),
            "Set word or pin_file in \"s\" (my.cnf: s_word or s_pin_file)"
        );
        assert_eq!(
            section(&[]).of_list().to_set("word"),
            "Set word of this KEK"
        );
    }

    #[test]
    fn what_is_not_given_is_empty_or_not_there_or_of_others() {
        let none = section(&[("s_word", ""), ("t_word", "x"), ("flag", "1")]);
        assert_eq!(none.given("word"), None);
        assert!(!none.flag("flag").unwrap());
        assert_eq!(none.seconds("wait", Duration::MAX).unwrap(), Duration::MAX);
        assert_eq!(none.bytes("wait", 7, (1, 2)).unwrap(), 7);
        assert_eq!(none.secret("pin_file").unwrap(), None);
        assert_eq!(none.choice("word", &[("a", 1)], "h").unwrap(), None);
        assert_eq!(none.text("word", |_| panic!("asked")).unwrap(), None);
    }

    #[test]
    fn a_mistake_names_the_option_the_value_the_file_and_the_way_out() {
        let bad = section(&[
            ("s_flag", "perhaps"),
            ("s_wait", "3601"),
            ("s_word", "b"),
            ("s_pin_file", "pin"),
        ]);
        let fault = |text: &str| (text == "b").then(|| ("is b".to_string(), "Use a."));
        for (error, said) in [
            (
                bad.flag("flag").unwrap_err(),
                "'perhaps' is not a value for s_flag (in f)",
            ),
            (
                bad.seconds("wait", Duration::ZERO).unwrap_err(),
                "'3601' is not a value for s_wait (in f)",
            ),
            (bad.bytes("wait", 0, (1, 2)).unwrap_err(), "from 1 to 2"),
            (
                bad.choice("word", &[("a", 1)], "Use a.").unwrap_err(),
                "'b' is not a value for word (in f)",
            ),
            (bad.text("word", fault).unwrap_err(), "s_word is b (in f)"),
            (
                bad.secret("pin_file").unwrap_err(),
                "s_pin_file is neither an absolute path",
            ),
        ] {
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
