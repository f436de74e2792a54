//! What could be better about rules that are in order.

use super::rule::Rule;
use serde_json::Value;
use std::collections::BTreeMap;

/// So many sentences are told of rules that are about the same; each is a line in the server's log, at each load.
const MOST_TWINS: usize = 20;

/// What could be better, in full sentences.
pub(super) fn remarks(rules: &[Rule]) -> Vec<String> {
    let (mut remarks, mut more) = (Vec::new(), 0_usize);
    let mut seen: BTreeMap<String, &Rule> = BTreeMap::new();
    for rule in rules {
        let mut about = rule.source.clone();
        if let Value::Object(members) = &mut about {
            members.retain(|name, _| !matches!(&**name, "name" | "note" | "effect"));
        }
        match seen.entry(about.to_string()) {
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(rule)),
            std::collections::btree_map::Entry::Occupied(_) if remarks.len() >= MOST_TWINS => {
                more += 1
            }
            std::collections::btree_map::Entry::Occupied(other) => {
                let (one, other, effect) = (&rule.name, &other.get().name, other.get().effect);
                remarks.push(match rule.effect == effect {
                    true => format!("The rules '{other}' and '{one}' say the same."),
                    false => format!("The rules '{other}' and '{one}' are about the same, and contradict each other: what is denied is denied."),
                });
            }
        }
    }
    if more > 0 {
        remarks.push(format!("So do {more} more rules, each with another one."));
    }
    let named: Vec<&str> = (rules.iter())
        .filter(|rule| rule.privileges != 0)
        .map(|rule| &*rule.name)
        .collect();
    if !named.is_empty() {
        let shown = named
            .iter()
            .take(5)
            .map(|name| format!("'{name}'"))
            .collect::<Vec<_>>()
            .join(", ");
        let more = match named.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        remarks.push(format!(
            "Rules that name privileges ({shown}{more}) count in the keyring_ward_…() functions only: the server's own keyring_key_…() neither \
             gain nor lose by them."
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    /// Ten thousand lines at each load would fill the log, and a look at all rules for each of them takes its time.
    #[test]
    fn twins_are_told_up_to_a_number() {
        let rule =
            |i: usize| format!(r#"{{"name": "r{i}", "effect": "deny", "operations": ["use"]}}"#);
        let all: Vec<String> = (0..10_000).map(rule).collect();
        let text = format!(
            r#"{{"version": 1, "default": "owner", "rules": [{}]}}"#,
            all.join(",")
        );
        let policy = Policy::parse(text.as_bytes(), "test").unwrap();
        assert_eq!(policy.remarks().len(), super::MOST_TWINS + 1);
        assert!(policy.remarks()[super::MOST_TWINS].contains("9979 more rules"));
    }
}
