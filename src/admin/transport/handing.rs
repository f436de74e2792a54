//! Transport keys: asked for, handed over, accepted, listed and taken away.
//!
//! It must never install a transport key that nobody compared, nor keep the secret of a request that was answered.

use super::places::{OWNER, REQUEST, TRANSPORT, find, id, no_key, other_key};
use crate::envelope::{KEY, TransportKeys, equal};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::key::record::KeyRecord;
use crate::keyring::{By, Keyring};
use crate::os::unix_seconds;
use crate::secret::SecretBytes;
use crate::text::utc;
use crate::transport::hand_over::{self, About, HandOver};
use crate::transport::request::Public;
use crate::transport::{ServerId, fingerprint, read_fingerprint, to_text};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most public keys that one call seals for.
pub const MAX_PUBLICS: usize = 64;

/// The key of this name, which is made where there is none; `true`: it is new.
fn make(keyring: &By<'_>, id: &KeyId) -> Result<(Arc<KeyRecord>, bool)> {
    let mut is_new = false;
    if find(keyring, id)?.is_none() {
        match keyring.generate(id.name(), id.owner(), b"SECRET", KEY) {
            // Somebody else was faster.
            Err(e) if e.kind() == Kind::AlreadyExists => {}
            done => {
                done?;
                is_new = true;
            }
        }
    }
    let made = find(keyring, id)?;
    let why = || {
        no_key(
            "make the key",
            format!("{id} was removed meanwhile"),
            "Try again.",
        )
    };
    Ok((made.ok_or_else(why)?, is_new))
}

pub(super) fn request(keyring: &By<'_>, name: &str) -> Result<Value> {
    let (secret, is_new) = make(keyring, &id(REQUEST, name)?)?;
    let public = public_of(&secret)?;
    Ok(json!({
        "name": name, "public": public.to_string(), "fingerprint": public.fingerprint(), "new": is_new,
    }))
}

fn public_of(secret: &KeyRecord) -> Result<Public> {
    Public::of_secret(secret.material()).ok_or_else(|| {
        let why = format!("{} is no secret of a request", secret.id);
        Error::new(Kind::InvalidInput, "use the request", why)
            .hint("Another key has its place. keyring_ward_transport_remove() takes it away; then ask again.")
    })
}

pub(super) fn hand_out(
    keyring: &By<'_>,
    source: ServerId,
    name: &str,
    publics: &[String],
) -> Result<Value> {
    if !(1..=MAX_PUBLICS).contains(&publics.len()) {
        let why = format!(
            "{} public keys are named, not 1 to {MAX_PUBLICS}",
            publics.len()
        );
        return Err(
            Error::new(Kind::InvalidInput, "hand the transport key over", why).hint(
                "Nothing was changed. keyring_ward_transport_request() shows one on each replica.",
            ),
        );
    }
    // All of them before anything is made.
    let publics: Vec<Public> = publics
        .iter()
        .map(|text| Public::parse(text.trim()))
        .collect::<Result<_>>()?;
    let (key, is_new) = make(keyring, &id(TRANSPORT, name)?)?;
    let keys = TransportKeys::derive(keyring.pool(), key.material())?;
    let about = About {
        name,
        made: key.created_at,
        source,
    };
    let sealed = |public: &Public| -> Result<Value> {
        let message = hand_over::write(keyring.pool(), &about, key.material(), public)?;
        Ok(json!({
            "public": public.to_string(), "request_fingerprint": public.fingerprint(), "message": to_text(&message),
        }))
    };
    let messages: Vec<Value> = publics.iter().map(sealed).collect::<Result<_>>()?;
    Ok(json!({
        "name": name, "fingerprint": fingerprint(&keys.id()), "new": is_new,
        "created": utc(key.created_at), "messages": messages,
    }))
}

