//! `keyring-ward transport …`: keys that travel between keyrings, for a keyring that no server holds.
//!
//! Owns the options, and what people read of an answer. What is done is `admin::transport`'s, shared with SQL.

use super::rekey::or_by_sql;
use super::{Aim, Change, print, print_answer};
use crate::examples;
use crate::options::Keyring;
use keyring_ward::admin::transport::{Order, offline};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::key::id::KeyId;
use keyring_ward::os::signals;
use keyring_ward::transport::{MAX_TEXT, ServerId};
use serde_json::Value;
use std::io::Read;

/// What is done with transport keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Ask for a transport key, on a replica: show the public key that it is to be sealed for.
    #[command(after_help = examples::TRANSPORT_REQUEST)]
    Request(Named),
    /// Hand a transport key over, on the source: make it where there is none, and seal it for the public keys of requests.
    #[command(after_help = examples::TRANSPORT_NEW)]
    New(New),
    /// Take a message in, on a replica: a version of a key, or with its fingerprint a transport key.
    #[command(after_help = examples::TRANSPORT_ACCEPT)]
    Accept(Accept),
    /// Seal a version of a key for all who have the transport key.
    #[command(after_help = examples::TRANSPORT_SEAL)]
    Seal(Seal),
    /// Say what a replica's receipt proves.
    #[command(after_help = examples::TRANSPORT_CONFIRM)]
    Confirm(Confirm),
    /// List transport keys and open requests, with their fingerprints and ages.
    #[command(after_help = examples::TRANSPORT_LIST)]
    List(Keyring),
    /// Take a transport key and its request away for good.
    #[command(after_help = examples::TRANSPORT_REMOVE)]
    Remove(Named),
}

/// A transport key that is changed.
#[derive(clap::Args)]
pub struct Named {
    /// The transport key's name, the same on all servers
    #[arg(long = "name", value_name = "NAME")]
    transport: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    server: Server,
}

/// Which server it is.
#[derive(clap::Args)]
pub struct Server {
    /// The uuid of the keyring's server; without it what auto.cnf in the data directory says
    #[arg(long, value_name = "UUID")]
    server_uuid: Option<String>,
}

/// `keyring-ward transport new`
#[derive(clap::Args)]
pub struct New {
    #[command(flatten)]
    named: Named,
    /// The public key of a request; once for each replica
    #[arg(long = "public", value_name = "KEY", required = true)]
    publics: Vec<String>,
}

/// `keyring-ward transport accept`
#[derive(clap::Args)]
pub struct Accept {
    /// The message; - reads it from standard input
    #[arg(long, value_name = "TEXT")]
    message: String,
    /// Of a transport key: its fingerprint, as transport new showed it at the source
    #[arg(long, value_name = "DIGITS")]
    fingerprint: Option<String>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    server: Server,
}

/// `keyring-ward transport seal`
#[derive(clap::Args)]
pub struct Seal {
    /// The transport key's name
    #[arg(long, value_name = "NAME")]
    transport: String,
    /// The logical key's name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its owner, user@host
    #[arg(long, value_name = "USER@HOST")]
    owner: String,
    /// The version's number
    #[arg(long, value_name = "NUMBER")]
    version: u32,
    #[command(flatten)]
    keyring: Keyring,
    #[command(flatten)]
    server: Server,
}

/// `keyring-ward transport confirm`
#[derive(clap::Args)]
pub struct Confirm {
    /// The receipt; - reads it from standard input
    #[arg(long, value_name = "TEXT")]
    receipt: String,
    #[command(flatten)]
    keyring: Keyring,
}

impl Command {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        match self {
            Command::Request(args) | Command::Remove(args) => &args.change.keyring,
            Command::New(args) => &args.named.change.keyring,
            Command::Accept(args) => &args.change.keyring,
            Command::Seal(args) => &args.keyring,
            Command::Confirm(args) => &args.keyring,
            Command::List(keyring) => keyring,
        }
    }

    fn change(&self) -> Option<&Change> {
        match self {
            Command::Request(args) | Command::Remove(args) => Some(&args.change),
            Command::New(args) => Some(&args.named.change),
            Command::Accept(args) => Some(&args.change),
            Command::Seal(_) | Command::Confirm(_) | Command::List(_) => None,
        }
    }

    fn server(&self) -> Result<Option<ServerId>> {
        let server = match self {
            Command::Request(args) | Command::Remove(args) => Some(&args.server),
            Command::New(args) => Some(&args.named.server),
            Command::Accept(args) => Some(&args.server),
            Command::Seal(args) => Some(&args.server),
            Command::Confirm(_) | Command::List(_) => None,
        };
        let uuid = server.and_then(|server| server.server_uuid.as_deref());
        uuid.map(ServerId::parse).transpose()
    }

    /// The order, and the SQL function that does the same.
    fn order(&self) -> Result<(Order, &'static str)> {
        Ok(match self {
            Command::Request(args) => {
                let name = args.transport.clone();
                (Order::Request { name }, "request")
            }
            Command::Remove(args) => {
                let name = args.transport.clone();
                (Order::Remove { name }, "remove")
            }
            Command::New(args) => {
                let order = Order::New {
                    name: args.named.transport.clone(),
                    publics: args.publics.clone(),
                };
                (order, "new")
            }
            Command::Accept(args) => {
                let order = Order::Accept {
                    message: text(&args.message)?,
                    fingerprint: args.fingerprint.clone(),
                };
                (order, "accept")
            }
            Command::Seal(args) => {
                let order = Order::Seal {
                    name: args.transport.clone(),
                    key: KeyId::new(args.name.as_bytes(), args.owner.as_bytes())?,
                    version: args.version,
                };
                (order, "seal")
            }
            Command::Confirm(args) => {
                let receipt = text(&args.receipt)?;
                (Order::Confirm { receipt }, "confirm")
            }
            Command::List(_) => (Order::List, "list"),
        })
    }
}

