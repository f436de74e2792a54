//! `keyring-ward prove`

use super::{Progress, print, print_answer};
use crate::options::Keyring;
use crate::warnings;
use keyring_ward::admin::prove::{Needed, Outcome, Proof, Question, State, prove, prove_by};
use keyring_ward::error::Result;
use keyring_ward::os::identity;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads MySQL's files without a server: which keys they need, and whether the keyring has them and they are the ones.
/// Nothing is written or locked.
#[derive(clap::Args)]
pub struct Args {
    /// A data directory, a backup of XtraBackup, a clone or a snapshot; and folders of it that lie elsewhere (binary logs,
    /// redo log, undo)
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    #[command(flatten)]
    keyring: Keyring,
    /// Open every encrypted page and redo block and check it as well
    #[arg(long)]
    pages: bool,
    /// List the names of the keys that are needed, without any keyring
    #[arg(long, conflicts_with = "pages")]
    names_only: bool,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> Option<&Keyring> {
        (!self.names_only).then_some(&self.keyring)
    }

    /// Where no keyring is asked: as the owner of the files, unless that is root.
    pub fn take_on_owner(&self) -> Result<()> {
        let Some(folder) = self.folders.first().filter(|_| identity::is_root()) else {
            return Ok(());
        };
        let owner = identity::owner_of(folder)?;
        match owner.is_root() {
            true => Ok(()),
            false => identity::become_for_good(&owner),
        }
    }
}

pub fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let bar = RefCell::new(Progress::new("files"));
    let progress = |files: u64| bar.borrow_mut().set(files as usize, files as usize);
    let proof = match args.names_only {
        true => prove(&Question {
            folders: &args.folders,
            keys: None,
            pages: false,
            until: None,
            progress: &progress,
        })?,
        false => {
            let config = args.keyring.config()?;
            prove_by(
                &config,
                &args.folders,
                args.pages,
                &warnings::warn,
                &progress,
            )?
        }
    };
    drop(bar);
    match json {
        true => print_answer(as_json(&proof)),
        false => say(&proof, args.pages),
    }
    Ok(match proof.outcome() {
        Outcome::Opens => ExitCode::SUCCESS,
        Outcome::Missing => ExitCode::from(5),
        Outcome::Wrong => ExitCode::from(6),
        Outcome::Unreadable => ExitCode::from(7),
    })
}

fn as_json(proof: &Proof) -> Value {
    let needed = proof.needed.iter().map(|(name, needed)| {
        let kinds: serde_json::Map<_, _> =
            needed.kinds.iter().map(|(kind, n)| (kind.word().to_string(), json!(n))).collect();
        json!({
            "name": name, "state": needed.state().word(), "files": needed.files.count, "first_files": needed.files.first,
            "kinds": kinds, "wrong_files": needed.wrong.count, "first_wrong_files": needed.wrong.first,
            "removed_by_rotation": needed.rotated_away, "retired": needed.retired,
        })
    });
    let names = |state| {
        proof
            .in_state(state)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let unused = proof
        .unused
        .iter()
        .map(|key| json!({ "name": key.name, "newest": key.newest }));
    let unreadable = proof.unreadable.why.iter();
    let unreadable = unreadable
        .map(|(file, (word, why))| json!({ "file": file, "reason": word, "detail": why }));
    let damaged = proof.pages.first_bad.iter();
    let damaged = damaged
        .map(|(file, (pages, first))| json!({ "file": file, "pages": pages, "first_page": first }));
    json!({
        "verdict": if proof.asked { proof.outcome().word() } else { "not asked" },
        "files": proof.files, "encrypted_files": proof.encrypted, "plain_files": proof.plain, "new_files": proof.new.count, "built_in_key_files": proof.built_in.count, "clear_key_files": { "files": proof.bare.count, "first": proof.bare.first },
        "needed": needed.collect::<Vec<_>>(), "missing": names(State::Missing), "wrong": names(State::Wrong),
        "unused": unused.collect::<Vec<_>>(),
        "unreadable": { "files": proof.unreadable.files.count, "first": unreadable.collect::<Vec<_>>() },
        "pages": { "good": proof.pages.good, "plain": proof.pages.plain, "bad": proof.pages.bad, "first": damaged.collect::<Vec<_>>() },
    })
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".into(),
        n => format!("{n} files"),
    }
}

