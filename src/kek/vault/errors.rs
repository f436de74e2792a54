//! What went wrong with Vault, in our kinds, with what to do next.
//!
//! Owns the one table of Vault's answers. Vault has no error codes: within a status its sentences are all that tells
//! them apart, so they are looked for here, and nowhere else (as OpenBao 2.7.2 gives them; HashiCorp's are the same in
//! its source). What may pass by itself becomes Unreachable; nothing that was refused does. It must never show a
//! secret: a sentence that repeats what was sent is not shown.

use super::config::{Login, VaultConfig};
use crate::error::{Error, Kind};
use crate::kek::web::{NOT_SHOWN, repeats};
use crate::net::{Cause, NetError};
use crate::text::clean;
use serde_json::{Map, Value};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A token.
    Login,
    /// A data key under Vault's key.
    Encrypt,
    /// A data key.
    Decrypt,
    /// Random bytes.
    Random,
    /// The end of a token.
    Revoke,
}

/// A question, for messages.
pub(super) struct Question<'a> {
    pub(super) op: &'static str,
    pub(super) step: Step,
    pub(super) config: &'a VaultConfig,
}

impl Question<'_> {
    /// The path of the API, without `/v1/`.
    pub(super) fn path(&self) -> String {
        let config = self.config;
        match self.step {
            Step::Login => format!("auth/{}/login", config.auth_mount),
            Step::Encrypt => format!("{}/encrypt/{}", config.mount, config.key),
            Step::Decrypt => format!("{}/decrypt/{}", config.mount, config.key),
            Step::Random => format!("{}/random", config.mount),
            Step::Revoke => "auth/token/revoke-self".into(),
        }
    }

    pub(super) fn error(&self, kind: Kind, why: impl std::fmt::Display) -> Error {
        Error::new(kind, self.op, format!("{}: {why}", self.shown()))
    }

    fn shown(&self) -> String {
        let namespace = self.config.namespace.as_ref();
        let namespace = namespace.map(|n| format!(", namespace '{n}'"));
        format!(
            "{} ({}{})",
            self.path(),
            self.config.address,
            namespace.unwrap_or_default()
        )
    }

    /// An answer that Vault can't give.
    pub(super) fn odd_answer(&self, what: &str) -> Error {
        self.error(Kind::Config, format!("it answered with {what}"))
            .hint(NOT_VAULT)
    }

    /// A hint with the names of this key.
    fn hint(&self, hint: &str) -> String {
        hint.replace("MOUNT", &self.config.mount)
            .replace("KEY", &self.config.key)
    }
}

#[cfg(test)]
impl Question<'static> {
    /// A question about the key `team1/transit/mysql`.
    pub(super) fn of_tests(step: Step) -> Question<'static> {
        use std::sync::LazyLock;
        static CONFIG: LazyLock<VaultConfig> = LazyLock::new(VaultConfig::of_tests);
        Question {
            op: "ask",
            step,
            config: &CONFIG,
        }
    }
}

const NOT_VAULT: &str = "The address is not that of Vault or OpenBao, or something between changes its answers. Check address and proxy.";
const LATER: &str =
    "It is tried again while there is time. If it stays, look at Vault: vault status.";
const KEY_POLICY: &str = "The policy of the token or role must allow \"update\" on MOUNT/encrypt/KEY and MOUNT/decrypt/KEY (docs/guide/vault.md), and the token must be there: one that is wrong, expired or used up gets the same answer. So does a mount that the token can't see: check mount and namespace.";
const LOGIN_POLICY: &str = "Vault does not let this role in, or has no such auth method: check auth, auth_mount, role and namespace, and what the role is bound to (docs/guide/vault.md). For kubernetes: the audience and expiry of the pod's token, and whether Vault may ask for TokenReviews, and could: it gives the same answer while the cluster's API is away.";

/// What Vault says at a login with a JWT when it can't ask for the issuer's keys.
const ISSUER_AWAY: [&str; 2] = ["fetching keys", "error configuring token validator"];

