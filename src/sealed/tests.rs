use super::*;
use crate::envelope::Purpose;
use crate::secret::SecretPool;

fn keys(material: &[u8]) -> ValueKeys {
    let (pool, id) = (SecretPool::new(), [1; 16]);
    ValueKeys::derive(&pool, Purpose::Value, &id, 7, material).unwrap()
}

fn sealed(context: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = b"what was there".to_vec();
    seal(
        &mut keys(&[9; 32]),
        7,
        &[3; VALUE_RANDOM],
        context,
        text,
        &mut out,
    )
    .unwrap();
    out
}

fn opened(value: &[u8], context: &[u8]) -> Result<Vec<u8>> {
    let mut out = b"what was there".to_vec();
    let value = Sealed::parse(value)?;
    value
        .open(&mut keys(&[9; 32]), context, &mut out)
        .map(|()| out)
}

#[test]
fn a_value_opens_with_its_key_and_its_context_alone() {
    for text in [&b""[..], b"x", &[0; 1000]] {
        let value = sealed(b"column", text);
        assert_eq!(value.len(), text.len() + OVERHEAD);
        assert_eq!(opened(&value, b"column").unwrap(), text);
        for other in [&b""[..], b"colum", b"columnn", b"Column"] {
            assert_eq!(opened(&value, other).unwrap_err().kind(), Kind::Tampered);
        }
    }
    let value = sealed(b"", b"text");
    let parsed = Sealed::parse(&value).unwrap();
    let (pool, mut out) = (SecretPool::new(), Vec::new());
    let others = [
        (Purpose::IndexSecret, [1; 16], 7, [9; 32]),
        (Purpose::Value, [2; 16], 7, [9; 32]),
        (Purpose::Value, [1; 16], 8, [9; 32]),
        (Purpose::Value, [1; 16], 7, [8; 32]),
    ];
    for (purpose, id, version, material) in others {
        let mut keys = ValueKeys::derive(&pool, purpose, &id, version, &material).unwrap();
        let said = parsed.open(&mut keys, b"", &mut out).unwrap_err();
        assert_eq!((said.kind(), out.len()), (Kind::Tampered, 0));
    }
}

/// A statement keeps what it derived for the last context.
#[test]
fn the_context_changes_from_value_to_value() {
    let mut keys = keys(&[9; 32]);
    let contexts = [&b""[..], b"", b"row 1", b"row 2", b"row 2", b"", b"row 11"];
    for context in contexts {
        let mut value = Vec::new();
        seal(
            &mut keys,
            7,
            &[3; VALUE_RANDOM],
            context,
            b"text",
            &mut value,
        )
        .unwrap();
        let parsed = Sealed::parse(&value).unwrap();
        let mut out = Vec::new();
        for other in contexts {
            let said = parsed.open(&mut keys, other, &mut out);
            assert_eq!(said.is_ok(), other == context, "{context:?}, {other:?}");
        }
        // Keys that have seen no other context.
        assert_eq!(opened(&value, context).unwrap(), b"text");
    }
}

#[test]
fn each_bit_and_each_length_counts() {
    let value = sealed(b"c", b"text");
    // A change of the version is noticed even if the key were not looked up by it.
    for at in 0..value.len() {
        for bit in 0..8 {
            let mut other = value.clone();
            other[at] ^= 1 << bit;
            let said = opened(&other, b"c").unwrap_err();
            let expected = match at {
                0 => Kind::InvalidInput,
                1 => Kind::UnsupportedVersion,
                _ => Kind::Tampered,
            };
            assert_eq!(said.kind(), expected, "byte {at}, bit {bit}");
        }
        assert!(opened(&value[..at], b"c").is_err(), "cut to {at}");
    }
    let mut longer = value;
    longer.push(0);
    assert_eq!(opened(&longer, b"c").unwrap_err().kind(), Kind::Tampered);
}

#[test]
fn values_of_one_text_differ_and_random_bytes_that_repeat_repeat_no_key() {
    let mut keys = keys(&[9; 32]);
    let mut made = std::collections::HashSet::new();
    let mut out = Vec::new();
    for i in 0..100u8 {
        seal(&mut keys, 7, &[i; VALUE_RANDOM], b"", b"text", &mut out).unwrap();
        assert!(made.insert(out[6..6 + VALUE_NONCE].to_vec()));
    }
    // A clone of the machine: the same random bytes for other texts and contexts, also where both together are the same.
    for (context, text) in [(&b""[..], &b"texu"[..]), (b"t", b"ext"), (b"te", b"xt")] {
        seal(&mut keys, 7, &[0; VALUE_RANDOM], context, text, &mut out).unwrap();
        assert!(made.insert(out[6..6 + VALUE_NONCE].to_vec()));
    }
}

#[test]
fn what_is_too_long_or_no_value_is_refused() {
    let (mut keys, mut out) = (keys(&[9; 32]), Vec::new());
    let long = vec![0; MAX_PLAINTEXT + 1];
    let random = [0; VALUE_RANDOM];
    let said = seal(&mut keys, 7, &random, b"", &long, &mut out).unwrap_err();
    assert_eq!(said.kind(), Kind::InvalidInput);
    let said = seal(&mut keys, 7, &random, &[0; MAX_CONTEXT + 1], b"", &mut out).unwrap_err();
    assert_eq!(said.kind(), Kind::InvalidInput);
    seal(&mut keys, 7, &random, b"", &long[1..], &mut out).unwrap();
    assert!(Sealed::parse(&out).is_ok());
    out.push(0);
    assert!(Sealed::parse(&out).is_err());
    for text in [
        &b""[..],
        b"K",
        "Müller".as_bytes(),
        &[0xC1],
        &[0xC1, 1],
        &[0; 200],
    ] {
        assert_eq!(
            Sealed::parse(text).err().unwrap().kind(),
            Kind::InvalidInput
        );
    }
    let mut zero = sealed(b"", b"");
    zero[2] = 0;
    assert!(
        Sealed::parse(&zero)
            .err()
            .unwrap()
            .to_string()
            .contains("version 0")
    );
    let short = ValueKeys::derive(&SecretPool::new(), Purpose::Value, &[1; 16], 7, &[1; 15]);
    assert_eq!(short.err().unwrap().kind(), Kind::InvalidInput);
}

#[test]
fn the_longest_context_and_the_shortest_material_are_taken() {
    let context = [b'c'; MAX_CONTEXT];
    let (pool, mut value, mut out) = (SecretPool::new(), Vec::new(), Vec::new());
    let mut keys = ValueKeys::derive(&pool, Purpose::Value, &[1; 16], 7, &[1; 16]).unwrap();
    let random = [0; VALUE_RANDOM];
    seal(&mut keys, 7, &random, &context, b"text", &mut value).unwrap();
    let parsed = Sealed::parse(&value).unwrap();
    parsed.open(&mut keys, &context, &mut out).unwrap();
    assert_eq!(out, b"text");
    let longer = [&context[..], b"c"].concat();
    let said = parsed.open(&mut keys, &longer, &mut out).unwrap_err();
    assert_eq!(said.kind(), Kind::InvalidInput);
}
