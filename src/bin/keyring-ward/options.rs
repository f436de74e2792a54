//! How a command is told which keyring it is about.

use clap::Args;
use keyring_ward::config::discover::{CommandLine, Place, component_config, read_json};
use keyring_ward::config::{Config, Held, KekConfig, Layer, SecretRef, find_option};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::secret_file::MAX_SECRET;
use keyring_ward::secret::SecretPool;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Name the keyring by its configuration (one of --config, --defaults-file, --plugin-dir), or
/// directly by --path and --passphrase-file, --key-file, --module with the token's options, or --option, which also
/// override the configuration.
#[derive(Args)]
pub struct Keyring {
    /// A JSON configuration file (component_keyring_ward.cnf)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["defaults_file", "plugin_dir"])]
    config: Option<PathBuf>,
    /// An option file whose group [keyring_ward] is read
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
    /// With --defaults-file: also read the group [keyring_ward<SUFFIX>]
    #[arg(long, value_name = "SUFFIX", requires = "defaults_file")]
    defaults_group_suffix: Option<String>,
    /// The server's plugin directory: find the configuration as the server does
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// The server's data directory
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// The keyring file
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// The file that holds the passphrase, or credential:NAME
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    passphrase_file: Option<String>,
    /// Read the passphrase from this descriptor, e.g. 3 with 3<file
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["passphrase_file", "key_file", "passphrase_prompt"])]
    passphrase_fd: Option<u32>,
    /// Ask for the passphrase on the terminal
    #[arg(long, conflicts_with_all = ["passphrase_file", "key_file"])]
    passphrase_prompt: bool,
    /// The key file, or credential:NAME
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
    /// Any option of the configuration by its name in my.cnf, e.g. aws_kms_key_id=alias/mysql; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(usize, String)>,
    #[command(flatten)]
    pkcs11: Pkcs11,
}

/// A passphrase that is neither in a file nor in an argument.
pub struct Asked {
    /// A descriptor that is open.
    pub fd: Option<u32>,
    /// The terminal.
    pub prompt: bool,
}

impl Asked {
    /// Reads it, if one is meant. `twice`: a new one is typed twice.
    pub fn read(&self, question: &str, twice: bool) -> Result<Option<SecretRef>> {
        const OP: &str = "read the passphrase";
        let pool = SecretPool::new();
        if let Some(fd) = self.fd {
            let place = format!("descriptor {fd}");
            let fail = |e| Error::io(OP, place.clone(), e);
            let file = std::fs::File::open(format!("/proc/self/fd/{fd}")).map_err(fail)?;
            let mut secret = pool.zeroed(MAX_SECRET as usize + 1)?;
            let mut filled = 0;
            let mut file = file.take(MAX_SECRET + 1);
            loop {
                match file.read(&mut secret[filled..]).map_err(fail)? {
                    0 => break,
                    n => filled += n,
                }
            }
            if filled as u64 > MAX_SECRET {
                return Err(Error::new(
                    Kind::InvalidInput,
                    OP,
                    format!("{place} has more than {MAX_SECRET} bytes"),
                ));
            }
            return Ok(Some(SecretRef::Held(Held::new(
                pool.copy(&secret[..filled])?,
            ))));
        }
        if !self.prompt {
            return Ok(None);
        }
        let ask = |question: &str| {
            rpassword::prompt_password(question).map_err(|e| {
                Error::io(OP, "the terminal", e)
                    .hint("There is none? Use --passphrase-fd or --passphrase-file.")
            })
        };
        let secret = ask(question)?;
        if twice && ask("Again: ")? != secret {
            return Err(Error::new(
                Kind::InvalidInput,
                OP,
                "the two are not the same",
            ));
        }
        // The library's allocator wipes what is dropped.
        Ok(Some(SecretRef::Held(Held::new(
            pool.copy(secret.as_bytes())?,
        ))))
    }
}

/// Reads NAME=VALUE; gives the option's index in `OPTIONS`.
fn option(text: &str) -> std::result::Result<(usize, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let index = find_option(|o| o.name == name)
        .ok_or_else(|| format!("there is no option '{name}'; docs/configuration.md lists them"))?;
    Ok((index, value.into()))
}

/// A KEK on a PKCS#11 token, as in the configuration.
#[derive(Args)]
pub struct Pkcs11 {
    /// file, pkcs11 or aws_kms (default: pkcs11 where --module is given)
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// What C_Initialize gets, for modules that need it (NSS)
    #[arg(long, value_name = "TEXT")]
    module_args: Option<String>,
    /// The token's label
    #[arg(long, value_name = "TEXT")]
    token_label: Option<String>,
    /// The token's serial number
    #[arg(long, value_name = "TEXT")]
    token_serial: Option<String>,
    /// The slot's number; may change from start to start
    #[arg(long, value_name = "NUMBER")]
    slot: Option<u64>,
    /// The label of the KEK on the token
    #[arg(long, value_name = "TEXT")]
    key_label: Option<String>,
    /// The CKA_ID of the KEK on the token, hexadecimal
    #[arg(long, value_name = "HEX")]
    key_id: Option<String>,
    /// The file that holds the user PIN, or credential:NAME
    #[arg(long, value_name = "FILE")]
    pin_file: Option<String>,
    /// How the DEK is wrapped: aes-gcm, aes-kwp, aes-kw, aes-cbc+hmac-sha256 (default: the best)
    #[arg(long, value_name = "NAME")]
    mechanism: Option<String>,
}

