//! KMIP servers for tests: PyKMIP, which is a real one, and a stand of ours that answers in time, late, or otherwise than
//! it should. A module of tests/contract_kmip.rs.
//!
//! Owns the certificates of both. The stand is no server to learn from: it has one key, and tells nobody apart but by TLS.
#![allow(dead_code, clippy::disallowed_methods, clippy::unwrap_used)]

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use keyring_ward::kek::kmip::message::tag;
use keyring_ward::kek::kmip::ttlv::{HEAD, Item, Type, Writer, length_behind, read};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

// ---- certificates ----------------------------------------------------------------------------

/// An authority, and the files of what it has signed.
pub struct Authority {
    pub folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = scratch("kmip-authority");
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Authority {
            folder,
            issuer: Issuer::new(params, key),
            certificate: certificate.der().clone(),
        }
    }

    fn certify(&self, name: &str, expired: bool, client: bool) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if client {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes NAME.pem and NAME.key of a client.
    pub fn client(&self, name: &str, expired: bool) {
        let (certificate, key) = self.certify(name, expired, true);
        write_pair(&self.folder, name, &certificate.pem(), &key);
    }

    /// TLS of a server with this name, for clients that this authority knows.
    pub fn tls(&self, name: &str, expired: bool, only_1_2: bool) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.certify(name, expired, false);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let versions: &[&rustls::SupportedProtocolVersion] = match only_1_2 {
            true => &[&rustls::version::TLS12],
            false => rustls::ALL_VERSIONS,
        };
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }
}

/// A new folder below cargo's own: what lives as long as the program is removed by nobody.
fn scratch(name: &str) -> PathBuf {
    let made = tempfile::Builder::new()
        .prefix(name)
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    made.unwrap().keep()
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &KeyPair) {
    std::fs::write(folder.join(format!("{name}.pem")), certificate).unwrap();
    let path = folder.join(format!("{name}.key"));
    std::fs::write(&path, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// One authority with the clients `one` and `expired`, for all stands of a test program.
pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let authority = Authority::new("ours");
    authority.client("one", false);
    authority.client("expired", true);
    authority
});

// ---- the stand -------------------------------------------------------------------------------

/// What a stand does with a connection.
#[derive(Clone, Debug)]
pub enum Does {
    /// It answers as a server should.
    Good,
    /// So many bytes of the answer, and then nothing more.
    HangAfter(usize),
    /// So many bytes of the answer, and then the end.
    CloseAfter(usize),
    /// Byte by byte, with this pause after each.
    Drip(Duration),
    /// These bytes instead, and then nothing more.
    Say(Vec<u8>),
    /// Refuses with this result reason and message.
    Refuse(u32, &'static str),
    /// A good answer for another key.
    OtherKey,
    /// A data key that is cut.
    ShortKey,
    /// TCP is accepted, and then nothing.
    NoTls,
    /// Something else than TLS.
    Plain(&'static [u8]),
}

/// A server of ours.
pub struct Stand {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    does: Arc<Mutex<Does>>,
    /// Bytes of the last answer, as it should be.
    length: Arc<AtomicUsize>,
}

impl Stand {
    pub fn start(does: Does) -> Stand {
        Stand::start_with(AUTHORITY.tls("localhost", false, false), does)
    }

    pub fn start_with(tls: Arc<rustls::ServerConfig>, does: Does) -> Stand {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stand = Stand {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            does: Arc::new(Mutex::new(does)),
            length: Arc::default(),
        };
        let (seen, does) = (stand.seen.clone(), stand.does.clone());
        let length = stand.length.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, seen, does) = (tls.clone(), seen.clone(), does.lock().unwrap().clone());
                let length = length.clone();
                std::thread::spawn(move || serve(stream, tls, (&seen, &length), &does));
            }
        });
        stand
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    pub fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// The requests since the last call of this.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Waits until the client gives up.
fn hang(stream: &mut impl Read) -> io::Result<()> {
    stream.read(&mut [0]).map(drop)
}

