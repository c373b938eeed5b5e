//! The narrow trait the store and the relay's log stand on: ordered keys, atomic batch, durable flush.
//! Must not know what the rows mean.

use std::ops::Bound;
use std::path::PathBuf;

mod failure;
mod folder;
mod kind;
mod mark;
mod migrate;
pub mod redb;
mod room;
pub mod sim;
pub mod sled;
pub mod txn;

pub use kind::{Opened, StoreKind, UnknownStore, open};
pub use migrate::{Copied, migrate};
pub use room::ROOM_BYTES_MIN;

/// Memory a store may use as a cache unless said otherwise, in bytes.
pub const CACHE_BYTES: u64 = 32 << 20;

/// The longest key a disk takes, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// The longest value a disk takes, in bytes; longer ones are cut into parts by [`txn`].
/// sled never syncs values that overflow a page, and up to 16 values share one (sled 0.34.7).
pub const VALUE_BYTES_MAX: usize = 4096 + 64;

/// Keys from here on are the disk's own: no caller reads or writes them, and a range ends before them.
pub const RESERVED_KEY_FROM: [u8; 2] = [0xff, 0xff];

/// One row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Writes that become visible and durable together or not at all, applied in order of key.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Key to new value, or to `None` for a removal.
    pub rows: std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// Ordered rows on one storage device. Keys run up to [`KEY_BYTES_MAX`], values to [`VALUE_BYTES_MAX`] bytes, else
/// [`DiskError::TooLong`]; a key from [`RESERVED_KEY_FROM`] on is a [`DiskError::ReservedKey`].
pub trait Disk: Send + Sync {
    /// The value of `key` as the last [`Disk::apply`] left it, durable or not.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// At most `rows_max` rows with keys in `from..until`, ascending. `from` is inclusive, `until` exclusive.
    /// It sees all of a batch or nothing of it, and may hold up writers while it runs.
    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError>;

    /// As [`Disk::range`], but from the end: at most `rows_max` rows with keys in `from..until`, descending.
    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError>;

    /// The last row with a key in `from..until`.
    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError>;

    /// Makes all of `batch` visible at once. Not durable before [`Disk::flush`] returns. An empty batch does nothing.
    fn apply(&self, batch: Batch) -> Result<(), DiskError>;

    /// Returns when everything applied before would survive a power cut.
    fn flush(&self) -> Result<(), DiskError>;
}

/// Why a disk could not do what was asked. After the disk itself answered [`DiskError::Full`], [`DiskError::Io`] or
/// [`DiskError::Damaged`] the handle is poisoned: every later call fails until the disk is opened again. Whether a
/// batch that failed so was written is unknown until then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No room left.
    #[error("the disk is full while {doing}: free some space, then try again; what was saved before is safe")]
    Full {
        /// The step that failed.
        doing: &'static str,
    },
    /// So little room is left that no write is begun. The disk works on: reads go on, and so do writes once there is room.
    #[error(
        "the disk is almost full, {} MiB are free of the {} it takes to save: free some space, then try again; nothing is lost, \
         and reading goes on",
        free_bytes >> 20,
        ROOM_BYTES_MIN >> 20
    )]
    NoRoom {
        /// What is free, in bytes.
        free_bytes: u64,
    },
    /// The operating system refused a read or a write.
    #[error("the disk failed while {doing}: {cause}; check the folder and the drive, then open the store again")]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The operating system's words.
        cause: String,
    },
    /// An earlier call failed, so nothing more is attempted through this handle.
    #[error("the store stopped after an earlier disk failure: open it again")]
    Poisoned,
    /// Another process has it open.
    #[error("the store {path} is in use by another process: stop that process, or use another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a store of another kind than was asked for.
    #[error(
        "the store {path} is kept in {found}, not {wanted}: leave the setting out, or copy the store with \
         `migrate-store --to {wanted}`"
    )]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What it is.
        found: StoreKind,
        /// What was asked for.
        wanted: StoreKind,
    },
    /// A copy is not equal to the store it was made of.
    #[error("the copy is not equal to the store ({what}): the store is as it was; check the drive, then try again")]
    CopyDiffers {
        /// What is not equal.
        what: String,
    },
    /// The folder holds other things.
    #[error("the folder {path} is not a Comptoir store: use an empty or new folder")]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// What was read is not what was written.
    #[error("the store is damaged ({what}): keep the folder, and rebuild from the relay into a new one")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// Written by a newer release.
    #[error(
        "the store was written by a newer release (format {found}, this one reads up to {known}): upgrade Comptoir"
    )]
    NewerFormat {
        /// The format found.
        found: u8,
        /// The newest format this release reads.
        known: u8,
    },
    /// A key or value past its limit: a bug in the caller, not in the data.
    #[error("a {what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLong {
        /// Key or value.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// A key in the part of the key space that is not the caller's: a bug in the caller.
    #[error("the key {key} is reserved")]
    ReservedKey {
        /// The key, readable.
        key: String,
    },
}

/// `key` as text, for messages.
fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn check_length(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), DiskError> {
    if bytes > bytes_max { Err(DiskError::TooLong { what, bytes, bytes_max }) } else { Ok(()) }
}

fn check_key(key: &[u8]) -> Result<(), DiskError> {
    check_length("key", key.len(), KEY_BYTES_MAX)?;
    if key.starts_with(&RESERVED_KEY_FROM) { Err(DiskError::ReservedKey { key: readable(key) }) } else { Ok(()) }
}

fn check_batch(batch: &Batch) -> Result<(), DiskError> {
    batch.rows.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        check_length("value", value.as_ref().map_or(0, Vec::len), VALUE_BYTES_MAX)
    })
}

type Bounds<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

/// The part of `from..until` that is the caller's, or `None` when it is empty.
fn bounds<'k>(from: &'k [u8], until: &'k [u8]) -> Option<Bounds<'k>> {
    let until = until.min(RESERVED_KEY_FROM.as_slice());
    (from < until).then_some((Bound::Included(from), Bound::Excluded(until)))
}
