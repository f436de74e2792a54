//! Who loads a keyring: the manifest, or a plugin line in the option files.

use super::Look;
use crate::COMPONENT;
use crate::config::locate::{Found, Serves};
use crate::config::manifest::{Manifest, path_beside};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const WHAT: &str = "manifest";

pub(super) fn check(look: &mut Look<'_>, server: &Found) {
    let plugin = server.server.ours(server.plugin_dir.as_deref());
    let plugin = plugin.filter(|_| server.server.off.is_none());
    let path = match (&server.manifest, &server.mysqld) {
        (Manifest::Components { path, .. } | Manifest::Broken { path, .. }, _) => path.clone(),
        (_, Some(mysqld)) => path_beside(mysqld),
        (_, None) => path_beside(Path::new("/usr/sbin/mysqld")),
    };
    let shown = path.display();
    let write = format!(
        "Write it: echo '{{ \"components\": \"file://{COMPONENT}\" }}' > '{shown}', and then restart the server."
    );
    match &server.serves {
        Serves::Component => {
            look.ok(WHAT, format!("'{shown}' loads {COMPONENT}"));
            if let Some(plugin) = plugin {
                look.warn(
                    WHAT,
                    format!("the plugin that {} loads as well stays passive", plugin.origin),
                    "Remove that line: one of the two is enough.",
                );
            }
        }
        Serves::Plugin => {
            let origin = plugin.map_or("", |p| &p.origin);
            look.ok(WHAT, format!("no component is named; {origin} loads the plugin"));
            if plugin.is_some_and(|p| !p.early) {
                look.warn(
                    WHAT,
                    format!("{origin} loads the plugin after InnoDB: after a crash the server can't recover encrypted tables and does not start"),
                    "Write early-plugin-load=keyring_ward.so, or use the component.",
                );
            }
        }
        Serves::Another(name) => look.fail(
            WHAT,
            format!("'{shown}' makes {name} the server's keyring, not {COMPONENT}"),
            format!("If anything is encrypted, bring its keys first (docs/guide/coming-from.md). {write}"),
        ),
        Serves::Nothing => {
            let remedy = match (super::rights::blocked(look, &path), &server.server.off) {
                (Some((_, remedy)), _) => remedy,
                (None, Some(_)) => "Remove that line, or use the component.".into(),
                (None, None) if server.server.plugins.is_empty() => write,
                (None, None) => format!(
                    "Have one line early-plugin-load=keyring_ward.so (of several the last counts). Or use the component. {write}"
                ),
            };
            look.fail(WHAT, nobody(server), remedy);
        }
        Serves::NoStart => {
            let why = match &server.manifest {
                Manifest::Broken { why, .. } => why,
                _ => "it is not as the server wants it",
            };
            look.fail(WHAT, format!("the server does not start with '{shown}': {why}"), write);
        }
        Serves::Unknown => look.warn(
            WHAT,
            "the server's executable is not known, so that the manifest beside it was not looked at",
            "Name the executable by --mysqld.",
        ),
    }
    if let Ok(meta) = path.metadata()
        && (meta.mode() & 0o022 != 0 || meta.uid() != 0)
    {
        look.warn(
            WHAT,
            format!("others than root can change '{shown}' and with it what mysqld loads"),
            format!("Run: chown root: '{shown}' && chmod 644 '{shown}'"),
        );
    }
}

/// Why nobody loads a keyring.
fn nobody(server: &Found) -> String {
    let manifest = match &server.manifest {
        Manifest::Nothing(why) => why.clone(),
        Manifest::Components { path, names } => {
            format!("'{}' names only {}", path.display(), names.join(", "))
        }
        _ => "no manifest was found".into(),
    };
    let plugin = match (&server.server.off, server.server.plugins.as_slice()) {
        (Some(origin), _) => format!("{origin} switches the plugin off"),
        (None, []) => "no option file loads the plugin".into(),
        (None, plugins) => {
            let lines: Vec<_> = plugins
                .iter()
                .map(|p| match &p.name {
                    Some(name) => format!("'{name}={}' ({})", p.file, p.origin),
                    None => format!("'{}' ({})", p.file, p.origin),
                })
                .collect();
            format!(
                "of the plugins {} none is keyring_ward.so",
                lines.join(", ")
            )
        }
    };
    format!("nothing loads Keyring Ward: {manifest}, and {plugin}")
}
