//! The providers: one row each ([`DRIVERS`]), and everything that is made from the rows.
//!
//! Owns what the rest may know of a provider before it is configured. A new provider is its folder and its row here
//! (docs/adding-a-provider.md); nothing else may name it.

pub use super::settings::Driver;

use crate::text::{as_text, joined, total};

/// Every provider, in the order in which people are told of them.
pub const DRIVERS: &[&Driver] = &[
    &super::file::DRIVER,
    &super::pkcs11::DRIVER,
    &super::aws_kms::DRIVER,
    &super::azure_key_vault::DRIVER,
    &super::gcp_kms::DRIVER,
    &super::alibaba_kms::DRIVER,
    &super::oci_vault::DRIVER,
    &super::vault::DRIVER,
    &super::kmip::DRIVER,
    &super::age::DRIVER,
    #[cfg(feature = "toy-provider")]
    &super::toy::DRIVER,
];

/// The driver of this name.
pub fn of_name(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().copied().find(|d| d.name == name)
}

/// The driver that a KEK of a list names: by its name, or by what is most often meant by it.
pub fn provider_of_name(name: &str) -> Option<&'static Driver> {
    match name {
        "passphrase" | "key_file" => of_name(super::file::DRIVER.name),
        name => of_name(name),
    }
}

/// How many options all drivers have.
pub const fn count_options() -> usize {
    let (mut count, mut i) = (0, 0);
    while i < DRIVERS.len() {
        count += DRIVERS[i].options.len();
        i += 1;
    }
    count
}

/// Two pieces for each driver: what stands between it and the one before, and its name or (`under`) what a keyring is
/// under.
const fn listed(under: bool) -> [&'static str; 2 * DRIVERS.len()] {
    let mut pieces = [""; 2 * DRIVERS.len()];
    let mut i = 0;
    while i < DRIVERS.len() {
        if i > 0 {
            pieces[2 * i] = if i + 1 == DRIVERS.len() { " or " } else { ", " };
        }
        pieces[2 * i + 1] = if under {
            DRIVERS[i].under
        } else {
            DRIVERS[i].name
        };
        i += 1;
    }
    pieces
}

/// All names, as they stand in a sentence: "file, pkcs11, aws_kms or age".
pub const NAMES: &str = {
    const PIECES: [&str; 2 * DRIVERS.len()] = listed(false);
    const BYTES: [u8; total(&PIECES)] = joined(&PIECES);
    as_text(&BYTES)
};

/// What a keyring can be under: "a passphrase, a key file, an HSM, AWS KMS or an age key".
pub const UNDER: &str = {
    const PIECES: [&str; 2 * DRIVERS.len()] = listed(true);
    const BYTES: [u8; total(&PIECES)] = joined(&PIECES);
    as_text(&BYTES)
};

/// What a driver makes of these values, the last one of each name, for tests.
#[cfg(test)]
pub(crate) fn read_of_tests<'a>(
    driver: &Driver,
    values: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
) -> crate::error::Result<Vec<super::KekConfig>> {
    use crate::options::Section;
    let last: std::collections::HashMap<&str, &str> = values.into_iter().copied().collect();
    let given = driver.options.iter();
    let given = given.filter_map(|o| Some((o.name, *last.get(o.name)?)));
    let path = std::path::Path::new("/k/f");
    (driver.read)(&Section::new(driver.options, given, "test", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_whole() {
        let mut names = HashSet::new();
        for driver in DRIVERS {
            assert!(names.insert(driver.name), "{} stands twice", driver.name);
            assert!(!driver.options.is_empty() && !driver.example.is_empty());
            for option in driver.options {
                assert_eq!(option.json.0, Some(driver.name), "{}", option.name);
                assert!(names.insert(option.name), "{} stands twice", option.name);
                let end = option.help.chars().next_back();
                assert!(end.is_some_and(|c| c != '.'), "{}", option.name);
            }
            for name in driver.instead.iter().copied().flatten() {
                assert!(driver.options.iter().any(|o| o.name == *name), "{name}");
            }
            assert_eq!(of_name(driver.name).unwrap().under, driver.under);
        }
        let three: Vec<&str> = DRIVERS[..3].iter().map(|d| d.name).collect();
        assert_eq!(three, ["file", "pkcs11", "aws_kms"]);
    }
}
