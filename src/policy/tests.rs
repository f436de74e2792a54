//! What a policy says, as an administrator would ask.

use super::operation::OPERATIONS;
use super::request::NO_ENVIRONMENT;
use super::table::{self, Question};
use super::*;
use crate::caller::{Address, Login, Session};
use crate::error::Kind;

fn policy(default: &str, rules: Value) -> Policy {
    let text = json!({ "version": 1, "default": default, "rules": rules }).to_string();
    Policy::parse(text.as_bytes(), "test").unwrap()
}

fn session<'a>(login: &'a str, account: &'a str) -> Session<'a> {
    let (user, host) = login.rsplit_once('@').unwrap();
    Session {
        login: Some(Login {
            user: user.as_bytes(),
            host: host.as_bytes(),
        }),
        account: Some(account.as_bytes()),
        address: Address::Socket,
        connection: Some(1),
        of_server: Some(false),
    }
}

fn fetch(policy: &Policy, session: &Session<'_>, owner: &str, name: &str) -> Option<String> {
    let request = of_service(
        Operation::Fetch,
        (owner.as_bytes(), name.as_bytes()),
        session,
        NO_ENVIRONMENT,
    );
    match policy.decide(&request) {
        Verdict::Allowed(rule) => Some(rule.map(|r| r.name.clone()).unwrap_or_default()),
        Verdict::Denied(_) => None,
    }
}

#[test]
fn without_rules_the_default_says() {
    let app = session("app@localhost", "app@%");
    let owner = policy("owner", json!([]));
    assert_eq!(fetch(&owner, &app, "app@%", "k").as_deref(), Some(""));
    assert_eq!(fetch(&owner, &app, "other@%", "k"), None);
    let deny = policy("deny", json!([]));
    assert_eq!(fetch(&deny, &app, "app@%", "k"), None);
}

#[test]
fn what_is_denied_is_denied_whatever_is_allowed() {
    let rules = json!([
        { "name": "all", "effect": "allow", "operations": ["*"] },
        { "name": "not-secret", "effect": "deny", "operations": ["fetch"], "keys": [{ "name": "secret*" }] },
        { "name": "first", "effect": "deny", "operations": ["fetch"], "keys": [{ "owner": "app@%", "name": "secret1" }] },
    ]);
    let policy = policy("deny", rules);
    let app = session("app@localhost", "app@%");
    assert_eq!(fetch(&policy, &app, "other@%", "k").as_deref(), Some("all"));
    assert_eq!(fetch(&policy, &app, "app@%", "secret1"), None);
    let request = of_service(
        Operation::Fetch,
        (b"app@%", b"secret1"),
        &app,
        NO_ENVIRONMENT,
    );
    let by = policy.decide(&request).rule().map(|rule| rule.name.clone());
    assert_eq!(
        by.as_deref(),
        Some("not-secret"),
        "the first one in the file is told"
    );
    let request = Request {
        operation: Operation::Use,
        ..request
    };
    assert!(policy.decide(&request).is_allowed());
}

