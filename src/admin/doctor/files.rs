//! The data directory's files: the keyring has the keys that they name, and they are the ones. Headers only, and for a few
//! seconds at most; `keyring-ward prove` has the time.

use super::Look;
use crate::admin::prove::{Needed, Outcome, Proof, State, prove_beside};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::keyring::Keyring;
use std::time::Duration;

const WHAT: &str = "MySQL's files";
const PATIENCE: Duration = Duration::from_secs(5);
/// As many keys are named.
const NAMED: usize = 3;

pub(super) fn check(look: &mut Look<'_>, config: &Config, keyring: Keyring) {
    let Some(dir) = look.setup.data_dir.filter(|dir| dir.is_dir()) else {
        return;
    };
    let until = Some(Deadline::after(PATIENCE));
    let proof = match prove_beside(config, keyring, &[dir.to_path_buf()], false, until, &|_| {}) {
        Ok(proof) => proof,
        Err(e) => return look.error(WHAT, &e),
    };
    if proof.files == 0 && !proof.cut_short {
        return look.ok(WHAT, "there are none yet");
    }
    let prove = format!("keyring-ward prove '{}' has the whole list.", dir.display());
    let (stopped_by, others): (Vec<_>, Vec<_>) =
        troubles(&proof).partition(|(_, needed)| stops(needed));
    if !stopped_by.is_empty() {
        let remedy = format!(
            "Put the keyring in place that has the key, or bring the key from it: keyring-ward import. Don't create tables before. {prove}"
        );
        return look.fail(WHAT, sentences(&stopped_by), remedy);
    }
    if !others.is_empty() {
        return look.warn(WHAT, sentences(&others), prove);
    }
    let looked = match proof.cut_short {
        true => format!(
            "the first {} files, as far as {} seconds reach",
            proof.files,
            PATIENCE.as_secs()
        ),
        false => format!("{} files", proof.files),
    };
    match (proof.outcome(), proof.unreadable.why.iter().next()) {
        (Outcome::Unreadable, Some((file, (_, why)))) => {
            let detail = format!(
                "{} of {looked} could not be read: {file}: {why}",
                proof.unreadable.files.count
            );
            look.warn(WHAT, detail, prove);
        }
        _ => look.ok(
            WHAT,
            format!(
                "{looked}: the keyring has the {} keys that they need",
                proof.needed.len()
            ),
        ),
    }
}

fn troubles(proof: &Proof) -> impl Iterator<Item = (&String, &Needed)> {
    proof
        .in_state(State::Missing)
        .chain(proof.in_state(State::Wrong))
}

/// Without it the server does not start, or a table can't be read.
fn stops(needed: &Needed) -> bool {
    use crate::scan::need::Kind;
    needed
        .kinds
        .keys()
        .any(|kind| matches!(kind, Kind::Tablespace | Kind::Redo))
}

fn sentences(keys: &[(&String, &Needed)]) -> String {
    let mut said: Vec<String> = keys
        .iter()
        .take(NAMED)
        .map(|(name, needed)| sentence(name, needed))
        .collect();
    if keys.len() > NAMED {
        said.push(format!("so it is with {} more keys", keys.len() - NAMED));
    }
    said.join("; ")
}

fn sentence(name: &str, needed: &Needed) -> String {
    let need = match needed.files.count {
        0 => "the server needs to know which key of its logs is current".into(),
        1 => format!("1 file needs: {}", needed.files.shown()),
        n => format!("{n} files need: {}", needed.files.shown()),
    };
    let after = match needed.rotated_away {
        true => {
            " (copies of logs from before ALTER INSTANCE ROTATE BINLOG MASTER KEY, which removed it)"
        }
        false => "",
    };
    match needed.state() {
        State::Wrong => format!(
            "the keyring has another key under the name {name}, which does not open {} of them: {}",
            needed.wrong.count,
            needed.wrong.shown()
        ),
        _ if needed.retired => format!(
            "the keyring lacks {name}, which {need}{after}; it is kept as a retired key: keyring-ward key restore --name {name}"
        ),
        _ => format!("the keyring lacks {name}, which {need}{after}"),
    }
}
