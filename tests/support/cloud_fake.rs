//! The fakes of clouds' key services as a program, for the server tests and for the vendors' own clients:
//!
//!   cloud_fake serve CLOUD ADDRESS:PORT [NAME=VALUE…]
//!   cloud_fake set ADDRESS:PORT NAME VALUE
//!   cloud_fake calls ADDRESS:PORT
//!
//! Clouds, settings and faults: tests/support/clouds. For tests only: who reaches it may set everything.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "clouds/mod.rs"]
mod clouds;

use clouds::Fake;
use std::io::{Read, Write};
use std::net::TcpStream;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", cloud, address, ref settings @ ..] => serve(cloud, address, settings),
        ["set", address, name, value] => drop(ask(address, "PUT", name, value)),
        ["calls", address] => println!("{}", ask(address, "GET", "calls", "")),
        _ => panic!("see the first lines of tests/support/cloud_fake.rs"),
    }
}

fn serve(cloud: &str, address: &str, settings: &[&str]) {
    let fake: std::io::Result<Fake> = match cloud {
        "google" => Fake::listen(clouds::google::Google::default(), address),
        "oci" => Fake::listen(clouds::oci::Oci::default(), address),
        "azure" => Fake::listen(clouds::azure::Azure::default(), address),
        "alibaba" => Fake::listen(clouds::alibaba::Alibaba::default(), address),
        _ => panic!("no cloud has the name {cloud} ({address})"),
    };
    let fake = fake.unwrap();
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        fake.set(name, value);
    }
    println!("ready {}", fake.address);
    loop {
        std::thread::park();
    }
}

fn ask(address: &str, method: &str, name: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} /_fake/{name} HTTP/1.1\r\nHost: fake\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_string()
}
