//! `keyring-ward kek list | test | add | remove | sync | drill`
//!
//! Owns what is printed of each KEK. The configuration says which KEKs there are; these commands bring the keyring under
//! them, and write no configuration.

use super::rekey::{Wait, or_by_sql, print_done};
use super::{Aim, Change, print, print_answer, print_would};
use crate::examples;
use crate::options::Keyring;
use keyring_ward::admin::drill::drill;
use keyring_ward::admin::keks::{self, Answer, KekInfo, SyncOutcome, Synced};
use keyring_ward::error::Result;
use keyring_ward::os::signals;
use keyring_ward::status::keks::of_kek;
use serde_json::json;
use std::process::ExitCode;

/// What is done to the KEKs of a keyring.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show each KEK: what it is, whether the DEK is wrapped for it, and what it answered when the keyring was opened.
    #[command(after_help = examples::KEK_LIST)]
    List(Keyring),
    /// Ask each KEK to open the keyring; exit code 4 where one does not.
    #[command(after_help = examples::KEK_TEST)]
    Test(Test),
    /// Wrap the DEK for one more KEK, which the configuration names already.
    #[command(after_help = examples::KEK_ADD)]
    Add(Named),
    /// Take a KEK out of the keyring: the file is written anew under the others, with a new DEK.
    #[command(after_help = examples::KEK_REMOVE)]
    Remove(Remove),
    /// Wrap the DEK for every configured KEK that has no valid wrap; exit code 4 where one could not.
    #[command(after_help = examples::KEK_SYNC)]
    Sync(Change),
    /// Open the keyring, or with --path a copy of it, by these KEKs alone, as after a disaster, and change nothing.
    #[command(after_help = examples::KEK_DRILL)]
    Drill(Drill),
}

/// `keyring-ward kek test`
#[derive(clap::Args)]
pub struct Test {
    #[command(flatten)]
    keyring: Keyring,
    /// Ask each KEK this many times, and propose the order in which a server tries them best
    #[arg(long, value_name = "TIMES", num_args = 0..=1, default_missing_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rank: Option<u32>,
}

/// One KEK of the configuration.
#[derive(clap::Args)]
pub struct Named {
    /// The KEK's name in the configuration
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    change: Change,
}

/// `keyring-ward kek remove`
#[derive(clap::Args)]
pub struct Remove {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    wait: Wait,
}

/// `keyring-ward kek drill`
#[derive(clap::Args)]
pub struct Drill {
    /// The KEK's name in the configuration; several where a threshold needs so many
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    keyring: Keyring,
}

impl Command {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        match self {
            Command::List(keyring) => keyring,
            Command::Test(test) => &test.keyring,
            Command::Add(named) => &named.change.keyring,
            Command::Remove(remove) => &remove.named.change.keyring,
            Command::Sync(change) => &change.keyring,
            Command::Drill(drill) => &drill.keyring,
        }
    }
}

/// Exit code of a command that went through although a KEK did not do its part.
const NOT_ALL: u8 = 4;

pub fn run(command: &Command, json: bool) -> Result<ExitCode> {
    match command {
        Command::List(keyring) => list(keyring, json),
        Command::Test(args) => match args.rank {
            Some(times) => rank(&args.keyring, times, json),
            None => test(&args.keyring, json),
        },
        Command::Add(named) => add(named, json),
        Command::Remove(remove) => take_out(remove, json),
        Command::Sync(change) => sync(change, json),
        Command::Drill(args) => try_alone(args, json),
    }
}

fn list(keyring: &Keyring, json: bool) -> Result<ExitCode> {
    let aim = Aim::to_look(keyring)?;
    show(&keks::list(aim.target())?, json);
    Ok(ExitCode::SUCCESS)
}

fn test(keyring: &Keyring, json: bool) -> Result<ExitCode> {
    let aim = Aim::to_look(keyring)?;
    let all = keks::test(aim.target())?;
    show(&all, json);
    // One that was not asked is for recovery, without --recovery.
    let failed = all.iter().any(|kek| kek.answer.has_failed());
    Ok(code(failed))
}

