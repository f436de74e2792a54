//! How a command is told which keyring it is about.

use clap::Args;
use keyring_ward::admin::pin::Pinned;
use keyring_ward::config::discover::{CommandLine, Place, read_json};
use keyring_ward::config::locate::{self, Found, Places, find};
use keyring_ward::config::written::Written;
use keyring_ward::config::{Config, Layer, find_option};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::drivers::NAMES;
use keyring_ward::os;
use keyring_ward::os::identity::{self, Account};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::Held;
use keyring_ward::secret_source::MAX_SECRET;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Which keyring: that of the server that --defaults-file, --plugin-dir, --datadir and --mysqld name, or of the usual
/// places (its component's or its plugin's configuration, as the server decides); or that of a file, --config; or
/// directly by --path with --passphrase-file, --key-file, --module and the token's options, or --option. What is given
/// directly wins over a configuration.
#[derive(Args)]
pub struct Keyring {
    /// A JSON configuration file (component_keyring_ward.cnf)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["defaults_file", "plugin_dir", "mysqld"])]
    config: Option<PathBuf>,
    /// The option file that the server is started with, instead of the usual ones
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
    /// The suffix of groups that the server is started with
    #[arg(long, value_name = "SUFFIX")]
    defaults_group_suffix: Option<String>,
    /// The server's plugin directory
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// The server's data directory
    #[arg(long, value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// The server's executable, which its manifest lies beside
    #[arg(long, value_name = "FILE")]
    mysqld: Option<PathBuf>,
    /// The account that runs mysqld, e.g. mysql: where root runs this command, it is done with that account's rights
    /// only (default: the owner of the data directory, else of the keyring's folder)
    #[arg(long, value_name = "ACCOUNT")]
    user: Option<String>,
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
    /// Read the key file's bytes from this descriptor, e.g. 3 with 3<file
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["passphrase_file", "key_file", "passphrase_fd", "passphrase_prompt"])]
    key_file_fd: Option<u32>,
    /// Try the KEKs for recovery (use = recovery) as well, before all others; a server never does
    #[arg(long)]
    recovery: bool,
    /// Any option of the configuration by its name in my.cnf, e.g. aws_kms_key_id=alias/mysql; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(usize, String)>,
    /// An option of one KEK of a list, by the KEK's name and the option's, e.g. paper.identity_file=/media/safe/recovery.txt;
    /// may be repeated
    #[arg(long = "kek-option", value_name = "KEK.OPTION=VALUE", value_parser = kek_option)]
    kek_options: Vec<KekOption>,
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
    pub fn read(&self, question: &str, twice: bool) -> Result<Option<Held>> {
        const OP: &str = "read the passphrase";
        let pool = SecretPool::new();
        if let Some(fd) = self.fd {
            let place = format!("descriptor {fd}");
            let fail = |e| Error::io(OP, place.clone(), e);
            // Not opened anew: whoever opened it may have had other rights.
            let file = os::duplicate(fd).map_err(fail)?;
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
            return Ok(Some(Held::new(pool.copy(&secret[..filled])?)));
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
        Ok(Some(Held::new(pool.copy(secret.as_bytes())?)))
    }
}

/// Reads NAME=VALUE; gives the option's index in `OPTIONS`.
fn option(text: &str) -> std::result::Result<(usize, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let index = find_option(|o| o.name == name).ok_or_else(|| {
        format!("there is no option '{name}'; docs/reference/configuration.md lists them")
    })?;
    Ok((index, value.into()))
}

/// An option of one KEK of a list.
#[derive(Clone)]
struct KekOption {
    kek: String,
    member: String,
    value: String,
}

/// Reads KEK.OPTION=VALUE.
fn kek_option(text: &str) -> std::result::Result<KekOption, String> {
    let parts = text.split_once('=').and_then(|(name, value)| {
        let (kek, member) = name.split_once('.')?;
        Some((kek, member, value))
    });
    let (kek, member, value) = parts.ok_or("write KEK.OPTION=VALUE")?;
    Ok(KekOption {
        kek: kek.into(),
        member: member.into(),
        value: value.into(),
    })
}

