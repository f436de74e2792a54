//! Files as MySQL makes them, by their layout, with real encryption: for unit tests.

use super::bytes::folded;
use super::crypt::BLOCK;
use super::tablespace::Pages;
use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockCipherEncrypt, BlockModeEncrypt, KeyInit, KeyIvInit, StreamCipher};
use sha2::{Digest, Sha512};

pub(crate) const UUID: &str = "0b35f6b2-9d5c-11f0-9a3c-0242ac110002";
pub(crate) const MASTER: [u8; 32] = [7; 32];
pub(crate) const OTHER: [u8; 32] = [8; 32];
/// Key and iv of each file.
const FILE_KEY: [u8; 64] = [0x5A; 64];
/// Flags of an encrypted tablespace of 16K pages: post-antelope, atomic blobs, SDI, encrypted.
pub(crate) const FLAGS: u32 = 1 | 1 << 5 | 1 << 14 | 1 << 13;

pub(crate) fn name(number: u32) -> String {
    format!("INNODBKey-{UUID}-{number}")
}

/// Flags with these sizes; 0: 16K, or no zip.
pub(crate) fn flags(logical: usize, zip: usize) -> u32 {
    let code = |size: usize| match size {
        0 | 16_384 => 0,
        size => size.trailing_zeros() - 9,
    };
    let zip = match zip {
        0 => 0,
        size => size.trailing_zeros() - 9,
    };
    FLAGS | zip << 1 | code(logical) << 6
}

fn ecb(key: &[u8], data: &mut [u8]) {
    let cipher = Aes256::new_from_slice(key).unwrap();
    for block in data.chunks_exact_mut(BLOCK) {
        cipher.encrypt_block(block.try_into().unwrap());
    }
}

fn cbc(key: &[u8], iv: &[u8], data: &mut [u8]) {
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, iv).unwrap();
    let length = data.len();
    cipher.encrypt_padded::<NoPadding>(data, length).unwrap();
}

fn with_tail(data: &mut [u8]) {
    let (key, iv) = (&FILE_KEY[..32], &FILE_KEY[32..48]);
    let (whole, tail) = (data.len() / BLOCK * BLOCK, data.len() - 2 * BLOCK);
    cbc(key, iv, &mut data[..whole]);
    if whole != data.len() {
        cbc(key, iv, &mut data[tail..]);
    }
}

pub(crate) fn info(number: u32, master: &[u8]) -> Vec<u8> {
    info_of(FILE_KEY, number, master)
}

/// That of a file whose key and iv are these.
pub(crate) fn info_of(file_key: [u8; 64], number: u32, master: &[u8]) -> Vec<u8> {
    let mut wrapped = file_key;
    ecb(master, &mut wrapped);
    let number = number.to_be_bytes();
    let crc = crc32c::crc32c(&file_key).to_be_bytes();
    [b"lCC", &number[..], UUID.as_bytes(), &wrapped, &crc].concat()
}

pub(crate) fn set_checksum(page: &mut [u8], zip: bool) {
    let end = page.len();
    let crc = match zip {
        true => folded(&[&page[4..16], &page[24..26], &page[34..]]),
        false => folded(&[&page[4..26], &page[38..end - 8]]),
    };
    page[..4].copy_from_slice(&crc.to_be_bytes());
    if !zip {
        page[end - 8..end - 4].copy_from_slice(&crc.to_be_bytes());
    }
}

fn page(pages: Pages, number: u32, kind: u16) -> Vec<u8> {
    let mut page: Vec<u8> = (0..pages.physical).map(|i| (i * 31 % 251) as u8).collect();
    page[4..8].copy_from_slice(&number.to_be_bytes());
    page[24..26].copy_from_slice(&kind.to_be_bytes());
    page[34..38].copy_from_slice(&5u32.to_be_bytes());
    page
}

