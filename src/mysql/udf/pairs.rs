//! SQL functions of key pairs: signing without ever holding the private half.
//!
//! Owns what each of them does with its arguments. Pairs are logical keys of the calling account. It must never give a private half
//! to anybody.

use super::arguments::{Arguments, Is, Parameter};
use super::caller;
use super::statement::{Answer, Gives, Needs, Statement};
use crate::error::{Error, Kind, Result};
use crate::key_pair::Algorithm;
use crate::keyring::logical::Wanted;
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;
use std::sync::{Mutex, TryLockError};

/// Longer than any public half in PEM.
const MAX_PEM: usize = 1024;
/// Longer than any signature.
const MAX_SIGNATURE: usize = 512;

const NAME: Parameter = Parameter("name", Is::Text);
const DATA: Parameter = Parameter("data", Is::Bytes);

value_function! {
    /// Makes a key pair, and gives its public half.
    keyring_ward_keypair_generate_init, keyring_ward_keypair_generate, keyring_ward_keypair_generate_deinit,
    (NAME, Parameter("type", Is::Text)), bytes Needs::Account, Gives::Text(MAX_PEM), generate
}
value_function! {
    /// The public half of a key pair, in PEM.
    keyring_ward_public_key_init, keyring_ward_public_key, keyring_ward_public_key_deinit,
    (NAME; Parameter("version", Is::Number)), bytes Needs::Account, Gives::Text(MAX_PEM), public_key
}
value_function! {
    /// Signs with the current version of a key pair.
    keyring_ward_sign_init, keyring_ward_sign, keyring_ward_sign_deinit,
    (NAME, DATA), bytes Needs::Account, Gives::Bytes(MAX_SIGNATURE), sign
}
value_function! {
    /// Whether a signature is one of the data, by any version of a key pair.
    keyring_ward_signature_verify_init, keyring_ward_signature_verify, keyring_ward_signature_verify_deinit,
    (NAME, DATA, Parameter("signature", Is::Bytes)), number Needs::Account, Gives::Number, verify
}

/// Made one after the other: an RSA pair of 4,096 bits takes a processor seconds, which no KILL ends.
static MAKING: Mutex<()> = Mutex::new(());

fn generate(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let refused = |kind, why: String, hint: &str| {
        let error = Error::new(kind, "make the key pair", why);
        Err(error.hint(format!("Nothing was changed. {hint}")).refused())
    };
    let access = <keyring_ward_keypair_generate as super::Guarded>::ACCESS;
    if !access.is_granted() {
        return refused(
            Kind::Denied,
            access.refusal(),
            "GRANT KEYRING_WARD_USE ON *.* TO the account.",
        );
    }
    let _turn = match MAKING.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let why = "another session makes one, and one at a time is made";
            return refused(Kind::Locked, why.into(), "Try again in some seconds.");
        }
    };
    let algorithm = Algorithm::parse(args.utf8(1)?)?;
    let id = statement.key(Operation::Generate, args.text(0)?)?;
    caller::change(|keyring| keyring.create_pair(&id, algorithm, &Wanted::default()))?;
    let (_, pair) = LIFECYCLE.keyring()?.pair(&id, None)?;
    statement
        .answer
        .extend_from_slice(pair.public_pem()?.as_bytes());
    Ok(Answer::Given)
}

fn public_key(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let id = statement.key(Operation::Use, args.text(0)?)?;
    let version = match args.given(1) {
        true => Some(args.number(1)?),
        false => None,
    };
    let found = LIFECYCLE.keyring()?.pair(&id, version);
    let (_, pair) = statement.told(Operation::Use, &id, found)?;
    statement
        .answer
        .extend_from_slice(pair.public_pem()?.as_bytes());
    Ok(Answer::Given)
}

fn sign(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let id = statement.key(Operation::Use, args.text(0)?)?;
    let Some(data) = args.optional_text(1) else {
        return Ok(Answer::Null);
    };
    let found = LIFECYCLE.keyring()?.pair(&id, None);
    let (_, pair) = statement.told(Operation::Use, &id, found)?;
    pair.sign(data, &mut statement.answer)?;
    Ok(Answer::Given)
}

fn verify(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let id = statement.key(Operation::Use, args.text(0)?)?;
    let (Some(data), Some(signature)) = (args.optional_text(1), args.optional_text(2)) else {
        return Ok(Answer::Null);
    };
    let came = LIFECYCLE.keyring()?.verify_by_pair(&id, data, signature);
    let verifies = statement.told(Operation::Use, &id, came)?;
    Ok(Answer::Number(i64::from(verifies)))
}