impl Pkcs11 {
    /// Names of options and their values, as far as they are given.
    fn values(&self) -> [(&'static str, Option<String>); 10] {
        let backend = self.backend.clone();
        let module = self.module.as_ref().map(|m| m.display().to_string());
        [
            (
                "backend",
                backend.or_else(|| module.is_some().then(|| "pkcs11".into())),
            ),
            ("pkcs11_module", module),
            ("pkcs11_module_args", self.module_args.clone()),
            ("pkcs11_token_label", self.token_label.clone()),
            ("pkcs11_token_serial", self.token_serial.clone()),
            ("pkcs11_slot", self.slot.map(|s| s.to_string())),
            ("pkcs11_key_label", self.key_label.clone()),
            ("pkcs11_key_id", self.key_id.clone()),
            ("pkcs11_pin_file", self.pin_file.clone()),
            ("pkcs11_mechanism", self.mechanism.clone()),
        ]
    }
}

impl Keyring {
    /// The server's plugin directory, if it was given.
    pub fn plugin_dir(&self) -> Option<&Path> {
        self.plugin_dir.as_deref()
    }

    /// The server's data directory, if it was given.
    pub fn datadir(&self) -> Option<&Path> {
        self.datadir.as_deref()
    }

    /// The same for a look at an HSM, which needs neither a keyring file nor a key yet.
    pub fn hsm_config(&self) -> Result<Config> {
        self.config_over(&[
            ("path", "/var/lib/mysql-keyring/keyring.ward"),
            ("pkcs11_key_label", "keyring-ward"),
        ])
    }

    /// The configuration that the options describe.
    pub fn config(&self) -> Result<Config> {
        self.config_over(&[])
    }

    fn config_over(&self, defaults: &[(&str, &str)]) -> Result<Config> {
        let asked = Asked {
            fd: self.passphrase_fd,
            prompt: self.passphrase_prompt,
        };
        let held = asked.read("Passphrase: ", false)?;
        let mut config = self.layered(defaults, held.is_some())?;
        if let Some(held) = held {
            config.keks = vec![KekConfig::Passphrase(held)];
        }
        Ok(config)
    }

    /// `held`: the passphrase is known already, its place in the configuration is taken.
    fn layered(&self, defaults: &[(&str, &str)], held: bool) -> Result<Config> {
        let mut direct = Layer::from_origin("the command line");
        for (name, value) in [
            ("path", self.path.as_ref().map(|p| p.display().to_string())),
            (
                "file_passphrase_file",
                self.passphrase_file
                    .clone()
                    .or_else(|| held.then(|| "/".into())),
            ),
            ("file_key_file", self.key_file.clone()),
        ]
        .into_iter()
        .chain(self.pkcs11.values())
        {
            if let (Some(index), Some(value)) = (find_option(|o| o.name == name), value) {
                direct.set(index, value);
            }
        }
        for (index, value) in &self.options {
            direct.set(*index, value.clone());
        }
        let mut layer = match (&self.config, &self.defaults_file) {
            (Some(file), _) => read_file(file)?,
            (None, None) if self.plugin_dir.is_none() => {
                let mut layer = Layer::default();
                if let Some(index) = find_option(|o| o.name == "backend") {
                    layer.set(index, "file");
                }
                layer
            }
            _ => {
                let mut line = CommandLine::of_this_process();
                line.args.clear();
                if let Some(file) = &self.defaults_file {
                    let mut argument = std::ffi::OsString::from("--defaults-file=");
                    argument.push(file);
                    line.args.push(argument);
                    line.group_suffix = self.defaults_group_suffix.clone();
                }
                if let Some(dir) = &self.plugin_dir {
                    return component_config(dir, self.datadir.as_deref(), &line);
                }
                line.option_files()?.layer
            }
        };
        if !direct.is_empty() {
            layer.overlay(direct);
        }
        let mut whole = Layer::default();
        for (name, value) in defaults {
            if let Some(index) = find_option(|o| o.name == *name) {
                whole.set(index, *value);
            }
        }
        whole.overlay(layer);
        whole.finish()
    }
}

fn read_file(file: &Path) -> Result<Layer> {
    match read_json(file, Place::Trusted)? {
        Some(document) => Ok(document.layer),
        None => Err(Error::new(
            Kind::NotFound,
            "read the configuration",
            format!("'{}' does not exist", file.display()),
        )),
    }
}

/// The whole configuration in one JSON file.
pub fn file_config(file: &Path) -> Result<Config> {
    read_file(file)?.finish()
}