fn serve(
    mut raw: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    (seen, length): (&Mutex<Vec<Vec<u8>>>, &AtomicUsize),
    does: &Does,
) -> io::Result<()> {
    match does {
        Does::NoTls => return io::copy(&mut raw, &mut io::sink()).map(drop),
        Does::Plain(text) => {
            raw.write_all(text)?;
            return io::copy(&mut raw, &mut io::sink()).map(drop);
        }
        _ => {}
    }
    let session = rustls::ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(session, raw);
    // A client may ask several times by one connection.
    loop {
        let mut request = vec![0; HEAD];
        stream.read_exact(&mut request)?;
        let rest = length_behind(&request, tag::REQUEST_MESSAGE).unwrap();
        request.resize(HEAD + rest, 0);
        stream.read_exact(&mut request[HEAD..])?;
        seen.lock().unwrap().push(request.clone());
        let whole = answer(&request, does);
        length.store(whole.len(), Ordering::Relaxed);
        if !matches!(
            does,
            Does::Good | Does::OtherKey | Does::ShortKey | Does::Refuse(..)
        ) {
            return misbehave(&mut stream, &whole, does);
        }
        stream.write_all(&whole)?;
        stream.flush()?;
    }
}

fn misbehave(stream: &mut Tls, whole: &[u8], does: &Does) -> io::Result<()> {
    match does {
        Does::HangAfter(n) => {
            stream.write_all(&whole[..(*n).min(whole.len())])?;
            stream.flush()?;
            hang(stream)
        }
        Does::CloseAfter(n) => {
            stream.write_all(&whole[..(*n).min(whole.len())])?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        Does::Drip(pause) => whole.iter().try_for_each(|byte| {
            stream.write_all(&[*byte])?;
            stream.flush()?;
            std::thread::sleep(*pause);
            Ok(())
        }),
        Does::Say(bytes) => {
            stream.write_all(bytes)?;
            stream.flush()?;
            hang(stream)
        }
        _ => unreachable!("it is answered as it should be"),
    }
}

type Tls = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

const DISCOVER_VERSIONS: u32 = 0x1E;
const GET_ATTRIBUTES: u32 = 0x0B;
const ATTRIBUTE: u32 = 0x42_0008;
const ATTRIBUTE_NAME: u32 = 0x42_000A;
const ATTRIBUTE_VALUE: u32 = 0x42_000B;
const RNG_RETRIEVE: u32 = 0x25;
const ENCRYPT: u32 = 0x1F;
const TIME_STAMP: u32 = 0x42_0092;
const UNIQUE_BATCH_ITEM_ID: u32 = 0x42_0093;

/// The answer to a request. Its header has all that the standard demands (KMIP 1.4, section 7.2): clients that we have not
/// written insist on it.
fn answer(request: &[u8], does: &Does) -> Vec<u8> {
    let message = read(request).unwrap();
    let header = message.find(tag::REQUEST_HEADER).unwrap();
    let item = message.find(tag::BATCH_ITEM).unwrap();
    let payload = item.find(tag::REQUEST_PAYLOAD).unwrap();
    let operation = item.find(tag::OPERATION).unwrap().enumeration().unwrap();
    let result = match does {
        Does::Refuse(reason, said) => Err((*reason, *said)),
        _ if [DISCOVER_VERSIONS, GET_ATTRIBUTES].contains(&operation) => Ok(Default::default()),
        _ if operation == RNG_RETRIEVE => Ok((random(&payload), Vec::new())),
        _ => cipher(&payload, operation == ENCRYPT).ok_or((0x100, "it does not fit")),
    };
    let mut w = Writer::new();
    w.structure(tag::RESPONSE_MESSAGE, |w| {
        w.structure(tag::RESPONSE_HEADER, |w| {
            let asked = header.find(tag::PROTOCOL_VERSION).unwrap();
            let of = |tag| asked.find(tag).unwrap().integer().unwrap();
            version(
                w,
                of(tag::PROTOCOL_VERSION_MAJOR),
                of(tag::PROTOCOL_VERSION_MINOR),
            );
            w.item(TIME_STAMP, Type::DateTime, &now().to_be_bytes());
            w.integer(tag::BATCH_COUNT, 1);
        });
        w.structure(tag::BATCH_ITEM, |w| {
            w.enumeration(tag::OPERATION, operation);
            if let Some(id) = item.find(UNIQUE_BATCH_ITEM_ID).and_then(|id| id.bytes()) {
                w.bytes(UNIQUE_BATCH_ITEM_ID, id);
            }
            w.enumeration(tag::RESULT_STATUS, result.is_err().into());
            match result {
                Err((reason, said)) => {
                    w.enumeration(tag::RESULT_REASON, reason);
                    w.text(tag::RESULT_MESSAGE, said);
                }
                Ok(_) if operation == DISCOVER_VERSIONS => {
                    w.structure(tag::RESPONSE_PAYLOAD, |w| {
                        (2..=4).rev().for_each(|minor| version(w, 1, minor));
                    });
                }
                Ok(_) if operation == GET_ATTRIBUTES => {
                    w.structure(tag::RESPONSE_PAYLOAD, |w| attributes(w, &payload));
                }
                Ok(result) => {
                    w.structure(tag::RESPONSE_PAYLOAD, |w| write(w, &payload, &result, does));
                }
            }
        });
    });
    w.finish().to_vec()
}

/// What the key of every stand is: a symmetric one of AES, for encryption and decryption.
fn attributes(w: &mut Writer, payload: &Item<'_>) {
    let key = payload.find(tag::UNIQUE_IDENTIFIER).unwrap();
    w.text(tag::UNIQUE_IDENTIFIER, key.text().unwrap());
    let mut attribute = |name: &str, kind, value: u32| {
        w.structure(ATTRIBUTE, |w| {
            w.text(ATTRIBUTE_NAME, name);
            w.item(ATTRIBUTE_VALUE, kind, &value.to_be_bytes());
        });
    };
    attribute("Object Type", Type::Enumeration, 2);
    attribute("Cryptographic Algorithm", Type::Enumeration, 3);
    attribute("Cryptographic Usage Mask", Type::Integer, 4 | 8);
}

fn version(w: &mut Writer, major: i32, minor: i32) {
    w.structure(tag::PROTOCOL_VERSION, |w| {
        w.integer(tag::PROTOCOL_VERSION_MAJOR, major);
        w.integer(tag::PROTOCOL_VERSION_MINOR, minor);
    });
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn write(w: &mut Writer, payload: &Item<'_>, (data, auth): &(Vec<u8>, Vec<u8>), does: &Does) {
    let Some(key) = payload.find(tag::UNIQUE_IDENTIFIER) else {
        return w.bytes(tag::DATA, data);
    };
    let (key, length) = match does {
        Does::OtherKey => ("other", data.len()),
        Does::ShortKey => (key.text().unwrap(), 16),
        _ => (key.text().unwrap(), data.len()),
    };
    w.text(tag::UNIQUE_IDENTIFIER, key);
    w.bytes(tag::DATA, &data[..length]);
    if !auth.is_empty() {
        w.bytes(tag::AUTHENTICATION_TAG, auth);
    }
}

/// As many bytes as are asked for: 1, 2, 3 …
fn random(payload: &Item<'_>) -> Vec<u8> {
    let length = payload.find(tag::DATA_LENGTH).and_then(|i| i.integer());
    (1..=length.unwrap()).map(|i| i as u8).collect()
}

/// The key of every stand, whatever it is called: the one of the vector good-kmip.
const KEY: [u8; 32] = [0x4b; 32];

/// What comes of the data, and the tag: AES-256-GCM. In the place of CBC something that is none: each byte is changed.
fn cipher(payload: &Item<'_>, encrypting: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let bytes = |tag| payload.find(tag).and_then(|i| i.bytes());
    let parameters = payload.find(tag::CRYPTOGRAPHIC_PARAMETERS)?;
    let mut data = bytes(tag::DATA)?.to_vec();
    if parameters.find(tag::BLOCK_CIPHER_MODE)?.enumeration()? != 9 {
        data.iter_mut().for_each(|byte| *byte ^= 0xAA);
        data.resize(if encrypting { 48 } else { 32 }, 16);
        return Some((data, Vec::new()));
    }
    let aead = Aes256Gcm::new_from_slice(&KEY).ok()?;
    let nonce = Nonce::from(<[u8; 12]>::try_from(bytes(tag::IV_COUNTER_NONCE)?).ok()?);
    let aad = bytes(tag::ADDITIONAL_DATA).unwrap_or_default();
    if encrypting {
        let made = aead.encrypt_inout_detached(&nonce, aad, data.as_mut_slice().into());
        return Some((data, made.ok()?.to_vec()));
    }
    let auth = <[u8; 16]>::try_from(bytes(tag::AUTHENTICATION_TAG)?).ok()?;
    let opened =
        aead.decrypt_inout_detached(&nonce, aad, data.as_mut_slice().into(), &Tag::from(auth));
    opened.ok().map(|()| (data, Vec::new()))
}

// ---- the real server -------------------------------------------------------------------------

/// PyKMIP, and somebody who makes keys on it.
pub struct Real {
    pub folder: PathBuf,
    pub port: u16,
    _guard: Child,
    admin: Mutex<(ChildStdin, BufReader<ChildStdout>, Child)>,
}

/// One for all tests of the program; `None` only where it is not installed and this is not CI.
pub static REAL: LazyLock<Option<Real>> = LazyLock::new(Real::start);

impl Real {
    fn start() -> Option<Real> {
        let home = std::env::var_os("KW_KMIP").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("mysql-test/.work/kmip"),
            PathBuf::from,
        );
        let python = home.join("bin/python");
        if !python.exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "PyKMIP is required in CI: scripts/test.sh unit installs it"
            );
            eprintln!("SKIPPED: no PyKMIP here (scripts/test.sh unit installs it)");
            return None;
        }
        let folder = scratch("kmip-server");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/kmip_admin.py");
        let made = Command::new(&python)
            .args([&script, Path::new("certificates"), &folder])
            .arg("localhost")
            .status();
        assert!(made.unwrap().success());
        // The server lives as long as the standard input of its shell, that is as long as this process.
        let guard = Command::new("sh")
            .args([
                "-c",
                r#"setsid "$@" >/dev/null 2>&1 & cat >/dev/null; kill -9 -$!"#,
                "sh",
            ])
            .args([&python, &script, Path::new("serve"), &folder])
            .args(["127.0.0.1", "0"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut admin = Command::new(&python)
            .args([&script, Path::new("keys"), &folder])
            .arg("127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (admin.stdin.take().unwrap(), admin.stdout.take().unwrap());
        let mut from = BufReader::new(from);
        let mut ready = String::new();
        from.read_line(&mut ready).unwrap();
        let port = ready.trim().strip_prefix("ready ");
        let port = port.expect("PyKMIP does not start").parse().unwrap();
        Some(Real {
            folder,
            port,
            _guard: guard,
            admin: Mutex::new((to, from, admin)),
        })
    }

    /// A command of kmip_admin.py.
    pub fn admin(&self, command: &str) -> String {
        let mut admin = self.admin.lock().unwrap();
        writeln!(admin.0, "{command}").unwrap();
        admin.0.flush().unwrap();
        let mut answer = String::new();
        admin.1.read_line(&mut answer).unwrap();
        let answer = answer.trim().to_string();
        assert!(!answer.is_empty(), "no answer to {command}");
        answer
    }

    /// An active key for Encrypt and Decrypt.
    pub fn key(&self) -> String {
        let key = self.admin("create");
        assert_eq!(self.admin(&format!("activate {key}")), "ok");
        key
    }
}
