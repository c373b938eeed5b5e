//! Giving sled what the journal has, beside the commits: a thread writes what was applied up to a moment while new batches
//! go on. Must not know the journal's form.

use super::overlay::Overlay;
use super::tree::Tree;
use super::{FLUSHING, Pending};
use crate::disk::mark::Commit;
use crate::disk::{Batch, DiskError};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

/// What was applied: what sled does not have yet, and what is not durable yet.
pub(super) struct Newest {
    pub(super) overlay: Overlay,
    /// What a checkpoint writes: older than the overlay, newer than sled. Empty when there is none.
    pub(super) frozen: Arc<Overlay>,
    /// The commit that the frozen rows lead to.
    frozen_through: Commit,
    pub(super) pending: Pending,
}

impl Newest {
    /// When sled has everything, through `newest`.
    pub(super) fn after(newest: Commit) -> Self {
        let (overlay, pending) = (Overlay::default(), Pending::after(newest));
        Self { overlay, frozen: Arc::default(), frozen_through: newest, pending }
    }

    pub(super) fn apply(&mut self, batch: Batch) {
        self.pending.push(&batch);
        self.overlay.apply(batch);
    }

    /// The row under `key`, or `Some(None)` when it was removed; `None` when only sled knows.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.overlay.get(key).or_else(|| self.frozen.get(key))
    }

    /// Hands what was applied to a checkpoint; the one before has to be done.
    pub(super) fn freeze(&mut self) {
        self.frozen = Arc::new(std::mem::take(&mut self.overlay));
        self.frozen_through = self.pending.through();
    }
}

/// Sled with the rows it lacks.
pub(super) struct Rows {
    pub(super) tree: Tree,
    /// Sled's file.
    pub(super) data: File,
    /// Held for writing while a batch is applied, for reading while rows are read. Sled's own ranges can see half a batch;
    /// what a checkpoint writes is read from the frozen rows until all of it is there.
    pub(super) newest: RwLock<Newest>,
}

impl Rows {
    pub(super) fn between_batches(&self) -> RwLockReadGuard<'_, Newest> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn applying(&self) -> RwLockWriteGuard<'_, Newest> {
        self.newest.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives sled the frozen rows, durably. Unless they are all in the journal, it has to get them `at_once`, which keeps
    /// readers waiting.
    pub(super) fn checkpoint(&self, at_once: bool) -> Result<(), DiskError> {
        let (frozen, through) = {
            let newest = self.between_batches();
            (newest.frozen.clone(), newest.frozen_through)
        };
        if at_once {
            self.tree.write(&frozen, through)?;
        } else {
            // A power cut may leave any of these rows: the journal has them all, and the commit they follow is still the one
            // that sled says.
            self.tree.write_each(&frozen)?;
            self.sync()?;
            self.tree.write(&Overlay::default(), through)?;
        }
        self.sync()?;
        self.applying().frozen = Arc::default();
        Ok(())
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.tree.flush(FLUSHING)?;
        // Sled has synced what it wrote, as far as it knows; once more costs little beside what hangs on it.
        self.tree.io(FLUSHING, || self.data.sync_all())
    }
}

type Running = Option<JoinHandle<Result<(), DiskError>>>;

/// At most one checkpoint at a time.
#[derive(Default)]
pub(super) struct Checkpoints(Mutex<Running>);

/// No checkpoint is under way, and none begins while this is held.
pub(super) struct Idle<'c>(MutexGuard<'c, Running>);

impl Checkpoints {
    /// Returns once no checkpoint is under way. Fails as the last one did.
    pub(super) fn idle(&self) -> Result<Idle<'_>, DiskError> {
        let mut running = self.running();
        join(&mut running)?;
        Ok(Idle(running))
    }

    /// Fails as a checkpoint did that is over, without waiting for one.
    pub(super) fn heed(&self) -> Result<(), DiskError> {
        let mut running = self.running();
        if running.as_ref().is_some_and(JoinHandle::is_finished) { join(&mut running) } else { Ok(()) }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle<'_> {
    /// Starts a checkpoint of the frozen rows.
    pub(super) fn start(mut self, rows: &Arc<Rows>, at_once: bool) -> Result<(), DiskError> {
        let write = {
            let rows = rows.clone();
            move || rows.checkpoint(at_once)
        };
        match thread::Builder::new().name("sled-checkpoint".to_owned()).spawn(write) {
            Ok(thread) => *self.0 = Some(thread),
            // Without a thread to spare.
            Err(_) => rows.checkpoint(at_once)?,
        }
        Ok(())
    }
}

fn join(running: &mut Running) -> Result<(), DiskError> {
    match running.take().map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        // Sled's panics are caught where it is called.
        Some(Err(_)) => Err(DiskError::Damaged { what: "a checkpoint panicked".to_owned() }),
    }
}
