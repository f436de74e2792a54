//! `keyring-ward audit exposed`

use crate::commands::{print, print_json};
use crate::warnings;
use keyring_ward::admin::audit;
use keyring_ward::error::Result;
use serde_json::json;
use std::path::PathBuf;

/// Whose reads are listed.
#[derive(clap::Args)]
pub struct Args {
    /// The log: the file that audit_file names (those that are full lie beside it), or all files in their order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The account, as the log writes it: app@% (or who logged in: app@localhost)
    #[arg(long, value_name = "USER@HOST")]
    account: String,
    /// From then on: a day, a time (RFC 3339), or a span until now (30d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let files = super::found(&args.files)?;
    let since = super::time(args.since.as_ref())?;
    let (exposed, blind) = audit::exposed(&files, &args.account, since)?;
    if blind.missing > 0 {
        warnings::warn(format!(
            "In {} places the log says that reads may be missing: the account may have read more than this. keyring-ward audit verify names them.",
            blind.missing
        ));
    }
    if blind.unread > 0 {
        warnings::warn(format!(
            "{} lines could not be read: run keyring-ward audit verify.",
            blind.unread
        ));
    }
    if json {
        let keys = exposed.iter().map(|((key, owner), e)| {
            json!({ "key": key, "owner": owner, "reads": e.reads, "first": e.first, "last": e.last })
        });
        print_json(&json!({
            "account": args.account, "keys": keys.collect::<Vec<_>>(),
            "unread_lines": blind.unread, "places_where_reads_may_be_missing": blind.missing,
        }));
        return Ok(());
    }
    print("KEY\tOWNER\tREADS\tFIRST\tLAST");
    for ((key, owner), e) in &exposed {
        print(&format!(
            "{key}\t{owner}\t{}\t{}\t{}",
            e.reads, e.first, e.last
        ));
    }
    Ok(())
}
