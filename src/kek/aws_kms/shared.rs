//! AWS's shared files, `~/.aws/config` and `~/.aws/credentials`: found, checked, read and parsed here, once for each
//! operation; no SDK reads them.
//!
//! Owns their rules: who may own and write them, and their format (AWS SDKs and Tools Reference Guide, "Format of
//! the config and credentials files"). It must never take a file that it can't read for one that is not there, and
//! never show a value.

use super::AwsKmsConfig;
use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::trusted::{self, Rule, Trusted};
use crate::secret::SecretPool;
use crate::secret_source;
use crate::secret_source::SecretRef;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use zeroize::Zeroizing;

const OP: &str = "read AWS's shared files";
/// Largest file in bytes.
const MAX_FILE: u64 = 65_536;
/// The properties whose values are secrets.
const SECRETS: [&str; 2] = ["aws_secret_access_key", "aws_session_token"];
/// What the format takes for a blank.
const BLANKS: [char; 2] = [' ', '\t'];

/// Where something stands, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: Rc<str>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

/// One property of a profile.
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
    pub(super) place: Place,
}

impl fmt::Display for Property {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.name, self.place)
    }
}

/// A profile with the properties of both files.
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) place: Place,
    properties: Vec<Property>,
}

impl Profile {
    /// A property.
    pub(super) fn get(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name == name)
    }

    /// The first property whose name begins so.
    pub(super) fn get_prefixed(&self, prefix: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name.starts_with(prefix))
    }

    fn set(&mut self, property: Property) {
        self.properties.retain(|p| p.name != property.name);
        self.properties.push(property);
    }
}

/// The profiles of both files.
#[derive(Default)]
pub(super) struct Shared {
    profiles: Vec<Profile>,
    /// What was looked at, and what came of it.
    pub(super) looked: Vec<String>,
}

impl Shared {
    /// Reads the files that the configuration and the environment name.
    pub(super) fn read(config: &AwsKmsConfig) -> Result<Shared> {
        let mut shared = Shared::default();
        let pool = SecretPool::new();
        let (path, named) = path("AWS_CONFIG_FILE", "config")?;
        if let Some(path) = path {
            shared.read_config(&pool, &path, named)?;
        }
        match &config.credentials_file {
            Some(source) => shared.read_credentials(&pool, source)?,
            None => {
                let (path, named) = self::path("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
                if let Some(path) = path
                    && shared.exists(&path, named)?
                {
                    shared.read_credentials(&pool, &SecretRef::File(path))?;
                }
            }
        }
        Ok(shared)
    }

    /// A profile.
    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.name == name)
    }

    /// A file that the environment names and that is not there is an empty one, as for every program of AWS.
    fn exists(&mut self, path: &Path, named: bool) -> Result<bool> {
        let shown = path.display();
        match path.metadata() {
            Ok(_) => Ok(true),
            Err(e) if absent(&e) => {
                self.looked.push(format!("'{shown}' does not exist"));
                Ok(false)
            }
            // The home of root, when mysqld asks as its account, is not meant for us; but say so.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !named => {
                self.looked.push(format!(
                    "the folder of '{shown}' (from HOME) can't be searched by this account"
                ));
                Ok(false)
            }
            // What is wrong is told where it is opened.
            Err(_) => Ok(true),
        }
    }

    fn read_config(&mut self, pool: &SecretPool, path: &Path, named: bool) -> Result<()> {
        if !self.exists(path, named)? {
            return Ok(());
        }
        // Whoever writes it chooses the program that gives the credentials, or the account that is asked.
        let Trusted { mut file, .. } = trusted::open(path, Rule::Settings, OP)?;
        let bytes = file::read_bounded(&mut file, MAX_FILE)
            .map_err(|e| Error::io(OP, format!("'{}'", path.display()), e))?;
        let bytes = Zeroizing::new(bytes);
        let bytes = pool.copy(&bytes)?;
        let label: Rc<str> = format!("'{}'", path.display()).into();
        let profiles = parse(&label, text(&label, &bytes)?, true)?;
        let secret = profiles
            .iter()
            .flat_map(|p| &p.properties)
            .find(|p| SECRETS.contains(&&*p.name));
        if let Some(secret) = secret {
            trusted::open(path, Rule::Secret, OP)
                .map_err(|e| e.context(format!("{secret} is a secret")))?;
        }
        self.merge(label, profiles);
        Ok(())
    }

    /// The credentials file is read as any file with a secret.
    fn read_credentials(&mut self, pool: &SecretPool, source: &SecretRef) -> Result<()> {
        let bytes = secret_source::read(pool, "read AWS's credentials file", source)?;
        let label: Rc<str> = match source {
            SecretRef::File(path) => format!("'{}'", path.display()).into(),
            other => other.to_string().into(),
        };
        let profiles = parse(&label, text(&label, &bytes)?, false)?;
        self.merge(label, profiles);
        Ok(())
    }

    /// What comes later goes before.
    fn merge(&mut self, label: Rc<str>, profiles: Vec<Profile>) {
        self.looked
            .push(format!("{label} was read ({} profiles)", profiles.len()));
        for profile in profiles {
            match self.profiles.iter_mut().find(|p| p.name == profile.name) {
                None => self.profiles.push(profile),
                Some(known) => profile.properties.into_iter().for_each(|p| known.set(p)),
            }
        }
    }
}

