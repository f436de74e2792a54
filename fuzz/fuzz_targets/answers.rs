//! What Vault, AWS KMS, STS and the services with AWS credentials may answer: any bytes, JSON and XML of the members
//! that are looked for, and good answers with something changed.
//!
//! Oracles: no panic; what is accepted stands in the answer, and a data key has 32 bytes; what is refused has a kind of
//! its own (a defect of ours is none), and its text is bounded, in one line, and shows no part of the secrets that were
//! sent.
#![no_main]

use arbitrary::Arbitrary;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::aws_kms::trial::{Asked, Given};
use keyring_ward::kek::aws_kms::{AwsKmsConfig, AwsKmsKek, KmsKey};
use keyring_ward::kek::vault::trial::{self, Received};
use keyring_ward::kek::vault::{Login, Step, VaultConfig, VaultKek};
use keyring_ward::net::{Answer, MAX_RETRY_AFTER};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use libfuzzer_sys::fuzz_target;
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

/// What the questions carry: a token, the secret of a login, and a data key in base64.
const TOKEN: &str = "hvs.CAESIJd0mQ7Zr2Lk8WvTn5bXy1Gp4Hs6Ej3Fa9";
const SECRET: &str = "84896a0c-1347-aa90-a4f6-aca8b7558780";
const PLAINTEXT: &str = "Ly8tMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0w=";
const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const SENT: [&str; 3] = [TOKEN, SECRET, PLAINTEXT];
/// What of a secret a text may show at most.
const PART: usize = 15;
/// Characters of an error: two texts of a service, each cut at 600, and our sentences.
const MAX_ERROR: usize = 2200;

static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);
static VAULT: LazyLock<VaultKek> = LazyLock::new(|| {
    VaultKek::new(VaultConfig {
        address: "https://h:8200".into(),
        namespace: Some("team1".into()),
        mount: "transit".into(),
        key: "mysql".into(),
        login: Login::Token(SecretRef::File("/token".into())),
        auth_mount: "approle".into(),
        identity: None,
        ca_file: None,
        proxy: None,
        connect_timeout: Duration::ZERO,
        attempt_timeout: Duration::ZERO,
    })
});
static AWS: LazyLock<[AwsKmsKek; 2]> = LazyLock::new(|| {
    ["alias/mysql", KEY_ID].map(|key| {
        AwsKmsKek::new(AwsKmsConfig {
            key: KmsKey::parse(key).expect("a key"),
            previous: false,
            region: Some("eu-central-1".into()),
            endpoint_url: None,
            sts_endpoint_url: None,
            profile: None,
            credentials_file: None,
            role: None,
            use_fips: false,
            use_dualstack: false,
            proxy: None,
            ca_file: None,
            connect_timeout: Duration::ZERO,
            attempt_timeout: Duration::ZERO,
            context: Vec::new(),
            kms_random: false,
        })
    })
});

/// Members and elements that are looked for, and one that is not.
const NAMES: [&str; 42] = [
    "auth",
    "client_token",
    "token_type",
    "num_uses",
    "lease_duration",
    "mfa_requirement",
    "errors",
    "warnings",
    "data",
    "ciphertext",
    "plaintext",
    "__type",
    "code",
    "message",
    "Message",
    "Plaintext",
    "CiphertextBlob",
    "KeyId",
    "KeyMetadata",
    "KeyState",
    "DeletionDate",
    "Version",
    "AccessKeyId",
    "SecretAccessKey",
    "SessionToken",
    "Token",
    "Expiration",
    "Code",
    "Error",
    "Credentials",
    "AssumeRoleResponse",
    "AssumeRoleResult",
    "ErrorResponse",
    "x",
    "associated_data",
    "role_id",
    "secret_id",
    "xmlns",
    "xmlns:a",
    "Type",
    "RequestId",
    "a:Error",
];

