//! The commands of `keyring-ward key` that change something.
//!
//! Owns their options, and the sentences about what was done. A dry run says the same of what would be done.

use super::{Command, Target};
use crate::commands::rekey::or_by_sql;
use crate::commands::{Aim, print, print_answer};
use keyring_ward::admin::key_change::change;
use keyring_ward::admin::keys::{Order, Settings};
use keyring_ward::admin::naming::Named;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::key::id::{KeyId, TYPES, printable};
use keyring_ward::key::logical::{State, split};
use keyring_ward::keyring::adopting::{Adopting, id_of_text};
use keyring_ward::keyring::logical::Wanted;
use keyring_ward::os::{signals, unix_seconds};
use keyring_ward::text::moment;
use serde_json::Value;

/// `keyring-ward key create`
#[derive(clap::Args)]
pub struct Create {
    #[command(flatten)]
    pub target: Target,
    /// The type of its versions: AES, RSA, DSA or SECRET
    #[arg(long = "type", value_name = "TYPE", default_value = "AES", value_parser = clap::builder::PossibleValuesParser::new(TYPES), ignore_case = true)]
    key_type: String,
    /// Bytes of each version's material
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    bytes: usize,
    /// The bare name answers with the current version. Only for programs that keep the version's number beside their data, or
    /// none: what decrypts under the bare name gets the next version after a rotation
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    about: About,
    /// A key for a time only: until when, as 90m, 12h, 30d, 2w, or as a date (2027-01-31, UTC). It is destroyed by itself then
    #[arg(long, value_name = "TIME")]
    temporary: Option<String>,
}

/// `keyring-ward key adopt`
#[derive(clap::Args)]
pub struct Adopt {
    #[command(flatten)]
    pub target: Target,
    /// NAME@2 and so on are its versions, too, and NAME@1 if there is no NAME: a logical key that came here by a clear-text
    /// file or by mysql_migrate_keyring, as plain keys. The highest is current
    #[arg(long)]
    versions: bool,
    /// The id that the key had where it came from (key show), 32 hexadecimal digits: only with it its sealed values open
    #[arg(long, value_name = "HEX")]
    id: Option<String>,
    #[command(flatten)]
    about: About,
}

/// What is known of a key beside its versions.
#[derive(clap::Args)]
pub struct About {
    /// Days after which it is due for a rotation; nothing rotates it by itself
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    rotate_every: Option<u16>,
    /// What it is for, e.g. production
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true
    )]
    environment: String,
    /// A line for people
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

/// `keyring-ward key rotate`
#[derive(clap::Args)]
pub struct Rotate {
    #[command(flatten)]
    pub target: Target,
    /// The new version waits for key activate
    #[arg(long)]
    pending: bool,
}

/// `keyring-ward key activate`, `key drop`, `key compromise`
#[derive(clap::Args)]
pub struct OneVersion {
    #[command(flatten)]
    pub target: Target,
    /// The version's number
    #[arg(long, value_name = "NUMBER")]
    version: u32,
}

/// `keyring-ward key cancel`
#[derive(clap::Args)]
pub struct SomeVersion {
    #[command(flatten)]
    pub target: Target,
    /// The version's number; without it: the whole key
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
}

/// `keyring-ward key set`
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("setting").required(true).multiple(true)
    .args(["follow", "rotate_every", "environment", "description", "expires"]))]
