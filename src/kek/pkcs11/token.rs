//! Finding the token, the login, and the key: one short session per operation.
//!
//! Owns the rule "exactly one match or a clear error" and the span from login to logout, ended on every
//! path. It must never try a PIN twice, never pick one of several tokens or keys, and never touch an
//! object that is not the KEK.

use super::module::Initialized;
use super::{KeyChoice, Pkcs11Config, TokenChoice};
use super::{errors, pin};
use crate::error::{Error, Kind, Result};
use crate::secret::SecretPool;
use crate::text::hex;
use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;

const FIND: &str = "find the token";
const LOGIN: &str = "log in to the token";
const FIND_KEY: &str = "find the KEK on the token";
/// More tokens or keys than this are not listed in messages.
const SHOWN: usize = 10;

/// What a module's slots hold.
pub(super) struct Tokens {
    /// Tokens that have been initialised.
    pub(super) ready: Vec<(Slot, TokenInfo)>,
    /// Slots of which something is wrong, in words.
    pub(super) odd: Vec<String>,
    /// One of them failed just now: it may be the wanted one.
    failing: bool,
}

/// All slots with a token in them.
pub(super) fn tokens(module: &Pkcs11) -> Result<Tokens> {
    let slots = module
        .get_slots_with_token()
        .map_err(|e| errors::error(FIND, &e))?;
    let mut tokens = Tokens {
        ready: Vec::new(),
        odd: Vec::new(),
        failing: false,
    };
    for slot in slots {
        match module.get_token_info(slot) {
            Ok(info) if info.token_initialized() => tokens.ready.push((slot, info)),
            Ok(_) => tokens.odd.push(format!(
                "the token in slot {} is not initialised",
                slot.id()
            )),
            Err(e) if errors::code(&e).is_some() => {
                tokens.failing = true;
                let e = errors::error(FIND, &e);
                tokens
                    .odd
                    .push(format!("the token in slot {}: {e}", slot.id()));
            }
            // Some modules answer with a clock that is none: the others must still be found.
            Err(e) => tokens.odd.push(format!(
                "the token in slot {} can't be described ({e}), but it can be chosen by slot",
                slot.id()
            )),
        }
    }
    Ok(tokens)
}

/// The one token of the configuration. Its information is missing where it can't be read.
fn choose(module: &Pkcs11, choice: &TokenChoice) -> Result<(Slot, Option<TokenInfo>)> {
    let found = tokens(module)?;
    let fits = |slot: &Slot, info: &TokenInfo| match choice {
        TokenChoice::Label(label) => info.label() == label,
        TokenChoice::Serial(serial) => info.serial_number() == serial,
        TokenChoice::Slot(id) => slot.id() == *id,
    };
    let mut matching: Vec<&(Slot, TokenInfo)> =
        found.ready.iter().filter(|(s, i)| fits(s, i)).collect();
    let list = || {
        let mut lines: Vec<String> = found
            .ready
            .iter()
            .take(SHOWN)
            .map(|(slot, i)| {
                format!(
                    "'{}' with serial '{}' in slot {}",
                    printable(i.label()),
                    printable(i.serial_number()),
                    slot.id()
                )
            })
            .collect();
        lines.extend(found.odd.iter().take(SHOWN).cloned());
        match lines.is_empty() {
            true => "there is no token at all".to_string(),
            false => format!("there are: {}", lines.join("; ")),
        }
    };
    match (matching.pop(), matching.is_empty()) {
        (Some((slot, info)), true) => Ok((*slot, Some(info.clone()))),
        (Some(_), false) => Err(Error::new(
            Kind::Config,
            FIND,
            format!("more than one {choice}; {}", list()),
        )
        .hint("Name the token by token_serial.")),
        (None, _) => {
            if let TokenChoice::Slot(id) = choice
                && let Some(slot) = slot_of(module, *id)
                && module.get_token_info(slot).is_err()
            {
                return Ok((slot, None));
            }
            // A module without any token: the HSM is away, and may come back.
            let kind = match found.ready.is_empty() || found.failing {
                true => Kind::Unreachable,
                false => Kind::NotFound,
            };
            let error = Error::new(kind, FIND, format!("no {choice}; {}", list())).hint(
                "Correct the configuration, or connect the HSM. keyring-ward hsm list shows \
                 what the module sees.",
            );
            // A module that shows its slots, and the token in none of them: it was taken out. One that shows no slot at all
            // may be cut off from its HSM.
            let shows_slots = module.get_all_slots().is_ok_and(|slots| !slots.is_empty());
            Err(match shows_slots && !found.failing {
                true => error.withdrawn(),
                false => error,
            })
        }
    }
}

