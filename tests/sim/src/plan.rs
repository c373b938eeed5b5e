//! What is to happen in a run and when: drawn from the seed before anything happens, so that a part of it can be left
//! out while the rest stays as it was. Must not know what comes of it.
#![expect(missing_docs, reason = "the fields of edits and actions are named as what they are")]

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

/// Edits happen in this time, and faults with them, in milliseconds.
pub const SAFETY_MS: u64 = 120_000;
/// The same where sockets and tasks are simulated too, in milliseconds.
pub const SESSIONS_SAFETY_MS: u64 = 60_000;
/// The most devices a run begins with.
pub const DEVICES_MAX: usize = 6;

/// One edit by one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Sets a plain field.
    Put { record: usize, field: usize, value: i64 },
    /// Adds to the counter.
    Add { record: usize, by: i64 },
    /// Sets the counter to what was counted.
    Count { record: usize, to: i64 },
    /// Removes a plain field.
    Unset { record: usize, field: usize },
    /// Marks the record deleted.
    Delete { record: usize },
    /// Takes the mark away.
    Restore { record: usize },
    /// Brings in the same row as every other device.
    Import { record: usize },
    /// Adds to the counters of several records at once.
    Transfer { from: usize, to: usize, by: i64 },
    /// Makes a receipt with the next number of a series.
    Receipt { series: usize },
    /// Claims a series by its name.
    Claim { series: usize },
}

/// One thing that happens. Devices are counted modulo those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An edit.
    Edit { device: usize, edit: Edit },
    /// The connection is reset.
    Cut { device: usize },
    /// Nothing gets through for so long.
    Partition { device: usize, for_ms: u64 },
    /// The connection goes silent.
    HalfOpen { device: usize },
    /// The device reads slowly for so long.
    Slow { device: usize, for_ms: u64 },
    /// The next attempt to connect arrives twice.
    ConnectTwice { device: usize },
    /// The wall clock moves.
    Skew { device: usize, by_ms: i64 },
    /// The process is killed; without power, only so many unflushed batches survive.
    Crash { device: usize, power: bool, keep: usize, down_ms: u64 },
    /// The disk is full for so long.
    Fill { device: usize, for_ms: u64 },
    /// A flush fails, then the power.
    FailFlush { device: usize, keep: usize },
    /// A call of the disk fails after so many others.
    FailCall { device: usize, after: u64, keep: usize },
    /// The disk's state is kept aside.
    Backup { device: usize },
    /// The state kept aside comes back, seen or unseen by the marker.
    Restore { device: usize, seen: bool },
    /// A copy of the disk becomes a new device.
    Clone { device: usize },
    /// The token ends.
    Revoke { device: usize },
    /// There is a new token.
    Renew { device: usize },
    /// As for a device.
    RelayCrash { power: bool, keep: usize, down_ms: u64, silent: bool },
    /// As for a device.
    RelayFill { for_ms: u64 },
    /// As for a device.
    RelayFailFlush { keep: usize },
    /// As for a device.
    RelayFailCall { after: u64, keep: usize },
    /// As for a device.
    RelayBackup,
    /// The old copy comes back.
    RelayRestore { down_ms: u64 },
    /// The relay begins again with nothing.
    RelayWipe { down_ms: u64 },
    /// The other relay takes over.
    RelaySwitch { down_ms: u64 },
}

/// A run's devices, records, and what happens when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where everything else that is drawn comes from: delays, jitter, actors, epochs.
    pub seed: u64,
    /// Devices at the beginning.
    pub devices: usize,
    /// Records that are edited again and again.
    pub records: usize,
    /// Whether messages may take long.
    pub delays: bool,
    /// What happens, in order of time.
    pub actions: Vec<(u64, Action)>,
}

impl Plan {
    /// The plan of a seed. Each run has some kinds of faults and not others, so that none hides another.
    pub fn draw(seed: u64) -> Self {
        Self::draw_within(seed, SAFETY_MS)
    }

    /// As [`Plan::draw`], for the simulation of sockets and tasks.
    pub fn draw_sessions(seed: u64) -> Self {
        Self::draw_within(seed, SESSIONS_SAFETY_MS)
    }

    fn draw_within(seed: u64, safety_ms: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let devices = rng.random_range(2..=DEVICES_MAX).min(rng.random_range(2..=DEVICES_MAX));
        let records = rng.random_range(1..=4);
        let delays = rng.random_bool(0.5);
        let mut actions = Vec::new();
        for _ in 0..rng.random_range(15..=60) {
            let device = rng.random_range(0..devices);
            actions.push((moment(&mut rng, safety_ms), Action::Edit { device, edit: edit(&mut rng, records) }));
        }
        let kinds: Vec<usize> = (0..KINDS).filter(|_| rng.random_bool(0.3)).collect();
        if !kinds.is_empty() {
            for _ in 0..rng.random_range(1..=14) {
                let kind = kinds[rng.random_range(0..kinds.len())];
                let device = rng.random_range(0..devices);
                let at = moment(&mut rng, safety_ms);
                fault(&mut rng, kind, device, (at, safety_ms), &mut actions);
            }
        }
        switches(seed, safety_ms, &mut actions);
        actions.sort_by_key(|(at, _)| *at);
        Self { seed, devices, records, delays, actions }
    }
}

