//! Unit tests of the messages: the bytes that another implementation writes, truncations, and answers that are none.

use super::*;
use crate::text::hex;

const VERSIONS: [Version; 3] = [Version(1, 4), Version(2, 0), Version(2, 1)];
const ADDITIONAL: &[u8] = b"keyring-ward";

/// A message of `vectors.txt`.
fn vector(version: Version, name: &str) -> Vec<u8> {
    let wanted = format!("{}.{} {name} ", version.0, version.1);
    let found = include_str!("vectors.txt")
        .lines()
        .find_map(|line| line.strip_prefix(&wanted));
    crate::text::from_hex(found.unwrap(), 1 << 16).unwrap()
}

fn asking(version: Version, mode: Mode) -> Asking<'static> {
    Asking {
        version,
        key: "kek-1",
        mode,
        additional: ADDITIONAL,
    }
}

fn data() -> Vec<u8> {
    (0x40..0x60).collect()
}

fn iv(mode: Mode) -> Vec<u8> {
    (0xa0..0xb0).take(mode.iv()).collect()
}

fn sealed() -> Sealed {
    let bytes = |text| crate::text::from_hex(text, 64).unwrap();
    Sealed {
        iv: iv(Mode::Gcm),
        data: bytes("a6593e6e018e44f82a2ccd984b378e9120fd0b43c6e2143bc4577cdd23f62b5e"),
        tag: bytes("0ad866a661417de15474a38c2d3d2a4a"),
    }
}

#[test]
fn requests_are_those_of_another_implementation() {
    for version in VERSIONS {
        let asking = asking(version, Mode::Gcm);
        let request = asking.encrypt(&iv(Mode::Gcm), &data());
        assert_eq!(hex(&request), hex(&vector(version, "encrypt")));
        let request = asking.decrypt(&sealed());
        assert_eq!(hex(&request), hex(&vector(version, "decrypt")));
    }
    let version = Version(1, 2);
    let request = asking(version, Mode::Cbc).encrypt(&iv(Mode::Cbc), &data());
    assert_eq!(hex(&request), hex(&vector(version, "encrypt")));
}

#[test]
fn answers_are_read_and_no_beginning_of_one_is() {
    for version in VERSIONS {
        let asking = asking(version, Mode::Gcm);
        let encrypted = vector(version, "encrypted");
        let found = asking.encrypted(&encrypted, &iv(Mode::Gcm));
        assert_eq!(found, Ok(sealed()));
        let decrypted = vector(version, "decrypted");
        assert_eq!(asking.decrypted(&decrypted), Ok(&data()[..]));
        for end in 0..encrypted.len() {
            let e = asking.encrypted(&encrypted[..end], &iv(Mode::Gcm));
            assert_eq!(e, Err(NoAnswer::Fault(Fault::Cut)), "{end}");
        }
        for end in 0..decrypted.len() {
            let e = asking.decrypted(&decrypted[..end]);
            assert_eq!(e, Err(NoAnswer::Fault(Fault::Cut)), "{end}");
        }
        // An answer to the other question.
        assert!(matches!(
            asking.decrypted(&encrypted),
            Err(NoAnswer::Odd(why)) if why.contains("another operation")
        ));
    }
}

/// What an answer in a test may have.
struct Given<'a> {
    items: usize,
    operation: u32,
    status: Option<u32>,
    reason: Option<u32>,
    payload: bool,
    key: &'a str,
    data: Option<&'a [u8]>,
    iv: Option<&'a [u8]>,
    tag: Option<&'a [u8]>,
}

impl Given<'_> {
    fn good() -> Given<'static> {
        Given {
            items: 1,
            operation: 0x1F,
            status: Some(0),
            reason: None,
            payload: true,
            key: "kek-1",
            data: Some(&[1; 32]),
            iv: None,
            tag: Some(&[2; 16]),
        }
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.structure(tag::RESPONSE_MESSAGE, |w| {
            w.structure(tag::RESPONSE_HEADER, |_| {});
            for _ in 0..self.items {
                w.structure(tag::BATCH_ITEM, |w| self.item(w));
            }
        });
        w.finish()
    }

    fn item(&self, w: &mut Writer) {
        w.enumeration(tag::OPERATION, self.operation);
        if let Some(status) = self.status {
            w.enumeration(tag::RESULT_STATUS, status);
        }
        if let Some(reason) = self.reason {
            w.enumeration(tag::RESULT_REASON, reason);
            w.text(tag::RESULT_MESSAGE, "no\nway");
        }
        if !self.payload {
            return;
        }
        w.structure(tag::RESPONSE_PAYLOAD, |w| {
            w.text(tag::UNIQUE_IDENTIFIER, self.key);
            for (tag, value) in [
                (tag::DATA, self.data),
                (tag::IV_COUNTER_NONCE, self.iv),
                (tag::AUTHENTICATION_TAG, self.tag),
            ] {
                if let Some(value) = value {
                    w.bytes(tag, value);
                }
            }
        });
    }
}

