//! What is asked of Azure, and what its answers that refuse mean.
//!
//! Owns the tables: codes of Key Vault and of Microsoft Entra ID, and words of their sentences where they have no code of
//! their own. What may pass by itself is Unreachable; nothing that was refused is.

use super::config::AzureKeyVaultConfig;
use crate::error::Kind;
use crate::kek::cloud::{Known, Question, Refusal};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A token, of the service for the identities of machines or apps.
    Identity,
    /// A token, of Microsoft Entra ID.
    Login,
    /// A data key under the vault's key.
    Wrap,
    /// A data key.
    Unwrap,
}

impl Step {
    /// What a refusal means.
    pub(super) fn table(self, refusal: &Refusal<'_>) -> Known {
        match self {
            Step::Identity => of_identity(refusal),
            Step::Login => of_login(refusal),
            Step::Wrap | Step::Unwrap => of_key(self, refusal),
        }
    }

    /// The key itself is refused, to an identity that was accepted: it is disabled, gone, or not for this one any more. From
    /// where it is asked, and as which tenant, is not that.
    pub(super) fn withdraws(self, refusal: &Refusal<'_>) -> bool {
        let said = self == Step::Unwrap && !refusal.code.is_empty();
        match refusal.status {
            403 => said && !is_of_network(refusal),
            404 => said && refusal.code == "KeyNotFound",
            _ => false,
        }
    }
}

/// A question about the key.
pub(super) fn about_the_key(config: &AzureKeyVaultConfig, step: Step) -> Question<'_> {
    let (op, call) = match step {
        Step::Wrap => ("have Azure wrap a data key", "keys/wrapKey"),
        _ => ("have Azure unwrap the data key", "keys/unwrapKey"),
    };
    Question {
        op,
        call,
        key: &config.key,
        place: &config.vault_url,
        service: "Azure Key Vault",
        options: "vault_url and proxy",
    }
}

/// A question for a token. `whose`: the identity; `place`: who gives it.
pub(super) fn for_a_token<'a>(step: Step, whose: &'a str, place: &'a str) -> Question<'a> {
    let (service, options) = match step {
        Step::Login => ("Microsoft Entra ID", "authority, tenant_id and proxy"),
        _ => ("Azure's service for identities", "auth and metadata_url"),
    };
    Question {
        op: "log in to Azure",
        call: "a token",
        key: whose,
        place,
        service,
        options,
    }
}

const ROLE: &str = "The identity must be allowed keys/wrapKey and keys/unwrapKey on KEY (docs/guide/azure-key-vault.md). A role that was given a moment ago takes up to ten minutes.";
const NETWORK: &str = "The vault does not take calls from this address: let it (az keyvault network-rule add), or ask it over its private endpoint.";
const ENABLE: &str = "Enable it: az keyvault key set-attributes --enabled true --name KEY, with --vault-name or --hsm-name, and with --version for a version that is not the current one; then reload the keyring (docs/reference/tool.md).";
const OPERATIONS: &str = "Let the key do it: az keyvault key set-attributes --ops wrapKey unwrapKey --name KEY, with --vault-name or --hsm-name.";
const TIMES: &str = "Outside of its times a key wraps nothing; what it wrapped it goes on unwrapping. Make a new version (az keyvault key rotate), or change its times (az keyvault key set-attributes --expires --not-before).";
const MISSING: &str = "Check vault_url, key and key_version. A key that was deleted a while ago comes back: az keyvault key recover --name KEY, with --vault-name or --hsm-name. Don't make a new one of that name: it opens nothing.";
const CHANGED: &str = "The wrapped data key in the keyring file was changed, or this is another key than the one that wrapped it. Azure gives the same answer for both. Check vault_url and key; then restore the keyring file from a backup. Nothing was changed.";
const TOKEN: &str = "The vault does not take the token: it belongs to another tenant (set tenant_id to the vault's, or take an identity of that tenant), or the clock is wrong.";

