//! Why there is no answer: one type, from which the one sentence is made.
//!
//! Owns those sentences. Callers look at [`NetError::cause`], never at the text. It must never show more of a request
//! than its host.

use crate::error::Kind;
use crate::text::clean;
use rustls::{AlertDescription, Error as TlsError};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

/// A request that got no answer.
#[derive(Debug)]
pub struct NetError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    host: String,
    cause: Cause,
}

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The name, the connection, the proxy, TLS.
    Connect,
    /// The answer.
    Answer,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The URL can't be asked: why.
    BadUrl(&'static str),
    /// A header can't be sent: its name.
    BadHeader(&'static str),
    /// The name was not resolved.
    Dns {
        /// The name.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection.
    Connect(io::Error),
    /// The proxy, whose host and port this is, can't be used.
    Proxy {
        /// Host and port.
        proxy: String,
        /// Why.
        fault: ProxyFault,
    },
    /// TLS was not agreed upon.
    Tls(rustls::Error),
    /// It took too long.
    Timeout {
        /// How far it had come.
        step: Step,
        /// The time that it had.
        after: Duration,
    },
    /// The answer is longer than this many bytes.
    TooLarge(usize),
    /// The connection ended before the answer was there, or what came is no HTTP.
    Protocol(hyper::Error),
    /// The same on a connection that is not HTTP.
    Broken(io::Error),
    /// What came is no answer of the protocol that was spoken.
    Alien,
    /// This machine could not ask.
    System(io::Error),
    /// mysqld asked in its own process while it is root: a defect (see `kek::away`).
    WhileRoot,
}

/// What is wrong with a proxy.
#[derive(Debug)]
pub enum ProxyFault {
    /// It can't be reached.
    Away(Box<Cause>),
    /// It does not connect to the host: its HTTP status.
    Refused(u16),
}

impl NetError {
    pub(super) fn new(host: &str, cause: Cause) -> NetError {
        NetError(Box::new(Inner {
            host: host.into(),
            cause,
        }))
    }

    /// What happened.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Host and port that were asked.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// What may pass by itself is Unreachable, and tried again; the rest is not.
    pub fn kind(&self) -> Kind {
        match self.cause() {
            // The other side's own trouble (RFC 8446, section 6.2): a server or balancer that is starting.
            Cause::Tls(TlsError::AlertReceived(AlertDescription::InternalError)) => {
                Kind::Unreachable
            }
            Cause::BadUrl(_)
            | Cause::BadHeader(_)
            | Cause::Tls(_)
            | Cause::TooLarge(_)
            | Cause::Alien => Kind::Config,
            Cause::Dns { .. }
            | Cause::Connect(_)
            | Cause::Timeout { .. }
            | Cause::Protocol(_)
            | Cause::Broken(_) => Kind::Unreachable,
            Cause::Proxy { fault, .. } => match fault {
                ProxyFault::Away(cause) if matches!(**cause, Cause::Tls(_)) => Kind::Config,
                ProxyFault::Away(_) | ProxyFault::Refused(_) => Kind::Unreachable,
            },
            Cause::System(_) => Kind::Io,
            Cause::WhileRoot => Kind::Internal,
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host();
        match self.cause() {
            Cause::BadUrl(why) => write!(f, "the URL can't be asked: {why}"),
            Cause::Timeout { step, after } => match step {
                Step::Connect => write!(
                    f,
                    "no connection to {host} within {:.1} s",
                    after.as_secs_f64()
                ),
                Step::Answer => write!(
                    f,
                    "{host} did not answer within {:.1} s",
                    after.as_secs_f64()
                ),
            },
            Cause::TooLarge(limit) => {
                write!(f, "the answer of {host} is longer than {limit} bytes")
            }
            Cause::System(e) => write!(f, "this machine could not ask {host}: {e}"),
            Cause::WhileRoot => write!(
                f,
                "the network was about to be asked in mysqld itself while it is root"
            ),
            cause => write!(f, "no answer of {host}: {cause}"),
        }
    }
}

impl StdError for NetError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause().inner()
    }
}

impl Cause {
    /// The error below it.
    fn inner(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Cause::Dns { source, .. }
            | Cause::Connect(source)
            | Cause::Broken(source)
            | Cause::System(source) => Some(source),
            Cause::Tls(e) => Some(e),
            Cause::Protocol(e) => Some(e),
            Cause::Proxy {
                fault: ProxyFault::Away(cause),
                ..
            } => cause.inner(),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::BadUrl(why) => f.write_str(why),
            Cause::BadHeader(name) => {
                write!(f, "the header {name} has a character that can't be sent")
            }
            Cause::Dns { name, source } => {
                write!(
                    f,
                    "the name '{}' could not be resolved: {source}",
                    clean(name)
                )
            }
            Cause::Connect(e) | Cause::System(e) => write!(f, "{e}"),
            Cause::Proxy { proxy, fault } => match fault {
                ProxyFault::Away(cause) => write!(f, "the proxy {proxy}: {cause}"),
                ProxyFault::Refused(407) => {
                    write!(
                        f,
                        "the proxy {proxy} wants a user and a password (HTTP status 407)"
                    )
                }
                ProxyFault::Refused(status) => {
                    write!(
                        f,
                        "the proxy {proxy} does not connect to it (HTTP status {status})"
                    )
                }
            },
            // It quotes the server's certificate.
            Cause::Tls(e) => f.write_str(&clean(&format!("TLS: {e}"))),
            Cause::Timeout { after, .. } => {
                write!(f, "nothing within {:.1} s", after.as_secs_f64())
            }
            Cause::TooLarge(limit) => write!(f, "more than {limit} bytes"),
            Cause::Protocol(e) => protocol(e, f),
            Cause::Broken(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the connection ended before the answer was whole")
            }
            Cause::Broken(e) => write!(f, "{e}"),
            Cause::Alien => f.write_str("what it answers is another protocol"),
            Cause::WhileRoot => f.write_str("this process is root"),
        }
    }
}

