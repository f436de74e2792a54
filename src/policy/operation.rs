//! What a call does with a key.
//!
//! Owns the words for it and nothing else; docs/reference/policy.md says which call is which.

/// What a call does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Hands the material out.
    Fetch,
    /// Seals, opens, signs or computes with the key, and hands nothing out.
    Use,
    /// Makes a key.
    Generate,
    /// Takes material in.
    Store,
    /// Ends a key, or plans that.
    Remove,
    /// Makes or switches versions.
    Rotate,
    /// Tells that there is such a key, and what is known of it.
    List,
    /// Seals a key for another keyring.
    Export,
    /// Everything else that changes what is known of keys, or the keyring as a whole.
    Admin,
}

/// All of them, in the order of their bits.
pub const OPERATIONS: [Operation; 9] = [
    Operation::Fetch,
    Operation::Use,
    Operation::Generate,
    Operation::Store,
    Operation::Remove,
    Operation::Rotate,
    Operation::List,
    Operation::Export,
    Operation::Admin,
];

impl Operation {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Fetch => "fetch",
            Operation::Use => "use",
            Operation::Generate => "generate",
            Operation::Store => "store",
            Operation::Remove => "remove",
            Operation::Rotate => "rotate",
            Operation::List => "list",
            Operation::Export => "export",
            Operation::Admin => "admin",
        }
    }

    /// The operation of a word; `None`: it is none.
    pub fn of_name(name: &str) -> Option<Operation> {
        OPERATIONS.into_iter().find(|o| o.name() == name)
    }

    /// For the sentence "may not … the key".
    pub const fn verb(self) -> &'static str {
        match self {
            Operation::Admin => "administer",
            other => other.name(),
        }
    }
}

/// Several operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u16);

impl Operations {
    /// All of them.
    pub const ALL: Operations = Operations((1 << OPERATIONS.len()) - 1);

    /// These ones.
    pub fn of(operations: impl IntoIterator<Item = Operation>) -> Operations {
        let bits = operations.into_iter().map(|o| 1 << o as u16);
        Operations(bits.fold(0, |all, bit| all | bit))
    }

    /// It is one of them.
    pub const fn has(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u16) != 0
    }

    /// Their words.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = OPERATIONS.into_iter().filter(move |o| self.has(*o));
        all.map(Operation::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_bit_and_its_word() {
        for (place, operation) in OPERATIONS.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
            assert_eq!(Operation::of_name(operation.name()), Some(operation));
            assert!(Operations::ALL.has(operation));
            let one = Operations::of([operation]);
            assert_eq!(one.names().collect::<Vec<_>>(), [operation.name()]);
        }
        assert_eq!(Operation::of_name("delete"), None);
    }
}
