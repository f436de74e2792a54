//! How a command is told which keyring it is about.

use clap::Args;
use keyring_ward::config::discover::{CommandLine, Place, component_config, read_json};
use keyring_ward::config::{Config, Layer, find_option};
use keyring_ward::error::{Error, Kind, Result};
use std::path::PathBuf;

/// Name the keyring by its configuration (one of --config, --defaults-file, --plugin-dir), or
/// directly by --path and --passphrase-file or --key-file, which also override the configuration.
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
    /// With --plugin-dir: the server's data directory
    #[arg(long, value_name = "DIR", requires = "plugin_dir")]
    datadir: Option<PathBuf>,
    /// The keyring file
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// The file that holds the passphrase, or credential:NAME
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    passphrase_file: Option<String>,
    /// The key file, or credential:NAME
    #[arg(long, value_name = "FILE")]
    key_file: Option<String>,
}

impl Keyring {
    /// The configuration that the options describe.
    pub fn config(&self) -> Result<Config> {
        let mut direct = Layer::from_origin("the command line");
        for (name, value) in [
            ("path", self.path.as_ref().map(|p| p.display().to_string())),
            ("file_passphrase_file", self.passphrase_file.clone()),
            ("file_key_file", self.key_file.clone()),
        ] {
            if let (Some(index), Some(value)) = (find_option(|o| o.name == name), value) {
                direct.set(index, value);
            }
        }
        let mut layer = match (&self.config, &self.defaults_file) {
            (Some(file), _) => match read_json(file, Place::Trusted)? {
                Some(document) => document.layer,
                None => {
                    return Err(Error::new(
                        Kind::NotFound,
                        "read the configuration",
                        format!("'{}' does not exist", file.display()),
                    ));
                }
            },
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
        layer.finish()
    }
}
