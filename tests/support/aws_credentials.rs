//! Where the credentials for KMS come from: each source, what is refused, and what the message names. The tool is
//! asked, since its environment is the test's to choose.

use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::sync::Mutex;

const ROLE: &str = "arn:aws:iam::123456789012:role/r";
const KEYS: &str = "aws_access_key_id = AKIDFILE\naws_secret_access_key = HIDDENSECRET\n";

/// A KMS key at moto behind a counting proxy, another proxy as STS, and a folder.
struct Bench {
    place: Place,
    kms: Proxy,
    sts: Proxy,
    key: String,
}

/// What the tool said.
struct Said {
    code: i32,
    text: String,
    took: Duration,
}

impl Said {
    fn ok(&self) {
        assert_eq!(self.code, 0, "{}", self.text);
    }

    /// Failed with this kind and all of these words; never with a secret, a panic or a control character.
    fn refused(&self, kind: Kind, words: &[&str]) {
        let text = &self.text;
        assert_eq!(self.code, 10 + i32::from(kind.number()), "{text}");
        for word in words {
            assert!(text.contains(word), "no '{word}' in: {text}");
        }
        assert!(
            !text.contains("HIDDEN") && !text.contains("panicked"),
            "{text}"
        );
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}

impl Bench {
    fn new(moto: &Server) -> Bench {
        let place = Place::new();
        std::fs::create_dir(place.path("home")).unwrap();
        Bench {
            place,
            kms: Proxy::start(moto.address),
            sts: Proxy::start(moto.address),
            key: moto.make_key(),
        }
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.place.path(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// A new keyring, with this environment and these options.
    fn init(&self, environment: &[(&str, &str)], options: &[&str]) -> Said {
        let _ = std::fs::remove_file(self.place.path("keyring"));
        let _ = std::fs::remove_file(self.place.path("keyring.lock"));
        let text = json!({
            "backend": "aws_kms", "path": self.place.path("keyring"), "timeout": 3,
            "aws_kms": {"key_id": self.key, "endpoint_url": self.kms.url(), "sts_endpoint_url": self.sts.url(),
                        "attempt_timeout": 2},
        });
        let config = self.write("conf", &text.to_string(), 0o644);
        let home = self.place.path("home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyring-ward"));
        command.args(["init", "--config", &config]);
        for option in options {
            command.args(["--option", option]);
        }
        let base = [
            ("PATH", "/usr/bin:/bin"),
            ("HOME", home.to_str().unwrap()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        command
            .env_clear()
            .envs(base)
            .envs(environment.iter().copied());
        let begin = Instant::now();
        let out = command.output().unwrap();
        Said {
            code: out.status.code().unwrap(),
            text: String::from_utf8_lossy(&out.stderr).into_owned(),
            took: begin.elapsed(),
        }
    }

    /// With a config file of this text.
    fn with_config(&self, text: &str) -> Said {
        let path = self.write("aws-config", text, 0o600);
        self.init(&[("AWS_CONFIG_FILE", &path)], &[])
    }

    /// With a credential process that is this script.
    fn with_process(&self, script: &str) -> Said {
        let process = self.write("process", &format!("#!/bin/sh\n{script}\n"), 0o755);
        self.with_config(&format!(
            "[default]\ncredential_process = {process} arg 'with blank'\n"
        ))
    }

    /// The access key ids that signed the calls to KMS.
    fn signers(&self) -> Vec<String> {
        let requests = self.kms.take_requests();
        let of = |r: &Request| {
            let header = r.header("authorization").unwrap_or_default().to_string();
            header
                .split("Credential=")
                .nth(1)
                .unwrap_or_default()
                .split('/')
                .next()
                .unwrap()
                .to_string()
        };
        requests.iter().map(of).collect()
    }
}

const GOOD: &str = r#"{"Version":1,"AccessKeyId":"AKIDPROC","SecretAccessKey":"HIDDENSECRET","SessionToken":"HIDDENTOKEN","Expiration":"2099-01-01T00:00:00Z"}"#;

/// Processes with this in their command line.
fn alive(mark: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let with_mark = |p: std::path::PathBuf| {
        std::fs::read(p.join("cmdline")).is_ok_and(|c| String::from_utf8_lossy(&c).contains(mark))
    };
    all.filter(|p| with_mark(p.path())).count()
}

#[test]
fn a_credential_process_is_run_by_us_bounded_and_ended() {
    let Some(moto) = &*MOTO else { return };
    let bench = Bench::new(moto);
    // Directly, with its words, the environment, and nothing on its input.
    let seen = bench.place.path("seen");
    bench
        .with_process(&format!(
            "printf '%s|%s|%s|' \"$1\" \"$2\" \"$HOME\" > {0}; cat >> {0}; printf '%s' '{GOOD}'",
            seen.display()
        ))
        .ok();
    assert_eq!(bench.signers()[0], "AKIDPROC");
    let home = bench.place.path("home");
    assert_eq!(
        std::fs::read_to_string(&seen).unwrap(),
        format!("arg|with blank|{}|", home.display())
    );
    // By its name in PATH, and as the source of a role.
    bench
        .with_config(&format!(
            "[default]\nrole_arn = {ROLE}\nsource_profile = p\n[profile p]\ncredential_process = printf '{GOOD}'\n"
        ))
        .ok();
    assert_eq!(
        bench.sts.take_calls().len(),
        3,
        "a trial, a wrap and its proof"
    );
    let place = [
        "the program '",
        "process' (credential_process in '",
        "aws-config' line 2)",
    ];
    let fails = |script: &str, kind: Kind, words: &[&str]| {
        let said = bench.with_process(script);
        said.refused(kind, &[&place[..], words].concat());
        assert!(
            !said.text.contains("AWS KMS ("),
            "KMS is not to blame: {}",
            said.text
        );
        said
    };
    let said = fails(
        "sleep 7421 & exec sleep 7421",
        Kind::Unreachable,
        &["was killed"],
    );
    assert!(said.took < Duration::from_secs(15), "{:?}", said.took);
    let gone = Instant::now();
    while alive("7421") > 0 {
        assert!(
            gone.elapsed() < Duration::from_secs(30),
            "it is still there"
        );
    }
    fails(
        "exec cat /dev/zero",
        Kind::Config,
        &["more than 65536 bytes"],
    );
    fails(
        "echo HIDDEN; echo 'no ticket\u{7}' >&2; echo more >&2; exit 3",
        Kind::Unreachable,
        &["exit code 3", "\"no ticket"],
    );
    fails("kill -9 $$", Kind::Unreachable, &["signal 9"]);
    fails("true", Kind::Config, &["is empty"]);
    fails("echo HIDDEN", Kind::Config, &["is not JSON"]);
    fails(
        &format!(
            "printf '%s' '{}'",
            GOOD.replace("\"Version\":1", "\"Version\":2")
        ),
        Kind::Config,
        &["no \"Version\": 1"],
    );
    fails(
        &format!("printf '%s' '{}'", GOOD.replace("2099", "2001")),
        Kind::Denied,
        &["has expired, at 2001-01-01T00:00:00Z"],
    );
    fails(
        &format!("printf '%s' '{}'", GOOD.replace("AKIDPROC", "AKID\\u000d")),
        Kind::Config,
        &["AccessKeyId in the output of", "a carriage return"],
    );
    for (line, words) in [
        ("/nonexistent/program", "'/nonexistent/program'"),
        (
            "nonexistentprogram",
            "no program 'nonexistentprogram' in PATH",
        ),
        ("./program", "is not an absolute path"),
        ("/bin/true | cat", "only a shell understands"),
        ("/bin/true '", "a quote without its end"),
        ("/etc/passwd", "can't be run"),
    ] {
        let said = bench.with_config(&format!("[default]\ncredential_process = {line}\n"));
        assert!(
            said.code > 10 && said.text.contains(words) && said.text.contains("aws-config' line 2"),
            "{line}: {}",
            said.text
        );
    }
    // Who can write the program, or put another in its place, would have the rights of mysqld.
    std::fs::create_dir(bench.place.path("d")).unwrap();
    let inside = bench.write(
        "d/process",
        &format!("#!/bin/sh\nprintf '%s' '{GOOD}'\n"),
        0o755,
    );
    let folder = bench.place.path("d");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    bench
        .with_config(&format!("[default]\ncredential_process = {inside}\n"))
        .refused(Kind::Permission, &["d/process': ", "could be exchanged"]);
    let config = bench.write(
        "d/config",
        &format!("[default]\ncredential_process = printf '{GOOD}'\n"),
        0o600,
    );
    bench
        .init(&[("AWS_CONFIG_FILE", &config)], &[])
        .refused(Kind::Permission, &["d/config': ", "it could be exchanged"]);
    let process = bench.write("open", &format!("#!/bin/sh\nprintf '%s' '{GOOD}'\n"), 0o777);
    bench
        .with_config(&format!("[default]\ncredential_process = {process}\n"))
        .refused(Kind::Permission, &["open' has mode 0777"]);
}

#[test]
fn every_text_from_outside_is_checked_and_its_place_named() {
    let Some(moto) = &*MOTO else { return };
    let bench = Bench::new(moto);
    let good = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "HIDDENSECRET"),
    ];
    let token = bench.write("token", "tok", 0o644);
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", ROLE),
    ];
    bench.init(&good, &[]).ok();
    bench.init(&identity, &[]).ok();
    for (base, name, value) in [
        (&good, "AWS_ACCESS_KEY_ID", "HIDDEN\r"),
        (&good, "AWS_ACCESS_KEY_ID", "HIDDEN KEY"),
        (&good, "AWS_SECRET_ACCESS_KEY", "HIDDEN\r"),
        (&good, "AWS_SESSION_TOKEN", "HIDDEN\n"),
        (&good, "AWS_SESSION_TOKEN", "HIDDEN\u{e4}"),
        (&good, "HTTPS_PROXY", "http://u:HIDDEN@proxy\r"),
        (&identity, "AWS_ROLE_ARN", "arn:aws:iam::1:role/HIDDEN\r"),
        (&identity, "AWS_ROLE_SESSION_NAME", "HIDDEN\r"),
        (&identity, "AWS_WEB_IDENTITY_TOKEN_FILE", "/tmp/x\r"),
        (&identity, "AWS_PROFILE", "HIDDEN\u{1b}[1m"),
        (&identity, "AWS_CONFIG_FILE", "/tmp/x\n"),
    ] {
        let said = bench.init(&[&base[..], &[(name, value)]].concat(), &[]);
        said.refused(Kind::Config, &[&format!("{name} in the environment")]);
    }
    bench
        .init(&good[..1], &[])
        .refused(Kind::Config, &["AWS_SECRET_ACCESS_KEY is not"]);
    bench
        .init(&identity[..1], &[])
        .refused(Kind::Config, &["AWS_ROLE_ARN is not"]);
    // The same in files, with the line.
    for (text, words) in [
        (
            "[default]\naws_access_key_id = HIDDEN\u{7}\naws_secret_access_key = b\n",
            "aws_access_key_id in '",
        ),
        (
            "[default]\naws_access_key_id = HIDDEN\n  more\naws_secret_access_key = b\n",
            "aws_access_key_id in '",
        ),
        (
            "[default]\nrole_arn = HIDDEN x\nsource_profile = default\naws_access_key_id = a\naws_secret_access_key = b\n",
            "role_arn in '",
        ),
        (
            "[default]\nexternal_id = HIDDEN\u{7}\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\naws_access_key_id = a\naws_secret_access_key = b\n",
            "external_id in '",
        ),
        (
            "[default]\nrole_session_name = HIDDEN x\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\naws_access_key_id = a\naws_secret_access_key = b\n",
            "role_session_name in '",
        ),
    ] {
        bench
            .with_config(text)
            .refused(Kind::Config, &[words, "aws-config' line 2"]);
    }
    for bad in ["HIDDEN\r\n", "HIDDEN\nHIDDEN\n", "HIDDEN\u{7}", ""] {
        bench.write("token", bad, 0o644);
        bench.init(&identity, &[]).refused(
            Kind::Config,
            &["token' (AWS_WEB_IDENTITY_TOKEN_FILE in the environment)"],
        );
    }
    // A region that only the environment tells: an id without ARN.
    let mut by_id = Bench::new(moto);
    by_id.key = by_id.key.rsplit('/').next().unwrap().to_string();
    for bad in ["eu-central-1\r", "EU", "a/b"] {
        let said = by_id.init(&[&good[..], &[("AWS_REGION", bad)]].concat(), &[]);
        said.refused(Kind::Config, &["AWS_REGION in the environment"]);
    }
    let path = by_id.write("aws-config", "[default]\nregion = eu_x\n", 0o600);
    by_id
        .init(&[&good[..], &[("AWS_CONFIG_FILE", &path)]].concat(), &[])
        .refused(Kind::Config, &["region in '", "aws-config' line 2"]);
}

#[test]
fn files_that_configure_credentials_have_the_rules_of_secrets() {
    let Some(moto) = &*MOTO else { return };
    let bench = Bench::new(moto);
    let with = |name: &str, text: &str, mode: u32, variable: &str| {
        let path = bench.write(name, text, mode);
        bench.init(&[(variable, &path)], &[])
    };
    let config = |text: &str, mode: u32| with("aws-config", text, mode, "AWS_CONFIG_FILE");
    let process = format!("[default]\ncredential_process = printf '{GOOD}'\n");
    config(&process, 0o644).ok();
    config(&process, 0o666).refused(Kind::Permission, &["aws-config' has mode 0666"]);
    config(&format!("[default]\n{KEYS}"), 0o600).ok();
    config(&format!("[default]\n{KEYS}"), 0o644).refused(
        Kind::Permission,
        &[
            "aws_secret_access_key in '",
            "aws-config' line 3",
            "chmod 600",
        ],
    );
    let keys = format!("[default]\n{KEYS}");
    with("aws-keys", &keys, 0o600, "AWS_SHARED_CREDENTIALS_FILE").ok();
    with("aws-keys", &keys, 0o644, "AWS_SHARED_CREDENTIALS_FILE")
        .refused(Kind::Permission, &["aws-keys'", "chmod 600"]);
    let token = bench.write("token", "tok", 0o666);
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", ROLE),
    ];
    bench
        .init(&identity, &[])
        .refused(Kind::Permission, &["token' has mode 0666"]);
    // What can't be parsed says where; what is not there is not an error.
    config("[default]\n region = x\n", 0o600).refused(
        Kind::Config,
        &["aws-config' line 2: a line that begins with a blank"],
    );
    let said = bench.init(&[("AWS_CONFIG_FILE", "/nonexistent/config")], &[]);
    said.refused(
        Kind::Denied,
        &[
            "none were found",
            "'/nonexistent/config' does not exist",
            "AWS_ACCESS_KEY_ID is not set",
            "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        ],
    );
    let said = bench.init(&[("AWS_PROFILE", "team")], &[]);
    said.refused(
        Kind::Config,
        &["no profile 'team' (AWS_PROFILE in the environment)"],
    );
    config("[default]\nsso_session = x\n", 0o600).refused(
        Kind::Config,
        &["sso_session in '", "line 2", "IAM Identity Center"],
    );
    if super::is_root() {
        let path = bench.write("aws-config", &process, 0o644);
        chown(&path, Some(12_345), None).unwrap();
        let said = bench.init(&[("AWS_CONFIG_FILE", &path)], &[]);
        said.refused(Kind::Permission, &["aws-config': it belongs to user 12345"]);
    }
    // The environment's keys make the files unneeded: a broken one does not stop a start.
    let path = bench.write("aws-config", "broken", 0o600);
    bench
        .init(
            &[
                ("AWS_CONFIG_FILE", &path),
                ("AWS_ACCESS_KEY_ID", "A"),
                ("AWS_SECRET_ACCESS_KEY", "B"),
            ],
            &[],
        )
        .ok();
}

#[test]
fn options_reach_every_call_to_sts() {
    let Some(moto) = &*MOTO else { return };
    let bench = Bench::new(moto);
    let token = bench.write("token", "tok", 0o644);
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", ROLE),
    ];
    let actions = || -> Vec<String> {
        let of = |r: Request| {
            let body = String::from_utf8_lossy(&r.body).into_owned();
            body.split('&')
                .find_map(|p| p.strip_prefix("Action="))
                .unwrap()
                .to_string()
        };
        bench.sts.take_requests().into_iter().map(of).collect()
    };
    // Each operation asks anew: a trial, a wrap, and its proof.
    let thrice = |one: &[&str]| {
        [one, one, one]
            .concat()
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    bench.init(&identity, &[]).ok();
    assert_eq!(actions(), thrice(&["AssumeRoleWithWebIdentity"]));
    let then = format!("aws_kms_role_arn={ROLE}2");
    bench.init(&identity, &[&then]).ok();
    assert_eq!(
        actions(),
        thrice(&["AssumeRoleWithWebIdentity", "AssumeRole"])
    );
    let chain = format!(
        "[default]\nrole_arn={ROLE}2\nsource_profile=b\n[profile b]\nrole_arn={ROLE}\nsource_profile=c\nexternal_id=x1\n[profile c]\n{KEYS}"
    );
    bench.with_config(&chain).ok();
    assert_eq!(actions(), thrice(&["AssumeRole", "AssumeRole"]));
    let profile = format!("[default]\nrole_arn={ROLE}\nweb_identity_token_file={token}\n");
    bench.with_config(&profile).ok();
    assert_eq!(actions(), thrice(&["AssumeRoleWithWebIdentity"]));
    assert!(bench.signers().iter().all(|s| !s.starts_with("AKIDFILE")));
    // What goes wrong there names STS's host, the token's path and the line of the role.
    bench
        .sts
        .set_fault("status 403 AccessDenied not authorized");
    bench.init(&identity, &[]).refused(
        Kind::Denied,
        &[
            "token' (AWS_WEB_IDENTITY_TOKEN_FILE",
            &bench.sts.url(),
            "HTTP status 403",
        ],
    );
    bench.with_config(&chain).refused(
        Kind::Denied,
        &["role_arn in '", "aws-config' line 5", &bench.sts.url()],
    );
    bench.sts.set_fault("hang");
    bench.init(&identity, &[]).refused(
        Kind::Unreachable,
        &["STS (", &bench.sts.url(), "did not answer within"],
    );
    bench.sts.set_fault("");
    let missing = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"),
        ("AWS_ROLE_ARN", ROLE),
    ];
    bench.init(&missing, &[]).refused(
        Kind::NotFound,
        &[
            "'/nonexistent/token'",
            "AWS_WEB_IDENTITY_TOKEN_FILE in the environment",
        ],
    );
    let closed = super::ports::closed();
    let elsewhere = format!("aws_kms_sts_endpoint_url=http://{closed}");
    bench.init(&identity, &[&elsewhere]).refused(
        Kind::Unreachable,
        &[&format!("no answer of {closed}"), "refused"],
    );
}

