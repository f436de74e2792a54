//! `keyring-ward key …`: the life of keys, for a keyring that no server holds.
//!
//! Owns the commands and what names a key on the command line. What a change does is `admin::keys`'s, shared with SQL.

mod change;
mod list;
mod look;
mod retire;

use super::Change;
use crate::examples;
use crate::options::Keyring;
use keyring_ward::admin::naming;
use keyring_ward::error::Result;

/// What is done to logical and retired keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a logical key: a name with versions, of which one is current.
    #[command(after_help = examples::KEY_CREATE)]
    Create(change::Create),
    /// Make a plain key the first version of a logical key; its name goes on answering its own material.
    #[command(after_help = examples::KEY_ADOPT)]
    Adopt(change::Adopt),
    /// Give a logical key a new version, which is current at once.
    #[command(after_help = examples::KEY_ROTATE)]
    Rotate(change::Rotate),
    /// Make a pending version the current one.
    #[command(after_help = examples::KEY_ACTIVATE)]
    Activate(change::OneVersion),
    /// Take a pending version away that nothing is sealed with.
    #[command(after_help = examples::KEY_DROP)]
    Drop(change::OneVersion),
    /// List the logical keys and the server's own ones: state, age, what is due, which is current.
    #[command(after_help = examples::KEY_LIST)]
    List(list::Args),
    /// Show a logical key with all of its versions.
    #[command(after_help = examples::KEY_SHOW)]
    Show(look::Args),
    /// Change what is known of a logical key.
    #[command(after_help = examples::KEY_SET)]
    Set(change::Set),
    /// Plan the destruction of a version or of a whole key; --now does what was planned and is due.
    #[command(after_help = examples::KEY_DESTROY)]
    Destroy(change::Destroy),
    /// End the plan of a destruction.
    #[command(after_help = examples::KEY_CANCEL)]
    Cancel(change::SomeVersion),
    /// Bring a removed key back: one of the server's numbered keys, or a destroyed version.
    #[command(after_help = examples::KEY_RESTORE)]
    Restore(change::Restore),
    /// Take InnoDB's old master keys out of use, once no file names them.
    #[command(after_help = examples::KEY_RETIRE)]
    Retire(retire::Args),
    /// Note that somebody else may have a version: it is served to nobody any more.
    #[command(after_help = examples::KEY_COMPROMISE)]
    Compromise(change::OneVersion),
    /// Forbid that anything of a logical key is destroyed, or that a removed key which is kept ends, for a reason.
    #[command(after_help = examples::KEY_HOLD)]
    Hold(change::Hold),
    /// Say what is weak about a key, its age and its state; never a word of its material.
    #[command(after_help = examples::KEY_CHECK)]
    Check(look::Args),
}

/// A key.
#[derive(clap::Args)]
pub struct Named {
    /// The key's name, as list shows it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its owner, user@host; '' for the server's own keys. Without it: the only owner of a key of that name, whom the answer names
    #[arg(long, value_name = "USER@HOST")]
    owner: Option<String>,
}

impl Named {
    fn named(&self) -> naming::Named {
        naming::Named {
            name: self.name.clone().into(),
            owner: self.owner.clone().map(String::into_bytes),
        }
    }
}

/// A key that is changed.
#[derive(clap::Args)]
pub struct Target {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    change: Change,
}

impl Command {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        match self {
            Command::Create(args) => &args.target.change.keyring,
            Command::Adopt(args) => &args.target.change.keyring,
            Command::Rotate(args) => &args.target.change.keyring,
            Command::Activate(args) | Command::Drop(args) | Command::Compromise(args) => {
                &args.target.change.keyring
            }
            Command::Set(args) => &args.target.change.keyring,
            Command::Destroy(args) => &args.target.change.keyring,
            Command::Cancel(args) => &args.target.change.keyring,
            Command::Restore(args) => &args.target.change.keyring,
            Command::Hold(args) => &args.target.change.keyring,
            Command::Retire(args) => &args.change.keyring,
            Command::List(args) => args.keyring(),
            Command::Show(args) | Command::Check(args) => args.keyring(),
        }
    }
}

pub fn run(command: &Command, json: bool) -> Result<()> {
    match command {
        Command::List(args) => list::run(args, json),
        Command::Show(args) => look::show(args, json),
        Command::Check(args) => look::check(args, json),
        Command::Retire(args) => retire::run(args, json),
        changing => change::run(changing, json),
    }
}
