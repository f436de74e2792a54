//! The server's command line as mysqld 9.7 divides it: `--name=value`, `--name value`, `loose-` and the like before a name,
//! short options that stand together.
//!
//! Owns that division; what an option means is said elsewhere. It must never take a value for an option, as far as that can be seen
//! without the list of all options.

use std::ffi::OsString;

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its long name with dashes, without `loose-`, `maximum-`, `enable-` or `skip-`.
    pub name: String,
    /// What is written behind `=`, or behind a short option's letter; `0` for `skip-` and `disable-`, `1` for `enable-`.
    pub value: Option<String>,
    /// The argument that follows: the value of an option that needs one and has none.
    pub next: Option<String>,
}

impl Argument {
    /// The value of an option that needs one.
    pub fn needed(self) -> Option<String> {
        self.value.or(self.next)
    }

    /// The option is switched on: it has no value, or none that means off.
    pub fn is_on(&self) -> bool {
        let off = ["0", "off", "false"];
        let value = self.value.as_deref().unwrap_or("1");
        !off.iter().any(|o| o.eq_ignore_ascii_case(value))
    }
}

/// Short options with a value, and their long names.
const WITH_VALUE: [(char, &str); 7] = [
    ('u', "user"),
    ('h', "datadir"),
    ('b', "basedir"),
    ('C', "character-set-server"),
    ('P', "port"),
    ('r', "chroot"),
    ('t', "tmpdir"),
];
/// Those without one.
const PLAIN: [(char, &str); 7] = [
    ('I', "initialize"),
    ('a', "ansi"),
    ('D', "daemonize"),
    ('s', "symbolic-links"),
    ('v', "verbose"),
    ('V', "version"),
    ('?', "help"),
];

/// The options of a command line, without the program's name.
pub fn options(args: &[OsString]) -> Vec<Argument> {
    let mut found = Vec::new();
    let mut args = args.iter().map(|a| a.to_string_lossy()).peekable();
    while let Some(arg) = args.next() {
        let next = args.peek().map(|next| next.to_string());
        if let Some(long) = arg.strip_prefix("--") {
            found.extend(self::long(long, next));
        } else if let Some(letters) = arg.strip_prefix('-')
            && short(letters, next, &mut found)
        {
            args.next();
        }
    }
    found
}

fn long(text: &str, next: Option<String>) -> Option<Argument> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (text, None),
    };
    let name = name.replace('_', "-");
    let mut rest = name.as_str();
    while let Some(strict) = rest.strip_prefix("loose-") {
        rest = strict;
    }
    let set = [
        ("skip-", Some("0")),
        ("disable-", Some("0")),
        ("enable-", Some("1")),
        ("maximum-", None),
    ];
    let prefixed = set
        .iter()
        .find_map(|(prefix, value)| Some((rest.strip_prefix(prefix)?, *value)));
    let (name, implied) = prefixed.unwrap_or((rest, None));
    if let Some(account) = left_of_letters(text) {
        return Some(Argument {
            name: "user".into(),
            value: Some(account.to_string()).filter(|a| !a.is_empty()),
            next,
        });
    }
    (!name.is_empty()).then(|| Argument {
        name: name.to_string(),
        value: implied.map(str::to_string).or(value),
        next,
    })
}

/// What the server leaves of `-Iumysql`: by the time that it loads a keyring it has put a dash over each letter that it
/// takes early. No other option of it begins so.
fn left_of_letters(text: &str) -> Option<&str> {
    const OPTIONS: [&str; 3] = ["user", "upgrade", "updatable"];
    let account = text.strip_prefix('u')?;
    (!text.contains('=') && !OPTIONS.iter().any(|o| text.starts_with(o))).then_some(account)
}

/// Letters behind one dash; gives whether the next argument is the value of the last one.
fn short(letters: &str, next: Option<String>, found: &mut Vec<Argument>) -> bool {
    let name_of = |table: &[(char, &str)], letter| {
        let entry = table.iter().find(|(l, _)| *l == letter)?;
        Some(entry.1.to_string())
    };
    for (at, letter) in letters.char_indices() {
        let rest = &letters[at + letter.len_utf8()..];
        if let Some(name) = name_of(&PLAIN, letter) {
            found.push(Argument {
                name,
                value: None,
                next: None,
            });
        } else if let Some(name) = name_of(&WITH_VALUE, letter) {
            let follows = rest.is_empty();
            found.push(Argument {
                name,
                value: Some(rest.to_string()).filter(|_| !follows).or(next),
                next: None,
            });
            return follows;
        } else {
            // Its value may follow at once (-T, -p), or it is none of the server's.
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_server_divides_them() {
        let of = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            let options = options(&args).into_iter();
            let options = options.map(|o| format!("{}={:?}", o.name, o.value));
            options.collect::<Vec<_>>().join(" ").replace("Some", "")
        };
        for (args, said) in [
            (&["--loose_user=m"][..], r#"user=("m")"#),
            (&["--loose-loose-skip-user"], r#"user=("0")"#),
            (&["--maximum-user=m", "x"], r#"user=("m")"#),
            (
                &["-aumysql", "-I"],
                r#"ansi=None user=("mysql") initialize=None"#,
            ),
            (
                &["-su", "-I", "-v"],
                r#"symbolic-links=None user=("-I") verbose=None"#,
            ),
            (&["-h", "/d", "-Tumysql", "--"], r#"datadir=("/d")"#),
            (&["--umysql", "--upgrade"], r#"user=("mysql") upgrade=None"#),
            (&["-é", "--=", "-"], ""),
        ] {
            assert_eq!(of(args), said, "{args:?}");
        }
    }
}
