//! Finding a server's keyring from outside: which role serves, and its configuration, as the server decides.
//!
//! Owns the decision (a component of the manifest wins over a plugin) and the usual places. It must never decide
//! otherwise than the server does, and never open a secret or a keyring.

use super::discover::{self, CommandLine};
use super::manifest::{self, Manifest};
use super::server::ServerOptions;
use super::{Layer, option_file};
use crate::COMPONENT;
use crate::error::Result;
use std::path::{Path, PathBuf};

/// What the operator has said about the server; what is missing is looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The plugin directory.
    pub plugin_dir: Option<PathBuf>,
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// The server's executable, which the manifest lies beside.
    pub mysqld: Option<PathBuf>,
    /// Which option files the server reads.
    pub command_line: CommandLine,
}

/// Which way a server gets its keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Our component, by the manifest.
    Component,
    /// Our plugin.
    Plugin,
    /// Another component.
    Another(String),
    /// Nothing loads one.
    Nothing,
    /// The server does not come so far.
    NoStart,
    /// The manifest could not be looked for; by everything else it is nobody.
    Unknown,
}

/// A server as it is seen from outside.
pub struct Found {
    /// Its executable.
    pub mysqld: Option<PathBuf>,
    /// Its plugin directory.
    pub plugin_dir: Option<PathBuf>,
    /// Its data directory.
    pub data_dir: Option<PathBuf>,
    /// Its options.
    pub server: ServerOptions,
    /// Its manifest.
    pub manifest: Manifest,
    /// Whose keyring it uses.
    pub serves: Serves,
    /// The configuration of the role that serves; empty where nothing is configured.
    pub layer: Result<Layer>,
    command_line: CommandLine,
}

const EXECUTABLES: [&str; 4] = [
    "/usr/sbin/mysqld",
    "/usr/bin/mysqld",
    "/usr/libexec/mysqld",
    "/usr/local/mysql/bin/mysqld",
];
const DATA_DIR: &str = "/var/lib/mysql";

/// Where a server's files lie, as far as what is said of it, its option files and the usual places tell.
struct Whereabouts {
    server: ServerOptions,
    mysqld: Option<PathBuf>,
    /// The plugin directory that is named.
    named: Option<PathBuf>,
    /// The one that is compiled in.
    usual: Option<PathBuf>,
}

impl Whereabouts {
    fn of(places: &Places) -> Whereabouts {
        let server = ServerOptions::read(&places.command_line);
        let mysqld = places.mysqld.clone();
        let mysqld = mysqld.or_else(|| executable(server.base_dir.as_deref()));
        Whereabouts {
            named: (places.plugin_dir.clone()).or_else(|| server.plugin_dir.clone()),
            usual: usual_plugin_dir(server.base_dir.as_deref(), mysqld.as_deref()),
            server,
            mysqld,
        }
    }

    fn plugin_dir(&self) -> Option<PathBuf> {
        self.named.clone().or_else(|| self.usual.clone())
    }

    fn data_dir(&self, places: &Places) -> Option<PathBuf> {
        // A plugin directory that is not the usual one belongs to another server than the usual data.
        let is_usual = self.named.is_none() || self.named == self.usual;
        let of_usual = || Some(PathBuf::from(DATA_DIR)).filter(|d| is_usual && d.is_dir());
        let given = places.data_dir.clone();
        given
            .or_else(|| self.server.data_dir.clone())
            .or_else(of_usual)
    }
}

/// The data directory alone: whose owner says with which rights everything else is looked at. Reads option files only.
pub fn data_dir(places: &Places) -> Option<PathBuf> {
    Whereabouts::of(places).data_dir(places)
}

/// Option files that root did not read because somebody else could have written them.
pub fn strangers(places: &Places) -> Vec<PathBuf> {
    ServerOptions::read(&places.command_line).strangers
}

