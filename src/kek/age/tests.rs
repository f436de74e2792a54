//! The KEK over identities that are made here, and over what another program sealed for keys that other programs made.

use super::*;
use crate::secret_source::{Held, SecretRef};
use bech32::{Bech32, Hrp};
use std::time::Duration;

const FILE: [u8; FILE_ID] = [7; FILE_ID];
const DEK: [u8; KEY] = [9; KEY];

fn held(pool: &SecretPool, secret: &[u8]) -> SecretRef {
    SecretRef::Held(Held::new(pool.copy(secret).unwrap()))
}

/// A recipient, and its secret key as a file of it.
pub(super) fn pair(pool: &SecretPool) -> (Recipient, SecretRef) {
    let scalar = pool.random(KEY).unwrap();
    let hrp = Hrp::parse("age-secret-key-").unwrap();
    let text = bech32::encode_upper::<Bech32>(hrp, &scalar).unwrap();
    let public = seal::x25519_public(&scalar).unwrap();
    (
        Recipient::of_x25519(public).unwrap(),
        held(pool, text.as_bytes()),
    )
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

/// The DEK, or `None` where it is for others.
fn unwrap(pool: &SecretPool, kek: &AgeKek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    match kek.unwrap(pool, &FILE, stanza, &mut Budget::new(soon())) {
        Ok(Unwrapped::Opened(dek)) => Ok(Some(dek.to_vec())),
        Ok(Unwrapped::WrongKey) => Ok(None),
        Ok(Unwrapped::NotMine) => panic!("it is age's"),
        Err(e) if e.kind() == Kind::WrongKek => Ok(None),
        Err(e) => Err(e),
    }
}

fn key(found: Result<Found>) -> Option<SecretBytes> {
    match found.unwrap() {
        Found::Key(key) => Some(key),
        Found::Others | Found::Changed => None,
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

/// In a disaster somebody holds one of several secret keys, and the keyring's recipient is the configured one.
#[test]
fn who_holds_another_secret_key_sees_which_one_is_wanted() {
    let pool = SecretPool::new();
    let [(a, of_a), (b, of_b)] = [(); 2].map(|()| pair(&pool));
    let stanza = wrap(&pool, &kek(&[&a], None));
    let opens = kek(&[&a], Some(&of_b));
    let e = opens.unwrap(&pool, &FILE, &stanza, &mut Budget::new(soon()));
    let e = e.err().unwrap();
    assert_eq!(e.kind(), Kind::WrongKek);
    let said = format!(
        "wrapped for {}, the secret key that is named is of {}",
        a.name(),
        b.name()
    );
    assert!(e.to_string().contains(&said), "{e}");
    // The right key, and another file: nothing to be said of the key.
    let opens = kek(&[&a], Some(&of_a));
    let other = opens.unwrap(&pool, &[8; FILE_ID], &stanza, &mut Budget::new(soon()));
    assert!(matches!(other, Ok(Unwrapped::WrongKey)));
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
fn what_is_sealed_otherwise_opens_nothing() {
    let pool = SecretPool::new();
    let (a, of_a) = pair(&pool);
    let (b, _) = pair(&pool);
    let opens = kek(&[&a, &b], Some(&of_a));
    let good = wrap(&pool, &opens);
    let (head, sealed) = good.blob.split_at(crate::envelope::LOCAL_BLOB);
    let both = [a, b];
    let mut bad: Vec<Vec<u8>> = [0, 1, KEY - 1, KEY + 1, 400]
        .iter()
        .map(|&n| super::seal(&both, &FILE, &vec![5; n]).unwrap())
        .collect();
    // Cut at every length, and changed at every byte of the head and of the first recipient.
    bad.extend((1..sealed.len()).map(|n| sealed[..n].to_vec()));
    bad.extend((1..2 + 35 + 80).map(|i| {
        let mut changed = sealed.to_vec();
        changed[i] ^= 1;
        changed
    }));
    bad.push([sealed, b"x"].concat());
    // For the same recipients: another data key, which everybody can write, and the same one for another file.
    bad.push(super::seal(&both, &FILE, &[5; KEY]).unwrap());
    let key = super::open(&pool, &opens.identities(&pool).unwrap(), &FILE, sealed);
    bad.push(super::seal(&both, &[8; FILE_ID], &self::key(key).unwrap()).unwrap());
    for (i, sealed) in bad.iter().enumerate() {
        let stanza = Stanza {
            blob: [head, sealed].concat(),
            ..good.clone()
        };
        assert_eq!(unwrap(&pool, &opens, &stanza).unwrap(), None, "{i}");
    }
    let mut newer = good.clone();
    newer.blob[head.len()] = 2;
    let e = unwrap(&pool, &opens, &newer).unwrap_err();
    assert_eq!(e.kind(), Kind::UnsupportedVersion);
    assert!(e.to_string().contains("has version 2"), "{e}");
}

const RSA_4096: &str = include_str!("../../../tests/support/age/rsa-4096.pub");

#[test]
fn as_many_of_the_longest_recipients_as_are_taken_fit_a_stanza() {
    let longest = Recipient::parse(RSA_4096.trim()).unwrap();
    let most = vec![longest; wrapped::MAX_RECIPIENTS];
    let sealed = super::seal(&most, &FILE, &DEK).unwrap();
    assert!(sealed.len() <= data_key::MAX_CIPHERTEXT, "{}", sealed.len());
    assert_eq!(
        wrapped::read(&sealed).unwrap().len(),
        wrapped::MAX_RECIPIENTS
    );
}

/// Public line and secret file (tests/support/age/README.md).
const OF_OTHER_PROGRAMS: [(&str, &[u8]); 7] = [
    (
        "age1wty87pwk89vqtx772rw7zpwmpwkgqk4c0stz0s2e8qt95rdgvq0s0gfsha",
        include_bytes!("../../../tests/support/age/identity.txt"),
    ),
    (
        include_str!("../../../tests/support/age/ed25519.pub"),
        include_bytes!("../../../tests/support/age/ed25519"),
    ),
    (
        include_str!("../../../tests/support/age/ed25519.pub"),
        include_bytes!("../../../tests/support/age/ed25519.pk8"),
    ),
    (
        include_str!("../../../tests/support/age/ed25519.pub"),
        include_bytes!("../../../tests/support/age/ed25519-putty"),
    ),
    (
        RSA_4096,
        include_bytes!("../../../tests/support/age/rsa-4096"),
    ),
    (
        RSA_2048,
        include_bytes!("../../../tests/support/age/rsa-2048.pem"),
    ),
    (
        RSA_2048,
        include_bytes!("../../../tests/support/age/rsa-2048.pk8"),
    ),
];
const RSA_2048: &str = include_str!("../../../tests/support/age/rsa-2048.pub");

#[test]
fn what_another_program_sealed_is_opened_for_each_type_of_key() {
    let pool = SecretPool::new();
    let wanted: Vec<u8> = (0..KEY as u8).collect();
    let sealed = include_bytes!("../../../tests/support/age/sealed");
    for (public, secret) in OF_OTHER_PROGRAMS {
        let source = held(&pool, secret);
        let identities = identity::read(&pool, &source, &mut Vec::new()).unwrap();
        let recipient = Recipient::parse(public.trim()).unwrap();
        assert_eq!(identities[0].recipient, recipient);
        let opened = super::open(&pool, &identities, &FILE, sealed);
        assert_eq!(*key(opened).unwrap(), *wanted, "{public}");
        // And the whole way here, for the same key.
        let opens = kek(&[&recipient], Some(&source));
        opens.probe(&pool, soon()).unwrap();
        let stanza = wrap(&pool, &opens);
        assert_eq!(unwrap(&pool, &opens, &stanza).unwrap(), Some(DEK.to_vec()));
    }
}
