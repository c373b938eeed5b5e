//! A disk on redb 4: one table in one file, with a lock, a format number and a mark of how far it has come.
//! Must not know what the rows mean.
//!
//! The folder holds
//!
//! ```text
//! lock, format   see `folder.rs`
//! redb           the database, one table `rows`; its row ff ff "commit" is the newest commit, written in the same
//!                transaction as the commit
//! redb.new       the database while it is made
//! redb.mark      the newest commit known to be durable: see `mark.rs`
//! ```
//!
//! A batch is a transaction that others see at once and that is not durable; a flush is an empty transaction that is, and
//! with it all before it. Redb never writes over what a commit relies on, so it needs no journal. The mark is what it lacks:
//! it shows that the file was replaced by an older one, or that redb fell back to the commit before the newest because that
//! one is spoiled.
//!
//! Every opening reads the whole file and checks each page: one spoiled byte in a page that leads to others would make rows
//! vanish without a word, since redb checks pages by itself only after a process was killed.

use super::failure::{Poison, io_error};
use super::folder::{Folder, sync_folder};
use super::mark::{COMMIT_KEY, Commit, Mark};
use super::room::Room;
use super::{Batch, Disk, DiskError, Row, StoreKind};
use redb::{
    AccessGuard, Builder, Database, Durability, Error, ReadableDatabase, StorageError, TableDefinition, TableError,
};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const OPENING: &str = "opening the store";
const READING: &str = "reading";
const FLUSHING: &str = "flushing";
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// What is durable.
struct Durable {
    mark: Mark,
    through: Commit,
}

/// A store in a folder, open in one process at a time. Dropping it closes it.
pub struct RedbDisk {
    // Dropped in this order: the lock goes last.
    file: Base,
    /// Held while a batch is applied.
    newest: Mutex<Commit>,
    durable: Mutex<Durable>,
    room: Room,
    folder: Folder,
}

impl RedbDisk {
    /// Opens the store in `dir`, or makes one there if it is missing or empty. `cache_bytes` is the memory redb may use as
    /// a cache. What is visible afterwards is durable.
    ///
    /// Errors: [`DiskError::InUse`], [`DiskError::NotAStore`], [`DiskError::OtherKind`], [`DiskError::NewerFormat`],
    /// [`DiskError::Damaged`] when redb cannot read its file or has lost writes, [`DiskError::Full`] and
    /// [`DiskError::Io`].
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, DiskError> {
        Self::open_in(Folder::open(dir, Some(StoreKind::Redb))?, cache_bytes)
    }

    /// As [`RedbDisk::open`], in a folder that is locked already.
    pub(super) fn open_in(folder: Folder, cache_bytes: u64) -> Result<Self, DiskError> {
        let ((file, durable), room) = Room::opening(&folder.dir, || open_files(&folder.dir, cache_bytes))?;
        Ok(Self { file, newest: Mutex::new(durable.through), durable: Mutex::new(durable), room, folder })
    }

    /// As [`super::Opened::identity`].
    pub fn identity(&self) -> String {
        self.folder.identity.clone()
    }

    /// At most `rows_max` rows of a range, from its start or from its end.
    fn rows(&self, from: &[u8], until: &[u8], rows_max: usize, back: bool) -> Result<Vec<Row>, DiskError> {
        let Some(bounds) = super::bounds(from, until) else {
            return self.file.poison.guarded(|| Ok(Vec::new()));
        };
        self.file.call(READING, |db| {
            let mut range = db.begin_read()?.open_table(ROWS)?.range::<&[u8]>(bounds)?;
            let next = || if back { range.next_back() } else { range.next() };
            Ok(std::iter::from_fn(next).take(rows_max).map(owned).collect::<Result<_, _>>()?)
        })
    }
}

/// Opens what the folder holds, or makes it.
fn open_files(dir: &Path, cache_bytes: u64) -> Result<(Base, Durable), DiskError> {
    let path = dir.join("redb");
    if !path.exists() {
        make(dir, &path)?;
    }
    let db = caught(OPENING, || Ok(builder(cache_bytes).set_check_integrity_on_open(true).open(&path)?))?;
    let file = Base { db: Some(db), poison: Poison::default() };
    let newest = file.newest_commit()?;
    let mark = Mark::open(&dir.join("redb.mark"), newest)?;
    sync_folder(dir).map_err(|error| io_error(OPENING, &error))?;
    Ok((file, Durable { mark, through: newest }))
}

