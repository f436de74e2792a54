//! Logical keys: one name with versions, and what is known of each of them.
//!
//! Owns the bytes of the extension [`super::tags::VERSION`] and every rule about them. Each version is a key of its own
//! that carries the whole description; the one with the highest serial counts. Nothing here is secret, and nothing here may
//! know where a key is kept.

use super::id::KeyId;
use super::tags::{Flaw, VERSION};
use crate::error::{Error, Kind, Result};

/// Length of a logical key's id in bytes.
pub const ID: usize = 16;
/// Most versions that a description names, the destroyed among them.
pub const MAX_VERSIONS: usize = 255;
/// Most destroyed versions that are remembered; older ones are forgotten.
pub const MAX_DESTROYED: usize = 64;
/// Longest environment in bytes.
pub const MAX_ENVIRONMENT: usize = 32;
/// Longest description, and longest reason of a hold, in bytes.
pub const MAX_TEXT: usize = 255;
/// Highest number of a version.
pub const MAX_NUMBER: u32 = 999_999_999;
/// Longest description of a logical key in bytes: its fixed fields, three texts and the versions, each list behind its length.
pub const MAX_BYTES: usize =
    40 + (1 + MAX_ENVIRONMENT) + 2 * (1 + MAX_TEXT) + 1 + MAX_VERSIONS * (4 + 1 + 8 + 8);
/// The layout of the bytes that this program writes and knows.
const LAYOUT: u8 = 1;
const FOLLOW: u8 = 1;
const ADOPTED: u8 = 2;
const HELD: u8 = 4;
/// How a version is written that was compromised before it was destroyed.
const DESTROYED_COMPROMISED: u8 = 5;
const OP: &str = "change the logical key";

/// The state of a version (NIST SP 800-57 part 1, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is there and was never current.
    Pending,
    /// It is current: what is sealed now, is sealed with it. One at most.
    Active,
    /// It was current: it opens what was sealed with it, and seals no more.
    Deactivated,
    /// Somebody else may have it: it opens only for who says that he knows.
    Compromised,
    /// Its material is gone.
    Destroyed,
}

impl State {
    const ALL: [State; 5] = [
        State::Pending,
        State::Active,
        State::Deactivated,
        State::Compromised,
        State::Destroyed,
    ];

    /// The stable name, as it stands in lists.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Active => "active",
            State::Deactivated => "deactivated",
            State::Compromised => "compromised",
            State::Destroyed => "destroyed",
        }
    }
}

/// What is known of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1 on; none is used twice.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// Since when it is in that state: seconds since 1970, UTC.
    pub since: i64,
    /// When it may be destroyed; `None`: nobody has asked for it.
    pub destroy_at: Option<i64>,
    /// It is destroyed, and was compromised before: it comes back as what it was.
    pub was_compromised: bool,
}

impl Version {
    /// Somebody else may have it, or might have had it before it was destroyed.
    pub fn is_compromised(&self) -> bool {
        self.state == State::Compromised || self.was_compromised
    }
}

/// A logical key as one of its versions describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logical {
    /// Its id, which it keeps under every name and owner, and in every file.
    pub id: [u8; ID],
    /// One more with each change.
    pub serial: u32,
    /// Its bare name answers with the current version's material.
    pub follow: bool,
    /// Version 1 was a plain key, and has the bare name itself.
    pub adopted: bool,
    /// Days after which it is due for a rotation; `None`: never.
    pub rotate_every: Option<u16>,
    /// When it is over, for a temporary key: seconds since 1970, UTC.
    pub expires: Option<i64>,
    /// Nothing of it is destroyed or purged as long as this reason stands.
    pub held: Option<String>,
    /// What it is for, e.g. `test`; empty: nobody has said.
    pub environment: String,
    /// For people.
    pub description: String,
    /// The highest number that was ever given.
    pub highest: u32,
    /// Its versions, by number.
    pub versions: Vec<Version>,
}

/// A key that is a version, as its extension says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOf {
    /// Which version the key is.
    pub number: u32,
    /// The description that it carries: the newest one only if no other version has a higher serial.
    pub logical: Logical,
}

/// The beginning of a [`VersionOf`].
pub struct Head {
    /// The logical key's id.
    pub id: [u8; ID],
    /// Which version the key is.
    pub number: u32,
    /// The serial of the description.
    pub serial: u32,
    /// Version 1 has the bare name.
    pub adopted: bool,
    /// When it is over, for a temporary key.
    pub expires: Option<i64>,
}

