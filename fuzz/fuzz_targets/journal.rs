//! The header and journal readers.
//!
//! Four views of the input: as what a key says of its logical key, as a header (checksums mended, so that the fields are reached), as the
//! plaintext of a record, and as a program that writes a journal and then damages it. Oracles: what
//! parses is written again byte for byte; what a damaged journal still gives is a prefix of what was
//! written to it; nothing panics.
#![no_main]

mod mend;

use arbitrary::Arbitrary;
use keyring_ward::envelope::{FileKeys, Position};
use keyring_ward::error::Kind;
use keyring_ward::format::features::Features;
use keyring_ward::format::frame::{FRAME_HEADER, MAX_FRAME, write_frame};
use keyring_ward::format::header::{Header, finish_header, parse_header};
use keyring_ward::format::lineage::{Ancestor, Lineage};
use keyring_ward::format::record::{Operation, read_record};
use keyring_ward::format::stanza::Stanza;
use keyring_ward::key::document::Document;
use keyring_ward::key::extensions::{Extensions, FIRST_RESTRICTING, NONE, OWED, PURGED, RETAINED, RETIRED, VERSION};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{Logical, State, Version, VersionOf};
use keyring_ward::key::record::{KeyRecord, ReadChange};
use keyring_ward::key::retired::Retired;
use keyring_ward::secret::SecretPool;
use keyring_ward::store::file::scan::{chain_value, scan};
use keyring_ward::store::file::torn::Bound;
use keyring_ward::store::file::window::Window;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const DEK: [u8; 32] = [0x5A; 32];
const SALT: [u8; 32] = [0xA5; 32];
static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);
static KEYS: LazyLock<FileKeys> =
    LazyLock::new(|| FileKeys::derive(&POOL, &DEK, &SALT).expect("secret memory"));

#[derive(Arbitrary, Debug)]
struct Key {
    name: [u8; 3],
    owner: Vec<u8>,
    material: Vec<u8>,
    kind: u8,
    what: What,
    extensions: Vec<(u8, Vec<u8>)>,
    restricts: Restricts,
}

/// A tag from 128 on, of which each operation allows its own.
#[derive(Arbitrary, Debug)]
enum Restricts {
    Nothing,
    Version { number: u8, serial: u32, flags: u8, times: [i64; 3], states: Vec<u8>, held: String },
    Removal { number: u32, removed_at: i64, ends: bool },
}

