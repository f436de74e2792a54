//! What a keyring has, beside what a server acknowledged.
//!
//! Owns what is lost, wrong or back. A dump is lines "NAME HASH", acknowledgements are lines "ack put NAME HASH",
//! "ack remove NAME" and "NULL" for a change that was answered with a failure, in the order in which they were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A dump, by name.
fn dump(text: &str) -> BTreeMap<&str, &str> {
    let line = |line| match words(line)[..] {
        [] => None,
        [name] => Some((name, "")),
        [name, hash, ..] => Some((name, hash)),
    };
    text.lines().filter_map(line).collect()
}

/// A stream of changes as torture.sh makes it: the change number i is of the name PREFIXi, every fourth one removes the
/// name of three before.
pub struct Stream<'a> {
    /// What the names begin with.
    pub prefix: &'a str,
    /// Answers behind this line came after a power cut had begun: a real one leaves nobody to answer, so they promise
    /// nothing (ext4's shutdown lets an fdatasync that it overtakes return 0).
    pub last: usize,
    /// Every failure is forgiven, not the first alone.
    pub stock: bool,
}

impl Stream<'_> {
    fn name(&self, change: usize) -> String {
        let of = if change % 4 == 3 { change - 3 } else { change };
        format!("{}{of}", self.prefix)
    }

    /// Lines "LOST NAME", "WRONG NAME" and "BACK NAME". Of the change after the last answer, and of the first one that was
    /// answered with a failure, the outcome is unknown (a failed fdatasync).
    pub fn compare(&self, base: &str, acks: &str, now: &str) -> String {
        let mut want: BTreeMap<&str, &str> = dump(base);
        let have = dump(now);
        let (mut unknown, mut change, mut failed) = (BTreeSet::new(), 0, false);
        for (line, ack) in acks.lines().enumerate() {
            if line >= self.last {
                unknown.insert(self.name(change));
                change += 1;
                continue;
            }
            match words(ack)[..] {
                ["ack", "put", name, ref hash @ ..] => {
                    want.insert(name, hash.first().copied().unwrap_or(""));
                }
                ["ack", _, name, ..] => {
                    want.remove(name);
                }
                ["NULL", ..] => {
                    if self.stock || !failed {
                        unknown.insert(self.name(change));
                    }
                    failed |= !self.stock;
                }
                _ => continue,
            }
            change += 1;
        }
        if !failed {
            unknown.insert(self.name(change));
        }
        let mut said = String::new();
        let mut say = |word: &str, name: &str| {
            let _ = writeln!(said, "{word} {name}");
        };
        for (name, hash) in &want {
            match have.get(name) {
                None if unknown.contains(*name) => {}
                None => say("LOST", name),
                Some(there) if there != hash => say("WRONG", name),
                Some(_) => {}
            }
        }
        for name in have.keys() {
            if !want.contains_key(name) && !unknown.contains(*name) {
                say("BACK", name);
            }
        }
        said
    }
}

/// After a disk that was full: how many acknowledged keys are lost or wrong, how many keys "f…" are served though nobody
/// acknowledged them, how many were acknowledged. `acks` are lines "ok NAME HASH", others are failures.
pub fn full(acks: &str, now: &str) -> String {
    let have = dump(now);
    let mut want = BTreeMap::new();
    for line in acks.lines() {
        if let ["ok", name, ref hash @ ..] = words(line)[..] {
            want.insert(name, hash.first().copied().unwrap_or(""));
        }
    }
    let lost = want
        .iter()
        .filter(|(name, hash)| have.get(*name) != Some(hash));
    let extra = have
        .keys()
        .filter(|name| name.starts_with('f') && !want.contains_key(*name));
    format!("{} {} {}\n", lost.count(), extra.count(), want.len())
}

/// How many keys whose names begin with "base" a JSON file of the stock component has; 0 where it is not whole.
pub fn stock_keys(file: &str) -> usize {
    let text = file.trim();
    // One line of text without white space, as that component writes it, or nothing that it opens either.
    match text.starts_with('{') && text.ends_with("]}") && text.contains("\"elements\":[") {
        true => text.matches("\"data_id\":\"base").count(),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream<'_> = Stream {
        prefix: "r",
        last: usize::MAX,
        stock: false,
    };
    const BASE: &str = "base0 00\nbase1 01\n";
    const ACKS: &str = "ack put r0 a\nack put r1 b\nack put r2 c\nack remove r0\n";

    #[test]
    fn what_was_acknowledged_and_is_there_is_no_word() {
        let now = "base0 00\nbase1 01\nr1 b\nr2 c\n";
        assert_eq!(STREAM.compare(BASE, ACKS, now), "");
        // The change behind the last answer is there or not.
        assert_eq!(STREAM.compare(BASE, ACKS, &format!("{now}r4 d\n")), "");
    }

    #[test]
    fn lost_wrong_and_back_are_said() {
        let now = "base0 00\nr0 a\nr1 other\nr2 c\nr5 e\n";
        let said = STREAM.compare(BASE, ACKS, now);
        assert_eq!(said, "LOST base1\nWRONG r1\nBACK r0\nBACK r5\n");
    }

    #[test]
    fn the_first_failure_is_forgiven_and_every_one_of_the_stock_component() {
        let acks = "ack put r0 a\nNULL\nNULL\nsome other line\n";
        let now = "base0 00\nbase1 01\nr0 a\nr1 b\nr2 c\n";
        assert_eq!(STREAM.compare(BASE, acks, now), "BACK r2\n");
        let stock = Stream {
            stock: true,
            ..STREAM
        };
        assert_eq!(stock.compare(BASE, acks, now), "");
    }

    #[test]
    fn answers_after_the_cut_promise_nothing() {
        let cut = Stream { last: 2, ..STREAM };
        assert_eq!(
            cut.compare(BASE, ACKS, "base0 00\nbase1 01\nr0 a\nr1 b\n"),
            ""
        );
        let said = cut.compare(BASE, ACKS, "base0 00\nbase1 01\nr1 b\n");
        // The removal of r0 is unknown, so that it may lack.
        assert_eq!(said, "");
        assert_eq!(
            cut.compare(BASE, ACKS, "base0 00\nbase1 01\nr0 a\n"),
            "LOST r1\n"
        );
    }

    #[test]
    fn a_full_disk_is_judged() {
        let acks = "ok f1 a\nok f2 b\nNULL f3 \nok f4 d\n";
        assert_eq!(full(acks, "base0 0\nf1 a\nf2 b\nf4 d\n"), "0 0 3\n");
        assert_eq!(full(acks, "base0 0\nf1 x\nf3 c\nf4 d\n"), "2 1 3\n");
    }

    #[test]
    fn half_a_stock_file_has_no_keys() {
        let whole = r#"{"version":"1.0","elements":[{"user":"u","data_id":"base0","data":"00"},{"data_id":"c1"},{"data_id":"base1"}]}"#;
        assert_eq!(stock_keys(whole), 2);
        assert_eq!(stock_keys(&whole[..whole.len() - 2]), 0);
        assert_eq!(stock_keys(""), 0);
    }
}
