//! SQL functions of the life of keys: logical keys, their versions, and removed keys that are kept.
//!
//! Owns which function is which order of [`crate::admin::keys`], and how much of a list one answer holds. It must never do
//! to a key what the tool would not do.

use super::arguments::{Arguments, Is, Parameter};
use super::{caller, options, server};
use crate::admin::archived_logs;
use crate::admin::keys::{self, Order, Settings};
use crate::admin::retire_ticket::redeem;
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::keyring::PIECE;
use crate::keyring::adopting::Adopting;
use crate::mysql::identity;
use crate::mysql::state::LIFECYCLE;
use crate::os::unix_seconds;
use crate::policy::operation::Operation;
use serde_json::{Map, Value, json};

/// Most bytes of JSON that a list has.
pub(super) const MAX_LIST: usize = 1 << 20;
/// The account that owns the keys which the schema keyring_ward rotates, and its routines (share/keyring_ward.sql).
const SCHEMA: &[u8] = b"keyring_ward_definer@localhost";
/// Days until a planned destruction, where the caller does not say.
const DAYS: u16 = 30;

const NAME: Parameter = Parameter("name", Is::Text);
const OWNER: Parameter = Parameter("owner", Is::Text);
const VERSION: Parameter = Parameter("version", Is::Number);
const VERSION_OR_ALL: Parameter = Parameter("version", Is::NumberOrAll);
const OPTIONS: Parameter = Parameter("options", Is::Text);
const REMOVAL: Parameter = Parameter("removal", Is::Number);
const SKIP: Parameter = Parameter("skip", Is::Number);

sql_function! {
    /// The logical keys with their versions.
    keyring_ward_keys_init, keyring_ward_keys, keyring_ward_keys_deinit, (; SKIP), logical
}
sql_function! {
    /// The removed keys that are kept.
    keyring_ward_retired_keys_init, keyring_ward_retired_keys, keyring_ward_retired_keys_deinit, (; SKIP), retired
}
sql_function! {
    /// What is to be said of one key.
    keyring_ward_key_check_init, keyring_ward_key_check, keyring_ward_key_check_deinit, (NAME, OWNER), check
}
sql_function! {
    /// Makes a logical key with version 1.
    keyring_ward_key_create_init, keyring_ward_key_create, keyring_ward_key_create_deinit,
    (NAME, OWNER, Parameter("type", Is::Text), Parameter("bytes", Is::Number); OPTIONS), create
}
sql_function! {
    /// Makes a plain key version 1 of a logical key, or several its versions.
    keyring_ward_key_adopt_init, keyring_ward_key_adopt, keyring_ward_key_adopt_deinit,
    (NAME, OWNER; OPTIONS), adopt
}
sql_function! {
    /// Gives a logical key a new version.
    keyring_ward_key_rotate_init, keyring_ward_key_rotate, keyring_ward_key_rotate_deinit,
    (NAME, OWNER; Parameter("pending", Is::Number)), rotate
}
sql_function! {
    /// Gives the blind index of a logical key a new secret.
    keyring_ward_key_rotate_index_init, keyring_ward_key_rotate_index, keyring_ward_key_rotate_index_deinit,
    (NAME, OWNER), |args: &Arguments<'_>| change(args, &Order::RotateIndex)
}
sql_function! {
    /// Makes a pending version the current one.
    keyring_ward_key_activate_init, keyring_ward_key_activate, keyring_ward_key_activate_deinit,
    (NAME, OWNER, VERSION), |args: &Arguments<'_>| change(args, &Order::Activate(args.number(2)?))
}
sql_function! {
    /// Takes a pending version away that nothing is sealed with.
    keyring_ward_key_drop_init, keyring_ward_key_drop, keyring_ward_key_drop_deinit,
    (NAME, OWNER, VERSION), |args: &Arguments<'_>| end(args, "drop_pending", &Order::Drop(args.number(2)?))
}
sql_function! {
    /// Changes settings of a logical key.
    keyring_ward_key_set_init, keyring_ward_key_set, keyring_ward_key_set_deinit,
    (NAME, OWNER, OPTIONS), |args: &Arguments<'_>| change(args, &Order::Set(settings(args, 2)?))
}
sql_function! {
    /// Plans the destruction of a version, or of all.
    keyring_ward_key_destroy_init, keyring_ward_key_destroy, keyring_ward_key_destroy_deinit,
    (NAME, OWNER, VERSION_OR_ALL; Parameter("days", Is::Number)), plan
}
sql_function! {
    /// Destroys what is planned and due: of a version, or of all.
    keyring_ward_key_destroy_due_init, keyring_ward_key_destroy_due, keyring_ward_key_destroy_due_deinit,
    (NAME, OWNER, VERSION_OR_ALL), |args: &Arguments<'_>| end(args, "destroy_due", &Order::DestroyDue(args.optional_number(2)?))
}
sql_function! {
    /// Ends the plan of a version's destruction, or of all.
    keyring_ward_key_cancel_init, keyring_ward_key_cancel, keyring_ward_key_cancel_deinit,
    (NAME, OWNER, VERSION_OR_ALL), |args: &Arguments<'_>| change(args, &Order::Cancel(args.optional_number(2)?))
}
sql_function! {
    /// Brings a removed key back.
    keyring_ward_key_restore_init, keyring_ward_key_restore, keyring_ward_key_restore_deinit,
    (NAME, OWNER; REMOVAL), |args: &Arguments<'_>| change(args, &Order::Restore(args.optional_number(2)?))
}
sql_function! {
    /// Notes that somebody else may have a version.
    keyring_ward_key_compromise_init, keyring_ward_key_compromise, keyring_ward_key_compromise_deinit,
    (NAME, OWNER, VERSION), |args: &Arguments<'_>| change(args, &Order::Compromise(args.number(2)?))
}
sql_function! {
    /// Nothing of a logical key is destroyed, or a removed key is kept, for a reason.
    keyring_ward_key_hold_init, keyring_ward_key_hold, keyring_ward_key_hold_deinit,
    (NAME, OWNER, Parameter("reason", Is::Text); REMOVAL), |args: &Arguments<'_>| {
        let order = Order::Hold { reason: Some(args.utf8(2)?.into()), removal: args.optional_number(3)? };
        change(args, &order)
    }
}
sql_function! {
    /// Ends a hold.
    keyring_ward_key_release_init, keyring_ward_key_release, keyring_ward_key_release_deinit,
    (NAME, OWNER; REMOVAL), |args: &Arguments<'_>| {
        change(args, &Order::Hold { reason: None, removal: args.optional_number(2)? })
    }
}

