//! Who one is: the metadata service of an instance, and STS with the tokens of an OIDC identity provider.

use super::super::{Answer, Request, World, value};
use super::{
    AUDIENCE, Alibaba, ISSUER, Issued, Outcome, PROVIDER_ARN, ROLE, ROLE_ARN, SUBJECT, check_time,
    name, parameters, random, refuse, request_id, utc,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use std::sync::LazyLock;

static OIDC_KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// A token of the identity provider with these claims.
pub fn oidc_token(claims: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "1"});
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; OIDC_KEY.public_modulus_len()];
    let random = SystemRandom::new();
    OIDC_KEY
        .sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// The claims of the pod that may assume the role; the token expires at `expires`, in seconds since 1970.
pub fn claims(expires: i64) -> Value {
    json!({"iss": ISSUER, "aud": [AUDIENCE], "sub": SUBJECT, "exp": expires, "iat": expires - 3600})
}

impl Alibaba {
    pub(super) fn metadata(&mut self, world: &World, request: &Request, path: &str) -> Answer {
        const ROLES: &str = "meta-data/ram/security-credentials/";
        let page = |status| Answer::text(status, "<html><head><title>No</title></head></html>");
        if world.get("metadata") == "off" {
            return page(403);
        }
        if (request.method.as_str(), path) == ("PUT", "api/token") {
            let life = request.header("x-aliyun-ecs-metadata-token-ttl-seconds");
            let life: i64 = match life.and_then(|life| life.parse().ok()) {
                Some(life) if (1..=21_600).contains(&life) => life,
                _ => return page(400),
            };
            let token = BASE64.encode(&random(33));
            self.metadata.insert(token.clone(), world.now() + life);
            return Answer::text(200, &token);
        }
        // The hardened mode: no token, no answer.
        let token = request.header("x-aliyun-ecs-metadata-token").unwrap_or("");
        let until = self.metadata.get(token).copied().unwrap_or(0);
        if until < world.now() {
            return page(403);
        }
        let role = match world.get("role") {
            "none" => return page(404),
            "" => ROLE,
            role => role,
        };
        match (request.method.as_str(), path.strip_prefix(ROLES)) {
            ("GET", Some("")) => Answer::text(200, role),
            ("GET", Some(asked)) if asked == role => match world.get("role_code") {
                "" => {
                    let mut given = self.issue(world);
                    given["Code"] = "Success".into();
                    given["LastUpdated"] = utc(world.now()).into();
                    Answer::json(200, &given)
                }
                code => Answer::json(200, &json!({"Code": code})),
            },
            _ => page(404),
        }
    }

    fn issue(&mut self, world: &World) -> Value {
        let life = world.get("life").parse().unwrap_or(3600);
        let id = format!("STS.N{}", name());
        let issued = Issued {
            secret: format!("HIDDENsecret{}", name()),
            token: format!("CAIShiddenToken{}", BASE64.encode(&random(120))),
            until: world.now() + life,
        };
        let given = json!({
            "AccessKeyId": id, "AccessKeySecret": issued.secret, "SecurityToken": issued.token,
            "Expiration": utc(issued.until),
        });
        self.issued.insert(id, issued);
        given
    }
}

impl Alibaba {
    pub(super) fn sts(&mut self, world: &World, request: &Request) -> Outcome {
        let given = parameters(request)?;
        let of = |name| value(&given, name);
        if of("Action") != "AssumeRoleWithOIDC" || of("Version") != "2015-04-01" {
            return refuse(
                404,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            );
        }
        if of("Format") != "JSON" {
            return Err(Answer::text(
                200,
                "<?xml version='1.0' encoding='UTF-8'?><AssumeRoleWithOIDCResponse/>",
            ));
        }
        check_time(world, of("Timestamp"))?;
        let life = of("DurationSeconds").parse().unwrap_or(3600);
        if !(900..=43_200).contains(&life) {
            return refuse(
                400,
                "InvalidParameter.DurationSeconds",
                "The Min/Max value of DurationSeconds is 15min/1hr.",
            );
        }
        if !(2..=64).contains(&of("RoleSessionName").len()) {
            return refuse(
                400,
                "InvalidParameter.RoleSessionName",
                "The parameter RoleSessionName is wrongly formed.",
            );
        }
        if of("RoleArn") != ROLE_ARN {
            return refuse(404, "EntityNotExist.Role", "The specified Role not exists.");
        }
        if of("OIDCProviderArn") != PROVIDER_ARN {
            return refuse(
                401,
                "AuthenticationFail.NoPermission",
                "No such OIDC Provider registered.",
            );
        }
        check_oidc(world, of("OIDCToken"))?;
        let credentials = self.issue(world);
        Ok(json!({
            "RequestId": request_id(), "Credentials": credentials,
            "AssumedRoleUser": {"AssumedRoleId": "33157794895460:x", "Arn": format!("{ROLE_ARN}/x")},
            "OIDCTokenInfo": {"Subject": SUBJECT, "Issuer": ISSUER, "ClientIds": AUDIENCE},
        }))
    }
}

fn check_oidc(world: &World, token: &str) -> Result<(), Answer> {
    let no = |what: &str, message: &str| {
        refuse(
            401,
            &format!("AuthenticationFail.OIDCToken.{what}"),
            message,
        )
    };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return no(
            "Invalid",
            "The number of Jwt field should be divided into 3 parts with '.' .",
        );
    };
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
    };
    let (Some(head), Some(of)) = (json(header), json(claims)) else {
        return no(
            "Invalid",
            "The Jwt content is invalid that cannot be recognized.",
        );
    };
    if head["alg"] != "RS256" {
        let message = format!(
            "The algorithm {} that be specified in Jwt header is unknown.",
            head["alg"]
        );
        return no("Invalid", &message);
    }
    let signed = format!("{header}.{claims}");
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes());
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, OIDC_KEY.public_key());
    if public
        .verify(signed.as_bytes(), &signature.unwrap_or_default())
        .is_err()
    {
        return no(
            "InvalidSignature",
            "OIDC token validate failed: invalid signature.",
        );
    }
    if of["exp"].as_i64().unwrap_or(0) <= world.now() {
        return no("Expired", "This JsonWebToken is expired.");
    }
    let audiences = of["aud"].as_array().cloned().unwrap_or_default();
    if !audiences.contains(&json!(AUDIENCE)) {
        return no("AudienceNotMatch", "Invalid audience.");
    }
    if of["iss"] != ISSUER || of["sub"] != SUBJECT {
        return refuse(
            401,
            "AuthenticationFail.NoPermission",
            "There is no permission",
        );
    }
    Ok(())
}
