//! Values by the names of options, and how one layer of them lies over another.
//!
//! Owns what the readers find before it is checked. It must never judge a value.

use super::OP;
use super::keks::RawKek;
use super::options::{OPTIONS, place_of};
use crate::error::{Error, Kind, Result};
use crate::kek::KekConfig;
use crate::kek::drivers::DRIVERS;
use crate::kek::file::LocalConfig;
use crate::options::OptionSpec;
use crate::secret_source::{Held, SecretRef};
use crate::text::shorten;

/// The values that one or more readers found; later layers replace earlier ones.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) values: [Option<String>; OPTIONS.len()],
    pub(super) origins: Vec<String>,
    /// The KEKs of a list; `keks` among the values has their names.
    pub(super) keks: Vec<RawKek>,
    /// A secret that the tool has asked for: the KEK, whatever the values say of one.
    pub(super) held: Option<KekConfig>,
}

/// The options of a list of KEKs.
const LIST: [&str; 3] = ["keks", "threshold", "region"];

impl Default for Layer {
    fn default() -> Self {
        Layer {
            values: std::array::from_fn(|_| None),
            origins: Vec::new(),
            keks: Vec::new(),
            held: None,
        }
    }
}

impl Layer {
    /// An empty layer that knows where it comes from.
    pub fn from_origin(origin: impl Into<String>) -> Layer {
        Layer {
            origins: vec![origin.into()],
            ..Layer::default()
        }
    }

    /// Sets an option of [`OPTIONS`] by its index.
    pub fn set(&mut self, option: usize, value: impl Into<String>) {
        self.values[option] = Some(value.into());
    }

    /// Takes a passphrase that is known already as the KEK.
    pub fn hold(&mut self, passphrase: Held) {
        self.held = Some(LocalConfig::Passphrase(SecretRef::Held(passphrase)).into());
    }

    /// Takes the bytes of a key file that are known already as the KEK.
    pub fn hold_key_file(&mut self, bytes: Held) {
        self.held = Some(LocalConfig::KeyFile(SecretRef::Held(bytes)).into());
    }

    /// No option is set.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none) && self.held.is_none()
    }

    /// The path of the keyring file, if it is set.
    pub fn path(&self) -> Option<std::path::PathBuf> {
        self.given("path").map(Into::into)
    }

    /// A path for the keyring file is set.
    pub fn has_path(&self) -> bool {
        self.given("path").is_some()
    }

    /// Lays on top what an operator has given directly. A KEK that is named there replaces the whole KEK that is
    /// configured: without this, a key file beside a configured passphrase would be two KEKs.
    pub fn override_with(&mut self, direct: Layer) {
        let held = direct.held.as_ref().map(|kek| kek.driver().name);
        let section = OPTIONS
            .iter()
            .filter(|option| direct.given(option.name).is_some())
            .find_map(|option| option.json.0)
            .or(held);
        let backend = direct.given("backend").or(section).map(str::to_string);
        if backend.is_some() {
            // One KEK in the place of all that are configured.
            self.keks.clear();
            for name in LIST {
                self.values[place_of(name)] = None;
            }
        }
        for (value, option) in self.values.iter_mut().zip(&OPTIONS) {
            let section = option.json.0;
            let of_another =
                section.is_some() && backend.is_some() && section != backend.as_deref();
            let instead = held.is_some() && section == held || direct.names_instead_of(option);
            if of_another || instead {
                *value = None;
            }
        }
        self.overlay(direct);
        if let Some(backend) = backend {
            self.values[place_of("backend")] = Some(backend);
        }
    }

    /// It names an option that stands instead of `option`.
    fn names_instead_of(&self, option: &OptionSpec) -> bool {
        DRIVERS
            .iter()
            .flat_map(|driver| driver.instead)
            .any(|names| {
                names.contains(&option.name) && names.iter().any(|name| self.given(name).is_some())
            })
    }

    /// Takes the KEKs of a list, and their names.
    pub(super) fn set_keks(&mut self, keks: Vec<RawKek>) {
        let names: Vec<&str> = keks.iter().map(|kek| kek.name.as_str()).collect();
        self.values[place_of("keks")] = Some(names.join(","));
        self.keks = keks;
    }

    /// Lays `over` on top.
    pub fn overlay(&mut self, over: Layer) {
        for (mine, theirs) in self.values.iter_mut().zip(over.values) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        self.origins.extend(over.origins);
        if !over.keks.is_empty() {
            self.keks = over.keks;
        }
        self.held = over.held.or(self.held.take());
    }

    /// Puts a value in the place of what a KEK of the list says, or beside it.
    ///
    /// # Errors
    /// NotFound: the list has no such KEK.
    pub fn set_of_kek(&mut self, kek: &str, member: &str, value: &str) -> Result<()> {
        let found = self.keks.iter_mut().find(|raw| raw.name == kek);
        let Some(raw) = found else {
            let why = format!("the configuration names no KEK '{}'", shorten(kek));
            return Err(Error::new(Kind::NotFound, OP, why)
                .hint("keyring-ward kek list shows their names."));
        };
        raw.set(member, value.into());
        raw.origin += ", the command line";
        Ok(())
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = OPTIONS.iter().position(|o| o.name == name)?;
        self.values[index].take()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let index = OPTIONS.iter().position(|o| o.name == name)?;
        self.values[index].as_deref()
    }

    /// A value that is there and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }
}

