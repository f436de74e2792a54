//! The server's own options, as far as they decide about its keyring: directories, plugins that it loads, and the
//! plugin role's variables `keyring_ward_*`, out of the groups of mysqld in option files.
//!
//! Owns their interpretation; it reads no file itself and must never refuse what the server accepts.

use super::arguments;
use super::discover::CommandLine;
use super::option_file::Line;
use super::{Layer, OPTIONS, find_option};
use crate::options::parse_bool;
use crate::text::nearest;
use std::path::{Path, PathBuf};

/// The groups that a server of 9.7 reads.
pub const GROUPS: [&str; 3] = ["mysqld", "server", "mysqld-9.7"];
/// The plugin's name, and what its variables begin with.
const PLUGIN: &str = "keyring_ward";
/// Names of the library in a plugin directory, whichever of them a plugin option uses.
pub const LIBRARIES: [&str; 2] = ["component_keyring_ward.so", "keyring_ward.so"];

/// One entry of a plugin list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The library's name in the plugin directory.
    pub file: String,
    /// Of the plugins in it, this one only.
    pub name: Option<String>,
    /// Before InnoDB (`early-plugin-load`).
    pub early: bool,
    /// Where it stands.
    pub origin: String,
}

/// What the option files say to the server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// `plugin_dir`
    pub plugin_dir: Option<PathBuf>,
    /// `datadir`
    pub data_dir: Option<PathBuf>,
    /// `basedir`
    pub base_dir: Option<PathBuf>,
    /// `user`
    pub user: Option<String>,
    /// The plugins that are loaded: the early ones, then the others.
    pub plugins: Vec<Plugin>,
    /// The plugin is switched off, and where.
    pub off: Option<String>,
    /// `binlog_format`
    pub binlog_format: Option<String>,
    /// The binary log is switched off.
    pub skips_binlog: bool,
    /// Variables `keyring_ward_*`, without this beginning.
    variables: Vec<Line>,
    /// Files that were ignored, and why.
    pub ignored: Vec<String>,
    /// What the server refuses to start with.
    pub refused: Vec<String>,
    /// Files that root did not read because somebody else could have written them.
    pub strangers: Vec<PathBuf>,
}

impl ServerOptions {
    /// Reads the option files that this command line leads to.
    pub fn read(command_line: &CommandLine) -> ServerOptions {
        let reader = command_line.option_files(&GROUPS);
        let mut options = ServerOptions {
            ignored: reader.ignored,
            refused: reader.refused,
            strangers: reader.strangers,
            ..ServerOptions::default()
        };
        let (mut early, mut later) = (Vec::new(), Vec::new());
        for line in reader.lines {
            options.line(line, &mut early, &mut later);
        }
        options.plugins = [early, later].concat();
        options
    }

    fn line(&mut self, line: Line, early: &mut Vec<Plugin>, later: &mut Vec<Plugin>) {
        let value = line.value.clone().unwrap_or_default();
        let path = || Some(PathBuf::from(&value)).filter(|p| !p.as_os_str().is_empty());
        match line.name.as_str() {
            "plugin_dir" => self.plugin_dir = path(),
            "datadir" => self.data_dir = path(),
            "basedir" => self.base_dir = path(),
            // Of several the first one counts, so that none further down makes the server root.
            "user" if self.user.is_none() => self.user = line.value.clone().map(root_if_empty),
            "skip_user" | "disable_user" if self.user.is_none() => self.user = Some("root".into()),
            "binlog_format" => self.binlog_format = line.value.clone(),
            "skip_log_bin" | "disable_log_bin" => self.skips_binlog = true,
            "log_bin" => self.skips_binlog = false,
            // Of several lines the last one counts, except with -add.
            "early_plugin_load" => *early = plugins(&value, true, &line.origin),
            "plugin_load" => *later = plugins(&value, false, &line.origin),
            "plugin_load_add" => later.extend(plugins(&value, false, &line.origin)),
            PLUGIN | "enable_keyring_ward" => {
                let off = ["0", "off", "false"]
                    .iter()
                    .any(|o| o.eq_ignore_ascii_case(&value));
                self.off = off.then_some(line.origin);
            }
            "skip_keyring_ward" | "disable_keyring_ward" => self.off = Some(line.origin),
            name => {
                let rest = name
                    .strip_prefix(PLUGIN)
                    .and_then(|rest| rest.strip_prefix('_'));
                if let Some(rest) = rest {
                    self.variables.push(Line {
                        name: rest.to_string(),
                        ..line
                    });
                }
            }
        }
    }

