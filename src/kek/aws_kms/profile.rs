//! What a profile means: where its credentials come from, and which roles are assumed with them.
//!
//! Owns the order in which AWS's SDKs read a profile. It must never follow profiles in a circle, and never pass by
//! what it does not support: it says so.

use super::shared::{Profile, Property, Shared};
use crate::error::{Error, Kind, Result};

const OP: &str = "find AWS credentials";
/// Most profiles of a chain.
const MAX_CHAIN: usize = 8;

/// Where the first credentials come from.
pub(super) enum Base<'a> {
    /// They stand there.
    Keys {
        id: &'a Property,
        secret: &'a Property,
        token: Option<&'a Property>,
    },
    /// A program prints them.
    Process(&'a Property),
    /// A token is exchanged for them.
    WebIdentity {
        role: &'a Property,
        token_file: &'a Property,
        session: Option<&'a Property>,
    },
    /// `credential_source`.
    Named(&'a Property),
}

/// A role that is assumed with the credentials so far.
pub(super) struct Role<'a> {
    pub(super) role: &'a Property,
    pub(super) external_id: Option<&'a Property>,
    pub(super) session: Option<&'a Property>,
}

/// What a profile asks for.
pub(super) struct Plan<'a> {
    pub(super) base: Base<'a>,
    /// In the order in which they are assumed.
    pub(super) roles: Vec<Role<'a>>,
}

/// Reads the profile `name`; `None`: it names no credentials.
pub(super) fn plan<'a>(shared: &'a Shared, name: &str) -> Result<Option<Plan<'a>>> {
    let mut roles = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let Some(mut profile) = shared.get(name) else {
        return Ok(None);
    };
    let base = loop {
        seen.push(&profile.name);
        refuse_unsupported(profile)?;
        if seen.len() > 1
            && let Some(keys) = keys(profile)?
        {
            break Some(keys);
        }
        let role = profile
            .get("role_arn")
            .filter(|_| profile.get("web_identity_token_file").is_none());
        let Some(role) = role else {
            break base(profile)?;
        };
        roles.push(Role {
            role,
            external_id: profile.get("external_id"),
            session: profile.get("role_session_name"),
        });
        let source = match (
            profile.get("source_profile"),
            profile.get("credential_source"),
        ) {
            (Some(source), None) => source,
            (None, Some(_)) => break base(profile)?,
            (Some(source), Some(_)) => {
                return Err(bad(
                    source,
                    "there is credential_source as well: one of the two",
                ));
            }
            (None, None) => {
                return Err(bad(
                    role,
                    "there is neither source_profile nor credential_source in that profile",
                ));
            }
        };
        if *source.value == profile.name {
            break base(profile)?;
        }
        if seen.contains(&&**source.value) || seen.len() >= MAX_CHAIN {
            return Err(bad(
                source,
                "the profiles name each other in a circle, or there are more than eight",
            ));
        }
        profile = shared.get(&source.value).ok_or_else(|| {
            bad(
                source,
                "there is no profile of that name in the shared files",
            )
        })?;
    };
    roles.reverse();
    match base {
        Some(base) => Ok(Some(Plan { base, roles })),
        None if roles.is_empty() => Ok(None),
        None => Err(Error::new(
            Kind::Config,
            OP,
            format!(
                "the profile '{}' ({}) names no credentials for the role of another one",
                profile.name, profile.place
            ),
        )
        .hint(
            "Give it keys, a credential_process, a web_identity_token_file or a credential_source.",
        )),
    }
}

fn bad(property: &Property, why: &str) -> Error {
    Error::new(Kind::Config, OP, format!("{property}: {why}"))
        .hint("Correct it there; docs/guide/aws-kms.md says what is read.")
}

/// Says what can't be done before something else is done instead.
fn refuse_unsupported(profile: &Profile) -> Result<()> {
    for (prefix, what) in [
        ("sso_", "IAM Identity Center (aws sso login)"),
        ("login_session", "aws login"),
        ("mfa_serial", "a one-time password"),
    ] {
        if let Some(property) = profile.get_prefixed(prefix) {
            return Err(Error::new(Kind::Config, OP, format!("{property}: {what} needs a person, and a server has none"))
                .hint("Use a role of the machine, a web identity, a credential_process or keys in another profile; name it by profile in \"aws_kms\"."));
        }
    }
    Ok(())
}

fn base(profile: &Profile) -> Result<Option<Base<'_>>> {
    if let Some(source) = profile.get("credential_source") {
        return Ok(Some(Base::Named(source)));
    }
    if let Some(token_file) = profile.get("web_identity_token_file") {
        let role = profile
            .get("role_arn")
            .ok_or_else(|| bad(token_file, "there is no role_arn in that profile"))?;
        let session = profile.get("role_session_name");
        return Ok(Some(Base::WebIdentity {
            role,
            token_file,
            session,
        }));
    }
    if let Some(process) = profile.get("credential_process") {
        return Ok(Some(Base::Process(process)));
    }
    keys(profile)
}

