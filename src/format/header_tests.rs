//! Unit tests of the header.

use super::*;
use crate::format::stanza::{Holder, Share};

#[test]
fn bounds_of_a_header() {
    let with = |stanzas: usize, blob: usize| {
        let mut header = header();
        header.stanzas = vec![header.stanzas[0].clone(); stanzas];
        header
            .stanzas
            .iter_mut()
            .for_each(|s| s.blob = vec![5; blob]);
        header.authenticated_bytes()
    };
    assert!(with(1, 60).is_ok() && with(MAX_STANZAS, 60).is_ok());
    assert!(with(0, 60).is_err(), "no stanza");
    assert!(with(MAX_STANZAS + 1, 60).is_err(), "too many");
    assert!(with(7, 8192).is_ok());
    assert!(with(8, 8192).is_err(), "longer than {MAX_HEADER} bytes");
    assert!(with(1, 8193).is_err(), "a blob too long");
    // To the byte.
    let exactly = |more: usize| {
        let mut header = header();
        let mut stanza = header.stanzas[0].clone();
        stanza.blob = Vec::new();
        let mut bare = Vec::new();
        stanza.write(&mut bare).unwrap();
        header.stanzas = vec![stanza; 8];
        let mut left = MAX_STANZA_BYTES + more - 8 * bare.len();
        for stanza in &mut header.stanzas {
            stanza.blob = vec![5; left.min(8192)];
            left -= stanza.blob.len();
        }
        header.authenticated_bytes()
    };
    assert!(exactly(0).is_ok() && exactly(1).is_err());
    // Whatever is written once has room for the whole lineage that its rewrites get.
    let mut header = header();
    let stanza = header.stanzas[0].clone();
    let mut longest = |blob: usize, generation: u64| {
        header.generation = generation;
        header.base_sequence = 4 * generation + 1;
        header.whole_to = header.base_sequence;
        header.lineage = lineage(generation);
        header.stanzas = vec![stanza.clone(); 8];
        header
            .stanzas
            .iter_mut()
            .for_each(|s| s.blob = vec![5; 7750]);
        header.stanzas[0].blob = vec![5; blob];
        let bytes = header.authenticated_bytes();
        bytes.map(|b| finish_header(b, &[3; 32]))
    };
    let most = (7750..8192)
        .rev()
        .find(|blob| longest(*blob, 1).is_ok())
        .unwrap();
    for generation in [1, 2, 65, 66, 300] {
        let bytes = longest(most, generation).unwrap();
        assert!(
            bytes.len() <= MAX_HEADER && parse_header(&bytes).is_ok(),
            "{generation}"
        );
        assert!(longest(most + 1, generation).is_err());
    }
    // What can't even hold the fixed fields is refused before it is cut into parts.
    for claimed in [0, 4, 35, PROLOGUE + FIXED + MAC + CRC - 1, MAX_HEADER + 1] {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(claimed as u32).to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(MAX_HEADER + 2, 0);
        let e = parse_header(&bytes).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered);
        assert!(
            e.to_string().contains("the header claims"),
            "{claimed}: {e}"
        );
    }
}

/// Of a file of generation `now` whose records begin behind a number from 4 times that on.
fn lineage(now: u64) -> Lineage {
    let mut lineage = Lineage::default();
    for generation in 1..now {
        lineage.push(Ancestor {
            header: [generation as u8; 16],
            sequence: 4 * generation,
            chain: [6; 16],
        });
    }
    lineage
}

fn header() -> Header {
    Header {
        features: Features {
            required: 0,
            compatible: 0x8000_0000_0000_0005,
        },
        file_id: [1; 16],
        generation: 7,
        base_sequence: 29,
        lineage: lineage(7),
        whole_to: 31,
        salt: [2; 32],
        written_at: -5,
        stanzas: vec![Stanza {
            provider: "passphrase".into(),
            mechanism: "m".into(),
            key_ref: "r".into(),
            holder: None,
            params: vec![1, 2, 3],
            commitment: [4; 32],
            blob: vec![5; 60],
        }],
    }
}

