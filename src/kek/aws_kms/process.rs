//! `credential_process`: a program that prints credentials.
//!
//! Owns how its command line is split, what is accepted of its file and its output. It must never ask a shell, never
//! show its output, and never wait for it beyond the operation's deadline.

use super::answer::{self, Names};
use super::credentials::Credentials;
use super::shared::Property;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::command::{Ended, Failure, Program, run};
use crate::os::identity;
use crate::os::trusted::{self, Rule};
use crate::secret::SecretPool;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OP: &str = "run the credential process";
/// Longest command line in bytes, and most words in it.
const MAX_COMMAND: usize = 4096;
const MAX_WORDS: usize = 128;
/// Most output in bytes.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;
/// What is left of an attempt for telling about it.
const RESERVE: Duration = Duration::from_millis(200);
/// Where programs are looked for without PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What systemd and mysqld's own scripts tell this process only, and what may hold a password of MySQL.
const NOT_FOR_CHILDREN: [&str; 6] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MYSQL_PWD",
];

/// Runs the program and reads what it prints. `end` is that of the attempt.
pub(super) fn credentials(property: &Property, end: Deadline) -> Result<Credentials> {
    let words = split(&property.value).map_err(|why| {
        Error::new(Kind::Config, OP, format!("{property} {why}")).hint(
            "Give the program's absolute path and its arguments; what has blanks or special characters stands in quotes. It is run directly, not by a shell: put pipes, variables and the like into a script.",
        )
    })?;
    let file = find(&words[0]).map_err(|e| e.context(property))?;
    let shown = format!("the program '{}' ({property})", file.display());
    let fail = |kind, why: String| Error::new(kind, OP, format!("{shown} {why}"));
    let program = Program {
        file: c_string(file.into_os_string())?,
        arguments: words
            .into_iter()
            .map(|w| c_string(w.into()))
            .collect::<Result<_>>()?,
        environment: environment()?,
    };
    let mut output = SecretPool::new().zeroed(MAX_OUTPUT + 1)?;
    let time = end.remaining().saturating_sub(RESERVE);
    let ended = run(&program, &mut output, Deadline::after(time)).map_err(|e| match e {
        Failure::Late => fail(
            Kind::Unreachable,
            format!("had not ended after {:.1} s and was killed", time.as_secs_f64()),
        )
        .hint("Run it by hand as the account of mysqld; raise attempt_timeout and timeout if it needs longer. It is tried again while there is time."),
        Failure::TooMuch => fail(Kind::Config, format!("printed more than {MAX_OUTPUT} bytes and was killed"))
            .hint("It must print one JSON object with the credentials and nothing else."),
        Failure::Start(e) => fail(Kind::Config, format!("can't be run: {e}"))
            .hint("It must be a program, or a script with #! and its interpreter in the first line, that the account of mysqld may run (AppArmor and SELinux included)."),
        Failure::System(e) => Error::io(OP, shown.clone(), e),
    })?;
    if ended.code != Some(0) {
        return Err(fail(Kind::Unreachable, how_it_failed(&ended)).hint(
            "Run it by hand as the account of mysqld. It is tried again while there is time.",
        ));
    }
    answer::read(
        &output[..ended.length],
        &Names::PROCESS,
        &format!("the output of {shown}"),
    )
}

/// Its exit code and the first line of its standard error, which is meant for people.
fn how_it_failed(ended: &Ended) -> String {
    let end = match (ended.code, ended.signal) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (_, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    };
    let text = String::from_utf8_lossy(&ended.errors);
    let first = text.lines().map(str::trim).find(|l| !l.is_empty());
    match first {
        None => format!("{end} and said nothing on its standard error"),
        Some(line) => format!("{end}: \"{}\"", super::errors::clean(line)),
    }
}

fn c_string(text: OsString) -> Result<CString> {
    CString::new(text.into_vec())
        .map_err(|_| Error::new(Kind::Config, OP, "there is a NUL in its command line"))
}

/// The environment of this process, which is what the SDKs give such a program, but for what is ours alone. Where this
/// process was root it is that of root's shell or of the system: the account's program gets what it needs of it.
fn environment() -> Result<Vec<CString>> {
    let was_root = identity::has_given_up_root();
    let home = identity::home_taken_on();
    let all = std::env::vars_os().filter(|(name, _)| {
        let name = name.as_bytes();
        match was_root {
            true => is_for_the_account(name),
            false => !NOT_FOR_CHILDREN.iter().any(|n| n.as_bytes() == name),
        }
    });
    let home = home.filter(|_| was_root).map(|h| ("HOME".into(), h.into()));
    all.chain(home)
        .map(|(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            c_string(name)
        })
        .collect()
}

