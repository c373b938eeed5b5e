//! A disk on sled 0.34.7: one tree in a folder, with a lock, a format number and a mark of how far it has come.
//! Must not know what the rows mean.
//!
//! The folder holds
//!
//! ```text
//! lock     held while the store is open
//! format   the format version of the folder, as text: "1\n"
//! sled/    the sled database; its row ff ff "commit" is the newest commit, written in the same batch as the commit
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

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use super::{Batch, Disk, DiskError, Row};

const FORMAT_VERSION: u8 = 1;
const COMMIT_VERSION: u8 = 1;
const COMMIT_KEY: &[u8] = b"\xff\xffcommit";
const COMMIT_BYTES: usize = 17;
/// Each slot has a page of its own, so that a torn write spoils one at most.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const SLOT_BYTES: usize = 64;
/// The mark is only a lower bound, so its file is synced once in so many commits.
const MARK_SYNC_COMMITS: u64 = 64;
/// How long sled's threads may take to let go of the file after their database was dropped: milliseconds as a rule.
const RELEASE_WAITS_MAX: u32 = 1_000;
const RELEASE_WAIT_MS: u64 = 5;

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
        make_folder(&sled_dir).map_err(io)?;
        remove_half_snapshots(&sled_dir).map_err(io)?;
        await_release(dir, &sled_dir.join("db"))?;
        let config = sled::Config::new().path(&sled_dir).cache_capacity(options.cache_bytes).flush_every_ms(Some(500));
        let tree = Tree { db: Some(caught(OPENING, || config.open())?), poisoned: AtomicBool::new(false) };
        // A process that was killed leaves writes that are visible and not durable; nothing may build on those.
        tree.call(OPENING, |db| db.flush())?;
        let data = OpenOptions::new().read(true).write(true).open(sled_dir.join("db")).map_err(io)?;
        data.sync_all().map_err(io)?;
        OpenOptions::new().read(true).write(true).open(sled_dir.join("conf")).and_then(|f| f.sync_all()).map_err(io)?;
        let newest = tree.newest_commit()?;
        let mark = Mark::open(&dir.join("mark"), newest)?;
        sync_folder(&sled_dir).and_then(|()| sync_folder(dir)).map_err(io)?;
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
        self.tree.call("flushing", |db| db.flush())?;
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
    poisoned: AtomicBool,
}

impl Tree {
    fn call<T>(&self, doing: &'static str, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, DiskError> {
        self.guarded(|| match &self.db {
            Some(db) => caught(doing, || call(db)),
            None => Err(DiskError::Poisoned),
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

/// How many batches were applied, and a checksum chained over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Commit {
    number: u64,
    chain: u32,
}

impl Commit {
    fn next(self, batch: &Batch) -> Self {
        let number = self.number + 1;
        let mut hasher = crc32fast::Hasher::new_with_initial(self.chain);
        hasher.update(&number.to_le_bytes());
        for (key, value) in &batch.rows {
            hasher.update(&(key.len() as u32).to_le_bytes());
            hasher.update(key);
            // A removal is told from an empty value by a length no value has.
            hasher.update(&value.as_ref().map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
            hasher.update(value.as_deref().unwrap_or_default());
        }
        Self { number, chain: hasher.finalize() }
    }

    fn encode(self) -> [u8; COMMIT_BYTES] {
        let mut bytes = [0; COMMIT_BYTES];
        bytes[0] = COMMIT_VERSION;
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.chain.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..13]);
        bytes[13..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; COMMIT_BYTES] = bytes.try_into().ok()?;
        let number = u64::from_le_bytes(bytes[1..9].try_into().ok()?);
        let chain = u32::from_le_bytes(bytes[9..13].try_into().ok()?);
        let commit = Self { number, chain };
        (commit.encode() == bytes).then_some(commit)
    }
}

/// The file that remembers the newest durable commit outside sled.
struct Mark {
    file: File,
    marked: Commit,
    synced: Commit,
    slot: usize,
}

impl Mark {
    /// Opens or makes the mark of a store whose newest commit is `newest`, and moves it there.
    fn open(path: &Path, newest: Commit) -> Result<Self, DiskError> {
        let io = |error| io_error("opening the mark", &error);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let slots = SLOT_OFFSETS.map(|offset| {
            let slot = bytes.get(offset as usize..)?.get(..COMMIT_BYTES)?;
            Commit::decode(slot)
        });
        let (slot, marked) = match slots {
            [Some(first), Some(second)] if second.number > first.number => (1, second),
            [Some(first), _] => (0, first),
            [None, Some(second)] => (1, second),
            [None, None] => (1, Commit::default()),
        };
        if newest.number < marked.number {
            let what = format!("the newest writes are gone: {} of {} commits left", newest.number, marked.number);
            return Err(DiskError::Damaged { what });
        }
        if newest.number == marked.number && newest.chain != marked.chain {
            let what = format!("commit {} is another one than was saved", newest.number);
            return Err(DiskError::Damaged { what });
        }
        let mut mark = Self { file, marked, synced: marked, slot };
        mark.write(newest).and_then(|()| mark.sync()).map_err(io)?;
        Ok(mark)
    }

    fn advance(&mut self, reached: Commit) -> io::Result<()> {
        // Of two flushes at once, the later one may have been here first.
        if reached.number <= self.marked.number {
            return Ok(());
        }
        self.write(reached)?;
        if reached.number - self.synced.number >= MARK_SYNC_COMMITS { self.sync() } else { Ok(()) }
    }

    fn write(&mut self, commit: Commit) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES];
        slot[..COMMIT_BYTES].copy_from_slice(&commit.encode());
        self.slot = 1 - self.slot;
        self.file.seek(SeekFrom::Start(SLOT_OFFSETS[self.slot]))?;
        self.file.write_all(&slot)?;
        self.marked = commit;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.synced = self.marked;
        Ok(())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // A mark that stays behind is still a lower bound.
        let _ = self.sync();
    }
}

