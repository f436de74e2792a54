//! Who calls, as the server tells it.
//!
//! Owns the questions to the server about the calling thread, and the one service of them that is kept from the first call on: the
//! others are asked in functions' init only. It must never allocate on the way of a service call, never take a thread of the server's
//! own for who is said to have logged in there, and never ask for grants: the server would take a lock of its own under its keyring
//! lock.

use super::registry::{self, Kept, Registry};
use super::{abi, ptr};
use crate::caller::{Address, Caller, Login, Session};
use crate::lifecycle::Role;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the server calls itself where no account asks.
const NOBODY: &[u8] = b"skip-grants user";
/// Longest part of an account's name that is looked at; more than any account has.
const MAX_PART: usize = 1024;
/// Families of addresses, of sys/socket.h.
const UNIX: u16 = libc::AF_UNIX as u16;
const V4: u16 = libc::AF_INET as u16;
const V6: u16 = libc::AF_INET6 as u16;

/// What tells who logged in.
static GROUPS: Kept<abi::kw_resource_group> = Kept::new();

/// Gives back what `role` has kept.
pub(super) fn forget(registry: Registry<'_>, role: Role) {
    GROUPS.release(registry, role);
}

/// What performance_schema knows of a thread, and room for more: a server whose names are longer writes more.
#[repr(C)]
struct Place {
    attributes: abi::kw_thread_attributes,
    beyond: [u8; 2048],
}

/// What performance_schema told of the calling thread.
struct Told(MaybeUninit<Place>);

impl Told {
    const fn nothing() -> Told {
        Told(MaybeUninit::uninit())
    }

    /// Asks for the calling thread; `None`: performance_schema is off, or the server has no such service.
    fn ask(&mut self) -> Option<&abi::kw_thread_attributes> {
        let groups = GROUPS.get()?;
        let at = self.0.as_mut_ptr();
        // SAFETY: what is looked at is written before the server is asked, which may write it or not: numbers and bytes of a place
        // that is larger than what the server writes. What another layout would have in the place of the flag may be no bool: it is
        // written and read as a byte.
        unsafe {
            (&raw mut (*at).attributes).write_bytes(0, 1);
            let failed = (groups.get_thread_system_attrs?)((&raw mut (*at).attributes).cast()) != 0;
            let flag = (&raw mut (*at).attributes.system_thread).cast::<u8>();
            flag.write(u8::from(flag.read() == 1));
            (!failed).then(|| &(*at).attributes)
        }
    }
}

fn text(bytes: &[std::ffi::c_char], length: usize) -> &[u8] {
    let bytes = &bytes[..length.min(bytes.len())];
    // SAFETY: characters are bytes.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

fn address(told: &abi::kw_thread_attributes) -> Address {
    let bytes = &told.address;
    match u16::from_ne_bytes([bytes[0], bytes[1]]) {
        UNIX => Address::Socket,
        V4 => Address::Ip(Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]).into()),
        V6 => {
            let mut of_v6 = [0; 16];
            of_v6.copy_from_slice(&bytes[8..24]);
            Address::Ip(IpAddr::from(Ipv6Addr::from(of_v6)).to_canonical())
        }
        _ => Address::Unknown,
    }
}

/// The session of what was told; `account`: whose rights count in it.
fn session<'a>(
    told: Option<&'a abi::kw_thread_attributes>,
    account: Option<&'a [u8]>,
) -> Session<'a> {
    let Some(told) = told else {
        return Session {
            account,
            ..Session::default()
        };
    };
    let connection = Some(told.connection).filter(|id| *id != 0);
    if told.system_thread {
        // An applier is said to be who the source's statement came from.
        return Session {
            account,
            connection,
            of_server: Some(true),
            ..Session::default()
        };
    }
    let login = Login {
        user: text(&told.user, told.user_length),
        host: text(&told.host, told.host_length),
    };
    Session {
        login: (!login.user.is_empty() || !login.host.is_empty()).then_some(login),
        account,
        address: address(told),
        connection,
        of_server: Some(false),
    }
}

