//! How many bytes of keys there are, and how many there may be: in all, of each account, of the server itself. A key's
//! attributes count as the key does, documents as the server's own keys.
//!
//! Owns the decision whether a new key fits. It must never refuse a removal, nor an opening: what is there stays,
//! whatever the limits have become. Bytes are those of the
//! records in the file.

use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use std::collections::HashMap;

const OP: &str = "add the key";

/// Bytes of the keys that there are.
#[derive(Debug, Default)]
pub struct Sizes {
    all: u64,
    /// Of these, the server's own: keys without owner.
    own: u64,
    owners: HashMap<Box<[u8]>, u64>,
}

impl Sizes {
    /// Counts bytes of an owner; an empty one is the server itself.
    pub fn add(&mut self, owner: &[u8], bytes: u64) {
        self.all += bytes;
        match owner {
            [] => self.own += bytes,
            owner => match self.owners.get_mut(owner) {
                Some(sum) => *sum += bytes,
                None => {
                    self.owners.insert(owner.into(), bytes);
                }
            },
        }
    }

    /// Counts bytes no more.
    pub fn sub(&mut self, owner: &[u8], bytes: u64) {
        self.all = self.all.saturating_sub(bytes);
        if owner.is_empty() {
            self.own = self.own.saturating_sub(bytes);
        } else if let Some(sum) = self.owners.get_mut(owner) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                self.owners.remove(owner);
            }
        }
    }

    /// Whether `bytes` of new keys of `owner` fit.
    ///
    /// # Errors
    /// InvalidInput: the account has its fill. ReadOnly: the keyring has.
    pub fn check(&self, limits: &Limits, owner: &[u8], bytes: u64) -> Result<()> {
        self.check_owner(limits, owner, bytes)?;
        self.check_total(limits, owner.is_empty(), bytes)
    }

    /// Whether `bytes` of new keys fit into the keyring; `own`: they are the server's.
    ///
    /// # Errors
    /// ReadOnly: they don't.
    pub fn check_total(&self, limits: &Limits, own: bool, bytes: u64) -> Result<()> {
        let after = self.all.saturating_add(bytes);
        let fits = if own {
            after <= limits.total.saturating_add(limits.reserve)
                // A bound that was lowered leaves the server's keys their reserve.
                || self.own.saturating_add(bytes) <= limits.reserve
        } else {
            after <= limits.total
        };
        if fits {
            return Ok(());
        }
        let (whose, reserve) = if own {
            ("the server's own keys", " and the reserve beyond it")
        } else {
            ("keys of accounts", "")
        };
        Err(Error::new(
            Kind::ReadOnly,
            OP,
            format!(
                "the keyring is full for {whose}: its keys have {} bytes, {bytes} more would exceed max_size ({} \
                 bytes){reserve}",
                self.all, limits.total
            ),
        )
        .hint(
            "Remove keys that nobody needs (keyring-ward list shows them with their owners), or raise max_size and \
             run ALTER INSTANCE RELOAD KEYRING.",
        ))
    }

    /// Whether `bytes` of new keys fit what the account may have; the server itself is no account.
    ///
    /// # Errors
    /// InvalidInput: they don't.
    pub fn check_owner(&self, limits: &Limits, owner: &[u8], bytes: u64) -> Result<()> {
        let has = self.owners.get(owner).copied().unwrap_or(0);
        if owner.is_empty() || has.saturating_add(bytes) <= limits.per_owner {
            return Ok(());
        }
        Err(Error::new(
            Kind::InvalidInput,
            OP,
            format!(
                "the keys of '{}' have {has} bytes, {bytes} more would exceed max_owner_size ({} bytes)",
                crate::text::name(owner),
                limits.per_owner
            ),
        )
        .hint(
            "Remove keys of this account that nobody needs, or raise max_owner_size and run ALTER INSTANCE RELOAD \
             KEYRING.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        total: 1000,
        per_owner: 400,
        reserve: 100,
        file: 10_000,
        retain_removed: 30,
    };

    #[test]
    fn each_bound_to_the_byte() {
        let mut sizes = Sizes::default();
        let ok = |sizes: &Sizes, owner: &[u8], bytes| sizes.check(&LIMITS, owner, bytes).is_ok();
        assert!(
            ok(&sizes, b"a", 400) && !ok(&sizes, b"a", 401),
            "an account's"
        );
        for owner in [b"a", b"b"] {
            sizes.add(owner, 400);
        }
        assert!(!ok(&sizes, b"a", 1), "full, and only that account");
        assert!(
            ok(&sizes, b"c", 200) && !ok(&sizes, b"c", 201),
            "all together"
        );
        assert!(
            ok(&sizes, b"", 300) && !ok(&sizes, b"", 301),
            "the server has a reserve"
        );
        sizes.sub(b"a", 400);
        assert!(
            ok(&sizes, b"a", 400) && sizes.all == 400,
            "what goes makes room"
        );
        assert_eq!(sizes.owners.len(), 1, "nothing is kept of who has nothing");
    }

    #[test]
    fn a_lowered_bound_leaves_the_server_its_reserve() {
        let mut sizes = Sizes::default();
        sizes.add(b"a", 5000);
        let check = |sizes: &Sizes, owner, bytes| sizes.check(&LIMITS, owner, bytes);
        assert!(check(&sizes, b"", 100).is_ok());
        let full = check(&sizes, b"", 101).unwrap_err();
        assert_eq!(full.kind(), Kind::ReadOnly);
        assert!(
            full.to_string()
                .contains("max_size (1000 bytes) and the reserve"),
            "{full}"
        );
        let account = check(&sizes, b"a", 1).unwrap_err();
        assert_eq!(account.kind(), Kind::InvalidInput);
        assert!(
            account.to_string().contains("max_owner_size (400 bytes)"),
            "{account}"
        );
        let other = check(&sizes, b"b", 1).unwrap_err();
        assert_eq!(other.kind(), Kind::ReadOnly);
        assert!(
            other.to_string().contains("full for keys of accounts"),
            "{other}"
        );
    }
}