/// A transport key comes in only by a person's hand: whoever writes to a table that a script reads has no fingerprint of ours.
pub(super) fn accept_key(
    keyring: &By<'_>,
    message: &HandOver<'_>,
    compared: Option<&str>,
) -> Result<Value> {
    const OP: &str = "accept the transport key";
    let named = message.under;
    let Some(compared) = compared else {
        let why = "it is a transport key, and its fingerprint is not given";
        return Err(Error::new(Kind::InvalidInput, OP, why).hint(
            "Nothing was changed. Anybody can make such a message: name the fingerprint that transport new showed at the source.",
        ));
    };
    if !equal(&read_fingerprint(compared)?, &named.id) {
        let why = format!(
            "it is of another transport key than the one whose fingerprint is given: of {}",
            fingerprint(&named.id)
        );
        return Err(Error::new(Kind::InvalidInput, OP, why).hint(
            "Nothing was changed. Compare it with what transport new showed at the source; if that is the same as here, copy it again.",
        ));
    }
    let place = id(TRANSPORT, named.name)?;
    let request = id(REQUEST, named.name)?;
    let told = |is_new: bool| {
        json!({
            "kind": "transport", "name": named.name, "fingerprint": fingerprint(&named.id), "new": is_new,
            "source": message.source.to_string(),
        })
    };
    if let Some(there) = find(keyring, &place)? {
        let keys = TransportKeys::derive(keyring.pool(), there.material())?;
        if !equal(&keys.id(), &named.id) {
            return Err(other_key(OP, &keys, named));
        }
        // A crash may have left it.
        end_request(keyring, &request, message)?;
        return Ok(told(false));
    }
    let secret = find(keyring, &request)?.ok_or_else(|| {
        let why = format!(
            "no request for a transport key '{}' is open here",
            named.name
        );
        no_key(
            OP,
            why,
            "keyring_ward_transport_request() makes one; hand the key over for that.",
        )
    })?;
    if public_of(&secret)? != message.to {
        let why = format!(
            "it is for the request {}, the one here is {}",
            message.to.fingerprint(),
            public_of(&secret)?.fingerprint()
        );
        return Err(Error::new(Kind::InvalidInput, OP, why)
            .hint("Nothing was changed. Hand the transport key over for the public key that keyring_ward_transport_request() shows here."));
    }
    let key = message.open(keyring.pool(), secret.material())?;
    keep(keyring, place, key, message.made)?;
    end_request(keyring, &request, message)?;
    Ok(told(true))
}

fn keep(keyring: &By<'_>, place: KeyId, key: SecretBytes, made: i64) -> Result<()> {
    // It is as old as it was there, and not younger than now.
    let made = made.clamp(0, unix_seconds());
    let generation = keyring.status().store.generation;
    keyring.restore(KeyRecord::new(place, b"SECRET", key, made, generation)?)
}

/// A request's secret opens one message. Kept longer, it would open copies of that.
fn end_request(keyring: &By<'_>, request: &KeyId, message: &HandOver<'_>) -> Result<()> {
    match find(keyring, request)? {
        Some(secret) if public_of(&secret).is_ok_and(|public| public == message.to) => {
            keyring.remove(request.name(), request.owner())
        }
        _ => Ok(()),
    }
}

pub(super) fn remove(keyring: &By<'_>, name: &str) -> Result<Value> {
    let mut gone = Vec::new();
    for (kind, what) in [(REQUEST, "request"), (TRANSPORT, "transport")] {
        let id = id(kind, name)?;
        match keyring.remove(id.name(), id.owner()) {
            Ok(()) => gone.push(what),
            Err(e) if e.kind() == Kind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    match gone.is_empty() {
        false => Ok(json!({ "name": name, "removed": gone })),
        true => Err(no_key(
            "remove the transport key",
            format!("there is no transport key '{name}' here, and no request for one"),
            "keyring_ward_transport_list() shows which are here.",
        )),
    }
}

pub(super) fn list(keyring: &Keyring) -> Value {
    let now = unix_seconds();
    let (mut keys, mut requests) = (Vec::new(), Vec::new());
    for key in keyring.keys_of(OWNER) {
        let Ok(name) = std::str::from_utf8(key.id.name()) else {
            continue;
        };
        let (list, kind) = match (name.strip_prefix(TRANSPORT), name.strip_prefix(REQUEST)) {
            (Some(name), _) => (&mut keys, (name, TRANSPORT)),
            (_, Some(name)) => (&mut requests, (name, REQUEST)),
            _ => continue,
        };
        list.push(told(keyring, kind, key.created_at, now));
    }
    for list in [&mut keys, &mut requests] {
        list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
    json!({ "transports": keys, "requests": requests })
}

fn told(keyring: &Keyring, (name, kind): (&str, &str), created: i64, now: i64) -> Value {
    let print = || -> Result<String> {
        let key = find(keyring, &id(kind, name)?)?;
        let key = key.ok_or_else(|| no_key("list it", name.to_string(), ""))?;
        match kind {
            REQUEST => Ok(public_of(&key)?.fingerprint()),
            _ => Ok(fingerprint(
                &TransportKeys::derive(keyring.pool(), key.material())?.id(),
            )),
        }
    };
    let days = now.saturating_sub(created).max(0) / crate::key::logical::DAY;
    json!({ "name": name, "fingerprint": print().ok(), "created": utc(created), "age_days": days })
}