/// Each condition by itself: a request that fits, and one that differs in that alone.
#[test]
fn each_condition_counts() {
    let fits = Question {
        account: "app@%".into(),
        login: Some("bob@10.0.0.7".into()),
        address: table::address("10.0.0.7").unwrap(),
        key: Some(("keys@localhost".into(), "pay-1".into())),
        operation: Operation::Use,
        at: 1_767_348_000, // Friday, 2 January 2026, 10:00 UTC
        privileges: Some(vec!["KEYRING_WARD_USE_PAY".into()]),
        environment: "prod".into(),
    };
    let conditions = json!({
        "accounts": ["app@%"], "logins": ["bob@10.*"], "networks": ["10.0.0.0/24"], "keys": [{ "owner": "keys@*", "name": "pay-?" }],
        "operations": ["use", "fetch"], "days": ["fri"], "hours": ["09:00-11:00"], "from": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z", "privileges": ["KEYRING_WARD_USE_PAY", "OTHER"], "environments": ["prod*"],
    });
    let change = |f: &dyn Fn(&mut Question)| {
        let mut question = fits.clone();
        f(&mut question);
        question
    };
    let others: [(&str, Question); 12] = [
        ("accounts", change(&|q| q.account = "app@localhost".into())),
        ("logins", change(&|q| q.login = Some("eve@10.0.0.7".into()))),
        (
            "networks",
            change(&|q| q.address = table::address("10.0.1.7").unwrap()),
        ),
        ("networks", change(&|q| q.address = Address::Socket)),
        (
            "keys",
            change(&|q| q.key = Some(("keys@localhost".into(), "pay-10".into()))),
        ),
        ("keys", change(&|q| q.key = None)),
        ("operations", change(&|q| q.operation = Operation::Rotate)),
        ("days", change(&|q| q.at += 86_400)),
        ("hours", change(&|q| q.at += 3_600)),
        ("until", change(&|q| q.at += 35 * 86_400)),
        (
            "privileges",
            change(&|q| q.privileges = Some(vec!["KEYRING_WARD_USE".into()])),
        ),
        ("environments", change(&|q| q.environment = "test".into())),
    ];
    let rule = |only: Option<&str>| {
        let mut rule = conditions.as_object().unwrap().clone();
        if let Some(only) = only {
            rule.retain(|name, _| name == only || name == "operations");
        }
        rule.insert("name".into(), "r".into());
        rule.insert("effect".into(), "allow".into());
        policy("deny", json!([rule]))
    };
    assert!(fits.ask(&rule(None), |_, verdict| verdict.is_allowed()));
    for (member, question) in &others {
        let whole = rule(None);
        assert!(
            !question.ask(&whole, |_, verdict| verdict.is_allowed()),
            "{member}"
        );
        // It is that member, and no other one.
        let one = rule(Some(member));
        assert!(
            fits.ask(&one, |_, verdict| verdict.is_allowed()),
            "{member}"
        );
        assert!(
            !question.ask(&one, |_, verdict| verdict.is_allowed()),
            "{member}"
        );
        let told = question.ask(&one, |request, _| one.compare(request)[0].1);
        let expected = match *member {
            "days" | "hours" | "until" => "time",
            other => other,
        };
        assert_eq!(told, Some(expected));
    }
}

#[test]
fn privileges_count_for_nothing_where_nobody_may_ask_for_them() {
    let rules = json!([
        { "name": "deny", "effect": "deny", "operations": ["*"], "privileges": ["P"] },
        { "name": "allow", "effect": "allow", "operations": ["*"], "privileges": ["P"] },
    ]);
    let policy = policy("owner", rules);
    let app = session("app@localhost", "app@%");
    assert_eq!(fetch(&policy, &app, "app@%", "k").as_deref(), Some(""));
    assert_eq!(fetch(&policy, &app, "other@%", "k"), None);
    assert!(
        policy
            .remarks()
            .iter()
            .any(|r| r.contains("'deny', 'allow'")),
        "{:?}",
        policy.remarks()
    );
    assert!(policy.remarks().iter().any(|r| r.contains("contradict")));
}

#[test]
fn who_is_not_known_is_refused() {
    let policy = policy(
        "owner",
        json!([{ "name": "all", "effect": "allow", "operations": ["*"] }]),
    );
    let nobody = Session {
        account: Some(b"app@%"),
        ..Session::default()
    };
    assert_eq!(fetch(&policy, &nobody, "app@%", "k"), None);
    // An event: nobody has logged in, and that is known.
    let event = Session {
        account: Some(b"app@%"),
        of_server: Some(true),
        ..Session::default()
    };
    assert_eq!(fetch(&policy, &event, "app@%", "k").as_deref(), Some("all"));
}

