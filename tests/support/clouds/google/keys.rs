//! Keys: encrypt, decrypt, random bytes, with what is checked before. Part of the fake of Google Cloud.

use super::bodies::{denied, has_word, invalid, members, need_scope, not_found, refusal};
use super::{CLOUD_KMS, CLOUD_PLATFORM, Google, KEY, NUMBER, OTHER, Refused};
use crate::clouds::{Answer, Request, World};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The most that a key of the protection level SOFTWARE takes, in bytes.
const MOST: usize = 65_536;

impl Google {
    /// What every call of Cloud KMS needs before its own permission is looked at.
    fn enter(&self, world: &World, request: &Request, method: &str) -> Result<(), Refused> {
        let method = format!("google.cloud.kms.v1.KeyManagementService.{method}");
        let caller = self.caller(world, request, &method)?;
        need_scope(&caller, &[CLOUD_KMS, CLOUD_PLATFORM])?;
        let forbidden = |reason: &str, message: &str| {
            let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
                "metadata": {"service": "cloudkms.googleapis.com", "consumer": format!("projects/{NUMBER}")}});
            Err(refusal(403, "PERMISSION_DENIED", message, json!([info])))
        };
        match world.get("api") {
            "disabled" => forbidden(
                "SERVICE_DISABLED",
                &format!(
                    "Cloud Key Management Service (KMS) API has not been used in project {NUMBER} before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/cloudkms.googleapis.com/overview?project={NUMBER} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
                ),
            ),
            "unpaid" => forbidden(
                "BILLING_DISABLED",
                &format!(
                    "This API method requires billing to be enabled. Please enable billing on project #{NUMBER} by visiting https://console.developers.google.com/billing/enable?project={NUMBER} then retry."
                ),
            ),
            "perimeter" => {
                let violation = json!({"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                    "violations": [{"type": "VPC_SERVICE_CONTROLS", "description": "x"}]});
                Err(refusal(
                    403,
                    "PERMISSION_DENIED",
                    "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x",
                    json!([violation]),
                ))
            }
            _ if world.get("quota") == "used" => Err(refusal(
                429,
                "RESOURCE_EXHAUSTED",
                &format!(
                    "Quota exceeded for quota metric 'Cryptographic requests' and limit 'Cryptographic requests per minute' of service 'cloudkms.googleapis.com' for consumer 'project_number:{NUMBER}'."
                ),
                json!([]),
            )),
            _ => Ok(()),
        }
    }

    pub fn use_key(
        &self,
        world: &World,
        request: &Request,
        named: &str,
        encrypts: bool,
    ) -> Result<Answer, Refused> {
        let (method, word, permission) = match encrypts {
            true => (
                "Encrypt",
                "encrypt",
                "cloudkms.cryptoKeyVersions.useToEncrypt",
            ),
            false => (
                "Decrypt",
                "decrypt",
                "cloudkms.cryptoKeyVersions.useToDecrypt",
            ),
        };
        self.enter(world, request, method)?;
        let key = named.replace(&format!("projects/{NUMBER}/"), "projects/test-only/");
        let there = [KEY, OTHER].contains(&key.as_str());
        if has_word(world.get("deny"), word)
            || !there && (world.get("hidden") == "yes" || !key.starts_with("projects/test-only/"))
        {
            return Err(denied(permission, Some(named)));
        }
        if !there {
            return Err(not_found(&format!("CryptoKey {named} not found.")));
        }
        if !["", "ENCRYPT_DECRYPT"].contains(&world.get("purpose")) {
            return Err(invalid(&format!(
                "The CryptoKey {named} has purpose {}, which does not support this operation.",
                world.get("purpose")
            )));
        }
        match encrypts {
            true => encrypt(world, request, named, &key),
            false => decrypt(world, request, named, &key),
        }
    }

    pub fn random(&self, world: &World, request: &Request, named: &str) -> Result<Answer, Refused> {
        self.enter(world, request, "GenerateRandomBytes")?;
        let place = named.replace(&format!("projects/{NUMBER}/"), "projects/test-only/");
        if has_word(world.get("deny"), "random")
            || !place.starts_with("projects/test-only/locations/")
        {
            return Err(denied(
                "cloudkms.locations.generateRandomBytes",
                Some(named),
            ));
        }
        if place != "projects/test-only/locations/europe-west3" {
            return Err(invalid(&format!(
                "Location {named} does not support this protection level."
            )));
        }
        let body = members(request, &["lengthBytes", "protectionLevel"])?;
        let length = body["lengthBytes"].as_u64().unwrap_or(0);
        if ![json!("HSM"), json!(2)].contains(&body["protectionLevel"]) {
            return Err(invalid("Only the HSM protection level is supported."));
        }
        if !(8..=1024).contains(&length) {
            return Err(invalid("length_bytes must be between 8 and 1024."));
        }
        let mut bytes = vec![0; length as usize - usize::from(world.get("answers") == "short")];
        keyring_ward::secret::fill_random(&mut bytes).unwrap();
        let crc = crc_of_answer(world, &bytes);
        Ok(Answer::json(
            200,
            &json!({"data": BASE64.encode(&bytes), "dataCrc32c": crc}),
        ))
    }
}

