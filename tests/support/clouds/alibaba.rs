//! Alibaba Cloud as a fake: KMS, STS (AssumeRoleWithOIDC) and the metadata service of an instance with a RAM role.
//!
//! It verifies ACS3-HMAC-SHA256 (signature, which headers are signed, the body's hash, 15 minutes, nonces, security tokens),
//! permissions, the key's state and version, the encryption context; OIDC tokens by their signature, issuer, audience,
//! subject and expiry; the metadata service's token. Parameters may stand in the query and in a form, as with the real one.
//!
//! Settings: `state` of the key [`KEY`] (Enabled, Disabled, PendingDeletion, PendingImport, Unavailable), `version` (the number
//! of its current version, from 1 on), `lost_version` (one that is not there), `alias` (the id that alias/mysql names),
//! `denied` (actions that RAM denies, between commas), `access_key` (`inactive`, `unknown`), `signature` (`refused`: none
//! fits), `role` of the instance (`none`: it has none), `role_code` (what the metadata service says instead of Success),
//! `metadata` (`off`), `life` of temporary credentials in seconds.

pub mod identities;
mod keys;
pub mod signed;

use super::{Answer, Cloud, Request, World};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

pub const REGION: &str = "cn-hangzhou";
pub const ACCOUNT: &str = "113511544585";
/// Two symmetric keys of the account, and one that signs.
pub const KEY: &str = "key-hzz630494463ejqjx0001";
pub const OTHER_KEY: &str = "08ec3bb9-034f-485b-b1cd-3459baa889c7";
pub const RSA_KEY: &str = "key-hzz630494463ejqjx0003";
/// The access key of a RAM user.
pub const ACCESS_KEY_ID: &str = "LTAI5tKeyringWardFake01";
pub const ACCESS_KEY_SECRET: &str = "HIDDENsecretOfTheFakesAccessKey";
/// The role of the instance.
pub const ROLE: &str = "keyring-ward";
/// The role that a pod assumes, and who is trusted to say that it is that pod.
pub const ROLE_ARN: &str = "acs:ram::113511544585:role/keyring-ward-pod";
pub const PROVIDER_ARN: &str = "acs:ram::113511544585:oidc-provider/ack-rrsa-c1";
pub const ISSUER: &str = "https://oidc-ack-cn-hangzhou.example/c1";
pub const AUDIENCE: &str = "sts.aliyuncs.com";
pub const SUBJECT: &str = "system:serviceaccount:db:mysql";
/// How far a request's time may be off, in seconds.
const SKEW: i64 = 15 * 60;

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// 24 random letters and digits.
fn name() -> String {
    HEXLOWER.encode(&random(12))
}

/// Temporary credentials.
struct Issued {
    secret: String,
    token: String,
    until: i64,
}

/// The cloud.
#[derive(Default)]
pub struct Alibaba {
    nonces: BTreeSet<String>,
    issued: BTreeMap<String, Issued>,
    /// Tokens of the metadata service.
    metadata: BTreeMap<String, i64>,
}

type Outcome = Result<Value, Answer>;

impl Cloud for Alibaba {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer {
        let answer = match request.path.strip_prefix("/latest/") {
            Some(path) => self.metadata(world, request, path),
            None => {
                let outcome = match request.header("x-acs-action") {
                    Some(_) => self.kms(world, request),
                    None => self.sts(world, request),
                };
                match outcome {
                    Ok(value) => Answer::json(200, &value),
                    Err(answer) => answer,
                }
            }
        };
        let now = OffsetDateTime::from_unix_timestamp(world.now()).unwrap();
        let date = now.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        answer.header("Date", date)
    }
}

/// A refusal, as every service of Alibaba Cloud writes it.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "RequestId": request_id(), "HostId": "kms.cn-hangzhou.aliyuncs.com", "Code": code, "Message": message,
        "Recommend": format!("https://api.aliyun.com/troubleshoot?q={code}"),
    });
    Answer::json(status, &body)
}

fn refuse<T>(status: u16, code: &str, message: &str) -> Result<T, Answer> {
    Err(refusal(status, code, message))
}

fn request_id() -> String {
    uuid(&random(16))
}

fn uuid(bytes: &[u8]) -> String {
    let hex = HEXLOWER.encode(&bytes[..16]);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn utc(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    at.format(&Rfc3339).unwrap()
}

/// The time of a request is there, and not off by more than is allowed.
fn check_time(world: &World, text: &str) -> Result<(), Answer> {
    let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) else {
        return refuse(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        );
    };
    match (at.unix_timestamp() - world.now()).abs() > SKEW {
        true => refuse(
            400,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ),
        false => Ok(()),
    }
}

/// The parameters, wherever they stand; a form must say that it is one.
fn parameters(request: &Request) -> Result<Vec<(String, String)>, Answer> {
    let kind = request.header("content-type").unwrap_or("");
    let form = match kind.starts_with("application/x-www-form-urlencoded") {
        true => request.form(),
        false => Vec::new(),
    };
    Ok(request.query_pairs().into_iter().chain(form).collect())
}

impl Alibaba {
    fn kms(&mut self, world: &World, request: &Request) -> Outcome {
        self.verify(world, request)?;
        if request.header("x-acs-version") != Some("2016-01-20") {
            return refuse(
                400,
                "InvalidVersion",
                "Specified parameter Version is not valid.",
            );
        }
        let action = request.header("x-acs-action").unwrap_or("");
        let given = parameters(request)?;
        if world
            .get("denied")
            .split(',')
            .any(|denied| denied == action)
        {
            return refuse(
                403,
                "Forbidden.NoPermission",
                "This operation is forbidden by permission system.",
            );
        }
        let answer = match action {
            "GenerateDataKey" => keys::generate_data_key(world, &given),
            "Decrypt" => keys::decrypt(world, &given),
            _ => refuse(
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            ),
        }?;
        // The default of its interfaces is XML.
        match request.header("accept") == Some("application/json") {
            true => Ok(answer),
            false => Err(Answer::text(
                200,
                "<?xml version='1.0' encoding='UTF-8'?><KMS/>",
            )),
        }
    }
}