fn state(why: impl Into<String>, hint: &str) -> Error {
    let e = Error::new(Kind::KeyState, OP, why.into());
    e.hint(
        format!("Nothing was changed. {hint}")
            .trim_end()
            .to_string(),
    )
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, OP, why.into()).hint("Nothing was changed.")
}

impl Logical {
    /// One of which nothing is known.
    pub fn unknown(id: [u8; ID]) -> Logical {
        Logical {
            id,
            serial: 0,
            follow: false,
            adopted: false,
            rotate_every: None,
            expires: None,
            held: None,
            environment: String::new(),
            description: String::new(),
            highest: 0,
            versions: Vec::new(),
        }
    }

    /// The name of a version's key.
    pub fn key_name(&self, name: &[u8], number: u32) -> Vec<u8> {
        let mut key = name.to_vec();
        if !(self.adopted && number == 1) {
            key.extend_from_slice(format!("@{number}").as_bytes());
        }
        key
    }

    /// The name of the logical key that a version's key belongs to; `None`: the key has another name than that version.
    pub fn name_of<'a>(&self, key: &'a KeyId, number: u32) -> Option<&'a [u8]> {
        if self.adopted && number == 1 {
            return Some(key.name());
        }
        split(key.name()).and_then(|(name, n)| (n == number).then_some(name))
    }

    /// The current version.
    pub fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|v| v.state == State::Active)
    }

    /// A version by its number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|v| v.number == number)
    }

    /// The same to be changed.
    ///
    /// # Errors
    /// NotFound: there is no such version.
    pub fn version_mut(&mut self, number: u32) -> Result<&mut Version> {
        let version = self.versions.iter_mut().find(|v| v.number == number);
        version.ok_or_else(|| {
            Error::new(Kind::NotFound, OP, format!("it has no version {number}"))
                .hint("keyring-ward key show lists its versions.")
        })
    }

    /// Puts a version into another state.
    ///
    /// # Errors
    /// As [`Logical::version_mut`].
    pub fn put_into(&mut self, number: u32, state: State, now: i64) -> Result<()> {
        let version = self.version_mut(number)?;
        let destroyed = state == State::Destroyed;
        version.was_compromised = destroyed && version.is_compromised();
        (version.state, version.since) = (state, now);
        if destroyed {
            version.destroy_at = None;
        }
        Ok(())
    }

    /// Makes a version the current one; the one that was seals no more.
    ///
    /// # Errors
    /// As [`Logical::version_mut`].
    pub fn switch_to(&mut self, number: u32, now: i64) -> Result<()> {
        if let Some(old) = self.current().map(|v| v.number) {
            self.put_into(old, State::Deactivated, now)?;
        }
        self.put_into(number, State::Active, now)?;
        self.version_mut(number)?.destroy_at = None;
        Ok(())
    }

    /// Notes a new version, which is pending, and gives its number. The oldest destroyed ones beyond [`MAX_DESTROYED`] are
    /// forgotten.
    ///
    /// # Errors
    /// InvalidInput: it has as many versions as it can have.
    pub fn add_version(&mut self, now: i64) -> Result<u32> {
        let destroyed = |v: &Version| v.state == State::Destroyed;
        let mut beyond =
            (self.versions.iter().filter(|v| destroyed(v)).count()).saturating_sub(MAX_DESTROYED);
        self.versions.retain(|v| {
            let forgotten = beyond > 0 && destroyed(v);
            beyond -= usize::from(forgotten);
            !forgotten
        });
        if self.versions.len() >= MAX_VERSIONS || self.highest >= MAX_NUMBER {
            return Err(bad(format!(
                "it has {} versions, and can't have more",
                self.versions.len()
            ))
            .hint("Destroy old versions that nothing needs any more: keyring-ward key destroy."));
        }
        self.highest += 1;
        self.versions.push(Version {
            number: self.highest,
            state: State::Pending,
            since: now,
            destroy_at: None,
            was_compromised: false,
        });
        Ok(self.highest)
    }

    /// Another change: the description with the highest serial counts.
    ///
    /// # Errors
    /// InvalidInput: no serial is left.
    pub fn count_change(&mut self) -> Result<()> {
        let next = self.serial.checked_add(1);
        self.serial = next.ok_or_else(|| bad("its changes can't be numbered any more"))?;
        Ok(())
    }

    /// Whether texts and numbers that came from outside are within their limits.
    ///
    /// # Errors
    /// InvalidInput: which is not.
    pub fn check(&self) -> Result<()> {
        if !is_environment(&self.environment) {
            return Err(bad(format!(
                "an environment has at most {MAX_ENVIRONMENT} letters, digits, '-', '_' and '.'"
            )));
        }
        let held = self.held.as_deref();
        for (what, text) in [
            ("a description", Some(&*self.description)),
            ("a reason of a hold", held),
        ] {
            if !is_line(text.unwrap_or_default()) {
                return Err(bad(format!(
                    "{what} is one line of at most {MAX_TEXT} bytes"
                )));
            }
        }
        match (held, self.rotate_every) {
            (Some(""), _) => Err(bad("a hold needs a reason")),
            (_, Some(0)) => Err(bad("a key is rotated every 1 to 65,535 days")),
            // Which is how "none" is written.
            _ if self.expires == Some(0) => {
                Err(bad("a temporary key can't end at the first second of 1970"))
            }
            _ => Ok(()),
        }
    }

    /// When the next rotation is due, in seconds since 1970; `None`: never.
    pub fn rotation_at(&self) -> Option<i64> {
        (self.rotate_every.zip(self.current()))
            .map(|(days, current)| current.since.saturating_add(i64::from(days) * DAY))
    }

    /// The next rotation is due; `now` as seconds since 1970.
    pub fn rotation_due(&self, now: i64) -> bool {
        self.rotation_at().is_some_and(|due| due <= now)
    }

    /// In how many whole days that is; less than 0: it is overdue.
    pub fn due_in_days(&self, now: i64) -> Option<i64> {
        self.rotation_at()
            .map(|due| due.saturating_sub(now).div_euclid(DAY))
    }

    /// Something of it may be destroyed now, because that was planned and is due.
    pub fn has_destruction_due(&self, now: i64) -> bool {
        let over = |v: &Version| v.destroy_at.is_some_and(|at| at <= now);
        self.versions.iter().any(over) && self.due(None, now).is_ok()
    }

    /// A temporary key whose time is over.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Its time is not over.
    ///
    /// # Errors
    /// KeyState: it is a temporary key, and it is.
    pub fn check_time(&self, now: i64) -> Result<()> {
        match self.expires.filter(|at| *at <= now) {
            None => Ok(()),
            Some(at) => Err(state(
                format!(
                    "it is a temporary key, and its time was over on {}",
                    crate::text::utc(at)
                ),
                "keyring-ward key set --expires gives it more, as long as nobody has destroyed it.",
            )),
        }
    }

    /// Whether it may have a new version.
    ///
    /// # Errors
    /// KeyState: its time is over, its end as a whole is planned, or a version is pending already.
    pub fn check_rotatable(&self, now: i64) -> Result<()> {
        self.check_time(now)?;
        let mut alive = (self.versions.iter())
            .filter(|v| v.state != State::Destroyed)
            .peekable();
        // A new version would not be in that plan, and the key would outlive it.
        if alive.peek().is_some() && alive.all(|v| v.destroy_at.is_some()) {
            return Err(state(
                "the destruction of all of it is planned",
                "keyring-ward key cancel ends the plan; then rotate it.",
            ));
        }
        let pending = |v: &&Version| v.state == State::Pending && v.destroy_at.is_none();
        if let Some(pending) = self.versions.iter().find(pending) {
            return Err(state(
                format!("version {} is pending", pending.number),
                "Make it current (keyring-ward key activate), or take it away if nothing is sealed with it (key drop).",
            ));
        }
        Ok(())
    }

    /// Holds it for a reason, so that nothing of it is destroyed; `None`: ends that.
    ///
    /// # Errors
    /// KeyState: it is held for another reason, or not at all. InvalidInput: the reason is empty.
    pub fn hold(&mut self, reason: Option<&str>) -> Result<()> {
        check_hold(self.held.as_deref(), reason)?;
        self.held = reason.map(String::from);
        Ok(())
    }

    /// Whether something of it may be destroyed.
    ///
    /// # Errors
    /// KeyState: it is held.
    pub fn check_not_held(&self) -> Result<()> {
        match &self.held {
            None => Ok(()),
            Some(reason) => Err(
                Error::new(Kind::KeyState, OP, format!("it is held: {reason}"))
                    .hint("Nothing was changed. keyring-ward key hold --release ends that; keyring_ward_key_release() beside a running server."),
            ),
        }
    }

    /// Plans the destruction of a version; `None`: of all.
    ///
    /// # Errors
    /// KeyState: it is held, the version is current, or destroyed. InvalidInput: less than a day. NotFound: no such version.
    pub fn schedule(&mut self, number: Option<u32>, days: u16, now: i64) -> Result<()> {
        self.check_not_held()?;
        if days == 0 {
            return Err(bad(
                "a destruction is planned for a day from now at the earliest",
            ));
        }
        // 0 is how "none" is written.
        let at = match now.saturating_add(i64::from(days) * DAY) {
            0 => 1,
            at => at,
        };
        if let Some(number) = number {
            let version = self.version_mut(number)?;
            match version.state {
                State::Active => {
                    return Err(state(
                        format!("version {number} is current"),
                        "Rotate the key first, or destroy all of it.",
                    ));
                }
                State::Destroyed => {
                    return Err(state(format!("version {number} is destroyed already"), ""));
                }
                _ => version.destroy_at = Some(at),
            }
            return Ok(());
        }
        let alive = self
            .versions
            .iter_mut()
            .filter(|v| v.state != State::Destroyed);
        alive.for_each(|v| v.destroy_at = Some(at));
        Ok(())
    }

    /// Ends what [`Logical::schedule`] planned for a version; `None`: for all.
    ///
    /// # Errors
    /// NotFound: no such version. KeyState: nothing is planned.
    pub fn cancel(&mut self, number: Option<u32>) -> Result<()> {
        let mut planned = match number {
            Some(number) => std::slice::from_mut(self.version_mut(number)?).iter_mut(),
            None => self.versions.iter_mut(),
        };
        let mut any = false;
        planned
            .by_ref()
            .for_each(|v| any |= v.destroy_at.take().is_some());
        match any {
            true => Ok(()),
            false => Err(state("no destruction is planned", "")),
        }
    }

    /// The versions whose destruction is due: of these, or of the one that is named. All of them only where nothing is left
    /// of the key afterwards, or none of them is current.
    ///
    /// # Errors
    /// KeyState: it is held, or nothing is due yet; the error says when. NotFound: no such version.
    pub fn due(&self, number: Option<u32>, now: i64) -> Result<Vec<u32>> {
        self.check_not_held()?;
        if let Some(number) = number {
            self.clone().version_mut(number)?;
        }
        let planned: Vec<_> = (self.versions.iter())
            .filter(|v| number.is_none_or(|n| n == v.number) && v.state != State::Destroyed)
            .filter_map(|v| Some((v.number, v.destroy_at?)))
            .collect();
        let mut due: Vec<u32> = (planned.iter())
            .filter_map(|(number, at)| (*at <= now).then_some(*number))
            .collect();
        let alive = self.versions.iter().filter(|v| v.state != State::Destroyed);
        if alive.count() > due.len() {
            // The current one goes with all others or not at all.
            let current = self.current().map(|v| v.number);
            due.retain(|number| Some(*number) != current);
        }
        if !due.is_empty() {
            return Ok(due);
        }
        Err(match planned.iter().map(|(_, at)| *at).min() {
            None => state(
                "no destruction is planned",
                "keyring-ward key destroy without --now plans it.",
            ),
            Some(at) => state(
                format!(
                    "its destruction is due on {}, not before",
                    crate::text::utc(at)
                ),
                "keyring-ward key cancel ends the plan.",
            ),
        })
    }

    /// Notes that somebody else may have a version.
    ///
    /// # Errors
    /// KeyState: it is current, or destroyed. NotFound: no such version.
    pub fn compromise(&mut self, number: u32, now: i64) -> Result<()> {
        match self.version_mut(number)?.state {
            State::Active => Err(state(
                format!("version {number} is current, and would not be served any more"),
                "Rotate the key first: keyring-ward key rotate.",
            )),
            State::Destroyed => Err(state(format!("version {number} is destroyed already"), "")),
            _ => self.put_into(number, State::Compromised, now),
        }
    }
}

