//! Every kind of file with the right key, another one, and cut or changed at each byte.

use super::fixture::{self, FLAGS, MASTER, OTHER, UUID, name};
use super::info::{FileKey, Info};
use super::need::{Fit, Need, Seen, Unread};
use super::page::{self, Counted, Page};
use super::source::Source;
use super::tablespace::{self, Pages};
use super::{log, persisted, records, redo};
use crate::secret::SecretPool;

type Look = fn(&Vec<u8>) -> Result<Seen, Unread>;
const LOOKS: [Look; 4] = [tablespace::look, redo::look, log::look, persisted::look];

/// One file of each kind, under MASTER.
fn files() -> [Vec<u8>; 4] {
    let key = &MASTER;
    [
        fixture::tablespace(FLAGS, 3, key),
        fixture::redo(3, key),
        fixture::log(3, key),
        fixture::persisted(key),
    ]
}

fn need(seen: Result<Seen, Unread>) -> Need {
    match seen {
        Ok(Seen::Needs(need)) => need,
        Ok(_) => panic!("it needs no key"),
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn each_kind_names_its_key_and_proves_it() {
    let names = [
        name(3),
        name(3),
        format!("MySQLReplicationKey_{UUID}_3"),
        "persisted_variables_key".into(),
    ];
    let pool = SecretPool::new();
    for ((file, look), name) in files().iter().zip(LOOKS).zip(names) {
        let need = need(look(file));
        assert_eq!((need.name, need.sound), (name, true));
        let fit = |key: &[u8]| need.sealed.fit(key, &pool).unwrap();
        assert_eq!(fit(&MASTER), Fit::Opens);
        for wrong in [&OTHER[..], &MASTER[..31], b"", &[0; 16_384]] {
            assert_eq!(fit(wrong), Fit::Wrong);
        }
    }
}

/// The table of the measured facts.
#[test]
fn the_information_lies_where_each_page_size_has_it() {
    for (logical, physical, at) in [
        (4_096, 4_096, 1_558),
        (8_192, 8_192, 3_734),
        (16_384, 16_384, 10_390),
        (32_768, 32_768, 20_630),
        (65_536, 65_536, 41_110),
        (16_384, 8_192, 5_270),
        (16_384, 4_096, 2_710),
        (16_384, 1_024, 790),
        (4_096, 2_048, 854),
        (8_192, 2_048, 1_046),
    ] {
        let zip = if logical == physical { 0 } else { physical };
        let flags = fixture::flags(logical, zip);
        let pages = Pages::of(flags).unwrap();
        assert_eq!(
            (pages.logical, pages.physical, pages.info_at()),
            (logical, physical, at)
        );
        let file = fixture::tablespace(flags, 7, &MASTER);
        let key = file_key(&file);
        assert_eq!(need(tablespace::look(&file)).name, name(7));
        let counted = page::count(&file, pages, &key, &mut |_| true).unwrap();
        assert_eq!(
            (counted.good, counted.plain, counted.bad),
            (2, 1, 0),
            "{logical}/{physical}"
        );
    }
    for flags in [
        u32::MAX,
        1 << 15,
        15 << 6,
        15 << 1,
        1 << 6,
        8 << 1,
        6 << 1 | 3 << 6,
    ] {
        assert_eq!(Pages::of(flags), None, "{flags:x}");
    }
}

fn file_key(file: &Vec<u8>) -> FileKey {
    let info = tablespace::header(file)
        .unwrap_or_else(|e| panic!("{e}"))
        .info
        .unwrap();
    info.open(&MASTER, &SecretPool::new()).unwrap().unwrap()
}

#[test]
fn a_changed_page_is_found() {
    let mut file = fixture::tablespace(FLAGS, 1, &MASTER);
    let (pages, key) = (Pages::of(FLAGS).unwrap(), file_key(&file));
    file[2 * 16_384 + 5_000] ^= 1;
    let counted = page::count(&file, pages, &key, &mut |_| true).unwrap();
    assert_eq!(
        counted,
        Counted {
            good: 1,
            plain: 1,
            bad: 1,
            first_bad: Some(2)
        }
    );
    let never = page::count(&file, pages, &key, &mut |_| false).unwrap();
    assert_eq!(never, Counted::default());
}

#[test]
fn pages_that_are_compressed_as_a_whole_are_checked() {
    let (pages, key) = (Pages::of(FLAGS).unwrap(), file_key(&files()[0]));
    for method in [1, 2] {
        let good = fixture::compressed_page(pages, method);
        assert_eq!(
            page::check(&mut good.clone(), pages, &key),
            Page::Good,
            "{method}"
        );
        for at in [24, 25, 27, 30, 31, 32, 33, 38, 100] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            assert_ne!(
                page::check(&mut bad, pages, &key),
                Page::Good,
                "{method} {at}"
            );
        }
    }
}

#[test]
fn blocks_of_the_redo_log_are_checked() {
    let mut file = fixture::redo(1, &MASTER);
    let header = redo::header(&file).unwrap_or_else(|e| panic!("{e}"));
    let pool = SecretPool::new();
    let key = header
        .info
        .as_ref()
        .unwrap()
        .open(&MASTER, &pool)
        .unwrap()
        .unwrap();
    let count = |file: &Vec<u8>| redo::count(file, &header, &key, &mut |_| true).unwrap();
    assert_eq!(
        count(&file),
        Counted {
            good: 1,
            plain: 1,
            bad: 0,
            first_bad: None
        }
    );
    file[2_048 + 300] ^= 1;
    assert_eq!(
        count(&file),
        Counted {
            good: 0,
            plain: 1,
            bad: 1,
            first_bad: Some(4)
        }
    );
}

#[test]
fn no_key_is_asked_for_where_none_is_needed() {
    let plain = fixture::tablespace(FLAGS & !(1 << 13), 0, &MASTER);
    assert!(matches!(tablespace::look(&plain), Ok(Seen::Plain)));
    let built_in = fixture::tablespace(
        FLAGS,
        0,
        b"DefaultMasterKey\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    match tablespace::look(&built_in) {
        Ok(Seen::BuiltIn(info)) => {
            assert!(info.open_built_in(&SecretPool::new()).unwrap().is_some())
        }
        _ => panic!("not the built-in key"),
    }
    let mut redo_log = fixture::redo(1, &MASTER);
    redo_log[1_072..1_200].fill(0);
    assert!(matches!(redo::look(&redo_log), Ok(Seen::Plain)));
    assert!(matches!(
        log::look(&b"\xfebin\x01\x02".to_vec()),
        Ok(Seen::Plain)
    ));
    assert!(matches!(
        persisted::look(&b"{\"Version\": 2}".to_vec()),
        Ok(Seen::Plain)
    ));
}

/// Each is refused or seen as it is; what it needs never changes into something else unnoticed.
#[test]
fn a_file_that_is_cut_anywhere_is_no_other_file() {
    for (file, look) in files().iter().zip(LOOKS) {
        let whole = need(look(file)).name;
        let most = file.len().min(20_000);
        let step = if most > 3_000 { 7 } else { 1 };
        for length in (0..most).step_by(step) {
            match look(&file[..length].to_vec()) {
                Ok(Seen::Needs(need)) => assert_eq!(need.name, whole),
                Ok(Seen::Plain) => assert!(length < 4, "{length}"),
                Ok(Seen::BuiltIn(_) | Seen::New) => panic!("{length}"),
                Err(e) => assert!(e.may_change(), "{length}: {e}"),
            }
        }
    }
}

#[test]
fn a_bit_that_is_changed_in_a_header_is_noticed() {
    let pool = SecretPool::new();
    for (which, (file, look)) in files().iter().zip(LOOKS).enumerate() {
        let places: Vec<usize> = match which {
            // Neither checksum covers what lies between.
            0 => (0..26).chain(34..58).chain(10_390..10_390 + 111).collect(),
            1 => (0..16).chain(1_072..1_072 + 111).collect(),
            2 => (0..200).chain(512..516).collect(),
            _ => (0..file.len()).collect(),
        };
        let whole = need(look(file)).name;
        for at in places {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            let Ok(Seen::Needs(need)) = look(&changed) else {
                continue;
            };
            // A redo file's information has no other checksum than its own.
            let opens = need.sealed.fit(&MASTER, &pool).unwrap() == Fit::Opens;
            let noticed = !need.sound || !opens || need.name != whole;
            assert!(noticed || [2, 3].contains(&which), "{which}: {at}");
        }
    }
}

#[test]
fn old_information_is_read_too() {
    let file = fixture::tablespace(FLAGS, 2, &MASTER);
    let mut older = file.clone();
    older[10_392] = b'B';
    fixture::set_checksum(&mut older[..16_384], false);
    assert_eq!(need(tablespace::look(&older)).name, name(2));
    // Its number in eight bytes.
    let info = file[10_390..10_390 + 111].to_vec();
    older[10_390 + 7..10_390 + 11].fill(0);
    older[10_390 + 11..10_390 + 115].copy_from_slice(&info[7..]);
    fixture::set_checksum(&mut older[..16_384], false);
    let need = need(tablespace::look(&older));
    assert_eq!(need.name, name(2));
    assert_eq!(
        need.sealed.fit(&MASTER, &SecretPool::new()).unwrap(),
        Fit::Opens
    );
    older[10_392] = b'A';
    assert!(matches!(tablespace::look(&older), Err(Unread::Unknown(_))));
}

#[test]
fn a_header_that_was_read_while_it_was_written_is_not_sound() {
    let mut file = fixture::tablespace(FLAGS, 2, &MASTER);
    file[3] ^= 1;
    assert!(!need(tablespace::look(&file)).sound);
    file[..4].copy_from_slice(&0xDEAD_BEEFu32.to_be_bytes());
    assert!(
        need(tablespace::look(&file)).sound,
        "checksums are switched off"
    );
    let zeroes = vec![0; 65_536];
    assert!(matches!(tablespace::look(&zeroes), Err(Unread::Damaged(_))));
    assert!(matches!(redo::look(&zeroes), Err(Unread::Damaged(_))));
}

#[test]
fn a_log_that_has_no_event_yet_proves_nothing() {
    let file = fixture::log(1, &MASTER)[..512].to_vec();
    let log = need(log::look(&file)).sealed;
    let fit = log.fit(&OTHER, &SecretPool::new()).unwrap();
    assert_eq!(fit, Fit::Unproven);
}

/// Answers with more than any file of its kind has.
struct Endless;
impl Source for Endless {
    fn read_at(&self, _: u64, into: &mut [u8]) -> std::io::Result<usize> {
        into.fill(b' ');
        Ok(into.len())
    }
}

#[test]
fn what_never_ends_is_not_read_to_the_end() {
    assert!(matches!(persisted::look(&Endless), Err(Unread::Unknown(_))));
    assert!(tablespace::look(&Endless).is_err() && redo::look(&Endless).is_err());
    assert!(matches!(log::look(&Endless), Ok(Seen::Plain)));
}

#[test]
fn records_of_the_redo_log_name_keys() {
    let mut file = fixture::redo_with_record(8, &MASTER);
    let header = redo::header(&file).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (header.info.is_none(), header.checkpoint),
        (true, Some(512 * 1_001))
    );
    let names = |file: &Vec<u8>, from: u64| {
        let mut names = Vec::new();
        let mut tail = records::Tail::default();
        let mut each = |info: Info| names.extend(info.name());
        let read = records::named(
            file,
            &header,
            from,
            None,
            &mut tail,
            &mut || true,
            &mut each,
        );
        assert_eq!(read.unwrap(), records::Read::All);
        names
    };
    assert_eq!(names(&file, 0), [name(8)]);
    assert_eq!(names(&file, 512 * 1_001 + 17), [name(8)]);
    assert_eq!(names(&file, 512 * 1_002), [""; 0], "before the checkpoint");
    assert_eq!(names(&file, u64::MAX), [""; 0]);
    // As for the server, a block that does not check is the end.
    file[2_048 + 512 + 100] ^= 1;
    assert_eq!(names(&file, 0), [""; 0]);
}

