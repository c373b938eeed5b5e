//! A disk in memory whose power cuts and failures the caller chooses, for tests and simulation.
//! Must not know the time, chance, or any real file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, Disk, DiskError, Row};

/// An ordered store in memory. Clones are handles on the same store.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    visible: BTreeMap<Vec<u8>, Vec<u8>>,
    unflushed: Vec<Batch>,
    failure: Option<(u64, DiskError)>,
    flush_failure: Option<(u64, DiskError)>,
    full: bool,
    poisoned: bool,
    applies: u64,
    flushes: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: of the batches not yet flushed only the first `keep` survive, in the order they were applied.
    /// The disk is open again afterwards; a failure that was due is forgotten. Answers how many batches were lost.
    pub fn crash(&self, keep: usize) -> usize {
        let mut state = self.state();
        let unflushed = std::mem::take(&mut state.unflushed);
        let lost = unflushed.len().saturating_sub(keep);
        unflushed.into_iter().take(keep).for_each(|batch| write(&mut state.durable, batch));
        state.visible = state.durable.clone();
        (state.failure, state.flush_failure) = (None, None);
        state.poisoned = false;
        lost
    }

    /// Another disk with what is durable on this one: a backup, a clone, or the state to set a machine back to.
    pub fn snapshot(&self) -> Self {
        let durable = self.state().durable.clone();
        Self { state: Arc::new(Mutex::new(State { visible: durable.clone(), durable, ..State::default() })) }
    }

    /// Fills the disk up, or makes room again: while it is full, every write fails as [`SimDisk::fail_next`] lets one.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// Takes back failures that are due.
    pub fn forgive(&self) {
        let mut state = self.state();
        (state.failure, state.flush_failure) = (None, None);
    }

    /// As [`SimDisk::fail_next`], counting flushes alone.
    pub fn fail_flush(&self, after_flushes: u64, error: DiskError) {
        self.state().flush_failure = Some((after_flushes, error));
    }

    /// Lets `after_calls` more calls of [`Disk`] succeed, then fails one with `error`, without doing what it asks.
    /// From then on every call answers [`DiskError::Poisoned`] until [`SimDisk::reopen`] or [`SimDisk::crash`].
    pub fn fail_next(&self, after_calls: u64, error: DiskError) {
        self.state().failure = Some((after_calls, error));
    }

    /// Opens the disk again after a failure: what was applied is still visible, and still not durable if it was not.
    pub fn reopen(&self) {
        self.state().poisoned = false;
    }

    /// Whether an earlier failure keeps the disk closed.
    pub fn is_poisoned(&self) -> bool {
        self.state().poisoned
    }

    /// How many batches were applied, empty ones not counted.
    pub fn applies(&self) -> u64 {
        self.state().applies
    }

    /// How many flushes succeeded.
    pub fn flushes(&self) -> u64 {
        self.state().flushes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, once it is certain that this call is not the one to fail.
    fn call(&self) -> Result<MutexGuard<'_, State>, DiskError> {
        let mut state = self.state();
        if state.poisoned {
            return Err(DiskError::Poisoned);
        }
        match state.failure.take() {
            Some((0, error)) => {
                state.poisoned = true;
                return Err(error);
            }
            Some((calls, error)) => state.failure = Some((calls - 1, error)),
            None => {}
        }
        Ok(state)
    }
}

fn write(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: Batch) {
    for (key, value) in batch.rows {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}

fn owned((key, value): (&Vec<u8>, &Vec<u8>)) -> Row {
    (key.clone(), value.clone())
}

impl Disk for SimDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        super::check_key(key)?;
        Ok(self.call()?.visible.get(key).cloned())
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let state = self.call()?;
        let Some(bounds) = super::bounds(from, until) else { return Ok(Vec::new()) };
        Ok(state.visible.range::<[u8], _>(bounds).take(rows_max).map(owned).collect())
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let state = self.call()?;
        let Some(bounds) = super::bounds(from, until) else { return Ok(Vec::new()) };
        Ok(state.visible.range::<[u8], _>(bounds).rev().take(rows_max).map(owned).collect())
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        let state = self.call()?;
        let Some(bounds) = super::bounds(from, until) else { return Ok(None) };
        Ok(state.visible.range::<[u8], _>(bounds).next_back().map(owned))
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        super::check_batch(&batch)?;
        let mut state = self.call()?;
        if state.full && !batch.rows.is_empty() {
            state.poisoned = true;
            return Err(DiskError::Full { doing: "writing" });
        }
        if !batch.rows.is_empty() {
            write(&mut state.visible, batch.clone());
            state.unflushed.push(batch);
            state.applies += 1;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut state = self.call()?;
        match state.flush_failure.take() {
            Some((0, error)) => {
                state.poisoned = true;
                return Err(error);
            }
            Some((flushes, error)) => state.flush_failure = Some((flushes - 1, error)),
            None => {}
        }
        let unflushed = std::mem::take(&mut state.unflushed);
        unflushed.into_iter().for_each(|batch| write(&mut state.durable, batch));
        state.flushes += 1;
        Ok(())
    }
}
