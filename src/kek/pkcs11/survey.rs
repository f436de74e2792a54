//! What the tool does with a token outside of a keyring: looking around, making a KEK, and running the
//! whole contract with throw-away objects, so that a buyer of any HSM can see if it works.
//!
//! It must never touch an object that it did not make in the same call.

use super::mechanism::{Wrapper, ability, mac_label};
use super::module::Initialized;
use super::token::{self, LoggedIn};
use super::{KeyChoice, Mechanism, Pkcs11Config};
use super::{Pkcs11Kek, errors, process, with_login};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::kek::{Budget, Kek, Unwrapped};
use crate::secret::{SecretPool, fill_random};
use cryptoki::mechanism::{Mechanism as CkMechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use std::path::{Path, PathBuf};

/// A slot with a token, for people.
#[derive(Debug)]
pub struct SlotLine {
    /// The slot's number.
    pub slot: u64,
    /// The token's label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Manufacturer and model.
    pub made_by: String,
    /// What is special about it, e.g. a locked PIN.
    pub state: Vec<&'static str>,
    /// Which of our mechanisms it has, strongest first.
    pub mechanisms: Vec<&'static str>,
}

/// Everything that a module shows without a login.
#[derive(Debug)]
pub struct ModuleReport {
    /// The library's own description and version.
    pub library: String,
    /// The tokens.
    pub slots: Vec<SlotLine>,
    /// Slots that are odd, in words.
    pub odd: Vec<String>,
}

/// Looks around in a module, without a login.
///
/// # Errors
/// What is wrong with the module.
pub fn look(module: &Path, args: Option<String>, deadline: Deadline) -> Result<ModuleReport> {
    let path: PathBuf = module.to_path_buf();
    process::bounded("look at the module", module, deadline, move || {
        let module = Initialized::new(&path, args.as_deref())?;
        let context = &module.context;
        let library = context.get_library_info().map_or_else(
            |e| format!("(no description: {e})"),
            |i| {
                format!(
                    "{} by {}, version {}, PKCS#11 {}",
                    token::printable(i.library_description()),
                    token::printable(i.manufacturer_id()),
                    i.library_version(),
                    i.cryptoki_version()
                )
            },
        );
        let tokens = token::tokens(context)?;
        let mut slots = Vec::new();
        for (slot, info) in &tokens.ready {
            let list = context.get_mechanism_list(*slot).unwrap_or_default();
            let has = |m| list.contains(&m);
            let mechanisms = Mechanism::ALL.into_iter().filter(|m| match m {
                Mechanism::AesGcm => has(MechanismType::AES_GCM),
                Mechanism::AesKeyWrapPad => has(MechanismType::AES_KEY_WRAP_PAD),
                Mechanism::AesKeyWrap => has(MechanismType::AES_KEY_WRAP),
                Mechanism::AesCbcHmac => {
                    has(MechanismType::AES_CBC) && has(MechanismType::SHA256_HMAC)
                }
                Mechanism::RsaOaep => has(MechanismType::RSA_PKCS_OAEP),
            });
            let mut state = Vec::new();
            for (on, word) in [
                (info.user_pin_locked(), "user PIN locked"),
                (info.user_pin_final_try(), "one PIN try left"),
                (info.user_pin_count_low(), "PIN tries used up in part"),
                (!info.user_pin_initialized(), "no user PIN"),
                (info.write_protected(), "write-protected"),
                (!info.login_required(), "no login required"),
            ] {
                if on {
                    state.push(word);
                }
            }
            slots.push(SlotLine {
                slot: slot.id(),
                label: token::printable(info.label()),
                serial: token::printable(info.serial_number()),
                made_by: format!(
                    "{} {}",
                    token::printable(info.manufacturer_id()),
                    token::printable(info.model())
                ),
                state,
                mechanisms: mechanisms.map(Mechanism::name).collect(),
            });
        }
        Ok(ModuleReport {
            library,
            slots,
            odd: tokens.odd,
        })
    })
}

/// The AES keys on the configured token, one line each.
///
/// # Errors
/// What is wrong with module, token or PIN.
pub fn keys(config: &Pkcs11Config, deadline: Deadline) -> Result<Vec<String>> {
    with_login(config, false, deadline, |login, _, _| {
        let keys = token::keys(&login.session, KeyType::AES)?;
        Ok(keys.iter().map(token::Key::line).collect())
    })
}

/// A key that was made.
pub struct NewKey {
    /// Its description.
    pub line: String,
    /// Its CKA_ID.
    pub id: Vec<u8>,
}

/// Makes the configured KEK where it is missing: AES-256, on the token, sensitive, not extractable, with
/// only the usages that the mechanism needs. `None`: it was there already.
///
/// # Errors
/// Config: the configuration names the key by id only. What is wrong with module, token or PIN.
pub fn make_key(config: &Pkcs11Config, deadline: Deadline) -> Result<Option<NewKey>> {
    with_login(config, true, deadline, |login, config, _| {
        let rsa = config.mechanism == Some(Mechanism::RsaOaep);
        let name = login.token_name();
        let find_rsa =
            || token::find_rsa(&login.session, &config.key, ObjectClass::PRIVATE_KEY, &name);
        let there = match rsa {
            true => match find_rsa() {
                Ok(_) => true,
                Err(e) if e.kind() == Kind::NotFound => false,
                Err(e) => return Err(e),
            },
            false => token::find_key(&login.session, &config.key)?.is_some(),
        };
        if there {
            return Ok(None);
        }
        let Some(label) = &config.key.label else {
            return Err(Error::new(
                Kind::Config,
                "make the KEK on the token",
                "only key_id is given",
            )
            .hint("A key that is made needs a label: set key_label as well."));
        };
        if rsa {
            let id = create_pair(login, config, label)?;
            let line = find_rsa()?.line();
            return Ok(Some(NewKey { line, id }));
        }
        let id = create(login, config, label)?;
        let key = token::require_key(&login.session, &config.key, &login.token_name())?;
        Ok(Some(NewKey {
            line: key.line(),
            id,
        }))
    })
}

/// Removes a key that [`make_key`] has just made, and nothing else of that name.
///
/// # Errors
/// What is wrong with module, token or PIN.
pub fn remove_key(config: &Pkcs11Config, id: &[u8], deadline: Deadline) -> Result<()> {
    let id = id.to_vec();
    with_login(config, true, deadline, move |login, config, _| {
        let label = config.key.label.clone().unwrap_or_default();
        for label in [mac_label(&label), label] {
            destroy(
                login,
                &[
                    Attribute::Label(label.into_bytes()),
                    Attribute::Id(id.clone()),
                ],
            )?;
        }
        Ok(())
    })
}

fn destroy(login: &LoggedIn, template: &[Attribute]) -> Result<()> {
    let failed = |e| errors::error("remove a key that was made", &e);
    for object in login.session.find_objects(template).map_err(failed)? {
        login.session.destroy_object(object).map_err(failed)?;
    }
    Ok(())
}

/// What a new KEK has to be good for on this token.
fn wanted(login: &LoggedIn, config: &Pkcs11Config) -> Result<(Mechanism, bool)> {
    for mechanism in Mechanism::ALL {
        if config.mechanism.is_some_and(|m| m != mechanism) || mechanism == Mechanism::RsaOaep {
            continue;
        }
        let Some(info) = ability(login, mechanism)? else {
            continue;
        };
        let key_wrap = matches!(mechanism, Mechanism::AesKeyWrapPad | Mechanism::AesKeyWrap);
        if key_wrap && info.wrap() && info.unwrap() {
            return Ok((mechanism, true));
        }
        if info.encrypt() && info.decrypt() {
            return Ok((mechanism, false));
        }
    }
    Err(Error::new(
        Kind::Config,
        "make the KEK on the token",
        format!(
            "the token can't wrap a DEK{}; it has {}",
            config
                .mechanism
                .map_or(String::new(), |m| format!(" by {}", m.name())),
            token::mechanism_names(&login.module.context, login.slot)?.join(", ")
        ),
    )
    .hint("Leave pkcs11_mechanism out, or use a token with AES-GCM or AES key wrap."))
}

fn create(login: &LoggedIn, config: &Pkcs11Config, label: &str) -> Result<Vec<u8>> {
    const OP: &str = "make the KEK on the token";
    let (mechanism, wraps) = wanted(login, config)?;
    let mut random = [0; 8];
    fill_random(&mut random)?;
    let id = config.key.id.clone().unwrap_or_else(|| random.to_vec());
    let secret = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
    ];
    let mut template = secret.to_vec();
    template.extend([
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(32.into()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.clone()),
        Attribute::Encrypt(!wraps),
        Attribute::Decrypt(!wraps),
        Attribute::Wrap(wraps),
        Attribute::Unwrap(wraps),
        Attribute::Sign(false),
        Attribute::Verify(false),
    ]);
    let failed = |e| errors::error(OP, &e);
    let mut mac = None;
    if mechanism == Mechanism::AesCbcHmac {
        // First the second key: a KEK without it would be taken for a whole one.
        let mut template = secret.to_vec();
        template.extend([
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::ValueLen(32.into()),
            Attribute::Label(mac_label(label).into_bytes()),
            Attribute::Id(id.clone()),
            Attribute::Sign(true),
            Attribute::Verify(true),
        ]);
        let made = login
            .session
            .generate_key(&CkMechanism::GenericSecretKeyGen, &template)
            .map_err(failed)?;
        mac = Some(made);
    }
    let made = login
        .session
        .generate_key(&CkMechanism::AesKeyGen, &template);
    if let (Err(_), Some(mac)) = (&made, mac) {
        // With it the next attempt would make a second one of the same label.
        let _ = login.session.destroy_object(mac);
    }
    made.map_err(failed)?;
    Ok(id)
}

