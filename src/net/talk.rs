//! One message and its answer over TLS, for protocols that are not HTTP but begin an answer with its length.
//!
//! Owns the reading of such an answer: its head, then as much as the head says, within a limit. It must never read on
//! without an end, and knows no protocol: what a head says is its caller's business.

use super::client::{Client, run};
use super::connect::{self, Boxed};
use super::error::{Cause, NetError, Step};
use super::find;
use crate::deadline::Deadline;
use http::Uri;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

/// A message, and whom it is for. It is not shown.
pub struct Talk<'a> {
    /// The host: a name or an address, an IPv6 address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The name that the server's certificate must have, where it is not the host.
    pub name: Option<&'a str>,
    /// The message.
    pub message: &'a [u8],
    /// Bytes of an answer's head.
    pub head: usize,
    /// How many bytes follow a head; `None`: it begins no answer of this protocol.
    pub behind: fn(&[u8]) -> Option<usize>,
    /// Most bytes of an answer, its head included.
    pub limit: usize,
}

impl Client {
    /// Sends a message over a TLS connection of its own and reads the whole answer, within `deadline`. Never through a
    /// proxy. It blocks the calling thread; for what is left behind see [`Client::send`].
    ///
    /// # Errors
    /// There is no answer: see [`Cause`].
    pub fn talk(
        &self,
        talk: &Talk<'_>,
        deadline: Deadline,
    ) -> Result<Zeroizing<Vec<u8>>, NetError> {
        let host = match talk.host.contains(':') {
            true => format!("[{}]", talk.host),
            false => talk.host.to_string(),
        };
        let place = format!("{host}:{}", talk.port);
        let fail = |cause| NetError::new(&place, cause);
        let target: Uri = format!("https://{place}/")
            .parse()
            .map_err(|_| fail(Cause::BadUrl("its host is no host")))?;
        run(deadline, self.exchange_message(&target, talk)).map_err(fail)
    }

    async fn exchange_message(
        &self,
        target: &Uri,
        talk: &Talk<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let name = talk.name.unwrap_or(talk.host);
        let connecting = connect::connect_tls(target, name, self.tls(), self.connect_limit());
        let connected = tokio::time::timeout(self.connect_limit(), connecting).await;
        let mut stream = connected.unwrap_or(Err(Cause::Timeout {
            step: Step::Connect,
            after: self.connect_limit(),
        }))?;
        write(&mut stream, talk.message).await.map_err(broken)?;
        let mut head = Zeroizing::new(vec![0; talk.head]);
        fill(&mut stream, &mut head).await.map_err(broken)?;
        let behind = (talk.behind)(&head).ok_or(Cause::Alien)?;
        let whole = talk.head.saturating_add(behind);
        if whole > talk.limit {
            return Err(Cause::TooLarge(talk.limit));
        }
        // One allocation: growing would leave copies behind until the allocator wipes them.
        let mut answer = Zeroizing::new(vec![0; whole]);
        answer[..talk.head].copy_from_slice(&head);
        let rest = &mut answer[talk.head..];
        fill(&mut stream, rest).await.map_err(broken)?;
        Ok(answer)
    }
}

/// An error of the connection. With TLS 1.3 a server tells on the first read what it thinks of a client's certificate.
fn broken(e: io::Error) -> Cause {
    match find::<rustls::Error>(&e) {
        Some(tls) => Cause::Tls(tls.clone()),
        None => Cause::Broken(e),
    }
}

async fn write(stream: &mut Boxed, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
}

/// Reads until `room` is full.
async fn fill(stream: &mut Boxed, room: &mut [u8]) -> io::Result<()> {
    let mut buffer = ReadBuf::new(room);
    while buffer.remaining() > 0 {
        let before = buffer.filled().len();
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await?;
        if buffer.filled().len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