#[test]
fn an_applier_needs_a_rule_for_appliers() {
    let app = Session {
        account: Some(b"app@%"),
        of_server: Some(true),
        ..Session::default()
    };
    let ask = |rules: Value| {
        let policy = policy("owner", rules);
        let request = Request {
            applier: true,
            granted: Some(u64::MAX),
            ..of_service(Operation::Use, (b"app@%", b"k"), &app, NO_ENVIRONMENT)
        };
        policy.decide(&request).is_allowed()
    };
    assert!(!ask(json!([])));
    assert!(!ask(
        json!([{ "name": "a", "effect": "allow", "operations": ["*"] }])
    ));
    assert!(!ask(
        json!([{ "name": "a", "effect": "allow", "operations": ["*"], "accounts": ["*"] }])
    ));
    let of = |accounts: Value| json!({ "name": "a", "effect": "allow", "operations": ["use"], "accounts": accounts, "keys": [{ "owner": "app@%" }] });
    let allows = of(json!(["app@%", "@applier"]));
    assert!(ask(json!([allows])));
    // An event that sets gtid_next looks like an applier: whose it is decides all the same.
    assert!(!ask(json!([of(json!(["repl@%", "@applier"]))])));
    let alone = json!({ "version": 1, "default": "owner", "rules": [of(json!(["@applier"]))] });
    let refused = Policy::parse(alone.to_string().as_bytes(), "test").unwrap_err();
    assert!(refused.to_string().contains("stands alone"), "{refused}");
    // Without performance_schema nobody is known, an applier neither.
    let unknown = Session {
        of_server: None,
        ..app
    };
    let policy_of_all = policy("owner", json!([allows]));
    let request = Request {
        applier: true,
        ..of_service(Operation::Use, (b"app@%", b"k"), &unknown, NO_ENVIRONMENT)
    };
    assert!(!policy_of_all.decide(&request).is_allowed());
    assert!(!ask(
        json!([allows, { "name": "d", "effect": "deny", "operations": ["*"], "accounts": ["app@*"] }])
    ));
    // An anonymous account of a host with that name is none.
    let policy = policy("deny", json!([allows]));
    let anonymous = session("x@applier", "@applier");
    let request = Request {
        operation: Operation::Use,
        ..of_service(Operation::Use, (b"app@%", b"k"), &anonymous, NO_ENVIRONMENT)
    };
    assert!(!policy.decide(&request).is_allowed());
}

/// A refusal is the same whether there is such a key or not, where nothing would allow it.
#[test]
fn a_refusal_does_not_tell_what_a_key_is_for() {
    let rules = json!([
        { "name": "not-prod", "effect": "deny", "operations": ["use"], "environments": ["prod*"] },
        { "name": "shared", "effect": "allow", "operations": ["use"], "accounts": ["hr@%"] },
    ]);
    let told = |default: &str, account: &str, environment: &str| {
        let policy = policy(default, rules.clone());
        let login = session("x@h", account);
        let of_key = |test: &dyn Fn(&str) -> bool| test(environment);
        let request = of_service(Operation::Use, (b"app@%", b"k"), &login, &of_key);
        match policy.decide(&request) {
            Verdict::Denied(why) => match policy.told(&request, why) {
                Why::Rule(rule) => rule.name.clone(),
                _ => "default".into(),
            },
            Verdict::Allowed(_) => "allowed".into(),
        }
    };
    for default in ["owner", "deny"] {
        assert_eq!(told(default, "dev@%", "prod"), "default");
        assert_eq!(told(default, "dev@%", ""), "default");
        assert_eq!(told(default, "hr@%", "prod"), "not-prod");
        assert_eq!(told(default, "hr@%", ""), "allowed");
    }
    assert_eq!(told("owner", "app@%", "prod"), "not-prod");
}

#[test]
fn what_was_not_asked_for_counts_for_rules_that_deny() {
    let rule = |effect: &str| json!([{ "name": "r", "effect": effect, "operations": ["use"], "privileges": ["P"] }]);
    let app = session("app@h", "app@%");
    let ask = |default: &str, effect: &str, granted, unasked| {
        let request = Request {
            granted: Some(granted),
            unasked,
            ..of_service(Operation::Use, (b"app@%", b"k"), &app, NO_ENVIRONMENT)
        };
        policy(default, rule(effect)).decide(&request).is_allowed()
    };
    assert!(ask("owner", "deny", 0, 0) && !ask("owner", "deny", 1, 0));
    assert!(!ask("owner", "deny", 0, 1));
    assert!(ask("deny", "allow", 1, 0) && !ask("deny", "allow", 0, 1));
}

