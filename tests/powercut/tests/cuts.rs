//! Power cuts below a device's store and a relay's log: whatever was reported durable is there afterwards.

use comptoir_engine::disk::StoreKind;
use comptoir_powercut::cuts::{self, Report, Side};
use comptoir_powercut::process::{Watched, scratch};
use comptoir_powercut::sales::Sales;
use comptoir_powercut::tape::Step;
use comptoir_powercut::{device, relay};
use std::path::Path;

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