pub struct Set {
    #[command(flatten)]
    pub target: Target,
    /// Whether the bare name answers with the current version
    #[arg(long, value_name = "YES", value_parser = clap::builder::BoolishValueParser::new())]
    follow: Option<bool>,
    /// Days after which it is due for a rotation; 0: never
    #[arg(long, value_name = "DAYS")]
    rotate_every: Option<u16>,
    /// What it is for, e.g. production
    #[arg(long, value_name = "WORD")]
    environment: Option<String>,
    /// A line for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Of a temporary key: until when, as 90m, 12h, 30d, 2w, or as a date (2027-01-31, UTC)
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

/// `keyring-ward key destroy`
#[derive(clap::Args)]
pub struct Destroy {
    #[command(flatten)]
    pub target: Target,
    /// The version's number; without it: the whole key
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// In how many days from now it may be destroyed
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Destroy what was planned and is due, nothing else
    #[arg(long, conflicts_with = "days")]
    now: bool,
}

/// `keyring-ward key restore`
#[derive(clap::Args)]
pub struct Restore {
    #[command(flatten)]
    pub target: Target,
    /// Which of its removals, as key list --retired shows it; without it: the last one
    #[arg(long, value_name = "NUMBER")]
    removal: Option<u32>,
}

/// `keyring-ward key hold`
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Hold {
    #[command(flatten)]
    pub target: Target,
    /// Why nothing of it may be destroyed, e.g. the number of a legal case
    #[arg(long, value_name = "TEXT", group = "which")]
    reason: Option<String>,
    /// End the hold
    #[arg(long, group = "which")]
    release: bool,
    /// Of a removed key that is kept: which of its removals, as key list --retired shows it. Without it: the logical key of that
    /// name, or else the key that was removed last
    #[arg(long, value_name = "NUMBER")]
    removal: Option<u32>,
}

/// What a command orders: the key, the order, and the SQL function that does the same.
type Ordered<'a> = (&'a Target, Order, &'static str);

fn ordered(command: &Command) -> Result<Option<Ordered<'_>>> {
    Ok(Some(match command {
        Command::Create(args) => (&args.target, args.order()?, "create"),
        Command::Adopt(args) => (&args.target, args.order()?, "adopt"),
        Command::Rotate(args) => {
            let pending = args.pending;
            (&args.target, Order::Rotate { pending }, "rotate")
        }
        Command::Activate(args) => (&args.target, Order::Activate(args.version), "activate"),
        Command::Drop(args) => (&args.target, Order::Drop(args.version), "drop"),
        Command::Set(args) => (&args.target, args.order()?, "set"),
        Command::Destroy(args) if args.now => (&args.target, args.order(), "destroy_due"),
        Command::Destroy(args) => (&args.target, args.order(), "destroy"),
        Command::Cancel(args) => (&args.target, Order::Cancel(args.version), "cancel"),
        Command::Restore(args) => (&args.target, Order::Restore(args.removal), "restore"),
        Command::Compromise(args) => (&args.target, Order::Compromise(args.version), "compromise"),
        Command::Hold(args) if args.release => (&args.target, args.order(), "release"),
        Command::Hold(args) => (&args.target, args.order(), "hold"),
        Command::List(_) | Command::Show(_) | Command::Check(_) | Command::Retire(_) => {
            return Ok(None);
        }
    }))
}

impl About {
    fn wanted(&self) -> Wanted {
        Wanted {
            rotate_every: self.rotate_every,
            environment: self.environment.clone(),
            description: self.description.clone(),
            ..Wanted::default()
        }
    }
}

impl Adopt {
    fn order(&self) -> Result<Order> {
        Ok(Order::Adopt(Adopting {
            wanted: self.about.wanted(),
            id: self.id.as_deref().map(id_of_text).transpose()?,
            versions: self.versions,
        }))
    }
}

impl Create {
    fn order(&self) -> Result<Order> {
        let expires = (self.temporary.as_deref()).map(|text| to_come(text, "--temporary"));
        Ok(Order::Create {
            key_type: self.key_type.clone(),
            length: self.bytes,
            wanted: Wanted {
                follow: self.follow,
                expires: expires.transpose()?,
                ..self.about.wanted()
            },
        })
    }
}

impl Set {
    fn order(&self) -> Result<Order> {
        let expires = (self.expires.as_deref()).map(|text| to_come(text, "--expires"));
        Ok(Order::Set(Settings {
            follow: self.follow,
            rotate_every: self.rotate_every,
            environment: self.environment.clone(),
            description: self.description.clone(),
            expires: expires.transpose()?,
        }))
    }
}

impl Hold {
    fn order(&self) -> Order {
        Order::Hold {
            reason: self.reason.clone(),
            removal: self.removal,
        }
    }
}

impl Destroy {
    fn order(&self) -> Order {
        match self.now {
            true => Order::DestroyDue(self.version),
            false => Order::Plan {
                version: self.version,
                days: self.days,
            },
        }
    }
}