fn bytes() -> Vec<u8> {
    finish_header(header().authenticated_bytes().unwrap(), &[3; 32])
}

#[test]
fn header_round_trip() {
    let parsed = parse_header(&bytes()).unwrap();
    assert_eq!(parsed.header, header());
    assert_eq!((parsed.mac, parsed.length), ([3; 32], bytes().len()));
}

#[test]
fn every_cut_and_every_bit_of_the_header_is_noticed() {
    let good = bytes();
    for len in 0..good.len() {
        assert_eq!(
            parse_header(&good[..len]).unwrap_err().kind(),
            Kind::Tampered,
            "cut at {len}"
        );
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            parse_header(&bad).unwrap_err().kind(),
            Kind::Tampered,
            "bit {bit}"
        );
    }
}

#[test]
fn files_of_the_stock_keyrings_are_to_be_imported_not_restored() {
    for (text, whose) in [
        (
            &br#"{"version":"1.0","elements":[]}"#[..],
            "component_keyring_file",
        ),
        (b" {\n  \"elements\": [", "component_keyring_file"),
        (b"Keyring file version:2.0EOF", "the plugin keyring_file"),
    ] {
        let e = parse_header(text).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        let e = e.to_string();
        assert!(e.contains(whose) && e.contains("import --from"), "{e}");
    }
    for other in [&b"{\"path\": \"/x\"} and more bytes"[..], b"[]", b"{"] {
        assert_eq!(parse_header(other).unwrap_err().kind(), Kind::Tampered);
    }
}

#[test]
fn a_newer_version_is_its_own_error() {
    let mut newer = bytes();
    newer[8] = 2;
    let crc = crc32fast::hash(&newer[..16]);
    newer[16..20].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        parse_header(&newer).unwrap_err().kind(),
        Kind::UnsupportedVersion
    );
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = header();
        change(&mut header);
        let bytes = finish_header(header.authenticated_bytes().unwrap(), &[3; 32]);
        parse_header(&bytes).map(drop)
    };
    assert!(with(&|_| {}).is_ok());
    let changes: [&dyn Fn(&mut Header); 5] = [
        &|h| h.base_sequence = 24,
        &|h| h.lineage = lineage(6),
        &|h| h.lineage = lineage(8),
        &|h| h.generation = 0,
        &|h| h.whole_to = h.base_sequence - 1,
    ];
    for change in changes {
        assert_eq!(with(change).unwrap_err().kind(), Kind::Tampered);
    }
}

fn share(number: u8) -> Share {
    Share {
        split: [6; 16],
        threshold: 2,
        shares: 3,
        number,
    }
}

fn holder(kek: &str, share: Option<Share>) -> Option<Holder> {
    let kek = kek.into();
    Some(Holder { kek, share })
}

/// A header with two holders, and where the stanzas begin.
fn of_several() -> (Header, usize) {
    let mut header = header();
    let at = PROLOGUE + FIXED + header.lineage.all().len() * ANCESTOR;
    let mut stanzas = vec![header.stanzas[0].clone(); 3];
    stanzas[0].holder = holder("bao", Some(share(1)));
    stanzas[1].holder = holder("aws", Some(share(3)));
    stanzas[2].holder = holder("paper", None);
    header.set_stanzas(stanzas);
    (header, at)
}