fn slot_of(module: &Pkcs11, id: u64) -> Option<Slot> {
    let slots = module.get_slots_with_token().ok()?;
    slots.into_iter().find(|s| s.id() == id)
}

/// Names from a token for messages: odd characters escaped.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A session with the user logged in. Logged out and closed by `Drop`, then the module is ended.
pub(super) struct LoggedIn {
    pub(super) session: Session,
    pub(super) slot: Slot,
    pub(super) info: Option<TokenInfo>,
    /// The login is ours to end.
    ours: bool,
    // Last: fields are dropped in their order, and the session must go before the module.
    pub(super) module: Initialized,
}

impl LoggedIn {
    /// Initialises the module, finds the token, opens a session, logs in. `writing`: objects of the token
    /// will be made or removed.
    pub(super) fn new(
        config: &Pkcs11Config,
        pool: &SecretPool,
        writing: bool,
        warnings: &mut Vec<String>,
    ) -> Result<LoggedIn> {
        let module = Initialized::new(&config.module, config.module_args.as_deref())?;
        let (slot, info) = choose(&module.context, &config.token)?;
        if let TokenChoice::Slot(id) = config.token {
            warnings.push(format!(
                "The token is chosen by slot {id}; slot numbers can change from start to start. Use \
                 token_label or token_serial."
            ));
        }
        let serial = info.as_ref().map_or_else(
            || format!("slot {}", slot.id()),
            |i| i.serial_number().into(),
        );
        let pin = pin::read(pool, config, warnings)?;
        let context = &module.context;
        let session = match writing {
            true => context.open_rw_session(slot),
            false => context.open_ro_session(slot),
        }
        .map_err(|e| errors::error("open a session on the token", &e))?;
        let mut logged_in = LoggedIn {
            session,
            slot,
            info,
            ours: false,
            module,
        };
        if logged_in
            .info
            .as_ref()
            .is_none_or(TokenInfo::login_required)
        {
            pin::check(config, &serial, &pin)?;
            logged_in.log_in(config, &serial, &pin, warnings)?;
        }
        Ok(logged_in)
    }

    fn log_in(
        &mut self,
        config: &Pkcs11Config,
        serial: &str,
        pin: &[u8],
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        if let Some(info) = &self.info {
            let refuse =
                |why: &str| {
                    Err(Error::new(Kind::Denied, LOGIN, format!("{} {why}", config.token)).hint(
                    "Unblock or set the user PIN with the vendor's tool. Nothing was tried.",
                ))
                };
            if info.user_pin_locked() {
                return refuse("says that its user PIN is locked");
            }
            if !info.user_pin_initialized() {
                // As CKR_USER_PIN_NOT_INITIALIZED: it was made anew since the keyring was opened.
                return refuse("has no user PIN yet").map_err(Error::withdrawn);
            }
            // Not worth a try that would count.
            let (min, max) = (info.min_pin_length(), info.max_pin_length());
            if pin.len() < min || (max > 0 && pin.len() > max) {
                return Err(Error::new(
                    Kind::InvalidInput,
                    LOGIN,
                    format!(
                        "the PIN in {} has {} bytes, {} takes {min} to {max}",
                        config.pin,
                        pin.len(),
                        config.token
                    ),
                )
                .hint("Put the right PIN into the file. Nothing was tried."));
            }
        }
        // The crate wipes it when it is dropped.
        let raw = RawAuthPin::new(Box::new(pin.to_vec()));
        let Err(e) = self.session.login_with_raw(UserType::User, &raw) else {
            self.ours = true;
            pin::forget(config, serial);
            return Ok(());
        };
        let code = errors::code(&e);
        if code == Some(RvError::UserAlreadyLoggedIn) {
            // Ours, from an operation whose end failed, unless somebody else uses the module as well.
            self.ours = !self.module.borrowed;
            return Ok(());
        }
        let mut error = errors::error(LOGIN, &e).context(&config.token);
        if matches!(
            code,
            Some(
                RvError::PinIncorrect
                    | RvError::PinInvalid
                    | RvError::PinLenRange
                    | RvError::PinLocked
                    | RvError::PinExpired
            )
        ) {
            warnings.extend(pin::remember(config, serial, pin));
            let left = self.module.context.get_token_info(self.slot).ok();
            error = error.hint(format!(
                "{} Correct {} or unblock the PIN with the vendor's tool: this PIN is not tried again by \
                 itself.",
                tries_left(left.as_ref()),
                config.pin
            ));
        }
        Err(error)
    }