#[test]
fn who_denies_a_logical_key_denies_its_versions() {
    let rules = json!([
        { "name": "all", "effect": "allow", "operations": ["*"], "accounts": ["app@%"] },
        { "name": "one", "effect": "allow", "operations": ["fetch"], "accounts": ["bob@%"], "keys": [{ "owner": "app@%", "name": "ssn" }] },
        { "name": "not-ssn", "effect": "deny", "operations": ["fetch"], "accounts": ["app@%"], "keys": [{ "name": "ssn" }] },
    ]);
    let policy = policy("deny", rules);
    let (app, bob) = (session("app@h", "app@%"), session("bob@h", "bob@%"));
    for name in ["ssn", "ssn@1", "ssn@123456789"] {
        assert_eq!(fetch(&policy, &app, "app@%", name), None, "{name}");
    }
    for name in ["ssn@01", "ssn@", "ssn@x", "ssn2@1", "@1"] {
        assert!(fetch(&policy, &app, "app@%", name).is_some(), "{name}");
    }
    assert!(fetch(&policy, &bob, "app@%", "ssn").is_some());
    assert_eq!(fetch(&policy, &bob, "app@%", "ssn@1"), None);
}

#[test]
fn own_keys_are_those_of_the_account_that_acts() {
    let policy = policy(
        "deny",
        json!([{ "name": "own", "effect": "allow", "operations": ["fetch"], "keys": [{ "own": true }] }]),
    );
    let app = session("app@localhost", "app@%");
    assert_eq!(fetch(&policy, &app, "app@%", "k").as_deref(), Some("own"));
    assert_eq!(fetch(&policy, &app, "app@localhost", "k"), None);
}