fn of_key(step: Step, refusal: &Refusal<'_>) -> Known {
    let lower = refusal.message.to_ascii_lowercase();
    let is = |codes: &[&str]| codes.contains(&refusal.code);
    let says = |words: &str| lower.contains(words);
    Some(match refusal.status {
        401 => (Kind::Denied, TOKEN),
        403 if is(&["KeyDisabled"]) || says("on a disabled key") => (Kind::Denied, ENABLE),
        403 if is(&["KeyOperationForbidden"]) || says("not permitted on this key") => {
            (Kind::Denied, OPERATIONS)
        }
        403 if says("expired key") || says("not yet valid") || says("validity period") => {
            (Kind::Denied, TIMES)
        }
        403 if is_of_network(refusal) => (Kind::Denied, NETWORK),
        403 => (Kind::Denied, ROLE),
        404 => (Kind::NotFound, MISSING),
        409 if says("recover") => (
            Kind::Unreachable,
            "The key is being recovered. It is tried again while there is time.",
        ),
        400 if says("algorithm") || says("'alg'") || says("key type") => (
            Kind::Config,
            "The key is not of the kind that algorithm needs: RSA of 2,048 bits or more for RSA-OAEP-256, an AES key of 256 bits in a Managed HSM for A256KW.",
        ),
        400 if step == Step::Unwrap => (Kind::Tampered, CHANGED),
        400 => (
            Kind::Config,
            "Check key, key_version and algorithm: az keyvault key show --name KEY, with --vault-name or --hsm-name.",
        ),
        _ => return None,
    })
}

/// The vault's firewall refuses, before anybody looked at the key.
fn is_of_network(refusal: &Refusal<'_>) -> bool {
    let codes = ["ForbiddenByFirewall", "ForbiddenByConnection"];
    let words = ["Client address", "private link"];
    codes.contains(&refusal.code) || words.iter().any(|words| refusal.message.contains(words))
}

fn of_identity(refusal: &Refusal<'_>) -> Known {
    Some(match refusal.status {
        // As the SDKs have it: an identity that was given a moment ago, and an update of the service.
        404 | 410 => (
            Kind::Unreachable,
            "The service for identities is not ready: it is tried again while there is time. An identity that was given to the machine a moment ago takes a while.",
        ),
        400 => (
            Kind::Denied,
            "The machine has no such identity: az vm identity assign (for an app: az webapp identity assign, az containerapp identity assign). Where it has several user-assigned ones, set client_id to one of them.",
        ),
        401 | 403 => (
            Kind::Denied,
            "The service for identities refuses: for auth app_service check IDENTITY_HEADER in the environment of mysqld, else what stands between.",
        ),
        _ => return None,
    })
}

/// Sentences of Microsoft Entra ID by their numbers, and what each means.
const AADSTS: [(&[&str], Kind, &str); 8] = [
    (
        &["AADSTS7000215", "AADSTS7000222"],
        Kind::Denied,
        "The client secret is wrong or has expired: az ad app credential reset, and put the new one into client_secret_file. Better take a way without a secret (docs/guide/azure-key-vault.md).",
    ),
    (
        &["AADSTS700024", "AADSTS50012"],
        Kind::Denied,
        "The assertion is not within its times: the clock of this machine is wrong (chronyc makestep), or nobody renews the federated token.",
    ),
    (
        &["AADSTS700027", "AADSTS7000214", "AADSTS1000502"],
        Kind::Denied,
        "The certificate is not the application's, or is not valid any more: az ad app credential reset --append --cert @FILE. Check certificate_file and private_key_file.",
    ),
    (
        &[
            "AADSTS70021",
            "AADSTS700211",
            "AADSTS700212",
            "AADSTS700213",
            "AADSTS50166",
        ],
        Kind::Denied,
        "The application trusts no such federated token: issuer, subject and audience must be those of one of its federated credentials (az identity federated-credential list). One that was made a moment ago takes minutes.",
    ),
    (
        &["AADSTS700016"],
        Kind::Denied,
        "There is no such application in this tenant: check client_id and tenant_id.",
    ),
    (
        &["AADSTS90002", "AADSTS900023", "AADSTS900021", "AADSTS50059"],
        Kind::NotFound,
        "There is no such tenant: check tenant_id and authority (az account show --query tenantId).",
    ),
    (
        &["AADSTS7000112", "AADSTS7000114"],
        Kind::Denied,
        "The application is disabled: let an administrator of the tenant enable it.",
    ),
    (
        &["AADSTS500011", "AADSTS50001", "AADSTS650057"],
        Kind::Denied,
        "The tenant knows no Azure Key Vault of this cloud: check authority, and vault_url (or resource).",
    ),
];