#[test]
fn an_answer_that_no_server_can_give_is_told_as_what_it_is() {
    let asking = asking(Version(1, 4), Mode::Gcm);
    let good = Given::good;
    assert!(asking.encrypted(&good().bytes(), &[9; 12]).is_ok());
    type Change = fn(&mut Given<'_>);
    let odd: [(Change, &str); 12] = [
        (|g| g.items = 0, "another number of items"),
        (|g| g.items = 2, "another number of items"),
        (|g| g.operation = 0x20, "another operation"),
        (|g| g.status = None, "no result status"),
        (|g| g.status = Some(2), "result status 2"),
        (|g| g.payload = false, "without a payload"),
        (|g| g.key = "kek-2", "another key"),
        (|g| g.data = None, "12, 0 and 16 bytes"),
        (|g| g.data = Some(&[1; 33]), "12, 33 and 16 bytes"),
        (|g| g.tag = None, "12, 32 and 0 bytes"),
        (|g| g.tag = Some(&[2; 12]), "12, 32 and 12 bytes"),
        (|g| g.iv = Some(&[3; 17]), "17, 32 and 16 bytes"),
    ];
    for (change, words) in odd {
        let mut given = good();
        change(&mut given);
        match asking.encrypted(&given.bytes(), &[9; 12]) {
            Err(NoAnswer::Odd(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    // A server that chooses the IV.
    let mut chosen = good();
    chosen.iv = Some(&[3; 16]);
    let found = asking.encrypted(&chosen.bytes(), &[9; 12]).unwrap();
    assert_eq!(found.iv, [3; 16]);
    // A request is no answer.
    let request = asking.encrypt(&[9; 12], &[0; 32]);
    assert!(matches!(
        asking.encrypted(&request, &[9; 12]),
        Err(NoAnswer::Odd(_))
    ));
}

#[test]
fn a_data_key_of_another_length_is_none() {
    let asking = asking(Version(1, 4), Mode::Gcm);
    let of = |data: Option<&[u8]>| {
        let mut given = Given {
            data,
            ..Given::good()
        };
        given.operation = 0x20;
        let answer = given.bytes();
        asking.decrypted(&answer).map(<[u8]>::len)
    };
    assert_eq!(of(Some(&[7; 32])), Ok(32));
    for length in [0, 16, 31, 33, 64] {
        let key = vec![7; length];
        assert_eq!(of(Some(&key)), Err(NoAnswer::Length(length)));
    }
    assert_eq!(of(None), Err(NoAnswer::Odd("no data key".into())));
}

#[test]
fn a_refusal_keeps_reason_and_words() {
    let asking = asking(Version(1, 4), Mode::Gcm);
    let mut given = Given {
        status: Some(1),
        payload: false,
        reason: Some(0x0C),
        ..Given::good()
    };
    let refused = |reason, said: &str| {
        Err(NoAnswer::Refused {
            reason,
            said: said.into(),
        })
    };
    assert_eq!(
        asking.encrypted(&given.bytes(), &[9; 12]),
        refused(Some(0x0C), "no\nway")
    );
    // Servers leave the operation out where they did not come so far.
    given.operation = 0;
    given.reason = None;
    assert_eq!(
        asking.encrypted(&given.bytes(), &[9; 12]),
        refused(None, "")
    );
}

#[test]
fn a_sealed_data_key_survives_the_stanza() {
    let cbc = Sealed {
        iv: vec![1; 16],
        data: vec![2; 48],
        tag: Vec::new(),
    };
    for (sealed, mode) in [(sealed(), Mode::Gcm), (cbc, Mode::Cbc)] {
        let bytes = sealed.to_bytes();
        assert_eq!(Sealed::from_bytes(&bytes, mode), Some(sealed));
        for end in 0..bytes.len() {
            assert_eq!(Sealed::from_bytes(&bytes[..end], mode), None, "{end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Sealed::from_bytes(&longer, mode), None);
        for first in [0, 17, 255] {
            let mut bad = bytes.clone();
            bad[0] = first;
            assert_eq!(Sealed::from_bytes(&bad, mode), None, "an IV of {first}");
        }
    }
    assert_eq!(Sealed::from_bytes(&sealed().to_bytes(), Mode::Cbc), None);
}