/// Texts that are looked for in values.
const KNOWN: [&str; 34] = [
    "batch",
    "service",
    "vault:v1:AAAA",
    "vault:v999999999:",
    "ignored these unrecognized parameters: [associated_data]",
    "Vault is sealed",
    "local node not active",
    "encryption key not found",
    "message authentication failed",
    "version is too new",
    "fetching keys",
    "permission denied",
    "1 error occurred:\n\t* ",
    "com.amazonaws.kms#NotFoundException",
    "AccessDeniedException:http://x",
    "KMSInvalidStateException",
    "InvalidSignatureException",
    "The Canonical String for this request should have been",
    "ThrottlingException",
    "IncorrectKeyException",
    "InvalidCiphertextException",
    "PendingDeletion",
    "Success",
    "AccessDenied",
    "2099-01-01T00:00:00Z",
    "2020-01-01T00:00:00+14:00",
    "-9999-12-31T23:59:60Z",
    "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    KEY_ID,
    "AKIDEXAMPLE",
    "\r\n",
    "\u{1b}[2J\u{202e}\u{2028}",
    "",
    " ",
];

#[derive(Arbitrary, Clone, Debug)]
enum Piece<'a> {
    Known(u8),
    Sent { which: u8, from: u8, length: u8 },
    /// In base64, what is as long as a data key.
    Key([u8; 32]),
    Bytes(&'a [u8]),
    Text(&'a str),
    Many { of: char, times: u16 },
}

#[derive(Arbitrary, Clone, Debug)]
enum Value<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Real(f64),
    Text(Vec<Piece<'a>>),
    Known(u8),
    Array(Vec<Value<'a>>),
    Object(Vec<(u8, Value<'a>)>),
    Deep { arrays: u8 },
}

#[derive(Arbitrary, Debug)]
enum Body<'a> {
    Raw(&'a [u8]),
    Json(Vec<(u8, Value<'a>)>),
    Xml(u8, Value<'a>),
    /// A good answer or a refusal, its values after their places changed, and members added to it.
    Changed { key: [u8; 32], values: Vec<(u8, Value<'a>)>, more: Vec<(u8, Value<'a>)> },
}

/// The index of a name.
fn name(name: &str) -> u8 {
    NAMES.iter().position(|n| *n == name).expect("it is in the list") as u8
}

fn object<'a>(members: impl IntoIterator<Item = (&'static str, Value<'a>)>) -> Value<'a> {
    Value::Object(members.into_iter().map(|(n, value)| (name(n), value)).collect())
}

/// A good answer to a question, or where `refuses` is true a refusal.
fn answer_to(question: Question, refuses: bool, key: [u8; 32]) -> Value<'static> {
    let text = |text: &'static str| Value::Text(vec![Piece::Text(text)]);
    let key = || Value::Text(vec![Piece::Key(key)]);
    let credentials = |token| [("AccessKeyId", text("AKID")), ("SecretAccessKey", key()), (token, key())];
    let document = |token| {
        let others = [("Version", Value::Number(1)), ("Expiration", text("2099-01-01T00:00:00Z"))];
        object(credentials(token).into_iter().chain(others))
    };
    let data = |name, value| object([("data", object([(name, value)])), ("warnings", Value::Null)]);
    match (question, refuses) {
        (Question::Vault(_), true) => object([("errors", Value::Array(vec![text("no")]))]),
        (Question::Vault(Step::Login), _) => {
            let numbers = [("num_uses", Value::Number(0)), ("lease_duration", Value::Number(60))];
            let texts = [("client_token", key()), ("token_type", text("service"))];
            object([("auth", object(texts.into_iter().chain(numbers)))])
        }
        (Question::Vault(Step::Encrypt), _) => {
            data("ciphertext", Value::Text(vec![Piece::Text("vault:v1:"), Piece::Bytes(b"abc")]))
        }
        (Question::Vault(Step::Random), _) => data("random_bytes", key()),
        (Question::Vault(_), _) => data("plaintext", key()),
        (Question::Aws(Asked::AssumeRole), true) => {
            let error = object([("Code", text("AccessDenied")), ("Message", text("no"))]);
            object([("ErrorResponse", object([("Error", error)]))])
        }
        (Question::Aws(_), true) => object([("__type", text("AccessDeniedException")), ("message", text("no"))]),
        (Question::Aws(Asked::GenerateDataKey), _) => {
            let ciphertext = Value::Text(vec![Piece::Bytes(b"abc")]);
            object([("Plaintext", key()), ("CiphertextBlob", ciphertext), ("KeyId", text(KEY_ID))])
        }
        (Question::Aws(Asked::Decrypt), _) => object([("Plaintext", key()), ("KeyId", text(KEY_ID))]),
        (Question::Aws(Asked::DescribeKey), _) => {
            let dated = [("KeyState", text("PendingDeletion")), ("DeletionDate", Value::Real(1.8e9))];
            object([("KeyMetadata", object(dated))])
        }
        (Question::Aws(Asked::AssumeRole), _) => {
            let result = object([("Credentials", object(credentials("SessionToken")))]);
            object([("AssumeRoleResponse", object([("AssumeRoleResult", result)]))])
        }
        (Question::Aws(Asked::Process), _) => document("SessionToken"),
        (Question::Aws(Asked::Container | Asked::Instance), _) => document("Token"),
    }
}

/// Puts `new` in the place of the value number `at`, counted as they are written.
fn change<'a>(value: &mut Value<'a>, at: &mut u8, new: &Value<'a>) {
    if *at == 0 {
        *value = new.clone();
    }
    let Some(left) = at.checked_sub(1) else { return };
    *at = left;
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| change(value, at, new)),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| change(value, at, new)),
        _ => {}
    }
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    question: u8,
    /// One that is common, where it is less than 1,000.
    status: u16,
    error_type: Option<Vec<Piece<'a>>>,
    date: Option<&'a str>,
    later: Option<&'a str>,
    body: Body<'a>,
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = number >> (18 - 6 * digit) & 63;
            out.push(if digit <= three.len() { DIGITS[at as usize].into() } else { '=' });
        }
    }
    out
}