/// The index leaves out no rule that counts: what it says is what a look at each rule says.
#[test]
fn the_index_says_what_all_rules_say() {
    let owners = ["a@%", "b@%", "*@%", "c@h"];
    let rules: Vec<Value> = (0..400)
        .map(|i| {
            let mut rule = json!({
                "name": format!("r{i}"), "effect": if i % 7 == 0 { "deny" } else { "allow" },
                "operations": [OPERATIONS[i % 9].name(), OPERATIONS[(i + 3) % 9].name()],
            });
            let members = rule.as_object_mut().unwrap();
            if i % 3 != 0 {
                members.insert("keys".into(), json!([{ "owner": owners[i % 4], "name": format!("k{}*", i % 5) }, { "owner": owners[(i / 4) % 4] }]));
            }
            if i % 5 != 0 {
                members.insert("accounts".into(), json!([owners[(i / 3) % 4], owners[(i / 7) % 4]]));
            }
            if i % 11 == 0 {
                members.insert("privileges".into(), json!(["P"]));
            }
            rule
        })
        .collect();
    let policy = policy("owner", rules.into());
    let mut seen = [0, 0];
    for account in ["a@%", "b@%", "c@h", "d@h"] {
        for owner in ["a@%", "b@%", "c@h", "d@h"] {
            for name in ["k1", "k2", "k4x", "other"] {
                for operation in OPERATIONS {
                    for granted in [None, Some(0), Some(1)] {
                        let session = session("x@y", account);
                        let request = Request {
                            granted,
                            ..of_service(
                                operation,
                                (owner.as_bytes(), name.as_bytes()),
                                &session,
                                NO_ENVIRONMENT,
                            )
                        };
                        let matching: Vec<&Rule> = (policy.compare(&request).into_iter())
                            .filter(|(_, differs)| differs.is_none())
                            .map(|(rule, _)| rule)
                            .collect();
                        let first = |effect| matching.iter().find(|rule| rule.effect == effect);
                        let expected = match (first(Effect::Deny), first(Effect::Allow)) {
                            (Some(rule), _) => (false, Some(&rule.name)),
                            (None, Some(rule)) => (true, Some(&rule.name)),
                            (None, None) => (account == owner, None),
                        };
                        let verdict = policy.decide(&request);
                        assert_eq!(
                            (verdict.is_allowed(), verdict.rule().map(|r| &r.name)),
                            expected
                        );
                        seen[usize::from(expected.0)] += 1;
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
}

#[test]
fn ten_thousand_rules_are_read_and_asked_and_no_more() {
    let rules = |count: usize| -> Value {
        let one = |i| json!({ "name": format!("r{i}"), "effect": "allow", "operations": ["fetch"], "keys": [{ "owner": format!("u{i}@%") }] });
        (0..count).map(one).collect::<Vec<_>>().into()
    };
    let most = policy("deny", rules(MAX_RULES));
    let app = session("x@y", "x@y");
    assert_eq!(fetch(&most, &app, "u9999@%", "k").as_deref(), Some("r9999"));
    assert_eq!(fetch(&most, &app, "u10000@%", "k"), None);
    let text =
        json!({ "version": 1, "default": "deny", "rules": rules(MAX_RULES + 1) }).to_string();
    let e = Policy::parse(text.as_bytes(), "test").unwrap_err();
    assert!(e.to_string().contains("10001 rules"), "{e}");
}

/// Each file of tests/vectors/policy is refused, for what its name says: what the error says of it stands beside.
#[test]
fn what_is_wrong_with_a_policy_is_said() {
    let rule = |more: &str| {
        format!(
            "{{\"version\": 1, \"default\": \"owner\", \"rules\": [{{\"name\": \"a\", \"effect\": \"allow\", \"operations\": [\"fetch\"]{more}}}]}}"
        )
    };
    let body = |text: &str| format!("{{\"version\": 1, \"default\": \"owner\", {text}}}");
    assert!(Policy::parse(rule("").as_bytes(), "f").is_ok());
    for (text, said) in [
        (String::new(), "the file is empty"),
        (" \n".into(), "the file is empty"),
        ("default: owner".into(), "it is not JSON"),
        ("[]".into(), "it is no object"),
        (
            "{\"version\": 1, \"version\": 1, \"default\": \"deny\"}".into(),
            "it is not JSON",
        ),
        (
            "{\"default\": \"owner\"}".into(),
            "does not say its version",
        ),
        (
            "{\"version\": 2, \"default\": \"owner\"}".into(),
            "version 2",
        ),
        ("{\"version\": 1}".into(), "what holds where no rule does"),
        (
            "{\"version\": 1, \"default\": \"allow\"}".into(),
            "'allow' is not known",
        ),
        (body("\"rule\": []"), "Did you mean 'rules'?"),
        (body("\"rules\": {}"), "rules: it is no list"),
        (body("\"rules\": [1]"), "rule 1: it is no object"),
        (body("\"rules\": [{}]"), "rule 1: it has no name"),
        (body("\"rules\": [{\"name\": \"\"}]"), "1 to 64 bytes"),
        (body("\"rules\": [{\"name\": \"a\\n\"}]"), "1 to 64 bytes"),
        (
            body("\"rules\": [{\"name\": \"a\"}]"),
            "rule 'a': it has no effect",
        ),
        (
            body("\"rules\": [{\"name\": \"a\", \"effect\": \"denny\"}]"),
            "Did you mean 'deny'?",
        ),
        (
            body("\"rules\": [{\"name\": \"a\", \"effect\": \"deny\"}]"),
            "it has no operations",
        ),
        (
            body(
                "\"rules\": [{\"name\": \"a\", \"effect\": \"deny\", \"operations\": [\"*\"]}, {\"name\": \"a\", \"effect\": \"deny\", \"operations\": [\"*\"]}]",
            ),
            "another rule is called 'a'",
        ),
        (rule(", \"operatons\": []"), "Did you mean 'operations'?"),
        (rule(", \"accounts\": []"), "accounts: the list is empty"),
        (rule(", \"accounts\": \"a@b\""), "accounts: it is no list"),
        (rule(", \"accounts\": [\"app\"]"), "has no @"),
        (
            rule(", \"accounts\": [\"'app'@'%'\"]"),
            "quotes are no part",
        ),
        (
            rule(", \"accounts\": [\"a@b\\\\\"]"),
            "ends with a backslash",
        ),
        (rule(", \"accounts\": [1]"), "accounts: it is no text"),
        (
            rule(", \"privileges\": [\"select\"]"),
            "no dynamic privilege",
        ),
        (
            rule(", \"privileges\": [\"KEYRING_WARD_USE_A_VERY_LONG_GROUP\"]"),
            "no dynamic privilege",
        ),
        (rule(", \"keys\": [{}]"), "an item says nothing"),
        (rule(", \"keys\": [{\"own\": false}]"), "own is true"),
        (
            rule(", \"keys\": [{\"own\": true, \"name\": \"a\"}]"),
            "own is true",
        ),
        (
            rule(", \"keys\": [{\"nam\": \"a\"}]"),
            "Did you mean 'name'?",
        ),
        (rule(", \"networks\": [\"10.0.0.1/8\"]"), "bits are set"),
        (rule(", \"days\": [\"monday\"]"), "Did you mean 'mon'?"),
        (rule(", \"hours\": [\"1-2\"]"), "22:00-06:00"),
        (
            rule(", \"time_zone\": \"Europe/Berlin\""),
            "neither days nor hours",
        ),
        (
            rule(", \"days\": [\"mon\"], \"time_zone\": \"Europe/Atlantis\""),
            "none of that name",
        ),
        (rule(", \"from\": \"2026-01-01\""), "no time with its zone"),
        (
            rule(", \"from\": \"2026-01-02T00:00:00Z\", \"until\": \"2026-01-01T00:00:00Z\""),
            "ends before it begins",
        ),
        (rule(", \"note\": 1"), "it is no text"),
        (
            body(
                "\"rules\": [{\"name\": \"a\", \"effect\": \"deny\", \"operations\": [\"*\", \"fetch\"]}]",
            ),
            "beside other operations",
        ),
        (
            body(
                "\"rules\": [{\"name\": \"a\", \"effect\": \"deny\", \"operations\": [\"ftech\"]}]",
            ),
            "Did you mean 'fetch'?",
        ),
    ] {
        let e = Policy::parse(text.as_bytes(), "'f'").unwrap_err();
        assert_eq!(e.kind(), Kind::Config, "{e}");
        let told = e.to_string();
        assert!(
            told.contains(said) && told.contains("(in 'f')"),
            "{text}: {told}"
        );
    }
}

#[test]
fn a_table_says_what_is_not_as_expected() {
    let policy = policy(
        "owner",
        json!([{ "name": "night", "effect": "deny", "operations": ["fetch"], "hours": ["22:00-06:00"] }]),
    );
    let rows = json!([
        { "account": "a@%", "key": "a@%/k", "operation": "fetch", "at": "2026-01-01T12:00:00Z", "expect": "allow" },
        { "account": "a@%", "key": "a@%/k", "operation": "fetch", "at": "2026-01-01T23:00:00Z", "expect": "deny night" },
        { "account": "a@%", "key": "a@%/k", "operation": "fetch", "at": "2026-01-01T23:00:00Z", "expect": "allow" },
        { "account": "a@%", "key": "b@%/k", "operation": "use", "at": "2026-01-01T12:00:00Z", "expect": "deny night" },
    ]);
    let rows = table::parse(rows.to_string().as_bytes(), 0).unwrap();
    let failed = table::compare(&policy, &rows);
    let told: Vec<_> = failed.iter().map(|f| (f.row, &*f.text)).collect();
    assert_eq!(
        told,
        [
            (3, "expected allow, the policy says deny (night)"),
            (
                4,
                "expected deny (night), the policy says deny (the default)"
            ),
        ]
    );
    for (wrong, said) in [
        ("{}", "no list"),
        ("[]", "0 rows"),
        ("[{\"acount\": 1}]", "Did you mean 'account'?"),
        ("[{\"account\": \"a@%\"}]", "operation is missing"),
        (
            "[{\"account\": \"a@%\", \"operation\": \"use\"}]",
            "expect is missing",
        ),
        (
            "[{\"account\": \"a@%\", \"operation\": \"use\", \"expect\": \"maybe\"}]",
            "expect is 'maybe'",
        ),
        (
            "[{\"account\": \"a@%\", \"operation\": \"use\", \"key\": \"k\", \"expect\": \"deny\"}]",
            "'k' is no key",
        ),
    ] {
        let e = table::parse(wrong.as_bytes(), 0).unwrap_err().to_string();
        assert!(e.contains(said), "{wrong}: {e}");
    }
}
