//! Patterns of names: `*` is any text, `?` one character, and a backslash takes the next character as it is.
//!
//! Owns how one is read and what it matches. A match takes no time that grows faster than pattern times text, and allocates nothing.

/// Longest pattern in bytes: a name of 255 characters of UTF-8, each escaped.
pub const MAX_PATTERN: usize = 255 * 5;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Any text.
    Any,
    /// This text.
    Literal(Box<[u8]>),
    /// Anything else.
    Glob(Box<Glob>),
    /// An account: a name like the first, and behind the last @ a host like the second.
    Account(Box<[Pattern; 2]>),
}

/// A pattern with wildcards: what it begins and ends with is looked at first, because that costs least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// The bytes before the first wildcard.
    prefix: Box<[u8]>,
    /// The bytes behind the last `*`, where no `?` is among them.
    suffix: Box<[u8]>,
    /// Nothing but one `*` is between the two.
    is_simple: bool,
    pieces: Box<[Piece]>,
}

impl Glob {
    fn of(pieces: Vec<Piece>) -> Glob {
        let byte = |piece: &Piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::One | Piece::Many => None,
        };
        let prefix: Box<[u8]> = pieces.iter().map_while(byte).collect();
        let last = pieces.iter().rposition(|piece| *piece == Piece::Many);
        let suffix = last.and_then(|last| pieces[last + 1..].iter().map(byte).collect());
        let suffix: Box<[u8]> = suffix.unwrap_or_default();
        let is_simple = last.is_some() && prefix.len() + 1 + suffix.len() == pieces.len();
        Glob {
            prefix,
            suffix,
            is_simple,
            pieces: pieces.into(),
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        text.len() >= self.prefix.len() + self.suffix.len()
            && text.ends_with(&self.suffix)
            && text.starts_with(&self.prefix)
            && (self.is_simple || glob(&self.pieces, text))
    }
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This byte.
    Byte(u8),
    /// One character.
    One,
    /// Any text.
    Many,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it: a sentence's end.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        if text.is_empty() {
            return Err("it is empty; \"*\" matches everything");
        }
        if text.len() > MAX_PATTERN {
            return Err("it is longer than 1,275 bytes");
        }
        let mut pieces = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                // Several are as good as one, and one takes less time.
                b'*' if pieces.last() == Some(&Piece::Many) => {}
                b'*' => pieces.push(Piece::Many),
                b'?' => pieces.push(Piece::One),
                b'\\' => match bytes.next() {
                    Some(byte) => pieces.push(Piece::Byte(byte)),
                    None => {
                        return Err(
                            "it ends with a backslash, behind which a character is missing",
                        );
                    }
                },
                byte => pieces.push(Piece::Byte(byte)),
            }
        }
        if pieces == [Piece::Many] {
            return Ok(Pattern::Any);
        }
        let byte = |piece: &Piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::One | Piece::Many => None,
        };
        match pieces.iter().map(byte).collect::<Option<Box<[u8]>>>() {
            Some(literal) => Ok(Pattern::Literal(literal)),
            None => Ok(Pattern::Glob(Box::new(Glob::of(pieces)))),
        }
    }

    /// Reads a pattern of an account or a login, `user@host`. Names have an @ as well: what stands for the host matches no part of one, or
    /// `app@*` would be `app@elsewhere` at home, too.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_account(text: &str) -> Result<Pattern, &'static str> {
        let whole = Pattern::parse(text)?;
        let parts = text.rsplit_once('@');
        let parts = parts.filter(|(name, _)| !name.ends_with('\\'));
        let (Pattern::Glob(_), Some((name, host))) = (&whole, parts) else {
            return Ok(whole);
        };
        let part = |text: &str| match text {
            "" => Ok(Pattern::Literal(Box::default())),
            text => Pattern::parse(text),
        };
        Ok(Pattern::Account(Box::new([part(name)?, part(host)?])))
    }

    /// It matches all of the text.
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Literal(literal) => **literal == *text,
            Pattern::Glob(glob) => glob.matches(text),
            Pattern::Account(parts) => match text.iter().rposition(|byte| *byte == b'@') {
                Some(at) => parts[0].matches(&text[..at]) && parts[1].matches(&text[at + 1..]),
                None => false,
            },
        }
    }

    /// What every text begins with that it matches.
    pub fn prefix(&self) -> &[u8] {
        match self {
            Pattern::Any => &[],
            Pattern::Literal(literal) => literal,
            Pattern::Glob(glob) => &glob.prefix,
            Pattern::Account(parts) => parts[0].prefix(),
        }
    }

    /// The only text that it matches; `None`: there are several.
    pub fn literal(&self) -> Option<&[u8]> {
        match self {
            Pattern::Literal(literal) => Some(literal),
            Pattern::Any | Pattern::Glob(_) | Pattern::Account(_) => None,
        }
    }
}