/// RSA-3072 (NIST SP 800-57: as strong as the 128 bits that OAEP gives here).
fn create_pair(login: &LoggedIn, config: &Pkcs11Config, label: &str) -> Result<Vec<u8>> {
    let mut random = [0; 8];
    fill_random(&mut random)?;
    let id = config.key.id.clone().unwrap_or_else(|| random.to_vec());
    let both = [
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Id(id.clone()),
    ];
    let mut public = both.to_vec();
    public.extend([
        Attribute::ModulusBits(3072.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
        Attribute::Encrypt(true),
        Attribute::Verify(false),
    ]);
    let mut private = both.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Decrypt(true),
        Attribute::Sign(false),
    ]);
    login
        .session
        .generate_key_pair(&CkMechanism::RsaPkcsKeyPairGen, &public, &private)
        .map_err(|e| errors::error("make the KEK on the token", &e))?;
    Ok(id)
}

/// One step of the contract: what, and whether it held; the reason where not.
#[derive(Debug)]
pub struct Step {
    /// What was tried.
    pub what: String,
    /// `Ok(detail)`, or why it failed. A mechanism that the token lacks is neither.
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Debug)]
pub enum Outcome {
    /// As it must be.
    Passed,
    /// The token lacks what the step needs, in words.
    Lacking(String),
    /// Not as it must be.
    Failed(String),
}