/// Every path of a keyring that option files and the JSON file in the plugin directory name, whichever of them counts.
/// Where root asks, these are files that nobody else can have written.
pub fn paths(places: &Places) -> Vec<PathBuf> {
    let at = Whereabouts::of(places);
    let json = at.plugin_dir().and_then(|dir| {
        let file = dir.join(discover::JSON_NAME);
        discover::read_json(&file, discover::Place::Trusted).ok()?
    });
    let group = places.command_line.option_files(&[option_file::GROUP]);
    [
        json.map(|json| json.layer),
        group.layer().ok(),
        discover::plugin_layer(at.server.layer()).ok(),
    ]
    .into_iter()
    .flatten()
    .filter_map(|layer| layer.path())
    .collect()
}

/// Looks at a server's files.
pub fn find(places: &Places) -> Found {
    let at = Whereabouts::of(places);
    let (plugin_dir, data_dir) = (at.plugin_dir(), at.data_dir(places));
    let Whereabouts { server, mysqld, .. } = at;
    let manifest = manifest::read(mysqld.as_deref(), data_dir.as_deref());
    let serves = serves(&manifest, &server, plugin_dir.as_deref());
    let component = || match &plugin_dir {
        Some(dir) => discover::component_layer(dir, data_dir.as_deref(), &places.command_line),
        None => places
            .command_line
            .option_files(&[option_file::GROUP])
            .layer(),
    };
    let layer = match serves {
        Serves::Component => component(),
        Serves::Plugin => discover::plugin_layer(server.layer()),
        // Not (yet) loaded: whatever is configured.
        _ => component().and_then(|layer| match layer.is_empty() {
            true => discover::plugin_layer(server.layer()),
            false => Ok(layer),
        }),
    };
    Found {
        mysqld,
        plugin_dir,
        data_dir,
        server,
        manifest,
        serves,
        layer,
        command_line: places.command_line.clone(),
    }
}

impl Found {
    /// Where the group for the component stands that counts for nothing, because JSON sets options.
    pub fn void_group(&self) -> Option<String> {
        let json = discover::component_layer(
            self.plugin_dir.as_deref()?,
            self.data_dir.as_deref(),
            &self.no_option_files(),
        );
        let reader = self.command_line.option_files(&[option_file::GROUP]);
        let line = reader.lines.first()?;
        json.is_ok_and(|layer| !layer.is_empty())
            .then(|| line.origin.clone())
    }

    fn no_option_files(&self) -> CommandLine {
        CommandLine {
            args: vec!["--no-defaults".into()],
            ..CommandLine::default()
        }
    }

    /// The error for a server for which nothing is configured.
    pub fn nothing(&self) -> crate::error::Error {
        let more = "the variables keyring_ward_* of my.cnf";
        discover::nothing(self.plugin_dir.as_deref(), &[more], &self.command_line)
    }
}

/// The server's decision. A component serves before any plugin; of two components not ours.
fn serves(manifest: &Manifest, server: &ServerOptions, plugin_dir: Option<&Path>) -> Serves {
    let plugin = server.ours(plugin_dir).is_some() && server.off.is_none();
    match manifest {
        Manifest::Broken { .. } => return Serves::NoStart,
        Manifest::Components { names, .. } => {
            // Of two, the one whose name sorts first was seen to serve, whatever their order.
            let mut keyrings = names.iter().filter(|n| n.starts_with("component_keyring_"));
            match (
                names.iter().any(|n| n == COMPONENT),
                keyrings.find(|n| *n != COMPONENT),
            ) {
                (_, Some(another)) => return Serves::Another(another.clone()),
                (true, None) => return Serves::Component,
                (false, None) => {}
            }
        }
        Manifest::NotFound if !plugin => return Serves::Unknown,
        Manifest::Nothing(_) | Manifest::NotFound => {}
    }
    match plugin {
        true => Serves::Plugin,
        false => Serves::Nothing,
    }
}

