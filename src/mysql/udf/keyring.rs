//! SQL functions of the keyring as a whole: how it fares, and writing its file anew.
//!
//! Owns what each of them does and answers. It must never show key material.

use super::arguments::Arguments;
use super::caller;
use crate::admin::{inspect, rekey};
use crate::error::Result;
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;
use crate::status::Status;
use crate::status::fields::View;
use serde_json::{Value, json};

sql_function! {
    /// What the keyring is, how it is opened and how it fares.
    keyring_ward_status_init, keyring_ward_status, keyring_ward_status_deinit, (), |_| status()
}
sql_function! {
    /// Reads the file from the disk and authenticates every record.
    keyring_ward_verify_init, keyring_ward_verify, keyring_ward_verify_deinit, (), |_| verify()
}
sql_function! {
    /// Reads configuration and keyring anew: what ALTER INSTANCE RELOAD KEYRING does, for the plugin role too.
    keyring_ward_reload_init, keyring_ward_reload, keyring_ward_reload_deinit, (), |_| reload()
}
sql_function! {
    /// Writes the file anew under a new DEK and the same KEK.
    keyring_ward_reseal_init, keyring_ward_reseal, keyring_ward_reseal_deinit, (), reseal
}
sql_function! {
    /// Writes the file anew under the KEK that the configuration names now.
    keyring_ward_rekey_init, keyring_ward_rekey, keyring_ward_rekey_deinit, (), rekey
}

fn status() -> Result<Value> {
    Ok(Status::of_lifecycle(&LIFECYCLE).json(View::Sql).into())
}

fn verify() -> Result<Value> {
    let keyring = LIFECYCLE.keyring()?;
    let report = inspect::inspect(keyring.config())?;
    Ok(json!({
        "authentic": true, "complete": report.torn == 0, "torn_bytes": report.torn,
        "keys": report.keys, "warnings": report.status.warnings,
    }))
}

fn reload() -> Result<Value> {
    LIFECYCLE.load_again()?;
    Ok(json!({ "keys": LIFECYCLE.keyring()?.len() }))
}

fn reseal(args: &Arguments<'_>) -> Result<Value> {
    args.permit()?.check(Operation::Admin, None, true, None)?;
    caller::change(|keyring| rekey::reseal_serving(keyring, &LIFECYCLE.configuration()?)).map(done)
}

fn rekey(args: &Arguments<'_>) -> Result<Value> {
    args.permit()?.check(Operation::Admin, None, true, None)?;
    caller::change(|keyring| rekey::rekey_serving(keyring, &LIFECYCLE.configuration()?))?;
    LIFECYCLE.load_again()?;
    Ok(done(rekey::Outcome::of(&*LIFECYCLE.keyring()?)))
}

pub(super) fn done(outcome: rekey::Outcome) -> Value {
    json!({
        "keys": outcome.keys, "generation": outcome.generation,
        "opened_by": outcome.opened_by, "fingerprint": outcome.fingerprint,
    })
}
