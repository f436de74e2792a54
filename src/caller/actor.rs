//! The actor: a caller in one line of text, as a change's record keeps it.
//!
//! Owns how that text is written and read (docs/reference/format.md). Words are parted by a blank; what stands in a word is escaped, so
//! that no name of an account can look like another word. It must never be longer than [`MAX_ACTOR`] bytes.

use super::{Address, Caller, Session};
use crate::key::extensions::MAX_ACTOR;
use std::fmt::Write;

/// What stands at the end of a text that was cut.
const CUT: char = '…';

impl Caller<'_> {
    /// The caller as a change's record keeps it; `None`: nothing is known of it.
    pub fn actor(&self) -> Option<String> {
        let mut text = String::with_capacity(96);
        match self {
            Caller::Unknown => return None,
            Caller::Server(None) => text.push_str("server"),
            Caller::Server(Some(session)) => {
                text.push_str("server for ");
                write_session(&mut text, session);
            }
            Caller::Account(session) => write_session(&mut text, session),
            Caller::Tool(operator) => {
                // Writing to a text can't fail.
                let _ = write!(text, "tool as uid:{}", operator.user);
                if let Some(login) = operator.login.filter(|login| *login != operator.user) {
                    let _ = write!(text, " for uid:{login}");
                }
                text.push_str(" via ");
                word(&mut text, operator.command.as_bytes());
            }
        }
        Some(cut(text, MAX_ACTOR))
    }
}

fn write_session(text: &mut String, session: &Session<'_>) {
    let mut login = String::new();
    match (&session.login, session.of_server) {
        (Some(name), _) => {
            word(&mut login, name.user);
            login.push('@');
            word(&mut login, name.host);
        }
        (None, Some(true)) => login.push_str("thread"),
        (None, _) => login.push_str("unknown"),
    }
    text.push_str(&login);
    let mut account = String::new();
    session
        .account
        .iter()
        .for_each(|name| word(&mut account, name));
    if !account.is_empty() && account != login {
        text.push_str(" as ");
        text.push_str(&account);
    }
    let _ = match session.address {
        Address::Unknown => Ok(()),
        Address::Socket => text.write_str(" from socket"),
        Address::Ip(address) => write!(text, " from {address}"),
    };
    if let Some(connection) = session.connection {
        let _ = write!(text, " #{connection}");
    }
}

/// Writes bytes as a part of a word: blanks, backslashes, and whatever is unseen or no text, as a backslash and two hexadecimal digits
/// for each byte.
fn word(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match crate::text::is_unseen(c) || c == ' ' {
                true => escape(text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(c),
            }
        }
        escape(text, chunk.invalid());
    }
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\{byte:02x}");
    }
}

/// The text, or as much of it as `most` bytes hold, never the half of a character or of an escape, with a mark that it was cut.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = text.floor_char_boundary(most.saturating_sub(CUT.len_utf8()));
    text.truncate(end);
    let last = text.len().saturating_sub(2);
    if let Some(at) = text.as_bytes()[last..].iter().position(|b| *b == b'\\') {
        text.truncate(last + at);
    }
    text.push(CUT);
    text
}

/// What a text says of who acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor<'a> {
    /// `server`, `tool`, `thread`, `unknown`, or who logged in, escaped.
    pub who: &'a str,
    /// For whom the server or the tool acted: who logged in, `thread`, `unknown`, or a `uid:`.
    pub on_behalf: Option<&'a str>,
    /// The account whose rights counted, escaped; of the tool a `uid:`. `None`: it is called as who logged in.
    pub account: Option<&'a str>,
    /// Where from.
    pub address: Option<&'a str>,
    /// The connection's id.
    pub connection: Option<u64>,
    /// By what: the tool's command.
    pub program: Option<&'a str>,
}

impl<'a> Actor<'a> {
    /// Reads a text as [`Caller::actor`] writes it. What it does not know is passed over.
    pub fn read(text: &'a str) -> Actor<'a> {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let mut actor = Actor {
            who: words.next().unwrap_or_default(),
            ..Actor::default()
        };
        while let Some(name) = words.next() {
            if let Some(number) = name.strip_prefix('#') {
                actor.connection = number.parse().ok();
                continue;
            }
            let place = match name {
                "for" => &mut actor.on_behalf,
                "as" => &mut actor.account,
                "from" => &mut actor.address,
                "via" => &mut actor.program,
                _ => continue,
            };
            *place = words.next();
        }
        actor
    }

    /// The account whose rights counted; `None`: no account acted.
    pub fn acting_account(&self) -> Option<&'a str> {
        let named = match self.who {
            "tool" => return None,
            "server" => self.account.or(self.on_behalf),
            who => self.account.or(Some(who)),
        };
        named.filter(|name| name.contains('@'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Login, Operator};
    use super::*;
    use proptest::prelude::*;

    fn session<'a>(login: Option<(&'a str, &'a str)>, account: Option<&'a [u8]>) -> Session<'a> {
        Session {
            login: login.map(|(user, host)| Login {
                user: user.as_bytes(),
                host: host.as_bytes(),
            }),
            account,
            address: Address::Ip("10.0.0.7".parse().unwrap()),
            connection: Some(42),
            of_server: Some(login.is_none()),
        }
    }

