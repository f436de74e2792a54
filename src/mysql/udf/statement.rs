//! SQL functions that give a value of their own instead of JSON, and fail with an error of the statement.
//!
//! Owns what such a function keeps from its init to its deinit: who calls, the keys that it has used, random bytes, the last
//! answer. All of it is wiped at the end. It must never answer NULL for a failure, and never use what was derived from a key
//! that has changed since.

use super::arguments::{Arguments, Takes};
use super::permit::{self, Permit};
use super::{DECIMALS_OF_TEXT, refuse, result_is, server, wrong_arguments};
use crate::envelope::{IndexKey, VALUE_RANDOM};
use crate::error::{Error, Kind, Result};
use crate::key::id::{KeyId, split_owner};
use crate::keyring::Keyring;
use crate::keyring::sealing::{Epoch, Opens, VersionKeys};
use crate::mysql::session_keys::{self, Whose};
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, guard, identity, ptr, sql_error};
use crate::os::unix_seconds;
use crate::policy::operation::Operation;
use crate::secret::{SecretPool, fill_random, wipe_stack};
use std::ffi::{c_char, c_ulong};
use zeroize::{Zeroize, Zeroizing};

/// Keys that a statement keeps: a column may hold values of several versions, or of several keys.
const MOST_KEYS: usize = 16;
/// So many values are sealed with the random bytes of one call to the system.
const VALUES_AT_ONCE: usize = 32;
/// An answer's memory beyond this is given back with the next row, instead of being wiped each time.
const LARGE: usize = 64 << 10;
/// What the server calls the decimals of a whole number.
const DECIMALS_OF_NUMBER: u32 = 0;

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// Bytes: the longest answer.
    Bytes(usize),
    /// Text in UTF-8: the longest answer.
    Text(usize),
    /// A whole number.
    Number,
}

/// The answer for one row.
pub(super) enum Answer {
    /// For NULL.
    Null,
    /// What is in [`Statement::answer`].
    Given,
    /// A whole number.
    Number(i64),
}

/// What a function needs of whom it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it looks at its arguments alone.
    Nothing,
    /// An account, whose keys it uses, and a session that does not write arguments into the binary log.
    Account,
}

/// Which key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Seals,
    Opens(u32, Opens),
    Index,
}

enum Derived {
    Values(VersionKeys),
    /// With the time when that is over, for a temporary key.
    Index(IndexKey, Option<i64>),
}

/// A key that was used, and until when it is good.
struct Used {
    /// As it was asked for.
    name: Vec<u8>,
    owner: Vec<u8>,
    asked: Asked,
    good: Good,
    derived: Derived,
}

/// As long as nothing has changed since.
enum Good {
    Keyring(Epoch),
    Session(u64),
}

/// See the module's documentation.
pub(super) struct Statement {
    owner: Vec<u8>,
    permit: Permit,
    /// The calling connection, once a session key was asked for.
    connection: Option<u64>,
    used: Vec<Used>,
    random: Random,
    /// The last answer, which the server reads until the next row.
    pub(super) answer: Vec<u8>,
}

struct Random {
    bytes: [[u8; VALUE_RANDOM]; VALUES_AT_ONCE],
    left: usize,
}

impl Random {
    /// The next random bytes; none twice.
    fn take(&mut self) -> Result<Zeroizing<[u8; VALUE_RANDOM]>> {
        if self.left == 0 {
            fill_random(self.bytes.as_flattened_mut())?;
            self.left = self.bytes.len();
        }
        self.left -= 1;
        let taken = Zeroizing::new(self.bytes[self.left]);
        self.bytes[self.left].zeroize();
        Ok(taken)
    }
}

impl Statement {
    fn new(owner: Vec<u8>, permit: Permit) -> Statement {
        Statement {
            owner,
            permit,
            connection: None,
            used: Vec::new(),
            random: Random {
                bytes: [[0; VALUE_RANDOM]; VALUES_AT_ONCE],
                left: 0,
            },
            answer: Vec::new(),
        }
    }

