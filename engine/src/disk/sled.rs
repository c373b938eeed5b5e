//! A disk on sled 0.34.7: one tree in a folder, with a lock, a format number and a mark of how far it has come.
//! Must not know what the rows mean.
//!
//! The folder holds
//!
//! ```text
//! lock     held while the store is open
//! format   the format version of the folder, as text: "1\n"
//! sled/    the sled database; its row ff ff "commit" is the newest commit, written in the same batch as the commit
//! making   only while sled's files are made for the first time
//! mark     the newest commit known to be durable, in one of two slots, at bytes 0 and 4096
//! commit   [version u8 = 1][number u64][chain u32][crc32 of these 13 bytes, u32], little-endian, in both places
//! ```
//!
//! Sled can lose its newest writes without a word when its file is damaged, and its folder can be replaced by an older
//! copy. The mark is written after a flush, never before, so it trails what is durable: a sled whose newest commit is
//! below the mark, or has its number but another chain, has lost writes. A mark that is missing or unreadable is made
//! again from sled's row: without it nothing is known to be lost.
//!
//! What this does not see: a byte spoiled in the middle of sled's log can bring back an older state of some rows, each
//! with a valid checksum, while the newest commit is still there. Only a digest over the rows themselves shows that.

mod folder;
mod mark;
mod nudge;
mod quiet;

use folder::{
    await_release, identity, make_folder, make_sled, read_through, refuse_foreign, remove_half_snapshots,
    settle_format, sled_is_made, take_lock,
};
use mark::{Commit, Mark};
use nudge::Nudge;
pub use quiet::quiet_panics;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::{Batch, Disk, DiskError, Row};

const COMMIT_KEY: &[u8] = b"\xff\xffcommit";

/// How a [`SledDisk`] is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Memory sled may use as a cache, in bytes; sled takes some 100 MB at its busiest whatever is set here.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20 }
    }
}

/// A store in a folder, open in one process at a time. Dropping it closes it.
pub struct SledDisk {
    // Dropped in this order: the lock goes last.
    tree: Tree,
    data: File,
    /// Held for writing while a batch is applied, for reading while rows are read: sled's own ranges can see half a batch.
    newest: RwLock<Commit>,
    mark: Mutex<Mark>,
    identity: String,
    _lock: File,
}

impl SledDisk {
    /// Opens the store in `dir`, or makes one there if it is missing or empty. What is visible afterwards is durable.
    ///
    /// Errors: [`DiskError::InUse`], [`DiskError::NotAStore`], [`DiskError::NewerFormat`], [`DiskError::Damaged`] when
    /// sled cannot read its file or has lost writes, [`DiskError::Full`] and [`DiskError::Io`].
    pub fn open(dir: &Path, options: &SledOptions) -> Result<Self, DiskError> {
        const OPENING: &str = "opening the store";
        let io = |error| io_error(OPENING, &error);
        make_folder(dir).map_err(io)?;
        refuse_foreign(dir)?;
        let lock = take_lock(dir)?;
        let identity = identity(&lock).map_err(io)?;
        settle_format(dir)?;
        let sled_dir = dir.join("sled");
        make_sled(dir, &sled_dir).map_err(io)?;
        remove_half_snapshots(&sled_dir).map_err(io)?;
        await_release(dir, &sled_dir.join("db"))?;
        read_through(&sled_dir).map_err(io)?;
        let config = sled::Config::new().path(&sled_dir).cache_capacity(options.cache_bytes).flush_every_ms(Some(500));
        let db = caught(OPENING, || config.open())?;
        let tree = Tree { nudge: Some(Nudge::start(db.clone())), db: Some(db), poisoned: AtomicBool::new(false) };
        // A process that was killed leaves writes that are visible and not durable; nothing may build on those.
        tree.flush(OPENING)?;
        let data = OpenOptions::new().read(true).write(true).open(sled_dir.join("db")).map_err(io)?;
        data.sync_all().map_err(io)?;
        OpenOptions::new().read(true).write(true).open(sled_dir.join("conf")).and_then(|f| f.sync_all()).map_err(io)?;
        let newest = tree.newest_commit()?;
        let mark = Mark::open(&dir.join("mark"), newest)?;
        sled_is_made(dir, &sled_dir).map_err(io)?;
        Ok(Self { tree, data, newest: RwLock::new(newest), mark: Mutex::new(mark), identity, _lock: lock })
    }

    /// Tells this store from a copy of it: a copied, restored or moved folder has another identity, and so has the same
    /// folder on another machine. Made of the lock file's device, inode and creation time and of the machine's id, as
    /// far as the system knows them; stable while the folder stays where it is.
    pub fn identity(&self) -> String {
        self.identity.clone()
    }

    fn between_batches(&self) -> RwLockReadGuard<'_, Commit> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SledDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        super::check_key(key)?;
        let _newest = self.between_batches();
        Ok(self.tree.call("reading", |db| db.get(key))?.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let bounds = super::bounds(from, until);
        let _newest = self.between_batches();
        self.tree.call("reading", |db| match bounds {
            Some(bounds) => db.range::<&[u8], _>(bounds).take(rows_max).map(|row| row.map(owned)).collect(),
            None => Ok(Vec::new()),
        })
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        let bounds = super::bounds(from, until);
        let _newest = self.between_batches();
        self.tree.call("reading", |db| match bounds {
            Some(bounds) => db.range::<&[u8], _>(bounds).rev().take(rows_max).map(|row| row.map(owned)).collect(),
            None => Ok(Vec::new()),
        })
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        let bounds = super::bounds(from, until);
        let _newest = self.between_batches();
        self.tree.call("reading", |db| match bounds {
            Some(bounds) => db.range::<&[u8], _>(bounds).next_back().map(|row| row.map(owned)).transpose(),
            None => Ok(None),
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        super::check_batch(&batch)?;
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let next = if batch.rows.is_empty() { *newest } else { newest.next(&batch) };
        let mut writes = sled::Batch::default();
        writes.insert(COMMIT_KEY, &next.encode());
        for (key, value) in batch.rows {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.tree.call("writing", |db| if next == *newest { Ok(()) } else { db.apply_batch(writes) })?;
        *newest = next;
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let reached = *self.between_batches();
        self.tree.flush("flushing")?;
        // Sled's own flush is `sync_file_range` on Linux, which a power cut undoes.
        self.tree.io("flushing", || self.data.sync_all())?;
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        self.tree.io("flushing", || mark.advance(reached))
    }
}

fn owned((key, value): (sled::IVec, sled::IVec)) -> Row {
    (key.to_vec(), value.to_vec())
}

/// Sled, with its panics caught, and shut after its first failure.
struct Tree {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    nudge: Option<Nudge>,
    poisoned: AtomicBool,
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
        self.guarded(|| call().map_err(|error| io_error(doing, &error)))
    }

    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(DiskError::Poisoned);
        }
        let outcome = call();
        if outcome.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        outcome
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

fn io_error(doing: &'static str, error: &io::Error) -> DiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => DiskError::Full { doing },
        _ => DiskError::Io { doing, cause: error.to_string() },
    }
}
