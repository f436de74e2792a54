//! Lines for syslog or journald, beside the file: whoever keeps them elsewhere can tell a cut end.
//!
//! Owns how one is sent: a datagram that nobody waits for. One that finds no room is lost there; the file has it.

use super::settings::Syslog;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where both listen.
const SOCKET: &str = "/dev/log";
/// Facility 13 (log audit), severity 6 (informational): RFC 5424.
const PRIORITY: u8 = 13 * 8 + 6;

/// The way there.
pub(super) struct Sender {
    what: Syslog,
    socket: PathBuf,
    open: Option<UnixDatagram>,
    /// Lines that were not taken.
    pub(super) missed: u64,
}

impl Sender {
    pub(super) fn new(what: Syslog) -> Sender {
        Sender::to(Path::new(SOCKET), what)
    }

    fn to(socket: &Path, what: Syslog) -> Sender {
        Sender {
            what,
            socket: socket.into(),
            open: None,
            missed: 0,
        }
    }

    fn connect(&mut self) -> io::Result<&UnixDatagram> {
        if self.open.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(&self.socket)?;
            self.open = Some(socket);
        }
        self.open
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends those of these lines that are to go there.
    pub(super) fn send(&mut self, lines: &str) {
        for line in lines.lines() {
            let wanted = match self.what {
                Syslog::None => return,
                Syslog::Checkpoints => line.contains(",\"event\":\"checkpoint\","),
                Syslog::All => true,
            };
            if wanted && self.send_one(line).is_err() {
                // A daemon that was restarted has a new socket.
                self.open = None;
                if self.send_one(line).is_err() {
                    self.missed += 1;
                }
            }
        }
    }

    fn send_one(&mut self, line: &str) -> io::Result<()> {
        let message = format!("<{PRIORITY}>keyring-ward-audit: {line}");
        self.connect()?.send(message.as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_does_not_read_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sender = Sender::to(&path, Syslog::All);
        sender.send("{}\n");
        assert_eq!(sender.missed, 1, "nobody is there");
        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send("{\"line\":1}\n");
        let mut bytes = [0; 100];
        let length = daemon.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"<110>keyring-ward-audit: {\"line\":1}");
        // It hangs.
        let many = "{\"line\":2}\n".repeat(5_000);
        sender.send(&many);
        assert!(sender.missed > 1_000);
        let mut checkpoints = Sender::to(&path, Syslog::Checkpoints);
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        checkpoints.send("{\"line\":1,\"event\":\"gap\",\"x\":1}\n{\"line\":2,\"event\":\"checkpoint\",\"x\":1}\n");
        let length = daemon.recv(&mut bytes).unwrap();
        assert!(bytes[..length].windows(10).any(|w| w == b"checkpoint"));
    }
}