    /// The key of that name: the caller's, or with `owner/name` another account's, which only a rule of the policy allows. To hand a key
    /// out takes a rule in any case: who may seal values needs no key for it.
    ///
    /// # Errors
    /// Denied, with the rule. InvalidInput: it is no name.
    pub(super) fn key(&self, operation: Operation, name: &[u8]) -> Result<KeyId> {
        let id = match LIFECYCLE.is_policed().then(|| split_owner(name)).flatten() {
            Some((owner, name)) => KeyId::new(name, &owner)?,
            None => KeyId::new(name, &self.owner)?,
        };
        if operation == Operation::Fetch && !LIFECYCLE.is_policed() {
            let why = format!("no policy allows to hand {id} out");
            let error = Error::new(Kind::Denied, "fetch the key", why).refused();
            self.permit.tell_refusal(&id, &error);
            return Err(error.hint("A rule of the policy that allows fetch does (policy_file); keyring_key_fetch() gives whoever has EXECUTE his own keys."));
        }
        let today = id.owner() == self.owner && operation != Operation::Fetch;
        let key = Some((id.owner(), id.name()));
        self.permit.check(operation, key, today, None)?;
        Ok(id)
    }

    /// Seals into the answer.
    pub(super) fn seal(&mut self, name: &[u8], context: &[u8], plaintext: &[u8]) -> Result<()> {
        let random = self.random.take()?;
        let at = self.find(name, Asked::Seals)?;
        if let Derived::Values(version) = &mut self.used[at].derived {
            let (keys, number) = (&mut version.keys, version.number);
            crate::sealed::seal(keys, number, &random, context, plaintext, &mut self.answer)?;
        }
        Ok(())
    }

    /// The number of the version that seals.
    pub(super) fn current(&mut self, name: &[u8]) -> Result<u32> {
        let at = self.find(name, Asked::Seals)?;
        match &self.used[at].derived {
            Derived::Values(version) => Ok(version.number),
            Derived::Index(..) => Err(mixed_up()),
        }
    }

    /// Opens into the answer.
    pub(super) fn open(
        &mut self,
        name: &[u8],
        context: &[u8],
        value: &crate::sealed::Sealed<'_>,
        opens: Opens,
    ) -> Result<()> {
        let at = self.find(name, Asked::Opens(value.version, opens))?;
        match &mut self.used[at].derived {
            Derived::Values(version) => value.open(&mut version.keys, context, &mut self.answer),
            Derived::Index(..) => Err(mixed_up()),
        }
    }

    /// The blind index of `data` into the answer.
    pub(super) fn index(&mut self, name: &[u8], data: &[u8]) -> Result<()> {
        let at = self.find(name, Asked::Index)?;
        match &self.used[at].derived {
            Derived::Index(key, _) => self.answer.extend_from_slice(&key.mac(data)),
            Derived::Values(_) => return Err(mixed_up()),
        }
        Ok(())
    }

    /// The place of a key in `used`: one that is good still, or derived now.
    fn find(&mut self, name: &[u8], asked: Asked) -> Result<usize> {
        // Of a session key as well: a keyring that is out of service serves nobody.
        let keyring = LIFECYCLE.keyring()?;
        // With each row: a policy may end, begin, or have an hour that ends; and the log counts uses.
        let admitted = match LIFECYCLE.is_policed() || LIFECYCLE.tells_reads() {
            true => Some(self.key(Operation::Use, name)?),
            false => None,
        };
        match admitted {
            Some(id) => {
                let found = self.place(&keyring, name, asked, Some(&id));
                self.permit.told(Operation::Use, &id, found)
            }
            None => self.place(&keyring, name, asked, None),
        }
    }

