use super::*;
use std::os::unix::fs::PermissionsExt;

fn slot(generation: u64, sequence: u64) -> Slot {
    Slot::now(
        [0xAB; 16],
        Waypoint {
            generation,
            sequence,
            chain: [sequence as u8; 32],
            header: [generation as u8; 16],
        },
    )
}

fn on_disk(dir: &Path) -> Vec<u8> {
    std::fs::read(path_in(dir)).unwrap()
}

fn newest(dir: &Path) -> Option<Slot> {
    read(dir).unwrap().unwrap().newest().copied()
}

#[test]
fn a_slot_is_read_as_it_was_written_and_no_other_way() {
    let good = slot(7, 99);
    let bytes = good.bytes();
    assert_eq!(Slot::parse(&bytes), Some(good));
    assert_eq!(bytes.len(), 108);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Slot::parse(&bad), None, "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert_eq!(Slot::parse(&bytes[..cut]), None);
    }
}

#[test]
fn the_boot_id_is_the_kernels() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let ours: String = boot_id().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(ours, kernel.trim().replace('-', ""));
    let mut slot = slot(1, 1);
    assert!(slot.is_of_this_boot());
    slot.boot[0] ^= 1;
    assert!(!slot.is_of_this_boot());
    slot.boot = BootId::default();
    assert!(!slot.is_of_this_boot(), "unknown is not today");
}

#[test]
fn the_older_slot_is_overwritten_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), None);
    let mut keeper = Keeper::new(dir.path());
    assert_eq!(keeper.mark(&slot(1, 1), Survives::PowerCut), None);
    let meta = std::fs::metadata(path_in(dir.path())).unwrap();
    assert_eq!(
        (meta.len(), meta.permissions().mode() & 0o777),
        (SLOT_DISTANCE + SLOT as u64, 0o600)
    );
    let mut other = None;
    for n in 2..9 {
        let before = newest(dir.path()).unwrap();
        assert_eq!(keeper.mark(&slot(1, n), Survives::Kill), None);
        assert_eq!(newest(dir.path()), Some(slot(1, n)));
        let marker = read(dir.path()).unwrap().unwrap();
        let slots: Vec<_> = marker.slots().copied().collect();
        assert!(slots.contains(&before), "the one before is kept");
        // Their places alternate.
        let place = marker.slots[0] == Some(slot(1, n));
        assert_ne!(other.replace(place), Some(place));
    }
    // A new process goes on behind the newest.
    let mut next = Keeper::new(dir.path());
    assert_eq!(next.mark(&slot(2, 9), Survives::PowerCut), None);
    let marker = read(dir.path()).unwrap().unwrap();
    assert_eq!(marker.newest(), Some(&slot(2, 9)));
    assert!(marker.slots().any(|s| *s == slot(1, 8)));
    assert_eq!((keeper.failures(), next.failures()), (0, 0));
}

/// A power cut tears the slot that was on its way to the disk: the other one is the bound.
#[test]
fn torn_slots() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new(dir.path());
    (1..4).for_each(|n| assert_eq!(keeper.mark(&slot(1, n), Survives::Kill), None));
    let whole = on_disk(dir.path());
    let marker = read(dir.path()).unwrap().unwrap();
    for torn in 0..2 {
        let at = torn * SLOT_DISTANCE as usize;
        let left = marker.slots[1 - torn].unwrap();
        for cut in 0..SLOT {
            let mut bytes = whole.clone();
            bytes[at + cut..at + SLOT].fill(0);
            std::fs::write(path_in(dir.path()), &bytes).unwrap();
            assert_eq!(
                newest(dir.path()),
                Some(left),
                "slot {torn} from byte {cut}"
            );
        }
        // The torn one is written next.
        let mut next = Keeper::new(dir.path());
        assert_eq!(next.mark(&slot(1, 9), Survives::Kill), None);
        let healed = read(dir.path()).unwrap().unwrap();
        assert_eq!(healed.slots[torn], Some(slot(1, 9)));
        assert_eq!(healed.slots[1 - torn], Some(left));
    }
    // Both: no bound, but there was a keyring; the next write makes it anew.
    for bytes in [
        vec![0; whole.len()],
        Vec::new(),
        b"keyring-ward marker 1\n".to_vec(),
    ] {
        std::fs::write(path_in(dir.path()), &bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Marker::default()));
        assert_eq!(newest(dir.path()), None);
        assert_eq!(
            Keeper::new(dir.path()).mark(&slot(1, 9), Survives::Kill),
            None
        );
        let healed = read(dir.path()).unwrap().unwrap();
        assert_eq!(healed.slots, [Some(slot(1, 9)); 2]);
    }
    // Slots of two keyrings.
    let mut other = slot(1, 5);
    other.file_id = [1; 16];
    let mut bytes = on_disk(dir.path());
    bytes[..SLOT].copy_from_slice(&other.bytes());
    std::fs::write(path_in(dir.path()), &bytes).unwrap();
    assert_eq!(newest(dir.path()), None);
}