fn of_login(refusal: &Refusal<'_>) -> Known {
    if !matches!(refusal.status, 400 | 401 | 403) {
        return None;
    }
    if refusal.code == "temporarily_unavailable" {
        return Some((Kind::Unreachable, "It is tried again while there is time."));
    }
    // "AADSTS7000215: Invalid client secret provided. …"
    let number = refusal.message.split(':').next().unwrap_or_default();
    let known = AADSTS
        .iter()
        .find(|(numbers, ..)| numbers.contains(&number));
    Some(known.map_or(
        (
            Kind::Denied,
            "Microsoft Entra ID does not let the application in: look its number up at https://login.microsoftonline.com/error, and check auth, tenant_id and client_id (docs/guide/azure-key-vault.md).",
        ),
        |(_, kind, hint)| (*kind, *hint),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(step: Step, status: u16, code: &str, message: &str) -> (Option<Kind>, &'static str) {
        let known = step.table(&Refusal {
            status,
            code,
            message,
        });
        known.map_or((None, ""), |(kind, hint)| (Some(kind), hint))
    }

    #[test]
    fn only_a_refused_key_is_withdrawn() {
        for (step, status, code, message, withdrawn) in [
            (Step::Unwrap, 403, "KeyDisabled", "", true),
            (Step::Unwrap, 403, "ForbiddenByRbac", "", true),
            (Step::Unwrap, 404, "KeyNotFound", "", true),
            (Step::Unwrap, 403, "", "", false),
            (Step::Unwrap, 403, "ForbiddenByFirewall", "", false),
            (Step::Unwrap, 403, "Forbidden", "Client address is …", false),
            (Step::Unwrap, 404, "NotFound", "", false),
            (Step::Unwrap, 401, "Unauthorized", "", false),
            (Step::Unwrap, 400, "BadParameter", "", false),
            (Step::Wrap, 403, "KeyDisabled", "", false),
            (Step::Login, 403, "invalid_client", "", false),
            (Step::Identity, 404, "x", "", false),
        ] {
            let refusal = Refusal {
                status,
                code,
                message,
            };
            assert_eq!(step.withdraws(&refusal), withdrawn, "{status} {code}");
        }
    }

    #[test]
    fn each_answer_has_its_kind() {
        use Kind::{Config, Denied, NotFound, Tampered, Unreachable};
        use Step::{Identity, Login, Unwrap, Wrap};
        for (step, status, code, message, kind, words) in [
            (
                Unwrap,
                403,
                "KeyDisabled",
                "",
                Some(Denied),
                "--enabled true",
            ),
            (
                Unwrap,
                403,
                "Forbidden",
                "Operation unwrapKey is not allowed on a disabled key.",
                Some(Denied),
                "--enabled true",
            ),
            (
                Wrap,
                403,
                "KeyOperationForbidden",
                "Operation wrapKey is not permitted on this key.",
                Some(Denied),
                "--ops wrapKey unwrapKey",
            ),
            (
                Wrap,
                403,
                "Forbidden",
                "Operation wrapKey is not allowed on an expired key.",
                Some(Denied),
                "az keyvault key rotate",
            ),
            (
                Wrap,
                403,
                "ForbiddenByFirewall",
                "Client address is not authorized and caller is not a trusted service.",
                Some(Denied),
                "network-rule",
            ),
            (
                Unwrap,
                403,
                "ForbiddenByConnection",
                "Public network access is disabled …",
                Some(Denied),
                "private endpoint",
            ),
            (
                Unwrap,
                403,
                "ForbiddenByRbac",
                "Caller …",
                Some(Denied),
                "ten minutes",
            ),
            (
                Unwrap,
                403,
                "AccessDenied",
                "…",
                Some(Denied),
                "keys/unwrapKey",
            ),
            (
                Unwrap,
                403,
                "ForbiddenByPolicy",
                "…",
                Some(Denied),
                "keys/unwrapKey",
            ),
            (
                Wrap,
                401,
                "Unauthorized",
                "AKV10032: Invalid issuer.",
                Some(Denied),
                "tenant",
            ),
            (
                Unwrap,
                404,
                "KeyNotFound",
                "…",
                Some(NotFound),
                "key recover",
            ),
            (
                Unwrap,
                400,
                "BadParameter",
                "Error occurred while decoding OAEP padding.",
                Some(Tampered),
                "restore",
            ),
            (
                Wrap,
                400,
                "BadParameter",
                "The parameter is incorrect.",
                Some(Config),
                "key show",
            ),
            (
                Unwrap,
                400,
                "BadParameter",
                "Unknown algorithm A256KW.",
                Some(Config),
                "algorithm",
            ),
            (
                Unwrap,
                409,
                "Conflict",
                "The key is being recovered.",
                Some(Unreachable),
                "recovered",
            ),
            (Unwrap, 409, "Conflict", "other", None, ""),
            (Unwrap, 429, "Throttled", "x", None, ""),
            (Unwrap, 500, "InternalServerError", "x", None, ""),
            (
                Identity,
                400,
                "invalid_request",
                "Identity not found",
                Some(Denied),
                "identity assign",
            ),
            (Identity, 404, "", "x", Some(Unreachable), "not ready"),
            (Identity, 410, "Gone", "", Some(Unreachable), "not ready"),
            (Identity, 403, "x", "", Some(Denied), "IDENTITY_HEADER"),
            (Identity, 503, "x", "", None, ""),
            (
                Login,
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided.",
                Some(Denied),
                "credential reset",
            ),
            (
                Login,
                401,
                "invalid_client",
                "AADSTS700024: Client …",
                Some(Denied),
                "chronyc",
            ),
            (
                Login,
                401,
                "invalid_client",
                "AADSTS700027: …",
                Some(Denied),
                "certificate_file",
            ),
            (
                Login,
                401,
                "invalid_client",
                "AADSTS700213: No …",
                Some(Denied),
                "subject",
            ),
            (
                Login,
                400,
                "unauthorized_client",
                "AADSTS700016: …",
                Some(Denied),
                "client_id",
            ),
            (
                Login,
                400,
                "invalid_request",
                "AADSTS90002: Tenant …",
                Some(NotFound),
                "tenant_id",
            ),
            (
                Login,
                400,
                "invalid_resource",
                "AADSTS500011: …",
                Some(Denied),
                "resource",
            ),
            (
                Login,
                401,
                "invalid_client",
                "AADSTS70002151: x",
                Some(Denied),
                "look its number up",
            ),
            (
                Login,
                400,
                "temporarily_unavailable",
                "",
                Some(Unreachable),
                "tried again",
            ),
            (Login, 503, "temporarily_unavailable", "", None, ""),
            (Login, 429, "x", "", None, ""),
        ] {
            let (got, hint) = of(step, status, code, message);
            assert_eq!(got, kind, "{step:?} {status} {code} {message}");
            assert!(hint.contains(words), "{status} {code} {message}: {hint}");
        }
    }
}