/// Runs the contract of a KEK over the token, with keys of its own that are removed again: for each
/// mechanism make a key, wrap, unwrap, refuse every altered field, another file and another key.
///
/// # Errors
/// What is wrong with module, token or PIN before anything was made.
pub fn test(config: &Pkcs11Config, deadline: Deadline) -> Result<Vec<Step>> {
    let mut random = [0; 6];
    fill_random(&mut random)?;
    let tag = crate::text::hex(&random);
    with_login(config, false, deadline, |_, _, _| Ok(()))?;
    let mut steps = vec![Step {
        what: "module, token, login".into(),
        outcome: Outcome::Passed,
    }];
    for mechanism in Mechanism::ALL {
        let mut throw_away = config.clone();
        throw_away.mechanism = Some(mechanism);
        throw_away.key = KeyChoice {
            label: Some(format!("kw-test-{tag}-{}", mechanism.name())),
            id: None,
        };
        let mut other = throw_away.clone();
        other.key.label = other.key.label.map(|l| format!("{l}-other"));
        let what = format!("{}: make a key", mechanism.name());
        match make_key(&throw_away, deadline).and_then(|_| make_key(&other, deadline)) {
            Ok(_) => {
                steps.push(Step {
                    what,
                    outcome: Outcome::Passed,
                });
                contract(&throw_away, &other, deadline, &mut steps);
            }
            Err(e) if e.kind() == Kind::Config => steps.push(Step {
                what,
                outcome: Outcome::Lacking(e.to_string()),
            }),
            Err(e) => steps.push(Step {
                what,
                outcome: Outcome::Failed(e.to_string()),
            }),
        }
        let removed = [&throw_away, &other]
            .into_iter()
            .try_for_each(|c| remove(c, deadline));
        if let Err(e) = removed {
            steps.push(Step {
                what: format!("{}: remove what was made", mechanism.name()),
                outcome: Outcome::Failed(e.to_string()),
            });
        }
    }
    Ok(steps)
}

/// Removes the throw-away keys of [`test`].
fn remove(config: &Pkcs11Config, deadline: Deadline) -> Result<()> {
    with_login(config, true, deadline, |login, config, _| {
        let label = config.key.label.clone().unwrap_or_default();
        for label in [mac_label(&label), label] {
            destroy(login, &[Attribute::Label(label.into_bytes())])?;
        }
        Ok(())
    })
}

