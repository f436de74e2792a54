//! The SQL function that shows the policy in force.
//!
//! Owns what is told of it: what was loaded, never what the file says now. It must never change anything: no policy comes by SQL.

use crate::lifecycle::policing::InForce;
use crate::mysql::state::LIFECYCLE;
use crate::text::utc;
use serde_json::{Value, json};

sql_function! {
    /// The policy that is in force, for auditors.
    keyring_ward_policy_init, keyring_ward_policy, keyring_ward_policy_deinit, (), |_| Ok(in_force())
}

fn in_force() -> Value {
    match LIFECYCLE.in_force_to_keep() {
        None => json!({ "state": "none" }),
        Some(in_force) => told(&in_force),
    }
}

fn told(in_force: &InForce) -> Value {
    let file = in_force.file.display().to_string();
    let mut told = json!({
        "file": file, "read_at": utc(in_force.read_at), "refused": in_force.refused, "warnings": in_force.warnings,
    });
    match &in_force.policy {
        Ok(policy) => {
            told["state"] = "in force".into();
            if let Value::Object(members) = policy.to_json() {
                members
                    .into_iter()
                    .for_each(|(name, value)| told[name] = value);
            }
        }
        Err(why) => {
            told["state"] = "unreadable".into();
            told["error"] = why.clone().into();
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use std::sync::Arc;

    #[test]
    fn what_is_told_is_what_was_loaded() {
        let text = br#"{"version": 1, "default": "deny", "rules": [{"name": "a", "effect": "allow", "operations": ["use"]}]}"#;
        let mut in_force = InForce {
            file: "/etc/policy.json".into(),
            read_at: 0,
            policy: Ok(Arc::new(Policy::parse(text, "test").unwrap())),
            refused: Some("why".into()),
            warnings: vec!["w".into()],
        };
        let shown = told(&in_force);
        assert_eq!(
            (&shown["state"], &shown["default"]),
            (&json!("in force"), &json!("deny"))
        );
        assert_eq!(
            (&shown["rules"][0]["name"], &shown["refused"]),
            (&json!("a"), &json!("why"))
        );
        in_force.policy = Err("bad".into());
        let shown = told(&in_force);
        assert_eq!(
            (&shown["state"], &shown["error"]),
            (&json!("unreadable"), &json!("bad"))
        );
        assert!(shown["rules"].is_null());
    }
}
