//! SQL functions of the KEKs.
//!
//! Owns what each of them does and answers. It must never ask a KEK for a mere list.

use super::arguments::{Arguments, Is, Parameter};
use super::caller;
use super::keyring::done;
use crate::admin::keks::{self, Synced};
use crate::admin::rekey;
use crate::error::{Error, Kind, Result};
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;
use crate::status::Status;
use crate::status::fields::View;
use serde_json::{Value, json};

/// Longest name of a KEK that is looked at, in bytes.
const MAX_NAME: usize = 255;
const NAME: Parameter = Parameter("name of a KEK", Is::Text);

sql_function! {
    /// The KEKs, each by itself.
    keyring_ward_keks_init, keyring_ward_keks, keyring_ward_keks_deinit, (), |_| all_keks()
}
sql_function! {
    /// Wraps the DEK for every KEK of the configuration, as it is now, that has no valid wrap.
    keyring_ward_kek_sync_init, keyring_ward_kek_sync, keyring_ward_kek_sync_deinit, (), sync
}
sql_function! {
    /// Wraps the DEK for one more KEK, which the configuration names now.
    keyring_ward_kek_add_init, keyring_ward_kek_add, keyring_ward_kek_add_deinit, (NAME), add
}
sql_function! {
    /// Takes a KEK out: the file is written anew under the others, with a new DEK.
    keyring_ward_kek_remove_init, keyring_ward_kek_remove, keyring_ward_kek_remove_deinit, (NAME), take_out
}

fn name(args: &Arguments<'_>) -> Result<String> {
    let name = args.text(0)?;
    match name.len() {
        1..=MAX_NAME => Ok(String::from_utf8_lossy(name).into_owned()),
        _ => Err(
            Error::new(Kind::InvalidInput, "answer in SQL", "no KEK is named")
                .hint("Give its name in the configuration as text: keyring_ward_keks() shows all."),
        ),
    }
}

fn all_keks() -> Result<Value> {
    // What each answered last: asking them here would keep writers waiting.
    let mut status = Status::of_lifecycle(&LIFECYCLE).json(View::Sql);
    let mut told = |name: &str| status.remove(name).unwrap_or_default();
    Ok(
        json!({ "threshold": told("threshold"), "degraded": told("degraded"), "keks": told("keks") }),
    )
}

fn sync(args: &Arguments<'_>) -> Result<Value> {
    args.permit()?.check(Operation::Admin, None, true, None)?;
    let done = caller::change(|keyring| keks::sync_serving(keyring, &LIFECYCLE.configuration()?))?;
    LIFECYCLE.load_again()?;
    Ok(synced(&done))
}

fn add(args: &Arguments<'_>) -> Result<Value> {
    args.permit()?.check(Operation::Admin, None, true, None)?;
    let name = &name(args)?;
    let done =
        caller::change(|keyring| keks::add_serving(keyring, &LIFECYCLE.configuration()?, name))?;
    LIFECYCLE.load_again()?;
    Ok(synced(&done))
}

fn take_out(args: &Arguments<'_>) -> Result<Value> {
    args.permit()?.check(Operation::Admin, None, true, None)?;
    let name = &name(args)?;
    caller::change(|keyring| keks::remove_serving(keyring, &LIFECYCLE.configuration()?, name))?;
    LIFECYCLE.load_again()?;
    Ok(done(rekey::Outcome::of(&*LIFECYCLE.keyring()?)))
}

/// What became of each KEK.
fn synced(all: &[Synced]) -> Value {
    json!({ "keks": all.iter().map(keks::told).collect::<Vec<_>>() })
}