/// A time that is still to come.
fn to_come(text: &str, option: &str) -> Result<i64> {
    let now = unix_seconds();
    let bad = |why: String| {
        Error::new(Kind::InvalidInput, "change the logical key", why)
            .hint("Nothing was changed. Write how long (90m, 12h, 30d, 2w) or until when (2027-01-31, UTC).")
    };
    let shown = keyring_ward::text::shorten(text);
    match moment(text, now) {
        None => Err(bad(format!("{option} '{shown}' is no time"))),
        Some(at) if at <= now => Err(bad(format!("{option} '{shown}' is over already"))),
        Some(at) => Ok(at),
    }
}

/// A command that changes something.
pub fn run(command: &Command, json: bool) -> Result<()> {
    let Some((target, order, word)) = ordered(command)? else {
        return Ok(());
    };
    let named = target.named.named();
    let aim = Aim::to_write(&target.change.keyring, &target.change.end)?;
    let dry_run = target.change.dry_run;
    if !dry_run {
        signals::hold_back();
    }
    let function = function(word, &named);
    let done =
        change(aim.target(), &named, &order, dry_run).map_err(|e| or_by_sql(e, &function))?;
    let (id, done) = (done.id, done.answer);
    if json {
        print_answer(done);
        return Ok(());
    }
    if dry_run {
        print("Nothing was written. Without --dry-run:");
    }
    print(&said(&id, &order, &done));
    Ok(())
}

/// The SQL function that does the same to this key; what follows the owner is in docs/reference/tool.md.
fn function(word: &str, key: &Named) -> String {
    let quoted = |bytes: &[u8]| {
        let text = keyring_ward::text::name(bytes);
        format!("'{}'", text.replace('\'', "''"))
    };
    let more = match word {
        "adopt" | "rotate" | "release" => "",
        _ => ", …",
    };
    format!(
        "keyring_ward_key_{word}({}, {}{more})",
        quoted(&key.name),
        key.owner.as_deref().map_or("its owner".into(), quoted)
    )
}

/// The sentences about what was done.
fn said(id: &KeyId, order: &Order, done: &Value) -> String {
    let version = |number: u32| format!("version {number} of {id}");
    match order {
        Order::Create { wanted, .. } => created(id, wanted),
        Order::Adopt(how) if how.versions => gathered(id, how, done),
        Order::Adopt(_) => format!(
            "{id} is version 1 of a logical key now, and goes on answering its own material. The next version will be {}.",
            key_of(id, 2)
        ),
        Order::Rotate { .. } => rotated(id, done),
        Order::RotateIndex => format!(
            "The blind index of {id} has a new secret: what was computed with the old one is not found any more."
        ),
        Order::Activate(number) => format!(
            "Now {} is current: seal new data with {}. The version that was current opens what was sealed with it.",
            version(*number),
            key_of(id, *number)
        ),
        Order::Drop(number) => format!(
            "Took {} away, which was pending. Its key is kept as a retired one for a while (keyring-ward key list --retired).",
            version(*number)
        ),
        Order::Set(_) => format!("{id} is changed: keyring-ward key show tells all of it."),
        Order::Plan { version, .. } => planned(id, *version, done),
        Order::DestroyDue(_) => destroyed(id, done),
        Order::Cancel(number) => format!(
            "No destruction is planned any more for {}.",
            number.map_or(id.to_string(), version)
        ),
        Order::Compromise(number) => format!(
            "Noted that {} is compromised. It is served to nobody any more, and programs that ask for it fail. What must still be \
             opened with it: keyring-ward export writes it out.",
            version(*number)
        ),
        Order::Hold { reason, .. } => held(id, reason.as_deref(), done),
        Order::Restore(_) => restored(id, done),
    }
}

/// The key of a version that was made, not adopted.
fn key_of(id: &KeyId, number: u32) -> String {
    let name = [id.name(), format!("@{number}").as_bytes()].concat();
    printable(&name, id.owner())
}

fn created(id: &KeyId, wanted: &Wanted) -> String {
    let first = key_of(id, 1);
    let bare = match wanted.follow {
        true => "The bare name answers with the current version.",
        false => "The bare name itself answers nothing (key set --follow yes).",
    };
    let ends = wanted.expires.map_or(String::new(), |at| {
        format!(
            " It is temporary: after {} it is served to nobody, and destroyed.",
            keyring_ward::text::utc(at)
        )
    });
    format!(
        "Made the logical key {id}. Its version 1 is current, and is called {first}. {bare}{ends}"
    )
}

