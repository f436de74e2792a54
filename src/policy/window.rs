//! When a rule holds: days, hours of the clock on the wall, and a first and a last moment.
//!
//! Owns what an hour is where clocks are changed: what counts is what the clock of the zone shows at the moment. An hour that it
//! shows twice is two hours long, one that it leaves out does not come that day. It must never read a file when a key is asked for.

use super::zone::Zone;
use std::sync::Arc;

/// Seconds of a day, and minutes.
const DAY: i64 = 86_400;
const MINUTES: u16 = 1_440;
/// The days' words; Monday is the first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// All days.
pub const EVERY_DAY: u8 = (1 << DAYS.len()) - 1;

/// Minutes of a day: from the first one to before the second. Where that is not later, the next day's is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u16,
    until: u16,
}

impl Hours {
    /// Reads `HH:MM-HH:MM`.
    ///
    /// # Errors
    /// What is wrong with it: a sentence's end.
    pub fn parse(text: &str) -> Result<Hours, &'static str> {
        const FORM: &str = "it is not of the form 22:00-06:00";
        let (from, until) = text.split_once('-').ok_or(FORM)?;
        let minute = |text: &str| {
            let bytes = text.as_bytes();
            let digit = |at: usize| {
                bytes
                    .get(at)
                    .filter(|b| b.is_ascii_digit())
                    .map(|b| u16::from(b - b'0'))
            };
            if bytes.len() != 5 || bytes[2] != b':' {
                return None;
            }
            let (hour, minute) = (digit(0)? * 10 + digit(1)?, digit(3)? * 10 + digit(4)?);
            let at = hour * 60 + minute;
            (minute < 60 && at <= MINUTES).then_some(at)
        };
        let (from, until) = (minute(from).ok_or(FORM)?, minute(until).ok_or(FORM)?);
        match from == until || from == MINUTES {
            true => Err("it ends where it begins; leave hours out for the whole day"),
            false => Ok(Hours { from, until }),
        }
    }
}

/// When a rule holds.
#[derive(Clone, Debug)]
pub struct Window {
    /// Days, as bits.
    pub days: u8,
    /// Hours; none: the whole day.
    pub hours: Box<[Hours]>,
    /// Whose clock shows them.
    pub zone: Arc<Zone>,
    /// The first second, since 1970.
    pub from: Option<i64>,
    /// The second after the last one, since 1970.
    pub until: Option<i64>,
}

