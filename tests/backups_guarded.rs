//! What keeps a place and a drive whole around backups: whose a place is, room for a trial, what others left, and a folder
//! that cannot be replaced.

use comptoir_tests::backups::{Place, digest_said, put};
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::small_disk::{fill, on_small_disk};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

const WORKSPACE: &str = "supermarket";

fn shop(folder: &Path, place: &Place) -> (Relay, Device) {
    let relay = Relay::start(&place.data);
    let till = Device::init(&folder.join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    (relay, till)
}

#[test]
fn a_cloned_or_restored_relay_leaves_the_backups_of_the_first_alone_until_it_takes_the_place_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let (mut relay, till) = shop(folder.path(), &place);
    put(&till, 0..3);
    place.take(&["--keep", "2"]);
    relay.terminate().success();
    let clone = folder.path().join("clone");
    let copied = Command::new("cp").arg("-a").arg(&place.data).arg(&clone).status();
    assert!(copied.expect("cp runs").success());
    let restored = folder.path().join("restored");
    place.restore(&restored, &[]).expect("restored");
    let (names, parts) = (place.names(), place.files("parts"));
    for other in [&clone, &restored] {
        let other = Place { data: other.clone(), ..Place::new(folder.path()) };
        for args in [&["--keep", "1"][..], &["--full", "--keep", "1"]] {
            let said = run(&mut other.command(args)).failure();
            assert!(said.contains("of another relay") && said.contains("--take-over"), "{said}");
        }
        let said = run(other.command(&[]).env("COMPTOIR_LANG", "fr")).failure();
        assert!(said.contains("d'un autre relais"), "{said}");
        assert_eq!((place.names(), place.files("parts")), (names.clone(), parts.clone()));
    }
    // Nor does a relay that backs up on time count them as its own.
    let config = folder.path().join("clone.toml");
    fs::write(&config, format!("[backup]\nout = {:?}\nevery = \"6h\"\n", place.out.display().to_string()))
        .expect("written");
    let serving = Relay::start_with(&clone, &["--config", &config.display().to_string()]);
    comptoir_tests::wait::until("the clone says so", || serving.stderr().contains("of another relay").then_some(()));
    drop(serving);
    // The first one goes on, also when its folder has moved.
    let moved = Place { data: folder.path().join("moved"), ..Place::new(folder.path()) };
    fs::rename(&place.data, &moved.data).expect("moved");
    assert_eq!(moved.take(&["--keep", "2"])["removed"], 0);
    // It is gone for good: the restored one says so once.
    let heir = Place { data: restored, ..Place::new(folder.path()) };
    heir.take(&["--take-over"]);
    heir.take(&["--keep", "2"]);
    assert!(run(&mut moved.command(&[])).failure().contains("of another relay"));
    place.verify().expect("whole");
}

#[test]
fn what_killed_processes_left_is_swept_and_open_folders_are_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path());
    let (mut relay, till) = shop(folder.path(), &place);
    put(&till, 0..3);
    for inner in ["parts", "backups"] {
        fs::create_dir_all(place.out.join(inner)).expect("a folder");
        fs::set_permissions(place.out.join(inner), fs::Permissions::from_mode(0o755)).expect("set");
    }
    place.take(&[]);
    for inner in ["parts", "backups"] {
        let mode = fs::metadata(place.out.join(inner)).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{inner}");
    }
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    let left = ["parts/ab.part#1", "backups/20260101T000000.000Z-0123456789abcdef.json#2", "owner.json#1"];
    for (name, written) in left.iter().map(|name| (*name, old)).chain([("parts/young.part#1", SystemTime::now())]) {
        let file = File::create(place.out.join(name)).expect("a file");
        file.set_modified(written).expect("set");
    }
    place.take(&[]);
    let stays: Vec<_> = left.iter().filter(|name| place.out.join(name).exists()).collect();
    assert!(stays.is_empty(), "{stays:?}");
    assert!(place.out.join("parts/young.part#1").exists(), "it may be under way");

    // A trial that was killed, found by the relay that serves next, and by the command line.
    let trial = place.data.join("trial");
    relay.terminate().success();
    fs::create_dir_all(trial.join("log")).expect("a folder");
    place.take(&["--no-trial"]);
    assert!(!trial.exists());
    fs::create_dir_all(trial.join("log")).expect("a folder");
    relay.restart();
    comptoir_tests::wait::until("the trial is gone", || (!trial.exists()).then_some(()));
}

#[test]
fn a_trial_does_not_take_the_room_that_the_serving_log_needs() {
    let test = "a_trial_does_not_take_the_room_that_the_serving_log_needs";
    on_small_disk(test, 160, |folder| {
        let elsewhere = tempfile::tempdir().expect("a folder");
        let place = Place { data: folder.join("relay"), ..Place::new(elsewhere.path()) };
        let (mut relay, till) = shop(elsewhere.path(), &place);
        put(&till, 0..3);
        place.take(&[]);
        let filler = fill(folder, 40 << 20);
        let said = run(&mut place.command(&[])).failure();
        assert!(said.contains("too little room to make a log in") && said.contains("--no-trial"), "{said}");
        let mut verify = command(&["verify", "--data"]);
        let said = run(verify.arg(&place.data).env("COMPTOIR_LANG", "fr")).failure();
        assert!(said.contains("trop peu de place"), "{said}");
        assert!(!place.data.join("trial").exists() && relay.is_alive());
        // What begins while there is room ends before there is none: an empty log alone takes some MiB.
        fs::remove_file(&filler).expect("removed");
        let (filler, temporary) = (fill(folder, 68 << 20), folder.join("temporary"));
        fs::create_dir(&temporary).expect("a folder");
        let mut verify = command(&["verify", "--from"]);
        let said = run(verify.arg(&place.out).env("TMPDIR", &temporary)).failure();
        assert!(said.contains("MiB are free, 64 are needed"), "{said}");
        assert!(fs::read_dir(&temporary).expect("a folder").next().is_none(), "what was tried is gone");
        fs::remove_file(filler).expect("removed");
        let filler = fill(folder, 40 << 20);
        // The till is served, and a backup can be had without a trial.
        put(&till, 3..6);
        assert_eq!(place.take(&["--no-trial"])["tried"], false);
        fs::remove_file(filler).expect("there is room again");
        put(&till, 6..9);
        assert_eq!(place.take(&[])["tried"], true);
        assert_eq!(digest_said(&place.verify().expect("whole"), WORKSPACE), till.digest());
    });
}

#[test]
fn a_mount_point_is_not_restored_into_and_that_is_told_before_the_work() {
    let test = "a_mount_point_is_not_restored_into_and_that_is_told_before_the_work";
    on_small_disk(test, 160, |mounted| {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::new(folder.path());
        let (_relay, till) = shop(folder.path(), &place);
        put(&till, 0..3);
        place.take(&[]);
        // Without its parts every restore fails, unless it fails before.
        let (parts, away) = (place.out.join("parts"), place.out.join("away"));
        fs::rename(&parts, &away).expect("moved");
        let said = place.restore(mounted, &[]).expect_err("a mount point");
        assert!(said.contains("cannot be replaced as a whole"), "{said}");
        fs::rename(&away, &parts).expect("moved");
        assert!(fs::read_dir(mounted).expect("a folder").next().is_none());
        let beside = mounted.parent().expect("a folder").join("nothing.restoring");
        assert!(!beside.exists());
        place.restore(&mounted.join("relay"), &[]).expect("restored");
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).expect("a folder");
        place.restore(&empty, &[]).expect("restored");
    });
}