/// What of root's environment the account's program gets: where things are, and how AWS is reached, but no secret of
/// root's.
fn is_for_the_account(name: &[u8]) -> bool {
    const SECRETS: [&[u8]; 5] = [
        b"AWS_ACCESS_KEY_ID",
        b"AWS_SECRET_ACCESS_KEY",
        b"AWS_SESSION_TOKEN",
        b"AWS_SECURITY_TOKEN",
        b"AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ];
    const NAMES: [&[u8]; 3] = [b"PATH", b"LANG", b"TZ"];
    const PROXIES: [&[u8]; 4] = [b"http_proxy", b"https_proxy", b"all_proxy", b"no_proxy"];
    let begins = name.starts_with(b"LC_") || name.starts_with(b"AWS_");
    let is_proxy = PROXIES.iter().any(|p| p.eq_ignore_ascii_case(name));
    (begins || is_proxy || NAMES.contains(&name)) && !SECRETS.contains(&name)
}

/// Splits a command line as AWS's SDKs do it (POSIX words), without anything that only a shell would understand.
fn split(line: &str) -> std::result::Result<Vec<String>, String> {
    if line.len() > MAX_COMMAND || line.chars().any(char::is_control) {
        return Err(format!(
            "has more than {MAX_COMMAND} bytes or a control character (it is one line)"
        ));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("has a quote without its end".into()),
                    }
                }
            }
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word
                .get_or_insert_default()
                .push(chars.next().ok_or("ends with a backslash")?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' => {
                return Err(format!(
                    "has '{c}' outside single quotes, which only a shell understands"
                ));
            }
            '~' if word.is_none() => return Err("has '~', which only a shell understands".into()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match words.len() {
        0 => Err("is empty".into()),
        n if n > MAX_WORDS => Err(format!("has more than {MAX_WORDS} words")),
        _ => Ok(words),
    }
}

/// The rest of a text in double quotes.
fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> std::result::Result<(), String> {
    loop {
        match chars.next() {
            Some('"') => return Ok(()),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => return Err("has a quote without its end".into()),
            },
            Some(c @ ('$' | '`')) => {
                return Err(format!(
                    "has '{c}' outside single quotes, which only a shell understands"
                ));
            }
            Some(c) => word.push(c),
            None => return Err("has a quote without its end".into()),
        }
    }
}

/// The program's file: as it stands, or found in the absolute folders of PATH.
fn find(name: &str) -> Result<PathBuf> {
    let hint = "Give the absolute path of a program that root or the account of mysqld owns and nobody else can write.";
    if name.contains('/') {
        if !name.starts_with('/') {
            return Err(Error::new(
                Kind::Config,
                OP,
                format!("'{name}' is not an absolute path"),
            )
            .hint(hint));
        }
        return may_be_run(Path::new(name)).map_err(|e| match e.kind() {
            Kind::Permission => e,
            _ => e.hint(hint),
        });
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    for folder in std::env::split_paths(&folders).filter(|f| f.is_absolute()) {
        let path = folder.join(name);
        if let Ok(meta) = path.metadata()
            && meta.is_file()
            && meta.mode() & 0o111 != 0
        {
            return may_be_run(&path);
        }
    }
    let shown = String::from_utf8_lossy(folders.as_bytes()).into_owned();
    Err(Error::new(
        Kind::Config,
        OP,
        format!(
            "there is no program '{name}' in PATH ({})",
            super::errors::clean(&shown)
        ),
    )
    .hint(hint))
}

/// The program itself, behind links. It runs with the rights of mysqld's account: who else could write it, or lead us to
/// another one, would have them.
fn may_be_run(path: &Path) -> Result<PathBuf> {
    trusted::open(path, Rule::Program, OP).map(|program| program.real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_split_as_aws_documents_it() {
        for (line, words) in [
            (
                "/opt/aws/creds --user helen",
                vec!["/opt/aws/creds", "--user", "helen"],
            ),
            (
                r#""/opt/with blank/creds"   arg  "a \"b\" \c""#,
                vec!["/opt/with blank/creds", "arg", r#"a "b" \c"#],
            ),
            (r"/p 'a $b | c' d\ e ''", vec!["/p", "a $b | c", "d e", ""]),
            ("p --x=\"a b\"c", vec!["p", "--x=a bc"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in [
            "",
            "  ",
            "/p 'a",
            "/p \"a",
            "/p \\",
            "/p | jq",
            "/p $HOME",
            "/p \"$HOME\"",
            "~/p",
            "/p a\n",
            "/p `x`",
            "/p > /x",
        ] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_program_of_the_account_gets_no_secret_of_roots() {
        for name in ["PATH", "LC_ALL", "AWS_PROFILE", "HTTPS_PROXY", "no_proxy"] {
            assert!(is_for_the_account(name.as_bytes()), "{name}");
        }
        for name in [
            "VAULT_TOKEN",
            "SSH_AUTH_SOCK",
            "HOME",
            "LD_PRELOAD",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "MYSQL_PWD",
        ] {
            assert!(!is_for_the_account(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_program_behind_a_link_is_what_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize("/bin/sh").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        let named = link.to_str().unwrap();
        assert_eq!(find(named).unwrap(), real);
        // Where everybody can exchange the link it is not followed, however well its end is kept.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let e = find(named).unwrap_err();
        assert_eq!(e.kind(), Kind::Permission);
        assert!(e.to_string().contains("could be exchanged"), "{e}");
    }

    #[test]
    fn the_first_line_of_its_errors_is_told_printable() {
        let of = |errors: &[u8]| {
            how_it_failed(&Ended {
                code: Some(3),
                signal: None,
                length: 0,
                errors: errors.to_vec(),
            })
        };
        assert_eq!(
            of(b"\n\x1b[1mno\x07 token\nmore\n"),
            "failed with exit code 3: \" [1mno  token\""
        );
        assert!(of(b"").contains("said nothing"));
    }
}