/// A tablespace of three pages: header, an encrypted page and an encrypted R-tree page (or a compressed one).
pub(crate) fn tablespace(flags: u32, number: u32, master: &[u8]) -> Vec<u8> {
    let pages = Pages::of(flags).unwrap();
    let mut first = page(pages, 0, 8);
    first[38..].fill(0);
    first[38..42].copy_from_slice(&5u32.to_be_bytes());
    first[54..58].copy_from_slice(&flags.to_be_bytes());
    if flags & 1 << 13 != 0 {
        let at = pages.info_at();
        first[at..at + 111].copy_from_slice(&info(number, master));
    }
    set_checksum(&mut first, pages.zip);
    let mut file = first;
    for (number, original, kind) in [(1, 17_855, 15u16), (2, 17_854, 17)] {
        let mut page = page(pages, number, original);
        set_checksum(&mut page, pages.zip);
        with_tail(&mut page[38..]);
        if kind == 15 {
            page[28..30].copy_from_slice(&original.to_be_bytes());
        }
        page[24..26].copy_from_slice(&kind.to_be_bytes());
        file.extend_from_slice(&page);
    }
    file
}

/// A page that was compressed as a whole and encrypted; `method`: 1 zlib, 2 LZ4.
pub(crate) fn compressed_page(pages: Pages, method: u8) -> Vec<u8> {
    let mut clear = page(pages, 3, 17_855);
    set_checksum(&mut clear, false);
    let packed = match method {
        1 => miniz_oxide::deflate::compress_to_vec_zlib(&clear[38..], 6),
        _ => literals(&clear[38..]),
    };
    let mut page = vec![0; pages.physical.max(packed.len() + 64)];
    page[..38].copy_from_slice(&clear[..38]);
    page[24..26].copy_from_slice(&16u16.to_be_bytes());
    page[26..28].copy_from_slice(&[1, method]);
    page[28..30].copy_from_slice(&17_855u16.to_be_bytes());
    page[30..32].copy_from_slice(&((clear.len() - 38) as u16).to_be_bytes());
    page[32..34].copy_from_slice(&(packed.len() as u16).to_be_bytes());
    let end = (packed.len() + 38).max(70);
    page[38..38 + packed.len()].copy_from_slice(&packed);
    with_tail(&mut page[38..end]);
    page
}

/// LZ4 of nothing but literals.
fn literals(data: &[u8]) -> Vec<u8> {
    let mut packed = vec![0xF0];
    let mut left = data.len() - 15;
    while left >= 255 {
        packed.push(255);
        left -= 255;
    }
    packed.push(left as u8);
    packed.extend_from_slice(data);
    packed
}

/// A redo file with an encrypted block, one in the clear and one of an earlier use.
pub(crate) fn redo(number: u32, master: &[u8]) -> Vec<u8> {
    const START: u64 = 512 * 1000;
    let mut file = vec![0; 2_048];
    file[..4].copy_from_slice(&6u32.to_be_bytes());
    file[8..16].copy_from_slice(&START.to_be_bytes());
    let crc = crc32c::crc32c(&file[..508]).to_be_bytes();
    file[508..512].copy_from_slice(&crc);
    file[1_072..1_072 + 111].copy_from_slice(&info(number, master));
    for (i, encrypted, of_now) in [(0u32, true, true), (1, false, true), (2, true, false)] {
        let mut block = vec![0xAB; 512];
        let number = if of_now { 1001 + i } else { 17 };
        block[..4].copy_from_slice(&number.to_be_bytes());
        block[4..6].copy_from_slice(&512u16.to_be_bytes());
        let crc = crc32c::crc32c(&block[..508]).to_be_bytes();
        block[508..].copy_from_slice(&crc);
        if encrypted {
            with_tail(&mut block[12..]);
            block[4] |= 0x80;
        }
        if !of_now {
            block[100] ^= 1;
        }
        file.extend_from_slice(&block);
    }
    file
}

