//! The KEK over identities that are made here, and over an age file that another program wrote.

use super::*;
use crate::secret_source::{Held, SecretRef};
use age::secrecy::ExposeSecret;
use std::time::Duration;

const FILE: [u8; FILE_ID] = [7; FILE_ID];
const DEK: [u8; KEY] = [9; KEY];

/// A recipient, and its secret key as a file of it.
fn pair(pool: &SecretPool) -> (Recipient, SecretRef) {
    let key = age::x25519::Identity::generate();
    let text = key.to_string();
    let held = Held::new(pool.copy(text.expose_secret().as_bytes()).unwrap());
    (key.to_public().into(), SecretRef::Held(held))
}

fn kek(recipients: &[&Recipient], identity: Option<&SecretRef>) -> AgeKek {
    AgeKek::new(AgeConfig {
        recipients: recipients.iter().map(|r| (*r).clone()).collect(),
        identity: identity.cloned(),
    })
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn wrap(pool: &SecretPool, kek: &AgeKek) -> Stanza {
    kek.wrap(pool, &FILE, &Part::whole(&DEK), soon()).unwrap()
}

/// The DEK, or `None` for WrongKey.
fn unwrap(pool: &SecretPool, kek: &AgeKek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    match kek.unwrap(pool, &FILE, stanza, &mut Budget::new(soon()))? {
        Unwrapped::Opened(dek) => Ok(Some(dek.to_vec())),
        Unwrapped::WrongKey => Ok(None),
        Unwrapped::NotMine => panic!("it is age's"),
    }
}

#[test]
fn each_recipient_opens_alone_and_nobody_else() {
    let pool = SecretPool::new();
    let [(a, of_a), (b, of_b), (_, of_c)] = [(); 3].map(|()| pair(&pool));
    let both = kek(&[&a, &b], None);
    let stanza = wrap(&pool, &both);
    assert_eq!(stanza.key_ref, format!("{}, {}", a.name(), b.name()));
    for (identity, opens) in [(&of_a, true), (&of_b, true), (&of_c, false)] {
        let opened = unwrap(&pool, &kek(&[&a], Some(identity)), &stanza).unwrap();
        assert_eq!(opened, opens.then(|| DEK.to_vec()));
    }
}

#[test]
fn without_an_identity_it_wraps_and_does_not_open() {
    let pool = SecretPool::new();
    let (a, of_a) = pair(&pool);
    let (_, of_b) = pair(&pool);
    let wraps = kek(&[&a], None);
    wraps.probe(&pool, soon()).unwrap();
    let stanza = wrap(&pool, &wraps);
    let e = unwrap(&pool, &wraps, &stanza).unwrap_err();
    assert_eq!(e.kind(), Kind::Config);
    assert!(e.to_string().contains("is not on this machine"), "{e}");
    kek(&[&a], Some(&of_a)).probe(&pool, soon()).unwrap();
    let e = kek(&[&a], Some(&of_b)).probe(&pool, soon()).unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput);
    assert!(e.to_string().contains(&a.name()), "{e}");
}

#[test]
fn an_age_file_that_holds_something_else_opens_nothing() {
    let pool = SecretPool::new();
    let (a, of_a) = pair(&pool);
    let opens = kek(&[&a], Some(&of_a));
    let good = wrap(&pool, &opens);
    let (head, file) = good.blob.split_at(crate::envelope::LOCAL_BLOB);
    let mut bad: Vec<Vec<u8>> = [0, 1, KEY - 1, KEY + 1, 4096]
        .iter()
        .map(|&n| seal(std::slice::from_ref(&a), &vec![5; n]).unwrap())
        .collect();
    // Cut at every length, and changed at every byte.
    bad.extend((1..file.len()).map(|n| file[..n].to_vec()));
    bad.extend((0..file.len()).map(|i| {
        let mut changed = file.to_vec();
        changed[i] ^= 1;
        changed
    }));
    bad.push([file, b"x"].concat());
    // One for the same recipient with another data key: what everybody can write.
    bad.push(seal(std::slice::from_ref(&a), &[5; KEY]).unwrap());
    for (i, file) in bad.iter().enumerate() {
        let stanza = Stanza {
            blob: [head, file].concat(),
            ..good.clone()
        };
        assert_eq!(unwrap(&pool, &opens, &stanza).unwrap(), None, "{i}");
    }
}

#[test]
fn as_many_of_the_longest_recipients_as_are_taken_fit_a_stanza() {
    let line = include_str!("../../../tests/support/age/rsa-4096.pub");
    let longest = Recipient::parse(line.trim()).unwrap();
    let file = seal(&vec![longest; recipient::MAX_RECIPIENTS], &DEK).unwrap();
    assert!(file.len() <= data_key::MAX_CIPHERTEXT, "{}", file.len());
}

/// Public line, secret file, and an age file with the bytes 0 to 31, which age 1.1.1 wrote (tests/support/age/README.md).
const OF_ANOTHER_PROGRAM: [(&str, &[u8], &[u8]); 3] = [
    (
        "",
        include_bytes!("../../../tests/support/age/identity.txt"),
        include_bytes!("../../../tests/support/age/x25519.age"),
    ),
    (
        include_str!("../../../tests/support/age/ed25519.pub"),
        include_bytes!("../../../tests/support/age/ed25519"),
        include_bytes!("../../../tests/support/age/ed25519.age"),
    ),
    (
        include_str!("../../../tests/support/age/rsa-4096.pub"),
        include_bytes!("../../../tests/support/age/rsa-4096"),
        include_bytes!("../../../tests/support/age/rsa-4096.age"),
    ),
];

#[test]
fn what_the_program_age_wrote_is_opened_for_each_kind_of_key() {
    let pool = SecretPool::new();
    let wanted: Vec<u8> = (0..KEY as u8).collect();
    for (public, secret, file) in OF_ANOTHER_PROGRAM {
        let source = SecretRef::Held(Held::new(pool.copy(secret).unwrap()));
        let identities = identity::read(&pool, &source, &mut Vec::new()).unwrap();
        let opened = open(&pool, &identities, file).unwrap().unwrap();
        assert_eq!(*opened, *wanted, "{public}");
        if !public.is_empty() {
            assert_eq!(
                identities[0].recipient,
                Recipient::parse(public.trim()).unwrap()
            );
        }
        // And the whole way here, for the same kind of key.
        let recipient = identities[0].recipient.clone();
        let opens = kek(&[&recipient], Some(&source));
        opens.probe(&pool, soon()).unwrap();
        let stanza = wrap(&pool, &opens);
        assert_eq!(unwrap(&pool, &opens, &stanza).unwrap(), Some(DEK.to_vec()));
    }
}
