//! SQL functions of session keys: keys that end with their connection.
//!
//! Owns what each of them does with its arguments. What such a key does is `values`', by its name. It must never make one where nobody
//! tells of the connection's end.

use super::arguments::{Arguments, Is, Parameter};
use super::statement::{Answer, Gives, Needs, Statement};
use crate::error::Result;
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;

const NAME: Parameter = Parameter("name", Is::Text);

value_function! {
    /// Makes a session key.
    keyring_ward_session_key_create_init, keyring_ward_session_key_create, keyring_ward_session_key_create_deinit,
    (NAME), number Needs::Account, Gives::Number, create
}
value_function! {
    /// Ends a session key before its connection ends.
    keyring_ward_session_key_destroy_init, keyring_ward_session_key_destroy, keyring_ward_session_key_destroy_deinit,
    (NAME), number Needs::Account, Gives::Number, destroy
}

fn create(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    statement.key(Operation::Generate, args.text(0)?)?;
    let whose = statement.whose()?;
    let keyring = LIFECYCLE.keyring()?;
    LIFECYCLE
        .host
        .session_keys
        .create(keyring.pool(), whose, args.text(0)?)?;
    Ok(Answer::Number(1))
}

fn destroy(statement: &mut Statement, args: &Arguments<'_>) -> Result<Answer> {
    let whose = statement.whose()?;
    LIFECYCLE.host.session_keys.destroy(whose, args.text(0)?)?;
    Ok(Answer::Number(1))
}