fn text(pieces: &[Piece<'_>]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Known(which) => out += KNOWN[usize::from(*which) % KNOWN.len()],
            Piece::Sent { which, from, length } => {
                let sent = SENT[usize::from(*which) % SENT.len()];
                let from = usize::from(*from) % sent.len();
                out += &sent[from..(from + usize::from(*length)).min(sent.len())];
            }
            Piece::Key(key) => out += &base64(key),
            Piece::Bytes(bytes) => out += &base64(bytes),
            Piece::Text(text) => out += text,
            Piece::Many { of, times } => out.extend(std::iter::repeat_n(*of, usize::from(times % 3000))),
        }
    }
    out
}

/// A body that is built, and the texts that stand in it.
#[derive(Default)]
struct Built {
    body: String,
    texts: Vec<String>,
}

impl Built {
    fn json_text(&mut self, text: &str) {
        self.body.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.body.extend(['\\', c]),
                c if c.is_control() => _ = write!(self.body, "\\u{:04x}", u32::from(c)),
                c => self.body.push(c),
            }
        }
        self.body.push('"');
        self.texts.push(text.into());
    }

    fn json_object(&mut self, members: &[(u8, Value<'_>)]) {
        self.body.push('{');
        for (i, (name, value)) in members.iter().enumerate() {
            self.body += if i > 0 { ",\"" } else { "\"" };
            self.body += NAMES[usize::from(*name) % NAMES.len()];
            self.body += "\":";
            self.json(value);
        }
        self.body.push('}');
    }

    fn json(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.body += "null",
            Value::Bool(value) => _ = write!(self.body, "{value}"),
            Value::Number(value) => _ = write!(self.body, "{value}"),
            Value::Real(value) => _ = write!(self.body, "{value:e}"),
            Value::Text(pieces) => self.json_text(&text(pieces)),
            Value::Known(which) => self.json_text(KNOWN[usize::from(*which) % KNOWN.len()]),
            Value::Array(values) => {
                self.body.push('[');
                for (i, value) in values.iter().enumerate() {
                    self.body += if i > 0 { "," } else { "" };
                    self.json(value);
                }
                self.body.push(']');
            }
            Value::Object(members) => self.json_object(members),
            Value::Deep { arrays } => self.body += &"[".repeat((*arrays).into()),
        }
    }

    /// Whatever has members has elements, and arrays are elements side by side.
    fn xml(&mut self, value: &Value<'_>) {
        match value {
            Value::Text(pieces) => self.xml_text(&text(pieces)),
            Value::Known(which) => self.xml_text(KNOWN[usize::from(*which) % KNOWN.len()]),
            Value::Array(values) => values.iter().for_each(|value| self.xml(value)),
            Value::Object(members) => members.iter().for_each(|(name, value)| self.xml_element(*name, value)),
            Value::Deep { arrays } => self.body += &"<a>".repeat((*arrays).into()),
            Value::Null => self.body += "<!-- - -->",
            Value::Bool(_) => self.body += "<?x y?>",
            Value::Number(value) => _ = write!(self.body, "&#{value};"),
            Value::Real(value) => _ = write!(self.body, "<![CDATA[{value}]]>"),
        }
    }

    fn xml_element(&mut self, name: u8, value: &Value<'_>) {
        let name = NAMES[usize::from(name) % NAMES.len()];
        let space = if name.contains(':') { " xmlns:a=\"https://x\"" } else { "" };
        _ = write!(self.body, "<{name}{space}>");
        self.xml(value);
        _ = write!(self.body, "</{name}>");
    }

    fn xml_text(&mut self, text: &str) {
        self.body += &text.replace('&', "&amp;").replace('<', "&lt;").replace('\r', "&#13;");
        self.texts.push(text.into());
    }
}

