//! The readers of MySQL's files: tablespaces, redo files and their records, logs, persisted variables.
//!
//! Oracle: no panic, no endless loop; what is named has the form of a key's name; no key of zeroes opens what did not come with
//! a checksum for it. A third of the inputs is laid over a file with the right frame, so that the readers get to what is behind.
#![no_main]

use keyring_ward::scan::info::{self, FileKey, Found};
use keyring_ward::scan::need::{Seen, Unread};
use keyring_ward::scan::{log, page, persisted, records, redo, tablespace};
use keyring_ward::secret::SecretPool;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const UUID: &[u8; 36] = b"0b35f6b2-9d5c-11f0-9a3c-0242ac110002";
static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);

fn seen(seen: Result<Seen, Unread>) {
    match seen {
        Ok(Seen::Needs(need)) => {
            assert!(!need.name.is_empty() && need.name.len() <= 255 && need.name.is_ascii(), "{}", need.name);
            need.sealed.fit(&[0; 32], &POOL).expect("memory");
        }
        Ok(Seen::BuiltIn(info)) => drop(info.open_built_in(&POOL).expect("memory")),
        Ok(Seen::Plain | Seen::New) => {}
        Err(e) => assert!(e.to_string().len() < 1_000),
    }
}

/// Encryption information under a master key of zeroes whose checksum is right, so that a file has a key.
fn information() -> (Vec<u8>, FileKey) {
    // What 64 bytes decrypt to is found by its checksum being the one that is asked for.
    static CRC: LazyLock<u32> = LazyLock::new(|| {
        let mut clear = [0; 64];
        let cipher = <aes::Aes256 as aes::cipher::KeyInit>::new(&[0; 32].into());
        for block in clear.chunks_exact_mut(16) {
            aes::cipher::BlockCipherDecrypt::decrypt_block(&cipher, block.try_into().expect("16 bytes"));
        }
        crc32c::crc32c(&clear)
    });
    let bytes = [b"lCC\0\0\0\x01", &UUID[..], &[0; 64], &CRC.to_be_bytes()].concat();
    let Found::Info(info) = info::read(&bytes) else { unreachable!("it is whole") };
    let key = info.open(&[0; 32], &POOL).expect("memory").expect("its checksum is right");
    (bytes, key)
}

/// Two pages of 4K with a header that is read.
fn framed_tablespace(input: &[u8]) {
    const FLAGS: u32 = 1 | 1 << 5 | 1 << 13 | 3 << 6;
    let (information, key) = information();
    let pages = tablespace::Pages::of(FLAGS).expect("sizes");
    let mut file = vec![0; 3 * 4_096];
    let room = file.len().min(4_096 + input.len());
    file[4_096..room].copy_from_slice(&input[..room - 4_096]);
    file[24..26].copy_from_slice(&8u16.to_be_bytes());
    file[54..58].copy_from_slice(&FLAGS.to_be_bytes());
    let at = pages.info_at();
    file[at..at + information.len()].copy_from_slice(&information);
    seen(tablespace::look(&file));
    let counted = page::count(&file, pages, &key, &mut |_| true).expect("in memory");
    assert_eq!(counted.good + counted.plain + counted.bad, 3);
}

/// A redo file whose first block holds the input.
fn framed_redo(input: &[u8]) {
    let (information, key) = information();
    let mut file = vec![0; 2_048];
    file[..4].copy_from_slice(&6u32.to_be_bytes());
    file[8..16].copy_from_slice(&(512u64 * 1_000).to_be_bytes());
    let crc = crc32c::crc32c(&file[..508]).to_be_bytes();
    file[508..512].copy_from_slice(&crc);
    file[1_072..1_072 + information.len()].copy_from_slice(&information);
    for (i, data) in input.chunks(496).enumerate() {
        let mut block = [0; 512];
        block[..4].copy_from_slice(&(1_001 + i as u32).to_be_bytes());
        block[4..6].copy_from_slice(&(data.len() as u16 + 12).to_be_bytes());
        block[12..12 + data.len()].copy_from_slice(data);
        let crc = crc32c::crc32c(&block[..508]).to_be_bytes();
        block[508..].copy_from_slice(&crc);
        file.extend_from_slice(&block);
    }
    seen(redo::look(&file));
    let header = redo::header(&file).unwrap_or_else(|e| panic!("{e}"));
    let mut each = |info: info::Info| assert!(info.name().is_none_or(|name| name.starts_with("INNODBKey-")));
    records::named(&file, &header, 0, Some(&key), &mut records::Tail::default(), &mut || true, &mut each).expect("in memory");
    redo::count(&file, &header, &key, &mut |_| true).expect("in memory");
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let file = rest.to_vec();
    match kind % 8 {
        0 => seen(tablespace::look(&file)),
        1 => seen(redo::look(&file)),
        2 => seen(log::look(&file)),
        3 => seen(log::look(&[&log::MAGIC[..], &[1], rest].concat())),
        4 => seen(persisted::look(&file)),
        5 => framed_tablespace(rest),
        6 => framed_redo(rest),
        _ => {
            // Any page under any sizes.
            let (_, key) = information();
            let Some((flags, page)) = rest.split_first_chunk() else { return };
            if let Some(pages) = tablespace::Pages::of(u32::from_be_bytes(*flags)) {
                page::check(&mut page.to_vec(), pages, &key);
            }
        }
    }
});
