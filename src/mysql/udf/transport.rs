//! SQL functions of keys that travel: transport keys, sealed versions and receipts.
//!
//! Owns which function is which order of [`crate::admin::transport`], and whose keyring it is. What goes in and out is sealed or
//! public; it must never show material, nor install a transport key for somebody who only operates.

use super::access::Access;
use super::arguments::{Arguments, Is, Parameter};
use super::keys::asked;
use super::{caller, server};
use crate::admin::transport::{Order, brought, carry_out};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::mysql::identity;
use crate::mysql::state::LIFECYCLE;
use crate::policy::operation::Operation;
use crate::transport::ServerId;
use serde_json::Value;

const TRANSPORT: Parameter = Parameter("transport", Is::Text);
const MESSAGE: Parameter = Parameter("message", Is::Message);

sql_function! {
    /// Asks for a transport key: shows the public half of a request, for which it is handed over.
    keyring_ward_transport_request_init, keyring_ward_transport_request, keyring_ward_transport_request_deinit,
    (TRANSPORT), |args: &Arguments<'_>| run(args, &Order::Request { name: args.utf8(0)?.into() })
}
sql_function! {
    /// Hands a transport key over for the public half of a request; it is made where there is none of that name.
    keyring_ward_transport_new_init, keyring_ward_transport_new, keyring_ward_transport_new_deinit,
    (TRANSPORT, Parameter("public", Is::Text)), |args: &Arguments<'_>| run(args, &Order::New {
        name: args.utf8(0)?.into(),
        publics: vec![args.utf8(1)?.into()],
    })
}
sql_function! {
    /// Takes a message in: a version, or with its fingerprint a transport key.
    keyring_ward_transport_accept_init, keyring_ward_transport_accept, keyring_ward_transport_accept_deinit,
    (MESSAGE; Parameter("fingerprint", Is::Text)), accept
}
sql_function! {
    /// Seals a version for all who have the transport key.
    keyring_ward_transport_seal_init, keyring_ward_transport_seal, keyring_ward_transport_seal_deinit,
    (TRANSPORT, Parameter("name", Is::Text), Parameter("owner", Is::Text), Parameter("version", Is::Number)), seal
}
sql_function! {
    /// Says what a receipt proves.
    keyring_ward_transport_confirm_init, keyring_ward_transport_confirm, keyring_ward_transport_confirm_deinit,
    (MESSAGE), |args: &Arguments<'_>| run(args, &Order::Confirm { receipt: args.utf8(0)?.into() })
}
sql_function! {
    /// Transport keys and requests, with their fingerprints.
    keyring_ward_transport_list_init, keyring_ward_transport_list, keyring_ward_transport_list_deinit,
    (), |args: &Arguments<'_>| run(args, &Order::List)
}
sql_function! {
    /// Takes a transport key and its request away for good.
    keyring_ward_transport_remove_init, keyring_ward_transport_remove, keyring_ward_transport_remove_deinit,
    (TRANSPORT), |args: &Arguments<'_>| run(args, &Order::Remove { name: args.utf8(0)?.into() })
}

fn accept(args: &Arguments<'_>) -> Result<Value> {
    let fingerprint = match args.optional_text(1) {
        Some(_) => Some(args.utf8(1)?.to_string()),
        None => None,
    };
    // Whoever knows a transport key reads all that is sealed under it, which operators order: installing one is more than
    // taking versions in.
    if fingerprint.is_some() && !Access::Administer.is_granted() {
        let why = Access::Administer.refusal();
        return Err(Error::new(Kind::Denied, "accept the transport key", why)
            .hint("Nothing was changed. A version is accepted without a fingerprint.")
            .refused());
    }
    let message: String = args.utf8(0)?.into();
    check_brought(args, &message)?;
    run(
        args,
        &Order::Accept {
            message,
            fingerprint,
        },
    )
}

/// A version is material for somebody's key, which its source knows: who may not store that key may not bring it so either.
fn check_brought(args: &Arguments<'_>, message: &str) -> Result<()> {
    let permit = args.permit()?;
    if !permit.is_bound() {
        return Ok(());
    }
    // What is no message, or of another transport key, is told by accepting it.
    let Ok(Some((id, environment))) = brought(&*LIFECYCLE.keyring()?, message) else {
        return Ok(());
    };
    let key = Some((id.owner(), id.name()));
    permit.check(Operation::Store, key, true, None)?;
    // Where the key is not here yet it gets the environment that the message says.
    permit.check(
        Operation::Store,
        key,
        true,
        Some(&|test| test(&environment)),
    )
}

fn seal(args: &Arguments<'_>) -> Result<Value> {
    run(
        args,
        &Order::Seal {
            name: args.utf8(0)?.into(),
            key: KeyId::new(args.text(1)?, args.text(2)?)?,
            version: args.number(3)?,
        },
    )
}

/// What an order does, in the words of a policy; `None`: it only reads what it is given.
fn asked_of(order: &Order) -> Option<(Operation, Option<&KeyId>)> {
    match order {
        Order::Seal { key, .. } => Some((Operation::Export, Some(key))),
        // Which key a version is of was asked before.
        Order::Accept {
            fingerprint: None, ..
        } => Some((Operation::Store, None)),
        Order::List => Some((Operation::List, None)),
        Order::Confirm { .. } => None,
        Order::Accept { .. } | Order::Request { .. } | Order::New { .. } | Order::Remove { .. } => {
            Some((Operation::Admin, None))
        }
    }
}

fn run(args: &Arguments<'_>, order: &Order) -> Result<Value> {
    if let Some((operation, key)) = asked_of(order) {
        let key = key.map(|id| (id.owner(), id.name()));
        args.permit()?.check(operation, key, true, None)?;
    }
    // Asked before any lock of ours is taken: the server takes one of its own to answer.
    let server = match server::uuid() {
        Some(uuid) => ServerId::parse(&uuid)?,
        None => ServerId::default(),
    };
    let done = match order.writes() {
        true => caller::change(|keyring| carry_out(keyring, server, order)),
        false => identity::with_current(|caller| {
            carry_out(&LIFECYCLE.keyring()?.by(caller), server, order)
        }),
    };
    done.map_err(asked)
}