    /// The stanza's reference to a key, for people: token, label, id.
    pub(super) fn reference_to(&self, key: &Key) -> String {
        let label = printable(&key.label);
        match key.id.is_empty() {
            true => format!("{} '{label}'", self.token_name()),
            false => format!("{} '{label}' {}", self.token_name(), hex(&key.id)),
        }
    }

    /// The token for people: label and serial number.
    pub(super) fn token_name(&self) -> String {
        match &self.info {
            Some(i) => format!("{}/{}", printable(i.label()), printable(i.serial_number())),
            None => format!("slot {}", self.slot.id()),
        }
    }
}

impl Drop for LoggedIn {
    fn drop(&mut self) {
        if self.ours {
            let _ = self.session.logout();
        }
    }
}

/// What the token admits about the tries that are left (PKCS#11 3.1, CK_TOKEN_INFO flags).
fn tries_left(info: Option<&TokenInfo>) -> &'static str {
    match info {
        Some(i) if i.user_pin_locked() => "The token's user PIN is locked now.",
        Some(i) if i.user_pin_final_try() => "The token has ONE try left before it locks the PIN.",
        Some(i) if i.user_pin_count_low() => "The token has fewer tries left than usual.",
        _ => "The token does not tell how many tries are left.",
    }
}

/// A key on the token and what it may be used for.
pub(super) struct Key {
    pub(super) handle: ObjectHandle,
    pub(super) label: String,
    pub(super) id: Vec<u8>,
    pub(super) encrypts: bool,
    pub(super) wraps: bool,
    pub(super) signs: bool,
    pub(super) extractable: bool,
    pub(super) sensitive: bool,
    /// Length in bytes; 0 where the token does not tell.
    pub(super) length: u64,
}

impl Key {
    fn read(session: &Session, handle: ObjectHandle) -> Result<Key> {
        let wanted = [
            AttributeType::Label,
            AttributeType::Id,
            AttributeType::Encrypt,
            AttributeType::Decrypt,
            AttributeType::Wrap,
            AttributeType::Unwrap,
            AttributeType::Sign,
            AttributeType::Extractable,
            AttributeType::Sensitive,
            AttributeType::ValueLen,
        ];
        let attributes = session
            .get_attributes(handle, &wanted)
            .map_err(|e| errors::error(FIND_KEY, &e))?;
        let mut key = Key {
            handle,
            label: String::new(),
            id: Vec::new(),
            encrypts: false,
            wraps: false,
            signs: false,
            extractable: false,
            sensitive: true,
            length: 0,
        };
        let (mut encrypt, mut decrypt, mut wrap, mut unwrap) = (false, false, false, false);
        for attribute in attributes {
            match attribute {
                Attribute::Label(label) => key.label = String::from_utf8_lossy(&label).into_owned(),
                Attribute::Id(id) => key.id = id,
                Attribute::Encrypt(on) => encrypt = on,
                Attribute::Decrypt(on) => decrypt = on,
                Attribute::Wrap(on) => wrap = on,
                Attribute::Unwrap(on) => unwrap = on,
                Attribute::Sign(on) => key.signs = on,
                Attribute::Extractable(on) => key.extractable = on,
                Attribute::Sensitive(on) => key.sensitive = on,
                Attribute::ValueLen(length) => key.length = *length,
                _ => {}
            }
        }
        (key.encrypts, key.wraps) = (encrypt && decrypt, wrap && unwrap);
        Ok(key)
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let mut usage = Vec::new();
        for (on, word) in [
            (self.encrypts, "encrypts"),
            (self.wraps, "wraps"),
            (self.signs, "signs"),
            (self.extractable, "EXTRACTABLE"),
            (!self.sensitive, "NOT SENSITIVE"),
        ] {
            if on {
                usage.push(word);
            }
        }
        let bits = match self.length {
            0 => String::new(),
            bytes => format!(", {} bits", bytes * 8),
        };
        format!(
            "'{}' with id {}{bits} ({})",
            printable(&self.label),
            if self.id.is_empty() {
                "-".into()
            } else {
                hex(&self.id)
            },
            usage.join(", ")
        )
    }
}

