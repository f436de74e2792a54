//! Session keys: each belongs to one connection and one account, and ends with the connection.
//!
//! Owns them: they are in locked memory and nowhere else, are bounded, and are wiped when the connection ends, begins anew or changes its
//! account, and when nobody tells of that any more. It must never let another connection or account reach one, nor make one while
//! connections are not watched.

use crate::envelope::{IndexKey, KEY, Purpose, ValueKeys};
use crate::error::{Error, Kind, Result};
use crate::key::logical::{ID, SESSION};
use crate::lifecycle::lock;
use crate::secret::{SecretBytes, SecretPool, fill_random};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The version that its values name.
pub(super) const VERSION: u32 = 1;
/// Longest name behind `session:`, in bytes.
const MAX_NAME: usize = 64;
/// Most keys of one connection.
const OF_CONNECTION: usize = 16;
/// Most keys of one account, over all its connections.
const OF_ACCOUNT: usize = 256;
/// Most keys of all.
const OF_ALL: usize = 4096;
const OP: &str = "use the session key";

/// Whose key: the connection's number, and the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose<'a> {
    pub(super) connection: u64,
    pub(super) account: &'a [u8],
}

struct SessionKey {
    account: Vec<u8>,
    name: Vec<u8>,
    /// As a logical key has one: values are bound to it.
    id: [u8; ID],
    /// Material of its one version, and the secret of its blind index.
    secret: SecretBytes,
}

/// See the module's documentation.
pub struct SessionKeys {
    of: Mutex<BTreeMap<u64, Vec<SessionKey>>>,
    /// How many there are: where there is none, the end of a connection costs nothing.
    count: AtomicUsize,
    /// One more with each key that ends: what was made of it is good no more.
    epoch: AtomicU64,
    /// Somebody tells of the ends of connections.
    watched: AtomicBool,
}

/// It is the name of a session key.
pub(super) fn is_one(name: &[u8]) -> bool {
    name.starts_with(SESSION)
}

impl SessionKeys {
    pub(super) const fn new() -> SessionKeys {
        SessionKeys {
            of: Mutex::new(BTreeMap::new()),
            count: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            watched: AtomicBool::new(false),
        }
    }

