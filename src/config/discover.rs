//! Finding the configuration, as the server finds its own.
//!
//! Owns the interpretation of the server's command line (`--defaults-*`, help runs) and the order
//! of the places: global JSON, local JSON over it, else the group `[keyring_ward]`. It must never
//! open a secret or a keyring.

use super::server::ServerOptions;
use super::{Config, Layer, OP, arguments, json, lesser, option_file};
use crate::error::{Error, Kind, Result};
use crate::options::parse_bool;
use crate::os::file;
use crate::os::{denied, identity, trusted};
use crate::text::shorten;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process's command line and surroundings, as far as they decide about option files.
#[derive(Clone, Debug, Default)]
pub struct CommandLine {
    /// The arguments behind the program's name.
    pub args: Vec<OsString>,
    /// The folder that relative paths start from.
    pub cwd: PathBuf,
    /// `$MYSQL_HOME`
    pub mysql_home: Option<PathBuf>,
    /// `$HOME`
    pub home: Option<PathBuf>,
    /// `$MYSQL_GROUP_SUFFIX`
    pub group_suffix: Option<String>,
}

impl CommandLine {
    /// This process's. Must be called before the server changes its working directory.
    pub fn of_this_process() -> CommandLine {
        let read =
            File::open("/proc/self/cmdline").and_then(|mut f| file::read_bounded(&mut f, 4 << 20));
        let args = match read {
            Ok(bytes) => bytes
                .split(|b| *b == 0)
                .skip(1)
                .map(|a| OsString::from_vec(a.to_vec()))
                .collect(),
            // No /proc is no reason to take it for empty.
            Err(_) => std::env::args_os().skip(1).collect(),
        };
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        CommandLine {
            args,
            cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()),
            mysql_home: path("MYSQL_HOME"),
            home: path("HOME"),
            group_suffix: std::env::var("MYSQL_GROUP_SUFFIX").ok(),
        }
    }

    /// The server was started to print its help or to validate its options, not to serve: it
    /// loads keyrings all the same, and they must touch nothing.
    pub fn is_help_run(&self) -> bool {
        self.args.iter().any(|arg| {
            let arg = arg.as_bytes();
            if let Some(mut long) = arg.strip_prefix(b"--") {
                let loose = |l: &[u8]| l.starts_with(b"loose-") || l.starts_with(b"loose_");
                while loose(long) {
                    long = &long[b"loose-".len()..];
                }
                let name = long.split(|b| *b == b'=').next().unwrap_or(b"");
                let name: Vec<u8> = name
                    .iter()
                    .map(|b| if *b == b'_' { b'-' } else { *b })
                    .collect();
                // The server accepts unambiguous beginnings of long options.
                (name.len() >= 3 && b"help".starts_with(&name))
                    || (name.len() >= 9 && b"validate-config".starts_with(&name))
            } else {
                // Short options without a value may stand together: -v?, -?V.
                arg.strip_prefix(b"-").is_some_and(|short| {
                    short
                        .iter()
                        .take_while(|b| b"vV?".contains(b))
                        .any(|b| *b == b'?')
                })
            }
        })
    }

    /// The server was started to make a data directory (`--initialize`, `--initialize-insecure`), which must be empty
    /// until it has looked.
    pub fn is_initialize_run(&self) -> bool {
        arguments::options(&self.args)
            .iter()
            .any(|o| matches!(o.name.as_str(), "initialize" | "initialize-insecure") && o.is_on())
    }

    /// The server was started to move keys between two keyrings (`--keyring-migration-source` and others): it serves
    /// nobody, and has not gone to its data directory.
    pub fn is_migration_run(&self) -> bool {
        self.args.iter().any(|arg| {
            let arg = arg.to_string_lossy().replace('_', "-");
            arg.starts_with("--keyring-migration-") || arg.starts_with("--loose-keyring-migration-")
        })
    }

    fn value_of(&self, option: &str) -> Option<&std::ffi::OsStr> {
        // Defaults options stand at the front, or the server refuses them.
        self.args
            .iter()
            .take_while(|a| is_defaults_option(a.as_bytes()))
            .find_map(|arg| {
                arg.as_bytes()
                    .strip_prefix(option.as_bytes())
                    .map(std::ffi::OsStr::from_bytes)
            })
    }

    /// The lines of these groups in the server's option files.
    pub fn option_files(&self, groups: &[&str]) -> option_file::Reader {
        let suffix = self
            .value_of("--defaults-group-suffix=")
            .map(|s| s.to_string_lossy().into_owned())
            .or_else(|| self.group_suffix.clone());
        let mut reader = option_file::Reader::new(groups, suffix.as_deref(), &self.cwd);
        if self.value_of("--no-defaults").is_some() {
            return reader;
        }
        if let Some(file) = self.value_of("--defaults-file=") {
            reader.read_required(Path::new(file));
            return reader;
        }
        reader.read(Path::new("/etc/my.cnf"));
        reader.read(Path::new("/etc/mysql/my.cnf"));
        if let Some(home) = &self.mysql_home {
            reader.read(&home.join("my.cnf"));
        }
        if let Some(extra) = self.value_of("--defaults-extra-file=") {
            reader.read_required(Path::new(extra));
        }
        if let Some(home) = &self.home {
            // Usually a person's own, with a password in it: one that the account can't read is none of the server's.
            let (denied, ignored) = (reader.denied.len(), reader.ignored.len());
            reader.read(&home.join(".my.cnf"));
            if reader.denied.len() > denied {
                reader.ignored.truncate(ignored);
            }
            reader.denied.truncate(denied);
        }
        reader
    }
}

