//! Asking what is not on this machine (an HSM, a KMS) so that nothing of it stays behind.
//!
//! Usually that is a call. Where this thread has taken on an account while the process is root, it is a child: a
//! module may leave threads or hang, a name lookup may not end, and no thread may be there when the server
//! changes its user (docs/adr/0010). Owns the bytes in which an answer comes back. Providers know nothing of it.

use super::Unwrapped;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::format::stanza::{Holder, Share, Stanza};
use crate::os::child::{self, Question};
use crate::os::identity;
use crate::os::wire::{Reader, Wire, Writer};
use crate::secret::SecretPool;

/// The longest answer of a KEK in bytes.
pub(crate) const MOST: usize = 1 << 20;
/// The longest answer of a store that keeps all keys there.
pub(crate) const MOST_OF_A_STORE: usize = 256 << 20;

/// Asks `whom` by `work`. The second part of the answer is whatever comes beside it.
///
/// # Errors
/// Those of `work`. Where it is a child: Timeout, Io.
pub(crate) fn ask<T: Wire>(
    whom: &str,
    deadline: Deadline,
    most: usize,
    pool: &SecretPool,
    work: impl FnOnce() -> (Result<T>, Vec<String>),
) -> (Result<T>, Vec<String>) {
    if !identity::acting() {
        return work();
    }
    let question = Question {
        op: "ask what is not on this machine",
        whom,
        deadline,
        most,
        account: None,
        pool,
    };
    match child::ask(&question, work) {
        Ok(answer) => answer,
        Err(e) => (Err(e), Vec::new()),
    }
}

impl Wire for Share {
    fn put(&self, out: &mut Writer) {
        out.bytes(&self.split);
        for number in [self.threshold, self.shares, self.number] {
            out.u8(number);
        }
    }

    fn take(from: &mut Reader<'_>) -> Option<Share> {
        Some(Share {
            split: from.bytes()?.try_into().ok()?,
            threshold: from.u8()?,
            shares: from.u8()?,
            number: from.u8()?,
        })
    }
}

impl Wire for Holder {
    fn put(&self, out: &mut Writer) {
        self.kek.put(out);
        self.share.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Option<Holder> {
        Some(Holder {
            kek: Wire::take(from)?,
            share: Wire::take(from)?,
        })
    }
}

impl Wire for Stanza {
    fn put(&self, out: &mut Writer) {
        for text in [&self.provider, &self.mechanism, &self.key_ref] {
            text.put(out);
        }
        self.holder.put(out);
        for bytes in [&self.params[..], &self.commitment, &self.blob] {
            out.bytes(bytes);
        }
    }

    fn take(from: &mut Reader<'_>) -> Option<Stanza> {
        Some(Stanza {
            provider: Wire::take(from)?,
            mechanism: Wire::take(from)?,
            key_ref: Wire::take(from)?,
            holder: Wire::take(from)?,
            params: from.bytes()?.to_vec(),
            commitment: from.bytes()?.try_into().ok()?,
            blob: from.bytes()?.to_vec(),
        })
    }
}

impl Wire for Unwrapped {
    fn put(&self, out: &mut Writer) {
        match self {
            Unwrapped::NotMine => out.u8(0),
            Unwrapped::WrongKey => out.u8(1),
            Unwrapped::Opened(part) => {
                out.u8(2);
                part.put(out);
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Option<Unwrapped> {
        match from.u8()? {
            0 => Some(Unwrapped::NotMine),
            1 => Some(Unwrapped::WrongKey),
            2 => Wire::take(from).map(Unwrapped::Opened),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};
    use crate::kek::pkcs11::objects::Object;
    use std::time::Duration;

    fn back<T: Wire>(value: &T) -> T {
        let pool = SecretPool::new();
        let mut writer = Writer::new();
        value.put(&mut writer);
        let bytes = writer.into_bytes();
        // No beginning of it is a value, and none panics.
        for end in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..end], &pool);
            assert!(T::take(&mut reader).is_none(), "{end} of {}", bytes.len());
        }
        let mut reader = Reader::new(&bytes, &pool);
        let value = T::take(&mut reader).unwrap();
        assert!(reader.is_at_end());
        value
    }

    #[test]
    fn every_answer_comes_back_whole() {
        let stanza = Stanza {
            provider: "pkcs11".into(),
            mechanism: "aes-gcm".into(),
            key_ref: "é".into(),
            holder: Some(Holder {
                kek: "bao".into(),
                share: Some(Share {
                    split: [6; 16],
                    threshold: 2,
                    shares: 3,
                    number: 1,
                }),
            }),
            params: vec![4; 300],
            commitment: [5; 32],
            blob: vec![],
        };
        assert_eq!(back(&stanza), stanza);
        let pool = SecretPool::new();
        let opened = Unwrapped::Opened(pool.copy(&[7; 32]).unwrap());
        assert!(matches!(back(&opened), Unwrapped::Opened(part) if *part == [7; 32]));
        assert!(matches!(back(&Unwrapped::NotMine), Unwrapped::NotMine));
        assert!(matches!(back(&Unwrapped::WrongKey), Unwrapped::WrongKey));
        let objects = vec![Object {
            label: "head".into(),
            value: vec![1, 2, 3],
        }];
        let objects = back(&objects);
        assert_eq!(
            (objects[0].label.as_str(), &objects[0].value[..]),
            ("head", &[1, 2, 3][..])
        );
        let whole: (Result<bool>, Vec<String>) = back(&(Ok(true), vec!["a".into(), "b".into()]));
        assert!(whole.0.unwrap() && whole.1 == ["a", "b"]);
        back(&());
    }

    #[test]
    fn errors_come_back_with_kind_hint_and_source() {
        let errors = [
            Error::new(Kind::WrongKek, "open it", "it does not fit").hint("Look."),
            Error::io("read it", "'/x'", std::io::Error::from_raw_os_error(13)),
            Error::io("read it", "'/x'", std::io::Error::other("it is a folder")),
            Error::new(Kind::NotFound, "find it", "").expected(),
        ];
        for error in errors {
            let (kind, text, expected) = (error.kind(), error.to_string(), error.is_expected());
            let again = back::<Result<()>>(&Err(error)).unwrap_err();
            assert_eq!(
                (again.kind(), again.to_string(), again.is_expected()),
                (kind, text, expected)
            );
        }
    }

    #[test]
    fn a_thread_that_acts_for_an_account_asks_in_a_child() {
        if !identity::is_root() {
            println!("not root: nothing has to be asked in a child");
            return;
        }
        let pool = SecretPool::new();
        let deadline = || Deadline::after(Duration::from_secs(20));
        let ask_pid = || {
            ask("it", deadline(), MOST, &pool, || {
                (Ok(std::process::id()), vec!["said".to_string()])
            })
        };
        let own = std::process::id();
        assert_eq!(ask_pid().0.unwrap(), own);
        let account = identity::Account::unnamed(12345, 12345);
        let (pid, said) = identity::run_as(&account, || Ok(ask_pid())).unwrap();
        assert_ne!(pid.unwrap(), own);
        assert_eq!(said, ["said"]);
        let secret = identity::run_as(&account, || {
            let work = || (pool.copy(&[9; 32]).map(Unwrapped::Opened), Vec::new());
            ask("it", deadline(), MOST, &pool, work).0
        });
        assert!(matches!(secret.unwrap(), Unwrapped::Opened(part) if *part == [9; 32]));
    }
}
