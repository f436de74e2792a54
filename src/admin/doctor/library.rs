//! The library: there, loadable by the account, of the tool's version, and one only.

use super::Look;
use crate::COMPONENT;
use crate::config::locate::{Found, Serves};
use crate::config::manifest::Manifest;
use crate::config::server::LIBRARIES;
use crate::deadline::Deadline;
use crate::os::command::{self, Ended, Failure, Program};
use crate::os::identity;
use crate::os::library::{Loaded, load};
use crate::os::trusted::{self, Rule};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const WHAT: &str = "library";
/// How long the loading may take, in seconds.
const PATIENCE: u64 = 10;
/// How much a library may write while it is loaded, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;

pub(super) fn check(look: &mut Look<'_>, server: &Found) {
    let Some(dir) = look.plugin_dir() else {
        return look.warn(
            WHAT,
            "the plugin directory is not known, so that the library was not looked at",
            "Name it by --plugin-dir; SELECT @@plugin_dir tells it.",
        );
    };
    if let Manifest::Components { names, path } = &server.manifest {
        for name in names.iter().filter(|name| *name != COMPONENT) {
            let file = dir.join(format!("{name}.so"));
            if !file.exists() {
                look.fail(
                    WHAT,
                    format!(
                        "the server does not start: '{}' names {name}, and there is no '{}'",
                        path.display(),
                        file.display()
                    ),
                    "Correct the manifest, or install that component.",
                );
            }
        }
    }
    let component = dir.join(LIBRARIES[0]);
    let file = match server.serves {
        Serves::Plugin => server.server.ours(Some(&dir)).map(|p| dir.join(&p.file)),
        _ => Some(component.clone()),
    };
    let Some(file) = file else { return };
    let shown = format!("'{}'", file.display());
    let meta = match file.metadata() {
        Ok(meta) => meta,
        Err(e) => {
            return look.fail(
                WHAT,
                format!("{shown}: {e}"),
                "Install it with scripts/install.sh, or correct plugin_dir.",
            );
        }
    };
    let tried = match as_root(look, &file) {
        Some(why) => Trial::NotTried(why, "Name the account of mysqld: --user mysql."),
        None => try_it(&file),
    };
    match tried {
        Trial::Loaded(Loaded { version: Some(version), .. }) if version == crate::VERSION => {
            look.ok(WHAT, format!("{shown}, version {version}, can be loaded"));
        }
        Trial::Loaded(Loaded { is_component: false, .. }) => look.fail(
            WHAT,
            format!("{shown} is another library: it has no list_components"),
            "Install Keyring Ward's with scripts/install.sh.",
        ),
        Trial::Loaded(Loaded { version, .. }) => look.warn(
            WHAT,
            format!(
                "{shown} has {}, this tool is {}",
                version.map_or("no version that could be read".into(), |v| format!("version {v}")),
                crate::VERSION
            ),
            "Install library and tool of one version.",
        ),
        Trial::Refused(why) => look.fail(
            WHAT,
            format!("{shown} can't be loaded: {why}"),
            format!("Install it anew with scripts/install.sh; it and its folder must be readable by mysqld's account: chmod 755 {shown}"),
        ),
        Trial::NotTried(why, remedy) => look.warn(
            WHAT,
            format!("{shown}: whether it can be loaded could not be tried: {why}"),
            remedy,
        ),
    }
    if meta.mode() & 0o022 != 0 {
        look.warn(
            WHAT,
            format!(
                "{shown} can be changed by others (mode {:04o}): whoever does runs code in mysqld",
                meta.mode() & 0o7777
            ),
            format!("Run: chmod 755 {shown}"),
        );
    }
    one_only(look, &dir);
}

/// Two copies would be two keyrings with two states.
fn one_only(look: &mut Look<'_>, dir: &Path) {
    let [component, plugin] = LIBRARIES.map(|name| dir.join(name));
    let (Ok(a), Ok(b)) = (component.metadata(), plugin.metadata()) else {
        return;
    };
    if (a.dev(), a.ino()) != (b.dev(), b.ino()) {
        look.warn(
            WHAT,
            format!("'{}' is a copy instead of a link: with component and plugin both loaded it is a second keyring", plugin.display()),
            format!("Run: ln -sfn {} '{}'", LIBRARIES[0], plugin.display()),
        );
    }
}

enum Trial {
    Loaded(Loaded),
    Refused(String),
    /// Why, and what to do about it.
    NotTried(String, &'static str),
}

/// Why the library is not tried with the rights of this process: loading runs its code, and for root that is nobody's but
/// root's, for a server of root's.
fn as_root(look: &Look<'_>, file: &Path) -> Option<String> {
    if !identity::is_root() {
        return None;
    }
    let data_dir = look.setup.data_dir.and_then(|dir| dir.metadata().ok());
    if data_dir.is_none_or(|meta| meta.uid() != 0) {
        return Some(
            "this is root, and the data directory does not tell that the server is".into(),
        );
    }
    trusted::open(file, Rule::Program, "load the library as root")
        .err()
        .map(|e| e.message().to_string())
}

/// Loads the library in a child, which has the account's rights, nothing of ours, and an end.
fn try_it(file: &Path) -> Trial {
    const REMEDY: &str = "Run doctor from where the account of mysqld may run it.";
    let program = || -> io::Result<Program> {
        let tool = CString::new(std::env::current_exe()?.into_os_string().into_vec())?;
        let file = CString::new(file.as_os_str().as_bytes())?;
        Ok(Program {
            file: tool.clone(),
            arguments: vec![tool, CString::new(TRY)?, file],
            environment: Vec::new(),
        })
    };
    let mut output = vec![0; MAX_OUTPUT + 1];
    let patience = Deadline::after(Duration::from_secs(PATIENCE));
    let ended = program()
        .map_err(Failure::Start)
        .and_then(|program| command::run(&program, &mut output, patience));
    match ended {
        Ok(ended) => judge(&ended, &output[..ended.length]),
        Err(Failure::Late) => Trial::Refused(format!("it took more than {PATIENCE} seconds")),
        Err(Failure::TooMuch) => Trial::Refused("it writes without end while it is loaded".into()),
        Err(Failure::Start(e) | Failure::System(e)) => Trial::NotTried(e.to_string(), REMEDY),
    }
}

/// What the child said. What a library writes of its own stands before it.
fn judge(ended: &Ended, output: &[u8]) -> Trial {
    let said = String::from_utf8_lossy(output);
    let lines: Vec<&str> = said.lines().collect();
    match (ended.code, lines.as_slice()) {
        (Some(0), [.., component, version]) => Trial::Loaded(Loaded {
            is_component: *component == "component",
            version: Some((*version).to_string()).filter(|v| !v.is_empty()),
        }),
        (Some(1), [.., why]) => Trial::Refused((*why).to_string()),
        _ => Trial::Refused(match ended.signal {
            Some(signal) => format!("it ends the process that loads it (signal {signal})"),
            None => "it ends the process that loads it".into(),
        }),
    }
}

/// The tool's command for the child.
pub const TRY: &str = "try-library";

/// What the child does: loads the library and says in two lines what it is, or in one line why not (`Err`).
///
/// # Errors
/// The loader's sentence, in one line.
pub fn try_library(file: &Path) -> Result<[String; 2], String> {
    let loaded = load(file).map_err(|e| e.replace('\n', " "))?;
    let kind = match loaded.is_component {
        true => "component",
        false => "other",
    };
    Ok([kind.into(), loaded.version.unwrap_or_default()])
}