fn keys(profile: &Profile) -> Result<Option<Base<'_>>> {
    let (id, secret) = (
        profile.get("aws_access_key_id"),
        profile.get("aws_secret_access_key"),
    );
    let token = profile.get("aws_session_token");
    match (id, secret, token) {
        (Some(id), Some(secret), token) => Ok(Some(Base::Keys { id, secret, token })),
        (Some(id), None, _) => Err(bad(id, "there is no aws_secret_access_key in that profile")),
        (None, Some(other), _) | (None, None, Some(other)) => {
            Err(bad(other, "there is no aws_access_key_id in that profile"))
        }
        (None, None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "aws_access_key_id=A\naws_secret_access_key=B\n";

    fn told(config: &str, name: &str) -> String {
        let shared = Shared::of(config, "");
        match plan(&shared, name) {
            Err(e) => e.to_string(),
            Ok(None) => "none".into(),
            Ok(Some(plan)) => {
                let base = match plan.base {
                    Base::Keys { id, .. } => format!("keys {}", id.place),
                    Base::Process(p) => format!("process {}", *p.value),
                    Base::WebIdentity { token_file, .. } => format!("token {}", *token_file.value),
                    Base::Named(n) => format!("named {}", *n.value),
                };
                let roles: Vec<_> = plan.roles.iter().map(|r| r.role.value.as_str()).collect();
                format!("{base} {}", roles.join(","))
            }
        }
    }

    #[test]
    fn profiles_are_read_in_the_order_of_the_sdks() {
        assert_eq!(told("", "default"), "none");
        assert_eq!(told("[default]\nregion=x\n", "default"), "none");
        assert_eq!(
            told(&format!("[default]\n{KEYS}"), "default"),
            "keys '/c' line 2 "
        );
        assert_eq!(
            told(
                &format!("[default]\ncredential_process=/p\n{KEYS}"),
                "default"
            ),
            "process /p "
        );
        let chain = format!(
            "[profile a]\nrole_arn=1\nsource_profile=b\n[profile b]\nrole_arn=2\nsource_profile=c\n[profile c]\n{KEYS}"
        );
        assert_eq!(told(&chain, "a"), "keys '/c' line 8 2,1");
        let own = format!("[default]\nrole_arn=1\nsource_profile=default\n{KEYS}");
        assert_eq!(told(&own, "default"), "keys '/c' line 4 1");
        // Keys of a profile that is another one's source go before its role.
        let first =
            format!("[profile a]\nrole_arn=1\nsource_profile=b\n[profile b]\nrole_arn=2\n{KEYS}");
        assert_eq!(told(&first, "a"), "keys '/c' line 6 1");
        assert_eq!(
            told(
                "[default]\nrole_arn=1\ncredential_source=Ec2InstanceMetadata\n",
                "default"
            ),
            "named Ec2InstanceMetadata 1"
        );
        assert_eq!(
            told(
                "[default]\nrole_arn=1\nweb_identity_token_file=/t\n",
                "default"
            ),
            "token /t "
        );
    }

    #[test]
    fn what_can_not_be_done_says_where_it_stands() {
        for (config, words) in [
            ("[default]\nsso_session = x\n", "sso_session in '/c' line 2"),
            (
                "[default]\nlogin_session = x\n",
                "login_session in '/c' line 2",
            ),
            (
                "[default]\nrole_arn=1\nsource_profile=default\nmfa_serial=1\n",
                "mfa_serial in '/c' line 4",
            ),
            (
                "[default]\nrole_arn=1\n",
                "role_arn in '/c' line 2: there is neither",
            ),
            (
                "[default]\nrole_arn=1\nsource_profile=x\n",
                "source_profile in '/c' line 3: there is no profile",
            ),
            (
                "[default]\nrole_arn=1\nsource_profile=x\ncredential_source=y\n",
                "one of the two",
            ),
            (
                "[default]\nrole_arn=1\nsource_profile=b\n[profile b]\nrole_arn=2\nsource_profile=default\n",
                "in a circle",
            ),
            (
                "[default]\nrole_arn=1\nsource_profile=b\n[profile b]\nregion=x\n",
                "'b' ('/c' line 4) names no credentials",
            ),
            (
                "[default]\nweb_identity_token_file=/t\n",
                "there is no role_arn",
            ),
            (
                "[default]\naws_access_key_id=A\n",
                "there is no aws_secret_access_key",
            ),
            (
                "[default]\naws_session_token=hidden\n",
                "aws_session_token in '/c' line 2",
            ),
        ] {
            let said = told(config, "default");
            assert!(said.contains(words) && !said.contains("hidden"), "{said}");
        }
    }
}