/// The path of a file, and whether a variable names it.
fn path(variable: &str, name: &str) -> Result<(Option<PathBuf>, bool)> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let home = set("HOME").filter(|home| home.is_absolute());
    let Some(named) = set(variable) else {
        return Ok((home.map(|home| home.join(".aws").join(name)), false));
    };
    let path = match (named.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => named,
    };
    let strange = path
        .to_str()
        .is_none_or(|p| p.len() > 4096 || p.chars().any(char::is_control));
    if strange || !path.is_absolute() {
        return Err(Error::new(
            Kind::Config,
            OP,
            format!("{variable} in the environment is not an absolute path, or has a control character in it"),
        )
        .hint("Give the path from the root on, with nothing after it."));
    }
    Ok((Some(path), true))
}

fn absent(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn text<'a>(label: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let bad = |why: &str| {
        Error::new(Kind::Config, OP, format!("{label} {why}"))
            .hint("Save it as plain text in UTF-8, without a byte order mark.")
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        bad(&format!("line {line} is not text in UTF-8"))
    })?;
    match text.starts_with('\u{feff}') {
        true => Err(bad("line 1 begins with a byte order mark")),
        false => Ok(text),
    }
}

/// The profiles of a file. `config`: a profile other than `default` has the word `profile` before its name, and
/// sections of other kinds are passed by.
fn parse(label: &Rc<str>, text: &str, config: bool) -> Result<Vec<Profile>> {
    let mut profiles: Vec<Profile> = Vec::new();
    // Those of a section that is passed by are read, for mistakes, and dropped.
    let mut other = Profile {
        name: String::new(),
        place: place(label, 0),
        properties: Vec::new(),
    };
    let mut current: Option<Option<usize>> = None;
    let mut property: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let here = place(label, index + 1);
        let bad = |why: &str| {
            Error::new(Kind::Config, OP, format!("{here}: {why}"))
                .hint("Correct that line: [profile NAME], or [NAME] in a credentials file, and NAME = VALUE below it.")
        };
        if line.trim_matches(BLANKS).is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            let name = section(line).ok_or_else(|| bad("a section must end with ']'"))?;
            property = None;
            current = Some(profile_name(name, config).map(|name| {
                let known = profiles.iter().position(|p| p.name == name);
                known.unwrap_or_else(|| {
                    let (name, place) = (name.to_string(), here.clone());
                    profiles.push(Profile {
                        name,
                        place,
                        properties: Vec::new(),
                    });
                    profiles.len() - 1
                })
            }));
            continue;
        }
        let Some(section) = current else {
            return Err(bad("this stands before the first section"));
        };
        let profile = section.map_or(&mut other, |i| &mut profiles[i]);
        if line.starts_with(BLANKS) {
            let Some(name) = &property else {
                return Err(bad(
                    "a line that begins with a blank continues the property before it, and there is none",
                ));
            };
            if let Some(known) = profile.properties.iter_mut().find(|p| p.name == *name) {
                known.value.push('\n');
                known.value.push_str(line.trim_matches(BLANKS));
            }
            continue;
        }
        let (name, value) = without_comment(line, true)
            .split_once('=')
            .ok_or_else(|| bad("there is no '=' in it"))?;
        let name = name.trim_matches(BLANKS).to_ascii_lowercase();
        if name.is_empty() {
            return Err(bad("there is no name before the '='"));
        }
        property = Some(name.clone());
        let value = Zeroizing::new(value.trim_matches(BLANKS).to_string());
        profile.set(Property {
            name,
            value,
            place: here,
        });
    }
    Ok(profiles)
}

