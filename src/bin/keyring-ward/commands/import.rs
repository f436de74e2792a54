//! `keyring-ward import`

use super::{Aim, Progress, TornEnd, print, print_answer};
use crate::options::{Keyring, file_config};
use crate::warnings::warn;
use keyring_ward::admin::import::{Source, import};
use keyring_ward::error::Result;
use keyring_ward::os::file;
use keyring_ward::os::{identity, running, signals};
use keyring_ward::store::lock::Lock;
use serde_json::json;
use std::fs::File;
use std::path::PathBuf;

/// The keyring's options name the one that gets the keys; it is made where it does not exist. Take the source from a
/// server that is stopped. All keys are written at the end, in one piece: an import that is interrupted has changed
/// nothing. Keys that go to a token are stored one by one.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// A file of component_keyring_file, or of the plugin keyring_file of MySQL 5.7 and 8.0
    #[arg(long, value_name = "FILE", group = "source")]
    from: Option<PathBuf>,
    /// Another keyring of ours: its JSON configuration, of any backend
    #[arg(long, value_name = "FILE", group = "source")]
    from_config: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    end: TornEnd,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The source, where root names it: a file that only root can read is opened before root's rights are given up, as
    /// the shell would for `< FILE`, if its path leads nowhere else. Any other way to it is gone with the account's rights.
    fn opened_by_root(&self) -> Option<File> {
        let file = self.from.as_ref().filter(|_| identity::is_root())?;
        file::open_without_links(file).ok()
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let opened = args.opened_by_root();
    args.keyring.take_on_account(false)?;
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    if !args.dry_run {
        signals::hold_back();
    }
    let in_use = in_use(args);
    let mut bar = Progress::new("keys");
    let mut progress = |done: usize, all: usize| bar.set(done, all);
    let plan = match (&args.from, &args.from_config) {
        (Some(file), _) => {
            let source = match &opened {
                Some(opened) => Source::Open(file, opened),
                None => Source::File(file),
            };
            import(aim.target(), &source, args.dry_run, &mut progress)?
        }
        (None, file) => {
            let other = file_config(file.as_deref().unwrap_or_else(|| "".as_ref()))?;
            import(
                aim.target(),
                &Source::Ward(&other),
                args.dry_run,
                &mut progress,
            )?
        }
    };
    drop(bar);
    in_use.into_iter().for_each(warn);
    if json {
        print_answer(json!({
            "format": plan.format, "new": plan.new, "same": plan.same, "dry_run": args.dry_run,
        }));
        return Ok(());
    }
    print(&format!("The source is {}.", plan.format));
    plan.new
        .iter()
        .take(50)
        .for_each(|key| print(&format!("  {key}")));
    if plan.new.len() > 50 {
        print(&format!("  and {} more", plan.new.len() - 50));
    }
    let done = match args.dry_run {
        true => "would be imported; nothing was written",
        false => "were imported and read back",
    };
    print(&format!(
        "{} keys {done}; {} are here already.",
        plan.new.len(),
        plan.same
    ));
    if !args.dry_run && args.from.is_some() {
        print(
            "The source holds its keys in clear text: destroy it, and its backups, when the server runs on this keyring. If it may have been read, rotate: ALTER INSTANCE ROTATE INNODB MASTER KEY, ALTER INSTANCE ROTATE BINLOG MASTER KEY.",
        );
    }
    Ok(())
}

/// Whether a server may still make keys in the source. That of a keyring of ours holds its lock; another one is looked for
/// by its data directory.
fn in_use(args: &Args) -> Option<String> {
    if let Some(file) = &args.from_config {
        let path = file_config(file).ok()?.path;
        let who = Lock::is_held(&path).ok()??;
        return Some(format!(
            "the source '{}' is held by {who}: what it gets from now on is not imported. Stop that server, and import once more.",
            path.display()
        ));
    }
    let dir = args.keyring.likely_data_dir()?;
    let process = match running::server_of(&dir).ok()?? {
        0 => "in a container".into(),
        pid => format!("process {pid}"),
    };
    Some(format!(
        "a server runs on '{}' ({process}). If the source is its keyring, keys that it makes from now on are not imported: stop \
         it, and import once more.",
        dir.display()
    ))
}