/// hyper's error (which part of the exchange failed), and the system's below it.
fn protocol(e: &hyper::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match super::find::<io::Error>(e) {
        Some(io) => write!(f, "{e}: {io}"),
        None => write!(f, "{e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_unreachable_and_the_host_is_named() {
        let refused = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let away = |cause| Cause::Proxy {
            proxy: "p:3128".into(),
            fault: ProxyFault::Away(Box::new(cause)),
        };
        let second = Duration::from_secs(1);
        for (cause, kind, words) in [
            (
                Cause::Connect(refused()),
                Kind::Unreachable,
                "no answer of h:443: Connection refused",
            ),
            (
                away(Cause::Connect(refused())),
                Kind::Unreachable,
                "the proxy p:3128: Connection refused",
            ),
            (
                away(Cause::Tls(rustls::Error::DecryptError)),
                Kind::Config,
                "the proxy p:3128: TLS",
            ),
            (
                Cause::Tls(rustls::Error::DecryptError),
                Kind::Config,
                "no answer of h:443: TLS: ",
            ),
            (
                Cause::Tls(TlsError::AlertReceived(AlertDescription::InternalError)),
                Kind::Unreachable,
                "no answer of h:443: TLS: ",
            ),
            (
                Cause::TooLarge(10),
                Kind::Config,
                "of h:443 is longer than 10 bytes",
            ),
            (
                Cause::Timeout {
                    step: Step::Connect,
                    after: second,
                },
                Kind::Unreachable,
                "no connection to h:443 within 1.0 s",
            ),
            (
                Cause::Timeout {
                    step: Step::Answer,
                    after: second,
                },
                Kind::Unreachable,
                "h:443 did not answer within 1.0 s",
            ),
            (
                Cause::Dns {
                    name: "h\n".into(),
                    source: refused(),
                },
                Kind::Unreachable,
                "the name 'h ' could not be resolved",
            ),
            (
                Cause::Broken(io::ErrorKind::UnexpectedEof.into()),
                Kind::Unreachable,
                "no answer of h:443: the connection ended",
            ),
            (Cause::Alien, Kind::Config, "another protocol"),
            (Cause::WhileRoot, Kind::Internal, "root"),
        ] {
            let e = NetError::new("h:443", cause);
            assert_eq!(e.kind(), kind, "{e}");
            assert!(e.to_string().contains(words), "{e}");
        }
        let e = NetError::new("h:443", away(Cause::Connect(refused())));
        assert!(e.source().is_some_and(|s| s.is::<io::Error>()));
        assert_eq!(size_of::<NetError>(), size_of::<usize>());
    }
}