    /// Connections are watched from now on, or no more: all keys end then.
    pub(super) fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
        if !watched {
            let mut all = lock(&self.of);
            all.clear();
            self.ended(&all);
        }
    }

    /// A connection has ended, or another account or another use of it begins.
    pub(super) fn over(&self, connection: u64) {
        // Its own thread says so: what it has made, it sees.
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = lock(&self.of);
        if all.remove(&connection).is_some() {
            self.ended(&all);
        }
    }

    fn ended(&self, all: &BTreeMap<u64, Vec<SessionKey>>) {
        self.count
            .store(all.values().map(Vec::len).sum(), Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// What was made of a key is good as long as this number stays.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// InvalidInput: the name is none of a session key. AlreadyExists. KeyState: nobody tells of connections' ends, or there are too many.
    pub(super) fn create(&self, pool: &SecretPool, whose: Whose<'_>, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let refuse = |kind, why: String, hint: &str| {
            Err(Error::new(kind, "make the session key", why)
                .hint(format!("Nothing was changed. {hint}"))
                .refused())
        };
        let mut all = lock(&self.of);
        // Within the lock: who stops watching takes all of them away afterwards.
        if !self.watched.load(Ordering::SeqCst) {
            let why = "nobody tells here when a connection ends, and the key would stay";
            return refuse(
                Kind::KeyState,
                why.into(),
                "INSTALL COMPONENT 'file://component_keyring_ward_sql' does that, on MySQL 8.4 and later; the plugin role has no session keys.",
            );
        }
        let shown = || crate::text::name(name);
        let of_account = |key: &&SessionKey| key.account == whose.account;
        let total: usize = all.values().map(Vec::len).sum();
        let accounts = all.values().flatten().filter(of_account).count();
        let own = all.get(&whose.connection).map_or(&[][..], |keys| keys);
        if own.iter().any(|key| key.is(whose, name)) {
            let why = format!("{} is there already", shown());
            return refuse(
                Kind::AlreadyExists,
                why,
                "keyring_ward_session_key_destroy() ends it.",
            );
        }
        for (count, most, what) in [
            (own.len(), OF_CONNECTION, "this connection"),
            (accounts, OF_ACCOUNT, "the account"),
            (total, OF_ALL, "the server"),
        ] {
            if count >= most {
                let why = format!("{what} has {most} session keys, and can't have more");
                return refuse(
                    Kind::KeyState,
                    why,
                    "End one: keyring_ward_session_key_destroy().",
                );
            }
        }
        let mut id = [0; ID];
        fill_random(&mut id)?;
        all.entry(whose.connection).or_default().push(SessionKey {
            account: whose.account.to_vec(),
            name: name.to_vec(),
            id,
            secret: pool.random(2 * KEY)?,
        });
        self.count.store(total + 1, Ordering::Release);
        Ok(())
    }

    /// Ends a key.
    ///
    /// # Errors
    /// NotFound.
    pub(super) fn destroy(&self, whose: Whose<'_>, name: &[u8]) -> Result<()> {
        let mut all = lock(&self.of);
        let own = all.get_mut(&whose.connection);
        let before = own.as_ref().map_or(0, |keys| keys.len());
        let after = own.map_or(0, |keys| {
            keys.retain(|key| !key.is(whose, name));
            keys.len()
        });
        if before == after {
            return Err(not_here(name));
        }
        all.retain(|_, keys| !keys.is_empty());
        self.ended(&all);
        Ok(())
    }

    /// What seals and opens its values.
    ///
    /// # Errors
    /// NotFound: this connection has none of that name, with this account.
    pub(super) fn value_keys(
        &self,
        whose: Whose<'_>,
        name: &[u8],
        pool: &SecretPool,
    ) -> Result<ValueKeys> {
        self.with(whose, name, |key| {
            let material = &key.secret[..KEY];
            ValueKeys::derive(pool, Purpose::Value, &key.id, VERSION, material)
        })
    }

    /// What computes its blind index.
    ///
    /// # Errors
    /// As [`SessionKeys::value_keys`].
    pub(super) fn index_key(
        &self,
        whose: Whose<'_>,
        name: &[u8],
        pool: &SecretPool,
    ) -> Result<IndexKey> {
        self.with(whose, name, |key| {
            IndexKey::derive(pool, &key.id, &key.secret[KEY..])
        })
    }

    fn with<T>(
        &self,
        whose: Whose<'_>,
        name: &[u8],
        f: impl FnOnce(&SessionKey) -> Result<T>,
    ) -> Result<T> {
        let all = lock(&self.of);
        let own = all.get(&whose.connection).into_iter().flatten();
        let key = own.into_iter().find(|key| key.is(whose, name));
        f(key.ok_or_else(|| not_here(name))?)
    }
}

