//! Who did what, from a trace of `strace -f`.
//!
//! Owns whose identity a call had. strace shows an identity per thread: a thread begins with that of the one that started
//! it, and setresuid changes it for that thread alone. The trace has at least execve, clone, clone3, fork, vfork,
//! setresuid, setuid, setreuid and the calls that are to be attributed.

use std::collections::{BTreeMap, BTreeSet};

/// The calls that are attributed.
const WATCHED: [&str; 24] = [
    "open",
    "openat",
    "openat2",
    "execve",
    "connect",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
];
const ALSO_WATCHED: &str = "truncate";

/// One call: who, which, and with which paths.
struct Call<'a> {
    uid: i64,
    name: &'a str,
    arguments: &'a str,
}

/// Thread and call of a line.
fn split(line: &str) -> Option<(u32, &str)> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let (thread, rest) = line.split_at(digits);
    let call = rest.trim_start();
    (call.len() < rest.len()).then_some((thread.parse().ok()?, call))
}

/// What a call that is whole answered, where that is a number.
fn answer(call: &str) -> Option<u32> {
    let (_, behind) = call.rsplit_once('=')?;
    let digits = behind.trim_start();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (is_number && digits.len() < behind.len()).then(|| digits.parse().ok())?
}

/// The thread that a call started.
fn started(call: &str) -> Option<u32> {
    let begins = |name: &str| {
        call.strip_prefix(name).is_some_and(|r| r.starts_with('('))
            || call
                .strip_prefix("<... ")
                .and_then(|r| r.strip_prefix(name))
                .is_some_and(|r| r.starts_with(" resumed>"))
    };
    ["clone", "clone3", "fork", "vfork"]
        .iter()
        .any(|name| begins(name))
        .then(|| answer(call))?
}

/// The effective user that a call changed its thread to.
fn became(call: &str) -> Option<i64> {
    if answer(call) != Some(0) {
        return None;
    }
    let (name, rest) = call.split_once('(')?;
    let number = |text: &str| {
        let end = text
            .find(|c: char| c != '-' && !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse::<i64>().ok()
    };
    match name {
        "setuid" => number(rest),
        "setresuid" | "setreuid" => {
            let (_, second) = rest.split_once(", ")?;
            number(second).filter(|uid| *uid != -1)
        }
        _ => None,
    }
}

/// Every watched call with its user.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let lines: Vec<_> = trace.lines().filter_map(split).collect();
    // A child's first call may stand before the line that tells its parent.
    let parents: BTreeMap<u32, u32> = lines
        .iter()
        .filter_map(|(thread, call)| Some((started(call)?, *thread)))
        .collect();
    let mut uids: BTreeMap<u32, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for (thread, call) in lines {
        let uid = uid_of(thread, &parents, &mut uids);
        if let Some(child) = started(call) {
            uid_of(child, &parents, &mut uids);
        }
        if let Some(new) = became(call) {
            uids.insert(thread, new);
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else {
            continue;
        };
        if WATCHED.contains(&name) || name == ALSO_WATCHED {
            found.push(Call {
                uid,
                name,
                arguments,
            });
        }
    }
    found
}

/// A thread's user. At its start that is its parent's at that time: the order of the lines is good enough, because a
/// parent that changes its identity does so before or after it starts a thread, never meanwhile.
fn uid_of(thread: u32, parents: &BTreeMap<u32, u32>, uids: &mut BTreeMap<u32, i64>) -> i64 {
    let (mut at, mut way) = (thread, BTreeSet::new());
    let uid = loop {
        if let Some(uid) = uids.get(&at) {
            break *uid;
        }
        match parents.get(&at) {
            Some(parent) if way.insert(at) => at = *parent,
            _ => break 0,
        }
    };
    way.insert(thread);
    for each in way {
        uids.entry(each).or_insert(uid);
    }
    uid
}

/// What stands in quotes, as it stands there.
fn quoted(text: &str) -> Vec<&str> {
    let (mut found, mut begin, mut escaped) = (Vec::new(), None, false);
    for (at, c) in text.char_indices() {
        match (c, begin) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"', None) => begin = Some(at + 1),
            ('"', Some(from)) => {
                found.push(&text[from..at]);
                begin = None;
            }
            _ => {}
        }
    }
    found
}

impl Call<'_> {
    fn path(&self) -> String {
        let address = self.arguments.find('{').and_then(|from| {
            let to = self.arguments[from..].find('}')?;
            Some(self.arguments[from..=from + to].to_string())
        });
        match (self.name, address) {
            ("connect", Some(address)) => address,
            _ => quoted(self.arguments).join(" "),
        }
    }
}

/// Lines "UID CALL COUNT", sorted.
pub fn counts(trace: &str) -> String {
    let mut counts = BTreeMap::new();
    for call in calls(trace) {
        *counts
            .entry(format!("{} {}", call.uid, call.name))
            .or_insert(0u32) += 1;
    }
    counts
        .iter()
        .map(|(key, n)| format!("{key} {n}\n"))
        .collect()
}