fn is_defaults_option(arg: &[u8]) -> bool {
    [
        &b"--no-defaults"[..],
        b"--defaults-",
        b"--print-defaults",
        b"--login-path",
        b"--no-login-paths",
    ]
    .iter()
    .any(|p| arg.starts_with(p))
}

/// The component's configuration. `component_dir` is the plugin directory, `instance_dir` the
/// data directory (or what a migration tool names).
///
/// # Errors
/// Config and Permission, with the place.
pub fn component_config(
    component_dir: &Path,
    instance_dir: Option<&Path>,
    command_line: &CommandLine,
) -> Result<Config> {
    let layer = component_layer(component_dir, instance_dir, command_line)?;
    match layer.is_empty() {
        true => Err(nothing(Some(component_dir), &[], command_line)),
        false => layer.finish(),
    }
}

/// The name of the JSON file in the plugin directory and in the data directory.
pub const JSON_NAME: &str = "component_keyring_ward.cnf";

/// What [`component_config`] finds, before it is checked; empty where nothing is configured.
///
/// # Errors
/// Config and Permission, with the place.
pub fn component_layer(
    component_dir: &Path,
    instance_dir: Option<&Path>,
    command_line: &CommandLine,
) -> Result<Layer> {
    let mut layer = Layer::default();
    if let Some(global) = read_json(&component_dir.join(JSON_NAME), Place::Trusted)? {
        layer = global.layer;
        if global.read_local_config {
            let folder = match instance_dir {
                Some(dir) => dir.to_path_buf(),
                None => std::env::current_dir()
                    .map_err(|e| Error::io(OP, "the working directory", e))?,
            };
            let local_path = folder.join(JSON_NAME);
            if let Some(local) = read_json(&local_path, Place::WritableByServer)? {
                if local.read_local_config {
                    return Err(Error::new(
                        Kind::Config,
                        OP,
                        format!(
                            "read_local_config stands in the local file '{}'",
                            local_path.display()
                        ),
                    )
                    .hint("It belongs into the global file only."));
                }
                lesser::refuse_weaker(&layer, &local.layer)?;
                layer.overlay(local.layer);
            }
        }
    }
    if layer.is_empty() {
        let reader = command_line.option_files(&[option_file::GROUP]);
        // The server, as root, may have read it: what it says of us is not unsaid by that.
        if let Some(file) = reader.denied.first() {
            let e = std::io::ErrorKind::PermissionDenied.into();
            return Err(denied::error(OP, file, e));
        }
        layer = reader.layer()?;
    }
    Ok(layer)
}

/// The error for a component for which nothing is configured. `more`: other places that were looked at.
pub fn nothing(component_dir: Option<&Path>, more: &[&str], command_line: &CommandLine) -> Error {
    let reader = command_line.option_files(&[option_file::GROUP]);
    let ignored = match reader.refused.is_empty() && reader.ignored.is_empty() {
        true => String::new(),
        false => format!(
            "; not read: {}",
            [reader.refused, reader.ignored].concat().join("; ")
        ),
    };
    let json = match component_dir {
        Some(dir) => format!("'{}'", dir.join(JSON_NAME).display()),
        None => format!("{JSON_NAME} in the plugin directory, which is not known"),
    };
    let more: String = more
        .iter()
        .map(|place| format!(", or in {place}"))
        .collect();
    let mistaken = mistaken(&reader.near_groups, command_line);
    Error::new(
        Kind::Config,
        OP,
        format!(
            "nothing is configured: no options in {json}, in the group [{}] of my.cnf{more}{mistaken}{ignored}",
            option_file::GROUP
        ),
    )
    .hint("Write one of them (docs/guide/install.md), then reload the keyring or restart the server.")
}

