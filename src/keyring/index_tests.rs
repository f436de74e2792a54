use super::*;
use crate::key::record::KeyRecord;
use crate::secret::SecretPool;
use std::sync::Arc;

/// Version `number` of `x`, which carries `logical`.
fn key(number: u32, logical: &Logical) -> KnownKey {
    let id = KeyId::new(&logical.key_name(b"x", number), b"u@h").unwrap();
    let material = SecretPool::new().zeroed(8).unwrap();
    let version = VersionOf {
        number,
        logical: logical.clone(),
    };
    let list = Extensions::new([(VERSION, version.to_bytes())]).unwrap();
    let record = KeyRecord::new(id, b"AES", material, 0, 1).unwrap();
    KnownKey::Whole(Arc::new(record.with_extensions(list)))
}

fn logical() -> Logical {
    let mut logical = Logical {
        follow: true,
        ..Logical::unknown([7; ID])
    };
    for now in 1..=2 {
        let number = logical.add_version(now).unwrap();
        logical.switch_to(number, now).unwrap();
        logical.serial += 1;
    }
    logical
}

#[test]
fn the_newest_description_counts_in_whatever_order_and_outlives_its_key() {
    let mut newer = logical();
    newer.compromise(1, 3).unwrap();
    newer.serial += 1;
    let (one, two) = (key(1, &logical()), key(2, &newer));
    for order in [[&one, &two], [&two, &one]] {
        let mut index = Index::default();
        order.into_iter().for_each(|key| index.note(key));
        assert!(index.may_serve(&one).is_err(), "it is compromised");
        assert!(
            index
                .follow(b"x", b"u@h")
                .is_some_and(|found| found.is_ok())
        );
        assert!(index.follow(b"x", b"other").is_none());
        assert!(index.follow(b"x@1", b"u@h").is_none());
        index.forget(&two);
        assert!(index.may_serve(&one).is_err(), "and still known to be");
        assert!(
            index
                .follow(b"x", b"u@h")
                .is_some_and(|found| found.is_err())
        );
        index.forget(&one);
        assert!(index.is_empty());
    }
}

#[test]
fn another_logical_key_of_that_name_takes_nothing_over() {
    let mut other = logical();
    (other.id, other.serial) = ([8; ID], 99);
    let mut index = Index::default();
    index.note(&key(2, &logical()));
    index.note(&key(1, &other));
    let family = index.get(&KeyId::new(b"x", b"u@h").unwrap()).unwrap();
    assert_eq!((family.id(), family.logical().serial), (Some([7; ID]), 2));
    assert!(index.family_of(&key(1, &other)).is_none());
    index.forget(&key(1, &other));
    assert!(!index.is_empty());
}

#[test]
fn temporary_keys_end_by_their_time_alone() {
    let mut index = Index::default();
    index.note(&key(2, &logical()));
    assert_eq!(index.to_end(i64::MAX).count(), 0, "it is not temporary");
    let mut temporary = logical();
    (temporary.expires, temporary.serial) = (Some(50), 9);
    index.note(&key(1, &temporary));
    assert_eq!(index.to_end(49).count(), 0);
    assert_eq!(index.to_end(50).count(), 1);
    temporary.held = Some("case 7".into());
    temporary.serial += 1;
    index.note(&key(1, &temporary));
    assert_eq!(index.to_end(50).count(), 0, "it is held");
}