#[derive(Arbitrary, Debug)]
enum What {
    Put,
    Remove,
    Attributes,
    Document,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Flip { at: u32, mask: u8 },
    Cut { to: u32 },
    Grow { tail: Vec<u8> },
    Zero { at: u32, length: u16 },
    Remove { at: u32, length: u16 },
    Copy { from: u32, to: u32, length: u16 },
    MendFrame { at: u8 },
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw(&'a [u8]),
    Header(&'a [u8]),
    Plaintext(&'a [u8]),
    Version(&'a [u8], i64),
    Journal { keys: Vec<Key>, damage: Vec<Damage> },
}

fn header(bytes: &[u8]) {
    let Ok(parsed) = parse_header(bytes) else { return };
    let again = parsed.header.authenticated_bytes().expect("what was read is within the limits");
    let again = finish_header(again, &parsed.mac);
    assert_eq!(again, bytes[..parsed.length], "one header, one way to write it");
    // Whatever follows the header: no key of ours sealed it, so nothing may come out.
    let mut seen = 0;
    let mut behind = &bytes[parsed.length..];
    let mut window = Window::new(&mut behind, parsed.length as u64, (bytes.len() - parsed.length) as u64).expect("memory");
    let result = scan(&POOL, &mut window, &parsed, &KEYS, &mut [], &Bound::default(), &mut |_| {
        seen += 1;
        Ok(())
    });
    drop(result);
    assert_eq!(seen, 0, "a record that was never sealed");
}

fn written(operation: &Operation<'_>) -> Vec<u8> {
    let mut text = vec![0; operation.plaintext_length()];
    operation.write(&mut text);
    text
}

fn plaintext(text: &[u8]) {
    let (change, owed) = match read_record(&POOL, text) {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(e) => return assert_eq!(e.kind(), Kind::UnsupportedVersion, "{e}"),
    };
    let again = match &change {
        ReadChange::Put(record) | ReadChange::Kept(record, _) => written(&Operation::Put(record)),
        // Its extensions are not kept: the record is gone with the next rewrite.
        ReadChange::Remove(id) | ReadChange::Retire(id, _) | ReadChange::Purge(id, _) => return assert!(written(&Operation::Remove(id, &NONE)).len() <= text.len()),
        ReadChange::Attributes(id, list) | ReadChange::OfRetired(id, _, list) => written(&Operation::Attributes(id, list)),
        ReadChange::Document(document) => written(&Operation::Document(document)),
    };
    match owed {
        // That is no part of the change.
        Some(_) => assert!(again.len() < text.len()),
        None => assert_eq!(again, text, "one record, one way to write it"),
    }
}

/// What a change is, without its secrets' types: its name, its secret, and what it says beside them.
#[derive(PartialEq, Debug)]
struct Seen(Vec<u8>, Option<Vec<u8>>, Extensions);

fn seen(change: ReadChange) -> Seen {
    match change {
        ReadChange::Put(r) | ReadChange::Kept(r, _) => Seen(r.id.as_bytes().to_vec(), Some(r.material().to_vec()), r.extensions().clone()),
        ReadChange::Remove(id) | ReadChange::Retire(id, _) | ReadChange::Purge(id, _) => Seen(id.as_bytes().to_vec(), None, Extensions::default()),
        ReadChange::Attributes(id, list) | ReadChange::OfRetired(id, _, list) => Seen(id.as_bytes().to_vec(), None, list),
        ReadChange::Document(d) => Seen(d.name().into(), Some(d.content().to_vec()), d.extensions().clone()),
    }
}

/// What a key says of its logical key: one way to write it, and nothing that is done with it panics.
fn version(bytes: &[u8], now: i64) {
    let Ok(version) = VersionOf::from_bytes(bytes) else { return };
    assert_eq!(version.to_bytes(), bytes, "one description, one way to write it");
    let logical = version.logical;
    let number = version.number;
    let is_whole = |logical: Logical| {
        let again = VersionOf { number, logical };
        assert_eq!(VersionOf::from_bytes(&again.to_bytes()), Ok(again));
    };
    let changes: [fn(&mut Logical, u32, i64) -> keyring_ward::error::Result<()>; 8] = [
        |l, _, now| l.add_version(now).map(drop),
        |l, n, now| l.switch_to(n, now),
        |l, n, now| l.schedule(Some(n), u16::MAX, now),
        |l, _, now| l.schedule(None, 1, now),
        |l, _, _| l.cancel(None),
        |l, n, now| l.compromise(n, now),
        |l, n, now| l.put_into(n, State::Destroyed, now),
        |l, n, now| l.bring_back(n, None, now),
    ];
    for change in changes {
        let mut changed = logical.clone();
        if change(&mut changed, number, now).is_err() {
            continue;
        }
        is_whole(changed.clone());
        for (one, other) in [(&logical, &changed), (&changed, &logical)] {
            if let Ok(Some(both)) = one.merged(other) {
                is_whole(both.clone());
                assert_eq!(both.merged(other).ok(), Some(None), "together once is enough");
            }
        }
    }
    let _ = (logical.due(None, now), logical.rotation_due(now), logical.has_expired(now));
}

/// The entry with a tag from 128 on that the operation allows, if there is one.
fn restricting(key: &Key) -> Option<(u8, Vec<u8>)> {
    match (&key.restricts, &key.what) {
        (Restricts::Version { number, serial, flags, times, states, held }, What::Put | What::Attributes) => {
            let mut active = false;
            let versions: Vec<Version> = (1u32..)
                .zip(states)
                .map(|(number, state)| {
                    let all = [State::Pending, State::Active, State::Deactivated, State::Compromised, State::Destroyed];
                    let mut state = all[usize::from(state % 5)];
                    if state == State::Active && std::mem::replace(&mut active, true) {
                        state = State::Deactivated;
                    }
                    let was_compromised = state == State::Destroyed && number % 2 == 0;
                    Version { number, state, since: times[0], destroy_at: (times[1] != 0).then_some(times[1]), was_compromised }
                })
                .collect();
            let logical = Logical {
                id: [*flags; 16],
                serial: *serial,
                follow: flags & 1 != 0,
                adopted: flags & 2 != 0,
                rotate_every: None,
                expires: (times[2] != 0).then_some(times[2]),
                held: (!held.is_empty()).then(|| held.clone()),
                environment: String::new(),
                description: String::new(),
                highest: versions.len() as u32,
                versions,
            };
            let version = VersionOf { number: u32::from(*number), logical };
            Some((VERSION, version.to_bytes()))
        }
        (Restricts::Removal { number, removed_at, ends }, what) => {
            let bytes = Retired { number: *number, removed_at: *removed_at }.to_bytes();
            match (what, ends) {
                (What::Put, _) => Some((RETIRED, bytes)),
                (What::Remove, false) => Some((RETAINED, bytes)),
                (What::Remove, true) => Some((PURGED, bytes)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn journal(keys: &[Key], damage: &[Damage]) {
    let stanza = Stanza {
        provider: "key_file".into(),
        mechanism: "m".into(),
        key_ref: String::new(),
        holder: None,
        params: vec![1; 32],
        commitment: [2; 32],
        blob: vec![3; 60],
    };
    let mut lineage = Lineage::default();
    for sequence in [20, 39] {
        lineage.push(Ancestor { header: [5; 16], sequence, chain: [4; 16] });
    }
    let head = Header {
        features: Features { required: 0, compatible: 0x0123_4567_89AB_CDEF },
        file_id: [7; 16],
        generation: 3,
        base_sequence: 40,
        lineage,
        whole_to: 40,
        salt: SALT,
        written_at: 1,
        stanzas: vec![stanza],
    };
    let authenticated = head.authenticated_bytes().expect("within the limits");
    let mac = KEYS.header_mac(&authenticated);
    let mut file = finish_header(authenticated, &mac);
    let start = file.len();
    let (mut chain, mut sequence, mut all) = (mac, head.base_sequence, Vec::new());
    let mut starts = vec![start];
    for key in keys.iter().take(12) {
        let Ok(id) = KeyId::new(&key.name, &key.owner) else { continue };
        let kind = keyring_ward::key::id::TYPES[usize::from(key.kind % 4)];
        let plain = key.extensions.iter().filter(|(tag, _)| *tag < FIRST_RESTRICTING && *tag != OWED).cloned();
        let Ok(list) = Extensions::new(plain.chain(restricting(key))) else { continue };
        let Ok(material) = POOL.copy(&key.material) else { return };
        let secret = Some(key.material.clone());
        let expected = match key.what {
            What::Put => Seen(id.as_bytes().to_vec(), secret, list.clone()),
            What::Remove => Seen(id.as_bytes().to_vec(), None, Extensions::default()),
            What::Attributes => Seen(id.as_bytes().to_vec(), None, list.clone()),
            What::Document => Seen(key.name.to_vec(), secret, list.clone()),
        };
        let (record, document);
        let operation = match key.what {
            What::Put => {
                let Ok(new) = KeyRecord::new(id.clone(), kind.as_bytes(), material, 5, 3) else { continue };
                record = new.with_extensions(list);
                Operation::Put(&record)
            }
            What::Remove => Operation::Remove(&id, &list),
            What::Attributes => Operation::Attributes(&id, &list),
            What::Document => {
                let Ok(new) = Document::new(&key.name, material, list) else { continue };
                document = new;
                Operation::Document(&document)
            }
        };
        sequence += 1;
        let at = Position { file_id: head.file_id, generation: 3, sequence, previous: chain };
        let mut text = written(&operation);
        let (nonce, tag) = KEYS.cipher().seal(&at, &mut text).expect("the cipher works");
        write_frame(&mut file, sequence, &nonce, &text, &tag);
        chain = chain_value(&tag);
        starts.push(file.len());
        all.push(expected);
    }
    let intact = file.clone();
    let place = |at: u32, len: usize| start + at as usize % (len - start + 1).max(1);
    for step in damage.iter().take(6) {
        let len = file.len();
        match step {
            Damage::Flip { at, mask } => {
                let at = place(*at, len);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= mask;
                }
            }
            Damage::Cut { to } => file.truncate(place(*to, len)),
            Damage::Grow { tail } => file.extend_from_slice(tail),
            Damage::Zero { at, length } => {
                let at = place(*at, len);
                let to = (at + usize::from(*length)).min(len);
                file[at.min(to)..to].fill(0);
            }
            Damage::Remove { at, length } => {
                let at = place(*at, len);
                let to = (at + usize::from(*length)).min(len);
                file.drain(at.min(to)..to);
            }
            Damage::Copy { from, to, length } => {
                let (from, to) = (place(*from, len), place(*to, len));
                let n = usize::from(*length).min(len - from.max(to).min(len));
                file.copy_within(from..from + n, to);
            }
            Damage::MendFrame { at } => {
                // The checksum of a frame's start is no secret: an attacker can make it right.
                let at = starts[usize::from(*at) % starts.len()];
                if let Some(frame) = file.get_mut(at..at + FRAME_HEADER) {
                    let end = FRAME_HEADER - 4;
                    let crc = mend::crc(&frame[..end]);
                    frame[end..].copy_from_slice(&crc);
                }
            }
        }
    }
    let parsed = parse_header(&file).expect("the header is whole");
    let mut got = Vec::new();
    let mut behind = &file[parsed.length..];
    let mut window = Window::new(&mut behind, parsed.length as u64, (file.len() - parsed.length) as u64).expect("memory");
    let result = scan(&POOL, &mut window, &parsed, &KEYS, &mut [], &Bound::default(), &mut |read| {
        got.push(seen(read.change));
        Ok(())
    });
    assert!(got.len() <= all.len() && got[..] == all[..got.len()], "not a prefix");
    match result {
        Ok(end) => {
            assert!(end.torn <= MAX_FRAME as u64, "more than one frame is torn");
            assert_eq!(end.offset as usize, starts[got.len()]);
            assert_eq!(end.offset + end.torn, file.len() as u64);
            if file == intact {
                assert_eq!((got.len(), end.torn), (all.len(), 0));
            }
        }
        Err(e) => {
            assert_ne!(file, intact, "{e}");
            assert_eq!(e.kind(), Kind::Tampered, "{e}");
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Raw(bytes) => header(bytes),
        Input::Header(bytes) => {
            let mut bytes = bytes.to_vec();
            mend::mend_header(&mut bytes);
            header(&bytes);
        }
        Input::Plaintext(text) => plaintext(text),
        Input::Version(bytes, now) => version(bytes, now),
        Input::Journal { keys, damage } => journal(&keys, &damage),
    }
});