fn say(proof: &Proof, pages: bool) {
    for (name, needed) in proof.in_state(State::Missing) {
        print(&missing(name, needed));
    }
    for (name, needed) in proof.in_state(State::Wrong) {
        let (wrong, shown) = (&needed.wrong, needed.wrong.shown());
        print(&format!(
            "The keyring has another key under the name {name}: it does not open {} of {} that name it: {shown}. It is the keyring of another \
             server or of another time, or a key was stored under this name.",
            wrong.count,
            files(needed.files.count)
        ));
    }
    for (name, _) in proof.in_state(State::Unproven) {
        print(&format!(
            "Not proven: the keyring has {name}, and the files that name it hold nothing yet that could tell whether it is the one."
        ));
    }
    for (file, (_, why)) in &proof.unreadable.why {
        print(&format!("Not readable: {file}: {why}."));
    }
    more(
        proof.unreadable.files.count,
        proof.unreadable.why.len(),
        "are not readable",
    );
    for (file, (bad, first)) in &proof.pages.first_bad {
        print(&format!(
            "Damaged: {file}: {bad} encrypted pages do not open or have a wrong checksum, the first is page {first}. The file was copied while \
             the server wrote it, or it is damaged."
        ));
    }
    more(
        proof.pages.files.count,
        proof.pages.first_bad.len(),
        "are damaged",
    );
    summary(proof, pages);
}

/// What is beyond the ones that are named.
fn more(count: u64, named: usize, are: &str) {
    if count > named as u64 {
        print(&format!("{} more {are}.", files(count - named as u64)));
    }
}

fn missing(name: &str, needed: &Needed) -> String {
    if needed.names_a_number {
        return format!(
            "The keyring lacks {name}, in which the server keeps which key of its logs is current."
        );
    }
    let need = match needed.files.count {
        1 => "1 file needs".to_string(),
        n => format!("{n} files need"),
    };
    let why = match needed.rotated_away {
        true => {
            " The server itself removed this key by ALTER INSTANCE ROTATE BINLOG MASTER KEY: these are copies of logs from before. It starts without them."
        }
        false => "",
    };
    let back = match needed.retired {
        true => format!(
            " It was removed and is kept: keyring-ward key restore --name {name} brings it back."
        ),
        false => String::new(),
    };
    format!(
        "The keyring lacks {name}, which {need}: {}.{why}{back}",
        needed.files.shown()
    )
}

fn summary(proof: &Proof, pages: bool) {
    let keys: Vec<_> = proof
        .needed
        .iter()
        .filter(|(_, needed)| !needed.names_a_number)
        .collect();
    if !proof.asked {
        keys.iter().for_each(|(name, needed)| {
            print(&format!(
                "{name}\t{}\t{}",
                files(needed.files.count),
                needed.files.shown()
            ))
        });
    }
    if proof.bare.count > 0 {
        print(&format!(
            "The key of {} stands in clear text in the file itself: {}. MySQL's CLONE writes the redo log so. Who has the file can read what is in it.",
            files(proof.bare.count),
            proof.bare.shown()
        ));
    }
    unused(proof);
    let end = match (proof.outcome(), proof.asked) {
        (_, false) => "no keyring was asked",
        (Outcome::Opens, _) => "the keyring opens every one of them",
        _ => "the keyring does not open all of them, or that can't be told",
    };
    print(&format!(
        "{} of MySQL's: {} encrypted (keys: {}), {} in the clear, {} under the key that is built into InnoDB; {end}.",
        files(proof.files),
        proof.encrypted,
        keys.len(),
        proof.plain,
        proof.built_in.count
    ));
    if pages {
        let checked = &proof.pages;
        print(&format!(
            "{} encrypted pages and blocks are right, {} are not; {} in these files are not encrypted.",
            checked.good, checked.bad, checked.plain
        ));
    }
}

fn unused(proof: &Proof) {
    const SHOWN: usize = 3;
    let (newest, older): (Vec<_>, Vec<_>) = proof.unused.iter().partition(|key| key.newest);
    for key in newest {
        print(&format!("Unused: {}. It is the newest: keep it.", key.name));
    }
    let shown: Vec<_> = older
        .iter()
        .take(SHOWN)
        .map(|key| key.name.as_str())
        .collect();
    let more = match older.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    if !older.is_empty() {
        print(&format!(
            "Unused: {}{more}. No file here names them; older backups may.",
            shown.join(", ")
        ));
    }
}
