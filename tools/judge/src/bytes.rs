//! Looks for bytes: in files, in core images, in the memory of a process.
//!
//! Owns how is counted. It must never print what it looks for.

use crate::Result;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

/// The bytes of hexadecimal digits.
///
/// # Errors
/// They are none.
pub fn from_hex(hex: &str) -> Result<Vec<u8>> {
    let pair = |two: &[u8]| {
        let digits = std::str::from_utf8(two).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    let bytes = bytes.filter(|b| !b.is_empty() && hex.len().is_multiple_of(2));
    bytes.ok_or_else(|| "the hexadecimal digits are none.".into())
}

/// Where `what` stands in `bytes`. Looks for its first byte first: memory is large.
fn places<'a>(bytes: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = what.first().copied();
    let firsts = bytes
        .iter()
        .enumerate()
        .filter(move |(_, b)| Some(**b) == first);
    let at = firsts.map(|(at, _)| at);
    at.filter(move |at| bytes[*at..].starts_with(what))
}

/// How often `what` stands in `bytes`, where it overlaps itself too.
pub fn count(bytes: &[u8], what: &[u8]) -> usize {
    places(bytes, what).count()
}

/// How often the bytes or their digits stand there one behind the other, letters in any case.
///
/// # Errors
/// The digits are none.
pub fn told(bytes: &[u8], hex: &str) -> Result<usize> {
    let (raw, digits) = (from_hex(hex)?, hex.as_bytes());
    let begins = |at: usize, with: &[u8]| {
        bytes[at..]
            .get(..with.len())
            .is_some_and(|there| there.eq_ignore_ascii_case(with))
    };
    let (mut at, mut found) = (0, 0);
    while at < bytes.len() {
        let there = [&raw[..], digits].into_iter().find(|with| begins(at, with));
        found += usize::from(there.is_some());
        at += there.map_or(1, <[u8]>::len);
    }
    Ok(found)
}

/// Changes one bit of the byte at `at`, another one for each of eight places.
///
/// # Errors
/// The file ends before it.
pub fn flip(mut bytes: Vec<u8>, at: usize) -> Result<Vec<u8>> {
    let byte = bytes.get_mut(at).ok_or("the file ends before that byte.")?;
    *byte ^= 1 << (at % 8);
    Ok(bytes)
}

const STEP: u64 = 1 << 20;

/// At how many places of a process's memory each word stands, in a line.
///
/// # Errors
/// The memory can't be read at all.
pub fn memory(pid: u32, words: &[&str]) -> Result<String> {
    let cannot = |what: &str, e: std::io::Error| format!("/proc/{pid}/{what} can't be read: {e}.");
    let maps =
        std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| cannot("maps", e))?;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).map_err(|e| cannot("mem", e))?;
    let mut found = vec![BTreeSet::new(); words.len()];
    // Parts overlap, for a word that lies across the border of two.
    let mut part = vec![0; STEP as usize + 64];
    for (from, to) in maps.lines().filter_map(readable) {
        let mut at = from;
        while at < to {
            let size = (to - at).min(STEP + 64) as usize;
            let Ok(read @ 1..) = memory.read_at(&mut part[..size], at) else {
                break;
            };
            for (word, places_of_word) in words.iter().zip(&mut found) {
                let here = places(&part[..read], word.as_bytes());
                places_of_word.extend(here.map(|i| at + i as u64));
            }
            at += STEP;
        }
    }
    let counts: Vec<_> = found.iter().map(|p| p.len().to_string()).collect();
    Ok(counts.join(" ") + "\n")
}

/// From where to where a line of `maps` goes, where that can be read and is not the kernel's own.
fn readable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let mode = rest.split(' ').next()?;
    let (from, to) = range.split_once('-')?;
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    (mode.contains('r') && !line.contains("[v")).then_some((hex(from)?, hex(to)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_that_overlap_are_counted() {
        assert_eq!(count(b"aaaa-aa", b"aa"), 4);
        assert_eq!(count(b"a", b"aa"), 0);
    }

    #[test]
    fn digits_of_any_case_and_the_bytes_themselves_are_told() {
        // "kE" is 6b45.
        assert_eq!(told(b"kE 6b45 6B45 Ke 6b 45", "6b45").unwrap(), 4);
        assert_eq!(told(b"nothing", "6b45").unwrap(), 0);
        assert!(told(b"x", "6b4").is_err() && told(b"x", "").is_err() && told(b"x", "xy").is_err());
    }

    #[test]
    fn one_bit_is_changed_and_back() {
        let once = flip(vec![0; 16], 10).unwrap();
        assert_eq!((once[10], once.iter().filter(|b| **b != 0).count()), (4, 1));
        assert_eq!(flip(once, 10).unwrap(), [0; 16]);
        assert!(flip(vec![0], 1).is_err());
    }

    #[test]
    fn a_word_of_this_process_is_found_and_another_is_not() {
        let there: String = ["a word", "that is", "here"].join("-");
        let said = memory(std::process::id(), &[&there]).unwrap();
        assert_ne!(said, "0\n");
        assert_eq!(readable("7f00-7f10 ---p 0 0:0 0"), None);
        assert_eq!(readable("7f00-7f10 r--p 0 0:0 0 [vvar]"), None);
        assert_eq!(readable("7f00-7f10 rw-p 0 0:0 0"), Some((0x7f00, 0x7f10)));
    }
}
