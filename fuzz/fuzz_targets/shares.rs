//! Stanzas with shares: those of a file that somebody forged, and those that were written honestly.
//!
//! The attacker of this target may call the encrypt of every KEK: the KEKs here wrap in clear. Oracles for his files:
//! what is parsed is possible; shares of two splits, and less than the configured threshold, are Tampered before a KEK is
//! asked; what opens is one whole DEK where the configuration lets one KEK have it, else exactly as many shares as the
//! file's threshold, of different numbers and groups, and the polynomial through them at 0, reckoned here by another way,
//! and has passed the proof.
//! For honest files: any `threshold` shares give the DEK, whatever wrong ones others give; with fewer, and with those of
//! one group alone, the file stays closed; and where it claims that fewer are enough, what they give is not the key of the
//! header's MAC.
#![no_main]

#[path = "../../tests/support/gf256.rs"]
mod gf256;
mod mend;

use arbitrary::Arbitrary;
use gf256::times;
use keyring_ward::deadline::Deadline;
use keyring_ward::envelope::FileKeys;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::features::SEVERAL_KEKS;
use keyring_ward::format::header::{Header, PROLOGUE, ParsedHeader, finish_header, parse_header};
use keyring_ward::format::stanza::{Part, Share, Stanza};
use keyring_ward::kek::member::{Member, Naming, Use};
use keyring_ward::kek::{Budget, Kek, Keks, Opened, Unwrapped};
use keyring_ward::secret::SecretPool;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const FILE: [u8; 16] = [7; 16];
const NAMES: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
const PROVIDERS: [&str; 2] = ["clear", "other"];
static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);

/// A KEK that anybody may use.
struct Clear {
    provider: &'static str,
    is_there: bool,
    /// The byte that it gives wrong. Each KEK has its own: what is wrong with two shares must not cancel out.
    wrong: Option<usize>,
    asked: Arc<AtomicUsize>,
}

impl Kek for Clear {
    fn describe(&self) -> String {
        self.provider.into()
    }

    fn wrap(&self, _: &SecretPool, _: &[u8; 16], part: &Part<'_>, _: Deadline) -> Result<Stanza> {
        let mut stanza = Stanza::begin((self.provider, "clear"), String::new(), part.holder, Vec::new());
        stanza.blob = part.to_vec();
        Ok(stanza)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == self.provider
    }

    fn unwrap(&self, pool: &SecretPool, _: &[u8; 16], stanza: &Stanza, _: &mut Budget) -> Result<Unwrapped> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match (self.is_mine(stanza), self.is_there) {
            (false, _) => Ok(Unwrapped::NotMine),
            // It is not tried again: no pauses here.
            (true, false) => Err(Error::new(Kind::Denied, "ask", "it refuses")),
            (true, true) if stanza.blob.is_empty() => Ok(Unwrapped::WrongKey),
            (true, true) => {
                let mut part = pool.copy(&stanza.blob)?;
                spoil(&mut part, self.wrong);
                Ok(Unwrapped::Opened(part))
            }
        }
    }

    fn probe(&self, _: &SecretPool, _: Deadline) -> Result<()> {
        Ok(())
    }
}

/// A value that most bytes do not choose: most of what is tried shall open.
fn seldom(byte: u8) -> bool {
    byte > 223
}

/// A KEK of the configuration.
#[derive(Arbitrary, Clone, Copy, Debug, Default)]
struct Of {
    group: u8,
    recovery: u8,
    away: u8,
    wrong: u8,
    other: u8,
}

impl Of {
    fn group(&self) -> Option<String> {
        match self.group % 4 {
            0 | 1 => None,
            group => Some(format!("group{group}")),
        }
    }

    fn is_for_recovery(&self) -> bool {
        self.recovery % 4 == 3
    }

    fn is_there(&self) -> bool {
        !seldom(self.away)
    }

    /// It gives something else than what was wrapped.
    fn is_wrong(&self) -> bool {
        seldom(self.wrong)
    }