/// What stands in option files and was meant for us, it seems.
fn mistaken(near_groups: &[String], command_line: &CommandLine) -> String {
    let group = option_file::GROUP;
    let near = match near_groups.first() {
        Some(near) => format!(" ({near}: did you mean [{group}]?)"),
        None => String::new(),
    };
    let plugins = ServerOptions::read(command_line).has_variables();
    match plugins {
        true => format!(
            "{near} ({group}_* in [mysqld] are the plugin's; the component needs the group [{group}])"
        ),
        false => near,
    }
}

/// What the plugin's variables say, with the file that `config_file` names below them.
///
/// # Errors
/// Config: the file does not exist, or is none that the plugin can have. Those of reading it.
pub fn plugin_layer(mut variables: Layer) -> Result<Layer> {
    let Some(file) = variables.take("config_file").filter(|f| !f.is_empty()) else {
        return Ok(variables);
    };
    let shown = format!("'{}'", shorten(&file));
    let bad = |why: String, hint: &str| Err(Error::new(Kind::Config, OP, why).hint(hint));
    let path = Path::new(&file);
    if !path.is_absolute() {
        let why = format!("{shown}, which config_file names, is not an absolute path");
        return bad(
            why,
            "Give the path from the root on: the server changes its working directory.",
        );
    }
    let Some(document) = read_json(path, Place::Trusted)? else {
        let why = format!("{shown}, which config_file names, does not exist");
        return bad(why, "Write it, or correct loose_keyring_ward_config_file.");
    };
    if document.read_local_config {
        let why = format!("read_local_config stands in {shown}");
        return bad(why, "It is the component's: take it out.");
    }
    let mut layer = document.layer;
    // A variable that is false is one that nobody has set.
    if variables.get("read_only").and_then(parse_bool) == Some(false) {
        variables.take("read_only");
    }
    layer.overlay(variables);
    Ok(layer)
}

/// Who can write the folder of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Administrators only (the plugin directory).
    Trusted,
    /// The account that runs mysqld, too (the data directory): a root server reads such a file
    /// with the rights of the folder's owner and follows no symbolic link.
    WritableByServer,
}

/// Reads one JSON configuration file; `None` where it does not exist.
///
/// # Errors
/// Config, Permission, Io.
pub fn read_json(path: &Path, place: Place) -> Result<Option<json::Document>> {
    let folder = path
        .parent()
        .filter(|f| place == Place::WritableByServer && f.is_dir());
    match folder {
        Some(folder) => identity::as_owner_of(folder, || read_json_here(path, place)),
        None => read_json_here(path, place),
    }
}

fn read_json_here(path: &Path, place: Place) -> Result<Option<json::Document>> {
    let shown = format!("'{}'", path.display());
    let opened = match identity::is_root() {
        true => open_as_root(path, place, &shown)?,
        false => open_as_account(path, place, &shown)?,
    };
    let Some(mut file) = opened else {
        return Ok(None);
    };
    let text =
        file::read_bounded(&mut file, json::MAX_CONFIG).map_err(|e| Error::io(OP, &shown, e))?;
    json::parse(&text, &shown).map(Some)
}

fn open_as_account(path: &Path, place: Place, shown: &str) -> Result<Option<File>> {
    let opened = match place {
        Place::WritableByServer => file::open(path, file::Access::Read),
        Place::Trusted => file::open_following(path),
    };
    let (file, meta) = match opened {
        Ok(opened) => opened,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(denied::error(OP, path, e));
        }
        Err(e) => return Err(Error::io(OP, shown, e)),
    };
    if meta.mode() & 0o002 != 0 {
        return Err(
            Error::new(Kind::Permission, OP, format!("{shown} is world-writable"))
                .hint(format!("Run: chmod o-w {shown}")),
        );
    }
    Ok(Some(file))
}

/// Root believes what nobody else can have written: as whom it goes on, and which files it makes, stands there.
fn open_as_root(path: &Path, place: Place, shown: &str) -> Result<Option<File>> {
    if place == Place::WritableByServer
        && path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
    {
        let why = format!("{shown} is a symbolic link, which is not followed");
        return Err(Error::new(Kind::Permission, OP, why));
    }
    let absolute = std::path::absolute(path).map_err(|e| Error::io(OP, shown, e))?;
    match trusted::open(&absolute, trusted::Rule::Settings, OP) {
        Ok(found) => Ok(Some(found.file)),
        Err(e) if e.kind() == Kind::NotFound => Ok(None),
        Err(e) if e.kind() == Kind::Permission => Err(e.hint(NAME_THE_ACCOUNT)),
        Err(e) => Err(e),
    }
}

