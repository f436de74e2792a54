//! Who holds the keyring, without taking it: the server that runs may, nobody else.

use super::Look;
use crate::config::Config;
use crate::os::running;
use crate::store::lock::Lock;
use std::path::Path;

const WHAT: &str = "lock";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    if config.read_only {
        return look.ok(WHAT, "not needed, read_only is set");
    }
    let held = Lock::is_held(&config.path);
    match held {
        Ok(None) => look.ok(WHAT, "held by nobody that this process can see"),
        // The lock file has said so already.
        Err(_) => {}
        Ok(Some(who)) => {
            let pid: Option<u32> = who.split_whitespace().last().and_then(|w| w.parse().ok());
            match pid.map(|pid| holder(pid, look.setup.data_dir)) {
                Some(Holder::ThisServer) => {
                    look.ok(WHAT, format!("held by {who}, the server that runs"));
                }
                Some(Holder::Another(name)) => look.fail(
                    WHAT,
                    format!(
                        "held by {who} ({name}): a server can't start with this keyring meanwhile"
                    ),
                    "Stop that process, or give each server a keyring of its own.",
                ),
                Some(Holder::Unknown) | None => look.warn(
                    WHAT,
                    format!("held by {who}: another server can't start with this keyring"),
                    "Fine if that is your running server.",
                ),
            }
        }
    }
}

enum Holder {
    ThisServer,
    Another(String),
    Unknown,
}

fn holder(pid: u32, data_dir: Option<&Path>) -> Holder {
    let process = Path::new("/proc").join(pid.to_string());
    let Ok(name) = std::fs::read_to_string(process.join("comm")) else {
        return Holder::Unknown;
    };
    let name = name.trim();
    let data_dir = data_dir.and_then(|d| d.canonicalize().ok());
    let Some(dir) = data_dir.filter(|_| name.starts_with("mysqld")) else {
        return match name.starts_with("mysqld") {
            true => Holder::Unknown,
            false => Holder::Another(name.to_string()),
        };
    };
    // A server's working directory is its data directory. Usually it can't be seen; then whether it is this data
    // directory that is in use.
    let at = std::fs::read_link(process.join("cwd")).ok();
    match (at, running::server_of(&dir)) {
        (Some(at), _) if at == dir => Holder::ThisServer,
        (Some(at), _) => Holder::Another(format!("mysqld of '{}'", at.display())),
        (None, Ok(Some(server))) if server == pid => Holder::ThisServer,
        (None, Ok(None)) => {
            Holder::Another(format!("mysqld, but no server runs on '{}'", dir.display()))
        }
        (None, Ok(Some(server))) if server != 0 => Holder::Another(format!(
            "mysqld, but process {server} runs on '{}'",
            dir.display()
        )),
        (None, _) => Holder::Unknown,
    }
}
