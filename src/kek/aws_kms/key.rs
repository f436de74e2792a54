//! How a key is named in AWS KMS: id, ARN, alias or alias ARN.
//!
//! It must never let through a name that is none of these.

use super::names::is_region;
use std::fmt;

/// How a key is named: id, ARN, alias or alias ARN (KMS Developer Guide, "Key identifiers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey(String);

impl KmsKey {
    /// Reads one of the four forms.
    pub fn parse(text: &str) -> Option<KmsKey> {
        let resource = match text.strip_prefix("arn:") {
            None => text,
            Some(rest) => {
                let mut parts = rest.splitn(5, ':');
                let (partition, service) = (parts.next()?, parts.next()?);
                let (region, account) = (parts.next()?, parts.next()?);
                let resource = parts.next()?;
                let ours = partition.starts_with("aws")
                    && service == "kms"
                    && is_region(region)
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && (resource.starts_with("alias/") || resource.starts_with("key/"));
                ours.then_some(resource.strip_prefix("key/").unwrap_or(resource))?
            }
        };
        let fits = match resource.strip_prefix("alias/") {
            Some(name) => {
                (1..=250).contains(&name.len())
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
            }
            None => {
                let digits = resource.strip_prefix("mrk-").unwrap_or(resource);
                (32..=36).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            }
        };
        fits.then(|| KmsKey(text.into()))
    }

    /// As it is configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region in the ARN.
    pub fn region(&self) -> Option<&str> {
        self.0.strip_prefix("arn:")?.split(':').nth(2)
    }

    /// The id without ARN; `None` for an alias, which may point to any key.
    pub fn id(&self) -> Option<&str> {
        let resource = self.0.rsplit(':').next()?;
        (!resource.starts_with("alias/")).then(|| resource.strip_prefix("key/").unwrap_or(resource))
    }

    /// `arn` may be this key. A multi-Region key has the same id in each of its regions.
    pub fn may_be(&self, arn: &str) -> bool {
        let other = arn.rsplit('/').next().unwrap_or(arn);
        self.id().is_none_or(|id| id == other)
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_four_forms_of_a_key() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let key = KmsKey::parse(ARN).unwrap();
        assert_eq!((key.region(), key.id()), (Some("eu-central-1"), Some(id)));
        assert!(key.may_be(ARN) && KmsKey::parse(id).unwrap().may_be(ARN));
        let mrk = KmsKey::parse("mrk-1234abcd12ab34cd56ef1234567890ab").unwrap();
        assert!(!mrk.may_be(ARN));
        assert!(
            mrk.may_be(
                "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
            )
        );
        let alias = KmsKey::parse("arn:aws-cn:kms:cn-north-1:111122223333:alias/db/prod").unwrap();
        assert_eq!((alias.region(), alias.id()), (Some("cn-north-1"), None));
        assert!(alias.may_be(ARN) && KmsKey::parse("alias/x").unwrap().may_be(ARN));
        for bad in [
            "",
            "x",
            "alias/",
            "alias/a b",
            "arn:aws:kms::1:key/x",
            "arn:aws:s3:::bucket",
        ] {
            assert_eq!(KmsKey::parse(bad), None, "{bad}");
        }
    }
}