/// Makes `dir` and the folders above it; each new one is synced into the one above.
fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
        _ => sync_folder(above),
    }
}

#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Other systems sync a folder's entries with the files in it.
#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// The format number is the first thing a new store gets after its lock: a folder with other things and without it is
/// somebody else's. `lost+found` is what an empty drive holds.
fn refuse_foreign(dir: &Path) -> Result<(), DiskError> {
    let io = |error| io_error("opening the store", &error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let ours = ["lock", "format", "format.new", "lost+found"].iter().any(|known| name == *known);
        if !ours && !dir.join("format").exists() {
            return Err(DiskError::NotAStore { path: dir.to_owned() });
        }
    }
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File, DiskError> {
    let io = |error| io_error("locking the store", &error);
    let path = dir.join("lock");
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DiskError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// A sled that this process dropped a moment ago may still have its file open, and locked, in a thread of its own.
fn await_release(dir: &Path, db: &Path) -> Result<(), DiskError> {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(db) else { return Ok(()) };
    for _ in 0..RELEASE_WAITS_MAX {
        // Where files cannot be locked, sled does not lock its own either.
        let Err(TryLockError::WouldBlock) = file.try_lock() else { return Ok(()) };
        sleep(Duration::from_millis(RELEASE_WAIT_MS));
    }
    Err(DiskError::InUse { path: dir.to_owned() })
}

/// Reads the folder's format number, or writes it into a new folder.
fn settle_format(dir: &Path) -> Result<(), DiskError> {
    let io = |error| io_error("reading the store's format", &error);
    let path = dir.join("format");
    match fs::read(&path) {
        Ok(text) => match String::from_utf8_lossy(&text).trim().parse::<u8>() {
            Ok(FORMAT_VERSION) => Ok(()),
            Ok(found) if found > FORMAT_VERSION => Err(DiskError::NewerFormat { found, known: FORMAT_VERSION }),
            _ => Err(DiskError::Damaged { what: "the file `format` holds no version".to_owned() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let new = dir.join("format.new");
            File::create(&new)
                .and_then(|mut file| writeln!(file, "{FORMAT_VERSION}").and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&new, &path))
                .and_then(|()| sync_folder(dir))
                .map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Sled 0.34.7 opens no folder in which a process died while it wrote a snapshot.
fn remove_half_snapshots(sled_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(sled_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn identity(lock: &File) -> io::Result<String> {
    let metadata = lock.metadata()?;
    let created = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let created_ns = created.map_or(0, |since| since.as_nanos());
    #[cfg(unix)]
    let (device, inode) = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let (device, inode) = (0, 0);
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    Ok(format!("{device}-{inode}-{created_ns}-{}", machine.trim()))
}