    fn place(
        &mut self,
        keyring: &Keyring,
        name: &[u8],
        asked: Asked,
        admitted: Option<&KeyId>,
    ) -> Result<usize> {
        let owner = admitted.map_or(&*self.owner, KeyId::owner);
        let same = |used: &Used| used.asked == asked && used.name == name && used.owner == owner;
        if let Some(at) = self.used.iter().position(same) {
            let used = &self.used[at];
            let is_good = match &used.good {
                Good::Keyring(epoch) => keyring.is_at(epoch),
                Good::Session(epoch) => LIFECYCLE.host.session_keys.epoch() == *epoch,
            };
            if is_good && !used.is_over() {
                return Ok(at);
            }
            self.used.swap_remove(at);
        }
        let id = match admitted {
            Some(id) => id.clone(),
            None => KeyId::new(name, &self.owner)?,
        };
        let (good, derived) = match session_keys::is_one(name) {
            true => self.derive_of_session(name, asked, keyring.pool())?,
            false => derive(keyring, &id, asked)?,
        };
        if self.used.len() >= MOST_KEYS {
            self.used.remove(0);
        }
        self.used.push(Used {
            name: name.to_vec(),
            owner: id.owner().to_vec(),
            asked,
            good,
            derived,
        });
        Ok(self.used.len() - 1)
    }

    /// See [`Permit::told`].
    pub(super) fn told<T>(&self, operation: Operation, id: &KeyId, came: Result<T>) -> Result<T> {
        self.permit.told(operation, id, came)
    }

    /// Whose session keys are meant: the calling connection's and account's.
    ///
    /// # Errors
    /// Denied: it is no connection that calls, or the server does not tell which one.
    pub(super) fn whose(&mut self) -> Result<Whose<'_>> {
        if self.connection.is_none() {
            self.connection = identity::connection();
        }
        match self.connection {
            Some(connection) => Ok(Whose {
                connection,
                account: &self.owner,
            }),
            None => {
                let why = "no connection calls, or the server does not tell which one";
                Err(Error::new(Kind::Denied, "use a session key", why)
                    .hint("An event has no session keys. Elsewhere performance_schema must be on, and have room for the connection's thread.")
                    .refused())
            }
        }
    }

    fn derive_of_session(
        &mut self,
        name: &[u8],
        asked: Asked,
        pool: &SecretPool,
    ) -> Result<(Good, Derived)> {
        let keys = &LIFECYCLE.host.session_keys;
        let good = Good::Session(keys.epoch());
        let whose = self.whose()?;
        let number = session_keys::VERSION;
        let derived = match asked {
            Asked::Index => Derived::Index(keys.index_key(whose, name, pool)?, None),
            Asked::Opens(other, _) if other != number => {
                let why = format!(
                    "a session key has version {number} alone, and the value names version {other}"
                );
                return Err(Error::new(Kind::NotFound, "open with the key", why).refused());
            }
            Asked::Seals | Asked::Opens(..) => Derived::Values(VersionKeys {
                number,
                keys: keys.value_keys(whose, name, pool)?,
                expires: None,
            }),
        };
        Ok((good, derived))
    }

    /// Nothing is left of the last row's answer.
    fn clear(&mut self) {
        if self.answer.capacity() > LARGE {
            // Freed memory is wiped.
            self.answer = Vec::new();
        }
        self.answer.as_mut_slice().zeroize();
        self.answer.clear();
    }
}

impl Used {
    fn is_over(&self) -> bool {
        let expires = match &self.derived {
            Derived::Values(version) => version.expires,
            Derived::Index(_, expires) => *expires,
        };
        expires.is_some_and(|at| at <= unix_seconds())
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        self.answer.as_mut_slice().zeroize();
        self.random.bytes.as_flattened_mut().zeroize();
        wipe_stack();
    }
}