impl SessionKey {
    fn is(&self, whose: Whose<'_>, name: &[u8]) -> bool {
        self.account == whose.account && self.name == name
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    let rest = name.strip_prefix(SESSION).unwrap_or_default();
    match (1..=MAX_NAME).contains(&rest.len()) {
        true => Ok(()),
        false => {
            let why = format!("'{}' is no name of a session key", crate::text::name(name));
            Err(Error::new(Kind::InvalidInput, OP, why)
                .hint(format!("Nothing was changed. It is 'session:' and 1 to {MAX_NAME} bytes: session:basket."))
                .refused())
        }
    }
}

fn not_here(name: &[u8]) -> Error {
    let why = format!(
        "this connection has no session key '{}' with this account",
        crate::text::name(name)
    );
    Error::new(Kind::NotFound, OP, why).refused().hint(
        "It ends with its connection, with a reset of it (connection pools do that) and with another account: keyring_ward_session_key_create() \
         makes a new one, which opens nothing that the old one has sealed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(connection: u64, account: &[u8]) -> Whose<'_> {
        Whose {
            connection,
            account,
        }
    }

    fn watched() -> (SecretPool, SessionKeys) {
        let keys = SessionKeys::new();
        keys.watch(true);
        (SecretPool::new(), keys)
    }

    #[test]
    fn only_its_connection_and_account_reach_a_key() {
        let (pool, keys) = watched();
        keys.create(&pool, who(1, b"a@%"), b"session:k").unwrap();
        let there = |whose, name: &[u8]| keys.value_keys(whose, name, &pool).is_ok();
        assert!(there(who(1, b"a@%"), b"session:k"));
        assert!(!there(who(2, b"a@%"), b"session:k"));
        assert!(!there(who(1, b"b@%"), b"session:k"));
        assert!(!there(who(1, b"a@%"), b"session:l"));
        let again = keys.create(&pool, who(1, b"a@%"), b"session:k");
        assert_eq!(again.unwrap_err().kind(), Kind::AlreadyExists);
        // The same name of another one is another key.
        keys.create(&pool, who(2, b"a@%"), b"session:k").unwrap();
        let index = |whose| {
            keys.index_key(whose, b"session:k", &pool)
                .unwrap()
                .mac(b"x")
        };
        assert_eq!(index(who(1, b"a@%")), index(who(1, b"a@%")));
        assert_ne!(index(who(1, b"a@%")), index(who(2, b"a@%")));
    }

    #[test]
    fn a_connection_takes_its_keys_with_it() {
        let (pool, keys) = watched();
        for connection in [1, 2] {
            keys.create(&pool, who(connection, b"a@%"), b"session:k")
                .unwrap();
        }
        let before = keys.epoch();
        keys.over(3);
        assert_eq!(keys.epoch(), before);
        keys.over(1);
        assert_ne!(keys.epoch(), before);
        assert!(
            keys.value_keys(who(1, b"a@%"), b"session:k", &pool)
                .is_err()
        );
        assert!(keys.value_keys(who(2, b"a@%"), b"session:k", &pool).is_ok());
        keys.destroy(who(2, b"a@%"), b"session:k").unwrap();
        let gone = keys.destroy(who(2, b"a@%"), b"session:k").unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound);
        assert_eq!(keys.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_watch_there_are_none() {
        let (pool, keys) = (SecretPool::new(), SessionKeys::new());
        let refused = keys
            .create(&pool, who(1, b"a@%"), b"session:k")
            .unwrap_err();
        assert_eq!(refused.kind(), Kind::KeyState);
        keys.watch(true);
        keys.create(&pool, who(1, b"a@%"), b"session:k").unwrap();
        keys.watch(false);
        keys.watch(true);
        assert!(
            keys.value_keys(who(1, b"a@%"), b"session:k", &pool)
                .is_err()
        );
    }

    #[test]
    fn there_are_not_too_many_and_each_has_a_name() {
        let (pool, keys) = watched();
        for bad in [
            &b"k"[..],
            b"session:",
            &[b"session:", &[b'x'; 65][..]].concat(),
        ] {
            let refused = keys.create(&pool, who(1, b"a@%"), bad).unwrap_err();
            assert_eq!(refused.kind(), Kind::InvalidInput);
        }
        let make = |connection, n: usize| {
            let name = format!("session:{n}");
            keys.create(&pool, who(connection, b"a@%"), name.as_bytes())
        };
        for connection in 0..(OF_ACCOUNT / OF_CONNECTION) as u64 {
            for n in 0..OF_CONNECTION {
                make(connection, n).unwrap();
            }
            assert_eq!(make(connection, 99).unwrap_err().kind(), Kind::KeyState);
        }
        assert!(
            make(1000, 0)
                .unwrap_err()
                .to_string()
                .contains("the account has 256")
        );
        keys.create(&pool, who(1000, b"b@%"), b"session:0").unwrap();
    }
}
