//! Where region and credentials come from: the chain of AWS's SDKs, source by source.
//!
//! Owns the order: environment, shared files, web identity, container, instance. A profile or a credentials file that
//! our configuration names is the only source. It must never go on to the next source when one is there and fails.

use super::AwsKmsConfig;
use super::answer;
use super::credentials::Credentials;
use super::errors::Question;
use super::http::Net;
use super::metadata::{self, Found, Instance};
use super::names::{Text, is_region};
use super::process;
use super::profile::{Base, plan};
use super::shared::{Property, Shared};
use super::sts::{Sts, Told};
use crate::error::{Error, Kind, Result};
use std::cell::OnceCell;
use std::fmt::Display;

const OP: &str = "find AWS credentials";
/// Longest variable that is read, in bytes.
const MAX_VARIABLE: usize = 65_536;

/// A variable of the environment; an empty one is not set.
pub(super) fn variable(name: &str) -> Result<Option<String>> {
    let Some(value) = std::env::var_os(name).filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) if value.len() <= MAX_VARIABLE => Ok(Some(value)),
        _ => Err(Error::new(
            Kind::Config,
            OP,
            format!("{name} in the environment is not text in UTF-8, or has more than {MAX_VARIABLE} bytes"),
        )
        .hint("Correct it where mysqld is started, or take it out.")),
    }
}

