//! Google Cloud KMS with what gives tokens for it: metadata server, security token service, IAM's service account
//! credentials.
//!
//! It verifies what Google verifies: bearer tokens (issued here, or signed by the service account's key), their age and
//! scope; permissions; the version's state; checksums (CRC32C); key and additional authenticated data of a ciphertext; of
//! a subject token signature, issuer, audience and times. Its refusals are Google's bodies. Keys are derived from their
//! names: a fake that was started again opens what the one before it wrapped.
//!
//! Settings: `primary` (the number of the primary version, 1), `state` and `state_N` (of all versions, of version N:
//! ENABLED, DISABLED, DESTROY_SCHEDULED, …), `purpose` (ENCRYPT_DECRYPT), `deny` (words of encrypt, decrypt, random, impersonate),
//! `hidden` (yes: the caller may not know whether a key is there), `api` (disabled, unpaid, perimeter), `quota` (used up: 429),
//! `checksums` (what is wrong with them: request, unseen, answer), `answers` (`name`: another key's; `short`: fewer bytes),
//! `account` (none: the machine has no service account), `flavor` (none: the metadata server's header is missing), `scopes`
//! (of the machine, cloud-platform), `token_seconds` (how long tokens live, 3599), `pool` (gone, condition, away),
//! `echo` (refuses with what was sent, where the path contains it),
//! `issuer_key` (the public key of who signs subject tokens, in base64), `account_key` (the same of the service account).

mod bodies;
pub mod jwt;
mod keys;
mod tokens;

use super::{Answer, Cloud, Request, World};
use bodies::{date, invalid, not_found};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The key of most tests, in whose project everything is.
pub const KEY: &str = "projects/test-only/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring";
/// Another one of the same ring.
pub const OTHER: &str = "projects/test-only/locations/europe-west3/keyRings/mysql/cryptoKeys/other";
/// The number of the project, by which it can be named as well.
pub const NUMBER: &str = "123456789012";
/// The service account, and the file of its key (gcloud iam service-accounts keys create).
pub const ACCOUNT: &str = "keyring@test-only.iam.gserviceaccount.com";
pub const ACCOUNT_FILE: &str = include_str!("account.json");
/// The provider of the workload identity pool, and who it trusts.
pub const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/k8s";
pub const ISSUER: &str = "https://issuer.example.org";
pub const SUBJECT: &str = "system:serviceaccount:db:mysql";

const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const CLOUD_KMS: &str = "https://www.googleapis.com/auth/cloudkms";
const METADATA: &str = "/computeMetadata/v1/";

/// A token that was given.
struct Issued {
    expires: i64,
    scopes: String,
    /// Whose it is: a service account's, or that of a federated identity.
    who: String,
}

/// The cloud. What it saw can be looked at.
#[derive(Default)]
pub struct Google {
    tokens: BTreeMap<String, Issued>,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

type Refused = Box<Answer>;

impl Cloud for Google {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer {
        self.seen.lock().unwrap().push(request.clone());
        let answer = match self.route(world, request) {
            Ok(answer) => answer,
            Err(refused) => *refused,
        };
        answer.header("Date", date(world.now()))
    }
}

impl Google {
    fn route(&mut self, world: &World, request: &Request) -> Result<Answer, Refused> {
        let path = super::decoded(&request.path.replace('+', "%2B"));
        let echo = world.get("echo");
        if !echo.is_empty() && path.contains(echo) {
            let token = request.header("authorization").unwrap_or_default();
            let body = String::from_utf8_lossy(&request.body);
            return Err(invalid(&format!("What is {token} {body}?")));
        }
        if path == "/" || path.starts_with(METADATA) {
            return Ok(self.metadata(world, request, &path));
        }
        if request.method != "POST" {
            return Err(not_found("Method not found."));
        }
        if path == "/v1/token" {
            return Ok(self.exchange(world, request));
        }
        let Some((named, action)) = path.strip_prefix("/v1/").and_then(|p| p.rsplit_once(':'))
        else {
            return Err(not_found("Method not found."));
        };
        match action {
            "generateAccessToken" => self.impersonate(world, request, named),
            "encrypt" | "decrypt" => self.use_key(world, request, named, action == "encrypt"),
            "generateRandomBytes" => self.random(world, request, named),
            _ => Err(not_found("Method not found.")),
        }
    }
}