    /// The entry that loads our plugin, if there is one. `plugin_dir` shows what a name leads to.
    pub fn ours(&self, plugin_dir: Option<&Path>) -> Option<&Plugin> {
        let real = |name: &str| plugin_dir.and_then(|d| d.join(name).canonicalize().ok());
        self.plugins.iter().find(|plugin| {
            let file = LIBRARIES.contains(&plugin.file.as_str())
                || real(&plugin.file).is_some_and(|file| Some(file) == real(LIBRARIES[0]));
            let name = plugin.name.as_ref();
            file && name.is_none_or(|name| name.eq_ignore_ascii_case(PLUGIN))
        })
    }

    /// The binary log is written by statement. The server numbers the formats, too.
    pub fn logs_statements(&self) -> bool {
        let format = self.binlog_format.as_deref().unwrap_or_default();
        !self.skips_binlog && (format.eq_ignore_ascii_case("STATEMENT") || format == "1")
    }

    /// Variables of the plugin are set.
    pub fn has_variables(&self) -> bool {
        !self.variables.is_empty()
    }

    /// The plugin's variables as options. What the server passes over with a warning is passed over.
    pub fn layer(&self) -> Layer {
        let mut layer = Layer::from_origin("the variables keyring_ward_* of my.cnf");
        for line in &self.variables {
            let Some(index) = find_option(|o| o.name == line.name) else {
                continue;
            };
            match (OPTIONS[index].name, &line.value) {
                // The server's own booleans: what it does not know is OFF.
                ("read_only", value) => {
                    let on = value.as_deref().is_none_or(|v| parse_bool(v) == Some(true));
                    layer.set(index, on.to_string());
                }
                (_, Some(value)) => {
                    layer.set(index, value.clone());
                }
                (_, None) => {}
            }
        }
        layer
    }

    /// Variables of ours that the server does not know, or knows only with the plugin: (what it refuses to start
    /// with, what it passes over with a warning).
    pub fn unknown_variables(&self, plugin_is_loaded: bool) -> (Vec<String>, Vec<String>) {
        let (mut refused, mut passed_over) = (Vec::new(), Vec::new());
        for line in &self.variables {
            let index = find_option(|o| o.name == line.name);
            let said = match index {
                None => {
                    let near = nearest(&line.name, OPTIONS.iter().map(|o| o.name));
                    let near = near.map(|name| format!(" (did you mean {PLUGIN}_{name}?)"));
                    format!("is no variable of the plugin{}", near.unwrap_or_default())
                }
                Some(_) if !plugin_is_loaded => "is known only where the plugin is loaded".into(),
                Some(i) if line.value.is_none() && OPTIONS[i].name != "read_only" => {
                    "has no value".into()
                }
                Some(_) => continue,
            };
            let said = format!("{PLUGIN}_{}, which {said}, in {}", line.name, line.origin);
            match line.loose && (index.is_none() || !plugin_is_loaded) {
                true => passed_over.push(said),
                false => refused.push(said),
            }
        }
        (refused, passed_over)
    }
}

/// The account that a server was told to become: its first `user`, and option files come before the command line, so
/// that nobody can change by an argument what the administrator wrote.
pub fn user(command_line: &CommandLine) -> Option<String> {
    ServerOptions::read(command_line).user.or_else(|| {
        let mut options = arguments::options(&command_line.args).into_iter();
        options
            .find(|option| option.name == "user")?
            .needed()
            .map(root_if_empty)
    })
}

/// Why statements must not get into the binary log as they are written.
pub const STATEMENTS: &str = "binlog_format is STATEMENT: a key that a routine keeps in a variable gets into the binary log in clear \
     text. SET PERSIST binlog_format = 'ROW', and rotate what was used so far.";

