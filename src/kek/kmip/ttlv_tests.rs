//! Unit tests of TTLV: the examples of the specification, every bound, truncations, round trips.

use super::*;
use crate::text::hex;
use proptest::prelude::*;

const TAG: u32 = 0x42_0020;

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    crate::text::from_hex(&digits, 1 << 20).unwrap()
}

/// KMIP 1.4 section 9.1.2, "Examples".
const EXAMPLES: [(Type, &str); 9] = [
    (Type::Integer, "420020|02|00000004|00000008 00000000"),
    (Type::LongInteger, "420020|03|00000008|01B69B4BA5749200"),
    (
        Type::BigInteger,
        "420020|04|00000010|0000000003FD35EB 6BC2DF4618080000",
    ),
    (Type::Enumeration, "420020|05|00000004|000000FF 00000000"),
    (Type::Boolean, "420020|06|00000008|0000000000000001"),
    (
        Type::TextString,
        "420020|07|0000000B|48656C6C6F20576F 726C640000000000",
    ),
    (Type::ByteString, "420020|08|00000003|0102030000000000"),
    (Type::DateTime, "420020|09|00000008|0000000047DA67F8"),
    (Type::Interval, "420020|0A|00000004|000D2F0000000000"),
];

#[test]
fn the_examples_of_the_specification_are_read_and_written() {
    for (kind, text) in EXAMPLES {
        let bytes = from_hex(text);
        let item = read(&bytes).unwrap();
        assert_eq!((item.tag, item.kind), (TAG, kind));
        let mut writer = Writer::new();
        writer.item(TAG, kind, item.value());
        assert_eq!(hex(&writer.finish()), hex(&bytes));
        assert_eq!(item.items().count(), 0);
    }
    let of = |at: usize| from_hex(EXAMPLES[at].1);
    assert_eq!(read(&of(0)).unwrap().integer(), Some(8));
    assert_eq!(read(&of(0)).unwrap().enumeration(), None);
    assert_eq!(read(&of(3)).unwrap().enumeration(), Some(255));
    assert_eq!(read(&of(5)).unwrap().text(), Some("Hello World"));
    assert_eq!(read(&of(5)).unwrap().bytes(), None);
    assert_eq!(read(&of(6)).unwrap().bytes(), Some(&[1, 2, 3][..]));

    let mut writer = Writer::new();
    writer.structure(TAG, |w| {
        w.enumeration(0x42_0004, 254);
        w.integer(0x42_0005, 255);
    });
    let bytes = writer.finish();
    assert_eq!(
        hex(&bytes).to_uppercase(),
        "42002001000000204200040500000004000000FE000000004200050200000004000000FF00000000"
    );
    let item = read(&bytes).unwrap();
    assert_eq!(item.find(0x42_0005).unwrap().integer(), Some(255));
    assert!(item.find(0x42_0006).is_none());
}

/// A message with every type, structures in structures, and an empty one.
fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.structure(0x42_0078, |w| {
        w.structure(0x42_0077, |w| {
            w.integer(1, -1);
            w.structure(2, |_| {});
        });
        w.text(3, "näme");
        w.bytes(4, b"");
        w.bytes(5, &[7; 9]);
        w.item(6, Type::DateTimeExtended, &[1; 8]);
    });
    writer.finish().to_vec()
}

#[test]
fn no_beginning_of_a_message_is_a_message() {
    let whole = sample();
    assert!(read(&whole).is_ok());
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end]).err(), Some(Fault::Cut), "{end}");
    }
    let mut longer = whole.clone();
    longer.extend_from_slice(&[0; 8]);
    assert_eq!(read(&longer).err(), Some(Fault::Trailing));
    // A structure that ends within one of its items.
    for shorter in (8..whole.len() - HEAD).step_by(8) {
        let mut bad = whole.clone();
        bad[4..8].copy_from_slice(&((whole.len() - HEAD - shorter) as u32).to_be_bytes());
        let end = whole.len() - shorter;
        assert!(read(&bad).is_err(), "{shorter}");
        bad.truncate(end);
        match read(&bad) {
            Ok(item) => assert!(item.items().count() < 6, "it ends between two items"),
            Err(fault) => assert_eq!(fault, Fault::Cut, "{shorter}"),
        }
    }
}

