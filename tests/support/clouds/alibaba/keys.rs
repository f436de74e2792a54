//! The keys of KMS: names, states, versions, and the data keys under them.

use super::super::{Answer, World, value};
use super::{
    ACCOUNT, KEY, OTHER_KEY, Outcome, REGION, RSA_KEY, random, refusal, refuse, request_id, uuid,
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use data_encoding::BASE64;
use serde_json::json;
use std::collections::BTreeMap;

/// The id of a key that is named in one of the ways.
fn resolve<'a>(world: &'a World, named: &'a str) -> Result<&'a str, Answer> {
    let arn = format!("acs:kms:{REGION}:{ACCOUNT}:key/");
    let id = match named.strip_prefix("alias/") {
        Some("mysql") => match world.get("alias") {
            "" => KEY,
            id => id,
        },
        Some("other") => OTHER_KEY,
        Some(_) => {
            return refuse(
                404,
                "Forbidden.AliasNotFound",
                "The specified Alias is not found.",
            );
        }
        None => named.strip_prefix(&arn).unwrap_or(named),
    };
    match [KEY, OTHER_KEY, RSA_KEY].contains(&id) {
        true => Ok(id),
        false => refuse(
            404,
            "Forbidden.KeyNotFound",
            "The specified Key is not found.",
        ),
    }
}

/// The key can be used for what is symmetric.
fn check_state(world: &World, id: &str) -> Result<(), Answer> {
    if id == RSA_KEY {
        return refuse(400, "UnsupportedOperation", "This action is not supported.");
    }
    match world.get("state") {
        state if id == KEY && !matches!(state, "" | "Enabled") => refuse(
            409,
            &format!("Rejected.{state}"),
            &format!("The request was rejected because the key state is {state}."),
        ),
        _ => Ok(()),
    }
}

/// A version's id, and its material.
fn version(id: &str, number: u32) -> (String, LessSafeKey) {
    let of = |what: &str| {
        let text = format!("{what} of version {number} of {id}");
        digest::digest(&digest::SHA256, text.as_bytes())
    };
    let material = UnboundKey::new(&AES_256_GCM, of("material").as_ref()).unwrap();
    (uuid(of("id").as_ref()), LessSafeKey::new(material))
}

fn current(world: &World, id: &str) -> u32 {
    match id {
        KEY => world.get("version").parse().unwrap_or(1),
        _ => 1,
    }
}

/// The pairs of the context in one spelling: their order does not matter.
fn context(given: &[(String, String)]) -> Result<String, Answer> {
    let text = value(given, "EncryptionContext");
    if text.is_empty() {
        return Ok("{}".into());
    }
    let pairs: Option<BTreeMap<String, String>> = serde_json::from_str(text).ok();
    match pairs.filter(|_| text.len() <= 8192) {
        Some(pairs) => Ok(json!(pairs).to_string()),
        None => refuse(
            400,
            "InvalidParameter",
            "The specified parameter \"EncryptionContext\" is not valid.",
        ),
    }
}

fn missing<T>(name: &str) -> Result<T, Answer> {
    let message = format!("The parameter \"{name}\" is needed but not provided.");
    refuse(400, "MissingParameter", &message)
}

pub(super) fn generate_data_key(world: &World, given: &[(String, String)]) -> Outcome {
    let named = value(given, "KeyId");
    if named.is_empty() {
        return missing("KeyId");
    }
    let of_spec = match value(given, "KeySpec") {
        "" | "AES_256" => Some(32),
        "AES_128" => Some(16),
        _ => None,
    };
    let length = match value(given, "NumberOfBytes") {
        "" => of_spec,
        number => number.parse().ok().filter(|n| (1..=1024).contains(n)),
    };
    let Some(length) = length else {
        return refuse(
            400,
            "InvalidParameter",
            "The specified parameter \"KeySpec\" is not valid.",
        );
    };
    let context = context(given)?;
    let id = resolve(world, named)?;
    check_state(world, id)?;
    let key = random(length);
    let (version_id, material) = version(id, current(world, id));
    let nonce = random(12);
    let mut sealed = key.clone();
    let at = Nonce::try_assume_unique_for_key(&nonce).unwrap();
    material
        .seal_in_place_append_tag(at, Aad::from(context.as_bytes()), &mut sealed)
        .unwrap();
    // The real one's begins with the version's id, too.
    let blob = [version_id.as_bytes(), &nonce, &sealed].concat();
    Ok(json!({
        "KeyId": id, "KeyVersionId": version_id, "CiphertextBlob": BASE64.encode(&blob), "Plaintext": BASE64.encode(&key),
        "RequestId": request_id(),
    }))
}

pub(super) fn decrypt(world: &World, given: &[(String, String)]) -> Outcome {
    let invalid = || {
        refusal(
            400,
            "InvalidParameter",
            "The specified parameter \"CiphertextBlob\" is not valid.",
        )
    };
    let text = value(given, "CiphertextBlob");
    if text.is_empty() {
        return missing("CiphertextBlob");
    }
    let context = context(given)?;
    let blob = BASE64.decode(text.as_bytes()).map_err(|_| invalid())?;
    if blob.len() < 36 + 12 + 16 {
        return Err(invalid());
    }
    let (version_id, rest) = blob.split_at(36);
    let (nonce, sealed) = rest.split_at(12);
    let all = [KEY, OTHER_KEY]
        .into_iter()
        .flat_map(|id| (1..=current(world, id)).map(move |number| (id, number)));
    let found = all
        .map(|(id, number)| (id, number, version(id, number)))
        .find(|(_, _, (of, _))| of.as_bytes() == version_id);
    let Some((id, number, (version_id, material))) = found else {
        return Err(invalid());
    };
    check_state(world, id)?;
    if world.get("lost_version") == number.to_string() {
        return refuse(
            404,
            "Forbidden.KeyVersionNotFound",
            "The specified Key version is not found.",
        );
    }
    let mut opened = sealed.to_vec();
    let at = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let key = material
        .open_in_place(at, Aad::from(context.as_bytes()), &mut opened)
        .map_err(|_| invalid())?;
    Ok(json!({
        "KeyId": id, "KeyVersionId": version_id, "Plaintext": BASE64.encode(key), "RequestId": request_id(),
    }))
}