/// The sentences about a key that Vault answers with status 400, and what each means.
const ABOUT_THE_KEY: [(&str, Kind, &str); 8] = [
    (
        "encryption key not found",
        Kind::NotFound,
        "Check key, mount and namespace. A key that was never there is made by: vault write -f MOUNT/keys/KEY. One that was deleted comes back from a backup of Vault only: don't make a new one of that name.",
    ),
    (
        "soft-deleted key",
        Kind::Denied,
        "NOW run: bao write -f MOUNT/keys/KEY/soft-delete-restore; then reload the keyring (docs/reference/tool.md).",
    ),
    (
        "disallowed by policy (too old)",
        Kind::Denied,
        "Lower it: vault write MOUNT/keys/KEY/config min_decryption_version=N, as the version behind \"vault:v\" is; reload the keyring; then let keyring-ward rekey wrap with the newest version before it is raised again.",
    ),
    (
        "message authentication failed",
        Kind::WrongKek,
        "Either this is another key than the one that wrapped the DEK (another Vault, another mount, a key that was deleted and made anew under its name), or the keyring file was changed or its header is another file's. Vault gives the same answer for all of them. Check address, namespace, mount and key first; then restore the file from a backup. Nothing was changed.",
    ),
    (
        "version is too new",
        Kind::Tampered,
        "Vault was restored from a backup that is older than the key's last rotation, or the keyring file was changed. Restore a newer backup of Vault, or the file from a backup. Nothing was changed.",
    ),
    (
        "invalid ciphertext",
        Kind::Tampered,
        "The wrapped data key was changed. Restore the keyring file from a backup. Nothing was changed.",
    ),
    (
        "non-AEAD cipher",
        Kind::Config,
        "Name a key of the type aes256-gcm96 (or chacha20-poly1305): vault write -f MOUNT/keys/NAME.",
    ),
    (
        "missing 'context'",
        Kind::Config,
        "The key was made with derived=true. Name one without it: vault write -f MOUNT/keys/NAME.",
    ),
];

/// What Vault said in an answer's body: its errors in one line. `None`: it is not Vault's body.
pub(super) fn said(members: Option<&Map<String, Value>>) -> Option<String> {
    let errors = members?.get("errors")?.as_array()?;
    let texts: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
    let words = texts.join("; ");
    // Go's lists of errors have line ends and tabs.
    let line = clean(&words)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let line = line.strip_prefix("1 error occurred: * ").unwrap_or(&line);
    Some(line.into())
}

/// The error for an answer that refuses. `secrets`: what was sent.
pub(super) fn from_answer(
    asked: &Question<'_>,
    status: u16,
    said: Option<&str>,
    secrets: &[&str],
) -> Error {
    let (kind, hint) = explain(asked.step, status, said);
    let withdrawn = withdraws(asked, status, said);
    let words = match said {
        Some(said) if repeats(said, secrets) => NOT_SHOWN.into(),
        Some("") => format!("HTTP status {status}"),
        Some(said) => format!("{said} (HTTP status {status})"),
        None => format!("HTTP status {status} without a word of Vault"),
    };
    let error = asked.error(kind, words).hint(asked.hint(hint));
    match withdrawn {
        true => error.withdrawn(),
        false => error,
    }
}

/// Vault refuses the key itself, to a token that it has just given. Of a token from a file it can't be told from one that
/// has expired.
fn withdraws(asked: &Question<'_>, status: u16, said: Option<&str>) -> bool {
    let fresh = !matches!(asked.config.login, Login::Token(_));
    let says = |words: &str| said.is_some_and(|said| said.contains(words));
    let gone = ["encryption key not found", "soft-deleted key", "(too old)"];
    match (asked.step, status) {
        (Step::Decrypt, 400) => gone.iter().any(|words| says(words)),
        (Step::Decrypt, 403 | 404) => fresh && said.is_some(),
        _ => false,
    }
}