fn executable(base_dir: Option<&Path>) -> Option<PathBuf> {
    let below = base_dir
        .into_iter()
        .flat_map(|base| ["bin/mysqld", "sbin/mysqld"].map(|name| base.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("mysqld"));
    below
        .chain(EXECUTABLES.map(PathBuf::from))
        .chain(in_path)
        .find(|file| file.is_file())
}

/// The plugin directory that is compiled in, relative to the base directory, which the server takes from where its
/// executable is.
fn usual_plugin_dir(base_dir: Option<&Path>, mysqld: Option<&Path>) -> Option<PathBuf> {
    let base = base_dir.or_else(|| mysqld?.parent()?.parent())?;
    ["lib/mysql/plugin", "lib64/mysql/plugin", "lib/plugin"]
        .map(|below| base.join(below))
        .into_iter()
        .find(|folder| folder.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    /// A server's files in a folder of their own.
    struct Server(tempfile::TempDir);

    impl Server {
        fn new() -> Server {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["sbin", "lib/mysql/plugin", "data"] {
                std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            }
            let server = Server(dir);
            server.write("sbin/mysqld", "");
            server.write("my.cnf", "");
            server
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn find(&self) -> Found {
            let mut argument = OsString::from("--defaults-file=");
            argument.push(self.0.path().join("my.cnf"));
            find(&Places {
                mysqld: Some(self.0.path().join("sbin/mysqld")),
                command_line: CommandLine {
                    args: vec![argument],
                    ..CommandLine::default()
                },
                data_dir: Some(self.0.path().join("data")),
                plugin_dir: None,
            })
        }
    }

    const PLUGIN: &str = "[mysqld]\nearly-plugin-load=keyring_ward.so\nkeyring_ward_path=/plugin\n";
    const MANIFEST: &str = r#"{"components": "file://component_keyring_ward"}"#;

    fn path(found: &Found) -> String {
        let mut layer = found.layer.as_ref().unwrap().clone();
        let rest = [("backend", "file"), ("file_key_file", "/k")];
        layer.overlay(Layer::of("test", &rest));
        layer.finish().unwrap().path.display().to_string()
    }

    #[test]
    fn which_role_serves() {
        let server = Server::new();
        assert_eq!(server.find().serves, Serves::Nothing);
        assert!(server.find().layer.unwrap().is_empty());
        server.write("my.cnf", PLUGIN);
        let found = server.find();
        assert_eq!(found.serves, Serves::Plugin);
        assert_eq!(path(&found), "/plugin");
        assert!(found.plugin_dir.unwrap().ends_with("lib/mysql/plugin"));
        // The component wins, with its own configuration.
        server.write("sbin/mysqld.my", MANIFEST);
        server.write("my.cnf", &format!("{PLUGIN}[keyring_ward]\npath=/group\n"));
        assert_eq!(server.find().serves, Serves::Component);
        assert_eq!(path(&server.find()), "/group");
        server.write(
            "lib/mysql/plugin/component_keyring_ward.cnf",
            r#"{"path": "/json"}"#,
        );
        assert_eq!(path(&server.find()), "/json");
        for (manifest, serves) in [
            (
                r#"{"components": "file://component_keyring_file,file://component_keyring_ward"}"#,
                Serves::Another("component_keyring_file".into()),
            ),
            (r#"{"components": "file://component_x"}"#, Serves::Plugin),
            ("{", Serves::NoStart),
        ] {
            server.write("sbin/mysqld.my", manifest);
            assert_eq!(server.find().serves, serves, "{manifest}");
        }
        server.write("my.cnf", &format!("{PLUGIN}skip-keyring-ward\n"));
        server.write("sbin/mysqld.my", "");
        let found = server.find();
        assert_eq!(found.serves, Serves::Nothing);
        assert_eq!(
            path(&found),
            "/json",
            "what is configured is found all the same"
        );
    }
}
