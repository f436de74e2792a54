//! The contract of `Kek`, over every provider.

#![allow(clippy::unwrap_used)]

mod common;

use common::write_secret;
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::format::stanza::{Holder, Part, Share, Stanza};
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::kek::settings::Settings;
use keyring_ward::kek::{Budget, Kek, Unwrapped, open_dek};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const FILE: [u8; 16] = [7; 16];
const DEK: [u8; 32] = [9; 32];

/// A provider under test: how to make one from a secret file, and two secrets that it accepts.
struct Provider {
    make: fn(&Path) -> Box<dyn Kek>,
    secrets: [&'static [u8]; 2],
}

const PROVIDERS: &[Provider] = &[
    Provider {
        make: |p| LocalConfig::Passphrase(SecretRef::File(p.into())).kek(),
        secrets: [b"first passphrase\n", b"second passphrase\n"],
    },
    Provider {
        make: |p| LocalConfig::KeyFile(SecretRef::File(p.into())).kek(),
        secrets: [&[1; 32], &[2; 48]],
    },
    Provider {
        make: |p| {
            of_json(
                "age",
                &format!(
                    r#""recipients": "{RECIPIENT}", "identity_file": "{}""#,
                    p.display()
                ),
            )
        },
        secrets: [
            include_bytes!("support/age/identity.txt"),
            b"AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n",
        ],
    },
    #[cfg(feature = "toy-provider")]
    Provider {
        make: |p| {
            of_json(
                "toy",
                &format!(r#""key": "k", "token_file": "{}""#, p.display()),
            )
        },
        secrets: [b"first token\n", b"second token\n"],
    },
];

/// The recipient of the identity in support/age.
const RECIPIENT: &str = "age1wty87pwk89vqtx772rw7zpwmpwkgqk4c0stz0s2e8qt95rdgvq0s0gfsha";

/// A KEK by its section.
fn of_json(name: &str, section: &str) -> Box<dyn Kek> {
    let text = format!(r#"{{ "backend": "{name}", "path": "/k", "{name}": {{ {section} }} }}"#);
    let layer = keyring_ward::config::json::parse(text.as_bytes(), "f");
    layer.unwrap().layer.finish().unwrap().keks[0].kek()
}

fn holder(kek: &str, share: Option<Share>) -> Holder {
    let kek = kek.into();
    Holder { kek, share }
}

/// What a stanza says of its holder is bound: another KEK's name, another split, another number, another threshold.
#[test]
fn a_part_is_bound_to_its_holder() {
    let pool = SecretPool::new();
    let share = Share {
        split: [4; 16],
        threshold: 2,
        shares: 3,
        number: 1,
    };
    let of = |change: fn(&mut Share)| {
        let mut other = share;
        change(&mut other);
        Some(holder("a", Some(other)))
    };
    let others = [
        None,
        Some(holder("a", None)),
        Some(holder("b", Some(share))),
        of(|s| s.split[15] ^= 1),
        of(|s| s.threshold = 3),
        of(|s| s.shares = 4),
        of(|s| s.number = 2),
    ];
    for provider in PROVIDERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_secret(&path, provider.secrets[0]);
        let kek = (provider.make)(&path);
        for own in [of(|_| ()), Some(holder("a", None)), None] {
            let part = match &own {
                Some(own) => Part::of(own, &DEK),
                None => Part::whole(&DEK),
            };
            let stanza = kek.wrap(&pool, &FILE, &part, soon()).unwrap();
            assert_eq!(stanza.holder, own);
            assert_eq!(unwrap(&*kek, &FILE, &stanza), Ok(Some(DEK.to_vec())));
            for other in others.iter().filter(|other| **other != own) {
                let mut bad = stanza.clone();
                bad.holder.clone_from(other);
                let opened = unwrap(&*kek, &FILE, &bad);
                assert_ne!(opened, Ok(Some(DEK.to_vec())), "{own:?} as {other:?}");
            }
        }
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn unwrap(kek: &dyn Kek, file: &[u8; 16], stanza: &Stanza) -> Result<Option<Vec<u8>>, Kind> {
    match kek.unwrap(&SecretPool::new(), file, stanza, &mut Budget::new(soon())) {
        Ok(Unwrapped::Opened(dek)) => Ok(Some(dek.to_vec())),
        Ok(Unwrapped::WrongKey | Unwrapped::NotMine) => Ok(None),
        Err(e) => Err(e.kind()),
    }
}

#[test]
fn wraps_and_unwraps_for_one_file_and_one_secret() {
    let pool = SecretPool::new();
    for provider in PROVIDERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_secret(&path, provider.secrets[0]);
        let kek = (provider.make)(&path);
        kek.probe(&pool, soon()).unwrap();
        let stanza = kek.wrap(&pool, &FILE, &Part::whole(&DEK), soon()).unwrap();
        assert_eq!(unwrap(&*kek, &FILE, &stanza), Ok(Some(DEK.to_vec())));
        assert_eq!(
            unwrap(&*kek, &[8; 16], &stanza),
            Ok(None),
            "another file's stanza"
        );
        assert_ne!(
            stanza,
            kek.wrap(&pool, &FILE, &Part::whole(&DEK), soon()).unwrap(),
            "never the same twice"
        );
        assert!(
            kek.wrap(&pool, &FILE, &Part::whole(&DEK[1..]), soon())
                .is_err(),
            "exactly 32 bytes"
        );

        // Nothing of the stanza can be changed unnoticed.
        let changes: [fn(&mut Stanza); 7] = [
            |s| s.blob[0] ^= 1,
            |s| s.blob[20] ^= 1,
            |s| s.commitment[31] ^= 1,
            |s| s.key_ref.push('x'),
            |s| s.holder = Some(holder("a", None)),
            |s| match s.params.last_mut() {
                Some(last) => *last ^= 1,
                None => s.params.push(1),
            },
            |s| s.blob.push(0),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut bad = stanza.clone();
            change(&mut bad);
            assert_ne!(
                unwrap(&*kek, &FILE, &bad),
                Ok(Some(DEK.to_vec())),
                "change {i}"
            );
        }

        write_secret(&path, provider.secrets[1]);
        // With a sentence of its own, where it knows more than that.
        let other = unwrap(&*kek, &FILE, &stanza);
        assert!(
            matches!(other, Ok(None) | Err(Kind::WrongKek)),
            "another secret: {other:?}"
        );
    }
}

#[test]
fn another_providers_stanza_is_wrong_kek_and_says_so() {
    let pool = SecretPool::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    write_secret(&path, b"a secret that both of them accept");
    for (a, b) in [(0, 1), (1, 0)] {
        let stanza = (PROVIDERS[a].make)(&path)
            .wrap(&pool, &FILE, &Part::whole(&DEK), soon())
            .unwrap();
        let kek = (PROVIDERS[b].make)(&path);
        assert!(matches!(
            kek.unwrap(&pool, &FILE, &stanza, &mut Budget::new(soon())),
            Ok(Unwrapped::NotMine)
        ));
        let e = open_dek(&pool, &[kek], &FILE, &[stanza], soon())
            .map(drop)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::WrongKek);
        assert!(e.to_string().contains("is wrapped by"), "{e}");
    }
}

#[test]
fn bad_secret_files_are_refused_with_the_reason() {
    let pool = SecretPool::new();
    for provider in PROVIDERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let kek = (provider.make)(&path);
        let probe = || {
            kek.probe(&pool, soon())
                .map_err(|e| (e.kind(), e.to_string()))
        };
        let refused = |kind: Kind, text: &str| match probe() {
            Err((k, message)) => {
                assert_eq!(k, kind, "{message}");
                assert!(message.contains(text), "{message}");
                assert!(
                    message.contains(&*path.to_string_lossy()),
                    "names the file: {message}"
                );
            }
            Ok(()) => panic!("accepted: {text}"),
        };
        refused(Kind::NotFound, "No such file");
        std::fs::create_dir(&path).unwrap();
        refused(Kind::InvalidInput, "folder");
        std::fs::remove_dir(&path).unwrap();
        write_secret(&path, b"");
        refused(Kind::InvalidInput, "");
        write_secret(&path, provider.secrets[0]);
        for mode in [0o604, 0o666, 0o602] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            refused(Kind::Permission, "");
        }
        // The group is the account's own here.
        for mode in [0o600, 0o400, 0o440] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            probe().unwrap();
        }
        write_secret(&path.with_extension("x"), &[1; 70_000]);
        std::fs::rename(path.with_extension("x"), &path).unwrap();
        refused(Kind::InvalidInput, "the limit is 65536");
        let target = dir.path().join("target");
        write_secret(&target, provider.secrets[0]);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        // A link is followed where nobody else could have made it: orchestrators hand secrets over so.
        probe().unwrap();
    }
}

