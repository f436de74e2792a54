//! `keyring-ward status`

use super::{print, print_json, print_rows};
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::{Error, Result};
use keyring_ward::status::fields::View;
use keyring_ward::status::{Status, metrics};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub keyring: Keyring,
    /// Print metrics in Prometheus' text format; they tell of a keyring that does not open, too
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let status = inspect(&args.keyring.config()?)?.status;
    if json {
        print_json(&status.json(View::Tool).into());
        return Ok(());
    }
    match args.prometheus {
        true => print_metrics(&status),
        false => print_rows(&status.rows(View::Tool, "")),
    }
    let warnings = status.warnings.iter();
    warnings.for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}

/// The metrics of a keyring that does not open.
pub fn print_failure(error: &Error) {
    print_metrics(&Status::of_failure(error));
}

fn print_metrics(status: &Status) {
    print(metrics::render(status).trim_end());
}
