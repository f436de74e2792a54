//! The house: dependencies between the rooms of `src/` point one way, files of a room stand in no circle, and `unsafe`
//! stays in its rooms.
//!
//! Owns the order of the rooms (design section 3). It reads the source: a `use` or a path with `crate::` is an arrow from
//! the room of its file to the room that it names; arrows in unit tests count as well. `cargo test --test house --
//! --nocapture` draws them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may use those before it, and none behind it; `lib.rs` holds two names only.
const ROOMS: [&str; 31] = [
    "fault",
    "json",
    "text",
    "error",
    "panics",
    "secret",
    "deadline",
    "os",
    "secret_source",
    "key",
    "caller",
    "scan",
    "net",
    "options",
    "envelope",
    "sealed",
    "key_pair",
    "audit",
    "format",
    "kek",
    "transport",
    "policy",
    "config",
    "store",
    "keyring",
    "lifecycle",
    "status",
    "admin",
    "mysql",
    "lib",
    "bin",
];
/// Names of `lib.rs` itself, which everybody may use.
const NAMES: [&str; 2] = ["VERSION", "COMPONENT"];
/// Where `unsafe` may stand.
const UNSAFE: [&str; 3] = ["mysql", "os", "secret"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// A file's text without comments, whose examples and links are no arrows.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    lines.map(|l| format!("{l}\n")).collect()
}

/// The first names behind each `root::` in `code`, those in braces too.
fn named_behind(code: &str, root: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let text = text.trim_start();
        let length = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..length.unwrap_or(text.len())].into()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{root}::")) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + root.len() + 2..];
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(list) => {
                let (mut depth, mut start) = (0, 0);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth > 0 => depth -= 1,
                        ',' | '}' if depth == 0 => {
                            found.insert(word(&list[start..i]));
                            start = i + 1;
                            if c == '}' {
                                break;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The room that a file lies in.
fn room(path: &Path, src: &Path) -> String {
    let inside = path.strip_prefix(src).unwrap();
    let first = inside.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").into()
}

/// All arrows: from, to, and the files that draw them.
fn arrows() -> BTreeMap<(String, String), Vec<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 100, "{}", files.len());
    let mut arrows: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for path in files {
        let (from, code) = (room(&path, &src), code(&path));
        let root = if from == "bin" {
            "keyring_ward"
        } else {
            "crate"
        };
        for to in named_behind(&code, root) {
            if to != from && !NAMES.contains(&to.as_str()) {
                let file = path.strip_prefix(&src).unwrap().display().to_string();
                arrows.entry((from.clone(), to)).or_default().push(file);
            }
        }
    }
    arrows
}

#[test]
fn dependencies_point_one_way() {
    let place = |room: &str| ROOMS.iter().position(|r| *r == room);
    let mut wrong = Vec::new();
    for ((from, to), files) in arrows() {
        println!("{from} -> {to} ({})", files.len());
        let (Some(upper), Some(lower)) = (place(&from), place(&to)) else {
            wrong.push(format!("{from} -> {to}: a room that is not in the list"));
            continue;
        };
        if upper <= lower {
            wrong.push(format!("{from} -> {to}: {}", files.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "arrows back:\n{}", wrong.join("\n"));
}

/// Circles between files of one folder that are still there: each is a debt. `mysql` has none, and never gets one.
const CIRCLES_LEFT: [(&str, &[&str]); 5] = [
    ("config", &["discover", "lesser", "option_file", "server"]),
    ("kek::aws_kms", &["metadata", "source"]),
    (
        "os",
        &["child", "denied", "file", "identity", "lookup", "trusted"],
    ),
    ("store", &["file", "header", "marker"]),
    ("store::file", &["scan", "waypoint"]),
];

/// Macros whose text is an arrow: their name, and where they lead.
const MACROS: [(&str, &str); 2] = [
    ("guarded_fn!", "mysql::guard"),
    ("cursor_fns!", "mysql::cursor"),
];

/// The paths that begin with `root::` in `code`, without the root: `a::b` and `a::c` of `root::a::{b, c::D}`, and so on.
fn paths_behind(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{root}::")) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            collect_paths(&code[at + root.len() + 2..], "", &mut found);
        }
    }
    found
}

/// Adds what `text` begins with: a path, or a list of paths in braces, each behind `prefix`.
fn collect_paths(text: &str, prefix: &str, found: &mut BTreeSet<String>) {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    collect_paths(&list[start..i], prefix, found);
                    start = i + 1;
                    if c == '}' {
                        return;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    let path = match prefix {
        "" => word.to_string(),
        _ => format!("{prefix}::{word}"),
    };
    match rest.strip_prefix("::") {
        Some(more) if !word.is_empty() => collect_paths(more, &path, found),
        _ => drop(found.insert(path.trim_end_matches(':').into())),
    }
}

/// A file's path as a module: `mysql::services::load` for `src/mysql/services/load.rs`.
fn module(path: &Path, src: &Path) -> String {
    let inside = path.strip_prefix(src).unwrap().with_extension("");
    let names: Vec<_> = inside
        .iter()
        .map(|n| n.to_str().unwrap())
        .filter(|n| *n != "mod")
        .collect();
    names.join("::")
}

/// All modules that a file names outside of its tests, as full paths from the crate's root.
fn named_in(path: &Path, src: &Path) -> BTreeSet<String> {
    let code = code(path);
    let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let root = match room(path, src).as_str() {
        "bin" => "keyring_ward",
        _ => "crate",
    };
    let mut named = paths_behind(code, root);
    let own = module(path, src);
    for path in paths_behind(code, "super") {
        let (mut above, mut rest) = (parent(&own), path.as_str());
        while let Some(more) = rest.strip_prefix("super::") {
            (above, rest) = (parent(above), more);
        }
        named.insert(format!("{above}::{rest}").trim_matches(':').into());
    }
    let by_macro = MACROS.iter().filter(|(name, _)| code.contains(name));
    named.extend(by_macro.map(|(_, to)| to.to_string()));
    named
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(above, _)| above)
}

/// The child of `folder` that a module lies in.
fn child<'a>(folder: &str, module: &'a str) -> Option<&'a str> {
    let inside = match folder {
        "" => module,
        _ => module.strip_prefix(folder)?.strip_prefix("::")?,
    };
    inside.split("::").next().filter(|name| !name.is_empty())
}