/// All secret keys of a type on the token.
pub(super) fn keys(session: &Session, of: KeyType) -> Result<Vec<Key>> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(of),
        Attribute::Token(true),
    ];
    session
        .find_objects(&template)
        .map_err(|e| errors::error(FIND_KEY, &e))?
        .into_iter()
        .map(|handle| Key::read(session, handle))
        .collect()
}

/// What fits the configuration, of this class and type.
fn find(
    session: &Session,
    choice: &KeyChoice,
    class: ObjectClass,
    of: KeyType,
) -> Result<Vec<ObjectHandle>> {
    let mut template = vec![
        Attribute::Class(class),
        Attribute::KeyType(of),
        Attribute::Token(true),
    ];
    template.extend(
        choice
            .label
            .clone()
            .map(|l| Attribute::Label(l.into_bytes())),
    );
    template.extend(choice.id.clone().map(Attribute::Id));
    session
        .find_objects(&template)
        .map_err(|e| errors::error(FIND_KEY, &e))
}

/// The one AES key of the configuration; `None`: there is none.
pub(super) fn find_key(session: &Session, choice: &KeyChoice) -> Result<Option<Key>> {
    let found = find(session, choice, ObjectClass::SECRET_KEY, KeyType::AES)?;
    match found[..] {
        [] => Ok(None),
        [handle] => Key::read(session, handle).map(Some),
        _ => Err(Error::new(
            Kind::Config,
            FIND_KEY,
            format!("there are {} AES keys that fit {choice}", found.len()),
        )
        .hint("Name the key by key_id; keyring-ward hsm list shows the ids.")),
    }
}

/// The one AES key of the configuration.
///
/// # Errors
/// NotFound, with the keys that there are.
pub(super) fn require_key(session: &Session, choice: &KeyChoice, token: &str) -> Result<Key> {
    if let Some(key) = find_key(session, choice)? {
        return Ok(key);
    }
    let there = keys(session, KeyType::AES)?;
    let lines: Vec<String> = there.iter().take(SHOWN).map(Key::line).collect();
    let list = match lines.is_empty() {
        true => "no AES key at all".to_string(),
        false => lines.join("; "),
    };
    Err(Error::new(
        Kind::NotFound,
        FIND_KEY,
        format!("there is no AES {choice} on the token '{token}'; it has {list}"),
    )
    .hint(
        "Correct key_label or key_id, or make the key with keyring-ward init. Nothing was changed.",
    )
    .withdrawn())
}

/// The one RSA key of the configuration, of this class.
pub(super) fn find_rsa(
    session: &Session,
    choice: &KeyChoice,
    class: ObjectClass,
    token: &str,
) -> Result<Key> {
    let found = find(session, choice, class, KeyType::RSA)?;
    match found[..] {
        [handle] => Key::read(session, handle),
        _ => Err(missing(found.is_empty(), Error::new(
            if found.is_empty() { Kind::NotFound } else { Kind::Config },
            FIND_KEY,
            format!("the token '{token}' has {} RSA keys ({class}) that fit {choice}, not one", found.len()),
        )
        .hint("A key pair has one private and one public key of the same label and id; keyring-ward init makes it."))),
    }
}

/// The KEK is not on a token that was found and logged in to: it was destroyed, or the token made anew.
fn missing(is_so: bool, error: Error) -> Error {
    match is_so {
        true => error.withdrawn(),
        false => error,
    }
}

/// A secret key with this label, of any type that HMAC takes.
pub(super) fn find_mac_key(session: &Session, label: &str) -> Result<Option<ObjectHandle>> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&template)
        .map_err(|e| errors::error(FIND_KEY, &e))?;
    match found[..] {
        [] => Ok(None),
        [handle] => Ok(Some(handle)),
        _ => Err(Error::new(
            Kind::Config,
            FIND_KEY,
            format!(
                "there are {} keys with the label '{}'",
                found.len(),
                printable(label)
            ),
        )
        .hint("Remove or rename all but one.")),
    }
}

/// The AES and HMAC mechanisms of the token that matter here, for messages.
pub(super) fn mechanism_names(module: &Pkcs11, slot: Slot) -> Result<Vec<String>> {
    let list = module
        .get_mechanism_list(slot)
        .map_err(|e| errors::error("list the token's mechanisms", &e))?;
    let mut names: Vec<String> = list
        .iter()
        .map(MechanismType::to_string)
        .filter(|n| n.starts_with("CKM_AES") || n.contains("HMAC") || n.contains("OAEP"))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}
