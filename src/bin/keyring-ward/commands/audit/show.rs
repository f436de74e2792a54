//! `keyring-ward audit show`, `follow` and `export`: lines of a log.

use crate::commands::print;
use crate::warnings;
use keyring_ward::admin::audit::{self, Filter};
use keyring_ward::audit::event::Event;
use keyring_ward::audit::line::Read;
use keyring_ward::error::{Error, Kind, Result};
use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;

/// Which lines.
#[derive(clap::Args)]
pub struct Args {
    /// The log: the file that audit_file names (those that are full lie beside it), or all files in their order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Lines of this account: as who logged in, or as whose rights counted
    #[arg(long, value_name = "USER@HOST")]
    account: Option<String>,
    /// Lines about this key, as the log writes its name
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Lines about keys of this owner
    #[arg(long, value_name = "USER@HOST")]
    owner: Option<String>,
    /// Lines of this event, e.g. denied; may be repeated
    #[arg(long, value_name = "EVENT", value_parser = event)]
    event: Vec<String>,
    /// From then on: a day, a time (RFC 3339), or a span until now (30d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only the last so many
    #[arg(long, value_name = "NUMBER")]
    last: Option<usize>,
}

fn event(text: &str) -> std::result::Result<String, String> {
    match Event::of_word(text) {
        Some(_) => Ok(text.into()),
        None => {
            let words: Vec<_> = Event::ALL.iter().map(|e| e.word()).collect();
            Err(format!("the events are {}", words.join(", ")))
        }
    }
}

impl Args {
    fn filter(&self) -> Result<Filter> {
        Ok(Filter {
            account: self.account.clone(),
            key: self.key.clone(),
            owner: self.owner.clone(),
            events: self.event.clone(),
            since: super::time(self.since.as_ref())?,
            until: super::time(self.until.as_ref())?,
        })
    }

    fn each(&self, each: &mut dyn FnMut(&Read, &str)) -> Result<()> {
        let files = super::found(&self.files)?;
        let unread = audit::lines(&files, &self.filter()?, each)?;
        if unread > 0 {
            warnings::warn(format!(
                "{unread} lines could not be read: run keyring-ward audit verify."
            ));
        }
        Ok(())
    }
}

/// A line for people.
fn text(line: &Read) -> String {
    let mut text = format!(
        "{} {} {}",
        line.time,
        line.event.word(),
        line.outcome.word()
    );
    let mut more = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name}: {value}"));
        }
    };
    more("by", &line.actor);
    more("key", &line.key);
    more("owner", &line.owner);
    if line.count != 1 {
        more("times", &line.count.to_string());
    }
    more("detail", &line.detail);
    if line.recovered {
        more("recovered", "yes");
    }
    text
}

/// `keyring-ward audit show`
pub fn show(args: &Args, json: bool) -> Result<()> {
    let most = args.last.unwrap_or(usize::MAX);
    let mut kept = VecDeque::new();
    args.each(&mut |line, own| {
        let shown = if json { own.to_string() } else { text(line) };
        match args.last {
            None => print(&shown),
            Some(_) => {
                kept.push_back(shown);
                while kept.len() > most {
                    kept.pop_front();
                }
            }
        }
    })?;
    kept.iter().for_each(|line| print(line));
    Ok(())
}

/// `keyring-ward audit follow`
pub fn follow(args: &Args) -> Result<()> {
    let [path] = &args.files[..] else {
        return Err(Error::new(
            Kind::InvalidInput,
            "follow the audit log",
            "several files are named",
        )
        .hint("Name the one that audit_file names."));
    };
    audit::follow(path, &args.filter()?, &mut |line| {
        let mut out = std::io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    })
}

/// A field of CSV (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.into()
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// `keyring-ward audit export`
pub fn export(args: &Args) -> Result<()> {
    print("line,time,event,result,actor,key,owner,count,detail,change,recovered");
    args.each(&mut |line, _| {
        let change = line.change.map(|c| c.text()).unwrap_or_default();
        let (number, count) = (line.number.to_string(), line.count.to_string());
        let fields = [
            &*number,
            &line.time,
            line.event.word(),
            line.outcome.word(),
            &line.actor,
            &line.key,
            &line.owner,
            &count,
            &line.detail,
            &change,
            if line.recovered { "yes" } else { "" },
        ];
        print(&fields.map(field).join(","));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_calculates_nothing() {
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("=1+1"), "'=1+1");
        assert_eq!(field("say \"x\""), "\"say \"\"x\"\"\"");
    }
}
