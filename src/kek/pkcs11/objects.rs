//! Data objects on the token: where the store `token` keeps its sealed records.
//!
//! An object is private (seen after a login only), and found by CKA_APPLICATION, which names the KEK, and
//! CKA_LABEL. It must never touch an object of another application, and never replace or remove one that
//! it was not told to.

use super::Pkcs11Config;
use super::{errors, with_login};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::wire::{Reader, Wire, Writer};
use crate::text::clean;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

const READ: &str = "read the keys on the token";
const WRITE: &str = "write the key to the token";
/// More than this is not an object of ours, in bytes.
const MAX_VALUE: usize = 128 * 1024;
/// More objects than this are not a keyring.
const MAX_OBJECTS: usize = 1_000_000;

/// The objects of one keyring on one token.
pub(crate) struct Objects {
    config: Pkcs11Config,
    application: Vec<u8>,
}

/// One object.
pub(crate) struct Object {
    /// CKA_LABEL
    pub(crate) label: String,
    /// CKA_VALUE; empty where it was never written.
    pub(crate) value: Vec<u8>,
}

impl Objects {
    /// The objects that belong to the configured KEK.
    pub(crate) fn new(config: Pkcs11Config) -> Objects {
        Objects {
            application: format!("keyring-ward/1 {}", config.key).into_bytes(),
            config,
        }
    }

    /// All of them.
    pub(crate) fn read_all(&self, deadline: Deadline) -> Result<Vec<Object>> {
        let application = self.application.clone();
        with_login(&self.config, false, deadline, move |login, _, _| {
            read(&login.session, &template(&application, None))
        })
    }

    /// Those with this label: one, none, or several where something went wrong.
    pub(crate) fn read(&self, label: &str, deadline: Deadline) -> Result<Vec<Object>> {
        let template = template(&self.application, Some(label));
        with_login(&self.config, false, deadline, move |login, _, _| {
            read(&login.session, &template)
        })
    }

    /// Writes an object that does not exist. The same value under the same label is success: an attempt before may
    /// have done it without being able to say so. An empty object, which a token broke off, is no object here; it is
    /// left as it is: what is only shown as empty must not be destroyed.
    ///
    /// # Errors
    /// AlreadyExists: there is another value under this label.
    pub(crate) fn create(&self, label: &str, value: Vec<u8>, deadline: Deadline) -> Result<()> {
        let mut template = template(&self.application, Some(label));
        let shown = label.to_string();
        with_login(&self.config, true, deadline, move |login, _, _| {
            let mut there = read(&login.session, &template)?;
            if there.iter().any(|o| o.value == value) {
                return Ok(());
            }
            there.retain(|o| !o.value.is_empty());
            if !there.is_empty() {
                return Err(Error::new(
                    Kind::AlreadyExists,
                    WRITE,
                    format!("the token holds an object '{shown}' that this server does not know"),
                )
                .hint(
                    "Reload the keyring (docs/reference/tool.md) to read it. Two servers must not share a KEK with \
                     storage token.",
                ));
            }
            template.push(Attribute::Private(true));
            template.push(Attribute::Value(value));
            login
                .session
                .create_object(&template)
                .map_err(|e| errors::error(WRITE, &e))?;
            Ok(())
        })
    }

    /// Writes an object in the place of those with its label, which go afterwards: the newest counts, so a token that breaks
    /// off in between has lost nothing. Gives the bytes of those that went.
    ///
    /// # Errors
    /// As [`Objects::create`].
    pub(crate) fn replace(&self, label: &str, value: Vec<u8>, deadline: Deadline) -> Result<u32> {
        let mut whole = template(&self.application, Some(label));
        with_login(&self.config, true, deadline, move |login, _, _| {
            let failed = |e| errors::error(WRITE, &e);
            let old = login.session.find_objects(&whole).map_err(failed)?;
            let there = read(&login.session, &whole)?;
            let mut replaced = 0;
            for object in there.iter().filter(|o| o.value != value) {
                replaced += object.value.len() as u32;
            }
            if there.iter().any(|o| o.value == value) {
                // An attempt before has made it, and may not have come to the end: which of the handles is its one, the
                // next change finds out.
                return Ok(replaced);
            }
            whole.push(Attribute::Private(true));
            whole.push(Attribute::Value(value));
            login.session.create_object(&whole).map_err(failed)?;
            for object in old {
                login.session.destroy_object(object).map_err(failed)?;
            }
            Ok(replaced)
        })
    }

    /// Removes the objects with this label. `false`: there was none.
    pub(crate) fn remove(&self, label: &str, deadline: Deadline) -> Result<bool> {
        let template = template(&self.application, Some(label));
        with_login(&self.config, true, deadline, move |login, _, _| {
            let failed = |e| errors::error("remove the key from the token", &e);
            let found = login.session.find_objects(&template).map_err(failed)?;
            for object in &found {
                login.session.destroy_object(*object).map_err(failed)?;
            }
            Ok(!found.is_empty())
        })
    }

    /// Where the objects are, for people.
    pub(crate) fn place(&self) -> String {
        self.config.token.to_string()
    }
}

fn template(application: &[u8], label: Option<&str>) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Application(application.to_vec()),
    ];
    template.extend(label.map(|l| Attribute::Label(l.as_bytes().to_vec())));
    template
}

fn read(session: &Session, template: &[Attribute]) -> Result<Vec<Object>> {
    let failed = |e| errors::error(READ, &e);
    let found = session.find_objects(template).map_err(failed)?;
    if found.len() > MAX_OBJECTS {
        return Err(Error::new(
            Kind::Tampered,
            READ,
            format!("the token has {} objects of this keyring", found.len()),
        ));
    }
    found.into_iter().map(|o| read_one(session, o)).collect()
}

fn read_one(session: &Session, handle: ObjectHandle) -> Result<Object> {
    let attributes = session
        .get_attributes(handle, &[AttributeType::Label, AttributeType::Value])
        .map_err(|e| errors::error(READ, &e))?;
    let (mut label, mut value) = (String::new(), None);
    for attribute in attributes {
        match attribute {
            Attribute::Label(l) => label = String::from_utf8_lossy(&l).into_owned(),
            Attribute::Value(v) if v.len() <= MAX_VALUE => value = Some(v),
            Attribute::Value(v) => {
                return Err(Error::new(
                    Kind::Tampered,
                    READ,
                    format!("an object has {} bytes", v.len()),
                ));
            }
            _ => {}
        }
    }
    // What the token does not show is not what is empty: a key must not be taken for one that never was.
    let Some(value) = value else {
        return Err(Error::new(
            Kind::Tampered,
            READ,
            format!(
                "the token does not show the value of the object '{}'",
                clean(&label)
            ),
        )
        .hint("Look at the object with the vendor's tools. Nothing was changed."));
    };
    Ok(Object { label, value })
}

impl Wire for Object {
    fn put(&self, out: &mut Writer) {
        self.label.put(out);
        out.bytes(&self.value);
    }

    fn take(from: &mut Reader<'_>) -> Option<Object> {
        Some(Object {
            label: Wire::take(from)?,
            value: from.bytes()?.to_vec(),
        })
    }
}