fn place(file: &Rc<str>, line: usize) -> Place {
    Place {
        file: file.clone(),
        line,
    }
}

fn section(line: &str) -> Option<&str> {
    let line = without_comment(line, false);
    line.strip_prefix('[')?.strip_suffix(']')
}

/// The name of the profile that a section is; `None`: it is none.
fn profile_name(section: &str, config: bool) -> Option<&str> {
    let section = section.trim_matches(BLANKS);
    let prefixed = section
        .strip_prefix("profile")
        .filter(|rest| rest.starts_with(BLANKS));
    match (config, prefixed) {
        (true, Some(name)) => Some(name.trim_matches(BLANKS)),
        (true, None) => (section == "default").then_some(section),
        (false, None) => Some(section),
        (false, Some(_)) => None,
    }
}

/// A line without the comment at its end, which in a property needs a blank before it.
fn without_comment(line: &str, blank_before: bool) -> &str {
    let mut before = '\0';
    let begin = line.char_indices().find(|(_, c)| {
        let begins = ['#', ';'].contains(c) && (!blank_before || BLANKS.contains(&before));
        before = *c;
        begins
    });
    line[..begin.map_or(line.len(), |(at, _)| at)].trim_matches(BLANKS)
}

#[cfg(test)]
impl Shared {
    /// Made from texts.
    pub(super) fn of(config: &str, credentials: &str) -> Shared {
        let mut shared = Shared::default();
        for (label, text, is_config) in [("'/c'", config, true), ("'/k'", credentials, false)] {
            let label: Rc<str> = label.into();
            let profiles = parse(&label, text, is_config).unwrap();
            shared.merge(label, profiles);
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_sdks() {
        let shared = Shared::of(
            "# c\n[default]\nregion = eu-central-1 ; here\n\n[profile  two]\nRole_Arn=arn#1\n[three]\nregion=x\n\
             [sso-session s]\nsso_region = y\n[profile nested]\ns3 =\n  a = b\n  c = d\n[profile two]\nexternal_id = x\n",
            "[default]\naws_access_key_id=A\n[two]\nregion = from credentials\n[profile four]\na = b\n",
        );
        let get = |profile: &str, name: &str| {
            let property = shared.get(profile)?.get(name)?;
            Some((property.value.to_string(), property.place.to_string()))
        };
        let is = |value: &str, place: &str| Some((value.to_string(), place.to_string()));
        assert_eq!(get("default", "region"), is("eu-central-1", "'/c' line 3"));
        assert_eq!(get("default", "aws_access_key_id"), is("A", "'/k' line 2"));
        assert_eq!(get("two", "role_arn"), is("arn#1", "'/c' line 6"));
        assert_eq!(get("two", "region"), is("from credentials", "'/k' line 4"));
        assert_eq!(get("two", "external_id"), is("x", "'/c' line 16"));
        assert_eq!(get("nested", "s3"), is("\na = b\nc = d", "'/c' line 12"));
        assert!(
            ["three", "four", "s"]
                .iter()
                .all(|n| shared.get(n).is_none())
        );
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, line, why) in [
            ("[default]\n region=x\n", 2, "begins with a blank"),
            ("\nregion=x\n", 2, "before the first section"),
            (" x\n", 1, "before the first section"),
            ("[default\n", 1, "must end with ']'"),
            ("[default]\naws_secret_access_key hidden\n", 2, "no '='"),
            ("[sso-session x]\n= hidden\n", 2, "no name"),
        ] {
            let e = parse(&"'/c'".into(), text, true)
                .map(drop)
                .unwrap_err()
                .to_string();
            assert!(
                e.contains(&format!("'/c' line {line}: ")) && e.contains(why),
                "{e}"
            );
            assert!(!e.contains("hidden"), "{e}");
        }
        assert!(
            text("'/c'", b"a\nb\xff")
                .unwrap_err()
                .to_string()
                .contains("'/c' line 2")
        );
        assert!(text("'/c'", "\u{feff}a".as_bytes()).is_err());
    }
}
