//! Option files and the data directory: what keeps a server from starting before it comes to any keyring.

use super::Look;
use crate::config::locate::{Found, Serves};
use std::os::unix::fs::MetadataExt;

const WHAT: &str = "option files";

pub(super) fn check(look: &mut Look<'_>, server: &Found) {
    let options = &server.server;
    let plugin_loads = server.serves == Serves::Plugin
        || options.ours(server.plugin_dir.as_deref()).is_some() && options.off.is_none();
    let (unknown, passed_over) = options.unknown_variables(plugin_loads);
    for why in options.refused.iter().chain(&unknown) {
        look.fail(
            WHAT,
            format!("the server refuses {why}"),
            "Correct the file, and let mysqld's account read it (chmod 644); a variable of a plugin that may not be loaded begins with loose_.",
        );
    }
    if options.logs_statements() {
        look.warn(
            WHAT,
            "binlog_format is STATEMENT: keys that routines keep in variables get into the binary log in clear text",
            "Write binlog_format=ROW, and rotate the keys that were used so far.",
        );
    }
    for why in &options.ignored {
        look.warn(
            WHAT,
            format!("the server passes over {why}"),
            "Mend the file: chmod o-w.",
        );
    }
    if plugin_loads {
        for why in passed_over {
            look.warn(
                WHAT,
                format!("the server passes over {why}"),
                "Correct the name.",
            );
        }
    }
    if let (Some(user), Some(dir)) = (&options.user, look.setup.data_dir)
        && let (Some(uid), Ok(meta)) = (uid_of(user), dir.metadata())
        && uid != meta.uid()
    {
        look.fail(
            WHAT,
            format!(
                "the server runs as '{user}' (user {uid}), but the data directory belongs to user {}",
                meta.uid()
            ),
            format!("Run: chown -R {user} '{}'", dir.display()),
        );
    }
}

pub(super) fn data_directory(look: &mut Look<'_>) {
    const WHAT: &str = "data directory";
    let Some(dir) = look.setup.data_dir else {
        return look.warn(
            WHAT,
            "none is known, so that its marker and its owner were not looked at",
            "Name it by --datadir.",
        );
    };
    let shown = format!("'{}'", dir.display());
    match dir.metadata() {
        Ok(meta) if meta.is_dir() && meta.uid() == 0 => look.warn(
            WHAT,
            format!("{shown} belongs to root"),
            format!("Give it to mysqld's account: chown -R mysql: {shown}"),
        ),
        Ok(meta) if meta.is_dir() => look.ok(WHAT, format!("{shown}, user {}", meta.uid())),
        Ok(_) => look.fail(WHAT, format!("{shown} is not a folder"), "Correct datadir."),
        Err(e) => look.fail(
            WHAT,
            format!("{shown}: {e}"),
            "Mount it, correct datadir, or make one with mysqld --initialize.",
        ),
    }
}

/// The number of a local account; `None` where /etc/passwd does not know it.
fn uid_of(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        fields.nth(1).filter(|_| is_it)?.parse().ok()
    })
}