/// Runs `f` with who calls a keyring service for `owner`: the server itself where that is empty, and beside it whose statement made it
/// call.
pub(super) fn with_owner<R>(owner: &[u8], f: impl FnOnce(&Caller<'_>) -> R) -> R {
    let mut told = Told::nothing();
    let told = told.ask();
    f(&match owner {
        b"" => {
            let session = session(told, None);
            Caller::Server(session.login.is_some().then_some(session))
        }
        owner => Caller::Account(session(told, Some(owner))),
    })
}

/// Runs `f` with who calls a SQL function: the account whose rights count there.
pub(super) fn with_current<R>(f: impl FnOnce(&Caller<'_>) -> R) -> R {
    let account = account();
    let mut told = Told::nothing();
    f(&Caller::Account(session(told.ask(), account.as_deref())))
}

/// It is a thread of the server's own that calls: an event's, or a replication applier's. `None`: performance_schema is off.
pub(super) fn is_system_thread() -> Option<bool> {
    Told::nothing().ask().map(|told| told.system_thread)
}

/// The number of the calling connection, as CONNECTION_ID() gives it. `None`: a thread of the server's own calls, or performance_schema
/// is off.
pub(super) fn connection() -> Option<u64> {
    let mut told = Told::nothing();
    let session = session(told.ask(), None);
    match session.of_server {
        Some(false) => session.connection,
        _ => None,
    }
}

/// The calling connection.
pub(super) fn thread(registry: Registry<'_>) -> Option<abi::kw_handle> {
    let threads = registry.service::<abi::kw_thread_reader>()?;
    let mut thread = std::ptr::null_mut();
    // SAFETY: an SQL function is called by a connection's thread, which this service asks for. The place is writable.
    let failed = unsafe { threads.get?(&raw mut thread) != 0 };
    (!failed && !thread.is_null()).then_some(thread)
}

/// The security context of the calling connection.
pub(super) fn context(registry: Registry<'_>) -> Option<abi::kw_handle> {
    let security = registry.service::<abi::kw_thread_security>()?;
    let (thread, mut context) = (thread(registry)?, std::ptr::null_mut());
    // SAFETY: the calling connection's own thread. The place is writable.
    let failed = unsafe { security.get?(thread, &raw mut context) != 0 };
    (!failed && !context.is_null()).then_some(context)
}

/// The calling account as the server's own keyring functions write it: the owner of keys that it makes with them. `None`: the
/// server does not tell, or it is no account that calls.
pub(super) fn account() -> Option<Vec<u8>> {
    registry::with(own_account).flatten()
}

fn own_account(registry: Registry<'_>) -> Option<Vec<u8>> {
    let options = registry.service::<abi::kw_security_options>()?;
    let context = context(registry)?;
    let part = |name: &CStr| {
        let mut text = abi::kw_lex_string {
            text: std::ptr::null(),
            length: 0,
        };
        // SAFETY: the thread's own context; the server writes pointer and length of a text that lives as long as it.
        unsafe {
            let failed = options.get?(context, name.as_ptr(), (&raw mut text).cast()) != 0;
            let bytes = ptr::slice(text.text.cast(), text.length, MAX_PART, "account").ok()?;
            (!failed).then(|| bytes.to_vec())
        }
    };
    let (mut account, host) = (part(c"priv_user")?, part(c"priv_host")?);
    if account == NOBODY {
        return None;
    }
    account.push(b'@');
    account.extend_from_slice(&host);
    Some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(family: u16, system_thread: bool) -> abi::kw_thread_attributes {
        // SAFETY: numbers, bytes and a pointer that nobody follows: all zeroes are a value of each.
        let mut told: abi::kw_thread_attributes = unsafe { std::mem::zeroed() };
        told.address[..2].copy_from_slice(&family.to_ne_bytes());
        (told.user[0], told.user_length) = (b'u' as std::ffi::c_char, 1);
        (told.host[0], told.host_length) = (b'h' as std::ffi::c_char, 1);
        (told.connection, told.system_thread) = (7, system_thread);
        told
    }

    #[test]
    fn a_login_is_believed_of_connections_only() {
        let connection = told(UNIX, false);
        let read = session(Some(&connection), Some(b"a@%"));
        let login = Login {
            user: b"u",
            host: b"h",
        };
        assert_eq!((read.login, read.address), (Some(login), Address::Socket));
        assert_eq!(
            (read.connection, read.account),
            (Some(7), Some(&b"a@%"[..]))
        );
        assert!(read.is_known());
        let applier = told(UNIX, true);
        let read = session(Some(&applier), Some(b"a@%"));
        assert_eq!((read.login, read.of_server), (None, Some(true)));
        assert_eq!(read.address, Address::Unknown);
        let read = session(None, Some(b"a@%"));
        assert_eq!((read.login, read.of_server), (None, None));
        assert!(!read.is_known());
    }

    #[test]
    fn addresses_are_read_of_each_family() {
        let mut v4 = told(V4, false);
        v4.address[4..8].copy_from_slice(&[10, 0, 0, 7]);
        assert_eq!(address(&v4), Address::Ip([10, 0, 0, 7].into()));
        let mut v6 = told(V6, false);
        v6.address[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        assert_eq!(address(&v6), Address::Ip(Ipv6Addr::LOCALHOST.into()));
        let mapped = Ipv4Addr::new(192, 168, 0, 1);
        v6.address[8..24].copy_from_slice(&mapped.to_ipv6_mapped().octets());
        assert_eq!(address(&v6), Address::Ip(mapped.into()));
        assert_eq!(address(&told(0, false)), Address::Unknown);
    }

    #[test]
    fn a_length_beyond_its_place_is_cut() {
        let mut long = told(UNIX, false);
        long.user_length = usize::MAX;
        let read = session(Some(&long), None);
        assert_eq!(read.login.map(|l| l.user.len()), Some(long.user.len()));
    }

    #[test]
    fn without_a_server_nothing_is_known() {
        with_owner(b"", |caller| assert_eq!(*caller, Caller::Server(None)));
        with_owner(b"a@%", |caller| {
            assert!(!caller.session().is_some_and(Session::is_known));
            assert_eq!(caller.actor().as_deref(), Some("unknown as a@%"));
        });
    }
}