sql_function! {
    /// Retires InnoDB's keys that no file names, as keyring-ward key retire --beside-server has found them.
    keyring_ward_key_retire_init, keyring_ward_key_retire, keyring_ward_key_retire_deinit,
    (Parameter("ticket", Is::Text)), retire
}

/// The key that is named. An owner of '' is the server itself.
fn id(args: &Arguments<'_>) -> Result<KeyId> {
    KeyId::new(args.text(0)?, args.text(1)?)
}

/// The same for an order that ends a version: of a key of the schema keyring_ward only that schema's procedure gives it, which looks whether
/// values of registered columns are under the version. (No SQL function can look into a table.)
fn end(args: &Arguments<'_>, procedure: &str, order: &Order) -> Result<Value> {
    let id = id(args)?;
    if id.owner() == SCHEMA && identity::account().as_deref() != Some(SCHEMA) {
        let (name, owner) = (crate::text::name(id.name()), crate::text::name(SCHEMA));
        let why = format!("values of registered columns may be under a version of {id}");
        return Err(Error::new(Kind::Denied, "end the version", why)
            .hint(format!(
                "Nothing was changed. CALL keyring_ward.{procedure}('{}', …) looks at them first. Without that schema: as {owner} itself, or \
                 keyring-ward key at a stopped server.",
                name.replace('\'', "''")
            ))
            .refused());
    }
    change(args, order)
}

/// Carries an order out, and tells of which key.
fn change(args: &Arguments<'_>, order: &Order) -> Result<Value> {
    let id = id(args)?;
    let (key, permit) = (Some((id.owner(), id.name())), args.permit()?);
    // What is to be made is for nothing yet.
    if !matches!(order, Order::Create { .. }) {
        permit.check(order.operation(), key, true, None)?;
    }
    if let Some(new) = order.new_environment() {
        // Nobody gives a key a place that is out of his reach, or takes one from there.
        permit.check(order.operation(), key, true, Some(&|test| test(new)))?;
    }
    let done = caller::change(|keyring| keys::carry_out(keyring, &id, order));
    let mut answer = named(&id);
    if let Value::Object(more) = done.map_err(asked)? {
        answer.extend(more);
    }
    Ok(answer.into())
}

fn named(id: &KeyId) -> Map<String, Value> {
    let shown = |bytes: &[u8]| Value::from(crate::text::name(bytes));
    Map::from_iter([
        ("name".into(), shown(id.name())),
        ("owner".into(), shown(id.owner())),
    ])
}

/// What only says that the request does not fit the keys: nothing is wrong with the keyring.
pub(super) fn asked(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::AlreadyExists | Kind::KeyState => error.refused(),
        _ => error,
    }
}

fn settings(args: &Arguments<'_>, index: usize) -> Result<Settings> {
    match args.optional_text(index) {
        Some(_) => options::settings(args.utf8(index)?, unix_seconds()),
        None => Ok(Settings::default()),
    }
}

fn create(args: &Arguments<'_>) -> Result<Value> {
    let order = Order::Create {
        key_type: args.utf8(2)?.into(),
        length: args.number(3)?,
        wanted: options::wanted(settings(args, 4)?),
    };
    change(args, &order)
}

fn adopt(args: &Arguments<'_>) -> Result<Value> {
    let how = match args.optional_text(2) {
        Some(_) => options::adopting(args.utf8(2)?, unix_seconds())?,
        None => Adopting::default(),
    };
    change(args, &Order::Adopt(how))
}