/// A binary log with its first event.
pub(crate) fn log(number: u32, key: &[u8]) -> Vec<u8> {
    let name = format!("MySQLReplicationKey_{UUID}_{number}");
    let (mut password, iv) = ([9u8; 32], [4u8; 16]);
    let digest = Sha512::digest(password);
    let mut start: [u8; 16] = digest[32..48].try_into().unwrap();
    start[8..].fill(0);
    let mut data = b"\xfebin and what follows".to_vec();
    ctr::Ctr64BE::<Aes256>::new_from_slices(&digest[..32], &start)
        .unwrap()
        .apply_keystream(&mut data);
    cbc(key, &iv, &mut password);
    let mut file = [
        b"\xfdbin\x01\x01",
        &[name.len() as u8][..],
        name.as_bytes(),
        b"\x02",
        &password,
        b"\x03",
        &iv,
    ]
    .concat();
    file.resize(512, 0);
    file.extend_from_slice(&data);
    file
}

/// mysqld-auto.cnf with sensitive variables.
pub(crate) fn persisted(key: &[u8]) -> Vec<u8> {
    let (mut file_key, ivs) = ([3u8; 32], [[1u8; 16], [2u8; 16]]);
    let text = br#"{"mysql_sensitive_static_variables": {}}"#;
    let mut blob = vec![0; text.len() / 16 * 16 + 16];
    blob[..text.len()].copy_from_slice(text);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&file_key, &ivs[1]).unwrap();
    cipher
        .encrypt_padded::<Pkcs7>(&mut blob, text.len())
        .unwrap();
    cbc(key, &ivs[0], &mut file_key);
    let hex = crate::text::hex;
    serde_json::json!({
        "Version": 2,
        "mysql_sensitive_variables": {
            "master_key_id": "persisted_variables_key", "file_key": hex(&file_key), "file_key_iv": hex(&ivs[0]),
            "mysql_sensitive_variables_iv": hex(&ivs[1]), "mysql_sensitive_variables_blob": hex(&blob),
        }
    })
    .to_string()
    .into_bytes()
}

/// A redo file without encryption whose records hold the encryption information of a tablespace, over the border of two
/// blocks; the checkpoint is before its second block.
pub(crate) fn redo_with_record(number: u32, master: &[u8]) -> Vec<u8> {
    redo_with_records(&[info(number, master)])
}

/// The same with several ones behind each other.
pub(crate) fn redo_with_records(infos: &[Vec<u8>]) -> Vec<u8> {
    let mut file = redo(1, &MASTER)[..2_048].to_vec();
    file[1_072..1_072 + 111].fill(0);
    set_checkpoint(&mut file, 512 * 1_001);
    let mut records = vec![1u8; 496 * 2 - 40];
    for info in infos {
        let at = 10_390u16.to_be_bytes();
        records.extend_from_slice(&[0x9e, 2, 0, at[0], at[1], 0, 111]);
        records.extend_from_slice(info);
    }
    records.extend_from_slice(&[2; 300]);
    for (i, data) in records.chunks(496).enumerate() {
        let mut block = vec![0; 512];
        block[..4].copy_from_slice(&(1_001 + i as u32).to_be_bytes());
        let used = if data.len() == 496 {
            512
        } else {
            data.len() as u16 + 12
        };
        block[4..6].copy_from_slice(&used.to_be_bytes());
        block[12..12 + data.len()].copy_from_slice(data);
        let crc = crc32c::crc32c(&block[..508]).to_be_bytes();
        block[508..].copy_from_slice(&crc);
        file.extend_from_slice(&block);
    }
    file
}

/// The checkpoint in the header of a redo file.
pub(crate) fn set_checkpoint(file: &mut [u8], at: u64) {
    file[520..528].copy_from_slice(&at.to_be_bytes());
    let crc = crc32c::crc32c(&file[512..1_020]).to_be_bytes();
    file[1_020..1_024].copy_from_slice(&crc);
}

/// Where in the log a redo file begins, and its format.
pub(crate) fn set_start(file: &mut [u8], at: u64, format: u32) {
    file[..4].copy_from_slice(&format.to_be_bytes());
    file[8..16].copy_from_slice(&at.to_be_bytes());
    let crc = crc32c::crc32c(&file[..508]).to_be_bytes();
    file[508..512].copy_from_slice(&crc);
}