fn rank(keyring: &Keyring, times: u32, json: bool) -> Result<ExitCode> {
    let aim = Aim::to_look(keyring)?;
    let ranking = keks::rank(aim.target(), times)?;
    let failed = ranking.keks.iter().any(|kek| kek.answer.has_failed());
    if json {
        let order = ranking.order.iter();
        let order = order.map(|kek| {
            json!({ "name": kek.name, "near": kek.near, "median_milliseconds": kek.median.as_millis() as u64 })
        });
        print_answer(json!({
            "keks": ranking.keks.iter().map(of_kek).collect::<Vec<_>>(), "times": times,
            "order": order.collect::<Vec<_>>(), "is_so": ranking.is_so,
        }));
        return Ok(code(failed));
    }
    show(&ranking.keks, json);
    print(&format!("Of {times} times each, the middle one:"));
    for kek in &ranking.order {
        let near = if kek.near {
            ", in the keyring's region"
        } else {
            ""
        };
        print(&format!(
            "    {} ms: {}{near}",
            kek.median.as_millis(),
            kek.name
        ));
    }
    let names: Vec<&str> = ranking.order.iter().map(|kek| kek.name.as_str()).collect();
    let names = names.join(", ");
    match (ranking.order.len(), ranking.is_so) {
        (0, _) => print("No KEK opened each time: there is nothing to rank."),
        (_, true) => print(&format!(
            "The configuration has the best order already: {names}."
        )),
        (_, false) => print(&format!(
            "Proposed order of keks: {names}. What did not open each time stands best behind them."
        )),
    }
    Ok(code(failed))
}

fn code(failed: bool) -> ExitCode {
    match failed {
        true => ExitCode::from(NOT_ALL),
        false => ExitCode::SUCCESS,
    }
}

fn add(args: &Named, json: bool) -> Result<ExitCode> {
    let Named { name, change } = args;
    let by_sql = |e| {
        or_by_sql(
            e,
            &format!("keyring_ward_kek_add('{name}'), after the change of the configuration"),
        )
    };
    let aim = Aim::to_write(&change.keyring, &change.end)?;
    if change.dry_run {
        let keys = keks::could_add(aim.target(), name).map_err(by_sql)?;
        let path = aim.config.path.display();
        print_would(
            json,
            &format!("wrap the DEK of '{path}' with {keys} keys for the KEK '{name}'"),
        );
        return Ok(ExitCode::SUCCESS);
    }
    signals::hold_back();
    let done = keks::add(aim.target(), name).map_err(by_sql)?;
    tell(&done, json);
    Ok(ExitCode::SUCCESS)
}

fn sync(args: &Change, json: bool) -> Result<ExitCode> {
    let by_sql = |e| or_by_sql(e, "keyring_ward_kek_sync()");
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    if args.dry_run {
        let keys = keks::could_sync(aim.target()).map_err(by_sql)?;
        let path = aim.config.path.display();
        let what = format!(
            "wrap the DEK of '{path}' with {keys} keys for every KEK that has no valid wrap"
        );
        print_would(json, &what);
        return Ok(ExitCode::SUCCESS);
    }
    signals::hold_back();
    let done = keks::sync(aim.target()).map_err(by_sql)?;
    tell(&done, json);
    let failed = |one: &Synced| matches!(one.outcome, SyncOutcome::Failed(_));
    Ok(code(done.iter().any(failed)))
}

