//! Which rotations are due, for somebody who watches.
//!
//! Owns the judgement: what is fine, what wants a look and what is late, by the days until a rotation is due. It must never
//! change a key.

use super::{Target, open_to_look};
use crate::error::Result;
use crate::key::logical::DAY;
use crate::key::of_server::Kind;
use crate::keyring::Keyring;
use crate::secret::SecretPool;

/// From when on something is to be told.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many days before a rotation is due.
    pub warning_days: u16,
    /// So many days after it was due it is late.
    pub critical_days: u16,
    /// How many days one of MySQL's master keys is used; 0: they are not looked at.
    pub master_days: u16,
}

/// How it stands, from fine to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// Due, or soon.
    Warning,
    /// Late.
    Critical,
}

/// A key that is to be rotated.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Which key, for people. It has no control characters.
    pub key: String,
    /// When its rotation is due, in seconds since 1970.
    pub due_at: i64,
    /// Whole days until then; below zero: so many since.
    pub days: i64,
    /// How that is to be taken.
    pub verdict: Verdict,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The worst of all.
    pub verdict: Verdict,
    /// Every key that has a time for its rotation, the first one first.
    pub rotations: Vec<Rotation>,
    /// Logical keys of which something may be destroyed now, because that was planned and is due.
    pub destructions_due: usize,
}

/// How the rotations of the keyring of `target` stand.
///
/// # Errors
/// All errors of opening a keyring.
pub fn report<'a>(target: impl Into<Target<'a>>, limits: &Limits) -> Result<Report> {
    let keyring = open_to_look(&target.into(), &SecretPool::new())?;
    of(&keyring, limits, crate::os::unix_seconds())
}

/// The same of an open keyring; `now` as seconds since 1970.
///
/// # Errors
/// A key that says which of the server's keys is current could not be read.
pub fn of(keyring: &Keyring, limits: &Limits, now: i64) -> Result<Report> {
    let logical = keyring.logical_keys();
    let mut rotations: Vec<Rotation> = (logical.iter())
        .filter(|key| !key.logical.has_expired(now))
        .filter_map(|key| {
            let due_at = key.logical.rotation_at()?;
            Some(judged(key.id.to_string(), due_at, limits, now))
        })
        .collect();
    if limits.master_days > 0 {
        let used = i64::from(limits.master_days) * DAY;
        for one in super::key_list::of_server(keyring)? {
            let what = match one.kind {
                Kind::InnoDb => "InnoDB master key",
                Kind::Log => "binary log master key",
            };
            if one.current {
                let due_at = one.key.created_at.saturating_add(used);
                let name = format!("{what} {}", one.number);
                rotations.push(judged(name, due_at, limits, now));
            }
        }
    }
    rotations.sort_by_key(|rotation| rotation.due_at);
    let due = |key: &&crate::keyring::logical::LogicalInfo| key.logical.has_destruction_due(now);
    let destructions_due = logical.iter().filter(due).count();
    let worst = rotations.iter().map(|rotation| rotation.verdict).max();
    let wanted = match destructions_due {
        0 => Verdict::Ok,
        _ => Verdict::Warning,
    };
    Ok(Report {
        verdict: worst.unwrap_or(Verdict::Ok).max(wanted),
        rotations,
        destructions_due,
    })
}

fn judged(key: String, due_at: i64, limits: &Limits, now: i64) -> Rotation {
    let left = due_at.saturating_sub(now);
    let late = i64::from(limits.critical_days) * DAY;
    let soon = i64::from(limits.warning_days) * DAY;
    let verdict = match left {
        left if left <= 0 && left <= late.saturating_neg() => Verdict::Critical,
        left if left <= soon => Verdict::Warning,
        _ => Verdict::Ok,
    };
    Rotation {
        key,
        due_at,
        days: left / DAY,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        warning_days: 14,
        critical_days: 7,
        master_days: 90,
    };

    #[test]
    fn each_day_has_its_verdict() {
        let on = |days: i64, limits: &Limits| judged(String::new(), days * DAY, limits, 0).verdict;
        for (days, verdict) in [
            (15, Verdict::Ok),
            (14, Verdict::Warning),
            (0, Verdict::Warning),
            (-6, Verdict::Warning),
            (-7, Verdict::Critical),
        ] {
            assert_eq!(on(days, &LIMITS), verdict, "{days}");
        }
        let at_once = Limits {
            warning_days: 0,
            critical_days: 0,
            ..LIMITS
        };
        assert_eq!(on(1, &at_once), Verdict::Ok);
        assert_eq!(on(0, &at_once), Verdict::Critical);
        // Clocks and files say any number.
        assert_eq!(
            judged(String::new(), i64::MIN, &LIMITS, i64::MAX).verdict,
            Verdict::Critical
        );
        assert_eq!(
            judged(String::new(), i64::MAX, &LIMITS, i64::MIN).verdict,
            Verdict::Ok
        );
    }
}
