//! Text: digits, times, and what a message may show of a text that came from outside.
//!
//! It must never see a secret: what it makes is for people.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// A text that came from outside (a file's header before it is authenticated, an answer of a service), for a
/// message: on one line, bounded, and nothing in it that a terminal or a log would obey.
pub fn clean(text: &str) -> String {
    text.chars()
        .take(600)
        .map(|c| if obeyed(c) { ' ' } else { c })
        .collect()
}

/// Control characters, and those that end a line or turn the direction of writing.
pub fn obeyed(c: char) -> bool {
    let invisible = [
        '\u{200e}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2066}'..='\u{2069}',
    ];
    c.is_control() || invisible.iter().any(|range| range.contains(&c))
}

/// The name or the owner of a key for lists, answers and messages: as it is, so that it can be pasted back, unless it holds what
/// can't be seen or is obeyed, or is no text at all: then its bytes beyond visible ASCII are escaped. A backslash is escaped
/// always, so that nothing looks like an escape.
pub fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_unseen) => text.into(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// What can't be seen or is obeyed, and the backslash, by which the others are escaped.
pub fn is_unseen(c: char) -> bool {
    obeyed(c)
        || c == '\\'
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || (c.is_whitespace() && c != ' ')
}

/// Values in messages: control characters escaped, at most 100 characters.
pub fn shorten(text: &str) -> String {
    text.chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The bytes that pairs of hexadecimal digits stand for; `None`: other text, nothing, or more than `most`.
pub fn from_hex(text: &str, most: usize) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 2 * most {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// A time in UTC for people (RFC 3339); empty where it is out of range.
pub fn utc(seconds: i64) -> String {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// The second that a text from outside means: a time from `now` on (`90m`, `12h`, `30d`, `2w`), a day (`2027-01-31`, its begin
/// in UTC) or a time (RFC 3339). `None`: it is neither, or more than 100 years away.
pub fn moment(text: &str, now: i64) -> Option<i64> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    const CENTURY: i64 = 100 * 366 * 86_400;
    let seconds = |unit: char| {
        Some(match unit {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        })
    };
    let digits =
        |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let unit = text.chars().next_back()?;
    let count = &text[..text.len() - unit.len_utf8()];
    let at = match (seconds(unit), digits(count)) {
        (Some(seconds), true) => {
            now.checked_add(count.parse::<i64>().ok()?.checked_mul(seconds)?)?
        }
        _ if text.len() <= 40 => {
            let whole = match text.len() {
                10 => format!("{text}T00:00:00Z"),
                _ => text.into(),
            };
            OffsetDateTime::parse(&whole, &Rfc3339)
                .ok()?
                .unix_timestamp()
        }
        _ => return None,
    };
    (at.checked_sub(now)?.abs() <= CENTURY).then_some(at)
}

/// What may have been meant by a name that nobody knows.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: String = name
        .chars()
        .take(64)
        .collect::<String>()
        .to_ascii_lowercase();
    let near = known.map(|k| (strsim::levenshtein(&name, k), k)).min();
    near.filter(|(distance, _)| *distance <= 3).map(|(_, k)| k)
}

/// The length of [`joined`].
pub const fn total(pieces: &[&str]) -> usize {
    let (mut total, mut i) = (0, 0);
    while i < pieces.len() {
        total += pieces[i].len();
        i += 1;
    }
    total
}

/// One text behind the other, while the program is compiled; `N` is their [`total`].
pub const fn joined<const N: usize>(pieces: &[&str]) -> [u8; N] {
    let (mut out, mut at, mut i) = ([0; N], 0, 0);
    while i < pieces.len() {
        let piece = pieces[i].as_bytes();
        let mut k = 0;
        while k < piece.len() {
            out[at] = piece[k];
            at += 1;
            k += 1;
        }
        i += 1;
    }
    out
}

/// What [`joined`] gave, as text.
pub const fn as_text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("texts that are joined are text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_pasted_back_and_hide_nothing() {
        for same in ["ssn", "clé", "鍵 1", "o'x@%", "\u{1f511}"] {
            assert_eq!(name(same.as_bytes()), same);
        }
        for (bytes, shown) in [
            (&b"a\nb"[..], "a\\nb"),
            (b"a\\nb", "a\\\\nb"),
            (b"cl\xe9", "cl\\xe9"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
            ("a\u{200b}b".as_bytes(), "a\\xe2\\x80\\x8bb"),
            ("a\u{a0}b".as_bytes(), "a\\xc2\\xa0b"),
        ] {
            assert_eq!(name(bytes), shown);
        }
    }

    #[test]
    fn a_text_from_outside_is_one_harmless_line() {
        let text = "a\n2026 [Note] b\u{1b}[2J\u{9b}c\u{202e}d\u{2028}é🔑";
        assert_eq!(clean(text), "a 2026 [Note] b [2J c d é🔑");
        assert_eq!(clean(&"x".repeat(10_000)).len(), 600);
    }

    #[test]
    fn digits_there_and_back() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(from_hex("00AbFF", 3), Some(vec![0, 0xab, 0xff]));
        for bad in ["", "0", "0g", "é0", "+1", "00000000"] {
            assert_eq!(from_hex(bad, 3), None, "{bad}");
        }
    }

    #[test]
    fn texts_are_joined_when_compiled() {
        const PIECES: [&str; 3] = ["a, ", "", "é"];
        const JOINED: [u8; total(&PIECES)] = joined(&PIECES);
        assert_eq!(as_text(&JOINED), "a, é");
    }

    #[test]
    fn moments_from_outside() {
        let now = 1_800_000_000;
        for (text, at) in [
            ("90m", now + 5_400),
            ("12h", now + 43_200),
            ("30d", now + 2_592_000),
            ("2w", now + 1_209_600),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T01:00:00+01:00", 1_801_353_600),
        ] {
            assert_eq!(moment(text, now), Some(at), "{text}");
        }
        let long = "9".repeat(1_000);
        for bad in [
            "",
            "d",
            "5",
            "5s",
            "-5d",
            "+5d",
            "5 d",
            "999999999w",
            "2027-13-01",
            "2127-12-01",
            "é",
            "5é",
            &long,
        ] {
            assert_eq!(moment(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
        assert_eq!(utc(i64::MAX), "");
    }
}