/// The server is told to write statements into its binary log: by its command line, or else by its option files. What was
/// persisted is not looked at, and may say otherwise.
pub fn logs_statements(command_line: &CommandLine) -> bool {
    let mut told = ServerOptions::read(command_line);
    for option in arguments::options(&command_line.args) {
        match option.name.as_str() {
            "binlog-format" => told.binlog_format = option.needed(),
            // Switched off with the value 0.
            "log-bin" => told.skips_binlog = option.value.as_deref() == Some("0"),
            _ => {}
        }
    }
    told.logs_statements()
}

/// The server becomes a daemon: after the keyring is loaded it forks, and its launcher ends.
pub fn is_daemon(command_line: &CommandLine) -> bool {
    let on = |value: Option<&str>| value.is_none_or(|v| parse_bool(v) == Some(true));
    let argued = arguments::options(&command_line.args);
    let argued = (argued.iter().rev())
        .find(|option| option.name == "daemonize")
        .map(|option| on(option.value.as_deref()));
    argued.unwrap_or_else(|| {
        let lines = command_line.option_files(&GROUPS).lines;
        let line = lines.iter().rev().find(|l| l.name == "daemonize");
        line.is_some_and(|l| on(l.value.as_deref()))
    })
}

/// A server that is told to become nobody stays what it is.
fn root_if_empty(user: String) -> String {
    match user.is_empty() {
        true => "root".into(),
        false => user,
    }
}