/// In one of eight runs the shop goes over to its other relay, and back.
fn switches(seed: u64, safety_ms: u64, actions: &mut Vec<(u64, Action)>) {
    let mut rng = stream(seed, 3000, 0);
    if rng.random_bool(0.125) {
        for _ in 0..rng.random_range(1..=4) {
            let down_ms = rng.random_range(0..15_000);
            actions.push((moment(&mut rng, safety_ms), Action::RelaySwitch { down_ms }));
        }
    }
}

/// Things cluster: half of them within a few seconds of each other.
fn moment(rng: &mut StdRng, safety_ms: u64) -> u64 {
    match rng.random_bool(0.5) {
        true => rng.random_range(0..safety_ms / 20_000) * 20_000 + rng.random_range(0..2_000),
        false => rng.random_range(0..safety_ms),
    }
}

fn edit(rng: &mut StdRng, records: usize) -> Edit {
    let record = rng.random_range(0..records);
    let field = rng.random_range(0..3);
    let series = usize::from(rng.random_bool(0.25));
    match rng.random_range(0..23) {
        0..=4 => Edit::Put { record, field, value: rng.random_range(0..5) },
        5..=9 => Edit::Add { record, by: rng.random_range(-9..=9) },
        10 => Edit::Count { record, to: rng.random_range(0..100) },
        11 => Edit::Unset { record, field },
        12 => Edit::Delete { record },
        13..=14 => Edit::Restore { record },
        15 => Edit::Import { record },
        16..=17 => Edit::Transfer { from: record, to: rng.random_range(0..records), by: rng.random_range(1..9) },
        18..=20 => Edit::Receipt { series },
        _ => Edit::Claim { series },
    }
}

const KINDS: usize = 20;

fn fault(rng: &mut StdRng, kind: usize, device: usize, (at, safety_ms): (u64, u64), actions: &mut Vec<(u64, Action)>) {
    let keep = rng.random_range(0..3);
    let down_ms = rng.random_range(0..15_000);
    let for_ms = rng.random_range(500..60_000);
    let power = rng.random_bool(0.5);
    let after = rng.random_range(0..30);
    let later = (at + rng.random_range(1_000..50_000)).min(safety_ms - 1);
    let action = match kind {
        0 | 1 => Action::Cut { device },
        2 => Action::Partition { device, for_ms },
        3 => Action::HalfOpen { device },
        4 => Action::Slow { device, for_ms },
        5 => {
            actions.push((at + 1, Action::Cut { device }));
            Action::ConnectTwice { device }
        }
        6 => Action::Skew { device, by_ms: rng.random_range(-30_000_000..=30_000_000) },
        7 | 8 => Action::Crash { device, power, keep, down_ms },
        9 => Action::Fill { device, for_ms },
        10 => Action::FailFlush { device, keep },
        11 => Action::FailCall { device, after, keep },
        12 | 13 => {
            // Edits between the two, and at once behind, before anybody could be asked.
            actions.push((later, Action::Restore { device, seen: kind == 12 }));
            for at in [at + 1, later.saturating_sub(1), later + 1, later + 2] {
                let edit = match rng.random_range(0..3) {
                    0 => Edit::Receipt { series: 0 },
                    _ => Edit::Add { record: 0, by: rng.random_range(1..9) },
                };
                actions.push((at.min(safety_ms - 1), Action::Edit { device, edit }));
            }
            Action::Backup { device }
        }
        14 => Action::Clone { device },
        15 => {
            actions.push((later, Action::Renew { device }));
            Action::Revoke { device }
        }
        16 => Action::RelayCrash { power, keep, down_ms, silent: rng.random_bool(0.3) },
        17 => match rng.random_range(0..3) {
            0 => Action::RelayFill { for_ms },
            1 => Action::RelayFailFlush { keep },
            _ => Action::RelayFailCall { after, keep },
        },
        18 => {
            actions.push((later, Action::RelayRestore { down_ms }));
            Action::RelayBackup
        }
        _ => Action::RelayWipe { down_ms },
    };
    actions.push((at, action));
}

/// A generator for one purpose, so that leaving something out does not change the draws of the rest.
pub(crate) fn stream(seed: u64, purpose: u64, number: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&purpose.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    StdRng::from_seed(bytes)
}
