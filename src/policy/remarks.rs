//! What could be better about rules that are in order.

use super::rule::{Effect, Rule};
use serde_json::Value;
use std::collections::BTreeMap;

/// What could be better, in full sentences.
pub(super) fn remarks(rules: &[Rule]) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut seen: BTreeMap<String, &Rule> = BTreeMap::new();
    for rule in rules {
        let mut about = rule.source.clone();
        if let Value::Object(members) = &mut about {
            members.retain(|name, _| !matches!(&**name, "name" | "note" | "effect"));
        }
        match seen.entry(about.to_string()) {
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(rule)),
            std::collections::btree_map::Entry::Occupied(other) => {
                let (one, other) = (&rule.name, &other.get().name);
                remarks.push(match rule.effect == other_effect(rules, other) {
                    true => format!("The rules '{other}' and '{one}' say the same."),
                    false => format!("The rules '{other}' and '{one}' are about the same, and contradict each other: what is denied is denied."),
                });
            }
        }
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

fn other_effect(rules: &[Rule], name: &str) -> Effect {
    let found = rules.iter().find(|rule| rule.name == name);
    found.map_or(Effect::Deny, |rule| rule.effect)
}
