//! Spoiled files: all noticed or harmless, and healed from the other side. More places and larger stores:
//! `cargo run --release --bin powercut -- --damage 100 --sales 1200`.

use comptoir_powercut::cuts::Side;
use comptoir_powercut::damage::{Patient, Report};

/// Places in which a file is spoiled, where there is a choice.
const PLACES: usize = 8;
const SALES: usize = 60;

fn assert_noticed(report: &Report) {
    eprintln!("{} spoiled, {} unharmed, {:?}", report.cases, report.unharmed, report.by_file);
    assert_eq!(report.silent, 0, "{}", report.failures.join("\n"));
    assert!(report.unharmed > 20 && report.at_open > 50, "{report:?}");
}

#[test]
fn a_spoiled_file_of_a_device_never_shows_anything_but_what_was_saved() {
    for killed in [false, true] {
        let patient = Patient::make(Side::Device, killed, SALES);
        assert_noticed(&patient.campaign(PLACES, 1));
    }
}

#[test]
fn a_spoiled_file_of_a_relay_never_shows_anything_but_what_was_acknowledged() {
    for killed in [false, true] {
        let patient = Patient::make(Side::Relay, killed, SALES);
        assert_noticed(&patient.campaign(PLACES, 1));
    }
}

#[test]
fn a_device_whose_store_is_damaged_is_made_again_from_the_relay() {
    Patient::make(Side::Device, false, SALES).heal_device();
}

#[test]
fn a_relay_whose_log_is_damaged_is_filled_again_by_a_device() {
    Patient::make(Side::Relay, false, SALES).heal_relay();
}
