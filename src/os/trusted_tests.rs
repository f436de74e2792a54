//! Paths as orchestrators make them, and as attackers would. What needs other accounts is in mysql-test/harness.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

const OP: &str = "read the secret";

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn write(path: &Path, mode: u32) -> PathBuf {
    std::fs::write(path, b"open sesame").unwrap();
    chmod(path, mode);
    path.to_path_buf()
}

fn told(path: &Path) -> std::result::Result<Vec<String>, (Kind, String)> {
    open(path, Rule::Secret, OP)
        .map(|t| t.warnings)
        .map_err(|e| (e.kind(), e.to_string()))
}

fn refused(path: &Path, kind: Kind, sentence: &str) {
    let (is, said) = told(path).unwrap_err();
    assert!(is == kind && said.contains(sentence), "{sentence}: {said}");
}

/// A volume of Kubernetes: sticky, with its links.
fn volume(mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("..2026_01_01");
    std::fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o755);
    write(&folder.join("passphrase"), 0o440);
    symlink("..2026_01_01", dir.path().join("..data")).unwrap();
    symlink("..data/passphrase", dir.path().join("passphrase")).unwrap();
    chmod(dir.path(), mode);
    dir
}

#[test]
fn links_of_a_volume_are_followed_where_nobody_else_can_exchange_them() {
    for mode in [0o1777, 0o755, 0o3777] {
        let dir = volume(mode);
        let trusted = open(&dir.path().join("passphrase"), Rule::Secret, OP).unwrap();
        assert_eq!((trusted.meta.len(), trusted.warnings.len()), (11, 0));
    }
    let dir = volume(0o777);
    refused(
        &dir.path().join("passphrase"),
        Kind::Permission,
        "not sticky",
    );
    // Without a link in between it is a word only, as it always was.
    let warnings = told(&dir.path().join("..2026_01_01/passphrase")).unwrap();
    assert!(warnings[0].contains("could be exchanged"), "{warnings:?}");
}

#[test]
fn every_way_of_writing_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("a/b")).unwrap();
    let secret = write(&at("a/secret"), 0o600);
    symlink(&secret, at("absolute")).unwrap();
    symlink("../secret", at("a/b/up")).unwrap();
    symlink("./a//b/../b/up", at("odd")).unwrap();
    symlink(at("a"), at("folder")).unwrap();
    for name in [
        "absolute",
        "a/b/up",
        "odd",
        "folder/secret",
        "folder/b/up",
        "a/b/../secret",
    ] {
        assert_eq!(told(&at(name)).unwrap(), Vec::<String>::new(), "{name}");
    }
    let (_, said) = told(&at("missing")).unwrap_err();
    assert!(said.contains("missing"), "{said}");
    symlink("nowhere/secret", at("dangling")).unwrap();
    refused(&at("dangling"), Kind::NotFound, "nowhere");
    symlink("loop", at("loop")).unwrap();
    refused(&at("loop"), Kind::Permission, "too many symbolic links");
    symlink("secret/more", at("a/behind")).unwrap();
    assert!(told(&at("a/behind")).is_err());
    refused(Path::new("relative"), Kind::Config, "not absolute");
    let long = format!("/{}", "a/../".repeat(2000));
    assert!(told(Path::new(&long)).is_err());
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let fifo = CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: a NUL-terminated path that lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    refused(&at("fifo"), Kind::InvalidInput, "not a regular file");
    refused(dir.path(), Kind::InvalidInput, "folder");
    refused(
        Path::new("/dev/null"),
        Kind::InvalidInput,
        "not a regular file",
    );
    let file = write(&at("file"), 0o600);
    std::fs::hard_link(&file, at("second")).unwrap();
    refused(&file, Kind::Permission, "2 hard links");
}

#[test]
fn nothing_for_others() {
    let dir = tempfile::tempdir().unwrap();
    // The group of a new file is this process's own.
    for mode in [0o600, 0o400, 0o440, 0o640] {
        let file = write(&dir.path().join(format!("{mode:o}")), mode);
        assert_eq!(told(&file).unwrap(), Vec::<String>::new(), "{mode:o}");
    }
    for mode in [0o444, 0o604, 0o601, 0o602] {
        let file = write(&dir.path().join(format!("{mode:o}")), mode);
        refused(&file, Kind::Permission, "everybody can get at it");
        assert_eq!(open(&file, Rule::Settings, OP).is_ok(), mode & 2 == 0);
    }
}

#[test]
fn groups_of_the_process() {
    let who = Who {
        uid: 999,
        gid: 998,
        groups: vec![998, 2000],
    };
    assert!(who.trusts(0) && who.trusts(999) && !who.trusts(1000));
    for (gid, group) in [
        (0, Group::Own),
        (998, Group::Own),
        (2000, Group::Supplementary),
        (2001, Group::Foreign),
    ] {
        assert_eq!(who.of_group(gid), group, "{gid}");
    }
}