#[test]
fn holders_are_bytes_before_the_parameters() {
    let (several, at) = of_several();
    let header = several;
    assert_eq!(header.features.required, SEVERAL_KEKS);
    let bytes = header.authenticated_bytes().unwrap();
    let parsed = parse_header(&finish_header(bytes.clone(), &[3; 32])).unwrap();
    assert_eq!(parsed.header, header);
    let stanza = &bytes[at + 4..];
    assert_eq!(stanza[..3], [1, 1, 2], "named, share 1, two are needed");
    let params = [&[3][..], b"bao", &[6; 16], &[3], &[1, 2, 3]].concat();
    let behind = 3 + (2 + 10) + (2 + 1) + (2 + 1);
    assert_eq!(
        stanza[behind..behind + 2],
        (params.len() as u16).to_le_bytes()
    );
    assert_eq!(stanza[behind + 2..behind + 2 + params.len()], params);
    // What is bound is what stands there.
    let bound = header.stanzas[0].associated_data(&[7; 16]);
    let tail = [
        &3u32.to_le_bytes()[..],
        &[1, 1, 2],
        &(params.len() as u32).to_le_bytes(),
        &params,
    ];
    assert!(bound.ends_with(&tail.concat()));
    // Back to one KEK: nothing is left of it.
    let mut one = header.clone();
    one.set_stanzas(vec![self::header().stanzas[0].clone()]);
    assert_eq!(one.features.required, 0);
}

#[test]
fn holders_that_can_t_be_are_refused() {
    let (good, at) = of_several();
    let unwritable = |change: fn(&mut Share)| {
        let mut header = good.clone();
        let mut bad = share(1);
        change(&mut bad);
        header.stanzas[0].holder = holder("bao", Some(bad));
        assert!(header.authenticated_bytes().is_err(), "{bad:?}");
    };
    unwritable(|s| s.threshold = 1);
    unwritable(|s| s.threshold = 4);
    unwritable(|s| s.shares = 17);
    unwritable(|s| s.number = 0);
    unwritable(|s| s.number = 4);
    for name in ["", "Bao", "bao ", "b\n", "é", &"a".repeat(33)] {
        let mut header = good.clone();
        header.stanzas[0].holder = holder(name, None);
        assert!(header.authenticated_bytes().is_err(), "{name:?}");
    }
    let mut lies = good.clone();
    lies.features.required = 0;
    assert!(lies.authenticated_bytes().is_err());
    let read = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.authenticated_bytes().unwrap();
        change(&mut bytes);
        parse_header(&finish_header(bytes, &[3; 32])).map(drop)
    };
    assert!(read(&|_| ()).is_ok());
    // Group, index and threshold; the name's length and its first letter; the number of shares; the feature word.
    let name = at + 4 + 3 + 12 + 3 + 3 + 2;
    for (offset, values) in [
        (at + 4, &[0, 2, 255][..]),
        (at + 5, &[0, 4, 255]),
        (at + 6, &[0, 1, 4, 255]),
        (name, &[0, 33, 255]),
        (name + 1, &[0, b'B', 0xff]),
        (name + 1 + 3 + 16, &[0, 1, 17]),
        (PROLOGUE, &[0]),
    ] {
        for value in values {
            let e = read(&|bytes| bytes[offset] = *value).unwrap_err();
            assert_eq!(e.kind(), Kind::Tampered, "{offset} {value}");
        }
    }
}

/// Neither the layout behind the words nor the MAC is looked at: a newer version may have changed both.
#[test]
fn required_features_that_nobody_here_knows_need_a_newer_version() {
    let with = |required: u64, compatible: u64| {
        let mut header = header();
        header.features = Features {
            required,
            compatible,
        };
        let mut bytes = header.authenticated_bytes().unwrap();
        if required != 0 {
            // Fields that break the rules of today.
            bytes[PROLOGUE + FEATURES + FILE_ID..].fill(0xff);
        }
        parse_header(&finish_header(bytes, &[3; 32]))
    };
    // Bit 0 is known.
    for bit in 1..64 {
        let e = with(1 << bit, 0).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::UnsupportedVersion);
        let e = e.to_string();
        assert!(e.contains(&format!("({:#x})", 1u64 << bit)), "{e}");
        assert!(
            e.contains("newer Keyring Ward. Install that version"),
            "{e}"
        );
        let kept = with(0, 1 << bit).unwrap().header.features;
        assert_eq!((kept.required, kept.compatible), (0, 1 << bit));
    }
}
