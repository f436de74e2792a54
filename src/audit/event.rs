//! What can be told: the names of events and of what came of them.
//!
//! Owns the numbers by which records and the ring keep them, and the words of the log. Neither may ever get another meaning.

/// Numbers and words of one kind of thing.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $number:literal, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$one])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Its number.
            pub fn number(self) -> u8 {
                match self { $($name::$variant => $number,)* }
            }

            /// By its number.
            pub fn of_number(number: u8) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }

            /// Its word in the log.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// By its word.
            pub fn of_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What happened.
    Event {
        /// A key was added: generated, stored, imported, a version of a logical key.
        KeyAdded = 1, "key_added";
        /// A key was removed for good.
        KeyRemoved = 2, "key_removed";
        /// A key was removed, and is kept as a retired one.
        KeyRetired = 3, "key_retired";
        /// A retired key was ended.
        KeyPurged = 4, "key_purged";
        /// What is known of a key beside its material was changed: state, plans, description.
        KeyChanged = 5, "key_changed";
        /// A document of Keyring Ward's own was written.
        DocumentWritten = 6, "document_written";
        /// A document of Keyring Ward's own was removed.
        DocumentRemoved = 7, "document_removed";
        /// The keyring was written anew: compacted, resealed, brought under other KEKs.
        KeyringRewritten = 8, "keyring_rewritten";
        /// A key was read.
        KeyRead = 20, "key_read";
        /// A key was used by one of our functions, which gives no key away.
        KeyUsed = 21, "key_used";
        /// A call was refused.
        Denied = 30, "denied";
        /// So many more calls were refused to one caller within a minute.
        DeniedMore = 31, "denied_more";
        /// A function or command of administration was called.
        Administered = 40, "administered";
        /// The keyring was loaded, or could not be.
        Loaded = 41, "loaded";
        /// The KEKs were asked.
        KekAsked = 42, "kek_asked";
        /// A keyring was taken out of service (lease).
        Revoked = 43, "revoked";
        /// A file of the log begins.
        Begin = 60, "begin";
        /// The log is written from here on.
        Started = 61, "started";
        /// The log ends in an orderly way.
        Stopped = 62, "stopped";
        /// Nobody knows what happened meanwhile but for changes, which are told anew.
        Gap = 63, "gap";
        /// So many events found no room.
        Dropped = 64, "dropped";
        /// The file that ends here goes on in another one.
        Rotated = 65, "rotated";
        /// What was there did not fit what the keyring knows of it.
        Restarted = 66, "chain_restarted";
        /// Everything up to here is signed.
        Checkpoint = 67, "checkpoint";
    }
}

words! {
    /// What came of it.
    Outcome {
        /// It was done.
        Done = 1, "ok";
        /// It was refused.
        Denied = 2, "denied";
        /// It went wrong.
        Failed = 3, "failed";
        /// There is no such key.
        Absent = 4, "absent";
    }
}

impl Event {
    /// A record of the journal stands behind it.
    pub fn is_change(self) -> bool {
        self <= Event::KeyringRewritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_lead_back() {
        for event in Event::ALL {
            assert_eq!(Event::of_number(event.number()), Some(*event));
            assert_eq!(Event::of_word(event.word()), Some(*event));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::of_number(outcome.number()), Some(*outcome));
            assert_eq!(Outcome::of_word(outcome.word()), Some(*outcome));
        }
        assert_eq!(Event::of_number(0), None);
        assert!(Event::KeyringRewritten.is_change() && !Event::KeyRead.is_change());
    }
}