/// A KEK on a PKCS#11 token, as in the configuration.
#[derive(Args)]
pub struct Pkcs11 {
    // Its help names every driver.
    #[arg(long, value_name = "NAME", help = format!("{NAMES} (default: pkcs11 where --module is given)"))]
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

/// A keyring and, where one was named or found, its server.
pub struct Subject {
    /// Its configuration.
    pub config: Result<Config>,
    /// Its server.
    pub server: Option<Found>,
    /// The server's data directory.
    pub data_dir: Option<PathBuf>,
    /// The data directory whose marker knows this keyring: the one that --datadir names, or that of the server whose
    /// configuration names the keyring. Another keyring that is named directly has nothing to do with that server's.
    pub marker_dir: Option<PathBuf>,
}

impl Keyring {
    /// The same for a look at an HSM, which needs neither a keyring file nor a key yet.
    pub fn hsm_config(&self) -> Result<Config> {
        let defaults = [
            ("path", "/var/lib/mysql-keyring/keyring.ward"),
            ("pkcs11_key_label", "keyring-ward"),
        ];
        let named = self.is_named(true);
        self.subject_of(self.direct()?, named, &defaults).config
    }

    /// The configuration that the options describe.
    pub fn config(&self) -> Result<Config> {
        self.subject()?.config
    }

    /// The fingerprints that the configuration pins now. No secret is asked for again.
    ///
    /// # Errors
    /// As [`Keyring::config`].
    pub fn pinned(&self) -> Result<Pinned> {
        let mut layer = self.layer(self.is_named(false)).0?;
        layer.overlay(self.direct_but_for_the_secret());
        layer.pinned()
    }

    /// The configuration as an administrator writes it down. A passphrase that is asked for stands in no file yet.
    ///
    /// # Errors
    /// As [`Keyring::config`].
    pub fn written(&self) -> Result<Written> {
        let mut asked = Layer::from_origin("the command line");
        if self.passphrase_fd.is_some() || self.passphrase_prompt {
            set(&mut asked, "file_passphrase_file", SOMEWHERE);
        } else if self.key_file_fd.is_some() {
            set(&mut asked, "file_key_file", SOMEWHERE);
        }
        self.written_with(asked)
    }

    /// The same with another KEK.
    ///
    /// # Errors
    /// As [`Keyring::config`].
    pub fn written_with(&self, kek: Layer) -> Result<Written> {
        let mut whole = self.layer(self.is_named(false)).0?;
        for over in [self.direct_but_for_the_secret(), kek] {
            if !over.is_empty() {
                whole.override_with(over);
            }
        }
        whole.written()
    }

    /// The keyring that the options describe, and its server.
    pub fn subject(&self) -> Result<Subject> {
        let named = self.is_named(false);
        Ok(self.subject_of(self.direct()?, named, &[]))
    }

    /// What is given directly says which keyring, or (`hsm`) which token.
    fn is_named(&self, hsm: bool) -> bool {
        match hsm {
            true => self.pkcs11.module.is_some(),
            false => self.direct_but_for_the_secret().has_path(),
        }
    }

    /// It is to be found as a server finds it.
    fn is_a_servers(&self, named: bool) -> bool {
        let asked =
            self.defaults_file.is_some() || self.plugin_dir.is_some() || self.mysqld.is_some();
        self.config.is_none() && (asked || !named)
    }

    /// Whose rights this command shall have where root runs it; `None`: there is nothing to tell it by. `hsm`: it is about
    /// a token, and a keyring need not be named.
    ///
    /// Root's own word decides: the command line, and files that nobody else can have written. A file that somebody else
    /// can write says as whom it is read by whose it is, never by what is in it.
    ///
    /// # Errors
    /// InvalidInput: there is no account of the name that was given. Permission: it can't be told whose the server is.
    pub fn account(&self, hsm: bool) -> Result<Option<Account>> {
        if !identity::is_root() {
            return Ok(None);
        }
        if let Some(user) = &self.user {
            return os::lookup::named(user).map(Some);
        }
        if let Some(owner) = self.owner_of_data(hsm)? {
            return Ok(Some(owner));
        }
        if let Some(path) = self.direct_but_for_the_secret().path() {
            return identity::owner_of_nearest(&path).map(Some);
        }
        let files = match (&self.config, self.is_a_servers(self.is_named(hsm))) {
            (Some(file), _) => vec![file.clone()],
            (None, true) => locate::strangers(&self.places()),
            (None, false) => Vec::new(),
        };
        if let Some(owner) = owner_of_all(&files)?.filter(|owner| !owner.is_root()) {
            return Ok(Some(owner));
        }
        self.place(hsm)
            .map(|path| identity::owner_of_nearest(&path))
            .transpose()
    }

