//! Options: what one is, and what its value may look like.
//!
//! Owns the words that general options and providers' options have in common; the general options are listed in
//! `config`, a provider's in its folder. It must never name a provider.

mod section;

pub use section::Section;

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text.
    Text,
    /// Texts separated by commas; in JSON an array of texts as well.
    List,
    /// True or false.
    Bool,
    /// A whole number.
    Number,
}

/// One option: its flat name (my.cnf group; plugin variables put `keyring_ward_` before it), its
/// place in JSON, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The flat name.
    pub name: &'static str,
    /// The place in JSON: an object's name and a member, or the member alone.
    pub json: (Option<&'static str>, &'static str),
    /// What it takes.
    pub kind: ValueKind,
    /// One line for people: the plugin variable's comment, the man page.
    pub help: &'static str,
    /// More than `help` for the reference of the options, in Markdown; empty where `help` says all.
    pub about: &'static str,
}

impl OptionSpec {
    /// An option that no section has.
    pub const fn general(name: &'static str, kind: ValueKind, help: &'static str) -> OptionSpec {
        OptionSpec {
            name,
            json: (None, name),
            kind,
            help,
            about: "",
        }
    }

    /// An option of the section `section` by its flat name, which begins with the section's and an underscore.
    pub const fn of(
        section: &'static str,
        name: &'static str,
        kind: ValueKind,
        help: &'static str,
    ) -> OptionSpec {
        let (before, member) = name.split_at(section.len() + 1);
        assert!(
            starts_with(before, section) && before.as_bytes()[section.len()] == b'_',
            "the name of a section's option begins with the section's name"
        );
        OptionSpec {
            name,
            json: (Some(section), member),
            kind,
            help,
            about: "",
        }
    }

    /// The same with a longer text for the reference.
    pub const fn about(self, about: &'static str) -> OptionSpec {
        OptionSpec { about, ..self }
    }
}

/// [`str::starts_with`], while the program is compiled.
const fn starts_with(text: &str, begin: &str) -> bool {
    let (text, begin) = (text.as_bytes(), begin.as_bytes());
    let mut i = 0;
    while i < begin.len() {
        if i >= text.len() || text[i] != begin[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether two texts are the same, while the program is compiled.
pub const fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && starts_with(a, b)
}

/// A number of bytes, as the server writes such numbers: with K, M or G behind it.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// MySQL's spellings of a boolean.
pub fn parse_bool(text: &str) -> Option<bool> {
    let is = |options: [&str; 3]| options.iter().any(|o| o.eq_ignore_ascii_case(text));
    if is(["1", "on", "true"]) {
        Some(true)
    } else if is(["0", "off", "false"]) {
        Some(false)
    } else {
        None
    }
}