/// What one operation looks for credentials in.
pub(super) struct Sources<'a> {
    config: &'a AwsKmsConfig,
    net: &'a Net,
    shared: OnceCell<Shared>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(config: &'a AwsKmsConfig, net: &'a Net) -> Sources<'a> {
        Sources {
            config,
            net,
            shared: OnceCell::new(),
        }
    }

    /// The shared files, read when they are first needed.
    fn shared(&self) -> Result<&Shared> {
        if let Some(shared) = self.shared.get() {
            return Ok(shared);
        }
        let shared = Shared::read(self.config)?;
        Ok(self.shared.get_or_init(|| shared))
    }

    /// The name of the profile, and who names it; `None`: nobody, it is `default`.
    fn profile(&self) -> Result<(String, Option<&'static str>)> {
        if let Some(name) = &self.config.profile {
            return Ok((name.clone(), Some("profile in \"aws_kms\"")));
        }
        match variable("AWS_PROFILE")? {
            None => Ok(("default".into(), None)),
            Some(name) => {
                Text::Profile.check(&name, "AWS_PROFILE in the environment")?;
                Ok((name, Some("AWS_PROFILE in the environment")))
            }
        }
    }

    fn instance(&self) -> Result<std::result::Result<Instance, String>> {
        // A profile of the shared files may say where the service is; without one they need not be readable.
        let (name, _) = self.profile()?;
        let of = |property: &str| {
            let shared = self.shared.get()?;
            Some(shared.get(&name)?.get(property)?.value.to_string())
        };
        Instance::new(
            of("ec2_metadata_service_endpoint"),
            of("ec2_metadata_service_endpoint_mode"),
        )
    }

    /// The region: as configured, the key's, the environment's, the profile's, the instance's.
    pub(super) fn region(&self) -> Result<String> {
        if let Some(region) = self.config.known_region() {
            return Ok(region.to_string());
        }
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = variable(name)? {
                return checked_region(region, format!("{name} in the environment"));
            }
        }
        let (profile, _) = self.profile()?;
        let property = self.shared()?.get(&profile).and_then(|p| p.get("region"));
        if let Some(property) = property.filter(|p| !p.value.is_empty()) {
            return checked_region(property.value.to_string(), property);
        }
        let instance = match self.instance()? {
            Ok(instance) => instance.region(self.net)?,
            Err(why) => Err(why),
        };
        instance.map_err(|why| {
            Error::new(
                Kind::Config,
                "find the region of the KMS key",
                format!(
                    "'{}' does not tell, and neither does the environment; {why}",
                    self.config.key
                ),
            )
            .hint("Set region in \"aws_kms\" (my.cnf: aws_kms_region), or name the key by its ARN.")
        })
    }

    /// Credentials, and the roles that are assumed with them.
    pub(super) fn credentials(&self, region: &str) -> Result<Credentials> {
        let found = self.first(region)?;
        let Some((role, external_id)) = &self.config.role else {
            return Ok(found);
        };
        let (role_at, id_at) = ("role_arn in \"aws_kms\"", "external_id in \"aws_kms\"");
        let sts = Sts::new(self.config, self.net, region)?;
        let role = Told {
            text: role,
            place: &role_at,
        };
        let external_id = external_id.as_deref().map(|text| Told {
            text,
            place: &id_at,
        });
        sts.assume(found, role, external_id, None)
    }

    fn first(&self, region: &str) -> Result<Credentials> {
        let mut looked = Vec::new();
        let alone = self.config.profile.is_some() || self.config.credentials_file.is_some();
        if !alone {
            match environment()? {
                Some(found) => return Ok(found),
                None => looked.push("environment: AWS_ACCESS_KEY_ID is not set".to_string()),
            }
        }
        match self.by_profile(region)? {
            Found::Credentials(found) => return Ok(found),
            Found::None(why) => looked.push(why),
        }
        if !alone {
            match self.web_identity(region)? {
                Found::Credentials(found) => return Ok(found),
                Found::None(why) => looked.push(why),
            }
            match metadata::container(self.net)? {
                Found::Credentials(found) => return Ok(found),
                Found::None(why) => looked.push(why),
            }
            match self.by_instance()? {
                Found::Credentials(found) => return Ok(found),
                Found::None(why) => looked.push(why),
            }
        }
        Err(self.none(&looked, alone))
    }

    fn none(&self, looked: &[String], alone: bool) -> Error {
        let asked_instance = self.instance().is_ok_and(|i| i.is_ok());
        let asked = Question {
            op: OP,
            action: "credentials",
            key: self.config.key.as_str(),
            place: self.config.place(),
            service: "AWS KMS",
            of_key: true,
        };
        let why = format!("none were found: {}", looked.join("; "));
        match super::errors::on_ec2() && !alone && asked_instance {
            true => asked
                .error(Kind::Unreachable, why)
                .hint("Give the instance a role (instance profile); its metadata service may take a moment after boot, so it is tried again while there is time."),
            false => asked
                .error(Kind::Denied, why)
                .hint("It is the account and the environment of mysqld that count. See docs/guide/aws-kms.md."),
        }
    }

    fn by_profile(&self, region: &str) -> Result<Found> {
        let (name, named_by) = self.profile()?;
        let shared = self.shared()?;
        let looked = match shared.looked.is_empty() {
            true => "HOME is not set".to_string(),
            false => shared.looked.join(", "),
        };
        if let Some(by) = named_by.filter(|_| shared.get(&name).is_none()) {
            return Err(Error::new(Kind::Config, OP, format!("there is no profile '{name}' ({by}): {looked}"))
                .hint("Correct the name. In the config file its section is [profile NAME], in the credentials file [NAME]."));
        }
        let Some(plan) = plan(shared, &name)? else {
            return Ok(Found::None(format!(
                "shared files: no credentials in the profile '{name}' ({looked})"
            )));
        };
        let mut found = match plan.base {
            Base::Keys { id, secret, token } => answer::make(
                (&id.value, id),
                (&secret.value, secret),
                token.map(|t| (t.value.as_str(), t as &dyn Display)),
            )?,
            Base::Process(process) => process::credentials(process, self.net.end)?,
            Base::WebIdentity {
                role,
                token_file,
                session,
            } => {
                let sts = Sts::new(self.config, self.net, region)?;
                sts.assume_with_token(told(role), told(token_file), session.map(told))?
            }
            Base::Named(source) => self.named(source)?,
        };
        for step in plan.roles {
            let sts = Sts::new(self.config, self.net, region)?;
            let (external_id, session) = (step.external_id.map(told), step.session.map(told));
            found = sts.assume(found, told(step.role), external_id, session)?;
        }
        Ok(Found::Credentials(found))
    }

    /// `credential_source`.
    fn named(&self, source: &Property) -> Result<Credentials> {
        let found = match source.value.to_ascii_lowercase().as_str() {
            "environment" => environment()?.map_or_else(
                || Found::None("AWS_ACCESS_KEY_ID is not set".into()),
                Found::Credentials,
            ),
            "ecscontainer" => metadata::container(self.net)?,
            "ec2instancemetadata" => self.by_instance()?,
            _ => {
                return Err(Error::new(
                    Kind::Config,
                    OP,
                    format!("{source} names no source of credentials"),
                )
                .hint("Use Environment, EcsContainer or Ec2InstanceMetadata."));
            }
        };
        match found {
            Found::Credentials(found) => Ok(found),
            Found::None(why) => Err(
                Error::new(Kind::Unreachable, OP, format!("{source}: {why}"))
                    .hint("Correct credential_source; it is tried again while there is time."),
            ),
        }
    }

    fn web_identity(&self, region: &str) -> Result<Found> {
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        let Some(file) = variable(FILE)? else {
            return Ok(Found::None(format!("web identity: {FILE} is not set")));
        };
        let role = variable("AWS_ROLE_ARN")?.ok_or_else(|| {
            Error::new(
                Kind::Config,
                OP,
                format!("{FILE} is set in the environment, but AWS_ROLE_ARN is not"),
            )
            .hint("Set both, or neither.")
        })?;
        let session = variable("AWS_ROLE_SESSION_NAME")?;
        let sts = Sts::new(self.config, self.net, region)?;
        let role = Told {
            text: &role,
            place: &"AWS_ROLE_ARN in the environment",
        };
        let file = Told {
            text: &file,
            place: &"AWS_WEB_IDENTITY_TOKEN_FILE in the environment",
        };
        let session = session.as_deref().map(|text| Told {
            text,
            place: &"AWS_ROLE_SESSION_NAME in the environment",
        });
        sts.assume_with_token(role, file, session)
            .map(Found::Credentials)
    }

    fn by_instance(&self) -> Result<Found> {
        match self.instance()? {
            Ok(instance) => instance.credentials(self.net),
            Err(why) => Ok(Found::None(why)),
        }
    }
}