/// Lines "UID CALL PATH", each once, sorted.
pub fn paths(trace: &str) -> String {
    let line = |call: &Call<'_>| format!("{} {} {}\n", call.uid, call.name, call.path());
    let lines: BTreeSet<String> = calls(trace).iter().map(line).collect();
    lines.into_iter().collect()
}

/// A row for each call: how often as root, as the account, as anybody else.
pub fn table(trace: &str, account: i64) -> String {
    let mut rows: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    for call in calls(trace) {
        let column = match call.uid {
            0 => 0,
            uid if uid == account => 1,
            _ => 2,
        };
        rows.entry(call.name).or_default()[column] += 1;
    }
    let row = |(name, [root, account, nobody]): (&str, [u32; 3])| {
        format!(
            "    {name:<12} {root:>6} as root {account:>6} as the account {nobody:>6} as nobody\n"
        )
    };
    let mut lines: Vec<String> = rows.into_iter().map(row).collect();
    lines.sort();
    lines.concat()
}

/// Lines "CALL ORDINAL": the calls that name /t/d, each with the how manieth of its name in the whole trace it is. `short`
/// takes one of four.
pub fn of_the_keyring(trace: &str, short: bool) -> String {
    let mut ordinals: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut seen, mut said) = (BTreeSet::new(), String::new());
    for line in trace.lines() {
        let name = line.split('(').next().unwrap_or(line);
        let ordinal = ordinals.entry(name).or_default();
        *ordinal += 1;
        let names_it = line.match_indices("/t/d").any(|(at, found)| {
            let before = line[..at].chars().next_back();
            let behind = line[at + found.len()..].chars().next();
            matches!(before, Some('<' | '"')) && matches!(behind, Some('/' | '>' | '"'))
        });
        if names_it && (!short || seen.insert((name, *ordinal / 4))) {
            said.push_str(&format!("{name} {ordinal}\n"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"10 execve("/usr/sbin/mysqld", ["mysqld"], 0x7 /* 3 vars */) = 0
10 openat(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3
12 openat(AT_FDCWD, "/var/a \"b\"", O_RDONLY) = 4
10 clone3({flags=CLONE_VM, exit_signal=0}, 88) = 12
12 setresuid(-1, 999, -1) = 0
12 rename("/var/a", "/var/b") = 0
12 vfork( <unfinished ...>
13 mkdir("/srv", 0777) = -1 EEXIST (File exists)
12 <... vfork resumed>) = 13
12 setresuid(-1, 0, -1) = -1 EPERM (Operation not permitted)
12 setresuid(-1, -1, 0) = 0
12 unlink("/var/b") = 0
13 setuid(7) = 0
13 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0
10 getpid() = 10
10 openat(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3
no thread"#;

    #[test]
    fn a_thread_has_its_parents_identity_until_it_changes_its_own() {
        let expected =
            "0 execve 1\n0 openat 3\n7 connect 1\n999 mkdir 1\n999 rename 1\n999 unlink 1\n";
        assert_eq!(counts(TRACE), expected);
    }

    #[test]
    fn paths_stand_there_as_strace_wrote_them() {
        let said = paths(TRACE);
        for line in [
            r#"0 execve /usr/sbin/mysqld mysqld"#,
            r#"0 openat /var/a \"b\""#,
            r#"999 rename /var/a /var/b"#,
            r#"7 connect {sa_family=AF_UNIX, sun_path="/run/x"}"#,
        ] {
            assert!(said.lines().any(|l| l == line), "{line}: {said}");
        }
        assert_eq!(said.matches("ld.so.cache").count(), 1);
    }

    #[test]
    fn the_table_has_a_column_for_each_of_three() {
        let said = table(TRACE, 999);
        let row = "    openat            3 as root      0 as the account      0 as nobody\n";
        assert!(said.contains(row), "{said}");
        let row = "    connect           0 as root      0 as the account      1 as nobody\n";
        assert!(said.starts_with(row), "{said}");
        assert!(
            said.contains("mkdir             0 as root      1 as the account"),
            "{said}"
        );
    }

    #[test]
    fn ordinals_count_every_call_of_a_name() {
        let trace = "openat(1, \"/etc/x\")\nopenat(1, \"/t/d\")\nread(3</t/d/keys/k>)\nopenat(1, \"/t/data\")\nopenat(1, \"/t/d/x\")\n";
        assert_eq!(of_the_keyring(trace, false), "openat 2\nread 1\nopenat 4\n");
        let many = "read(3</t/d>)\n".repeat(9);
        assert_eq!(of_the_keyring(&many, true), "read 1\nread 4\nread 8\n");
    }
}