fn explain(step: Step, status: u16, said: Option<&str>) -> (Kind, &'static str) {
    let says = |words: &str| said.is_some_and(|said| said.contains(words));
    match status {
        503 if says("sealed") => (
            Kind::Unreachable,
            "Unseal it: vault operator unseal (bao for OpenBao). It is tried again while there is time.",
        ),
        500 if says("local node not active") => (
            Kind::Unreachable,
            "The cluster has no leader, so nobody can log in: vault operator raft list-peers. It is tried again while there is time.",
        ),
        429 => (
            Kind::Unreachable,
            "A quota of Vault limits the calls, or this is a standby that does not forward: vault read sys/quotas/config. It is tried again while there is time.",
        ),
        472 => (
            Kind::Unreachable,
            "This is a secondary of disaster recovery, which answers nobody: name the primary in address.",
        ),
        408 | 412 | 473 | 500.. => (Kind::Unreachable, LATER),
        // A standby whose forwarding failed: the leader was lost and no other is known yet, or it never forwards.
        307 | 308 => (
            Kind::Unreachable,
            "A standby names another node. Redirects are not followed, the token would go with them. It is tried again while there is time: after the loss of a leader that passes. If it stays, let the standby forward requests, or name the active node or the load balancer in address.",
        ),
        300..=399 => (
            Kind::Config,
            "Redirects are not followed, the token would go with them: let the standby forward requests, or name the active node or the load balancer in address.",
        ),
        401 | 403 | 407 if said.is_none() => (
            Kind::Denied,
            "Something before Vault refuses: check address and proxy.",
        ),
        _ if said.is_none() => (Kind::Config, NOT_VAULT),
        400 if step == Step::Login && ISSUER_AWAY.iter().any(|words| says(words)) => (
            Kind::Unreachable,
            "Vault does not reach the issuer of the JWT, whose keys it needs: see its sentence, and jwks_url or oidc_discovery_url of the auth method. It is tried again while there is time.",
        ),
        400 | 403 if step == Step::Login => (Kind::Denied, LOGIN_POLICY),
        401 | 403 => (Kind::Denied, KEY_POLICY),
        404 => (
            Kind::NotFound,
            "Nothing is mounted there: check mount (and auth_mount) and namespace: vault secrets list, vault auth list.",
        ),
        400 => about_the_key(said.unwrap_or_default()),
        _ => (
            Kind::Config,
            "That path takes no such request: check that mount is a transit engine.",
        ),
    }
}

fn about_the_key(said: &str) -> (Kind, &'static str) {
    let known = ABOUT_THE_KEY
        .iter()
        .find(|(words, ..)| said.contains(words));
    known.map_or(
        (
            Kind::Config,
            "Check key and mount: vault read MOUNT/keys/KEY.",
        ),
        |(_, kind, hint)| (*kind, hint),
    )
}

/// The error of a request that got no answer. Its sentence is the network's.
pub(super) fn from_net(asked: &Question<'_>, e: NetError) -> Error {
    let hint = match e.cause() {
        Cause::TooLarge(_) => return asked.odd_answer("more than 1 MiB"),
        Cause::Tls(rustls::Error::InvalidCertificate(_)) => {
            "The server's certificate is not accepted: check address, the clock, ca_file and the system's certificates (ca-certificates). Someone between may be pretending to be Vault."
        }
        Cause::Tls(_) => {
            "TLS could not be agreed upon: check address, proxy, and whether the listener asks for a client certificate (client_certificate, client_key_file)."
        }
        Cause::Dns { .. } => {
            "The name could not be resolved: check address and the resolver (/etc/resolv.conf); it is tried again while there is time."
        }
        Cause::Connect(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            "Nothing listens there: check address, proxy and firewall, and whether Vault runs; it is tried again while there is time."
        }
        Cause::BadUrl(_) | Cause::BadHeader(_) => "Check address, namespace and the token's file.",
        _ => "Check network, firewall, address and proxy; it is tried again while there is time.",
    };
    Error::new(e.kind(), asked.op, asked.shown())
        .because(e)
        .hint(hint)
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