    /// Whose the data directory is, unless it is root's or not known.
    fn owner_of_data(&self, hsm: bool) -> Result<Option<Account>> {
        let data_dir = match self.is_a_servers(self.is_named(hsm)) {
            true => locate::data_dir(&self.places()),
            false => self.datadir.clone(),
        };
        match data_dir.filter(|dir| dir.is_dir()) {
            Some(dir) => Ok(Some(identity::owner_of(&dir)?).filter(|owner| !owner.is_root())),
            None => Ok(None),
        }
    }

    /// Whose the server is, or else the keyring, for somebody who is not root. `None`: that is not known.
    pub fn owner(&self, hsm: bool) -> Option<Account> {
        let of_data = self.owner_of_data(hsm).ok().flatten();
        of_data.or_else(|| identity::owner_of_nearest(&self.place(hsm)?).ok())
    }

    /// The data directory that this keyring's server may have: that which is named, else the usual one.
    pub fn likely_data_dir(&self) -> Option<PathBuf> {
        self.datadir
            .clone()
            .or_else(|| locate::data_dir(&self.places()))
    }

    /// Where the keyring is, or shall be, as far as that is known. What is wrong with a file the command itself will say.
    pub fn place(&self, hsm: bool) -> Option<PathBuf> {
        self.direct_but_for_the_secret().path().or_else(|| {
            let layer = self.layer(self.is_named(hsm)).0;
            layer.ok().and_then(|layer| layer.path())
        })
    }

    /// Where `account` is to make its keyring, if root's own word is the same: the command line, or files that nobody else
    /// can have written.
    pub fn place_by_roots_word(&self, account: &Account) -> Option<PathBuf> {
        let wanted = identity::run_as(account, || Ok(self.place(false))).ok()??;
        let named = match (self.direct_but_for_the_secret().path(), &self.config) {
            (Some(path), _) => vec![path],
            (None, Some(file)) => read_file(file).ok()?.path().into_iter().collect(),
            (None, None) => locate::paths(&self.places()),
        };
        named.contains(&wanted).then_some(wanted)
    }

    /// Gives root's rights up for good.
    ///
    /// # Errors
    /// As [`Keyring::account`]; Permission: its rights can't be taken on.
    pub fn take_on_account(&self, hsm: bool) -> Result<()> {
        match self.account(hsm)? {
            Some(account) => identity::become_for_good(&account),
            None => Ok(()),
        }
    }

    /// The same for a look at what a server will do: with the groups of the one that runs, where one does. Gives whether
    /// groups that an orchestrator adds may be missing.
    ///
    /// # Errors
    /// As [`Keyring::take_on_account`].
    pub fn take_on_servers_account(&self, hsm: bool) -> Result<bool> {
        let Some(mut account) = self.account(hsm)? else {
            return Ok(false);
        };
        let running = self.likely_data_dir().and_then(|dir| {
            // With the account's rights: the folder is its own.
            let server = || Ok(os::running::server_of(&dir).ok().flatten());
            let process = identity::run_as(&account, server).ok()??;
            os::running::groups_of(process, account.uid)
        });
        let unknown = running.is_none();
        account.groups = running.unwrap_or(account.groups);
        identity::become_for_good(&account)?;
        Ok(unknown)
    }

    /// `named`: what is given directly says which keyring.
    fn subject_of(&self, direct: Layer, named: bool, defaults: &[(&str, &str)]) -> Subject {
        let (layer, server) = self.layer(named);
        let configured = layer.as_ref().ok().and_then(Layer::path);
        let is_the_servers = !direct.has_path() || direct.path() == configured;
        let config = layer.and_then(|layer| {
            let mut whole = Layer::default();
            for (name, value) in defaults {
                set(&mut whole, name, value);
            }
            whole.overlay(layer);
            if !direct.is_empty() {
                whole.override_with(direct);
            }
            for option in &self.kek_options {
                whole.set_of_kek(&option.kek, &option.member, &option.value)?;
            }
            let mut config = whole.finish()?;
            config.keks.recovering = self.recovery;
            Ok(config)
        });
        let found = server.as_ref().and_then(|s: &Found| s.data_dir.clone());
        let data_dir = self.datadir.clone().or(found);
        Subject {
            config,
            server,
            marker_dir: (data_dir.clone()).filter(|_| is_the_servers || self.datadir.is_some()),
            data_dir,
        }
    }

