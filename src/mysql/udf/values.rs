//! SQL functions that seal and open values: applications never hold a key. One hands a key out all the same, where that is allowed.
//!
//! Owns what each of them does with its arguments. Keys are those of the calling account, or what a rule of the policy allows. It must never take a NULL that
//! may be a mistake for a key or a context.

use super::arguments::{Arguments, Is, Parameter};
use super::statement::{Answer, Gives, Needs, Statement};
use crate::error::{Error, Kind, Result};
use crate::key::id::{KeyId, MAX_MATERIAL};
use crate::keyring::sealing::Opens;
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;
use crate::sealed::{MAX_PLAINTEXT, MAX_SEALED, Sealed};

/// What a compromised version's values are opened with.
const COMPROMISED: &[u8] = b"compromised";
/// Length of a blind index in bytes.
const INDEX: usize = 32;

const KEY: Parameter = Parameter("key", Is::Text);
const PLAINTEXT: Parameter = Parameter("plaintext", Is::Bytes);
const SEALED: Parameter = Parameter("sealed", Is::Bytes);
const CONTEXT: Parameter = Parameter("context", Is::Text);
const ALLOW: Parameter = Parameter("'compromised'", Is::Text);

value_function! {
    /// Seals a value with the current version of a key.
    keyring_ward_encrypt_init, keyring_ward_encrypt, keyring_ward_encrypt_deinit,
    (KEY, PLAINTEXT; CONTEXT), bytes Needs::Account, Gives::Bytes(MAX_SEALED), encrypt
}
value_function! {
    /// Opens a sealed value.
    keyring_ward_decrypt_init, keyring_ward_decrypt, keyring_ward_decrypt_deinit,
    (KEY, SEALED; CONTEXT, ALLOW), bytes Needs::Account, Gives::Bytes(MAX_PLAINTEXT), decrypt
}
value_function! {
    /// Seals a value anew with the current version, unless it is sealed with that one already.
    keyring_ward_reencrypt_init, keyring_ward_reencrypt, keyring_ward_reencrypt_deinit,
    (KEY, SEALED; CONTEXT, ALLOW), bytes Needs::Account, Gives::Bytes(MAX_SEALED), reencrypt
}
value_function! {
    /// A blind index: the same for the same data under the same key, and nothing without the key.
    keyring_ward_hmac_init, keyring_ward_hmac, keyring_ward_hmac_deinit,
    (KEY, Parameter("data", Is::Bytes)), bytes Needs::Account, Gives::Bytes(INDEX), hmac
}
value_function! {
    /// The material of a key: the caller's own, or with `owner/name` another account's, where a rule of the policy allows that.
    keyring_ward_key_fetch_init, keyring_ward_key_fetch, keyring_ward_key_fetch_deinit,
    (KEY), bytes Needs::Account, Gives::Bytes(MAX_MATERIAL), fetch
}
value_function! {
    /// The version that a value names.
    keyring_ward_sealed_version_init, keyring_ward_sealed_version, keyring_ward_sealed_version_deinit,
    (SEALED), number Needs::Nothing, Gives::Number, version
}

fn encrypt(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let (key, context) = (args.text(0)?, args.text_or_empty(2)?);
    match args.optional_text(1) {
        Some(plaintext) => statement
            .seal(key, context, plaintext)
            .map(|()| Answer::Given),
        None => Ok(Answer::Null),
    }
}

fn decrypt(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let (key, context, opens) = (args.text(0)?, args.text_or_empty(2)?, opens(args)?);
    let Some(sealed) = args.optional_text(1) else {
        return Ok(Answer::Null);
    };
    let value = parse(sealed)?;
    statement.open(key, context, &value, opens)?;
    Ok(Answer::Given)
}

fn reencrypt(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let (key, context, opens) = (args.text(0)?, args.text_or_empty(2)?, opens(args)?);
    let Some(sealed) = args.optional_text(1) else {
        return Ok(Answer::Null);
    };
    let value = parse(sealed)?;
    // Opened in any case: a value that nobody can open is an error now, not later.
    statement.open(key, context, &value, opens)?;
    if statement.current(key)? == value.version {
        statement.answer.clear();
        statement.answer.extend_from_slice(sealed);
        return Ok(Answer::Given);
    }
    let plaintext = zeroize::Zeroizing::new(std::mem::take(&mut statement.answer));
    statement.seal(key, context, &plaintext)?;
    Ok(Answer::Given)
}

fn hmac(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let key = args.text(0)?;
    match args.optional_text(1) {
        Some(data) => statement.index(key, data).map(|()| Answer::Given),
        None => Ok(Answer::Null),
    }
}

fn fetch(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let id = statement.key(Operation::Fetch, args.text(0)?)?;
    LIFECYCLE.counters.fetched();
    let found = LIFECYCLE.fetch(id.name(), id.owner());
    // NULL would be taken for a key.
    let found = found.and_then(|key| key.ok_or_else(|| nothing_to_hand_out(&id)));
    let key = statement.told(Operation::Fetch, &id, found)?;
    statement.answer.extend_from_slice(key.material());
    Ok(Answer::Given)
}

#[cold]
fn nothing_to_hand_out(id: &KeyId) -> Error {
    let is_logical = (LIFECYCLE.keyring()).is_ok_and(|keyring| keyring.logical_key(id).is_ok());
    let (why, hint) = match is_logical {
        true => (
            format!("{id} is a logical key, whose name does not follow its current version"),
            "Name a version, like name@1; keyring_ward_key_set() makes the name follow. Values are sealed and opened without any fetch.",
        ),
        false => (
            format!("there is no {id}"),
            "keyring_ward_key_create() makes a key, keyring_key_generate() a plain one. A key of another account is named owner/name.",
        ),
    };
    let error = Error::new(Kind::NotFound, "fetch the key", why);
    error.refused().hint(hint)
}

fn version(_: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    match args.optional_text(0) {
        Some(sealed) => Ok(Answer::Number(i64::from(parse(sealed)?.version))),
        None => Ok(Answer::Null),
    }
}

fn parse(sealed: &[u8]) -> Result<Sealed<'_>> {
    Sealed::parse(sealed).map_err(Error::refused)
}

/// Whether values of a compromised version are opened.
fn opens(args: &Arguments<'_>) -> Result<Opens> {
    match args.text_or_empty(3)? {
        b"" => Ok(Opens::Sound),
        COMPROMISED => Ok(Opens::Compromised),
        _ => {
            let why = "argument 4 is 'compromised' or left out";
            Err(Error::new(Kind::InvalidInput, "open the sealed value", why).hint(
                "It opens values of a compromised version too, which others may have made: only for who seals them anew.",
            ))
        }
    }
}
