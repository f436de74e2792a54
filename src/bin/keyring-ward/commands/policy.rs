//! `keyring-ward policy check | explain | test`: what a policy says, before a server reads it.
//!
//! Owns what is asked and printed. It changes nothing, and binds nobody who runs it: whoever can has the keyring's file.

use super::{print, print_answer};
use crate::examples;
use keyring_ward::error::Result;
use keyring_ward::os::unix_seconds;
use keyring_ward::policy::rule::Effect;
use keyring_ward::policy::source::{self, Loaded};
use keyring_ward::policy::table::{self, Question, because};
use keyring_ward::policy::verdict::{Verdict, Why};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code for an expectation that is not met.
const UNMET: u8 = 8;

/// What is done with a policy.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Read a policy as a server does, and say what is wrong with it.
    #[command(after_help = examples::POLICY_CHECK)]
    Check(Check),
    /// Say what a policy answers, and which rule gives that answer.
    #[command(after_help = examples::POLICY_EXPLAIN)]
    Explain(Explain),
    /// Compare a policy with a table of expectations.
    #[command(after_help = examples::POLICY_TEST)]
    Test(Test),
}

/// `keyring-ward policy check`
#[derive(clap::Args)]
pub struct Check {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// `keyring-ward policy explain`
#[derive(clap::Args)]
pub struct Explain {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The account whose rights count, as CURRENT_USER() shows it
    #[arg(long, value_name = "USER@HOST")]
    account: String,
    /// Who has logged in, where that is another one than the account
    #[arg(long, value_name = "USER@HOST")]
    login: Option<String>,
    /// The key (without: the keyring as a whole)
    #[arg(long, value_name = "OWNER/NAME")]
    key: Option<String>,
    /// fetch, use, generate, store, remove, rotate, list, export or admin
    #[arg(long)]
    operation: String,
    /// When (2026-11-30T22:00:00+01:00; without: now)
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Where the connection comes from: an address, or socket
    #[arg(long, value_name = "ADDRESS", default_value = "socket")]
    from: String,
    /// A dynamic privilege that the caller has, as one of our functions asks for it; several times for several
    #[arg(long, value_name = "NAME")]
    privilege: Vec<String>,
    /// The call comes by one of the server's own functions (keyring_key_fetch and so on), where privileges count for nothing
    #[arg(long, conflicts_with = "privilege")]
    server_function: bool,
    /// What the key is for
    #[arg(long, value_name = "NAME", default_value = "")]
    environment: String,
}

/// `keyring-ward policy test`
#[derive(clap::Args)]
pub struct Test {
    /// The policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The table: a list of requests in JSON, each with what is expected
    #[arg(long, value_name = "TABLE")]
    expect: PathBuf,
}

pub fn run(command: &Command, json: bool) -> Result<ExitCode> {
    match command {
        Command::Check(args) => check(args, json),
        Command::Explain(args) => explain(args, json),
        Command::Test(args) => test(args, json),
    }
}

/// A file that the caller names may be relative.
fn load(file: &Path) -> Result<Loaded> {
    source::load(&std::path::absolute(file).unwrap_or_else(|_| file.into()))
}

fn check(args: &Check, json: bool) -> Result<ExitCode> {
    let Loaded { policy, warnings } = load(&args.file)?;
    if json {
        print_answer(json!({
            "rules": policy.rules().len(), "default": policy.default().name(), "privileges": policy.privileges(), "warnings": warnings,
        }));
    } else {
        print(&format!(
            "The policy is in order: {} rules, default {}.",
            policy.rules().len(),
            policy.default().name()
        ));
        warnings
            .iter()
            .for_each(|warning| print(&format!("Note: {warning}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(args: &Explain, json: bool) -> Result<ExitCode> {
    let policy = load(&args.file)?.policy;
    let question = Question {
        account: args.account.clone(),
        login: args.login.clone(),
        address: table::address(&args.from)?,
        key: args.key.as_deref().map(table::key).transpose()?,
        operation: table::operation(&args.operation)?,
        at: match &args.at {
            None => unix_seconds(),
            Some(at) => table::moment(at, unix_seconds())?,
        },
        privileges: (!args.server_function).then(|| args.privilege.clone()),
        environment: args.environment.clone(),
    };
    question.ask(&policy, |request, verdict| {
        let answer = if verdict.is_allowed() { "allow" } else { "deny" };
        let compared = policy.compare(request);
        // Rules about other keys or operations say nothing to whoever asks.
        let near = compared.iter().filter(|(_, differs)| !matches!(differs, Some("operations" | "keys")));
        if json {
            let rules: Vec<Value> = near
                .map(|(rule, differs)| json!({ "rule": rule.name, "effect": effect(rule.effect), "differs": differs }))
                .collect();
            print_answer(json!({ "answer": answer, "rule": verdict.rule().map(|r| &r.name), "rules": rules }));
            return;
        }
        match &verdict {
            Verdict::Allowed(Some(_)) | Verdict::Denied(Why::Rule(_)) => {
                print(&format!("{answer}: the rule '{}' says so.", because(&verdict)));
            }
            _ => print(&format!("{answer}: {} says so.", because(&verdict))),
        }
        for (rule, differs) in near {
            let about = match differs {
                None => "is about this".into(),
                Some(member) => format!("would be, but for its {member}"),
            };
            print(&format!("  {} '{}' {about}", effect(rule.effect), rule.name));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

fn test(args: &Test, json: bool) -> Result<ExitCode> {
    let policy = load(&args.file)?.policy;
    let rows = table::load(&args.expect, unix_seconds())?;
    let failed = table::compare(&policy, &rows);
    if json {
        let shown: Vec<Value> = failed
            .iter()
            .map(|f| json!({ "row": f.row, "why": f.text }))
            .collect();
        print_answer(json!({ "rows": rows.len(), "failed": shown }));
    } else {
        for failure in &failed {
            print(&format!("row {}: {}", failure.row, failure.text));
        }
        match failed.len() {
            0 => print(&format!("All {} expectations are met.", rows.len())),
            count => print(&format!(
                "{count} of {} expectations are not met.",
                rows.len()
            )),
        }
    }
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(UNMET),
    })
}
