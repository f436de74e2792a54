//! The house: dependencies between the rooms of `src/` point one way, and `unsafe` stays in its rooms.
//!
//! Owns the order of the rooms (design section 3). It reads the source: a `use` or a path with `crate::` is an arrow from
//! the room of its file to the room that it names; arrows in unit tests count as well. `cargo test --test house --
//! --nocapture` draws them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may use those before it, and none behind it; `lib.rs` holds two names only.
const ROOMS: [&str; 23] = [
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
    "net",
    "config",
    "envelope",
    "format",
    "kek",
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

#[test]
fn an_arrow_is_found_wherever_it_stands() {
    let code = "use crate::a::X;\nuse crate::{b::{c, d}, e as f};\nfn g() -> crate::h::I { other_crate::j() }";
    let found: Vec<_> = named_behind(code, "crate").into_iter().collect();
    assert_eq!(found, ["a", "b", "e", "h"]);
}