fn take_out(args: &Remove, json: bool) -> Result<ExitCode> {
    let Remove {
        named: Named { name, change },
        wait,
    } = args;
    let by_sql = |e| or_by_sql(e, &format!("keyring_ward_kek_remove('{name}')"));
    let aim = Aim::to_write(&change.keyring, &change.end)?;
    if change.dry_run {
        let keys = keks::could_remove(aim.target(), name).map_err(by_sql)?;
        let path = aim.config.path.display();
        let what =
            format!("write '{path}' with {keys} keys under all KEKs but '{name}', with a new DEK");
        print_would(json, &what);
        return Ok(ExitCode::SUCCESS);
    }
    signals::hold_back();
    let pinned = || Ok(vec![change.keyring.pinned()?]);
    let done = keks::remove(aim.target(), name, &wait.pin(&pinned)).map_err(by_sql)?;
    if json {
        print_answer(super::rekey::json_of(&done));
        return Ok(ExitCode::SUCCESS);
    }
    print_done(&aim.config, "its other KEKs with a new DEK", &done);
    print(&format!(
        "Take the KEK '{name}' out of the server's configuration now, if it still stands there."
    ));
    print("Copies of the file that are older than this still open with it.");
    Ok(ExitCode::SUCCESS)
}

fn try_alone(args: &Drill, json: bool) -> Result<ExitCode> {
    let aim = Aim::to_look(&args.keyring)?;
    let done = drill(aim.target(), &args.names)?;
    if json {
        print_answer(json!({
            "keks": args.names, "keys": done.keys, "fingerprint": done.fingerprint, "fingerprint_is_pinned": done.pinned,
            "torn_bytes": done.torn,
            "opened_by": done.opened_by,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!(
        "'{}' opens by the {} alone: {} keys, every record is authentic. Nothing was changed.",
        aim.config.path.display(),
        done.opened_by,
        done.keys
    ));
    if done.torn > 0 {
        print(&format!(
            "Its end is cut off: {} bytes of an incomplete record.",
            done.torn
        ));
    }
    match done.pinned {
        true => print(&format!(
            "The DEK's fingerprint is {}, which is pinned.",
            done.fingerprint
        )),
        false => print(&format!(
            "The DEK's fingerprint is {}. Compare it with the one that is kept with the KEK's secret: the configuration pins none.",
            done.fingerprint
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// Each KEK, for people or for programs.
fn show(all: &[KekInfo], json: bool) {
    if json {
        print_answer(json!({ "keks": all.iter().map(of_kek).collect::<Vec<_>>() }));
        return;
    }
    for kek in all {
        print(&line(kek));
        if let Answer::Failed { message, .. } = &kek.answer {
            print(&format!("    {message}"));
        }
    }
}

fn line(kek: &KekInfo) -> String {
    let naming = &kek.naming;
    let region = naming.region.as_ref().map(|r| format!(", region {r}"));
    let wrapped = match kek.wrapped {
        Some(true) => "wrapped",
        Some(false) => "NOT WRAPPED",
        None => "wrapped perhaps: a stanza names no KEK",
    };
    let share = kek.share.map(|(number, shares, needed)| {
        format!(", share {number} of {shares}, {needed} are needed")
    });
    let took = kek.latency.map(|l| format!(" in {} ms", l.as_millis()));
    format!(
        "{}: {}, {}{}; {wrapped}{}; {}{}; {}",
        naming.name,
        naming.provider,
        naming.usage.name(),
        region.unwrap_or_default(),
        share.unwrap_or_default(),
        kek.answer.name(),
        took.unwrap_or_default(),
        kek.describe
    )
}

/// What became of each KEK.
fn tell(done: &[Synced], json: bool) {
    if json {
        print_answer(json!({ "keks": done.iter().map(keks::told).collect::<Vec<_>>() }));
        return;
    }
    for one in done {
        let what = match &one.outcome {
            SyncOutcome::Valid => "was wrapped for already, and opens".to_string(),
            SyncOutcome::Wrapped => "the DEK is wrapped for it now".into(),
            SyncOutcome::Untested => {
                "was wrapped for already; it was not asked (keyring-ward kek drill tries it)".into()
            }
            SyncOutcome::Failed(e) => format!("FAILED: {e}"),
        };
        print(&format!("{}: {what}", one.name));
    }
}