    fn provider(&self) -> &'static str {
        PROVIDERS[usize::from(seldom(self.other))]
    }

    /// The key of the KEK number `index`.
    fn key(&self, index: usize, asked: &Arc<AtomicUsize>) -> Clear {
        Clear {
            provider: self.provider(),
            is_there: self.is_there(),
            wrong: self.is_wrong().then_some(index),
            asked: Arc::clone(asked),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Configured {
    keks: Vec<Of>,
    threshold: u8,
    recovering: bool,
    lone: u8,
    /// Where it is one of a few values, not every DEK is taken for the keyring's.
    proof: u8,
}

/// What a forged stanza says that it is.
#[derive(Arbitrary, Debug)]
enum Claim {
    Whole,
    Nobodys,
    Share { number: u8, odd: u8 },
    Any { numbers: [u8; 3], params: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Forged {
    claim: Claim,
    holder: u8,
    other: u8,
    part: [u8; 32],
    /// Not 32 bytes, where it is one of a few values.
    length: u8,
}

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// The bytes where the stanzas stand, and how many they are said to be.
    Raw { configured: Configured, count: u8, several: bool, bytes: &'a [u8] },
    Forged { configured: Configured, threshold: u8, shares: u8, stanzas: Vec<Forged> },
    Honest(Honest),
}

/// A split DEK, which KEKs answer, and how the configuration groups them now.
#[derive(Arbitrary, Debug)]
struct Honest {
    dek: [u8; 32],
    salt: [u8; 32],
    shares: u8,
    threshold: u8,
    there: u16,
    wrong: u16,
    groups: [u8; 16],
}

fn keks(all: &[Of], threshold: u8, asked: &Arc<AtomicUsize>) -> Keks {
    let member = |(index, of): (usize, &Of)| {
        let naming = Naming {
            name: NAMES[index].into(),
            group: of.group(),
            usage: if of.is_for_recovery() { Use::Recovery } else { Use::Start },
            ..Naming::default()
        };
        Member::new(naming, vec![Box::new(of.key(index, asked))], Vec::new())
    };
    Keks::several(all.iter().enumerate().map(member).collect(), threshold, None)
}

/// Nobody waits here; a machine that is busy must not be a finding.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(600))
}

fn open(keks: &Keks, stanzas: &[Stanza], proof: &dyn Fn(&[u8]) -> bool) -> Result<Opened> {
    keks.open(&POOL, &FILE, stanzas, &|dek| proof(&dek[..]), soon())
}

/// The polynomial through the points at 0.
fn at_zero(points: &[(u8, &[u8])]) -> Vec<u8> {
    let inverse = |a: u8| (0..253).fold(a, |power, _| times(power, a));
    let mut sum = vec![0; 32];
    for (x, y) in points {
        let others = points.iter().filter(|(other, _)| other != x);
        let weight = others.fold(1, |w, (other, _)| times(w, times(*other, inverse(other ^ x))));
        sum.iter_mut().zip(*y).for_each(|(s, y)| *s ^= times(weight, *y));
    }
    sum
}

/// The header's bytes up to the number of its stanzas: features, file id and the rest.
fn head() -> Vec<u8> {
    let stanza = Stanza::begin(("clear", "clear"), String::new(), None, Vec::new());
    let of = |stanzas| Header::first(FILE, stanzas).authenticated_bytes().expect("within the limits");
    let (one, two) = (of(vec![stanza.clone()]), of(vec![stanza.clone(), stanza]));
    let stanza = two.len() - one.len();
    one[..one.len() - stanza - 2].to_vec()
}

/// A header with these bytes as its stanzas.
fn forge(count: u16, several: bool, stanzas: &[u8]) -> Vec<u8> {
    let mut bytes = head();
    let required = if several { SEVERAL_KEKS } else { 0 };
    bytes[PROLOGUE..PROLOGUE + 8].copy_from_slice(&required.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(stanzas);
    let mut bytes = finish_header(bytes, &[0; 32]);
    mend::mend_header(&mut bytes);
    bytes
}

impl Forged {
    /// Its bytes on disk. The format's own writer refuses what is impossible.
    fn bytes(&self, threshold: u8, shares: u8) -> Vec<u8> {
        let name = NAMES[usize::from(self.holder) % 10];
        let holder = [&[name.len() as u8], name.as_bytes()].concat();
        let (numbers, params) = match &self.claim {
            Claim::Whole => ([1, 0, 1], holder),
            Claim::Nobodys => ([0, 0, 1], Vec::new()),
            Claim::Share { number, odd } => {
                let (mut split, mut x, mut t, mut n) = (1, 1 + number % shares, threshold, shares);
                match odd {
                    255 => split = 2,
                    254 => t -= 1,
                    253 => n += 1,
                    252 => x = *number,
                    _ => {}
                }
                ([1, x, t], [&holder[..], &[split; 16], &[n]].concat())
            }
            Claim::Any { numbers, params } => (*numbers, params.clone()),
        };
        let length = match self.length {
            255 => 0,
            254 => 31,
            _ => 32,
        };
        let mut body = numbers.to_vec();
        let provider = PROVIDERS[usize::from(seldom(self.other))].as_bytes();
        for field in [provider, b"clear", b"", &params[..], &[0; 32], &self.part[..length]] {
            body.extend_from_slice(&(field.len() as u16).to_le_bytes());
            body.extend_from_slice(field);
        }
        [&(body.len() as u32).to_le_bytes()[..], &body].concat()
    }
}

/// What is parsed is possible, and the same bytes again.
fn parse(bytes: &[u8]) -> Option<ParsedHeader> {
    let parsed = parse_header(bytes).ok()?;
    let again = parsed.header.authenticated_bytes().expect("what was read is within the limits");
    assert_eq!(finish_header(again, &parsed.mac), bytes);
    for share in parsed.header.stanzas.iter().filter_map(Stanza::share) {
        assert!((2..=16).contains(&share.threshold) && share.threshold <= share.shares && share.shares <= 16);
        assert!((1..=share.shares).contains(&share.number));
    }
    Some(parsed)
}

fn split(share: &Share) -> ([u8; 16], u8, u8) {
    (share.split, share.threshold, share.shares)
}

fn spoil(part: &mut [u8], wrong: Option<usize>) {
    if let Some(byte) = wrong.and_then(|index| part.get_mut(index)) {
        *byte ^= 1;
    }
}

/// What the KEK number `index` gives of a stanza.
fn given(index: usize, of: &Of, stanza: &Stanza) -> Vec<u8> {
    let mut part = stanza.blob.clone();
    spoil(&mut part, of.is_wrong().then_some(index));
    part
}

fn hostile(configured: &Configured, bytes: &[u8]) {
    let Some(parsed) = parse(bytes) else { return };
    let stanzas = &parsed.header.stanzas;
    let lone = seldom(configured.lone);
    let of = &configured.keks[..configured.keks.len().min(if lone { 1 } else { 8 })];
    let threshold = if lone { 1 } else { 1 + configured.threshold % 5 };
    let asked = Arc::default();
    let all = match (lone, of) {
        (true, [of]) => Keks::lone(vec![Box::new(of.key(0, &asked))]),
        _ => keks(of, threshold, &asked),
    };
    let recovering = configured.recovering;
    let all = all.recovering(recovering);
    let proof = |dek: &[u8]| !seldom(configured.proof) || dek[0] % 4 == configured.proof % 4;
    let result = open(&all, stanzas, &proof);
    let splits: BTreeSet<_> = stanzas.iter().filter_map(Stanza::share).map(split).collect();
    let needed = splits.first().map_or(1, |(_, threshold, _)| *threshold);
    all.info(stanzas);
    let opened = match result {
        Ok(opened) => opened,
        Err(e) => {
            let said = e.to_string();
            assert_ne!(e.kind(), Kind::Internal, "{said}");
            assert!(!said.contains(char::is_control) && said.len() < 20_000, "{said:?}");
            if splits.len() > 1 || needed < threshold {
                assert_eq!(e.kind(), Kind::Tampered, "{said}");
                assert_eq!(asked.load(Ordering::Relaxed), 0, "{said}");
            }
            return;
        }
    };
    assert!(splits.len() <= 1, "shares of two splits");
    assert!(needed >= threshold, "the file asks for less than the configuration");
    // What the only KEK gives is held against the header by who asks.
    assert!(proof(&opened.dek) || lone && splits.is_empty(), "it is not proved");
    all.describe(&opened.used);
    let parts = opened.used.iter().map(|used| given(used.member, &of[used.member], &stanzas[used.stanza]));
    let parts: Vec<Vec<u8>> = parts.collect();
    let mut points = Vec::new();
    let mut groups = BTreeSet::new();
    for (used, part) in opened.used.iter().zip(&parts) {
        let (stanza, of) = (&stanzas[used.stanza], &of[used.member]);
        assert!(of.is_there() && (!of.is_for_recovery() || recovering || lone), "a KEK that must not be tried");
        assert_eq!(stanza.provider, of.provider());
        let named = stanza.holder.as_ref().and_then(|h| NAMES.iter().position(|name| *name == h.kek));
        let configured = named.filter(|index| *index < configured.keks.len().min(8));
        assert!(lone || configured.is_none_or(|index| index == used.member), "another KEK's stanza");
        match stanza.share() {
            Some(share) => points.push((share.number, &part[..])),
            None => {
                assert_eq!(opened.used.len(), 1);
                assert!(threshold == 1 || (of.is_for_recovery() && of.group().is_none()), "one KEK is enough");
                assert_eq!(opened.dek[..], part[..]);
            }
        }
        assert!(threshold == 1 || of.group().is_none_or(|group| groups.insert(group)), "a group counts twice");
    }
    let numbers: BTreeSet<u8> = points.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), points.len(), "a number counts twice");
    if !points.is_empty() {
        assert_eq!((points.len(), opened.used.len()), (usize::from(needed), usize::from(needed)));
        assert_eq!(opened.dek[..], at_zero(&points));
    }
}

/// A header as it is written: its bytes, and what its MAC covers.
fn written(stanzas: Vec<Stanza>, dek: &[u8], salt: [u8; 32]) -> Vec<u8> {
    let mut header = Header::first(FILE, stanzas);
    header.salt = salt;
    let bytes = header.authenticated_bytes().expect("within the limits");
    let mac = FileKeys::derive(&POOL, dek, &salt).expect("secret memory").header_mac(&bytes);
    finish_header(bytes, &mac)
}

/// The check of a header that every store makes.
fn is_authentic(bytes: &[u8], parsed: &ParsedHeader, dek: &[u8]) -> bool {
    let keys = FileKeys::derive(&POOL, dek, &parsed.header.salt).expect("secret memory");
    keys.header_mac(&bytes[..bytes.len() - 32 - 4]) == parsed.mac
}

fn honest(input: &Honest) {
    let Honest { dek, salt, there, wrong, .. } = *input;
    // With something wrong all sets of shares are tried: not of 16.
    let shares = 2 + input.shares % if wrong == 0 { 15 } else { 7 };
    let threshold = 2 + input.threshold % (shares - 1);
    let needed = usize::from(threshold);
    let bit = |mask: u16, i: u8| if mask >> i & 1 == 1 { 255 } else { 0 };
    let of = |i| Of { away: bit(!there, i), ..Of::default() };
    let some: Vec<Of> = (0..shares).map(of).collect();
    let asked = Arc::default();
    let all = keks(&vec![Of::default(); shares.into()], threshold, &asked);
    let secret = POOL.copy(&dek).expect("secret memory");
    let stanzas = all.wrap(&POOL, &FILE, &secret, soon()).expect("they are all there");
    let bytes = written(stanzas, &dek, salt);
    let parsed = parse(&bytes).expect("it was written so");
    let stanzas = &parsed.header.stanzas;
    let proof = |dek: &[u8]| is_authentic(&bytes, &parsed, dek);

    let lying: Vec<Of> = some.iter().zip(0..).map(|(some, i)| Of { wrong: bit(wrong, i), ..*some }).collect();
    let right = lying.iter().filter(|of| of.is_there() && !of.is_wrong()).count();
    match open(&keks(&lying, threshold, &asked), stanzas, &proof) {
        Ok(opened) => {
            assert!(right >= needed, "too few KEKs");
            assert_eq!(opened.used.len(), needed);
            assert!(opened.used.iter().all(|used| !lying[used.member].is_wrong()));
            assert_eq!(opened.dek[..], dek);
        }
        Err(e) => {
            assert!(right < needed, "{e}");
            assert!(matches!(e.kind(), Kind::Denied | Kind::Tampered), "{e}");
        }
    }
    // Where the configuration has come to group KEKs, those of one group count once.
    let grouped: Vec<Of> = some.iter().zip(input.groups).map(|(some, group)| Of { group, ..*some }).collect();
    let answering = || grouped.iter().filter(|of| of.is_there()).map(Of::group);
    let alone = answering().filter(Option::is_none).count();
    let count = alone + answering().flatten().collect::<BTreeSet<_>>().len();
    match open(&keks(&grouped, threshold, &asked), stanzas, &proof) {
        Ok(opened) => {
            assert!(count >= needed, "a group counts twice");
            assert_eq!(opened.dek[..], dek);
        }
        Err(e) => assert!(count < needed, "{e}"),
    }
    // The same stanzas in a file that claims that one share less is enough: it opens nothing under its configuration, and
    // under a lower one nothing that fits the header.
    let mut fewer = stanzas.clone();
    for holder in fewer.iter_mut().filter_map(|stanza| stanza.holder.as_mut()) {
        let lower = holder.share.map(|share| Share { threshold: threshold - 1, ..share });
        holder.share = lower.filter(|_| threshold > 2);
    }
    let e = open(&keks(&some, threshold, &asked), &fewer, &|_| true).map(drop).expect_err("a lower threshold");
    assert_eq!(e.kind(), Kind::Tampered, "{e}");
    let lower = || keks(&some, threshold - 1, &asked);
    if let Ok(opened) = open(&lower(), &fewer, &|_| true) {
        assert_ne!(opened.dek[..], dek, "one share too few");
    }
    if shares < 9 {
        assert!(open(&lower(), &fewer, &proof).is_err(), "one share too few");
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Raw { configured, count, several, bytes } => {
            hostile(&configured, &forge(count.into(), several, bytes));
        }
        Input::Forged { configured, threshold, shares, stanzas } => {
            let threshold = 2 + threshold % 4;
            let shares = threshold + shares % 4;
            let stanzas = &stanzas[..stanzas.len().min(17)];
            let bytes: Vec<u8> = stanzas.iter().flat_map(|stanza| stanza.bytes(threshold, shares)).collect();
            let several = stanzas.iter().any(|stanza| !matches!(stanza.claim, Claim::Nobodys));
            hostile(&configured, &forge(stanzas.len() as u16, several, &bytes));
        }
        Input::Honest(input) => honest(&input),
    }
});
