//! A disk on sled 0.34.7: one tree in a folder, with a lock, a format number and a mark of how far it has come.
//! Must not know what the rows mean.
//!
//! The folder holds
//!
//! ```text
//! lock     see `folder.rs`, and so `format`
//! sled/    the sled database; its row ff ff "commit" is the newest commit, written in the same batch as the commit
//! reserve  see `room.rs`
//! journal  the newest commits, of which sled may not have all: see `sled/journal.rs`
//! making   only while sled's files are made for the first time
//! mark     the newest commit known to be durable, in one of two slots, at bytes 0 and 4096
//! commit   [version u8 = 1][number u64][chain u32][crc32 of these 13 bytes, u32], little-endian, in both places
//! ```
//!
//! Sled can lose its newest writes without a word when its file is damaged, and its folder can be replaced by an older
//! copy. The mark is written after a flush, never before, so it trails what is durable: a store whose newest commit is
//! below the mark, or has its number but another chain, has lost writes, and so has one whose journal holds a frame that
//! does not follow what sled has. A mark that is missing or unreadable is made
//! again from sled's row: without it nothing is known to be lost.
//!
//! What this does not see: a byte spoiled in the middle of sled's log can bring back an older state of some rows, each
//! with a valid checksum, while the newest commit is still there. Only a digest over the rows themselves shows that.

mod journal;
mod making;
mod nudge;
mod overlay;
mod quiet;
mod release;

use journal::{Journal, Pending};
use making::{make_sled, sled_is_made};
use nudge::Nudge;
use overlay::Overlay;
pub use quiet::quiet_panics;
use release::{await_release, read_through, remove_half_snapshots};
use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::failure::{Poison, io_error};
use super::folder::Folder;
use super::mark::{COMMIT_KEY, Commit, Mark};
use super::room::Room;
use super::{Batch, CACHE_BYTES, Disk, DiskError, Row, StoreKind};

const READING: &str = "reading";
const FLUSHING: &str = "flushing";

/// How a [`SledDisk`] is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Memory sled may use as a cache, in bytes; sled takes some 100 MB at its busiest whatever is set here.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES }
    }
}

/// What was applied: what sled does not have yet, and what is not durable yet.
struct Newest {
    overlay: Overlay,
    pending: Pending,
}

/// What is synced besides sled.
struct Durable {
    journal: Journal,
    mark: Mark,
}

/// A store in a folder, open in one process at a time. Dropping it closes it.
pub struct SledDisk {
    // Dropped in this order: the lock goes last.
    tree: Tree,
    data: File,
    /// Held for writing while a batch is applied, for reading while rows are read: sled's own ranges can see half a batch.
    newest: RwLock<Newest>,
    durable: Mutex<Durable>,
    room: Room,
    folder: Folder,
}

impl SledDisk {
    /// Opens the store in `dir`, or makes one there if it is missing or empty. What is visible afterwards is durable.
    ///
    /// Errors: [`DiskError::InUse`], [`DiskError::NotAStore`], [`DiskError::NewerFormat`], [`DiskError::Damaged`] when
    /// sled cannot read its file or has lost writes, [`DiskError::Full`] and [`DiskError::Io`].
    pub fn open(dir: &Path, options: &SledOptions) -> Result<Self, DiskError> {
        Self::open_in(Folder::open(dir, Some(StoreKind::Sled))?, options)
    }

    /// As [`SledDisk::open`], in a folder that is locked already.
    pub(super) fn open_in(folder: Folder, options: &SledOptions) -> Result<Self, DiskError> {
        let ((tree, data, newest, durable), room) = Room::opening(&folder.dir, || open_files(&folder.dir, options))?;
        Ok(Self { tree, data, newest: RwLock::new(newest), durable: Mutex::new(durable), room, folder })
    }

    /// Tells this store from a copy of it: a copied, restored or moved folder has another identity, and so has the same
    /// folder on another machine. Made of the lock file's device, inode and creation time and of the machine's id, as
    /// far as the system knows them; stable while the folder stays where it is.
    pub fn identity(&self) -> String {
        self.folder.identity.clone()
    }