#[test]
fn every_bound_is_held() {
    let nested = |depth: usize| {
        let mut bytes = Vec::new();
        for inside in (0..depth).rev() {
            bytes.extend(from_hex("42002001"));
            bytes.extend_from_slice(&((inside * HEAD) as u32).to_be_bytes());
        }
        bytes
    };
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(read(&nested(MAX_DEPTH + 1)).err(), Some(Fault::TooDeep));
    assert_eq!(read(&nested(8000)).err(), Some(Fault::TooDeep));
    let many = |count: usize| {
        let mut writer = Writer::new();
        writer.structure(TAG, |w| (1..count).for_each(|_| w.structure(TAG, |_| {})));
        writer.finish()
    };
    assert!(read(&many(MAX_ITEMS)).is_ok());
    assert_eq!(read(&many(MAX_ITEMS + 1)).err(), Some(Fault::TooMany));
    let long = |length: usize| {
        let mut writer = Writer::new();
        writer.bytes(TAG, &vec![1; length]);
        writer.finish()
    };
    assert!(read(&long(MAX_MESSAGE - HEAD)).is_ok());
    assert_eq!(read(&long(MAX_MESSAGE)).err(), Some(Fault::TooLong));
    // A length that is only claimed.
    for claimed in ["FFFFFFFF", "7FFFFFF8", "00000001"] {
        let bytes = from_hex(&format!("42002008{claimed}"));
        assert_eq!(read(&bytes).err(), Some(Fault::Cut), "{claimed}");
    }
    for (text, fault) in [
        ("420020|00|00000000", Fault::Type(0)),
        ("420020|0C|00000000", Fault::Type(12)),
        ("420020|FF|00000000", Fault::Type(255)),
        ("420020|02|00000008|0000000000000000", Fault::Length(TAG)),
        ("420020|05|00000000", Fault::Length(TAG)),
        ("420020|06|00000004|0000000000000000", Fault::Length(TAG)),
        ("420020|04|00000004|0000000000000000", Fault::Length(TAG)),
        ("420020|01|00000004|0000000000000000", Fault::Length(TAG)),
        // The zeroes behind it are missing.
        ("420020|08|00000003|010203", Fault::Cut),
    ] {
        assert_eq!(read(&from_hex(text)).err(), Some(fault), "{text}");
    }
}

#[test]
fn the_head_of_a_message_says_how_much_follows() {
    let bytes = sample();
    let behind = |head: &[u8]| length_behind(head, 0x42_0078);
    assert_eq!(behind(&bytes[..HEAD]), Some(bytes.len() - HEAD));
    assert_eq!(behind(&bytes[..7]), None);
    assert_eq!(behind(b"HTTP/1.1"), None);
    assert_eq!(length_behind(&bytes[..HEAD], 0x42_007B), None);
    assert_eq!(behind(&from_hex("42007808 00000008")), None, "no structure");
    assert_eq!(behind(&from_hex("42007801 00000009")), None);
    assert_eq!(
        behind(&from_hex("42007801 FFFFFFF8")),
        Some(0xFFFF_FFF8),
        "the caller bounds it"
    );
}

#[test]
fn a_value_is_not_shown() {
    let mut writer = Writer::new();
    writer.bytes(TAG, b"HIDDEN");
    let bytes = writer.finish();
    let shown = format!("{:?}", read(&bytes).unwrap());
    assert_eq!(shown, "420020 ByteString of 6 bytes");
}

/// A tree of items, for round trips.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(u32, u8, Vec<u8>),
    Structure(u32, Vec<Tree>),
}

impl Tree {
    fn write(&self, w: &mut Writer) {
        match self {
            Tree::Leaf(tag, kind, value) => w.item(*tag, Type::of(*kind).unwrap(), value),
            Tree::Structure(tag, inside) => {
                w.structure(*tag, |w| inside.iter().for_each(|t| t.write(w)));
            }
        }
    }

    fn is(&self, item: &Item<'_>) -> bool {
        match self {
            Tree::Leaf(tag, kind, value) => {
                (item.tag, item.kind as u8, item.value()) == (*tag, *kind, value)
            }
            Tree::Structure(tag, inside) => {
                let items: Vec<_> = item.items().collect();
                item.tag == *tag
                    && items.len() == inside.len()
                    && inside.iter().zip(&items).all(|(tree, item)| tree.is(item))
            }
        }
    }
}

fn leaf() -> impl Strategy<Value = Tree> {
    let value = (2u8..=11, prop::collection::vec(any::<u8>(), 0..40));
    (0u32..1 << 24, value).prop_map(|(tag, (kind, mut value))| {
        match Type::of(kind).unwrap() {
            Type::TextString | Type::ByteString => {}
            Type::BigInteger => value.resize(value.len().next_multiple_of(8), 0),
            Type::Integer | Type::Enumeration | Type::Interval => value.resize(4, 0),
            _ => value.resize(8, 0),
        }
        Tree::Leaf(tag, kind, value)
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(5, 60, 6, |inner| {
        (0u32..1 << 24, prop::collection::vec(inner, 0..6))
            .prop_map(|(tag, inside)| Tree::Structure(tag, inside))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(tree in tree()) {
        let mut writer = Writer::new();
        tree.write(&mut writer);
        let bytes = writer.finish();
        let item = read(&bytes).unwrap();
        prop_assert!(tree.is(&item));
        for end in 0..bytes.len() {
            prop_assert!(read(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn no_bytes_do_any_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
        if whole {
            // With a right head, so that more than the first line of the check is reached.
            bytes.resize(bytes.len().next_multiple_of(8).max(16), 0);
            let length = (bytes.len() - HEAD) as u32;
            bytes[3] = 1;
            bytes[4..8].copy_from_slice(&length.to_be_bytes());
        }
        let _ = read(&bytes).map(|item| item.items().count());
        let _ = length_behind(&bytes, TAG);
    }

    #[test]
    fn a_changed_message_is_another_one_or_none(at in 0usize..1 << 16, bit in 0u8..8) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(item) = read(&bytes) {
            let _ = (item.items().count(), item.find(3).and_then(|i| i.text().map(str::len)));
        }
    }
}
