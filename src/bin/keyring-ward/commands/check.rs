//! `keyring-ward check`: one line and an exit code, for a monitor.
//!
//! Owns the form that Nagios' plugins have: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, and behind a bar the figures. It must never
//! print more than one line, or a bar that is part of a name.

use super::{Aim, print, print_answer};
use crate::options::Keyring;
use keyring_ward::admin::rotation::{self, Limits, Report, Rotation, Verdict};
use keyring_ward::error::{Error, Result};
use serde_json::json;
use std::process::ExitCode;

/// Keys that the line names.
const NAMED: usize = 3;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub keyring: Keyring,
    /// Which rotations are due
    #[arg(long, required = true)]
    rotation: bool,
    /// WARNING from so many days before a rotation is due
    #[arg(long, value_name = "DAYS", default_value_t = 14)]
    warning: u16,
    /// CRITICAL from so many days after it was due
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    critical: u16,
    /// How long one of MySQL's master keys may be used (0: they are not looked at)
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    master_keys: u16,
}

pub fn run(args: &Args, json: bool) -> Result<ExitCode> {
    let limits = Limits {
        warning_days: args.warning,
        critical_days: args.critical,
        master_days: args.master_keys,
    };
    let report = rotation::report(Aim::to_look(&args.keyring)?.target(), &limits)?;
    match json {
        true => print_answer(answer(&report)),
        false => print(&line(&report, &limits)),
    }
    Ok(ExitCode::from(match report.verdict {
        Verdict::Ok => 0,
        Verdict::Warning => 1,
        Verdict::Critical => 2,
    }))
}

/// A keyring that does not open: nobody knows. The error itself goes to standard error as ever.
pub fn unknown(error: &Error) -> ExitCode {
    let why = one_line(&error.to_string());
    print(&format!("ROTATION UNKNOWN - {why}"));
    ExitCode::from(3)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "OK",
        Verdict::Warning => "WARNING",
        Verdict::Critical => "CRITICAL",
    }
}

/// Nothing that would end the line, or begin the figures.
fn one_line(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.replace('|', "/").chars().map(safe).collect()
}

fn when(rotation: &Rotation) -> String {
    match (rotation.verdict, rotation.days) {
        (_, days) if days > 0 => format!("in {days} days"),
        (Verdict::Ok, _) => "within a day".into(),
        (_, 0) => "now".into(),
        (_, days) => format!("since {} days", -days),
    }
}

fn line(report: &Report, limits: &Limits) -> String {
    let shown = |verdict| {
        let those = report.rotations.iter();
        those.filter(move |rotation: &&Rotation| rotation.verdict >= verdict)
    };
    let (wanting, all) = (shown(Verdict::Warning).count(), report.rotations.len());
    let named: Vec<String> = shown(Verdict::Warning)
        .take(NAMED)
        .map(|rotation| format!("{} {}", one_line(&rotation.key), when(rotation)))
        .collect();
    let mut says = match (wanting, report.rotations.first()) {
        (0, None) => "no key has a time for its rotation".to_string(),
        (0, Some(first)) => format!(
            "{all} keys, the next is {} {}",
            one_line(&first.key),
            when(first)
        ),
        _ => format!("{wanting} of {all} keys: {}", named.join("; ")),
    };
    if wanting > NAMED {
        says.push_str(&format!("; {} more", wanting - NAMED));
    }
    if report.destructions_due > 0 {
        says.push_str(&format!(
            "; {} planned destructions are due",
            report.destructions_due
        ));
    }
    let next = report.rotations.first().map_or(String::new(), |first| {
        format!(
            " next_days={};{}:;-{}:",
            first.days, limits.warning_days, limits.critical_days
        )
    });
    format!(
        "ROTATION {} - {says} | keys={all} wanting={wanting} late={} destructions_due={}{next}",
        word(report.verdict),
        shown(Verdict::Critical).count(),
        report.destructions_due
    )
}

fn answer(report: &Report) -> serde_json::Value {
    let rotations: Vec<serde_json::Value> = (report.rotations.iter())
        .map(|rotation| {
            json!({
                "key": rotation.key, "due_at": keyring_ward::text::utc(rotation.due_at),
                "days": rotation.days, "verdict": word(rotation.verdict),
            })
        })
        .collect();
    json!({
        "verdict": word(report.verdict), "rotations": rotations,
        "destructions_due": report.destructions_due,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(days: &[i64]) -> Report {
        let rotations: Vec<Rotation> = days
            .iter()
            .map(|days| Rotation {
                key: format!("'k|{days}\n' of 'a@%'"),
                due_at: 0,
                days: *days,
                verdict: match *days {
                    15.. => Verdict::Ok,
                    -6..=14 => Verdict::Warning,
                    _ => Verdict::Critical,
                },
            })
            .collect();
        let worst = rotations.iter().map(|r| r.verdict).max();
        Report {
            verdict: worst.unwrap_or(Verdict::Ok),
            rotations,
            destructions_due: 0,
        }
    }

    #[test]
    fn it_is_one_line_with_one_bar() {
        let limits = Limits {
            warning_days: 14,
            critical_days: 7,
            master_days: 0,
        };
        for (days, front) in [
            (
                &[][..],
                "ROTATION OK - no key has a time for its rotation |",
            ),
            (
                &[20, 30],
                "ROTATION OK - 2 keys, the next is 'k/20 ' of 'a@%' in 20 days |",
            ),
            (
                &[-9, -1, 0, 3, 99],
                "ROTATION CRITICAL - 4 of 5 keys: 'k/-9 ' of 'a@%' since 9 days; 'k/-1 ' of 'a@%' since 1 days; 'k/0 ' of 'a@%' now; 1 more |",
            ),
        ] {
            let line = line(&report(days), &limits);
            assert!(line.starts_with(front), "{line}");
            assert_eq!(line.matches('|').count(), 1, "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
        assert!(
            line(&report(&[-9]), &limits)
                .ends_with("keys=1 wanting=1 late=1 destructions_due=0 next_days=-9;14:;-7:")
        );
    }
}
