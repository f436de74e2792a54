use super::hand_over::About;
use super::parcel::{Content, MAX_BODY};
use super::receipt::{Receipt, Said};
use super::request::Public;
use super::*;
use crate::envelope::TransportKeys;
use crate::key::extensions::{Extensions, FIRST_RESTRICTING, HOLD, RETIRED};
use crate::key::id::KeyId;
use crate::key::logical::{Logical, State, VersionOf};
use crate::secret::SecretPool;
use proptest::prelude::*;

const SOURCE: ServerId = ServerId([0x5a; 16]);
const SECRET: [u8; 32] = [5; 32];

fn keys(fill: u8) -> TransportKeys {
    TransportKeys::derive(&SecretPool::new(), &[fill; 32]).unwrap()
}

fn content(name: &[u8], material: &[u8], states: &[State]) -> Content {
    let mut logical = Logical::unknown([7; 16]);
    logical.description = "Kundendaten".into();
    for state in states {
        let number = logical.add_version(1).unwrap();
        logical.put_into(number, *state, 2).unwrap();
    }
    let number = logical.highest;
    Content {
        id: KeyId::new(name, b"app@%").unwrap(),
        version: VersionOf { number, logical },
        restrictions: Extensions::default(),
        key_type: "AES".into(),
        created_at: 1_700_000_000,
        material: SecretPool::new().copy(material).unwrap(),
    }
}

fn parcel() -> Vec<u8> {
    let content = content(b"ssn", &[9; 32], &[State::Deactivated, State::Active]);
    parcel::write(&SecretPool::new(), ("replicas", &keys(1)), SOURCE, &content).unwrap()
}

fn hand_over() -> Vec<u8> {
    let about = About {
        name: "replicas",
        made: 1_700_000_000,
        source: SOURCE,
    };
    let to = Public::of_secret(&SECRET).unwrap();
    hand_over::write(&SecretPool::new(), &about, &[1; 32], &to).unwrap()
}

fn receipt() -> Vec<u8> {
    let keys = keys(1);
    let said = Said {
        under: Under {
            id: keys.id(),
            name: "replicas",
        },
        replica: ServerId([3; 16]),
        key: [7; 16],
        version: 2,
        state: State::Pending,
        at: 1_700_000_001,
        parcel: [8; 32],
        digest: [9; 32],
    };
    Receipt::sign(&keys, said).write()
}

/// What the bytes give to who has the right keys; an error says that nothing was believed.
fn opens(bytes: &[u8], key: u8, secret: &[u8]) -> Result<()> {
    let pool = SecretPool::new();
    match read(bytes)? {
        Message::HandOver(message) => message.open(&pool, secret).map(drop),
        Message::Parcel(parcel) => parcel.open(&pool, &keys(key)).map(drop),
        Message::Receipt(receipt) => receipt.check(&keys(key)),
    }
}

#[test]
fn what_is_sealed_is_what_is_opened() {
    let pool = SecretPool::new();
    let bytes = parcel();
    let Message::Parcel(read_back) = read(&bytes).unwrap() else {
        panic!("a parcel")
    };
    let opened = read_back.open(&pool, &keys(1)).unwrap();
    let sealed = content(b"ssn", &[9; 32], &[State::Deactivated, State::Active]);
    assert_eq!((&opened.id, opened.created_at), (&sealed.id, 1_700_000_000));
    assert_eq!(opened.version, sealed.version);
    assert_eq!(
        (&opened.material[..], &*opened.key_type),
        (&[9; 32][..], "AES")
    );
    assert_eq!(
        (read_back.source, read_back.under.name),
        (SOURCE, "replicas")
    );
    assert_eq!(opened.state(), State::Active);

    let bytes = hand_over();
    let Message::HandOver(message) = read(&bytes).unwrap() else {
        panic!("a hand-over")
    };
    assert_eq!(&message.open(&pool, &SECRET).unwrap()[..], [1; 32]);
    assert_eq!(message.under.id, keys(1).id());

    let bytes = receipt();
    let Message::Receipt(receipt) = read(&bytes).unwrap() else {
        panic!("a receipt")
    };
    receipt.check(&keys(1)).unwrap();
    assert_eq!(
        (receipt.said.version, receipt.said.replica),
        (2, ServerId([3; 16]))
    );
    assert_eq!(receipt.write(), bytes);
}