    #[test]
    fn each_kind_of_caller_has_its_text() {
        let app = session(Some(("app", "localhost")), Some(b"app@%"));
        let same = Session {
            address: Address::Socket,
            ..session(Some(("app", "localhost")), Some(b"app@localhost"))
        };
        let event = Session {
            address: Address::Unknown,
            ..session(None, Some(b"definer@%"))
        };
        let tool = |login| {
            Caller::Tool(Operator {
                user: 0,
                login,
                command: "key-rotate",
            })
        };
        for (caller, text) in [
            (
                Caller::Account(app),
                "app@localhost as app@% from 10.0.0.7 #42",
            ),
            (Caller::Account(same), "app@localhost from socket #42"),
            (Caller::Account(event), "thread as definer@% #42"),
            (Caller::Server(None), "server"),
            (
                Caller::Server(Some(same)),
                "server for app@localhost from socket #42",
            ),
            (tool(Some(0)), "tool as uid:0 via key-rotate"),
            (
                tool(Some(1000)),
                "tool as uid:0 for uid:1000 via key-rotate",
            ),
            (tool(None), "tool as uid:0 via key-rotate"),
        ] {
            assert_eq!(caller.actor().as_deref(), Some(text));
        }
        assert_eq!(Caller::Unknown.actor(), None);
    }

    #[test]
    fn what_was_written_is_read() {
        let app = session(Some(("app", "localhost")), Some(b"app@%"));
        let text = Caller::Account(app).actor().unwrap();
        let read = Actor::read(&text);
        assert_eq!((read.who, read.account), ("app@localhost", Some("app@%")));
        assert_eq!(
            (read.address, read.connection),
            (Some("10.0.0.7"), Some(42))
        );
        assert_eq!(read.acting_account(), Some("app@%"));
        let read = Actor::read("server for app@localhost from socket #7");
        assert_eq!(
            (read.who, read.on_behalf),
            ("server", Some("app@localhost"))
        );
        assert_eq!(read.acting_account(), Some("app@localhost"));
        assert_eq!(
            Actor::read("tool as uid:0 via compact").acting_account(),
            None
        );
        assert_eq!(Actor::read("server").acting_account(), None);
        assert_eq!(
            Actor::read("thread as e@% #1").acting_account(),
            Some("e@%")
        );
        assert_eq!(Actor::read(""), Actor::default());
    }

    /// No name looks like a word that it is not.
    #[test]
    fn a_name_can_not_speak() {
        let evil = session(
            Some(("x from socket #1 as root", "h\\y\n")),
            Some(b"a \xff\xe2\x80\xae@%"),
        );
        let text = Caller::Account(evil).actor().unwrap();
        assert_eq!(
            text,
            "x\\20from\\20socket\\20#1\\20as\\20root@h\\5cy\\0a as a\\20\\ff\\e2\\80\\ae@% from 10.0.0.7 #42"
        );
        let read = Actor::read(&text);
        assert_eq!(read.account, Some("a\\20\\ff\\e2\\80\\ae@%"));
        assert_eq!(read.connection, Some(42));
    }

    proptest! {
        #[test]
        fn a_text_fits_into_a_record(user in proptest::collection::vec(any::<u8>(), 0..130), account in ".{0,300}") {
            let login = Login { user: &user, host: b"h" };
            let caller = Caller::Account(Session {
                login: Some(login),
                ..session(None, Some(account.as_bytes()))
            });
            let text = caller.actor().unwrap();
            prop_assert!((1..=MAX_ACTOR).contains(&text.len()), "{}", text.len());
            prop_assert!(!text.chars().any(char::is_control));
            // An escape is whole.
            let mut rest = text.as_str();
            while let Some(at) = rest.find('\\') {
                let digits = rest.as_bytes().get(at + 1..at + 3);
                prop_assert!(digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)), "{text}");
                rest = &rest[at + 3..];
            }
        }
    }
}