/// What a logical key gives.
fn derive(keyring: &Keyring, id: &KeyId, asked: Asked) -> Result<(Good, Derived)> {
    // Before the key is looked at: a change in between makes it be looked at again.
    let good = Good::Keyring(keyring.epoch());
    let derived = match asked {
        Asked::Seals => Derived::Values(keyring.sealing_keys(id)?),
        Asked::Opens(number, opens) => Derived::Values(keyring.opening_keys(id, number, opens)?),
        Asked::Index => {
            let key = keyring.index_key(id)?;
            Derived::Index(key, keyring.logical_key(id)?.logical.expires)
        }
    };
    Ok((good, derived))
}

fn mixed_up() -> Error {
    Error::new(Kind::Internal, "use a key", "one of another kind was kept")
}

/// Before the first row: who calls, the arguments, and what is given. Gives `true` for an error.
pub(super) fn prepare(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    message: *mut c_char,
    function: &str,
    takes: &Takes,
    (needs, gives): (Needs, Gives),
) -> Result<bool> {
    if let Some(wrong) = wrong_arguments(args, function, takes)? {
        return refuse(message, &wrong);
    }
    let (owner, permit) = match whom(needs) {
        Ok(found) => found,
        Err(error) => return refuse(message, &error.to_string()),
    };
    // SAFETY: the server's own structure, which lives through the call; ptr is ours until deinit.
    let Some(init) = (unsafe { init.as_mut() }) else {
        let why = "the server gave no place for the function";
        return Err(Error::new(Kind::Internal, "answer in SQL", why));
    };
    let (decimals, returns, longest, charset) = match gives {
        Gives::Bytes(longest) => (DECIMALS_OF_TEXT, "STRING", longest, Some(c"binary")),
        Gives::Text(longest) => (DECIMALS_OF_TEXT, "STRING", longest, Some(c"utf8mb4")),
        Gives::Number => (DECIMALS_OF_NUMBER, "INTEGER", 21, None),
    };
    // The server would hand over places for another type.
    if init.decimals != decimals {
        return refuse(
            message,
            &format!(
                "{function} is installed wrongly: DROP FUNCTION, then CREATE FUNCTION ... RETURNS {returns}"
            ),
        );
    }
    init.maybe_null = true;
    init.max_length = longest as c_ulong;
    init.const_item = false;
    if charset.is_some_and(|charset| !result_is(init, charset)) {
        let text = format!("{function} is installed wrongly: it RETURNS {returns}");
        return refuse(message, &text);
    }
    init.ptr = Box::into_raw(Box::new(Statement::new(owner, permit))).cast();
    Ok(false)
}

/// The account that is served, and what it may do; empty where none is needed.
fn whom(needs: Needs) -> Result<(Vec<u8>, Permit)> {
    if !sql_error::can_be_told() {
        let why = "this server does not take errors of functions, and NULL in place of one would get into tables";
        return Err(Error::new(Kind::Config, "use the function", why).refused());
    }
    if needs == Needs::Nothing {
        return Ok((Vec::new(), Permit::ask(false)));
    }
    if let Some((what, end)) = server::logs_statements() {
        let why = format!(
            "{what} in this session, so the statement would get into the binary log with its plaintext"
        );
        let error = Error::new(Kind::Config, "use a key", why).refused();
        return Err(error.hint(format!("SET {end}.")));
    }
    user()
}

/// The calling account, for a function that uses keys: never an applier, which has every privilege, and in a trigger is its
/// definer.
///
/// # Errors
/// Denied: it is an applier, or no account calls.
fn user() -> Result<(Vec<u8>, Permit)> {
    let applier = server::is_applier();
    if applier && !permit::allows_appliers() {
        return Err(of_an_applier("use a key"));
    }
    let permit = Permit::ask(applier);
    match permit.account().map(<[u8]>::to_vec) {
        Some(account) => Ok((account, permit)),
        None => Err(refused(
            "use a key",
            "no account calls, or the server does not tell which one",
        )),
    }
}

