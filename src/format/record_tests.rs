//! Unit tests of a record's plaintext.

use super::super::frame::MAX_BODY;
use super::super::limits::MAX_PLAINTEXT;
use super::*;
use crate::error::Kind;
use crate::secret::SecretBytes;

fn pool() -> SecretPool {
    SecretPool::new()
}

fn written(operation: &Operation<'_>) -> Vec<u8> {
    let mut text = vec![0; operation.plaintext_length()];
    assert!(text.len() <= MAX_BODY);
    operation.write(&mut text);
    text
}

fn list(entries: &[(u8, &[u8])]) -> Extensions {
    Extensions::new(entries.iter().map(|(tag, bytes)| (*tag, bytes.to_vec()))).unwrap()
}

fn longest_list() -> Extensions {
    list(&[(9, &[3; MAX_EXTENSIONS - extensions::OVERHEAD])])
}

fn longest_id() -> KeyId {
    KeyId::new("🔑".repeat(255).as_bytes(), &[0xFF; 255]).unwrap()
}

fn secret(bytes: &[u8]) -> SecretBytes {
    pool().copy(bytes).unwrap()
}

fn key() -> KeyRecord {
    let material = secret(&[7; 16_384]);
    let record = KeyRecord::new(longest_id(), b"aes", material, 42, 3).unwrap();
    record.with_extensions(longest_list())
}

#[test]
fn plaintext_round_trip_and_limits() {
    let longest = "longest plaintext: 1 + 2 + 64 + 4 + 65536 + 2 + 16384";
    assert_eq!(MAX_PLAINTEXT, 81_993, "{longest}");
    let pool = pool();
    let record = key();
    let mut text = written(&Operation::Put(&record));
    match read_plaintext(&pool, &text).unwrap() {
        Some(ReadChange::Put(back)) => {
            assert_eq!(back.id, longest_id());
            assert_eq!(
                (&*back.key_type, back.created_at, back.generation),
                ("aes", 42, 3)
            );
            assert_eq!(back.material(), &[7; 16_384]);
            assert_eq!(back.extensions(), &longest_list());
        }
        _ => panic!("not a put"),
    }
    for len in 0..text.len() {
        assert!(read_plaintext(&pool, &text[..len]).unwrap().is_none());
    }
    let last = text.len() - 1;
    text[last] = 1;
    assert!(
        read_plaintext(&pool, &text).unwrap().is_none(),
        "zeroes only"
    );
    text[last] = 0;
    text.push(0);
    assert!(read_plaintext(&pool, &text).unwrap().is_none());
}

#[test]
fn the_other_operations_round_trip() {
    let pool = pool();
    let id = longest_id();
    let text = written(&Operation::Remove(&id, &longest_list()));
    assert!(matches!(
        read_plaintext(&pool, &text).unwrap(),
        Some(ReadChange::Remove(back)) if back == id
    ));
    for attributes in [longest_list(), Extensions::default()] {
        let text = written(&Operation::Attributes(&id, &attributes));
        match read_plaintext(&pool, &text).unwrap() {
            Some(ReadChange::Attributes(back, list)) => {
                assert_eq!((back, list), (id.clone(), attributes))
            }
            _ => panic!("not attributes"),
        }
    }
    for content in [&[][..], &[5; MAX_DOCUMENT]] {
        let document = Document::new(&[b'n'; 64], secret(content), longest_list()).unwrap();
        let operation = Operation::Document(&document);
        assert_eq!(operation.is_kept(), !content.is_empty());
        let text = written(&operation);
        match read_plaintext(&pool, &text).unwrap() {
            Some(ReadChange::Document(back)) => {
                assert_eq!((back.name(), back.content()), (document.name(), content));
                assert_eq!(back.extensions(), &longest_list());
            }
            _ => panic!("not a document"),
        }
        for len in [0, 1, 67, 71, text.len() - 1] {
            assert!(read_plaintext(&pool, &text[..len]).unwrap().is_none());
        }
    }
}