fn rotate(args: &Arguments<'_>) -> Result<Value> {
    let pending = match args.optional_number::<i64>(2)? {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => {
            let why = "argument 3, pending, is 0 or 1";
            return Err(Error::new(Kind::InvalidInput, "rotate the key", why).hint(
                "Nothing was changed. 1: the new version waits for keyring_ward_key_activate().",
            ));
        }
    };
    change(args, &Order::Rotate { pending })
}

fn plan(args: &Arguments<'_>) -> Result<Value> {
    let order = Order::Plan {
        version: args.optional_number(2)?,
        days: args.optional_number(3)?.unwrap_or(DAYS),
    };
    change(args, &order)
}

fn retire(args: &Arguments<'_>) -> Result<Value> {
    let ticket = args.utf8(0)?;
    args.permit()?.check(Operation::Admin, None, true, None)?;
    let done = caller::change(|keyring| redeem(keyring, ticket, unix_seconds()));
    Ok(json!({ "retired": done? }))
}

fn check(args: &Arguments<'_>) -> Result<Value> {
    let id = id(args)?;
    args.permit()?
        .check(Operation::List, Some((id.owner(), id.name())), true, None)?;
    let mut told = keys::check(&*LIFECYCLE.keyring()?, &id, unix_seconds()).map_err(asked)?;
    let mut more = server::warnings();
    // The server's own keys never go through SQL.
    if !id.owner().is_empty()
        && told["type"]
            .as_str()
            .is_some_and(|t| t.eq_ignore_ascii_case("AES"))
    {
        more.extend(told["bits"].as_u64().and_then(server::warnings_of_aes));
    }
    if let Some(warnings) = told["warnings"].as_array_mut() {
        warnings.extend(more.into_iter().map(Value::from));
    }
    Ok(told)
}

fn logical(args: &Arguments<'_>) -> Result<Value> {
    let skip = args.optional_number(0)?.unwrap_or(0);
    let keyring = LIFECYCLE.keyring()?;
    let (mut all, now) = (keyring.logical_ids(), unix_seconds());
    let permit = args.permit()?;
    all.retain(|id| permit.lists(id));
    let pieces = all.get(skip..).unwrap_or_default().chunks(PIECE);
    let told = pieces
        .flat_map(|ids| keyring.logical_infos(ids))
        .map(|key| keys::told(&key, now));
    let mut answer = list(all.len(), skip, told, "keyring_ward_keys");
    let warnings = server::warnings();
    if !warnings.is_empty() {
        answer["warnings"] = warnings.into();
    }
    Ok(answer)
}

fn retired(args: &Arguments<'_>) -> Result<Value> {
    let skip = args.optional_number(0)?.unwrap_or(0);
    let keyring = LIFECYCLE.keyring()?;
    let permit = args.permit()?;
    let seen = || {
        keyring
            .each_retired()
            .filter(|key| permit.lists(&key.info.id))
    };
    let all = match permit.is_bound() {
        true => seen().count(),
        false => keyring.retired_len(),
    };
    let kept = seen().skip(skip);
    let told = kept.map(|key| keys::told_kept(&keyring, &key));
    let mut answer = list(all, skip, told, "keyring_ward_retired_keys");
    if let Some(kept) = archived_logs::at_stake(&keyring) {
        answer["warnings"] = json!([format!("{}. {}", kept.sentence(), kept.remedy())]);
    }
    Ok(answer)
}

/// As much of a list as one answer holds, behind the first `skip`; where that is not all, it says how to get on.
fn list(all: usize, skip: usize, told: impl Iterator<Item = Value>, function: &str) -> Value {
    let (mut length, mut shown) = (0, Vec::new());
    for item in told {
        length += item.to_string().len() + 1;
        if length > MAX_LIST {
            break;
        }
        shown.push(item);
    }
    let next = skip.saturating_add(shown.len());
    let complete = next >= all;
    let mut answer = json!({ "count": all, "complete": complete, "keys": shown });
    if !complete && let Value::Object(members) = &mut answer {
        let note = format!("{all} keys are too many for one answer: {function}({next}) goes on.");
        members.insert("note".into(), note.into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_too_long_says_so_and_goes_on() {
        let items = || (0..100).map(|i| json!({ "n": i, "x": "y".repeat(30_000) }));
        let (mut seen, mut answers) = (0, 0);
        loop {
            let answer = list(100, seen, items().skip(seen), "f");
            assert!(answer.to_string().len() < MAX_LIST + 200);
            let keys = answer["keys"].as_array().unwrap();
            assert_eq!(keys[0]["n"], seen);
            (seen, answers) = (seen + keys.len(), answers + 1);
            assert_eq!(answer["count"], 100);
            if answer["complete"] == true {
                break;
            }
            let note = answer["note"].as_str().unwrap();
            assert!(note.contains(&format!("f({seen}) goes on")), "{note}");
        }
        assert_eq!((seen, answers), (100, 3));
        let beyond = list(2, 9, std::iter::empty(), "f");
        assert_eq!(beyond, json!({ "count": 2, "complete": true, "keys": [] }));
    }
}