    /// What is configured, without what is given directly.
    fn layer(&self, named: bool) -> (Result<Layer>, Option<Found>) {
        match &self.config {
            Some(file) => (read_file(file), None),
            None if !self.is_a_servers(named) => {
                let mut layer = Layer::default();
                set(&mut layer, "backend", "file");
                (Ok(layer), None)
            }
            None => {
                let mut found = find(&self.places());
                let layer = std::mem::replace(&mut found.layer, Ok(Layer::default()));
                let layer = match layer {
                    Ok(layer) if layer.is_empty() && !named => Err(found
                        .nothing()
                                .hint("Write one of them (docs/guide/install.md). For another server name its --plugin-dir, --datadir or --defaults-file; or name the keyring itself: --config, or --path.")),
                    layer => layer,
                };
                (layer, Some(found))
            }
        }
    }

    fn places(&self) -> Places {
        let mut command_line = CommandLine::of_this_process();
        command_line.args.clear();
        if let Some(file) = &self.defaults_file {
            let mut argument = std::ffi::OsString::from("--defaults-file=");
            argument.push(file);
            command_line.args.push(argument);
        }
        if let Some(suffix) = &self.defaults_group_suffix {
            command_line.group_suffix = Some(suffix.clone());
        }
        Places {
            plugin_dir: self.plugin_dir.clone(),
            data_dir: self.datadir.clone(),
            mysqld: self.mysqld.clone(),
            command_line,
        }
    }

    /// What is given directly.
    fn direct(&self) -> Result<Layer> {
        let asked = Asked {
            fd: self.passphrase_fd,
            prompt: self.passphrase_prompt,
        };
        let mut direct = self.direct_but_for_the_secret();
        if let Some(held) = asked.read("Passphrase: ", false)? {
            direct.hold(held);
        }
        let key_file = Asked {
            fd: self.key_file_fd,
            prompt: false,
        };
        if let Some(held) = key_file.read("", false)? {
            direct.hold_key_file(held);
        }
        Ok(direct)
    }

    fn direct_but_for_the_secret(&self) -> Layer {
        let mut direct = Layer::from_origin("the command line");
        let path = self.path.as_ref().map(|p| p.display().to_string());
        let named = [
            ("path", path),
            ("file_passphrase_file", self.passphrase_file.clone()),
            ("file_key_file", self.key_file.clone()),
        ];
        for (name, value) in named.into_iter().chain(self.pkcs11.values()) {
            if let Some(value) = value {
                set(&mut direct, name, &value);
            }
        }
        for (index, value) in &self.options {
            direct.set(*index, value.clone());
        }
        direct
    }
}

/// The one account that can change these files; `None`: there are none.
fn owner_of_all(files: &[PathBuf]) -> Result<Option<Account>> {
    let owners: Result<Vec<Account>> = files.iter().map(|f| identity::owner_of_file(f)).collect();
    let mut owners = owners?;
    owners.dedup();
    let Some(owner) = owners.pop() else {
        return Ok(None);
    };
    if owners.is_empty() {
        return Ok(Some(owner));
    }
    let shown: Vec<_> = files.iter().map(|f| format!("'{}'", f.display())).collect();
    let why = format!(
        "several accounts can change its option files: {}",
        shown.join(", ")
    );
    Err(
        Error::new(Kind::Permission, "tell whose the server is", why)
            .hint("Name the account that runs mysqld: --user."),
    )
}

/// Stands for the file of a passphrase that was given otherwise.
pub const SOMEWHERE: &str = "/where/you/keep/it";

/// Sets an option by its name.
pub fn set(layer: &mut Layer, name: &str, value: &str) {
    if let Some(index) = find_option(|o| o.name == name) {
        layer.set(index, value);
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

/// A JSON file as an administrator would write it down.
pub fn file_written(file: &Path) -> Result<Written> {
    read_file(file)?.written()
}

/// The whole configuration in one JSON file.
pub fn file_config(file: &Path) -> Result<Config> {
    read_file(file)?.finish()
}