/// The entries of a list as the server divides it.
fn plugins(list: &str, early: bool, origin: &str) -> Vec<Plugin> {
    list.split([';', ':'])
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (name, file) = match entry.split_once('=') {
                Some((name, file)) => (Some(name.to_string()), file),
                None => (None, entry),
            };
            Plugin {
                file: file.to_string(),
                name,
                early,
                origin: origin.to_string(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn read(text: &str) -> ServerOptions {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        std::fs::write(&file, text).unwrap();
        let mut argument = OsString::from("--defaults-file=");
        argument.push(&file);
        ServerOptions::read(&CommandLine {
            args: vec![argument],
            ..CommandLine::default()
        })
    }

    const VARIABLES: &str = "
        [mysqld]
        early-plugin-load = keyring_ward.so
        loose_keyring_ward_backend=file
        [server]
        loose-keyring-ward-path=/k
        [mysqld-9.7]
        keyring_ward_file_key_file=/kek
        datadir=/d
        [mysqld-8.4]
        datadir=/wrong
        [mysqld_safe]
        user=wrong
    ";

    #[test]
    fn a_binary_log_of_statements() {
        let dir = tempfile::tempdir().unwrap();
        let cnf = dir.path().join("my.cnf");
        let of = |text: &str, args: &[&str]| {
            std::fs::write(&cnf, format!("[mysqld]\n{text}\n")).unwrap();
            let mut argument = OsString::from("--defaults-file=");
            argument.push(&cnf);
            let args = args.iter().map(OsString::from);
            logs_statements(&CommandLine {
                args: std::iter::once(argument).chain(args).collect(),
                ..CommandLine::default()
            })
        };
        assert!(of("binlog_format=STATEMENT", &[]) && of("binlog-format = statement", &[]));
        assert!(of("", &["--binlog-format=STATEMENT"]) && of("", &["--binlog_format", "1"]));
        assert!(!of("", &[]) && !of("binlog_format=MIXED", &[]) && !of("binlog_format=ROW", &[]));
        assert!(!of("binlog_format=STATEMENT", &["--binlog-format=ROW"]));
        assert!(!of("binlog_format=STATEMENT\nskip-log-bin", &[]));
        assert!(!of("binlog_format=STATEMENT", &["--disable-log-bin"]));
        assert!(of("binlog_format=STATEMENT\nskip-log-bin\nlog_bin=b", &[]));
    }

    #[test]
    fn the_servers_account() {
        let dir = tempfile::tempdir().unwrap();
        let cnf = dir.path().join("my.cnf");
        let of = |text: &str, args: &[&str]| {
            std::fs::write(&cnf, text).unwrap();
            let mut argument = OsString::from("--defaults-file=");
            argument.push(&cnf);
            let args = args.iter().map(OsString::from);
            user(&CommandLine {
                args: std::iter::once(argument).chain(args).collect(),
                ..CommandLine::default()
            })
        };
        for args in [
            &["--user=mysql", "--user=root"][..],
            &["--user", "mysql"],
            &["-u", "mysql"],
            &["--datadir=/d", "-umysql"],
            &["--loose-user=mysql"],
            &["--loose_user", "mysql"],
            &["-Iumysql"],
            &["-su", "mysql", "-I"],
        ] {
            assert_eq!(of("", args).as_deref(), Some("mysql"), "{args:?}");
        }
        for args in [&["--user=", "--user=mysql"][..], &["--user="]] {
            assert_eq!(of("", args).as_deref(), Some("root"), "{args:?}");
        }
        assert_eq!(of("", &["--skip-user", "-umysql"]).as_deref(), Some("0"));
        let stays = of("[mysqld]\nuser=\nuser=mysql\n", &[]);
        assert_eq!(stays.as_deref(), Some("root"));
        let first = of("[mysqld]\nuser=db\nuser=root\n", &["--user=root"]);
        assert_eq!(first.as_deref(), Some("db"));
        assert_eq!(of("[client]\nuser=x\n", &["--datadir=/d"]), None);
    }

    #[test]
    fn the_plugin_role_is_read() {
        let options = read(VARIABLES);
        assert_eq!(options.data_dir.as_deref(), Some(Path::new("/d")));
        assert_eq!(options.user, None);
        assert!(options.ours(None).unwrap().early);
        let config = options.layer().finish().unwrap();
        assert_eq!(config.path, Path::new("/k"));
        assert_eq!(
            options.unknown_variables(true),
            (Vec::new(), Vec::<String>::new())
        );
        let (refused, passed_over) = options.unknown_variables(false);
        assert_eq!((refused.len(), passed_over.len()), (1, 2));
    }

    #[test]
    fn which_plugin_lines_load_ours() {
        for (line, loads) in [
            ("early-plugin-load=keyring_ward.so", true),
            ("early_plugin_load=keyring_ward=keyring_ward.so", true),
            (
                "plugin-load-add=KEYRING_WARD=component_keyring_ward.so",
                true,
            ),
            ("plugin-load=auth_socket.so;keyring_ward.so", true),
            ("early-plugin-load=other=keyring_ward.so", false),
            ("early-plugin-load=keyring_ward", false),
            (
                "early-plugin-load=keyring_ward.so\nearly-plugin-load=auth_socket.so",
                false,
            ),
            (
                "plugin-load=auth_socket.so\nplugin-load-add=keyring_ward.so",
                true,
            ),
            (
                "plugin-load-add=keyring_ward.so\nplugin-load=auth_socket.so",
                false,
            ),
            ("early-plugin-load=", false),
        ] {
            let options = read(&format!("[mysqld]\n{line}\n"));
            assert_eq!(options.ours(None).is_some(), loads, "{line}");
        }
        let off = |line: &str| read(&format!("[mysqld]\n{line}\n")).off.is_some();
        assert!(off("keyring_ward=OFF") && off("skip-keyring-ward") && off("loose_keyring-ward=0"));
        assert!(!off("keyring_ward=FORCE") && !off("keyring_ward=OFF\nkeyring_ward=ON"));
    }

    #[test]
    fn mistakes_as_the_server_takes_them() {
        let options = read(
            "[mysqld]\nkeyring_ward_pth=/x\nloose_keyring_ward_pht=/x\nloose_keyring_ward_path\nkeyring_ward_read_only=maybe\n",
        );
        let (refused, passed_over) = options.unknown_variables(true);
        assert_eq!((refused.len(), passed_over.len()), (2, 1), "{refused:?}");
        assert!(refused[0].contains("keyring_ward_pth") && refused[0].contains("my.cnf:2"));
        assert!(
            refused[0].contains("did you mean keyring_ward_path?"),
            "{refused:?}"
        );
    }
}