impl Layer {
    /// These options, by their names, which are all of this version.
    pub(crate) fn of<'a>(
        origin: &str,
        values: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    ) -> Layer {
        let mut layer = Layer::from_origin(origin);
        for (name, value) in values {
            let option = super::find_option(|o| o.name == *name);
            debug_assert!(option.is_some(), "'{name}' is no option");
            option.into_iter().for_each(|i| layer.set(i, *value));
        }
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(values: &[(&str, &str)]) -> Layer {
        Layer::of("test", values)
    }

    const GOOD: [(&str, &str); 3] = [
        ("backend", "file"),
        ("path", "/k/f"),
        ("file_passphrase_file", "/p"),
    ];

    #[test]
    fn the_upper_layer_wins() {
        let mut l = layer(&GOOD);
        l.overlay(layer(&[("path", "/other"), ("read_only", "ON")]));
        let config = l.finish().unwrap();
        assert_eq!(config.path, std::path::PathBuf::from("/other"));
        assert!(config.read_only);
    }

    #[test]
    fn what_is_given_directly_replaces_the_configured_kek() {
        let over = |direct: Layer| {
            let mut l = layer(&GOOD);
            l.set(place_of("fingerprint"), "");
            l.override_with(direct);
            l.finish()
        };
        let config = over(layer(&[("file_key_file", "/k2"), ("path", "/q")])).unwrap();
        assert_eq!(
            config.keks,
            LocalConfig::KeyFile(SecretRef::File("/k2".into())).into()
        );
        assert_eq!(config.path, std::path::PathBuf::from("/q"));
        let config = over(layer(&[("path", "/q")])).unwrap();
        assert_eq!(
            config.keks,
            LocalConfig::Passphrase(SecretRef::File("/p".into())).into()
        );
        // Another backend: what is configured for the old one is not in its way.
        let config = over(layer(&[
            ("aws_kms_key_id", "alias/a"),
            ("aws_kms_region", "eu-west-1"),
        ]))
        .unwrap();
        assert_eq!(config.backend(), "aws_kms");
        let mut held = Layer::from_origin("asked");
        held.hold(Held::new(
            crate::secret::SecretPool::new().copy(b"p").unwrap(),
        ));
        let config = over(held).unwrap();
        assert!(matches!(
            config.keks[0].settings_of(),
            Some(LocalConfig::Passphrase(SecretRef::Held(_)))
        ));
        assert_eq!(config.keks.len(), 1);
        // Both given directly is a contradiction as it always was.
        let both = layer(&[("file_key_file", "/a"), ("file_passphrase_file", "/b")]);
        assert!(over(both).is_err());
    }
}