/// All that can be reached from `from`.
fn reached<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        let beyond = arrows.get(at).into_iter().flatten();
        next.extend(beyond.filter(|to| seen.insert(**to)).copied());
    }
    seen
}

#[test]
fn files_of_one_folder_stand_in_no_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let modules: BTreeMap<String, BTreeSet<String>> = files
        .iter()
        .map(|path| (module(path, &src), named_in(path, &src)))
        .collect();
    let folders: BTreeSet<&str> = modules.keys().map(|m| parent(m)).collect();
    let mut wrong = Vec::new();
    for folder in folders.into_iter().filter(|f| !f.is_empty()) {
        let children: BTreeSet<&str> = modules.keys().filter_map(|m| child(folder, m)).collect();
        let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (from, named) in &modules {
            let Some(from) = child(folder, from) else {
                continue;
            };
            let to = named.iter().filter_map(|to| child(folder, to));
            let to = to.filter(|to| *to != from && children.contains(to));
            arrows.entry(from).or_default().extend(to);
        }
        let left = CIRCLES_LEFT.iter().find(|(of, _)| *of == folder);
        let left = left.map_or(&[][..], |(_, names)| names);
        let circle = |name: &&str| reached(&arrows, name).contains(name);
        let new = arrows.keys().copied().filter(circle);
        let new: Vec<_> = new.filter(|name| !left.contains(name)).collect();
        if !new.is_empty() {
            wrong.push(format!("{folder}: {}", new.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "circles:\n{}", wrong.join("\n"));
}

#[test]
fn a_path_is_found_in_each_of_its_forms() {
    let code = "use super::{a, b::{c, D}, self};\nuse super::super::e::F;\nfn g() { super::h(); x_super::i() }";
    let found: Vec<_> = paths_behind(code, "super").into_iter().collect();
    assert_eq!(found, ["a", "b::D", "b::c", "h", "self", "super::e::F"]);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let outside = files.iter().filter(|path| {
        let code = code(path);
        let any = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
        !UNSAFE.contains(&room(path, &src).as_str()) && any.iter().any(|u| code.contains(u))
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

/// What both libraries that mysqld loads share depends on nothing, and the companion on that alone: it must stay small, and must
/// never hold a keyring.
#[test]
fn the_companion_depends_on_the_boundary_alone() {
    let needs = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().skip_while(|l| *l != "[dependencies]").skip(1);
        let lines = lines.take_while(|l| !l.starts_with('['));
        let names = lines.filter_map(|l| l.split_once(" = "));
        names.map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(needs("boundary/Cargo.toml"), Vec::<String>::new());
    assert_eq!(needs("sql-component/Cargo.toml"), ["keyring-ward-boundary"]);
    // In the keyring's library, only those rooms reach over the boundary that may.
    let mut files = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut files);
    let outside = files.iter().filter(|path| {
        let allowed = ["mysql", "panics"].contains(&&*room(path, &src));
        !allowed && code(path).contains("keyring_ward_boundary")
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}

#[test]
fn an_arrow_is_found_wherever_it_stands() {
    let code = "use crate::a::X;\nuse crate::{b::{c, d}, e as f};\nfn g() -> crate::h::I { other_crate::j() }";
    let found: Vec<_> = named_behind(code, "crate").into_iter().collect();
    assert_eq!(found, ["a", "b", "e", "h"]);
}

/// What was compiled for the library serves the fuzz targets only under the same profile, and a workspace has its own.
#[test]
fn the_fuzz_targets_are_checked_under_the_librarys_profile() {
    let profile = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        let lines = (text.lines()).filter(|l| !l.is_empty() && !l.starts_with('#'));
        lines
            .skip_while(|l| *l != "[profile.dev]")
            .take_while(|l| *l != "[profile.release]")
            .map(str::to_string)
            .collect()
    };
    let (ours, theirs) = (profile("Cargo.toml"), profile("fuzz/Cargo.toml"));
    assert!(ours.len() > 2, "{ours:?}");
    assert_eq!(ours, theirs);
}

/// Whoever changes a keyring says who he is; where nobody is known, no record says who it was. These are all such places.
#[test]
fn every_change_has_a_caller() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // Where a caller is made of nobody, and not where one is looked at.
    let made = ["by(&Caller::Unknown)", "caller: Caller::Unknown"];
    let mut found: Vec<String> = (files.iter())
        .filter(|path| {
            let code = code(path);
            let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            !name.contains("tests") && made.iter().any(|made| code.contains(made))
        })
        .map(|path| path.strip_prefix(&src).unwrap().display().to_string())
        .collect();
    found.sort();
    // A file that no record is in, and an operation's target that names nobody.
    assert_eq!(found, ["admin/init.rs", "admin/mod.rs"]);
}
