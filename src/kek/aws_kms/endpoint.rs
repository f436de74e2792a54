//! Where AWS's services are: partitions, FIPS, IPv6.
//!
//! Owns the one table of partitions (AWS General Reference, "AWS service endpoints"; the same names as in AWS's SDKs). It
//! must never make a host of a text that was not checked as a region.

use super::AwsKmsConfig;
use super::errors::place_of_nothing;
use crate::error::Result;

/// How the regions of a partition begin, the domain of its hosts, and that of those with IPv6. Others are in the first.
const PARTITIONS: [(&str, &str, &str); 8] = [
    ("", "amazonaws.com", "api.aws"),
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("us-gov-", GOVERNMENT, "api.aws"),
];
/// The domain of the partition aws-us-gov.
const GOVERNMENT: &str = "amazonaws.com";

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Kms,
    Sts,
}

impl Service {
    /// Its name in host names and signatures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Service::Kms => "kms",
            Service::Sts => "sts",
        }
    }
}

/// The URL of a service, without a path.
pub(super) fn url(service: Service, config: &AwsKmsConfig, region: &str) -> Result<String> {
    let own = match service {
        Service::Kms => &config.endpoint_url,
        Service::Sts => &config.sts_endpoint_url,
    };
    match own {
        // Which host it is was said: there is no other one to choose.
        Some(_) if config.use_fips || config.use_dualstack => Err(place_of_nothing(region)),
        Some(url) => Ok(url.trim_end_matches('/').to_string()),
        None => Ok(public(
            service,
            region,
            config.use_fips,
            config.use_dualstack,
        )),
    }
}

fn public(service: Service, region: &str, fips: bool, dual: bool) -> String {
    let fitting = PARTITIONS
        .iter()
        .rfind(|(begin, ..)| region.starts_with(begin));
    let (begin, domain, domain6) = *fitting.unwrap_or(&PARTITIONS[0]);
    let domain = if dual { domain6 } else { domain };
    // There STS's plain host is the FIPS one.
    let plain = service == Service::Sts && begin == "us-gov-" && !dual;
    let suffix = if fips && !plain { "-fips" } else { "" };
    format!("https://{}{suffix}.{region}.{domain}", service.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_aws_publishes() {
        use Service::{Kms, Sts};
        for (service, region, fips, dual, host) in [
            (
                Kms,
                "eu-central-1",
                false,
                false,
                "kms.eu-central-1.amazonaws.com",
            ),
            (
                Kms,
                "us-east-1",
                true,
                false,
                "kms-fips.us-east-1.amazonaws.com",
            ),
            (Kms, "us-east-1", false, true, "kms.us-east-1.api.aws"),
            (Kms, "us-east-1", true, true, "kms-fips.us-east-1.api.aws"),
            (
                Kms,
                "cn-north-1",
                true,
                true,
                "kms-fips.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                Kms,
                "cn-northwest-1",
                false,
                false,
                "kms.cn-northwest-1.amazonaws.com.cn",
            ),
            (
                Kms,
                "us-gov-east-1",
                true,
                false,
                "kms-fips.us-gov-east-1.amazonaws.com",
            ),
            (
                Kms,
                "us-iso-east-1",
                false,
                false,
                "kms.us-iso-east-1.c2s.ic.gov",
            ),
            (
                Kms,
                "us-isob-east-1",
                true,
                false,
                "kms-fips.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                Kms,
                "eusc-de-east-1",
                false,
                false,
                "kms.eusc-de-east-1.amazonaws.eu",
            ),
            (Kms, "xx-new-9", false, false, "kms.xx-new-9.amazonaws.com"),
            (
                Sts,
                "us-east-1",
                false,
                false,
                "sts.us-east-1.amazonaws.com",
            ),
            (
                Sts,
                "us-west-2",
                true,
                false,
                "sts-fips.us-west-2.amazonaws.com",
            ),
            (
                Sts,
                "us-gov-west-1",
                true,
                false,
                "sts.us-gov-west-1.amazonaws.com",
            ),
            (
                Sts,
                "us-gov-east-1",
                true,
                true,
                "sts-fips.us-gov-east-1.api.aws",
            ),
            (
                Sts,
                "us-gov-east-1",
                false,
                true,
                "sts.us-gov-east-1.api.aws",
            ),
            (
                Sts,
                "us-isob-east-1",
                true,
                false,
                "sts-fips.us-isob-east-1.sc2s.sgov.gov",
            ),
        ] {
            assert_eq!(
                public(service, region, fips, dual),
                format!("https://{host}")
            );
        }
    }
}
