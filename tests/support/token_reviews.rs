//! The part of Kubernetes' API that Vault asks for a pod: TokenReview (authentication.k8s.io/v1). Part of
//! tests/contract_vault.rs.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use super::bao::Authority;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

/// Begins a server that knows these tokens, each with its account, and gives its URL. It ends with the process.
pub fn token_reviews(authority: &Authority, accounts: Vec<(String, String)>) -> String {
    let (chain, key) = authority.certify("localhost");
    let chain = rustls::pki_types::pem::PemObject::from_pem_slice(chain.as_bytes()).unwrap();
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let _ = review(&mut stream, &accounts);
        }
    });
    url
}

fn review(stream: &mut (impl Read + Write), accounts: &[(String, String)]) -> std::io::Result<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(&mut *stream));
    while reader.read_line(&mut head)? > 2 {}
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |l| l.trim().parse().unwrap())];
    reader.read_exact(&mut body)?;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = asked["spec"]["token"].as_str().unwrap_or_default();
    let known = accounts.iter().find(|(of, _)| of == token);
    let status = match known {
        Some((_, name)) => json!({
            "authenticated": true, "audiences": asked["spec"]["audiences"],
            "user": {"username": format!("system:serviceaccount:{name}"), "uid": "u-1", "groups": []},
        }),
        None => json!({"authenticated": false, "error": "invalid bearer token"}),
    };
    let answer =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
    let answer = answer.to_string();
    let found = head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews ");
    let line = if found {
        "201 Created"
    } else {
        "404 Not Found"
    };
    write!(
        stream,
        "HTTP/1.1 {line}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )?;
    stream.flush()
}