    fn between_batches(&self) -> RwLockReadGuard<'_, Newest> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn applying(&self) -> RwLockWriteGuard<'_, Newest> {
        self.newest.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives sled what it lacks, and makes that durable.
    fn sync_sled(&self) -> Result<(), DiskError> {
        self.tree.take_over(&mut self.applying())?;
        self.tree.flush(FLUSHING)?;
        // Sled's own flush is `sync_file_range` on Linux, which a power cut undoes.
        self.tree.io(FLUSHING, || self.data.sync_all())
    }
}

impl Disk for SledDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        super::check_key(key)?;
        let newest = self.between_batches();
        self.tree.call(READING, |db| match newest.overlay.get(key) {
            Some(value) => Ok(value.cloned()),
            None => Ok(db.get(key)?.map(|value| value.to_vec())),
        })
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let Some(bounds) = super::bounds(from, until) else { return self.tree.guarded(|| Ok(Vec::new())) };
        let newest = self.between_batches();
        self.tree.call(READING, |db| {
            let rows = db.range::<&[u8], _>(bounds).map(owned);
            newest.overlay.over(bounds, rows).take(rows_max).collect()
        })
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let Some(bounds) = super::bounds(from, until) else { return self.tree.guarded(|| Ok(Vec::new())) };
        let newest = self.between_batches();
        self.tree.call(READING, |db| {
            let rows = db.range::<&[u8], _>(bounds).rev().map(owned);
            newest.overlay.over_back(bounds, rows).take(rows_max).collect()
        })
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        Ok(self.range_back(from, until, 1)?.pop())
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        super::check_batch(&batch)?;
        let mut newest = self.applying();
        self.tree.guarded(|| Ok(()))?;
        if batch.rows.is_empty() {
            return Ok(());
        }
        self.room.check()?;
        newest.pending.push(&batch);
        newest.overlay.apply(batch);
        if newest.overlay.is_full() { self.tree.take_over(&mut newest) } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.applying().pending.take();
        if pending.is_empty() {
            return self.tree.guarded(|| Ok(()));
        }
        let mut fits = false;
        self.tree.io(FLUSHING, || durable.journal.append(&pending).map(|written| fits = written))?;
        if !fits {
            self.sync_sled()?;
            durable.journal.restart();
            self.tree.io(FLUSHING, || durable.mark.sync())?;
        }
        self.tree.io(FLUSHING, || durable.mark.advance(pending.through()))
    }
}

impl Drop for SledDisk {
    fn drop(&mut self) {
        // Saves the next opening the replay; what is durable is in the journal whatever comes of it.
        let _ = self.tree.take_over(&mut self.applying());
    }
}

/// Opens what the folder holds, or makes it.
fn open_files(dir: &Path, options: &SledOptions) -> Result<(Tree, File, Newest, Durable), DiskError> {
    const OPENING: &str = "opening the store";
    let io = |error| io_error(OPENING, &error);
    let sled_dir = dir.join("sled");
    make_sled(dir, &sled_dir).map_err(io)?;
    remove_half_snapshots(&sled_dir).map_err(io)?;
    await_release(dir, &sled_dir.join("db"))?;
    read_through(&sled_dir).map_err(io)?;
    let config = sled::Config::new().path(&sled_dir).cache_capacity(options.cache_bytes).flush_every_ms(Some(500));
    let db = caught(OPENING, || config.open())?;
    let tree = Tree { nudge: Some(Nudge::start(db.clone())), db: Some(db), poison: Poison::default() };
    let mut overlay = Overlay::default();
    let (journal, newest) = Journal::open(&dir.join("journal"), tree.newest_commit()?, |batch| overlay.apply(batch))?;
    // A process that was killed leaves writes that are visible and not durable; nothing may build on those.
    tree.flush(OPENING)?;
    let data = OpenOptions::new().read(true).write(true).open(sled_dir.join("db")).map_err(io)?;
    data.sync_all().map_err(io)?;
    OpenOptions::new().read(true).write(true).open(sled_dir.join("conf")).and_then(|f| f.sync_all()).map_err(io)?;
    let mark = Mark::open(&dir.join("mark"), newest)?;
    sled_is_made(dir, &sled_dir).map_err(io)?;
    let newest = Newest { overlay, pending: Pending::after(newest) };
    Ok((tree, data, newest, Durable { journal, mark }))
}

fn owned(row: sled::Result<(sled::IVec, sled::IVec)>) -> sled::Result<Row> {
    row.map(|(key, value)| (key.to_vec(), value.to_vec()))
}

/// Sled, with its panics caught, and shut after its first failure.
struct Tree {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    nudge: Option<Nudge>,
    poison: Poison,
}

impl Tree {
    fn call<T>(&self, doing: &'static str, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, DiskError> {
        self.guarded(|| match &self.db {
            Some(db) => caught(doing, || call(db)),
            None => Err(DiskError::Poisoned),
        })
    }

    fn flush(&self, doing: &'static str) -> Result<(), DiskError> {
        self.call(doing, |db| match &self.nudge {
            Some(nudge) => nudge.flush(db).map(|_| ()),
            None => db.flush().map(|_| ()),
        })
    }

    fn io(&self, doing: &'static str, call: impl FnOnce() -> io::Result<()>) -> Result<(), DiskError> {
        self.poison.io(doing, call)
    }

    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        self.poison.guarded(call)
    }

    /// Gives sled the rows it lacks, in one batch.
    fn take_over(&self, newest: &mut Newest) -> Result<(), DiskError> {
        let batch = newest.overlay.take();
        if batch.rows.is_empty() {
            return Ok(());
        }
        let mut writes = sled::Batch::default();
        writes.insert(COMMIT_KEY, &newest.pending.through().encode());
        for (key, value) in batch.rows {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.call("writing", |db| db.apply_batch(writes))
    }

    fn newest_commit(&self) -> Result<Commit, DiskError> {
        let damaged = |what: &str| DiskError::Damaged { what: what.to_owned() };
        match self.call("opening the store", |db| Ok((db.get(COMMIT_KEY)?, db.is_empty())))? {
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