#[test]
fn details_of_the_providers() {
    let pool = SecretPool::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    // One line end is not part of a passphrase; anything else is refused before it is tried.
    let kek = (PROVIDERS[0].make)(&path);
    write_secret(&path, b"pass phrase");
    let stanza = kek.wrap(&pool, &FILE, &Part::whole(&DEK), soon()).unwrap();
    for (text, opens) in [
        (&b"pass phrase\n"[..], Ok(true)),
        (b"pass phrase\r\n", Ok(true)),
        (b"pass phrasE\n", Ok(false)),
        (b"pass phrase \n", Err(Kind::InvalidInput)),
        (b"pass phrase\n\n", Err(Kind::InvalidInput)),
    ] {
        write_secret(&path, text);
        assert_eq!(
            unwrap(&*kek, &FILE, &stanza).map(|part| part.is_some()),
            opens,
            "{text:?}"
        );
    }
    write_secret(&path, b"\n");
    assert_eq!(
        kek.probe(&pool, soon()).unwrap_err().kind(),
        Kind::InvalidInput,
        "an empty passphrase"
    );
    // A key file has at least 32 bytes, whatever they are.
    let kek = (PROVIDERS[1].make)(&path);
    write_secret(&path, &[0; 31]);
    assert_eq!(
        kek.probe(&pool, soon()).unwrap_err().kind(),
        Kind::InvalidInput
    );
    write_secret(&path, &[b'\n'; 32]);
    kek.probe(&pool, soon()).unwrap();
}
