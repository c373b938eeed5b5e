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

mod checkpoint;
mod journal;
mod making;
mod nudge;
mod overlay;
mod quiet;
mod recent;
mod release;
mod tree;

use checkpoint::{Checkpoints, Newest, Rows};
use journal::{Journal, Pending};
use making::{make_sled, sled_is_made};
use overlay::Overlay;
pub use quiet::quiet_panics;
use recent::Recent;
use release::{await_release, read_through, remove_half_snapshots};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tree::Tree;

use super::failure::io_error;
use super::folder::Folder;
use super::mark::Mark;
use super::room::Room;
use super::{Batch, CACHE_BYTES, Disk, DiskError, Row, StoreKind};

const OPENING: &str = "opening the store";
const READING: &str = "reading";
const FLUSHING: &str = "flushing";

/// Beside its pages sled's rows may take this part of their cache.
const ROWS_PART: u64 = 8;

/// How a [`SledDisk`] is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Memory sled may use as a cache, in bytes, an eighth of which again is for rows; sled takes some 100 MB at its
    /// busiest whatever is set here.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES }
    }
}

/// What is synced besides sled.
struct Durable {
    journal: Journal,
    mark: Mark,
}

/// A store in a folder, open in one process at a time. Dropping it closes it.
pub struct SledDisk {
    // Dropped in this order: the lock goes last.
    rows: Arc<Rows>,
    /// Rows of sled that have no newer ones beside it.
    recent: Recent,
    checkpoints: Checkpoints,
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
        let ((rows, durable), room) = Room::opening(&folder.dir, || open_files(&folder, options))?;
        let durable = Mutex::new(durable);
        let recent = Recent::new(options.cache_bytes / ROWS_PART);
        Ok(Self { rows: Arc::new(rows), recent, checkpoints: Checkpoints::default(), durable, room, folder })
    }

    /// Tells this store from a copy of it: a copied, restored or moved folder has another identity, and so has the same
    /// folder on another machine. Made of the lock file's device, inode and creation time and of the machine's id, as
    /// far as the system knows them; stable while the folder stays where it is.
    pub fn identity(&self) -> String {
        self.folder.identity.clone()
    }

    /// What was applied goes to sled, beside the commits that follow; it goes into the journal's other half first, so that
    /// sled can be given it row by row.
    fn flush_into_other_half(&self, durable: &mut Durable) -> Result<(), DiskError> {
        let tree = &self.rows.tree;
        let idle = self.checkpoints.idle()?;
        let pending = {
            let mut newest = self.rows.applying();
            newest.freeze();
            newest.pending.take()
        };
        durable.journal.switch();
        tree.io(FLUSHING, || durable.mark.sync())?;
        if pending.overflows() {
            self.rows.checkpoint(true)?;
        } else {
            tree.io(FLUSHING, || durable.journal.append(&pending))?;
            idle.start(&self.rows, false)?;
        }
        tree.io(FLUSHING, || durable.mark.advance(pending.through()))
    }
}

impl Disk for SledDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        super::check_key(key)?;
        let newest = self.rows.between_batches();
        self.rows.tree.call(READING, |db| match newest.get(key) {
            Some(value) => Ok(value.cloned()),
            None => self.recent.or_read(key, || Ok(db.get(key)?.map(|value| value.to_vec()))),
        })
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let Some(bounds) = super::bounds(from, until) else { return self.rows.tree.guarded(|| Ok(Vec::new())) };
        let newest = self.rows.between_batches();
        self.rows.tree.call(READING, |db| {
            let rows = db.range::<&[u8], _>(bounds).map(owned);
            newest.overlay.over(bounds, newest.frozen.over(bounds, rows)).take(rows_max).collect()
        })
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let Some(bounds) = super::bounds(from, until) else { return self.rows.tree.guarded(|| Ok(Vec::new())) };
        let newest = self.rows.between_batches();
        self.rows.tree.call(READING, |db| {
            let rows = db.range::<&[u8], _>(bounds).rev().map(owned);
            newest.overlay.over_back(bounds, newest.frozen.over_back(bounds, rows)).take(rows_max).collect()
        })
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        Ok(self.range_back(from, until, 1)?.pop())
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        super::check_batch(&batch)?;
        self.checkpoints.heed()?;
        let mut newest = self.rows.applying();
        self.rows.tree.guarded(|| Ok(()))?;
        if batch.rows.is_empty() {
            return Ok(());
        }
        self.room.check()?;
        batch.rows.keys().for_each(|key| self.recent.forget(key));
        newest.apply(batch);
        let is_full = newest.overlay.is_full();
        drop(newest);
        if is_full {
            let idle = self.checkpoints.idle()?;
            self.rows.applying().freeze();
            idle.start(&self.rows, true)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoints.heed()?;
        let tree = &self.rows.tree;
        let mut newest = self.rows.applying();
        if newest.pending.is_empty() {
            return tree.guarded(|| Ok(()));
        }
        let has_room = durable.journal.has_room(&newest.pending);
        if has_room {
            let pending = newest.pending.take();
            drop(newest);
            tree.io(FLUSHING, || durable.journal.append(&pending))?;
            return tree.io(FLUSHING, || durable.mark.advance(pending.through()));
        }
        drop(newest);
        self.flush_into_other_half(&mut durable)
    }
}

impl Drop for SledDisk {
    fn drop(&mut self) {
        // Saves the next opening the replay; what is durable is in the journal whatever comes of it.
        let _ = self.checkpoints.idle().and_then(|_idle| {
            self.rows.applying().freeze();
            self.rows.checkpoint(true)
        });
    }
}

/// Opens what the folder holds, or makes it.
fn open_files(folder: &Folder, options: &SledOptions) -> Result<(Rows, Durable), DiskError> {
    let dir = folder.dir.as_path();
    comptoir_fdatasync::link();
    let io = |error| io_error(OPENING, &error);
    let sled_dir = dir.join("sled");
    make_sled(dir, &sled_dir).map_err(io)?;
    remove_half_snapshots(&sled_dir).map_err(io)?;
    await_release(dir, &sled_dir.join("db"))?;
    read_through(&sled_dir).map_err(io)?;
    let config = sled::Config::new().path(&sled_dir).cache_capacity(options.cache_bytes).flush_every_ms(Some(500));
    let tree = Tree::open(&config)?;
    let mut overlay = Overlay::default();
    let (mut journal, newest) =
        Journal::open(&dir.join("journal"), &folder.identity, tree.newest_commit()?, |batch| overlay.apply(batch))?;
    // Of a new store, too: from then on a commit row that is gone is a loss.
    tree.write(&overlay, newest)?;
    // A process that was killed leaves writes that are visible and not durable; nothing may build on those.
    tree.flush(OPENING)?;
    let data = OpenOptions::new().read(true).write(true).open(sled_dir.join("db")).map_err(io)?;
    data.sync_all().map_err(io)?;
    OpenOptions::new().read(true).write(true).open(sled_dir.join("conf")).and_then(|f| f.sync_all()).map_err(io)?;
    journal.begin()?;
    let mark = Mark::open(&dir.join("mark"), newest)?;
    sled_is_made(dir, &sled_dir).map_err(io)?;
    let newest = RwLock::new(Newest::after(newest));
    Ok((Rows { tree, data, newest }, Durable { journal, mark }))
}

fn owned(row: sled::Result<(sled::IVec, sled::IVec)>) -> sled::Result<Row> {
    row.map(|(key, value)| (key.to_vec(), value.to_vec()))
}