/// A service of metadata: answers by path.
struct Metadata {
    address: SocketAddr,
    answers: Arc<Mutex<Vec<(String, String)>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    fn start() -> Metadata {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let metadata = Metadata {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            seen: Arc::default(),
        };
        let (answers, seen) = (metadata.answers.clone(), metadata.seen.clone());
        #[allow(clippy::disallowed_methods)] // a test's own server
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(n @ 1..) => request.extend_from_slice(&buffer[..n]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_string();
                seen.lock().unwrap().push(request);
                let found = answers
                    .lock()
                    .unwrap()
                    .iter()
                    .find(|(p, _)| *p == path)
                    .cloned();
                let (status, body) =
                    found.map_or(("404 Not Found", String::new()), |(_, b)| ("200 OK", b));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        metadata
    }

    fn answer(&self, path: &str, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(p, _)| p != path);
        answers.push((path.into(), body.into()));
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

const TEMPORARY: &str = r#"{"Code":"Success","AccessKeyId":"AKIDMETA","SecretAccessKey":"HIDDENSECRET","Token":"HIDDENTOKEN","Expiration":"2099-01-01T00:00:00Z"}"#;

#[test]
fn a_container_gives_credentials_for_its_token() {
    let Some(moto) = &*MOTO else { return };
    let bench = Bench::new(moto);
    let metadata = Metadata::start();
    metadata.answer("/creds?x=1", TEMPORARY);
    let url = format!("{}/creds?x=1", metadata.url());
    let token = bench.write("token", "HIDDENPOD\n", 0o644);
    let pod = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &*token),
    ];
    // A proxy is not asked for what is near.
    bench
        .init(
            &[&pod[..], &[("HTTP_PROXY", &*bench.kms.url())]].concat(),
            &[],
        )
        .ok();
    assert_eq!(bench.signers()[0], "AKIDMETA");
    let seen = metadata.seen.lock().unwrap()[0].to_lowercase();
    assert!(
        seen.starts_with("get /creds?x=1 ") && seen.contains("authorization: hiddenpod\r\n"),
        "{seen}"
    );
    for (name, value) in [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.24/x",
        ),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x\r"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x\ny"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/tmp/\u{7}"),
    ] {
        bench
            .init(&[&pod[..], &[(name, value)]].concat(), &[])
            .refused(Kind::Config, &[name]);
    }
    let inline = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HIDDEN\r"),
    ];
    bench.init(&inline, &[]).refused(
        Kind::Config,
        &["AWS_CONTAINER_AUTHORIZATION_TOKEN in the environment"],
    );
    bench.write("token", "HIDDEN\u{7}", 0o644);
    bench.init(&pod, &[]).refused(
        Kind::Config,
        &[
            "the token in '",
            "token' (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)",
        ],
    );
    bench.write("token", "pod", 0o644);
    metadata.answer("/creds?x=1", &TEMPORARY.replace("AKIDMETA", "AKID\\n"));
    bench.init(&pod, &[]).refused(
        Kind::Config,
        &[
            "AccessKeyId in the answer of the container's credential service",
            "a line end",
        ],
    );
    let away = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x")];
    bench.init(&away, &[]).refused(
        Kind::Unreachable,
        &["http://127.0.0.1:9/x (AWS_CONTAINER_CREDENTIALS_FULL_URI)"],
    );
    let gone = format!("{}/gone", metadata.url());
    bench
        .init(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &gone)], &[])
        .refused(Kind::Denied, &["/gone", "HTTP status 404"]);
}

