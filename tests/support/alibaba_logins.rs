//! The ways to come by credentials: the instance's role, a role for a pod's token, an access key; how many requests each
//! takes, and each refusal on the way. Part of tests/contract_alibaba_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::alibaba::identities::{claims, oidc_token};
use super::clouds::alibaba::{KEY, PROVIDER_ARN, REGION, ROLE, ROLE_ARN};
use super::{Place, not_opened, opens, refused, wrap, write_secret};
use keyring_ward::error::Kind;
use serde_json::{Value, json};
use std::process::Command;
use std::time::SystemTime;

const PUT_TOKEN: &str = "PUT /latest/api/token 200";
const GET_NAME: &str = "GET /latest/meta-data/ram/security-credentials/ 200";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

impl Place {
    /// Options for the instance's role.
    pub fn instance(&self) -> Value {
        json!({"auth": null, "credentials_file": null, "metadata_url": self.fake.url()})
    }

    /// Options for a pod's role. The token is good for an hour.
    pub fn pod(&self) -> Value {
        self.write_token(&claims(now() + 3600));
        json!({
            "auth": "oidc", "credentials_file": null, "sts_endpoint": self.fake.url(), "role_arn": ROLE_ARN,
            "oidc_provider_arn": PROVIDER_ARN, "oidc_token_file": self.path("token"),
        })
    }

    fn write_token(&self, claims: &Value) {
        std::fs::write(self.path("token"), oidc_token(claims)).unwrap();
    }
}

/// `changes` on top of `base`.
fn with(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

#[test]
fn every_way_opens_and_takes_no_more_requests_than_stated() {
    let place = Place::new();
    let get_role = format!("GET /latest/meta-data/ram/security-credentials/{ROLE} 200");
    let key_call = "POST / 200";
    for (what, options, requests) in [
        ("an access key", json!({}), vec![key_call]),
        (
            "the instance's role",
            place.instance(),
            vec![PUT_TOKEN, GET_NAME, &get_role, key_call],
        ),
        (
            "the instance's role by its name",
            with(place.instance(), json!({"role_name": ROLE})),
            vec![PUT_TOKEN, &get_role, key_call],
        ),
        // STS and KMS are told apart by what they are asked.
        ("a pod's role", place.pod(), vec![key_call, key_call]),
    ] {
        let kek = place.kek(options);
        place.fake.take_calls();
        let stanza = wrap(&*kek).unwrap();
        assert_eq!(place.fake.take_calls(), requests, "{what}, wrapping");
        opens(&*kek, &stanza);
        assert_eq!(place.fake.take_calls(), requests, "{what}, opening");
    }
}

#[test]
fn an_instance_without_a_usable_role_is_told() {
    let place = Place::new();
    let stanza = wrap(&*place.kek(json!({}))).unwrap();
    let kek = place.kek(place.instance());
    for (name, value, kind, words) in [
        ("role", "none", Kind::Denied, "AttachInstanceRamRole"),
        (
            "metadata",
            "off",
            Kind::Denied,
            "ModifyInstanceMetadataOptions",
        ),
        (
            "role_code",
            "Failed",
            Kind::Denied,
            "trust policy lets ecs.aliyuncs.com",
        ),
        ("life", "0", Kind::Denied, "InvalidSecurityToken.Expired"),
    ] {
        place.fake.set(name, value);
        not_opened(
            &format!("the instance: {name}={value}"),
            &*kek,
            &stanza,
            kind,
            words,
        );
        place.fake.set(name, "");
        opens(&*kek, &stanza);
    }
    let other = place.kek(with(place.instance(), json!({"role_name": "another"})));
    not_opened(
        "another role's name",
        &*other,
        &stanza,
        Kind::Denied,
        "AttachInstanceRamRole",
    );
    let away = json!({"metadata_url": format!("http://{}", super::ports::closed())});
    not_opened(
        "no metadata service",
        &*place.kek(with(place.instance(), away)),
        &stanza,
        Kind::Unreachable,
        "only on a machine of that cloud",
    );
}

#[test]
fn a_pods_token_must_be_the_right_one() {
    let place = Place::new();
    let kek = place.kek(place.pod());
    let stanza = wrap(&*kek).unwrap();
    let good = claims(now() + 3600);
    let changed = |changes| with(good.clone(), changes);
    for (what, claims, words) in [
        ("expired", claims(now() - 1), "has expired"),
        (
            "for another audience",
            changed(json!({"aud": ["vault"]})),
            "usually sts.aliyuncs.com",
        ),
        (
            "of another issuer",
            changed(json!({"iss": "https://evil.example"})),
            "trust policy of",
        ),
        (
            "of another pod",
            changed(json!({"sub": "system:serviceaccount:x:y"})),
            "trust policy of",
        ),
    ] {
        place.write_token(&claims);
        let what = format!("a token {what}");
        not_opened(&what, &*kek, &stanza, Kind::Denied, words);
    }
    let mut token = oidc_token(&good);
    let last = token.pop().unwrap();
    token.push(if last == 'A' { 'Q' } else { 'A' });
    for (what, text) in [
        ("with another signature", &*token),
        ("that is no JWT", "HIDDEN-JWT"),
    ] {
        std::fs::write(place.path("token"), text).unwrap();
        let what = format!("a token {what}");
        not_opened(
            &what,
            &*kek,
            &stanza,
            Kind::Denied,
            "issuer and fingerprint",
        );
    }
    for (what, text, words) in [
        ("an empty token file", "", "is empty"),
        ("a token with a blank", "HIDDEN TOKEN", "has a blank"),
    ] {
        std::fs::write(place.path("token"), text).unwrap();
        not_opened(what, &*kek, &stanza, Kind::Config, words);
    }
    std::fs::remove_file(place.path("token")).unwrap();
    not_opened(
        "no token file",
        &*kek,
        &stanza,
        Kind::NotFound,
        "oidc_token_file",
    );
    for (name, value, kind, words) in [
        ("role_arn", "acs:ram::1:role/x", Kind::NotFound, "ListRoles"),
        (
            "oidc_provider_arn",
            "acs:ram::1:oidc-provider/x",
            Kind::Denied,
            "is registered",
        ),
    ] {
        let kek = place.kek(with(place.pod(), json!({name: value})));
        not_opened(&format!("a wrong {name}"), &*kek, &stanza, kind, words);
    }
    // Read anew each time: what the cluster has renewed meanwhile counts.
    place.write_token(&good);
    opens(&*kek, &stanza);
    place.fake.set("life", "0");
    not_opened(
        "credentials that expired before the key call",
        &*kek,
        &stanza,
        Kind::Denied,
        "InvalidSecurityToken.Expired",
    );
}

#[test]
fn an_access_key_file_must_be_private_and_well_formed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let kek = place.kek(json!({}));
    write_secret(&place.path("access-key"), "HIDDEN");
    refused(
        "a file of another form",
        &*kek,
        Kind::InvalidInput,
        "two lines",
    );
    std::fs::remove_file(place.path("access-key")).unwrap();
    refused("no access key file", &*kek, Kind::NotFound, "access-key");
    place.write_access_key("LTAI5t", "HIDDEN");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.path("access-key"), open).unwrap();
    refused(
        "a file that all can read",
        &*kek,
        Kind::Permission,
        "access-key",
    );
    assert_eq!(place.fake.take_calls(), [""; 0]);
}