fn gathered(id: &KeyId, how: &Adopting, done: &Value) -> String {
    let kept = match how.id {
        Some(_) => "It has its id again: what was sealed in SQL under it opens.",
        None => {
            "It has a new id: values that keyring_ward_encrypt() sealed where it came from do not open (--id)."
        }
    };
    format!(
        "{id} is a logical key now, with version {}; the highest is current. {kept} Its blind index has a new secret: compute \
         keyring_ward_hmac() anew for each row. States, holds and plans from before are not known any more.",
        listed(&done["versions"])
    )
}

fn rotated(id: &KeyId, done: &Value) -> String {
    let number = done["version"].as_u64().unwrap_or_default();
    let key = key_of(id, number as u32);
    match done["pending"].as_bool() {
        Some(true) => format!(
            "Made version {number} of {id}, which is pending: {key}. keyring-ward key activate --version {number} makes it current."
        ),
        _ => format!(
            "Made version {number} of {id}, which is current: seal new data with {key}. Earlier versions open what was sealed with \
             them; when nothing is left under one, keyring-ward key destroy plans its end."
        ),
    }
}

fn planned(id: &KeyId, version: Option<u32>, done: &Value) -> String {
    let what = version.map_or(format!("ALL of {id}, its current version too,"), |n| {
        format!("version {n} of {id}")
    });
    let option = version.map_or(String::new(), |n| format!(" --version {n}"));
    let due = done["due"].as_str().unwrap_or_default();
    format!(
        "Planned: {what} may be destroyed from {due} on. Nothing does that by itself: keyring-ward key destroy --now{option} does it then. \
         Until then it serves as before, and keyring-ward key cancel{option} ends the plan. Backups of the keyring that were made \
         before may still hold it afterwards."
    )
}

fn destroyed(id: &KeyId, done: &Value) -> String {
    let kept = match done["retain_removed"].as_u64() {
        Some(0) | None => "Their sealed bytes go with keyring-ward reseal.".to_string(),
        Some(days) => format!(
            "They are kept as retired keys for {days} days (keyring-ward key list --retired; key restore brings one back): keyring-ward \
             reseal --purge-retired all ends them and their bytes at once."
        ),
    };
    format!(
        "Destroyed of {id}: version {}. {kept} Backups of the keyring that were made before may still hold them.",
        listed(&done["versions"])
    )
}

/// Numbers of versions.
fn listed(versions: &Value) -> String {
    let numbers = versions.as_array().into_iter().flatten();
    numbers.map(Value::to_string).collect::<Vec<_>>().join(", ")
}

fn held(id: &KeyId, reason: Option<&str>, done: &Value) -> String {
    let removal = done["removal"].as_u64();
    let what = removal.map_or(id.to_string(), |n| format!("removal {n} of {id}"));
    match (reason, removal) {
        (None, _) => format!("{what} is held no more."),
        (Some(reason), None) => format!(
            "Nothing of {what} is destroyed or purged as long as it is held: {reason}. keyring-ward key hold --release ends that."
        ),
        (Some(reason), Some(n)) => format!(
            "{what} is kept as long as it is held, beyond retain_removed too: {reason}. keyring-ward key hold --release --removal {n} ends that."
        ),
    }
}

fn restored(id: &KeyId, done: &Value) -> String {
    let number = split(id.name()).map(|(_, number)| number).unwrap_or(1);
    let versions = done["logical"]["versions"].as_array();
    let state = versions
        .into_iter()
        .flatten()
        .find(|version| version["version"] == number)
        .and_then(|version| version["state"].as_str());
    let as_what = match state {
        Some(state) if state == State::Active.name() => ", and is the current version",
        Some(_) => ", and opens what was sealed with it",
        None => "",
    };
    let expires = done["logical"]["expires"].as_str();
    let again = expires.map_or(String::new(), |at| {
        format!(" It is temporary, until {at}: keyring-ward key set --expires gives it more time.")
    });
    format!("{id} is back under its name{as_what}.{again}")
}
