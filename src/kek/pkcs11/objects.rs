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
                return Err(unknown(&shown));
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

    /// Writes an object in the place of older ones with its label, which go afterwards: the newest counts, so a token that breaks
    /// off in between has lost nothing. Once the new one is there it is done: an old one that can't be destroyed now goes with the
    /// next change. `age` tells of two values which is older. An empty object is left as it is, as in [`Objects::create`].
    ///
    /// # Errors
    /// AlreadyExists: there is a newer one under this label.
    pub(crate) fn replace(
        &self,
        label: &str,
        value: Vec<u8>,
        age: fn(&[u8]) -> u64,
        deadline: Deadline,
    ) -> Result<()> {
        let mut whole = template(&self.application, Some(label));
        let shown = label.to_string();
        with_login(&self.config, true, deadline, move |login, _, _| {
            let session = &login.session;
            let mut old = by_handle(session, &whole)?;
            old.retain(|(_, object)| !object.value.is_empty());
            // An attempt before may have made it without being able to say so.
            let made = old.iter().any(|(_, object)| object.value == value);
            old.retain(|(_, object)| object.value != value);
            if old
                .iter()
                .any(|(_, object)| age(&object.value) >= age(&value))
            {
                return Err(unknown(&shown));
            }
            if !made {
                whole.push(Attribute::Private(true));
                whole.push(Attribute::Value(value));
                session
                    .create_object(&whole)
                    .map_err(|e| errors::error(WRITE, &e))?;
            }
            let destroy = |(handle, _)| session.destroy_object(handle).is_ok();
            let _all_went = old.into_iter().all(destroy);
            Ok(())
        })
    }

    /// Removes the objects with this label, by `age`: an older one that a broken removal leaves would count again. `false`: there
    /// was none.
    pub(crate) fn remove(
        &self,
        label: &str,
        age: fn(&[u8]) -> u64,
        deadline: Deadline,
    ) -> Result<bool> {
        let template = template(&self.application, Some(label));
        with_login(&self.config, true, deadline, move |login, _, _| {
            let failed = |e| errors::error("remove the key from the token", &e);
            let mut found = by_handle(&login.session, &template)?;
            found.sort_by_key(|(_, object)| age(&object.value));
            for (handle, _) in &found {
                login.session.destroy_object(*handle).map_err(failed)?;
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

fn unknown(label: &str) -> Error {
    Error::new(
        Kind::AlreadyExists,
        WRITE,
        format!("the token holds an object '{label}' that this server does not know"),
    )
    .hint("Reload the keyring (docs/reference/tool.md) to read it. Two servers must not share a KEK with storage token.")
}

fn read(session: &Session, template: &[Attribute]) -> Result<Vec<Object>> {
    let all = by_handle(session, template)?;
    Ok(all.into_iter().map(|(_, object)| object).collect())
}

fn by_handle(session: &Session, template: &[Attribute]) -> Result<Vec<(ObjectHandle, Object)>> {
    let failed = |e| errors::error(READ, &e);
    let found = session.find_objects(template).map_err(failed)?;
    if found.len() > MAX_OBJECTS {
        return Err(Error::new(
            Kind::Tampered,
            READ,
            format!("the token has {} objects of this keyring", found.len()),
        ));
    }
    let one = |handle| Ok((handle, read_one(session, handle)?));
    found.into_iter().map(one).collect()
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
