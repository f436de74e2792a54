//! The chain: lines one behind the other, each with the hash of the one before, and checkpoints that are signed.
//!
//! Owns the numbers, the hashes and the signatures of a log that is written. The key of the signatures lives sealed in the keyring; it
//! must never leave this file but as a signature.

use super::entry::Entry;
use super::event::Event;
use super::line::{self, Member};
use super::note::HASH;
use super::position::Position;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::PAIR_ED25519;
use crate::key_pair::{Algorithm, KeyPair};
use crate::secret::{SecretBytes, SecretPool};
use crate::text::hex;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// The name of the document that holds the key.
pub const DOCUMENT: &str = "audit.key";
/// Its first byte: what follows is an Ed25519 private key as PKCS #8.
const LAYOUT: u8 = 1;
/// What is signed begins with this, so that no signature of a key pair stands for one of the log.
pub const CONTEXT: &[u8] = b"keyring-ward audit log 1\n";
/// Lines after which a checkpoint is due.
pub const LINES: u64 = 1_000;
/// How a public half in PEM begins and ends (RFC 8410: the same for every Ed25519 key).
const SPKI: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// InvalidInput: it is none of Ed25519.
    pub fn from_pem(pem: &str) -> Result<PublicKey> {
        let lines = pem.lines().map(str::trim);
        let body: String = lines.filter(|l| !l.starts_with("-----")).collect();
        let der = BASE64.decode(body.as_bytes()).unwrap_or_default();
        let key = der.strip_prefix(SPKI).and_then(|key| key.try_into().ok());
        key.map(PublicKey).ok_or_else(|| {
            Error::new(
                Kind::InvalidInput,
                "read the public key",
                "it is no Ed25519 public key in PEM",
            )
            .hint("keyring-ward audit public-key prints the one of a keyring's log.")
        })
    }

    /// What tells it from others: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(self.0)[..8])
    }

    /// Whether a signature is one of a line's beginning.
    pub fn verifies(&self, body: &str, signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let message = [CONTEXT, body.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&message, signature)
            .is_ok()
    }
}

/// A key that signs.
pub struct Signer {
    pair: KeyPair,
    public: PublicKey,
}

impl Signer {
    /// The content of a new key's document.
    ///
    /// # Errors
    /// Internal: no random bytes or memory.
    pub fn generate(pool: &SecretPool) -> Result<SecretBytes> {
        let private = Algorithm::Ed25519.generate(pool)?;
        let mut content = pool.zeroed(1 + private.len())?;
        content[0] = LAYOUT;
        content[1..].copy_from_slice(&private);
        Ok(content)
    }

    /// The key of a document.
    ///
    /// # Errors
    /// UnsupportedVersion, Internal: it is none that this program knows.
    pub fn read(content: &[u8]) -> Result<Signer> {
        let Some((&LAYOUT, private)) = content.split_first() else {
            let why = "the document with the audit log's key has a layout that this program does not know";
            return Err(
                Error::new(Kind::UnsupportedVersion, "sign the audit log", why)
                    .hint("Use the version of Keyring Ward that wrote it, or a later one."),
            );
        };
        let pair = KeyPair::read(PAIR_ED25519, private)?;
        let public = PublicKey::from_pem(&pair.public_pem()?)?;
        Ok(Signer { pair, public })
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The public half in PEM.
    ///
    /// # Errors
    /// Internal: no memory.
    pub fn public_pem(&self) -> Result<String> {
        self.pair.public_pem()
    }

    fn sign(&self, body: &str) -> Result<String> {
        let (message, mut signature) = ([CONTEXT, body.as_bytes()].concat(), Vec::new());
        self.pair.sign(&message, &mut signature)?;
        Ok(BASE64.encode(&signature))
    }
}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last line's number; 0: none.
    pub line: u64,
    /// Its hash.
    pub hash: [u8; HASH],
    /// The last change that it tells.
    pub change: Option<Position>,
}

/// A chain that is written.
pub struct Chain {
    signer: Signer,
    tail: Tail,
    /// Lines since the last checkpoint.
    unsigned: u64,
    /// Which keyring it tells of.
    keyring: [u8; 16],
}

impl Chain {
    /// A chain that goes on where it stands.
    pub fn new(signer: Signer, tail: Tail, keyring: [u8; 16]) -> Chain {
        Chain {
            signer,
            tail,
            unsigned: 0,
            keyring,
        }
    }

    /// Goes on behind lines that are there, of which so many are not signed.
    pub fn go_on(&mut self, tail: Tail, unsigned: u64) {
        (self.tail, self.unsigned) = (tail, unsigned);
    }

    /// Which keyring it tells of.
    pub fn keyring(&self) -> [u8; 16] {
        self.keyring
    }

    /// Where it stands.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Whose signatures it has.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Nothing was told since the last checkpoint.
    pub fn is_signed(&self) -> bool {
        self.unsigned == 0
    }

    /// So many lines are told that a checkpoint is due.
    pub fn is_due(&self) -> bool {
        self.unsigned >= LINES
    }

    /// The position of the last change from here on: what the journal tells where the log does not.
    pub fn set_change(&mut self, change: Option<Position>) {
        self.tail.change = change;
    }

    /// Adds a line to `out`.
    pub fn tell(&mut self, entry: &Entry, out: &mut String) {
        self.add(entry, &[], out);
    }

    /// Adds the first line of a file: who signs, and what it tells of.
    pub fn begin(&mut self, why: &str, out: &mut String) {
        let entry = Entry::new(Event::Begin).saying(why);
        let more = [
            ("format", line::FORMAT.into()),
            ("signer", self.signer.public.id().into()),
            ("keyring", hex(&self.keyring).into()),
        ];
        let more: Vec<Member> = more.into_iter().chain(self.last_change()).collect();
        self.add(&entry, &more, out);
    }

    fn last_change(&self) -> Option<Member> {
        self.tail
            .change
            .map(|change| ("last_change", change.text().into()))
    }

    fn add(&mut self, entry: &Entry, more: &[Member], out: &mut String) {
        let number = self.tail.line + 1;
        let text = line::write(number, entry, more, &self.tail.hash);
        self.follow(number, &text, out);
        self.tail.change = entry.change.or(self.tail.change);
        self.unsigned += 1;
    }

    fn follow(&mut self, number: u64, text: &str, out: &mut String) {
        self.tail.line = number;
        self.tail.hash = line::hash(text);
        out.push_str(text);
        out.push('\n');
    }

    /// Adds a checkpoint: everything before it, and it, is signed.
    ///
    /// # Errors
    /// Internal: no memory.
    pub fn checkpoint(&mut self, out: &mut String) -> Result<()> {
        let number = self.tail.line + 1;
        let signer = ("signer", self.signer.public.id().into());
        let more: Vec<Member> = [signer].into_iter().chain(self.last_change()).collect();
        let text = line::write(
            number,
            &Entry::new(Event::Checkpoint),
            &more,
            &self.tail.hash,
        );
        let body = text.strip_suffix('}').unwrap_or(&text);
        let signature = self.signer.sign(body)?;
        self.follow(number, &line::signed(&text, &signature), out);
        self.unsigned = 0;
        Ok(())
    }
}