#[test]
fn a_marker_that_is_removed_or_exchanged_heals() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_in(dir.path());
    let mut keeper = Keeper::new(dir.path());
    assert_eq!(keeper.mark(&slot(1, 1), Survives::PowerCut), None);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(keeper.mark(&slot(1, 2), Survives::Kill), None);
    assert_eq!(newest(dir.path()), Some(slot(1, 2)));
    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    assert_eq!(keeper.mark(&slot(1, 3), Survives::Kill), None);
    assert_eq!(newest(dir.path()), Some(slot(1, 3)));
    // Another data directory's.
    let mut foreign = slot(5, 50);
    foreign.file_id = [1; 16];
    let other = tempfile::tempdir().unwrap();
    Keeper::new(other.path()).mark(&foreign, Survives::PowerCut);
    std::fs::rename(path_in(other.path()), &path).unwrap();
    assert_eq!(keeper.mark(&slot(1, 4), Survives::Kill), None);
    assert_eq!(newest(dir.path()), Some(slot(1, 4)));
    assert_eq!(keeper.failures(), 0);
}

#[test]
fn a_marker_that_can_not_be_written_is_told_once_counted_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut keeper = Keeper::new(&data);
    let warning = keeper.mark(&slot(1, 1), Survives::Kill).unwrap();
    assert!(warning.contains("keyring_ward.marker"), "{warning}");
    assert!(warning.contains("works on"), "{warning}");
    for n in 2..40 {
        assert_eq!(keeper.mark(&slot(1, n), Survives::Kill), None, "told once");
    }
    assert!(
        (2..10).contains(&keeper.failures()),
        "{}",
        keeper.failures()
    );
    std::fs::create_dir(&data).unwrap();
    let healed = (40..200).find(|n| {
        assert_eq!(keeper.mark(&slot(1, *n), Survives::Kill), None);
        path_in(&data).exists()
    });
    assert_eq!(newest(&data), Some(slot(1, healed.unwrap())));
    // A rewrite or an opening does not wait.
    std::fs::remove_dir_all(&data).unwrap();
    assert!(
        keeper.mark(&slot(1, 200), Survives::Kill).is_some(),
        "again"
    );
    std::fs::create_dir(&data).unwrap();
    assert_eq!(keeper.mark(&slot(2, 201), Survives::PowerCut), None);
    assert_eq!(newest(&data), Some(slot(2, 201)));
}

#[test]
fn a_marker_that_can_not_be_read_is_not_one_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(path_in(dir.path())).unwrap();
    assert_eq!(read(dir.path()).unwrap_err().kind(), Kind::Io);
}

#[test]
fn a_running_servers_marker_is_not_reset() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(reset(dir.path()).unwrap_err().kind(), Kind::NotFound);
    let mut keeper = Keeper::new(dir.path());
    keeper.mark(&slot(1, 1), Survives::PowerCut);
    // A reload opens it a second time, and the first one goes.
    let mut second = Keeper::new(dir.path());
    second.mark(&slot(1, 2), Survives::PowerCut);
    for gone in [Some(keeper), None] {
        drop(gone);
        let e = reset(dir.path()).unwrap_err();
        assert_eq!(e.kind(), Kind::Locked);
        assert!(e.to_string().contains("stop the server"), "{e}");
        assert!(path_in(dir.path()).exists());
    }
    drop(second);
    let before = std::fs::read(path_in(dir.path())).unwrap();
    let reset = reset(dir.path()).unwrap();
    assert_eq!(reset.path, path_in(dir.path()));
    assert!(!reset.path.exists());
    assert_eq!(
        std::fs::read(&reset.kept).unwrap(),
        before,
        "it can be taken back"
    );
    assert_eq!(read(dir.path()).unwrap(), None);
}