/// What is named, or what stands on standard input.
fn text(named: &str) -> Result<String> {
    if named != "-" {
        return Ok(named.into());
    }
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MAX_TEXT as u64 + 1);
    input.read_to_string(&mut text).map_err(|e| {
        Error::io("read the message", "standard input", e)
            .hint("Give the text that the other keyring showed. Nothing was changed.")
    })?;
    match text.trim().is_empty() {
        false => Ok(text),
        true => Err(Error::new(
            Kind::InvalidInput,
            "read the message",
            "standard input is empty",
        )
        .hint("Give the text that the other keyring showed. Nothing was changed.")),
    }
}

pub fn run(command: &Command, json: bool) -> Result<()> {
    let (order, word) = command.order()?;
    let server = command.server()?;
    let (aim, dry_run) = match command.change() {
        Some(change) => (Aim::to_write(&change.keyring, &change.end)?, change.dry_run),
        None => (Aim::to_look(command.keyring())?, false),
    };
    if order.writes() && !dry_run {
        signals::hold_back();
    }
    let done = offline::run(aim.target(), server, &order, dry_run)
        .map_err(|e| or_by_sql(e, &format!("keyring_ward_transport_{word}(…)")))?;
    if json {
        print_answer(done);
        return Ok(());
    }
    if dry_run {
        print("Nothing was written. Without --dry-run:");
    }
    say(&order, &done, dry_run);
    Ok(())
}

fn of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn say(order: &Order, done: &Value, dry_run: bool) {
    let is_new = done["new"] == true;
    match order {
        Order::Request { name } if dry_run => match is_new {
            true => print(&format!("A request for the transport key {name} is made.")),
            false => print(&format!(
                "The request for the transport key {name} stays as it is."
            )),
        },
        Order::Request { name } => {
            print(&format!("Public key   {}", of(done, "public")));
            print(&format!("Fingerprint  {}", of(done, "fingerprint")));
            print(&format!(
                "Take the public key to the source: keyring-ward transport new --name {name} --public KEY, or there in SQL:\n\
                 SELECT keyring_ward_transport_new('{name}', 'KEY'). Compare the fingerprint that it shows for the request with this one."
            ));
        }
        Order::New { name, .. } if dry_run => match is_new {
            true => print(&format!(
                "The transport key {name} is made and sealed for each request."
            )),
            false => print(&format!(
                "The transport key {name} is sealed for each request."
            )),
        },
        Order::New { name, .. } => say_new(name, done),
        Order::Accept { .. } => say_accepted(done),
        Order::Seal { .. } => print(of(done, "message")),
        Order::Confirm { .. } => print(&format!(
            "The server {} has version {} of {} ({}), with the same material as here; it was {} on {}.",
            of(done, "replica"),
            done["version"],
            of(done, "name"),
            of(done, "owner"),
            of(done, "state"),
            of(done, "at")
        )),
        Order::Remove { name } => print(&format!(
            "The transport key {name} is gone from this keyring. Remove it on the other servers, too: whoever has it opens every \
             message that was sealed under it, and they stand in binary logs."
        )),
        Order::List => say_list(done),
    }
}

fn say_new(name: &str, done: &Value) {
    print(&format!(
        "Transport key {name}, fingerprint {}",
        of(done, "fingerprint")
    ));
    for message in done["messages"].as_array().into_iter().flatten() {
        print(&format!(
            "For the request {}:",
            of(message, "request_fingerprint")
        ));
        print(of(message, "message"));
    }
    print(
        "Give each replica its message with the fingerprint of the transport key: keyring-ward transport accept --message TEXT \
         --fingerprint DIGITS, or there in SQL: SELECT keyring_ward_transport_accept('TEXT', 'DIGITS').",
    );
}

fn say_accepted(done: &Value) {
    let before = match done["new"] == true {
        true => "",
        false => " It was here before.",
    };
    if of(done, "kind") == "transport" {
        print(&format!(
            "The transport key {} is here.{before}",
            of(done, "name")
        ));
        return;
    }
    print(&format!(
        "Version {} of {} ({}) is here, and {}.{before}",
        done["version"],
        of(done, "name"),
        of(done, "owner"),
        of(done, "state")
    ));
    if !of(done, "receipt").is_empty() {
        print(&format!("Receipt      {}", of(done, "receipt")));
    }
}

fn say_list(done: &Value) {
    let (keys, requests) = (&done["transports"], &done["requests"]);
    print("WHAT\tNAME\tFINGERPRINT\tCREATED\tAGE_DAYS");
    for (what, list) in [("transport key", keys), ("request", requests)] {
        for one in list.as_array().into_iter().flatten() {
            print(&format!(
                "{what}\t{}\t{}\t{}\t{}",
                of(one, "name"),
                of(one, "fingerprint"),
                of(one, "created"),
                one["age_days"]
            ));
        }
    }
}
