//! Ports for tests: one at which nothing listens, and some that a program may be told to listen at. A module of tests.
//!
//! Owns that no other test is given the same one: a port that was free a moment ago may be somebody else's now.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// An address at which nothing listens, and nothing will.
pub fn closed() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// A port that is bound here and listened at by nobody: the system gives it to nobody who asks for any, and lets a program
/// that sets SO_REUSEADDR, as servers do, listen there.
pub struct Kept {
    _socket: TcpSocket,
    pub address: SocketAddr,
}

impl Kept {
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> Kept {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Kept {
            address: socket.local_addr().unwrap(),
            _socket: socket,
        }
    }
}