/// Why something is held: a line that says something.
pub(super) fn is_reason(text: &str) -> bool {
    !text.is_empty() && is_line(text)
}

/// Whether what is held for a reason, or not at all, may be held for this one; `None`: whether that may end.
///
/// # Errors
/// KeyState: it is held for another reason, or not at all. InvalidInput: the reason is empty.
pub fn check_hold(held: Option<&str>, reason: Option<&str>) -> Result<()> {
    match (held, reason) {
        (None, None) => Err(state("it is not held", "")),
        (_, Some("")) => Err(bad("a hold needs a reason")),
        (Some(held), Some(reason)) if held != reason => Err(state(
            format!("it is held already: {held}"),
            "One hold can't take another's place: release it first, or name both reasons in one.",
        )),
        _ => Ok(()),
    }
}

fn is_environment(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    text.len() <= MAX_ENVIRONMENT && text.bytes().all(word)
}

fn is_line(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

/// A day in seconds.
pub const DAY: i64 = 86_400;

/// `name@7` as name and number; `None`: it is no such name. A number has no leading zero.
pub fn split(name: &[u8]) -> Option<(&[u8], u32)> {
    let at = name.iter().rposition(|b| *b == b'@')?;
    let (base, digits) = (&name[..at], &name[at + 1..]);
    let plain = (1..=9).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits[0] != b'0';
    if base.is_empty() || !plain {
        return None;
    }
    Some((base, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

/// How the names of keys begin that one connection has and that end with it: no logical key has such a name, so that nothing that
/// is to last is sealed with one by mistake.
pub const SESSION: &[u8] = b"session:";

/// Whether a logical key may have this name: room is left for its versions.
///
/// # Errors
/// InvalidInput: it is too long, looks like a version's or a session key's, or has no owner.
pub fn check_name(name: &[u8], owner: &[u8]) -> Result<()> {
    KeyId::new(name, owner)?;
    if name.starts_with(SESSION) {
        return Err(bad(format!(
            "'{}' is how a key is called that ends with its connection",
            crate::text::name(name)
        ))
        .hint("Choose a name that does not begin with session:."));
    }
    if owner.is_empty() {
        return Err(bad("a key without an owner is the server's own, and the server asks for it by its name alone").hint(
            "Nothing was changed. Name the account whose key it is, user@host: --owner.",
        ));
    }
    let mut longest = name.to_vec();
    longest.extend_from_slice(format!("@{MAX_NUMBER}").as_bytes());
    KeyId::new(&longest, owner).map_err(|e| e.context("with the number of a version"))?;
    if split(name).is_some() {
        return Err(bad(format!(
            "'{}' is how the version of a key is called",
            crate::text::name(name)
        ))
        .hint("Choose a name that does not end in @ and a number."));
    }
    Ok(())
}

impl VersionOf {
    /// As it stands in the extension.
    pub fn to_bytes(&self) -> Vec<u8> {
        let logical = &self.logical;
        let mut out = vec![LAYOUT];
        out.extend_from_slice(&logical.id);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&logical.serial.to_le_bytes());
        let flag = |set: bool, bit| if set { bit } else { 0 };
        out.push(
            flag(logical.follow, FOLLOW)
                | flag(logical.adopted, ADOPTED)
                | flag(logical.held.is_some(), HELD),
        );
        out.extend_from_slice(&logical.rotate_every.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&logical.expires.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&logical.highest.to_le_bytes());
        let held = logical.held.as_deref().unwrap_or_default();
        for text in [&*logical.environment, &logical.description, held] {
            // Checked: at most 255 bytes.
            out.push(text.len().min(MAX_TEXT) as u8);
            out.extend_from_slice(&text.as_bytes()[..text.len().min(MAX_TEXT)]);
        }
        out.push(logical.versions.len().min(MAX_VERSIONS) as u8);
        for version in logical.versions.iter().take(MAX_VERSIONS) {
            out.extend_from_slice(&version.number.to_le_bytes());
            out.push(match version.was_compromised {
                true => DESTROYED_COMPROMISED,
                false => version.state as u8,
            });
            out.extend_from_slice(&version.since.to_le_bytes());
            out.extend_from_slice(&version.destroy_at.unwrap_or(0).to_le_bytes());
        }
        out
    }

    /// Reads what stands in the extension.
    ///
    /// # Errors
    /// What is wrong with it; another layout is a newer one.
    pub fn from_bytes(bytes: &[u8]) -> std::result::Result<VersionOf, Flaw> {
        VersionOf::read(bytes).map(|read| read.to_owned())
    }

    /// Checks what stands in the extension as strictly as [`VersionOf::from_bytes`], and keeps none of it: a start does so for
    /// each key.
    ///
    /// # Errors
    /// As [`VersionOf::from_bytes`].
    pub fn check_bytes(bytes: &[u8]) -> std::result::Result<(), Flaw> {
        VersionOf::read(bytes).map(drop)
    }

    fn read(bytes: &[u8]) -> std::result::Result<Description<'_>, Flaw> {
        const BROKEN: Flaw = Flaw::Rules("the description of a logical key breaks its rules");
        match bytes.first() {
            Some(&LAYOUT) => {}
            Some(_) => return Err(Flaw::Newer(VERSION)),
            None => return Err(BROKEN),
        }
        let read = Fields(&bytes[1..]).description().ok_or(BROKEN)?;
        match read.is_consistent() {
            true => Ok(read),
            false => Err(BROKEN),
        }
    }

    /// The beginning of bytes that were checked when they were read. A fetch and a start read no more of them.
    pub fn head(bytes: &[u8]) -> Option<Head> {
        let mut fields = Fields(bytes.get(1..)?);
        Some(Head {
            id: fields.array()?,
            number: fields.number()?,
            serial: fields.number()?,
            adopted: fields.byte()? & ADOPTED != 0,
            expires: {
                // Behind the days between rotations.
                fields.take(2)?;
                fields.time()?
            },
        })
    }
}

/// A [`VersionOf`] as it stands in the bytes.
struct Description<'a> {
    number: u32,
    id: [u8; ID],
    serial: u32,
    flags: u8,
    rotate_every: u16,
    expires: Option<i64>,
    highest: u32,
    environment: &'a str,
    description: &'a str,
    held: &'a str,
    versions: &'a [[u8; VERSION_BYTES]],
}

impl Description<'_> {
    fn is_consistent(&self) -> bool {
        let (mut last, mut active, mut own) = (0, 0, false);
        for version in self.versions {
            let Some(version) = Version::from_bytes(version) else {
                return false;
            };
            if version.number <= last {
                return false;
            }
            last = version.number;
            active += usize::from(version.state == State::Active);
            own |= version.number == self.number;
        }
        let is_held = self.flags & HELD != 0;
        last <= self.highest
            && self.highest <= MAX_NUMBER
            && active <= 1
            && own
            && self.flags & !(FOLLOW | ADOPTED | HELD) == 0
            && self.held.is_empty() != is_held
            && is_environment(self.environment)
            && is_line(self.description)
            && is_line(self.held)
    }

    fn to_owned(&self) -> VersionOf {
        VersionOf {
            number: self.number,
            logical: Logical {
                id: self.id,
                serial: self.serial,
                follow: self.flags & FOLLOW != 0,
                adopted: self.flags & ADOPTED != 0,
                rotate_every: (self.rotate_every != 0).then_some(self.rotate_every),
                expires: self.expires,
                held: (!self.held.is_empty()).then(|| self.held.into()),
                environment: self.environment.into(),
                description: self.description.into(),
                highest: self.highest,
                // Each was checked.
                versions: self
                    .versions
                    .iter()
                    .filter_map(Version::from_bytes)
                    .collect(),
            },
        }
    }
}

