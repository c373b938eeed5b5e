//! Power cuts: a recorded process's folder as it may be found after a cut at some step, opened and checked. Must not know
//! how anything is stored.

use crate::device::{self, Told};
use crate::drive::{Drive, LOSSES, Loss};
use crate::process::{Watched, scratch};
use crate::relay::{self, Promised, Recorded};
use crate::sales::Sales;
use crate::tape::Step;
use comptoir_engine::StoreError;
use comptoir_engine::disk::StoreKind;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// States that were looked at.
    pub states: u64,
    /// By how things were lost.
    pub by_loss: BTreeMap<String, u64>,
    /// States in which something was not certain.
    pub uncertain: u64,
    /// States in which what was reported durable is gone.
    pub lost: u64,
    /// States that are wrong in another way.
    pub wrong: u64,
    /// What to look at: which state, and what is wrong.
    pub failures: Vec<String>,
}

impl Report {
    /// Takes another report in.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.uncertain += other.uncertain;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.failures.extend(other.failures);
        for (loss, count) in other.by_loss {
            *self.by_loss.entry(loss).or_default() += count;
        }
    }
}

/// Where the power is cut: half of the cuts at any step, half beside a sync or a word, where promises are made.
pub fn draw_cuts(steps: &[Step], count: usize, chance: &mut StdRng) -> Vec<usize> {
    let matter = |step: &Step| matches!(step, Step::Sync { .. } | Step::Said { .. } | Step::Rename { .. });
    let edges: Vec<usize> = (0..steps.len()).filter(|number| matter(&steps[*number])).collect();
    let mut cuts: Vec<usize> = (0..count)
        .map(|number| match number % 2 {
            0 => chance.random_range(0..=steps.len()),
            _ => edges[chance.random_range(0..edges.len())] + chance.random_range(0..2),
        })
        .collect();
    cuts.sort_unstable();
    cuts
}

/// Replays cuts of one recording. `check` gets the folder after each cut, and how many steps were done before it.
pub fn replay(
    steps: &[Step],
    count: usize,
    seed: u64,
    mut check: impl FnMut(&Path, usize) -> Result<(), String>,
) -> Report {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut report = Report::default();
    let mut drive = Drive::default();
    let mut done = 0;
    let folder = scratch();
    for (number, cut) in draw_cuts(steps, count, &mut chance).into_iter().enumerate() {
        steps[done..cut].iter().for_each(|step| drive.take(step));
        done = cut;
        let loss: Loss = LOSSES[chance.random_range(0..LOSSES.len())];
        let state = folder.path().join(number.to_string());
        report.uncertain += u64::from(drive.cut(loss, &mut chance, &state) > 0);
        report.states += 1;
        *report.by_loss.entry(format!("{loss:?}").to_lowercase()).or_default() += 1;
        if let Err(what) = check(&state, cut) {
            *(if what.starts_with("LOST") { &mut report.lost } else { &mut report.wrong }) += 1;
            report.failures.push(format!("seed {seed}, state {number}: cut at step {cut}, {loss:?} lost: {what}"));
        }
        std::fs::remove_dir_all(&state).expect("the folder goes");
    }
    report
}

/// Power cuts of a device.
pub fn of_device(steps: &[Step], sales: &Sales, count: usize, seed: u64) -> Report {
    let (mut told, mut heard) = (Told::default(), 0);
    replay(steps, count, seed, |store, cut| {
        steps[heard..cut].iter().for_each(|step| told.hear(step));
        heard = cut;
        let mut engine = match device::open(store) {
            // The store's making was cut short: nothing was reported.
            Err(StoreError::NotInitialised) if told.tried.is_empty() => return Ok(()),
            opened => opened.map_err(|error| lost_if(!told.saved.is_empty(), &error))?,
        };
        let held = sales.check(&engine, &told.saved, &told.tried)?;
        // It goes on: the next sale is saved, and is there when the store is opened again.
        let next = held.last().map_or(0, |last| last + 1);
        engine.commit(&sales.edits(next), device::now()).map_err(|error| error.to_string())?;
        drop(engine);
        let engine = device::open(store).map_err(|error| format!("opened again: {error}"))?;
        let saved = held.into_iter().chain([next]).collect();
        sales.held(&engine, &saved, &saved).map(|_| ()).map_err(|what| format!("opened again: {what}"))
    })
}

/// Power cuts of a relay.
pub fn of_relay(recorded: &Recorded, count: usize, seed: u64) -> Report {
    let Recorded { steps, token, changes } = recorded;
    let (mut promised, mut heard) = (Promised::default(), 0);
    replay(steps, count, seed, |data, cut| {
        steps[heard..cut].iter().for_each(|step| promised.hear(step));
        heard = cut;
        let grant = match relay::grant(data, &token.0) {
            Ok(grant) => grant,
            // Before the token was given out its key need not be there.
            Err(_) if cut < token.1 => return Ok(()),
            Err(error) => return Err(format!("LOST: the token's key: {error}")),
        };
        let log = relay::log_folder(data);
        let opened = relay::open(&log, &grant).map_err(|error| format!("LOST: {error}"))?;
        let (held, tail) = (opened.changes.len(), opened.last.0);
        if tail < promised.through {
            return Err(format!(
                "LOST: {} entries of {} that were promised",
                promised.through - tail,
                promised.through
            ));
        }
        if opened.changes != changes[..held.min(changes.len())] {
            return Err("LOST: other changes than were written".to_owned());
        }
        if opened.head.tail.0 != tail || opened.head.digest != opened.sum {
            return Err("the log's head does not fit its rows".to_owned());
        }
        match promised.digests.get(&tail) {
            Some(digest) if *digest != opened.head.digest.0 => Err("LOST: another digest than was promised".to_owned()),
            _ => Ok(()),
        }
    })
}

/// The same steps on a drive that only says that it syncs.
pub fn without_syncs(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().filter(|step| !matches!(step, Step::Sync { .. })).collect()
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A device's store.
    Device,
    /// A relay's folder.
    Relay,
}

/// Sales of one recording: few, so that opening a state is quick; there are many recordings.
const SALES: usize = 90;
/// But of every third many, so that sled is given the journal's halves again and again while sales go on.
const SALES_OF_THIRD: usize = 900;
/// States that are looked at of each recording.
const STATES_OF_ONE: usize = 75;

/// Records as often as it takes, and looks at `states` states in all; two recordings at a time.
pub fn campaign(side: Side, kind: StoreKind, states: usize, seed: u64) -> Report {
    let recordings = states.div_ceil(STATES_OF_ONE);
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= recordings {
                        return;
                    }
                    let count = STATES_OF_ONE.min(states - number * STATES_OF_ONE);
                    let sales = if number.is_multiple_of(3) { SALES_OF_THIRD } else { SALES };
                    let one = recording(side, kind, sales, count, seed + number as u64);
                    report.lock().expect("not poisoned").add(one);
                }
            });
        }
    });
    report.into_inner().expect("not poisoned")
}

fn recording(side: Side, kind: StoreKind, sales: usize, count: usize, seed: u64) -> Report {
    let folder = scratch();
    let watched = Watched::new(&folder.path().join("watched"), kind);
    match side {
        Side::Device => {
            device::record(&watched, sales);
            of_device(&watched.steps(), &Sales::first(sales + 1), count, seed)
        }
        Side::Relay => of_relay(&relay::record(&watched, sales), count, seed),
    }
}

fn lost_if(reported: bool, error: &StoreError) -> String {
    format!("{}{error}", if reported { "LOST: " } else { "" })
}
