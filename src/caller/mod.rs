//! Who calls: the server itself, an account, the tool, or somebody of whom nothing is known.
//!
//! Owns what is known of a caller and what each part of it is worth. It borrows all texts, so that making one allocates nothing; a text
//! is made of it only where one is written ([`actor`]). It must never take what a client says of itself for what the server knows.

pub mod actor;

use std::net::IpAddr;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// The server does not tell, or it is no connection.
    #[default]
    Unknown,
    /// A Unix socket of this machine.
    Socket,
    /// This address: that of the last proxy, where there is one.
    Ip(IpAddr),
}

/// Who logged in, as the server's processlist writes it: not the account that the login was matched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// The name that was given at the login.
    pub user: &'a [u8],
    /// The host that the server knows the client by.
    pub host: &'a [u8],
}

/// A connection's thread, or one of the server's own that runs statements: an event's, a replication applier's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session<'a> {
    /// Who logged in. `None`: nobody did, because it is a thread of the server's own, or the server does not tell.
    pub login: Option<Login<'a>>,
    /// The account whose rights count now, as `user@host`: in a definer's routine, trigger or event the definer. `None`: the server does
    /// not tell, or it acts for itself.
    pub account: Option<&'a [u8]>,
    /// Where the login came from.
    pub address: Address,
    /// The connection's id, as in the processlist.
    pub connection: Option<u64>,
    /// Whether it is a thread of the server's own. `None`: the server does not tell (performance_schema is off).
    pub of_server: Option<bool>,
}

impl Session<'_> {
    /// The server tells who it is: which account acts, and whether somebody logged in.
    pub fn is_known(&self) -> bool {
        self.account.is_some() && self.of_server.is_some()
    }
}

/// Whoever ran the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator<'a> {
    /// The user id of the process as it was started.
    pub user: u32,
    /// The user id of the session's login, which sudo and su leave as it is. `None`: the system does not keep it.
    pub login: Option<u32>,
    /// What was to be done: the tool's command.
    pub command: &'a str,
}

/// Who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller<'a> {
    /// The server itself: a call without owner. Beside it the session whose statement made the server call, where there is one.
    Server(Option<Session<'a>>),
    /// An account: by a keyring service, or by a SQL function.
    Account(Session<'a>),
    /// The tool.
    Tool(Operator<'a>),
    /// Nobody knows.
    #[default]
    Unknown,
}

impl<'a> Caller<'a> {
    /// The session that it is, or that stands behind it.
    pub fn session(&self) -> Option<&Session<'a>> {
        match self {
            Caller::Server(session) => session.as_ref(),
            Caller::Account(session) => Some(session),
            Caller::Tool(_) | Caller::Unknown => None,
        }
    }
}

/// A login's user and host.
type OwnLogin = (Box<[u8]>, Box<[u8]>);

/// A session that outlives the call that it was asked in.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    login: Option<OwnLogin>,
    account: Option<Box<[u8]>>,
    address: Address,
    connection: Option<u64>,
    of_server: Option<bool>,
}

impl From<&Session<'_>> for Remembered {
    fn from(session: &Session<'_>) -> Remembered {
        let login = session.login.map(|l| (l.user.into(), l.host.into()));
        Remembered {
            login,
            account: session.account.map(Into::into),
            address: session.address,
            connection: session.connection,
            of_server: session.of_server,
        }
    }
}

impl Remembered {
    /// The session.
    pub fn session(&self) -> Session<'_> {
        let login = self.login.as_ref();
        Session {
            login: login.map(|(user, host)| Login { user, host }),
            account: self.account.as_deref(),
            address: self.address,
            connection: self.connection,
            of_server: self.of_server,
        }
    }
}
