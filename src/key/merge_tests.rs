use super::super::logical::VersionOf;
use super::*;
use proptest::prelude::*;

fn any_logical() -> impl Strategy<Value = Logical> {
    let one = (
        0..5usize,
        any::<bool>(),
        any::<i64>(),
        prop::option::of(1..9i64),
    );
    let versions = prop::collection::vec((1..3u32, one), 1..6);
    (versions, 0..3u32, any::<bool>(), prop::option::of("h")).prop_map(
        |(steps, serial, follow, held)| {
            let states = [
                State::Pending,
                State::Active,
                State::Deactivated,
                State::Compromised,
                State::Destroyed,
            ];
            let (mut number, mut active, mut versions) = (0, false, Vec::new());
            for (step, (state, compromised, since, destroy_at)) in steps {
                number += step;
                let mut state = states[state];
                if state == State::Active && std::mem::replace(&mut active, true) {
                    state = State::Deactivated;
                }
                versions.push(Version {
                    number,
                    state,
                    since,
                    destroy_at,
                    was_compromised: state == State::Destroyed && compromised,
                });
            }
            Logical {
                id: [1; 16],
                serial,
                follow,
                adopted: false,
                rotate_every: None,
                expires: None,
                held,
                environment: String::new(),
                description: String::new(),
                highest: number,
                versions,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever two copies say: nothing whose key is there is lost, nothing compromised is served, and once is enough.
    #[test]
    fn two_copies_lose_nothing_together(ours in any_logical(), theirs in any_logical()) {
        let both = ours.merged(&theirs).unwrap();
        let all = both.clone().unwrap_or_else(|| ours.clone());
        let whole = VersionOf { number: all.versions[0].number, logical: all.clone() };
        prop_assert_eq!(VersionOf::from_bytes(&whole.to_bytes()), Ok(whole));
        for version in ours.versions.iter().chain(&theirs.versions) {
            let there = all.version(version.number);
            if version.state != State::Destroyed {
                prop_assert!(there.is_some_and(|v| v.state != State::Destroyed), "{:?} is lost", version);
            }
            if version.is_compromised() {
                prop_assert!(there.is_none_or(Version::is_compromised), "{:?} is served", version);
            }
        }
        if let Some(was) = ours.current().filter(|was| !all.version(was.number).unwrap().is_compromised()) {
            prop_assert!(all.current().is_some_and(|now| now.number >= was.number));
        }
        prop_assert!(all.held.is_some() == (ours.held.is_some() || theirs.held.is_some()));
        if both.is_some() {
            prop_assert!(all.serial > ours.serial.max(theirs.serial));
        }
        prop_assert_eq!(all.merged(&theirs).unwrap(), None, "once is enough");
    }
}