impl Window {
    /// The rule holds at this second, since 1970.
    pub fn is_open(&self, now: i64) -> bool {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until)
        {
            return false;
        }
        if self.days == EVERY_DAY && self.hours.is_empty() {
            return true;
        }
        let local = now.saturating_add(self.zone.offset(now));
        let (day, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        // The first day of 1970 was a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        let on = |weekday: i64| self.days & (1 << weekday) != 0;
        if self.hours.is_empty() {
            return on(weekday);
        }
        let minute = (second / 60) as u16;
        let yesterday = (weekday + 6) % 7;
        self.hours
            .iter()
            .any(|hours| match hours.from < hours.until {
                true => (hours.from..hours.until).contains(&minute) && on(weekday),
                // A night belongs to the day on which it begins.
                false => {
                    minute >= hours.from && on(weekday) || minute < hours.until && on(yesterday)
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(days: u8, hours: &[&str], zone: &str) -> Window {
        Window {
            days,
            hours: hours.iter().map(|h| Hours::parse(h).unwrap()).collect(),
            zone: Arc::new(Zone::read(zone).unwrap()),
            from: None,
            until: None,
        }
    }

    fn at(text: &str) -> i64 {
        use time::{OffsetDateTime, format_description::well_known::Rfc3339};
        OffsetDateTime::parse(text, &Rfc3339)
            .unwrap()
            .unix_timestamp()
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let backup = window(EVERY_DAY, &["01:00-03:00"], "Europe/Berlin");
        for (moment, open) in [
            ("2026-01-10T00:59:59+01:00", false),
            ("2026-01-10T01:00:00+01:00", true),
            ("2026-01-10T02:59:59+01:00", true),
            ("2026-01-10T03:00:00+01:00", false),
            ("2026-07-10T01:00:00+02:00", true),
            ("2026-07-10T00:59:59+02:00", false),
        ] {
            assert_eq!(backup.is_open(at(moment)), open, "{moment}");
        }
    }

    /// Clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
    #[test]
    fn an_hour_that_is_left_out_does_not_come_and_one_that_comes_twice_is_long() {
        let hour = window(EVERY_DAY, &["02:00-03:00"], "Europe/Berlin");
        let spring = at("2026-03-29T00:00:00Z");
        assert_eq!((0..DAY).filter(|s| hour.is_open(spring + s)).count(), 0);
        let autumn = at("2026-10-25T00:00:00Z");
        let open: Vec<i64> = (0..DAY).filter(|s| hour.is_open(autumn + s)).collect();
        assert_eq!((open.len(), open[0], open[7199]), (7200, 0, 7199));
        let usual = at("2026-05-01T00:00:00+02:00");
        assert_eq!((0..DAY).filter(|s| hour.is_open(usual + s)).count(), 3600);
        // A window over the change is shorter, or longer, by that hour.
        let night = window(EVERY_DAY, &["01:00-04:00"], "Europe/Berlin");
        assert_eq!(
            (-7200..DAY / 2)
                .filter(|s| night.is_open(spring + s))
                .count(),
            7200
        );
        let open = (-7200..DAY / 2)
            .filter(|s| night.is_open(autumn + s))
            .count();
        assert_eq!(open, 4 * 3600);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let friday = window(1 << 4, &["22:00-06:00"], "UTC");
        // 2 January 2026 was a Friday.
        for (moment, open) in [
            ("2026-01-02T05:00:00Z", false),
            ("2026-01-02T22:00:00Z", true),
            ("2026-01-03T05:59:59Z", true),
            ("2026-01-03T06:00:00Z", false),
            ("2026-01-03T22:00:00Z", false),
        ] {
            assert_eq!(friday.is_open(at(moment)), open, "{moment}");
        }
        let day = window(1 << 4, &[], "UTC");
        assert!(
            day.is_open(at("2026-01-02T00:00:00Z")) && !day.is_open(at("2026-01-03T00:00:00Z"))
        );
        // Before 1970 too: 31 December 1969 was a Wednesday.
        assert!(window(1 << 2, &["23:00-24:00"], "UTC").is_open(-1));
    }

    #[test]
    fn a_maintenance_has_a_first_and_a_last_second() {
        let mut window = window(EVERY_DAY, &[], "UTC");
        (window.from, window.until) = (Some(100), Some(200));
        let open: Vec<i64> = [99, 100, 199, 200]
            .into_iter()
            .filter(|s| window.is_open(*s))
            .collect();
        assert_eq!(open, [100, 199]);
    }

    #[test]
    fn what_is_no_hour_is_refused() {
        for wrong in [
            "",
            "1:00-2:00",
            "01:00",
            "01:00-01:00",
            "24:00-01:00",
            "01:60-02:00",
            "25:00-26:00",
            "01:00-02:00-03:00",
            "01.00-02.00",
            "01:00-0２:00",
            "-1:00-02:00",
        ] {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Hours::parse("23:59-24:00").is_ok() && Hours::parse("00:00-24:00").is_ok());
    }

    proptest! {
        /// A window and what is left of the day are the day.
        #[test]
        fn a_window_and_its_rest_are_the_whole(from in 0u16..1440, until in 0u16..1440, second in -4_000_000_000i64..8_000_000_000) {
            prop_assume!(from != until);
            let text = |a: u16, b: u16| format!("{:02}:{:02}-{:02}:{:02}", a / 60, a % 60, b / 60, b % 60);
            let [one, other] = [text(from, until), text(until, from)].map(|h| window(EVERY_DAY, &[&h], "UTC"));
            prop_assert!(one.is_open(second) != other.is_open(second));
        }
    }
}