#[derive(Clone, Copy)]
enum Question {
    Vault(Step),
    Aws(Asked),
}

const QUESTIONS: [Question; 12] = [
    Question::Vault(Step::Login),
    Question::Vault(Step::Encrypt),
    Question::Vault(Step::Decrypt),
    Question::Vault(Step::Random),
    Question::Vault(Step::Revoke),
    Question::Aws(Asked::GenerateDataKey),
    Question::Aws(Asked::Decrypt),
    Question::Aws(Asked::DescribeKey),
    Question::Aws(Asked::AssumeRole),
    Question::Aws(Asked::Process),
    Question::Aws(Asked::Container),
    Question::Aws(Asked::Instance),
];

/// What of the answer may have been taken.
struct Inside<'a> {
    body: &'a [u8],
    texts: &'a [String],
    is_json: bool,
}

impl Inside<'_> {
    /// The text stands in it. In bytes of any kind and in XML it may be written in other ways.
    fn has(&self, text: &str) -> bool {
        if self.is_json {
            return self.texts.iter().any(|t| t == text);
        }
        let part = |text: &[u8]| self.body.windows(text.len().max(1)).any(|part| part == text);
        part(text.as_bytes()) || [&b"\\"[..], b"&", b"\r", b"<![CDATA["].iter().any(|other| part(other))
    }
}

/// `sent`: the secrets of the question. `hidden`: texts that no error may show.
fn refused(e: &Error, sent: &[&str], hidden: &[String]) {
    let said = e.to_string();
    assert_ne!(e.kind(), Kind::Internal, "{said}");
    assert!(said.chars().count() <= MAX_ERROR, "{} characters", said.chars().count());
    let obeyed = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
    assert!(!said.contains(obeyed), "{said:?}");
    for hidden in hidden.iter().filter(|text| text.len() >= 20) {
        assert!(!said.contains(hidden.as_str()) || KNOWN.iter().any(|known| known.contains(hidden.as_str())), "{said}");
    }
    for sent in sent {
        let mut parts = (PART..sent.len()).map(|end| &sent[end - PART..=end]);
        assert!(!parts.any(|part| said.contains(part)), "{said}");
    }
}

/// The token and the fields of a question.
fn carried(step: Step) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match step {
        Step::Login => ("", &[("role_id", "r"), ("secret_id", SECRET)]),
        Step::Encrypt => (TOKEN, &[("plaintext", PLAINTEXT), ("associated_data", "eA==")]),
        Step::Decrypt => (TOKEN, &[("ciphertext", "vault:v1:AAAA"), ("associated_data", "eA==")]),
        Step::Random => (TOKEN, &[("bytes", "32"), ("format", "base64")]),
        Step::Revoke => (TOKEN, &[]),
    }
}

fn vault(step: Step, status: u16, inside: &Inside<'_>) -> Result<()> {
    let (token, fields) = carried(step);
    let given = VAULT.receive(&POOL, step, (token, fields), &Received { status, body: inside.body })?;
    assert!((200..300).contains(&status));
    match given {
        trial::Given::Token(token) => assert!(inside.has(&token) && token.bytes().all(|b| b.is_ascii_graphic())),
        trial::Given::Ciphertext(text) => assert!(inside.has(&text) && text.starts_with("vault:v")),
        trial::Given::DataKey(key) => assert!(key.len() == 32 && inside.has(&base64(&key))),
        trial::Given::Nothing => assert_eq!(step, Step::Revoke),
    }
    Ok(())
}