/// Every bound that stands between a record and the memory that it may fill, with one byte too many.
#[test]
fn what_is_longer_than_its_bound_breaks_the_rules() {
    let with = |fields: &[&[u8]]| {
        let mut text = fields.concat();
        text.resize(padded(FRAME_OVERHEAD + text.len()) - FRAME_OVERHEAD, 0);
        read_plaintext(&pool(), &text)
    };
    let name: &[u8] = &[1, 0, b'k', 0, 0];
    let u16s = |n: usize| (n as u16).to_le_bytes();
    let long = [7; MAX_EXTENSIONS + 1];
    let entry = |n: usize| [&[9][..], &u16s(n), &long[..n]].concat();
    let most = entry(MAX_EXTENSIONS - 3);
    assert!(
        with(&[&[2], name, &u16s(MAX_EXTENSIONS), &most])
            .unwrap()
            .is_some()
    );
    let more = entry(MAX_EXTENSIONS - 2);
    assert!(
        with(&[&[2], name, &u16s(MAX_EXTENSIONS + 1), &more])
            .unwrap()
            .is_none()
    );
    let document = |n: usize| {
        let length = (n as u32).to_le_bytes();
        with(&[&[4, 1, 0, b'd'], &length, &vec![1; n], &[0, 0]]).unwrap()
    };
    assert!(document(MAX_DOCUMENT).is_some() && document(MAX_DOCUMENT + 1).is_none());
    // A list that ends within a tag, a length, or the bytes of an entry.
    for cut in 1..7 {
        let list = &[9, 1, 0, 5, 8, 1, 0][..cut];
        let got = with(&[&[2], name, &u16s(cut), list]).unwrap();
        assert_eq!(got.is_some(), cut == 4, "{cut}");
    }
}

/// What a newer version says is told apart from damage: this program would drop it.
#[test]
fn what_is_newer_is_an_error_of_its_own() {
    let pool = pool();
    let newer = |text: &[u8]| match read_plaintext(&pool, text) {
        Err(e) => {
            assert_eq!(e.kind(), Kind::UnsupportedVersion);
            e.to_string()
        }
        Ok(_) => panic!("read"),
    };
    for operation in [0, 5, 255] {
        let e = newer(&[operation, 9, 9]);
        assert!(
            e.contains(&format!("({operation}; it knows 1 to 4)")),
            "{e}"
        );
    }
    let id = KeyId::new(b"k", b"").unwrap();
    let mut text = written(&Operation::Attributes(&id, &list(&[(127, b"kept")])));
    let at = text.iter().position(|b| *b == 127).unwrap();
    assert!(read_plaintext(&pool, &text).unwrap().is_some());
    text[at] = 128;
    assert!(newer(&text).contains("(tag 128;"), "{}", newer(&text));
    // What is not even a record is damage, whatever its tags.
    *text.last_mut().unwrap() = 1;
    assert!(read_plaintext(&pool, &text).unwrap().is_none());
}

/// So every key can be removed: `store::file::room` keeps as much room as the keys have.
#[test]
fn a_removal_is_never_longer_than_what_it_removes() {
    let id = KeyId::new(b"k", b"").unwrap();
    let short = KeyRecord::new(id.clone(), b"AES", secret(b""), 0, 1).unwrap();
    let actor = list(&[(extensions::ACTOR, &[b'a'; 255])]);
    let plain = Operation::Remove(&id, &extensions::NONE).frame_length();
    assert!(Operation::Remove(&id, &actor).frame_length() > put_length(&short));
    assert_eq!(Operation::remove(&short, &actor).frame_length(), plain);
    let long = KeyRecord::new(id, b"AES", secret(&[1; 300]), 0, 1).unwrap();
    assert!(Operation::remove(&long, &actor).frame_length() > plain);
    assert!(Operation::remove(&long, &actor).frame_length() <= put_length(&long));
}
