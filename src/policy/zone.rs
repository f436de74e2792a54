//! Time zones by their names in the IANA database, as the system has it.
//!
//! Owns the reading of one, once, when a policy is loaded: afterwards no file is looked at. It must never follow a name out of the
//! database's folder.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::Path;

/// Where systems keep it.
const FOLDER: &str = "/usr/share/zoneinfo";
/// Longest name, and longest file, in bytes: the longest of the database have 30 and 4,000.
const MAX_NAME: usize = 64;
const MAX_FILE: u64 = 256 << 10;

/// A time zone.
#[derive(Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Reads the zone of this name.
    ///
    /// # Errors
    /// What is wrong: a sentence's end.
    pub fn read(name: &str) -> Result<Zone, String> {
        if name == "UTC" {
            return Ok(Zone::utc());
        }
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
        };
        if name.len() > MAX_NAME || !name.split('/').all(plain) {
            return Err("it is no name of a time zone, like Europe/Berlin".into());
        }
        let path = Path::new(FOLDER).join(name);
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
        if let Err(e) = read {
            return Err(match Path::new(FOLDER).is_dir() {
                true => format!("the system's time zones have none of that name ({e})"),
                false => format!(
                    "the system has no time zones in {FOLDER}: install the package tzdata, or use UTC"
                ),
            });
        }
        let rules = TimeZone::tzif(name, &bytes);
        let rules = rules.map_err(|_| format!("'{}' is no file of a time zone", path.display()))?;
        Ok(Zone(rules))
    }

    /// The one that needs no file.
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// How many seconds its clock is before that of UTC at a second since 1970.
    pub fn offset(&self, now: i64) -> i64 {
        // Out of range, which no clock shows: the offset of 1970.
        let at = Timestamp::from_second(now).unwrap_or_default();
        i64::from(self.0.to_offset(at).seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_by_name_and_never_from_elsewhere() {
        let berlin = Zone::read("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset(0), 3600);
        assert_eq!(Zone::read("UTC").unwrap().offset(i64::MAX), 0);
        assert_eq!(
            Zone::read("Asia/Kathmandu").unwrap().offset(1_800_000_000),
            20_700
        );
        for wrong in [
            "",
            "Europe",
            "Europe/Atlantis",
            "../../../etc/passwd",
            "/etc/passwd",
            "Europe/../UTC",
            "europe/berlin ",
            "tzdata.zi",
            &"A".repeat(65),
        ] {
            assert!(Zone::read(wrong).is_err(), "{wrong}");
        }
    }
}