/// How many bytes a version has.
const VERSION_BYTES: usize = 4 + 1 + 8 + 8;

impl Version {
    /// Reads one; `None`: there is no such state.
    fn from_bytes(bytes: &[u8; VERSION_BYTES]) -> Option<Version> {
        let mut fields = Fields(bytes);
        let (number, state) = (fields.number()?, fields.byte()?);
        let was_compromised = state == DESTROYED_COMPROMISED;
        Some(Version {
            number,
            state: match was_compromised {
                true => State::Destroyed,
                false => *State::ALL.get(usize::from(state))?,
            },
            since: fields.array().map(i64::from_le_bytes)?,
            destroy_at: fields.time()?,
            was_compromised,
        })
    }
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(part)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A time; 0: there is none.
    fn time(&mut self) -> Option<Option<i64>> {
        let seconds = self.array().map(i64::from_le_bytes)?;
        Some((seconds != 0).then_some(seconds))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// All of it, and nothing behind it; whether that makes sense is not judged yet.
    fn description(mut self) -> Option<Description<'a>> {
        Some(Description {
            id: self.array()?,
            number: self.number()?,
            serial: self.number()?,
            flags: self.byte()?,
            rotate_every: self.array().map(u16::from_le_bytes)?,
            expires: self.time()?,
            highest: self.number()?,
            environment: self.text()?,
            description: self.text()?,
            held: self.text()?,
            versions: {
                let count = usize::from(self.byte()?);
                let (versions, rest) = self.0.as_chunks();
                if versions.len() != count || !rest.is_empty() {
                    return None;
                }
                versions
            },
        })
    }
}

#[cfg(test)]
#[path = "logical_tests.rs"]
mod tests;