fn contract(
    config: &Pkcs11Config,
    other: &Pkcs11Config,
    deadline: Deadline,
    steps: &mut Vec<Step>,
) {
    const FILE: [u8; 16] = [7; 16];
    const DEK: [u8; 32] = [9; 32];
    let name = config.mechanism.map_or("", Mechanism::name);
    let pool = SecretPool::new();
    let kek = Pkcs11Kek::new(config.clone());
    // A token may have the mechanism and still not allow what it takes.
    let lacking = |what: &str, e: &Error| Step {
        what: format!("{name}: {what}"),
        outcome: Outcome::Lacking(e.to_string()),
    };
    let probe = kek
        .wrap(&pool, &FILE, &Part::whole(&DEK), deadline)
        .and_then(|s| kek.unwrap(&pool, &FILE, &s, &mut Budget::new(deadline)));
    if let Err(e) = &probe
        && e.kind() == Kind::Config
    {
        return steps.push(lacking("wrap and unwrap", e));
    }
    let mut step = |what: &str, result: std::result::Result<(), String>| {
        steps.push(Step {
            what: format!("{name}: {what}"),
            outcome: result.map_or_else(Outcome::Failed, |()| Outcome::Passed),
        });
    };
    let stanza = match kek.wrap(&pool, &FILE, &Part::whole(&DEK), deadline) {
        Ok(stanza) => stanza,
        Err(e) => return step("wrap", Err(e.to_string())),
    };
    let open = |kek: &Pkcs11Kek, file: &[u8; 16], stanza: &Stanza| match kek.unwrap(
        &pool,
        file,
        stanza,
        &mut Budget::new(deadline),
    ) {
        Ok(Unwrapped::Opened(dek)) if dek[..] == DEK => Ok(true),
        Ok(Unwrapped::Opened(_)) => Err("it unwraps to something else".to_string()),
        Ok(Unwrapped::WrongKey | Unwrapped::NotMine) => Ok(false),
        Err(e) => Err(e.to_string()),
    };
    let must = |expected: bool, got: std::result::Result<bool, String>| match got {
        Ok(opened) if opened == expected => Ok(()),
        Ok(true) => Err("it was opened".to_string()),
        Ok(false) => Err("it was refused".to_string()),
        Err(e) => Err(e),
    };
    step("wrap and unwrap", must(true, open(&kek, &FILE, &stanza)));
    step(
        "another file's stanza is refused",
        must(false, open(&kek, &[8; 16], &stanza)),
    );
    type Change = (&'static str, fn(&mut Stanza));
    let changes: [Change; 6] = [
        ("first byte of the blob", |s| s.blob[0] ^= 1),
        ("middle of the blob", |s| {
            let middle = s.blob.len() / 2;
            s.blob[middle] ^= 1;
        }),
        ("last byte of the blob", |s| {
            let last = s.blob.len() - 1;
            s.blob[last] ^= 1;
        }),
        ("length of the blob", |s| s.blob.push(0)),
        ("key reference", |s| s.key_ref.push('x')),
        ("commitment", |s| s.commitment[31] ^= 1),
    ];
    for (what, change) in changes {
        let mut bad = stanza.clone();
        change(&mut bad);
        step(
            &format!("changed {what} is refused"),
            must(false, open(&kek, &FILE, &bad)),
        );
    }
    let other = Pkcs11Kek::new(other.clone());
    step(
        "another key refuses it",
        must(false, open(&other, &FILE, &stanza)),
    );
    let twice = kek.wrap(&pool, &FILE, &Part::whole(&DEK), deadline);
    step(
        "never the same twice",
        match twice {
            Ok(again) if again.blob != stanza.blob => Ok(()),
            Ok(_) => Err("two wraps are alike".into()),
            Err(e) => Err(e.to_string()),
        },
    );
    step(
        "random bytes",
        match kek.random(&pool, 32, deadline) {
            Ok(bytes) if bytes[..] != [0; 32] => Ok(()),
            Ok(_) => Err("the token's generator gives zeroes".into()),
            Err(e) => Err(e.to_string()),
        },
    );
    // What the key is must not invite a warning: made by us, it is neither extractable nor readable.
    step(
        "the key is sensitive and not extractable",
        match kek.take_warnings() {
            w if w.is_empty() => Ok(()),
            w => Err(w.join(" ")),
        },
    );
}

/// What `status` shows: the KEK as the token has it.
///
/// # Errors
/// What is wrong with module, token, PIN or key.
pub fn describe_key(
    config: &Pkcs11Config,
    deadline: Deadline,
) -> Result<Vec<(&'static str, String)>> {
    with_login(config, false, deadline, |login, config, _| {
        let wrapper = Wrapper::choose(login, config, None)?;
        Ok(vec![
            ("Token", login.token_name()),
            ("Key", wrapper.key.line()),
            ("Best_mechanism", wrapper.mechanism.name().into()),
        ])
    })
}