#[test]
fn access_lists_name_who_else_is_let_in() {
    let list = |entries: &[(u16, u16, u32)]| {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&rights.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        parse_access_list(&bytes)
    };
    const NONE: u32 = u32::MAX;
    // As systemd gives a credential to the user 999: mask r, no right of the group.
    let of_systemd = list(&[
        (1, 4, NONE),
        (2, 4, 999),
        (4, 0, NONE),
        (0x10, 4, NONE),
        (0x20, 0, NONE),
    ]);
    assert_eq!(of_systemd.unwrap(), [Listed::User(999)]);
    let all = list(&[(2, 4, 1), (8, 4, 2), (4, 4, NONE), (0x10, 7, NONE)]).unwrap();
    assert_eq!(
        all,
        [Listed::User(1), Listed::Group(2), Listed::OwningGroup]
    );
    let masked = list(&[(2, 4, 1), (8, 6, 2), (0x10, 2, NONE)]).unwrap();
    assert_eq!(masked, [Listed::Group(2)]);
    assert_eq!(parse_access_list(b""), None);
    assert_eq!(parse_access_list(b"\x01\0\0\0"), None);
    assert_eq!(parse_access_list(b"\x02\0\0\0abc").unwrap(), []);
}

/// The folder that is in the way is named, with its owner, not the file, which is as it should be.
#[test]
fn a_folder_that_can_not_be_passed_is_named() {
    if !crate::os::identity::is_root() {
        println!("not root: there is no folder of somebody else's");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    chmod(dir.path(), 0o755);
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("closed")).unwrap();
    chmod(&at("closed"), 0o700);
    write(&at("closed/key"), 0o400);
    symlink("closed", at("link")).unwrap();
    let account = crate::os::identity::Account::unnamed(12345, 12345);
    for way in ["closed/key", "link/key"] {
        let e =
            crate::os::identity::run_as(&account, || open(&at(way), Rule::Secret, OP).map(drop));
        let e = e.unwrap_err();
        assert_eq!(e.kind(), Kind::Permission);
        let said = e.to_string();
        for part in [
            format!(
                "'{}': '{}' belongs to user 0, mode 0700",
                at(way).display(),
                at("closed").display()
            ),
            format!("chmod g+x '{}'", at("closed").display()),
        ] {
            assert!(said.contains(&part), "{part}: {said}");
        }
        let e = crate::os::identity::run_as(&account, || {
            crate::os::file::resolve(&at(way).join("x/y"), OP).map(drop)
        });
        let said = e.unwrap_err().to_string();
        assert!(
            said.contains("belongs to user 0, mode 0700") && said.contains("can't pass"),
            "{said}"
        );
    }
}

#[test]
fn a_program_need_not_be_readable_and_may_have_links() {
    let dir = tempfile::tempdir().unwrap();
    let program = write(&dir.path().join("program"), 0o711);
    std::fs::hard_link(&program, dir.path().join("other")).unwrap();
    symlink("program", dir.path().join("link")).unwrap();
    let run = |name: &str| open(&dir.path().join(name), Rule::Program, OP).map(|t| t.real);
    assert_eq!(run("link").unwrap(), program.canonicalize().unwrap());
    for mode in [0o757, 0o777] {
        chmod(&program, mode);
        let e = run("link").unwrap_err();
        assert!(e.to_string().contains("everybody can write it"), "{e}");
    }
    chmod(&program, 0o755);
    chmod(dir.path(), 0o777);
    assert!(
        run("program")
            .unwrap_err()
            .to_string()
            .contains("could be exchanged")
    );
}

/// The bits of the mode are only the mask of an access list, and a program is open in a way that does not tell of it.
#[test]
fn an_access_list_lets_nobody_write_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = write(&dir.path().join("program"), 0o755);
    // Owner, user 54321, group, mask, others: tag, rights, id.
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, 7, 54_321),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 5, u32::MAX),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    let path = CString::new(program.to_str().unwrap()).unwrap();
    let name = c"system.posix_acl_access".as_ptr();
    // SAFETY: NUL-terminated names, and the list with its size.
    let set = unsafe { libc::setxattr(path.as_ptr(), name, list.as_ptr().cast(), list.len(), 0) };
    if set != 0 {
        println!("SKIPPED: this file system has no access lists");
        return;
    }
    let e = open(&program, Rule::Program, OP).map(drop).unwrap_err();
    assert!(e.to_string().contains("lets user 54321 get at it"), "{e}");
}