/// The error for a replication applier, which no rule lets do it.
pub(super) fn of_an_applier(what: &'static str) -> Error {
    refused(what, "a replication applier calls")
}

fn refused(what: &'static str, why: &str) -> Error {
    let hint =
        "On a replica rows bring what the source has computed: keep binlog_format = ROW there.";
    Error::new(Kind::Denied, what, why).hint(hint).refused()
}

/// What a function does for one row.
pub(super) type Work = fn(&mut Statement, &Arguments<'_>) -> Result<Answer>;

/// The places that the server gives for one row's outcome.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) length: *mut c_ulong,
    pub(super) is_null: *mut u8,
    pub(super) error: *mut u8,
}

/// One row of a function that gives bytes or text. NULL is told by `is_null`, or is an error that the statement has.
pub(super) fn bytes(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    places: Places,
    function: &str,
    (takes, work): (&Takes, Work),
) -> Result<*mut c_char> {
    let null = std::ptr::null_mut();
    let Some((answer, statement)) = row(init, args, places, function, (takes, work))? else {
        return Ok(null);
    };
    let Answer::Given = answer else {
        return Ok(null);
    };
    let answer = &statement.answer;
    // SAFETY: the server gives a place for the length.
    unsafe {
        ptr::write(
            places.length,
            answer.len() as c_ulong,
            "place for the length",
        )?
    };
    Ok(answer.as_ptr().cast_mut().cast())
}

/// One row of a function that gives a whole number.
pub(super) fn number(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    places: Places,
    function: &str,
    (takes, work): (&Takes, Work),
) -> Result<i64> {
    match row(init, args, places, function, (takes, work))? {
        Some((Answer::Number(number), _)) => Ok(number),
        _ => Ok(0),
    }
}

/// One row: `None` after an error, which is told.
fn row<'a>(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    places: Places,
    function: &str,
    (takes, work): (&Takes, Work),
) -> Result<Option<(Answer, &'a mut Statement)>> {
    // SAFETY: ptr is what `prepare` put there; a statement's rows come one after the other.
    let statement = unsafe {
        init.as_ref()
            .and_then(|i| i.ptr.cast::<Statement>().as_mut())
    };
    let done = LIFECYCLE.caught("answer a SQL function", || {
        let Some(statement) = statement else {
            let why = "the server gave back nothing of what the function keeps";
            return Err(Error::new(Kind::Internal, "answer in SQL", why));
        };
        statement.clear();
        // SAFETY: the server hands over its own structure, which lives through the call.
        let arguments = unsafe { takes.read(args)? };
        LIFECYCLE.check_audit()?;
        let answer = work(statement, &arguments)?;
        Ok((answer, statement))
    });
    let is_null = match &done {
        Ok((answer, _)) => matches!(answer, Answer::Null),
        Err(_) => true,
    };
    // SAFETY: the server gives places for both.
    unsafe {
        ptr::write(places.is_null, u8::from(is_null), "place for NULL")?;
        ptr::write(places.error, u8::from(done.is_err()), "place for an error")?;
    }
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) => {
            let told = sql_error::tell(function, &error.to_string());
            // Who called knows what does not fit his request; what is wrong with the keyring or with a value concerns others.
            let of_caller = matches!(
                error.kind(),
                Kind::NotFound
                    | Kind::AlreadyExists
                    | Kind::InvalidInput
                    | Kind::KeyState
                    | Kind::UnsupportedVersion
            );
            if !told || !of_caller {
                guard::report(&error);
            }
            Ok(None)
        }
    }
}

/// The statement is over.
pub(super) fn end(init: *mut abi::kw_udf_init) {
    // SAFETY: ptr is NULL or what `prepare` put there, and is taken once.
    unsafe {
        if let Some(init) = init.as_mut()
            && !init.ptr.is_null()
        {
            drop(Box::from_raw(init.ptr.cast::<Statement>()));
            init.ptr = std::ptr::null_mut();
        }
    }
}