/// What ACK sets for a pod is enough; what is set wrongly is told by its variable's name, and nothing is sent.
#[test]
fn a_pods_environment_is_read_where_the_configuration_says_nothing() {
    let place = Place::new();
    place.pod();
    let token = place.path("token");
    let good = [
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE_ARN),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER_ARN),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let init = |changes: &[(&str, &str)]| {
        let keyring = place.path("keyring");
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyring-ward"));
        command
            .args(["init", "--backend", "alibaba_kms", "--path"])
            .arg(&keyring);
        for option in [
            format!("alibaba_kms_key_id={KEY}"),
            format!("alibaba_kms_region={REGION}"),
            format!("alibaba_kms_endpoint={}", place.fake.url()),
            format!("alibaba_kms_sts_endpoint={}", place.fake.url()),
            "alibaba_kms_auth=oidc".into(),
        ] {
            command.args(["--option", &option]);
        }
        for (name, value) in good.iter().chain(changes) {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        let out = command.output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.success(), text)
    };
    for (name, value, words) in [
        ("ALIBABA_CLOUD_ROLE_ARN", "", "auth oidc has no role_arn"),
        (
            "ALIBABA_CLOUD_ROLE_ARN",
            "acs:ram::1:role/x\r",
            "has a carriage return",
        ),
        ("ALIBABA_CLOUD_ROLE_ARN", "HIDDEN", "is not an ARN"),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "",
            "auth oidc has no oidc_provider_arn",
        ),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:role/x",
            "is not an ARN",
        ),
        (
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            "",
            "auth oidc has no oidc_token_file",
        ),
        (
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            "token",
            "not an absolute path",
        ),
        (
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            "/none/token",
            "/none/token",
        ),
    ] {
        let (ok, said) = init(&[(name, value)]);
        assert!(!ok && said.contains(words), "{name}={value}: {said}");
        assert!(said.contains(name) && !said.contains("HIDDEN"), "{said}");
        assert_eq!(place.fake.take_calls(), [""; 0], "{name}={value}");
    }
    let (ok, said) = init(&[]);
    assert!(ok, "{said}");
    // init asks for a data key to see that it may, and for another one, which it has decrypted as proof; each with
    // credentials of its own.
    assert_eq!(place.fake.take_calls(), ["POST / 200"; 6]);
}