fn told(property: &Property) -> Told<'_> {
    Told {
        text: &property.value,
        place: property,
    }
}

fn checked_region(region: String, place: impl Display) -> Result<String> {
    Text::Region.check(&region, &place)?;
    if !is_region(&region) {
        return Err(Error::new(
            Kind::Config,
            "find the region of the KMS key",
            format!("{place} is not a region"),
        )
        .hint("Use a name like eu-central-1."));
    }
    Ok(region)
}

/// The keys in the environment.
fn environment() -> Result<Option<Credentials>> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    let Some(id) = variable(ID)? else {
        return Ok(None);
    };
    // The older name is still read by the SDKs.
    let secret = match variable(SECRET)? {
        Some(secret) => Some(secret),
        None => variable("SECRET_ACCESS_KEY")?,
    };
    let secret = secret.ok_or_else(|| {
        Error::new(
            Kind::Config,
            OP,
            format!("{ID} is set in the environment, but {SECRET} is not"),
        )
        .hint("Set both, or neither.")
    })?;
    let token = variable("AWS_SESSION_TOKEN")?;
    let token = token
        .as_deref()
        .map(|t| (t, &"AWS_SESSION_TOKEN in the environment" as &dyn Display));
    answer::make(
        (&id, &"AWS_ACCESS_KEY_ID in the environment"),
        (&secret, &"AWS_SECRET_ACCESS_KEY in the environment"),
        token,
    )
    .map(Some)
}