/// The length of the character that a text begins with: 1 where it is none.
fn character(text: &[u8]) -> usize {
    let length = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    match text.get(..length).map(std::str::from_utf8) {
        Some(Ok(_)) => length,
        _ => 1,
    }
}

/// Only the last `*` before a place is ever tried again: whatever an earlier one could take, the last one can.
fn glob(pieces: &[Piece], text: &[u8]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        let step = match pieces.get(piece) {
            Some(Piece::Many) => {
                again = Some((piece + 1, at));
                piece += 1;
                continue;
            }
            Some(Piece::Byte(byte)) if text.get(at) == Some(byte) => Some(1),
            Some(Piece::One) if at < text.len() => Some(character(&text[at..])),
            None if at == text.len() => return true,
            _ => None,
        };
        match (step, &mut again) {
            (Some(step), _) => (piece, at) = (piece + 1, at + step),
            (None, Some((behind, from))) if *from < text.len() => {
                *from += 1;
                (piece, at) = (*behind, *from);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &[u8]) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn stars_question_marks_and_what_is_escaped() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("app@%", "app@%", true),
            ("app@%", "app@localhost", false),
            ("app@*", "app@localhost", true),
            ("app@*", "app2@localhost", false),
            ("*@localhost", "@localhost", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aüc", true),
            ("a??c", "aüc", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\?", "a?", true),
            ("\\\\", "\\", true),
            ("a**b", "ab", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("pay*-20??", "payments-2026", true),
            ("'q\"`@%", "'q\"`@%", true),
            ("x_%", "x_%", true),
            ("x_%", "xy%", false),
        ] {
            assert_eq!(
                matches(pattern, text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        // Not UTF-8: a byte is a character.
        assert!(matches("a?b", b"a\xffb") && matches("a?b*", b"a\xc3b"));
        assert!(Pattern::parse("").is_err() && Pattern::parse("a\\").is_err());
        assert!(Pattern::parse(&"a".repeat(MAX_PATTERN + 1)).is_err());
        assert_eq!(Pattern::parse("a\\*").unwrap().literal(), Some(&b"a*"[..]));
        assert_eq!(Pattern::parse("**").unwrap(), Pattern::Any);
        let prefix = |text: &str| Pattern::parse(text).unwrap().prefix().to_vec();
        assert_eq!(
            [prefix("a\\*b*c"), prefix("abc"), prefix("?a")],
            [b"a*b".to_vec(), b"abc".to_vec(), vec![]]
        );
    }

    #[test]
    fn a_host_is_what_stands_behind_the_last_at() {
        for (pattern, text, expected) in [
            ("app@*", "app@%", true),
            ("app@*", "app@elsewhere@%", false),
            ("app@*", "app", false),
            ("app@10.?", "app@10.7", true),
            ("*@localhost", "a@b@localhost", true),
            ("*@localhost", "a@localhost@%", false),
            ("*@*", "@", true),
            ("@*", "@localhost", true),
            ("@*", "a@localhost", false),
            ("a@b@*", "a@b@%", true),
            ("app*", "app@elsewhere@%", true),
            ("*", "a@b", true),
            ("app@%", "app@%", true),
            ("app\\@*", "app@h", true),
        ] {
            let parsed = Pattern::parse_account(pattern).unwrap();
            assert_eq!(
                parsed.matches(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(
            Pattern::parse_account("a\\*@%")
                .unwrap()
                .literal()
                .is_some()
        );
    }

    /// A pattern that would take for ever where each star is tried anew.
    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = "*a".repeat(600);
        let text = "a".repeat(599) + &"b".repeat(400);
        let begin = std::time::Instant::now();
        assert!(!matches(&pattern, text.as_bytes()));
        assert!(begin.elapsed().as_secs() < 5);
    }

    /// The same in its slowest and plainest form.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                plainly(rest, text) || text.split_first().is_some_and(|(_, t)| plainly(pattern, t))
            }
            (Some(('?', rest)), Some((_, text))) => plainly(rest, text),
            (Some((c, rest)), Some((t, text))) => c == t && plainly(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_plain_form_matches(pattern in "[ab*?ü]{1,9}", text in "[abü]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, text.as_bytes()), plainly(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn what_is_escaped_matches_itself_alone(text in ".{1,40}", other in ".{0,40}") {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(matches(&escaped, text.as_bytes()));
            prop_assert_eq!(matches(&escaped, other.as_bytes()), text == other);
        }
    }
}