#[test]
fn an_instance_gives_its_roles_credentials_and_its_region() {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let Some(moto) = &*MOTO else { return };
    let mut bench = Bench::new(moto);
    bench.key = bench.key.rsplit('/').next().unwrap().to_string();
    let metadata = Metadata::start();
    let url = metadata.url();
    let instance = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*url),
    ];
    metadata.answer("/latest/api/token", "HIDDENIMDS");
    metadata.answer("/latest/meta-data/placement/region", "us-east-1");
    metadata.answer(ROLES, "db\n");
    metadata.answer(&format!("{ROLES}db"), TEMPORARY);
    bench.init(&instance, &[]).ok();
    assert_eq!(bench.signers()[0], "AKIDMETA");
    let seen = metadata.seen.lock().unwrap().join("\n").to_lowercase();
    assert!(
        seen.contains("put /latest/api/token")
            && seen.contains("x-aws-ec2-metadata-token: hiddenimds\r\n"),
        "{seen}"
    );
    let region = [&instance[..], &[("AWS_REGION", "us-east-1")]].concat();
    for (path, bad, kind, words) in [
        (
            "/latest/meta-data/placement/region",
            "us\r-x",
            Kind::Config,
            "something else than a region",
        ),
        (
            "/latest/api/token",
            "HIDDEN\u{7}X",
            Kind::Config,
            "the token of the instance's metadata service",
        ),
        (ROLES, "../x", Kind::Config, "the role's name"),
        (
            "/latest/meta-data/iam/security-credentials/db",
            "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}",
            Kind::Denied,
            "AssumeRoleUnauthorizedAccess no trust",
        ),
        (
            "/latest/meta-data/iam/security-credentials/db",
            "<html>",
            Kind::Config,
            "is not JSON",
        ),
    ] {
        let answers = metadata.answers.lock().unwrap().clone();
        metadata.answer(path, bad);
        let environment = if path.ends_with("region") {
            &instance[..]
        } else {
            &region[..]
        };
        bench.init(environment, &[]).refused(kind, &[words, &url]);
        *metadata.answers.lock().unwrap() = answers;
    }
    metadata
        .answers
        .lock()
        .unwrap()
        .retain(|(p, _)| !p.starts_with(ROLES));
    bench
        .init(&region, &[])
        .refused(Kind::Denied, &["none were found", "knows no role"]);
    // A profile that names the instance as the source of a role.
    metadata.answer(ROLES, "db");
    metadata.answer(&format!("{ROLES}db"), TEMPORARY);
    let config = format!("[default]\nrole_arn={ROLE}\ncredential_source=Ec2InstanceMetadata\n");
    let path = bench.write("aws-config", &config, 0o644);
    bench.sts.take_calls();
    bench
        .init(&[&region[..], &[("AWS_CONFIG_FILE", &path)]].concat(), &[])
        .ok();
    assert_eq!(bench.sts.take_calls().len(), 3);
}