#[test]
fn a_tablespace_that_was_just_made_has_its_key_in_the_redo_log() {
    let mut file = fixture::tablespace(FLAGS, 2, &MASTER);
    file[24..26].fill(0);
    file[10_390..10_390 + 111].fill(0);
    assert!(tablespace::look(&file).is_err(), "its checksum is wrong");
    fixture::set_checksum(&mut file[..16_384], false);
    assert!(matches!(tablespace::look(&file), Ok(Seen::New)));
    file[24..26].copy_from_slice(&8u16.to_be_bytes());
    fixture::set_checksum(&mut file[..16_384], false);
    assert!(
        tablespace::look(&file).is_err(),
        "it should have one by now"
    );
}

/// As CLONE LOCAL DATA DIRECTORY of 9.7.4 writes its second redo file.
#[test]
fn a_key_in_clear_text_is_told_from_one_under_the_built_in_key() {
    let pool = SecretPool::new();
    let built_in = b"DefaultMasterKey\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut file = fixture::redo(0, built_in);
    let info = |file: &Vec<u8>| {
        redo::header(file)
            .ok()
            .and_then(|header| header.info)
            .unwrap()
    };
    assert!(!info(&file).is_bare() && info(&file).open_built_in(&pool).unwrap().is_some());
    file[1_072 + 43..1_072 + 107].fill(0x5A);
    let bare = info(&file);
    assert!(bare.is_bare() && bare.name().is_none());
    let (header, key) = (
        redo::header(&file).ok().unwrap(),
        bare.open_built_in(&pool).unwrap().unwrap(),
    );
    assert_eq!(
        redo::count(&file, &header, &key, &mut |_| true)
            .unwrap()
            .good,
        1
    );
    file[1_072 + 50] ^= 1;
    assert!(!info(&file).is_bare() && info(&file).open_built_in(&pool).unwrap().is_none());
}
