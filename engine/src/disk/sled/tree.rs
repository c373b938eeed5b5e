//! The calls of sled. Must not know the files beside it.

use super::OPENING;
use super::nudge::Nudge;
use super::overlay::Overlay;
use crate::disk::DiskError;
use crate::disk::failure::{Poison, io_error};
use crate::disk::mark::{COMMIT_KEY, Commit};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sled, with its panics caught, and shut after its first failure.
pub(super) struct Tree {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    nudge: Option<Nudge>,
    poison: Poison,
}

impl Tree {
    pub(super) fn open(config: &sled::Config) -> Result<Self, DiskError> {
        let db = caught(OPENING, || config.open())?;
        Ok(Self { nudge: Some(Nudge::start(db.clone())), db: Some(db), poison: Poison::default() })
    }

    pub(super) fn call<T>(
        &self,
        doing: &'static str,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, DiskError> {
        self.guarded(|| match &self.db {
            Some(db) => caught(doing, || call(db)),
            None => Err(DiskError::Poisoned),
        })
    }

    pub(super) fn flush(&self, doing: &'static str) -> Result<(), DiskError> {
        self.call(doing, |db| match &self.nudge {
            Some(nudge) => nudge.flush(db).map(|_| ()),
            None => db.flush().map(|_| ()),
        })
    }

    pub(super) fn io(&self, doing: &'static str, call: impl FnOnce() -> io::Result<()>) -> Result<(), DiskError> {
        self.poison.io(doing, call)
    }

    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        self.poison.guarded(call)
    }

    /// Writes rows in one batch, which makes `commit` the newest one.
    pub(super) fn write(&self, overlay: &Overlay, commit: Commit) -> Result<(), DiskError> {
        let mut writes = sled::Batch::default();
        writes.insert(COMMIT_KEY, &commit.encode());
        for (key, value) in overlay.rows() {
            match value {
                Some(value) => writes.insert(key.as_slice(), value.as_slice()),
                None => writes.remove(key.as_slice()),
            }
        }
        self.call("writing", |db| db.apply_batch(writes))
    }

    /// Writes rows one by one; readers need not wait.
    pub(super) fn write_each(&self, overlay: &Overlay) -> Result<(), DiskError> {
        overlay.rows().try_for_each(|(key, value)| {
            self.call("writing", |db| match value {
                Some(value) => db.insert(key, value.as_slice()).map(drop),
                None => db.remove(key).map(drop),
            })
        })
    }

    pub(super) fn newest_commit(&self) -> Result<Commit, DiskError> {
        let damaged = |what: &str| DiskError::Damaged { what: what.to_owned() };
        match self.call(OPENING, |db| Ok((db.get(COMMIT_KEY)?, db.is_empty())))? {
            (Some(row), _) => Commit::decode(&row).ok_or_else(|| damaged("the commit row is unreadable")),
            (None, true) => Ok(Commit::default()),
            (None, false) => Err(damaged("the commit row is gone")),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // With nothing left to write, sled's own flush at its end has nothing to wait for.
        let _ = self.flush("closing");
        drop(self.nudge.take());
        // Sled flushes when dropped, and may panic at what it finds; what is not durable yet was promised to nobody.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.db.take())));
    }
}

fn caught<T>(doing: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(io_error(doing, &error)),
        Ok(Err(error)) => Err(DiskError::Damaged { what: format!("sled, while {doing}: {error}") }),
        Err(_) => Err(DiskError::Damaged { what: format!("sled panicked while {doing}") }),
    }
}
