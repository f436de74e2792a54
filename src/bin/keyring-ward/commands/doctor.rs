//! `keyring-ward doctor`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::doctor::{
    Finding, Setup, Verdict, doctor, how_to_reload, try_library, worst,
};
use keyring_ward::error::{Error, Kind, Result};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Looks at a server's files as the server will: its option files, manifest, library, configuration, keyring. Run it as
/// root or as the account of mysqld.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let groups_unknown = args.keyring.take_on_servers_account(false)?;
    let subject = args.keyring.subject()?;
    let setup = Setup {
        groups_unknown,
        config: &subject.config,
        server: subject.server.as_ref(),
        data_dir: subject.data_dir.as_deref(),
    };
    let findings = doctor(setup);
    let worst = worst(&findings);
    if json {
        let steps: Vec<_> = findings
            .iter()
            .map(|f| {
                json!({
                    "step": f.what, "verdict": f.verdict.word(), "detail": f.detail, "remedy": f.remedy,
                })
            })
            .collect();
        print_json(&json!({ "verdict": worst.word(), "steps": steps }));
    } else {
        let mut said: Vec<&str> = Vec::new();
        for finding in &findings {
            // One command that mends several things is said once.
            let again = said.contains(&finding.remedy.as_str());
            print(&line(finding, again));
            said.push(&finding.remedy);
        }
    }
    match worst {
        Verdict::Failure => Err(Error::new(
            Kind::Config,
            "find the keyring ready",
            "a server would start with a disabled keyring or another one, or would not start",
        )
        .hint(format!(
            "Do what the failures above say, then run this again. {}",
            how_to_reload(setup)
        ))),
        _ => Ok(()),
    }
}

fn line(finding: &Finding, again: bool) -> String {
    let Finding {
        what,
        verdict,
        detail,
        remedy,
    } = finding;
    let end = match remedy.is_empty() || detail.ends_with('.') {
        true => "",
        false => ".",
    };
    let remedy = match again && !remedy.is_empty() {
        true => "Do the same.",
        false => remedy.as_str(),
    };
    let line = format!("{:<8} {what}: {detail}{end} {remedy}", verdict.word());
    line.trim_end().to_string()
}

/// The library to load.
#[derive(clap::Args)]
pub struct TryArgs {
    /// The library
    file: PathBuf,
}

/// In a child of doctor: loading the library runs its code.
pub fn try_it(args: &TryArgs) -> ExitCode {
    match try_library(&args.file) {
        Ok(lines) => {
            lines.iter().for_each(|line| print(line));
            ExitCode::SUCCESS
        }
        Err(why) => {
            print(&why);
            ExitCode::FAILURE
        }
    }
}
