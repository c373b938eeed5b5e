//! Calls on files that fail once. All of them: `cargo run --release --bin powercut -- --failures`.

use comptoir_engine::disk::StoreKind;
use comptoir_powercut::cuts::Side;
use comptoir_powercut::failures::{self, Report};

/// Every so many calls one fails with the tests.
const EVERY: u64 = 5;

fn assert_kept(report: &Report) {
    eprintln!("{} calls failed: {:?}", report.runs, report.by_call);
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(report.runs >= 20, "{report:?}");
}

#[test]
fn a_device_whose_calls_fail_says_so_and_keeps_what_it_reported_saved() {
    StoreKind::ALL.into_iter().for_each(|kind| assert_kept(&failures::campaign(Side::Device, kind, EVERY)));
}

#[test]
fn a_relay_whose_calls_fail_acknowledges_nothing_it_does_not_keep_and_goes_on() {
    StoreKind::ALL.into_iter().for_each(|kind| assert_kept(&failures::campaign(Side::Relay, kind, EVERY)));
}
