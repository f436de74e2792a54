//! `keyring-ward doctor`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::doctor::{Surroundings, Verdict, doctor, worst};
use keyring_ward::error::{Error, Kind, Result};
use serde_json::json;

/// With --plugin-dir and --datadir it looks where the server looks. Run it as root or as the account of mysqld.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let around = Surroundings {
        plugin_dir: args.keyring.plugin_dir(),
        data_dir: args.keyring.datadir(),
    };
    let findings = doctor(&args.keyring.config(), around);
    let worst = worst(&findings);
    if json {
        let steps: Vec<_> = findings
            .iter()
            .map(|f| json!({ "step": f.what, "verdict": f.verdict.word(), "detail": f.detail }))
            .collect();
        print_json(&json!({ "verdict": worst.word(), "steps": steps }));
    } else {
        for f in &findings {
            print(&format!("{:<8} {}: {}", f.verdict.word(), f.what, f.detail));
        }
    }
    match worst {
        Verdict::Failure => Err(Error::new(
            Kind::Config,
            "find the keyring ready",
            "a server would start with a disabled keyring",
        )
        .hint("Do what the failures above say, then run this again.")),
        _ => Ok(()),
    }
}