impl Disk for RedbDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        super::check_key(key)?;
        self.file.call(READING, |db| Ok(db.begin_read()?.open_table(ROWS)?.get(key)?.map(|row| row.value().to_vec())))
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.rows(from, until, rows_max, false)
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.rows(from, until, rows_max, true)
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        Ok(self.range_back(from, until, 1)?.pop())
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        super::check_batch(&batch)?;
        let mut newest = held(&self.newest);
        self.file.poison.guarded(|| Ok(()))?;
        if batch.rows.is_empty() {
            return Ok(());
        }
        self.room.check()?;
        let pieces = batch.rows.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]).flatten();
        let commit = newest.next(pieces.map(Vec::as_slice));
        self.file.call("writing", |db| {
            let mut write = db.begin_write()?;
            write.set_durability(Durability::None)?;
            let mut table = write.open_table(ROWS)?;
            for (key, value) in &batch.rows {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
            table.insert(COMMIT_KEY, commit.encode().as_slice())?;
            drop(table);
            Ok(write.commit()?)
        })?;
        *newest = commit;
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let mut durable = held(&self.durable);
        let through = *held(&self.newest);
        if through == durable.through {
            return self.file.poison.guarded(|| Ok(()));
        }
        self.file.call(FLUSHING, |db| Ok(db.begin_write()?.commit()?))?;
        durable.through = through;
        self.file.poison.io(FLUSHING, || durable.mark.advance(through))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Found<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

fn owned(row: Result<Found<'_>, StorageError>) -> Result<Row, StorageError> {
    row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
}

fn builder(cache_bytes: u64) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(cache_bytes).unwrap_or(usize::MAX));
    builder
}

/// Makes an empty database beside its place and moves it there: redb opens no file whose making was cut short.
fn make(dir: &Path, path: &Path) -> Result<(), DiskError> {
    const MAKING: &str = "making the store";
    let io = |error| io_error(MAKING, &error);
    let new = dir.join("redb.new");
    File::create(&new).map_err(io)?;
    caught(MAKING, || {
        let write = builder(super::CACHE_BYTES).create(&new)?;
        let rows = write.begin_write()?;
        rows.open_table(ROWS)?.insert(COMMIT_KEY, Commit::default().encode().as_slice())?;
        Ok(rows.commit()?)
    })?;
    OpenOptions::new().write(true).open(&new).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&new, path).and_then(|()| sync_folder(dir)).map_err(io)
}

/// Redb, with its panics caught, and shut after its first failure.
struct Base {
    /// `None` only while it is dropped.
    db: Option<Database>,
    poison: Poison,
}

impl Base {
    fn call<T>(&self, doing: &'static str, call: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, DiskError> {
        self.poison.guarded(|| match &self.db {
            Some(db) => caught(doing, || call(db)),
            None => Err(DiskError::Poisoned),
        })
    }

    fn newest_commit(&self) -> Result<Commit, DiskError> {
        let damaged = |what: &str| DiskError::Damaged { what: what.to_owned() };
        let row = self.call(OPENING, |db| {
            let table = match db.begin_read()?.open_table(ROWS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.get(COMMIT_KEY)?.map(|row| Commit::decode(row.value())))
        })?;
        row.ok_or_else(|| damaged("the commit row is gone"))?.ok_or_else(|| damaged("the commit row is unreadable"))
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // Redb writes when dropped, and may panic at what it finds; what is not durable yet was promised to nobody.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.db.take())));
    }
}

fn caught<T>(doing: &'static str, call: impl FnOnce() -> Result<T, Error>) -> Result<T, DiskError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        // So redb calls a file that is not its own, or ends too early.
        Ok(Err(Error::Io(error))) if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Err(io_error(doing, &error))
        }
        Ok(Err(error)) => Err(DiskError::Damaged { what: format!("redb, while {doing}: {error}") }),
        Err(_) => Err(DiskError::Damaged { what: format!("redb panicked while {doing}") }),
    }
}
