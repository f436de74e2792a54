//! `keyring-ward key retire`

use crate::commands::{Aim, Change, print, print_answer};
use keyring_ward::admin::retire::{Retired, retire};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::os::signals;
use std::path::PathBuf;

/// Takes InnoDB's old master keys out of use, at a stopped server: those that no file names. The highest stays. They are kept
/// as retired keys for retain_removed days.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub change: Change,
    /// The server's data directory; then folders with files of it that lie elsewhere (undo, redo, tablespaces), and backups
    /// that are to open
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let dry_run = args.change.dry_run;
    let aim = Aim::to_write(&args.change.keyring, &args.change.end)?;
    if !dry_run {
        signals::hold_back();
    }
    let done = retire(aim.target(), &args.folders, dry_run).map_err(stop_it)?;
    if json {
        let kept = done.kept.iter();
        let kept: Vec<_> = kept
            .map(|(name, files)| serde_json::json!({ "name": name, "files": files }))
            .collect();
        print_answer(
            serde_json::json!({ "dry_run": dry_run, "files": done.files, "retired": done.keys, "kept": kept, "of_other_servers": done.of_others }),
        );
        return Ok(());
    }
    say(&done, dry_run);
    Ok(())
}

/// Beside a running server old numbers stand in files for seconds after a rotation, so there is no other way.
fn stop_it(e: Error) -> Error {
    match e.kind() {
        Kind::Locked => e.hint(
            "Stop the server first: keys are retired while nobody writes the files. Nothing was changed.",
        ),
        _ => e,
    }
}

fn say(done: &Retired, dry_run: bool) {
    for (name, files) in &done.kept {
        print(&match files {
            0 => format!("{name} stays: it is the server's highest."),
            n => format!("{name} stays: {n} files name it."),
        });
    }
    for name in &done.of_others {
        print(&format!(
            "{name} stays: another server made it, which may have files elsewhere."
        ));
    }
    let verb = if dry_run { "Would retire" } else { "Retired" };
    done.keys
        .iter()
        .for_each(|name| print(&format!("{verb} {name}.")));
    let count = done.keys.len();
    print(&match (count, dry_run) {
        (0, _) => format!(
            "{} files were looked at; there is no key that none of them names.",
            done.files
        ),
        (_, true) => format!("{} files were looked at; nothing was written.", done.files),
        _ => format!(
            "{} files were looked at; {count} keys are retired. Backups from before may still need them: keyring-ward key restore brings one back.",
            done.files
        ),
    });
}