/// What root does where a file is not its own.
const NAME_THE_ACCOUNT: &str = "Root takes no word of a file that somebody else can change. Name the account that runs mysqld, --user, or run \
     this as that account; or make the file and the folders above it root's, writable by nobody else.";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> CommandLine {
        CommandLine {
            args: args.iter().map(OsString::from).collect(),
            cwd: "/".into(),
            ..CommandLine::default()
        }
    }

    #[test]
    fn help_runs() {
        for args in [
            &["--verbose", "--help"][..],
            &["--help"],
            &["-?"],
            &["-v?"],
            &["-?V"],
            &["--user=mysql", "--validate-config"],
            &["--validate_config"],
            &["--validate-config=1"],
            &["--hel"],
            &["--loose_help"],
        ] {
            assert!(line(args).is_help_run(), "{args:?}");
        }
        for args in [
            &["--user=mysql"][..],
            &["--initialize"],
            &["-uhelp"],
            &["--validate-user-plugins=1"],
            &["--h=/data"],
            &["--datadir=/a?b"],
            &[],
        ] {
            assert!(!line(args).is_help_run(), "{args:?}");
        }
    }

    #[test]
    fn initialize_runs() {
        assert!(line(&["--user=mysql", "--initialize"]).is_initialize_run());
        assert!(line(&["--initialize-insecure"]).is_initialize_run());
        assert!(line(&["--loose_initialize", "-umysql"]).is_initialize_run());
        assert!(line(&["-aIumysql"]).is_initialize_run());
        assert!(!line(&["--initialize=0"]).is_initialize_run());
        assert!(!line(&["--init-file=/x", "--user=mysql"]).is_initialize_run());
    }

    #[test]
    fn migration_runs() {
        assert!(line(&["--keyring-migration-source=keyring_ward.so"]).is_migration_run());
        assert!(line(&["--user=mysql", "--keyring_migration_to_component"]).is_migration_run());
        assert!(!line(&["--keyring-ward-path=/k"]).is_migration_run());
    }

    #[test]
    fn local_over_global_over_my_cnf() {
        let plugins = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        let cnf = plugins.path().join("my.cnf");
        std::fs::write(
            &cnf,
            "[keyring_ward]\nbackend=file\npath=/c\nfile_key_file=/k\n",
        )
        .unwrap();
        let defaults = format!("--defaults-file={}", cnf.display());
        let cmd = line(&[&defaults]);
        let find = || component_config(plugins.path(), Some(data.path()), &cmd);
        assert_eq!(find().unwrap().path, Path::new("/c"));

        let name = "component_keyring_ward.cnf";
        let global = plugins.path().join(name);
        std::fs::write(&global, r#"{"read_local_config": true}"#).unwrap();
        assert_eq!(
            find().unwrap().path,
            Path::new("/c"),
            "JSON without options changes nothing"
        );
        std::fs::write(
            &global,
            r#"{"read_local_config": true, "backend": "file", "file": {"key_file": "/g"}}"#,
        )
        .unwrap();
        assert!(find().unwrap_err().to_string().contains("no path"));
        std::fs::write(
            data.path().join(name),
            r#"{"path": "/l", "read_only": false}"#,
        )
        .unwrap();
        assert_eq!(find().unwrap().path, Path::new("/l"));
    }

    #[test]
    fn a_local_file_may_not_be_a_link_a_global_one_may() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(read_json(&link, Place::Trusted).unwrap().is_some());
        let e = read_json(&link, Place::WritableByServer).unwrap_err();
        assert!(e.to_string().contains("symbolic link"), "{e}");
        let e = read_json(dir.path(), Place::Trusted).unwrap_err();
        assert!(e.to_string().contains("folder"), "{e}");
    }

    #[test]
    fn what_was_meant_for_us_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let cnf = dir.path().join("my.cnf");
        let said = |text: &str| {
            std::fs::write(&cnf, text).unwrap();
            let defaults = format!("--defaults-file={}", cnf.display());
            let found = component_config(Path::new("/nowhere"), None, &line(&[&defaults]));
            found.unwrap_err().to_string()
        };
        let plugin = said("[mysqld]\nloose_keyring_ward_path=/k\n");
        assert!(
            plugin.contains("the component needs the group [keyring_ward]"),
            "{plugin}"
        );
        let hyphen = said("[keyring-ward]\npath=/k\n");
        assert!(
            hyphen.contains("[keyring-ward] in ")
                && hyphen.contains("did you mean [keyring_ward]?"),
            "{hyphen}"
        );
        let nothing = said("[mysqld]\n[client]\n");
        assert!(
            !nothing.contains("the plugin's") && !nothing.contains("did you mean"),
            "{nothing}"
        );
    }

    #[test]
    fn no_defaults_reads_nothing() {
        let e =
            component_config(Path::new("/nowhere"), None, &line(&["--no-defaults"])).unwrap_err();
        assert!(e.to_string().contains("nothing is configured"), "{e}");
    }
}
