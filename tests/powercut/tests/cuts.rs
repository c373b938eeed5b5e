//! Power cuts below a device's store and a relay's log: whatever was reported durable is there afterwards.

use comptoir_engine::disk::StoreKind;
use comptoir_powercut::cuts::{self, Report, Side};
use comptoir_powercut::damage::files;
use comptoir_powercut::drive::{Drive, Loss};
use comptoir_powercut::process::{Watched, scratch};
use comptoir_powercut::sales::Sales;
use comptoir_powercut::tape::Step;
use comptoir_powercut::{device, relay};
use comptoir_tests::program::Running;
use comptoir_tests::wait;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Kills at any moment of a sale.
const KILLS: usize = 10;
/// States of each kind. A longer campaign: `cargo run --release --bin powercut -- --states 5000`.
const STATES: usize = 150;
const STATES_OF_REDB: usize = 75;

fn assert_nothing_lost(report: &Report, states: usize) {
    eprintln!("{} states, {} with something unsynced: {:?}", report.states, report.uncertain, report.by_loss);
    assert!(report.failures.is_empty(), "{} failed:\n{}", report.failures.len(), report.failures.join("\n"));
    assert_eq!((report.states, report.lost, report.wrong), (states as u64, 0, 0));
    assert!(report.uncertain > report.states / 2, "there was something to lose");
    assert_eq!(report.by_loss.len(), 5, "in every way: {:?}", report.by_loss);
}

#[test]
fn what_a_device_reported_saved_survives_every_power_cut() {
    assert_nothing_lost(&cuts::campaign(Side::Device, StoreKind::Sled, STATES, 1), STATES);
    assert_nothing_lost(&cuts::campaign(Side::Device, StoreKind::Redb, STATES_OF_REDB, 1), STATES_OF_REDB);
}

#[test]
fn what_a_relay_acknowledged_survives_every_power_cut() {
    assert_nothing_lost(&cuts::campaign(Side::Relay, StoreKind::Sled, STATES, 1), STATES);
    assert_nothing_lost(&cuts::campaign(Side::Relay, StoreKind::Redb, STATES_OF_REDB, 1), STATES_OF_REDB);
}

/// All files below a folder, with what they hold.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), std::fs::read(folder.join(path)).expect("a file"));
    files(folder).into_iter().map(read).collect()
}

#[test]
fn the_tape_has_all_that_a_killed_process_did() {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("till"), StoreKind::Sled);
    device::record(&watched, 30);
    let store = watched.root.to_str().expect("a path");
    for kill in 0..KILLS {
        let from = 30 + 30 * kill;
        let mut command = watched.command("powercut", None);
        command.args(["sell", store, &from.to_string(), &(from + 30).to_string()]).env("COMPTOIR_SHIM_PAUSE", "2");
        let process = Running::start(&mut command);
        let word = format!("tries {}", from + kill);
        wait::until("sales under way", || (process.line() == word).then_some(()));
        watched.kill(process);
        let mut drive = Drive::default();
        watched.steps().iter().for_each(|step| drive.take(step));
        let replayed = folder.path().join(format!("replayed {kill}"));
        drive.cut(Loss::Nothing, &mut StdRng::seed_from_u64(1), &replayed);
        let (found, told) = (contents(&watched.root), contents(&replayed));
        let differ = found.keys().chain(told.keys()).find(|path| found.get(*path) != told.get(*path));
        assert_eq!(differ, None, "after kill {kill}");
        std::fs::remove_dir_all(&replayed).expect("the folder goes");
    }
}

#[test]
fn sled_syncs_files_and_never_parts_of_them() {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("till"), StoreKind::Sled);
    // Enough for the journal to be given to sled.
    device::record(&watched, 900);
    let steps = watched.steps();
    let of_sled = |path: &Path| path.ends_with("sled/db");
    assert!(
        steps.iter().any(|step| matches!(step, Step::Sync { path, .. } if of_sled(path))),
        "sled was given nothing"
    );
    let part = steps.iter().find(|step| matches!(step, Step::PartSync { .. }));
    assert_eq!(part, None, "a sync that a power cut undoes");
}

#[test]
fn a_drive_that_only_says_that_it_syncs_is_found_out() {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("till"), StoreKind::Sled);
    device::record(&watched, 30);
    let report = cuts::of_device(&cuts::without_syncs(watched.steps()), &Sales::first(31), 40, 1);
    assert!(report.lost > 0, "{report:?}");

    let watched = Watched::new(&folder.path().join("relay"), StoreKind::Sled);
    let mut recorded = relay::record(&watched, 30);
    recorded.steps = cuts::without_syncs(recorded.steps);
    let report = cuts::of_relay(&recorded, 40, 1);
    assert!(report.lost > 0, "{report:?}");
}