fn aws(kek: &AwsKmsKek, asked: Asked, answer: &Answer, inside: &Inside<'_>) -> Result<()> {
    let given = kek.receive(&POOL, asked, answer, &SENT)?;
    let of_http = !matches!(asked, Asked::Process | Asked::Instance);
    assert!(!of_http || (200..300).contains(&answer.status()));
    match given {
        Given::DataKey(key, ciphertext, name) => {
            assert!(asked == Asked::GenerateDataKey && key.len() == 32 && inside.has(&base64(&key)));
            assert!((1..=6144).contains(&ciphertext.len()) && inside.has(&base64(&ciphertext)));
            assert!(name.is_empty() || inside.has(&name));
        }
        Given::Key(key) => assert!(asked == Asked::Decrypt && key.len() == 32 && inside.has(&base64(&key))),
        Given::Credentials(id, secret, token) => {
            for text in [Some(id), Some(secret), token].into_iter().flatten() {
                assert!(inside.has(&text) && text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
            }
        }
        Given::Nothing => assert_eq!(asked, Asked::DescribeKey),
    }
    Ok(())
}

fuzz_target!(|input: Input<'_>| {
    const STATUS: [u16; 16] = [200, 200, 200, 200, 200, 204, 307, 400, 401, 403, 404, 412, 429, 472, 500, 503];
    let status = if input.status < 1000 { STATUS[usize::from(input.status % 16)] } else { input.status };
    let question = QUESTIONS[usize::from(input.question) % QUESTIONS.len()];
    let mut built = Built::default();
    let body = match &input.body {
        Body::Raw(bytes) => bytes,
        Body::Json(members) => {
            built.json_object(members);
            built.body.as_bytes()
        }
        Body::Xml(name, value) => {
            built.xml_element(*name, value);
            built.body.as_bytes()
        }
        Body::Changed { key, values, more } => {
            let mut whole = answer_to(question, status >= 300, *key);
            values.iter().for_each(|(at, new)| change(&mut whole, &mut (at % 16), new));
            if let Value::Object(members) = &mut whole {
                members.extend(more.iter().cloned());
            }
            match question {
                Question::Aws(Asked::AssumeRole) => built.xml(&whole),
                _ => built.json(&whole),
            }
            built.body.as_bytes()
        }
    };
    let is_xml = matches!((&input.body, question), (Body::Changed { .. }, Question::Aws(Asked::AssumeRole)));
    let is_json = matches!(input.body, Body::Json(_) | Body::Changed { .. }) && !is_xml;
    let inside = Inside { body, texts: &built.texts, is_json };
    let headers = [("date", input.date), ("retry-after", input.later)];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?.to_string())));
    let error_type = input.error_type.iter().map(|pieces| ("x-amzn-errortype".to_string(), text(pieces)));
    let answer = Answer::new(status, headers.chain(error_type).collect(), body.to_vec().into());
    assert!(answer.retry_after().is_none_or(|pause| pause <= MAX_RETRY_AFTER));
    let (result, sent) = match question {
        Question::Vault(step) => {
            let (token, fields) = carried(step);
            let is_carried = |sent: &&str| *sent == token || fields.iter().any(|(_, value)| value == sent);
            (vault(step, status, &inside), SENT.into_iter().filter(is_carried).collect())
        }
        // These two are told no secret of these.
        Question::Aws(asked @ (Asked::Process | Asked::Instance)) => {
            (aws(&AWS[0], asked, &answer, &inside), Vec::new())
        }
        Question::Aws(asked) => (aws(&AWS[usize::from(input.question) / 128], asked, &answer, &inside), SENT.to_vec()),
    };
    // A service's words are shown where it refuses, an instance's with status 200.
    let is_shown = match question {
        Question::Aws(Asked::Instance) => true,
        Question::Aws(Asked::Process) => false,
        Question::Aws(Asked::Container) => status != 200,
        _ => !(200..300).contains(&status),
    };
    if let Err(e) = result {
        refused(&e, &sent, if is_shown { &[] } else { &built.texts });
    }
});
