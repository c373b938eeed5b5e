//! Backups that are cut short or spoiled, and logs that are: none goes unseen, and the last good backup stays.

use comptoir_tests::backups::{Place, Spoiler, digest_said, put, spoil};
use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::wait::until;
use std::fs;

const WORKSPACE: &str = "supermarket";

#[test]
fn a_killed_backup_leaves_the_last_good_one_and_a_killed_restore_leaves_nothing_to_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    put(&till, 0..3);
    place.take(&[]);
    let (names, digest) = (place.names(), till.digest());
    put(&till, 3..40);
    relay.terminate().success();
    for stop in ["parts written", "being tried"] {
        let parts = place.files("parts").len();
        let running = Running::start(&mut place.command(&[]));
        let trial = place.data.join("trial");
        until(stop, || match stop {
            "parts written" => (place.files("parts").len() > parts).then_some(()),
            _ => trial.exists().then_some(()),
        });
        running.kill();
        // It may have been quicker: then there is a good one more.
        let left = place.names();
        assert!(left == names || left.len() == names.len() + 1, "{left:?}");
        let said = digest_said(&place.verify().expect("the last good one is whole"), WORKSPACE);
        assert!(left != names || said == digest, "{stop}");
        if left != names {
            fs::remove_file(place.out.join("backups").join(left.last().expect("one more"))).expect("removed");
        }
    }
    let fresh = folder.path().join("fresh");
    let mut restore = command(&["restore"]);
    let running = Running::start(restore.arg("--from").arg(&place.out).arg("--data").arg(&fresh));
    until("a restore has begun", || folder.path().join("fresh.restoring").exists().then_some(()));
    running.kill();
    assert!(!fresh.exists() || fresh.join("keys").exists(), "all of it or nothing");
    if !fresh.exists() {
        place.restore(&fresh, &[]).expect("restored");
    }
    assert!(!folder.path().join("fresh.restoring").exists());
}

#[test]
fn nothing_spoiled_in_a_place_goes_unseen_and_a_full_backup_heals_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    // More than the keys' part, so that the longest one is of a log.
    put(&till, 0..60);
    place.take(&[]);
    for file in place.files("parts").into_iter().chain(place.files("backups")) {
        let good = fs::read(&file).expect("a file");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for spoiled in [flipped, good[..good.len() - 1].to_vec(), Vec::new()] {
            fs::write(&file, &spoiled).expect("written");
            let said = place.verify().expect_err("damage is seen");
            assert!(said.contains("of 1 backups in"), "{}: {said}", file.display());
        }
        fs::remove_file(&file).expect("removed");
        let said = place.verify().expect_err("a missing file is seen");
        assert!(said.contains("of 1 backups in") || said.contains("no such backup"), "{}: {said}", file.display());
        fs::write(&file, &good).expect("written");
        place.verify().expect("whole again");
    }
    // A part that has another length is not built on; one that has not is found by the trial, and a full backup helps.
    let part =
        place.files("parts").into_iter().max_by_key(|part| fs::metadata(part).expect("a file").len()).expect("a part");
    let good = fs::read(&part).expect("a file");
    fs::write(&part, &good[1..]).expect("written");
    assert_eq!(place.take(&[])["full"], true);
    let mut flipped = good.clone();
    flipped[9] ^= 1;
    fs::write(&part, &flipped).expect("written");
    let names = place.names();
    assert!(run(&mut place.command(&[])).failure().contains("is damaged"));
    assert_eq!(place.names(), names, "what cannot be restored is no backup");
    assert_eq!(place.take(&["--full"])["full"], true);
    place.verify().expect("whole");

    // A damaged backup does not count among those that are kept, and who takes them on time builds on none.
    let names = place.names();
    let newest = place.out.join("backups").join(names.last().expect("a backup"));
    fs::write(&newest, "{}").expect("written");
    assert!(run(&mut place.command(&["--keep", "1"])).failure().contains("is damaged"));
    assert_eq!(place.take(&["--full", "--keep", "1"])["removed"], names.len() - 1);
    assert_eq!(place.names().len(), 1, "the damaged one is older than what is kept");
    place.verify().expect("whole");
}

#[test]
fn verify_tells_what_of_a_log_is_not_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let mut relay = Relay::start(&place.data);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    for key in 0..4 {
        put(&till, key..key + 1);
    }
    let mut verify = command(&["verify"]);
    verify.arg("--data").arg(&place.data);
    // Four products and the device's own record.
    let serving = run(&mut verify).success();
    assert!(serving.contains("1 workspaces are whole: 5 records"), "{serving}");
    relay.terminate().success();
    assert_eq!(run(&mut verify).success(), serving);
    let remove: Spoiler = |tx, key| tx.remove(key);
    let garble: Spoiler = |tx, key| tx.put(key, b"\x01\x00garbled");
    let spoilers: [(&[u8], Spoiler, &str); 3] = [
        (b"d\0", remove, "the records' rows do not give the digest"),
        (b"e\0", garble, "an entry of supermarket"),
        (b"e\0", remove, "its entries at"),
    ];
    for (prefix, spoiler, expected) in spoilers {
        spoil(&place.data, prefix, spoiler);
        let outcome = run(&mut verify);
        assert!(outcome.stdout.contains(expected), "{expected}: {outcome:?}");
        assert!(outcome.failure().contains("1 workspaces are damaged"));
    }
}
