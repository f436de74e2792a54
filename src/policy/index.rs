//! Which rules may be about a request, without a look at most of them.
//!
//! Owns the lists that are made once, when a policy is loaded: a rule lies under the owners of its keys, or else under its accounts,
//! where all of those are plain names, or else among those that are always looked at.

use super::operation::OPERATIONS;
use super::request::Request;
use super::rule::{Keys, Rule};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of rules, in the order of the file.
type Numbers = Box<[u16]>;

/// Rules by a name, in the order of the names.
#[derive(Debug, Default)]
struct Named(Box<[(Box<[u8]>, Numbers)]>);

impl Named {
    fn get(&self, name: Option<&[u8]>) -> &[u16] {
        let at = name.and_then(|name| self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok());
        at.map_or(&[], |at| &self.0[at].1)
    }

    fn of(map: BTreeMap<&[u8], Vec<u16>>) -> Named {
        Named(
            map.into_iter()
                .map(|(name, all)| (name.into(), all.into()))
                .collect(),
        )
    }
}

/// A rule that is always looked at, and the first bytes that a name must have: most are passed over by that.
#[derive(Debug)]
struct Other {
    number: u16,
    mask: u64,
    value: u64,
}

/// The first bytes of a text as a number, and which bits of it they are.
fn first_bytes(text: &[u8]) -> (u64, u64) {
    let (mut value, mut mask) = ([0; 8], [0; 8]);
    for (place, byte) in text.iter().take(8).enumerate() {
        (value[place], mask[place]) = (*byte, 0xff);
    }
    (u64::from_le_bytes(value), u64::from_le_bytes(mask))
}

impl Other {
    fn of(number: u16, rule: &Rule) -> Other {
        let prefix = match &rule.keys[..] {
            [Keys::Like { name, .. }] => name.prefix(),
            _ => &[],
        };
        let (value, mask) = first_bytes(prefix);
        Other {
            number,
            mask,
            value,
        }
    }
}

/// The rules about one operation.
#[derive(Debug, Default)]
struct OfOperation {
    by_owner: Named,
    by_account: Named,
    others: Box<[Other]>,
}

/// The rules about each operation.
#[derive(Debug)]
pub(super) struct Index([OfOperation; OPERATIONS.len()]);

/// The plain names under which a rule is found; `None`: it must always be looked at.
fn owners(rule: &Rule) -> Option<BTreeSet<&[u8]>> {
    let all = rule.keys.iter().map(|keys| match keys {
        Keys::Like { owner, .. } => owner.literal(),
        Keys::Own => None,
    });
    all.collect::<Option<BTreeSet<_>>>()
        .filter(|all| !all.is_empty())
}

fn accounts(rule: &Rule) -> Option<BTreeSet<&[u8]>> {
    let all = rule.accounts.iter().map(|account| account.literal());
    let all = all.collect::<Option<BTreeSet<_>>>();
    all.filter(|all| !all.is_empty() && !rule.appliers)
}

impl Index {
    /// Of those `rules` that `test` says.
    pub(super) fn of(rules: &[Rule], test: impl Fn(&Rule) -> bool) -> Index {
        Index(OPERATIONS.map(|operation| {
            let (mut by_owner, mut by_account, mut others) =
                (BTreeMap::new(), BTreeMap::new(), Vec::new());
            let about = |rule: &&Rule| rule.operations.has(operation) && test(rule);
            // Not more than 10,000.
            for (number, rule) in (0u16..).zip(rules).filter(|(_, rule)| about(rule)) {
                let (map, names): (&mut BTreeMap<&[u8], Vec<u16>>, _) =
                    match (owners(rule), accounts(rule)) {
                        (Some(owners), _) => (&mut by_owner, owners),
                        (None, Some(accounts)) => (&mut by_account, accounts),
                        (None, None) => {
                            others.push(Other::of(number, rule));
                            continue;
                        }
                    };
                for name in names {
                    map.entry(name).or_default().push(number);
                }
            }
            OfOperation {
                by_owner: Named::of(by_owner),
                by_account: Named::of(by_account),
                others: others.into(),
            }
        }))
    }

    /// The numbers of the rules that may be about a request.
    pub(super) fn candidates(&self, request: &Request<'_>) -> impl Iterator<Item = u16> {
        let of = &self.0[request.operation as usize];
        let owner = request.key.map(|(owner, _)| owner);
        let by_owner = of.by_owner.get(owner);
        let by_account = of.by_account.get(request.session.account);
        let (name, _) = first_bytes(request.key.map_or(&[], |(_, name)| name));
        let others = of.others.iter();
        let others = others.filter(move |other| name & other.mask == other.value);
        let named = by_owner.iter().chain(by_account).copied();
        named.chain(others.map(|other| other.number))
    }
}