/// Two parcels of the same version have nothing in common behind what they say in clear.
#[test]
fn the_same_again_is_sealed_otherwise() {
    let (a, b) = (parcel(), parcel());
    assert_eq!(a.len(), b.len());
    let clear = MAX_HEAD - MAX_NAME + "replicas".len() + 16;
    assert_eq!(a[..clear], b[..clear]);
    let same = a[clear..].iter().zip(&b[clear..]).filter(|(a, b)| a == b);
    assert!(same.count() < (a.len() - clear) / 8);
    assert!(!a.windows(9).any(|w| w == b"Kundendat" || w == [9; 9]));
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    for (what, bytes) in [
        ("hand-over", hand_over()),
        ("parcel", parcel()),
        ("receipt", receipt()),
    ] {
        opens(&bytes, 1, &SECRET).unwrap();
        for end in 0..bytes.len() {
            let said = opens(&bytes[..end], 1, &SECRET).unwrap_err();
            assert_eq!(
                said.kind(),
                Kind::InvalidInput,
                "{what} cut at {end}: {said}"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(
            opens(&longer, 1, &SECRET).is_err(),
            "{what} with a byte more"
        );
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let said = opens(&bad, 1, &SECRET).unwrap_err();
            let expected = [Kind::InvalidInput, Kind::Tampered, Kind::UnsupportedVersion];
            assert!(expected.contains(&said.kind()), "{what} bit {bit}: {said}");
        }
    }
}

#[test]
fn another_transport_key_opens_nothing() {
    for bytes in [parcel(), receipt()] {
        assert_eq!(
            opens(&bytes, 2, &SECRET).unwrap_err().kind(),
            Kind::Tampered
        );
    }
    let said = opens(&hand_over(), 1, &[6; 32]).unwrap_err();
    assert_eq!(said.kind(), Kind::Tampered, "another request's secret");
}

/// Who seals for the request another transport key than the one that the message names.
#[test]
fn a_hand_over_holds_the_key_that_it_names() {
    let bytes = hand_over();
    let mut forged = bytes.clone();
    forged[HEAD..HEAD + 16].copy_from_slice(&keys(2).id());
    let bound = forged.len() - 80;
    let sealed = crate::kek::age::hpke::seal(
        b"keyring-ward/1 transport hand-over",
        &forged[..bound],
        &[1; 32],
        Public::of_secret(&SECRET).unwrap().bytes(),
    );
    forged.truncate(bound);
    forged.extend_from_slice(&sealed.unwrap());
    let said = opens(&forged, 1, &SECRET).unwrap_err();
    assert_eq!(said.kind(), Kind::Tampered, "{said}");
}

#[test]
fn a_newer_version_says_so() {
    for mut bytes in [hand_over(), parcel(), receipt()] {
        bytes[4] = 2;
        let said = read(&bytes).unwrap_err();
        assert_eq!(said.kind(), Kind::UnsupportedVersion);
        assert!(said.to_string().contains("version 2"), "{said}");
        bytes[4] = 1;
        bytes[5] = 4;
        assert_eq!(read(&bytes).unwrap_err().kind(), Kind::InvalidInput);
    }
}

#[test]
fn lengths_that_can_not_be_are_refused_at_once() {
    let bytes = parcel();
    let at = HEAD + 17 + "replicas".len() + 16 + 64;
    for length in [u32::MAX, MAX_BODY as u32 + 1, 1 << 31] {
        let mut bad = bytes.clone();
        bad[at..at + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(read(&bad).unwrap_err().kind(), Kind::InvalidInput);
    }
    let long = [&MAGIC[..], &[1, 2], &vec![0; MAX_MESSAGE]].concat();
    assert!(read(&long).is_err());
    assert!(from_text(&"A".repeat(MAX_TEXT + 1)).is_err());
    assert!(from_text("no base64!").is_err());
    let mut bad = bytes;
    bad[HEAD + 16] = 65;
    assert!(read(&bad).is_err(), "a longer name");
}

/// The longest material under the longest names, with as many versions as there can be.
#[test]
fn the_longest_version_travels() {
    let mut states = vec![State::Deactivated; 255];
    states[254] = State::Active;
    let mut longest = content("ü".repeat(240).as_bytes(), &[9; 16_384], &states);
    longest.id = KeyId::new(
        "ü".repeat(240).as_bytes(),
        format!("{}@%", "ü".repeat(250)).as_bytes(),
    )
    .unwrap();
    longest.version.logical.description = "d".repeat(255);
    longest.version.logical.environment = "e".repeat(32);
    longest.version.logical.held = Some("h".repeat(255));
    let name = "n".repeat(MAX_NAME);
    let bytes = parcel::write(&SecretPool::new(), (&name, &keys(1)), SOURCE, &longest).unwrap();
    assert!(bytes.len() <= MAX_MESSAGE);
    opens(&bytes, 1, &[]).unwrap();
    let mut lines = String::new();
    for line in to_text(&bytes).as_bytes().chunks(76) {
        lines.push_str(std::str::from_utf8(line).unwrap());
        lines.push('\n');
    }
    assert_eq!(
        from_text(&lines).unwrap(),
        bytes,
        "as TO_BASE64() breaks it"
    );
}

/// A newer program's key is not taken for one that may be used without what it does not know.
#[test]
fn what_restricts_a_key_and_is_not_known_is_refused() {
    let (pool, keys) = (SecretPool::new(), keys(1));
    let whole = content(b"ssn", &[9; 4], &[State::Active]);
    let description = whole.version.to_bytes();
    let sealed = |restrictions: &[u8]| {
        let mut text = 1i64.to_le_bytes().to_vec();
        let fields: [&[u8]; 6] = [
            b"AES",
            b"ssn",
            b"app@%",
            &description,
            restrictions,
            &[9; 4],
        ];
        for field in fields {
            text.extend_from_slice(&(field.len() as u16).to_le_bytes());
            text.extend_from_slice(field);
        }
        let mut out = head(
            Is::Parcel,
            &Under {
                id: keys.id(),
                name: "r",
            },
        );
        out.extend_from_slice(&SOURCE.0);
        let envelope = keys.seal(&pool, &out, &mut text).unwrap();
        out.extend_from_slice(&envelope.salt);
        out.extend_from_slice(&envelope.commitment);
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(&text);
        out.extend_from_slice(&envelope.tag);
        opens(&out, 1, &[]).map_err(|e| e.kind())
    };
    assert_eq!(sealed(&[]), Ok(()));
    assert_eq!(sealed(&[254, 1, 0, 7]), Err(Kind::UnsupportedVersion));
    const { assert!(FIRST_RESTRICTING < 254) };
    for bad in [
        &[254, 1, 0][..],
        &[254],
        &[7, 1, 0, 7],
        &[254, 0, 0, 254, 0, 0],
        &[254, 9, 0, 1],
    ] {
        assert_eq!(sealed(bad), Err(Kind::InvalidInput), "{bad:?}");
    }
}

#[test]
fn what_must_not_travel_is_refused() {
    let write = |content: &Content| {
        parcel::write(&SecretPool::new(), ("replicas", &keys(1)), SOURCE, content)
    };
    let destroyed = content(b"ssn", &[9; 32], &[State::Active, State::Destroyed]);
    assert!(write(&destroyed).is_err());
    let mut of_nobody = content(b"transport/x", &[9; 32], &[State::Active]);
    of_nobody.id = KeyId::new(b"transport/x", b"keyring_ward").unwrap();
    let said = write(&of_nobody).unwrap_err();
    assert!(said.to_string().contains("no account"), "{said}");
    let mut noted = content(b"ssn", &[9; 32], &[State::Active]);
    let entry = |tag, bytes: &[u8]| Extensions::new([(tag, bytes.to_vec())]).unwrap();
    for bad in [
        entry(7, b"a note"),
        entry(RETIRED, &[1; 12]),
        entry(HOLD, b"case 7"),
    ] {
        noted.restrictions = bad;
        assert!(write(&noted).is_err());
    }
    let versioned = content(b"ssn@3", &[9; 32], &[State::Active]);
    assert!(write(&versioned).is_err(), "the name of a version");
}

#[test]
fn the_text_of_a_public_key_has_one_spelling() {
    let public = Public::of_secret(&SECRET).unwrap();
    let text = public.to_string();
    assert!(text.starts_with("kwtransport1"), "{text}");
    assert_eq!(Public::parse(&text).unwrap(), public);
    assert_eq!(public.fingerprint().len(), 39);
    let age = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    for (bad, why) in [
        (text.to_uppercase(), "capitals"),
        (text[1..].into(), "cut"),
        (format!("{text}q"), "longer"),
        (text.replace('q', "p"), "a character"),
        (age.into(), "a key of age"),
        ("x".repeat(100_000), "long"),
        (String::new(), "nothing"),
    ] {
        assert!(Public::parse(&bad).is_err(), "{why}");
    }
    assert!(Public::new([0; 32]).is_none());
}

#[test]
fn names_and_fingerprints() {
    for good in ["a", "replicas-2027.1_x", &"n".repeat(64)] {
        check_name(good).unwrap();
    }
    for bad in ["", "a b", "a/b", "a@b", "ü", &"n".repeat(65), "a'b"] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
    let print = fingerprint(&[0xab; 16]);
    assert_eq!(print, "abab-abab-abab-abab-abab-abab-abab-abab");
    assert_eq!(read_fingerprint(&print.to_uppercase()).unwrap(), [0xab; 16]);
    assert_eq!(read_fingerprint(&"ab".repeat(16)).unwrap(), [0xab; 16]);
    for bad in ["", "abab", &"ab".repeat(17), &"xy".repeat(16)] {
        assert!(read_fingerprint(bad).is_err(), "{bad}");
    }
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(ServerId::parse(uuid).unwrap().to_string(), uuid);
    for bad in [
        "",
        "0123456789abcdef0123456789abcdef",
        "00000000-0000-0000-0000-000000000000",
        &uuid[1..],
    ] {
        assert!(ServerId::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(ServerId::default().to_string(), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..5) {
        let _ = read(&bytes);
        let message = [&MAGIC[..], &[1, kind], &bytes].concat();
        let _ = opens(&message, 1, &SECRET);
        let named = [&MAGIC[..], &[1, kind], &[0; 16], &[1, b'a'], &bytes].concat();
        let _ = opens(&named, 1, &SECRET);
    }

    /// Who has the transport key may seal any bytes: what opens is a version that may be there.
    #[test]
    fn any_body_is_opened_within_its_bounds(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (pool, keys) = (SecretPool::new(), keys(1));
        let mut out = head(Is::Parcel, &Under { id: keys.id(), name: "r" });
        out.extend_from_slice(&SOURCE.0);
        let mut text = body;
        let envelope = keys.seal(&pool, &out, &mut text).unwrap();
        out.extend_from_slice(&envelope.salt);
        out.extend_from_slice(&envelope.commitment);
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(&text);
        out.extend_from_slice(&envelope.tag);
        let said = opens(&out, 1, &SECRET).map_err(|e| e.kind());
        prop_assert_eq!(said, Err(Kind::InvalidInput));
    }

    #[test]
    fn any_material_travels(material in proptest::collection::vec(any::<u8>(), 0..100), name in "[a-z]{1,20}") {
        let (pool, keys) = (SecretPool::new(), keys(1));
        let content = content(name.as_bytes(), &material, &[State::Pending]);
        let bytes = parcel::write(&pool, ("r", &keys), SOURCE, &content).unwrap();
        let Message::Parcel(parcel) = read(&bytes).unwrap() else { panic!("a parcel") };
        let opened = parcel.open(&pool, &keys).unwrap();
        prop_assert_eq!(&opened.material[..], &material[..]);
        prop_assert_eq!(opened.id.name(), name.as_bytes());
    }
}
