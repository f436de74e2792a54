use super::*;

fn logical() -> Logical {
    Logical {
        id: [7; ID],
        serial: 3,
        follow: true,
        adopted: false,
        rotate_every: Some(90),
        expires: None,
        held: None,
        environment: "prod".into(),
        description: "Kundendaten, größtenteils".into(),
        highest: 0,
        versions: Vec::new(),
    }
}

/// With versions 1 to n, of which n is current.
fn with_versions(n: u32) -> Logical {
    let mut logical = logical();
    for now in 1..=n {
        let number = logical.add_version(i64::from(now)).unwrap();
        logical.switch_to(number, i64::from(now)).unwrap();
    }
    logical
}

#[test]
fn what_is_written_is_read_and_no_beginning_of_it() {
    let mut logical = with_versions(3);
    logical.held = Some("case 7".into());
    logical.expires = Some(-5);
    logical.version_mut(1).unwrap().destroy_at = Some(99);
    logical.put_into(2, State::Compromised, 50).unwrap();
    for number in 1..=3 {
        let version = VersionOf {
            number,
            logical: logical.clone(),
        };
        let bytes = version.to_bytes();
        assert_eq!(VersionOf::from_bytes(&bytes), Ok(version));
        for end in 0..bytes.len() {
            assert!(VersionOf::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(
            VersionOf::from_bytes(&longer),
            Err(Flaw::Rules(_))
        ));
        let newer = [&[LAYOUT + 1], &bytes[1..]].concat();
        assert!(matches!(VersionOf::from_bytes(&newer), Err(Flaw::Newer(_))));
    }
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let broken = |change: &dyn Fn(&mut VersionOf)| {
        let mut version = VersionOf {
            number: 2,
            logical: with_versions(3),
        };
        assert!(VersionOf::from_bytes(&version.to_bytes()).is_ok());
        change(&mut version);
        matches!(
            VersionOf::from_bytes(&version.to_bytes()),
            Err(Flaw::Rules(_))
        )
    };
    assert!(broken(&|v| v.number = 4));
    assert!(broken(&|v| v.logical.highest = 2));
    assert!(broken(&|v| v.logical.highest = MAX_NUMBER + 1));
    assert!(broken(&|v| v.logical.versions.swap(0, 1)));
    assert!(broken(&|v| v.logical.versions[1].number = 1));
    assert!(broken(&|v| v.logical.versions[0].number = 0));
    assert!(
        broken(&|v| v.logical.versions[0].state = State::Active),
        "two current ones"
    );
    assert!(broken(&|v| v.logical.environment = "a b".into()));
    assert!(broken(&|v| v.logical.description = "a\nb".into()));
    assert!(broken(&|v| v.logical.held = Some(String::new())));
}

#[test]
fn one_version_is_current_and_numbers_are_used_once() {
    let mut logical = with_versions(2);
    let three = logical.add_version(7).unwrap();
    assert_eq!(
        (three, logical.current().map(|v| v.number)),
        (3, Some(2)),
        "a pending one is not current"
    );
    logical.version_mut(3).unwrap().destroy_at = Some(1);
    logical.switch_to(3, 8).unwrap();
    let states: Vec<_> = logical
        .versions
        .iter()
        .map(|v| (v.state, v.since))
        .collect();
    assert_eq!(
        states,
        [
            (State::Deactivated, 2),
            (State::Deactivated, 8),
            (State::Active, 8)
        ]
    );
    assert_eq!(
        logical.current().unwrap().destroy_at,
        None,
        "what becomes current is not to be destroyed"
    );
    assert_eq!(logical.switch_to(9, 1).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn the_oldest_destroyed_versions_are_forgotten_and_the_description_stays_within_its_bounds() {
    let mut logical = with_versions(MAX_VERSIONS as u32);
    let full = logical.add_version(0).unwrap_err();
    assert!(full.to_string().contains("has 255 versions"), "{full}");
    for number in 1..=200 {
        logical.put_into(number, State::Destroyed, 9).unwrap();
    }
    assert_eq!(logical.add_version(0).unwrap(), 256);
    let destroyed = logical
        .versions
        .iter()
        .filter(|v| v.state == State::Destroyed);
    assert_eq!(destroyed.count(), MAX_DESTROYED);
    assert_eq!(logical.versions[0].number, 200 - MAX_DESTROYED as u32 + 1);
    logical.environment = "e".repeat(MAX_ENVIRONMENT);
    logical.description = "d".repeat(MAX_TEXT);
    logical.held = Some("h".repeat(MAX_TEXT));
    while logical.add_version(0).is_ok() {}
    let version = VersionOf {
        number: 256,
        logical,
    };
    let bytes = version.to_bytes();
    assert!(bytes.len() < 8192, "{}", bytes.len());
    assert_eq!(bytes.len(), MAX_BYTES);
    assert_eq!(VersionOf::from_bytes(&bytes), Ok(version));
}

#[test]
fn names_of_versions() {
    assert_eq!(split(b"ssn@12"), Some((&b"ssn"[..], 12)));
    assert_eq!(split(b"a@b@1"), Some((&b"a@b"[..], 1)));
    for other in [
        &b"ssn"[..],
        b"ssn@",
        b"@1",
        b"ssn@0",
        b"ssn@01",
        b"ssn@1x",
        b"ssn@-1",
        b"ssn@1234567890",
        b"root@localhost",
    ] {
        assert_eq!(split(other), None, "{}", other.escape_ascii());
    }
    let mut logical = logical();
    let id = |name: &[u8]| KeyId::new(name, b"o").unwrap();
    assert_eq!(logical.key_name(b"ssn", 1), b"ssn@1");
    assert_eq!(logical.name_of(&id(b"ssn@1"), 1), Some(&b"ssn"[..]));
    assert_eq!(logical.name_of(&id(b"ssn@1"), 2), None);
    assert_eq!(logical.name_of(&id(b"ssn"), 1), None);
    logical.adopted = true;
    assert_eq!(logical.key_name(b"ssn", 1), b"ssn");
    assert_eq!(logical.key_name(b"ssn", 2), b"ssn@2");
    assert_eq!(logical.name_of(&id(b"ssn"), 1), Some(&b"ssn"[..]));
    assert!(check_name(b"ssn", b"a@b").is_ok());
    assert!(check_name(b"ssn", b"").is_err(), "the server's own");
    for name in [&b""[..], b"ssn@1", &[b'x'; 246]] {
        let e = check_name(name, b"a@b").unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput, "{e}");
    }
    assert!(check_name("é".repeat(245).as_bytes(), b"a@b").is_ok());
}

#[test]
fn what_is_due_and_what_is_over() {
    let mut logical = with_versions(1);
    logical.switch_to(1, 1000).unwrap();
    logical.rotate_every = Some(1);
    assert!(!logical.rotation_due(1000 + DAY - 1) && logical.rotation_due(1000 + DAY));
    logical.rotate_every = None;
    assert!(!logical.rotation_due(i64::MAX));
    assert!(!logical.has_expired(i64::MAX));
    logical.expires = Some(5);
    assert!(!logical.has_expired(4) && logical.has_expired(5));
}

#[test]
fn what_can_t_be_rotated_and_one_hold_at_a_time() {
    let mut logical = with_versions(2);
    assert!(logical.check_rotatable(0).is_ok());
    let three = logical.add_version(5).unwrap();
    let said = |l: &Logical, now| l.check_rotatable(now).unwrap_err().to_string();
    assert!(said(&logical, 0).contains("version 3 is pending"));
    logical.schedule(Some(three), 1, 0).unwrap();
    assert!(logical.check_rotatable(0).is_ok(), "as the hint says");
    logical.schedule(None, 1, 0).unwrap();
    assert!(said(&logical, 0).contains("the destruction of all of it is planned"));
    logical.cancel(None).unwrap();
    logical.schedule(Some(three), 1, 0).unwrap();
    logical.expires = Some(9);
    assert!(logical.check_rotatable(8).is_ok());
    assert!(said(&logical, 9).contains("its time was over"));
    assert_eq!(logical.hold(None).unwrap_err().kind(), Kind::KeyState);
    logical.hold(Some("case 7")).unwrap();
    logical.hold(Some("case 7")).unwrap();
    let e = logical.hold(Some("case 8")).unwrap_err();
    assert!(e.to_string().contains("held already: case 7"), "{e}");
    assert_eq!(
        logical.hold(Some("")).unwrap_err().kind(),
        Kind::InvalidInput
    );
    logical.hold(None).unwrap();
    assert_eq!(logical.held, None);
}