fn encrypt(world: &World, request: &Request, named: &str, key: &str) -> Result<Answer, Refused> {
    let body = members(
        request,
        &[
            "plaintext",
            "plaintextCrc32c",
            "additionalAuthenticatedData",
            "additionalAuthenticatedDataCrc32c",
        ],
    )?;
    let (plaintext, seen) = field(world, &body, "plaintext", "plaintext")?;
    let (bound, bound_seen) = field(
        world,
        &body,
        "additionalAuthenticatedData",
        "additional_authenticated_data",
    )?;
    if plaintext.is_empty() {
        return Err(invalid("plaintext must not be empty."));
    }
    let version = match world.get("primary") {
        "" => 1,
        number => number.parse().unwrap(),
    };
    check_state(world, named, version)?;
    let mut ciphertext = version.to_be_bytes().to_vec();
    let mut nonce = [0; 12];
    keyring_ward::secret::fill_random(&mut nonce).unwrap();
    ciphertext.extend_from_slice(&nonce);
    let payload = Payload {
        msg: &plaintext,
        aad: &bound,
    };
    let sealed = cipher(key, version)
        .encrypt(&Nonce::from(nonce), payload)
        .unwrap();
    ciphertext.extend_from_slice(&sealed);
    let named = match world.get("answers") {
        "name" => OTHER,
        _ => named,
    };
    let mut answer = json!({
        "name": format!("{named}/cryptoKeyVersions/{version}"), "ciphertext": BASE64.encode(&ciphertext),
        "ciphertextCrc32c": crc_of_answer(world, &ciphertext), "protectionLevel": "SOFTWARE",
    });
    // What is false is left out.
    for (name, seen) in [
        ("verifiedPlaintextCrc32c", seen),
        ("verifiedAdditionalAuthenticatedDataCrc32c", bound_seen),
    ] {
        if seen {
            answer[name] = json!(true);
        }
    }
    Ok(Answer::json(200, &answer))
}

fn decrypt(world: &World, request: &Request, named: &str, key: &str) -> Result<Answer, Refused> {
    let body = members(
        request,
        &[
            "ciphertext",
            "ciphertextCrc32c",
            "additionalAuthenticatedData",
            "additionalAuthenticatedDataCrc32c",
        ],
    )?;
    let (ciphertext, _) = field(world, &body, "ciphertext", "ciphertext")?;
    let (bound, _) = field(
        world,
        &body,
        "additionalAuthenticatedData",
        "additional_authenticated_data",
    )?;
    let wrong =
        || invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
    let Some((version, rest)) = ciphertext.split_first_chunk::<4>() else {
        return Err(invalid("Decryption failed: the ciphertext is invalid."));
    };
    let Some((nonce, sealed)) = rest.split_first_chunk::<12>() else {
        return Err(invalid("Decryption failed: the ciphertext is invalid."));
    };
    let version = u32::from_be_bytes(*version);
    let payload = Payload {
        msg: sealed,
        aad: &bound,
    };
    // Nothing is told of the state of a version that did not wrap it.
    let plaintext = cipher(key, version)
        .decrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| wrong())?;
    check_state(world, named, version)?;
    let plaintext = &plaintext[usize::from(world.get("answers") == "short")..];
    let crc = crc_of_answer(world, plaintext);
    Ok(Answer::json(
        200,
        &json!({"plaintext": BASE64.encode(plaintext), "plaintextCrc32c": crc, "usedPrimary": true, "protectionLevel": "SOFTWARE"}),
    ))
}

fn cipher(key: &str, version: u32) -> Aes256Gcm {
    let key = Sha256::digest(format!("a key for tests: {key} {version}"));
    Aes256Gcm::new_from_slice(&key).unwrap()
}

fn check_state(world: &World, named: &str, version: u32) -> Result<(), Refused> {
    let own = world.get(&format!("state_{version}"));
    let state = if own.is_empty() {
        world.get("state")
    } else {
        own
    };
    if ["", "ENABLED"].contains(&state) {
        return Ok(());
    }
    let name = format!("{named}/cryptoKeyVersions/{version}");
    let violation = json!({"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
        "violations": [{"type": format!("KEY_{state}"), "subject": name}]});
    Err(refusal(
        400,
        "FAILED_PRECONDITION",
        &format!("{name} is not enabled, current state is: {state}."),
        json!([violation]),
    ))
}

/// The bytes of a member, and whether their checksum was there.
fn field(
    world: &World,
    body: &Value,
    name: &str,
    in_proto: &str,
) -> Result<(Vec<u8>, bool), Refused> {
    let text = body[name].as_str().unwrap_or_default();
    let mut bytes = BASE64.decode(text.as_bytes()).map_err(|_| {
        invalid(&format!(
            "Invalid value at '{in_proto}' (TYPE_BYTES), Base64 decoding failed for \"{text}\""
        ))
    })?;
    if bytes.len() > MOST {
        return Err(invalid(&format!("{in_proto} is too large.")));
    }
    if world.get("checksums") == "request" && !bytes.is_empty() {
        bytes[0] ^= 1;
    }
    let crc = &body[format!("{name}Crc32c")];
    if crc.is_null() || world.get("checksums") == "unseen" {
        return Ok((bytes, false));
    }
    match crc.as_str().map(str::to_string) == Some(crc32c(&bytes).to_string()) {
        true => Ok((bytes, true)),
        false => Err(invalid(&format!(
            "The checksum in field {in_proto}_crc32c did not match the data in field {in_proto}."
        ))),
    }
}

fn crc_of_answer(world: &World, bytes: &[u8]) -> String {
    (crc32c(bytes) ^ u32::from(world.get("checksums") == "answer")).to_string()
}

/// CRC-32C by a table, which the library does without.
fn crc32c(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|i| {
            (0..8).fold(i, |c, _| {
                if c & 1 == 1 {
                    (c >> 1) ^ 0x82f6_3b78
                } else {
                    c >> 1
                }
            })
        })
        .collect();
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        table[((crc ^ u32::from(*byte)) & 255) as usize] ^ (crc >> 8)
    });
    crc ^ u32::MAX
}
