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
    /// The disk is open again afterwards; a failure that was due is forgotten.
    pub fn crash(&self, keep: usize) {
        let mut state = self.state();
        let unflushed = std::mem::take(&mut state.unflushed);
        unflushed.into_iter().take(keep).for_each(|batch| write(&mut state.durable, batch));
        state.visible = state.durable.clone();
        state.failure = None;
        state.poisoned = false;
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
        if !batch.rows.is_empty() {
            write(&mut state.visible, batch.clone());
            state.unflushed.push(batch);
            state.applies += 1;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut state = self.call()?;
        let unflushed = std::mem::take(&mut state.unflushed);
        unflushed.into_iter().for_each(|batch| write(&mut state.durable, batch));
        state.flushes += 1;
        Ok(())
    }
}
