//! `keyring-ward audit verify`

use crate::commands::{print, print_answer};
use crate::options::Keyring;
use keyring_ward::admin::audit::{self, Checked};
use keyring_ward::audit::chain::PublicKey;
use keyring_ward::audit::verify::{Remark, Report};
use keyring_ward::error::{Error, Result};
use keyring_ward::os::file::{open_following, read_bounded};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The log is good, and something is to be known of it: a gap, dropped events, a chain that began anew.
const WITH_REMARKS: u8 = 8;
/// It was tampered with, or is damaged.
const TAMPERED: u8 = 9;

/// A log, and what it is held against.
#[derive(clap::Args)]
pub struct Args {
    /// The log: the file that audit_file names (those that are full lie beside it), or all files in their order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The public key in PEM, as keyring-ward audit public-key prints it; may be repeated
    #[arg(long, value_name = "FILE", required_unless_present = "with_keyring")]
    public_key: Vec<PathBuf>,
    /// Open the keyring as well: it knows the key, and how far the log was
    #[arg(long)]
    with_keyring: bool,
    /// Chains that began anew are no failure: their reasons are known
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    keyring: Keyring,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.with_keyring.then_some(&self.keyring)
    }
}

fn key(path: &Path) -> Result<PublicKey> {
    let failed = |e| Error::io("read the public key", format!("'{}'", path.display()), e);
    let (mut file, _) = open_following(path).map_err(failed)?;
    let bytes = read_bounded(&mut file, 16 << 10).map_err(failed)?;
    PublicKey::from_pem(&String::from_utf8_lossy(&bytes))
}

pub fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let mut keys: Vec<PublicKey> = args
        .public_key
        .iter()
        .map(|path| key(path))
        .collect::<Result<_>>()?;
    let mut expected = None;
    if args.with_keyring {
        let known = audit::known(&args.keyring.config()?)?;
        expected = Some(known.synced);
        keys.push(known.key);
    }
    let checked = audit::check(&super::found(&args.files)?, keys, expected)?;
    let code = code(&checked, args.accept);
    match json {
        true => print_answer(as_json(&checked, code)),
        false => say(&checked, code),
    }
    Ok(ExitCode::from(code))
}

fn code(checked: &Checked, accept: bool) -> u8 {
    let report = &checked.report;
    let restarted = !report.restarts.is_empty();
    if checked.flaw.is_some() || checked.lacks.is_some() || report.checkpoints == 0 {
        return TAMPERED;
    }
    let remarks = !report.gaps.is_empty() || !report.dropped.is_empty() || report.torn > 0;
    match (restarted && !accept, remarks || restarted) {
        (true, _) => TAMPERED,
        (false, true) => WITH_REMARKS,
        (false, false) => 0,
    }
}

fn verdict(code: u8) -> &'static str {
    match code {
        0 => "good",
        WITH_REMARKS => "good, not complete",
        _ => "not good",
    }
}

fn remarks(of: &[Remark]) -> Vec<serde_json::Value> {
    let one = |r: &Remark| json!({ "line": r.line, "time": r.time, "detail": r.detail });
    of.iter().map(one).collect()
}

fn as_json(checked: &Checked, code: u8) -> serde_json::Value {
    let report = &checked.report;
    let flaw = checked.flaw.as_ref().map(|(file, flaw)| {
        json!({ "file": file.display().to_string(), "row": flaw.row, "why": flaw.why })
    });
    json!({
        "verdict": verdict(code), "flaw": flaw, "lacks_line": checked.lacks.map(|s| s.line),
        "lines": report.lines, "first_line": report.first.0, "first_time": report.first.1, "last_line": report.tail.line,
        "last_time": report.last_time, "last_hash": keyring_ward::text::hex(&report.tail.hash),
        "checkpoints": report.checkpoints, "last_checkpoint": report.last_checkpoint.0, "last_checkpoint_time": report.last_checkpoint.1,
        "unsigned_lines": report.unsigned, "changes": report.changes, "lost_changes": report.lost, "recovered": report.recovered,
        "gaps": remarks(&report.gaps), "dropped": remarks(&report.dropped), "restarts": remarks(&report.restarts),
        "torn_bytes": report.torn, "closed": report.is_closed, "keyring": report.keyring, "signer": report.signer,
    })
}

fn say(checked: &Checked, code: u8) {
    let report = &checked.report;
    print(&format!("Verdict       {}", verdict(code)));
    if let Some((file, flaw)) = &checked.flaw {
        print(&format!(
            "Flaw          '{}', row {}: {}",
            file.display(),
            flaw.row,
            flaw.why
        ));
    }
    if let Some(lacks) = checked.lacks {
        print(&format!(
            "Lacks         line {}, which the keyring knows of: its end was cut, or it is an older one",
            lacks.line
        ));
    }
    say_lines(report);
    for (name, of) in [
        ("Gap", &report.gaps),
        ("Dropped", &report.dropped),
        ("Restarted", &report.restarts),
    ] {
        for remark in of {
            print(&format!(
                "{name:<13} line {}, {}: {}",
                remark.line, remark.time, remark.detail
            ));
        }
    }
    if report.torn > 0 {
        print(&format!(
            "Torn          {} bytes of a line at the end",
            report.torn
        ));
    }
    let is_whole = report.lost == 0 && report.restarts.is_empty() && code != TAMPERED;
    if is_whole && (!report.gaps.is_empty() || !report.dropped.is_empty()) {
        print("Every change is there. Of reads and refusals it is not complete, as said above.");
    }
}

fn say_lines(report: &Report) {
    print(&format!(
        "Lines         {} to {}, {} to {}",
        report.first.0, report.tail.line, report.first.1, report.last_time
    ));
    let (line, time) = &report.last_checkpoint;
    let last = match report.checkpoints {
        0 => "none: nothing is signed".into(),
        n => format!("{n}, the last is line {line}, {time}"),
    };
    print(&format!("Checkpoints   {last}"));
    print(&format!(
        "Unsigned      {} lines behind it",
        report.unsigned
    ));
    print(&format!(
        "Changes       {}, {} of them recovered",
        report.changes, report.recovered
    ));
    print(&format!(
        "Closed        {}",
        if report.is_closed { "yes" } else { "no" }
    ));
    print(&format!("Keyring       {}", report.keyring));
    print(&format!("Signer        {}", report.signer));
}
