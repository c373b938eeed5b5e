//! What a campaign found and what is honest is fed to every target again, and a bounded number of inputs made of them by
//! chance. No fuzzer is needed for it.

use comptoir_fuzz::{TARGETS, Target, last_panic, mutate, quiet_panics};
use comptoir_tests::golden::hex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::fs;
use std::panic::{self, AssertUnwindSafe};

/// Inputs made by chance for each target.
const ROUNDS: u64 = 2_000;

/// The environment variable that sets another number.
const ROUNDS_VARIABLE: &str = "COMPTOIR_FUZZ_ROUNDS";

/// The longest input made by chance, in bytes.
const INPUT_BYTES_MAX: usize = 16 << 10;

fn saved(target: &Target) -> Vec<(String, Vec<u8>)> {
    let seeds = (target.seeds)().into_iter().enumerate().map(|(number, seed)| (format!("seed {number}"), seed));
    let folder = fs::read_dir(target.corpus()).unwrap_or_else(|error| panic!("{}: {error}", target.corpus().display()));
    let file = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a saved input"))
    };
    let mut saved: Vec<_> = folder.map(|entry| file(entry.expect("an entry"))).collect();
    saved.sort();
    seeds.chain(saved).collect()
}

/// Automerge's panics are caught by the engine; one that gets through is told with the input.
#[track_caller]
fn feed(target: &Target, name: &str, bytes: &[u8]) {
    if panic::catch_unwind(AssertUnwindSafe(|| target.feed(bytes))).is_err() {
        let (cause, hex) = (last_panic(), hex(bytes));
        drop(panic::take_hook());
        panic!("{}, {name}: {cause}\n{hex}", target.name);
    }
}

fn replay(name: &str) {
    quiet_panics();
    let target = Target::named(name);
    let saved = saved(target);
    saved.iter().for_each(|(name, bytes)| feed(target, name, bytes));
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let mut chance = StdRng::seed_from_u64(rounds);
    for round in 0..rounds {
        let mut one = || &saved[chance.random_range(0..saved.len())].1;
        let (one, other) = (one(), one());
        let mut bytes = mutate::havoc(&mut chance, one, other);
        bytes.truncate(INPUT_BYTES_MAX);
        feed(target, &format!("round {round} of {rounds}"), &bytes);
    }
}

#[test]
fn frames_of_either_side_are_read_or_refused() {
    replay("wire");
}

#[test]
fn a_change_chunk_is_read_as_automerge_reads_it_or_refused() {
    replay("change");
}

#[test]
fn changes_of_any_kind_leave_every_device_equal_readable_and_at_work() {
    replay("apply");
}

#[test]
fn lines_that_are_imported_read_as_they_say_on_every_device() {
    replay("import");
}

#[test]
fn a_store_that_somebody_else_wrote_is_read_or_called_damaged() {
    replay("store");
}

#[test]
fn nothing_but_a_token_of_the_relay_opens_anything() {
    replay("token");
}

#[test]
fn a_query_is_answered_as_a_walk_through_all_records_would_or_refused() {
    replay("query");
}

#[test]
fn a_schema_shows_the_same_whenever_it_is_heard_of_or_is_refused() {
    replay("schema");
}

#[test]
fn a_backup_that_somebody_else_wrote_becomes_a_store_or_a_log_or_is_refused() {
    replay("archive");
}

#[test]
fn every_target_has_a_test_a_corpus_of_its_own_and_a_way_for_libfuzzer() {
    let targets = TARGETS.iter().map(|target| target.name);
    let tests = include_str!("replay.rs");
    for name in targets {
        assert!(tests.contains(&format!("replay(\"{name}\")")), "{name} has no test");
        let own = Target::named(name).corpus().join("../../fuzz/fuzz_targets").join(format!("{name}.rs"));
        let text = fs::read_to_string(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
        assert!(text.contains(&format!("named(\"{name}\")")), "{}", own.display());
    }
}
