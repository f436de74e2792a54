//! The options of the provider `vault`: names, places and what they are for.

use crate::options::{OptionSpec, ValueKind};

/// The section.
pub(super) const NAME: &str = "vault";

/// All of them.
pub(super) const OPTIONS: &[OptionSpec] = &[
    text(
        "vault_address",
        "Vault's or OpenBao's address, as https://HOST:8200",
    ),
    text("vault_key", "The name of the transit key"),
    text(
        "vault_mount",
        "The path at which the transit engine is mounted",
    )
    .about("the path at which the transit engine is mounted; default `transit`"),
    text("vault_namespace", "The namespace of the mounts"),
    text(
        "vault_auth",
        "How to log in: token, approle, jwt, kubernetes or cert",
    )
    .about("how to log in: `token` (no login, the token is in a file; the default), `approle`, `jwt`, `kubernetes` or `cert`"),
    text(
        "vault_auth_mount",
        "The path at which the auth method is mounted",
    )
    .about("the path at which the auth method is mounted; default: the method's name"),
    text(
        "vault_token_file",
        "The file with the token, or credential:NAME, for auth token",
    ),
    text(
        "vault_role",
        "The role to log in as, for auth jwt, kubernetes and cert",
    )
    .about("the role to log in as; `kubernetes` needs it, for `jwt` and `cert` Vault may have a default"),
    text("vault_role_id", "The role id, for auth approle"),
    text(
        "vault_secret_id_file",
        "The file with the secret id, or credential:NAME, for auth approle",
    ),
    text(
        "vault_jwt_file",
        "The file with the JWT, for auth jwt and kubernetes",
    )
    .about("the file with the JWT, read at each login, for `jwt` and `kubernetes`; default for `kubernetes`: `/var/run/secrets/kubernetes.io/serviceaccount/token`"),
    text(
        "vault_client_certificate",
        "The client certificate in PEM, for auth cert or where the listener asks for one",
    ),
    text(
        "vault_client_key_file",
        "The private key of the client certificate in PEM, or credential:NAME",
    ),
    text(
        "vault_ca_file",
        "Certificates in PEM: who is trusted, in place of the system's authorities",
    ),
    text(
        "vault_proxy",
        "http://HOST:PORT of a proxy, instead of the environment's",
    ),
    OptionSpec::of(
        NAME,
        "vault_connect_timeout",
        ValueKind::Number,
        "Seconds that a connection may take",
    ),
    OptionSpec::of(
        NAME,
        "vault_attempt_timeout",
        ValueKind::Number,
        "Seconds that one attempt may take, the login included",
    ),
];

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec::of(NAME, name, ValueKind::Text, help)
}
