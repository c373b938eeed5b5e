//! The kinds of store a folder can hold, and opening the one it holds. Must not know how a kind keeps its rows.

use super::folder::Folder;
use super::redb::RedbDisk;
use super::sled::{SledDisk, SledOptions};
use super::{Disk, DiskError};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What keeps a store's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// Sled: the lightest single edit; best up to some two million rows.
    #[default]
    Sled,
    /// Redb: little memory at any size, faster reads of large stores; a single edit writes more, an opening reads the whole file.
    Redb,
}

impl StoreKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// Its name in settings, on the command line and in the folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    /// The files and folders it has in a store's folder.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Sled => &["sled", "journal", "mark", "making"],
            Self::Redb => &["redb", "redb.new", "redb.mark"],
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a kind of store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no kind of store: use sled or redb")]
pub struct UnknownStore(pub String);

impl FromStr for StoreKind {
    type Err = UnknownStore;

    fn from_str(name: &str) -> Result<Self, UnknownStore> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownStore(name.to_owned()))
    }
}

/// A store that was opened.
pub struct Opened {
    /// Its rows. Dropping it closes the store.
    pub disk: Box<dyn Disk>,
    /// Tells this store from a copy of it: a copied, restored or moved folder has another identity, and so has the same
    /// folder on another machine. Made of the lock file's device, inode and creation time and of the machine's id, as
    /// far as the system knows them; stable while the folder stays where it is.
    pub identity: String,
}

/// Opens the store in `dir`, of whatever kind it is, or makes one there if the folder is missing or empty: one of the kind
/// `wanted`, else sled. What is visible afterwards is durable. `cache_bytes` is the memory it may use as a cache.
///
/// Errors: [`DiskError::OtherKind`] when `wanted` is not what is there, and those of [`SledDisk::open`].
pub fn open(dir: &Path, wanted: Option<StoreKind>, cache_bytes: u64) -> Result<Opened, DiskError> {
    let folder = Folder::open(dir, wanted)?;
    let kind = folder.kind;
    open_as(kind, folder, cache_bytes)
}

/// Opens the store of this kind in the folder, whatever the folder says of itself.
pub(super) fn open_as(kind: StoreKind, folder: Folder, cache_bytes: u64) -> Result<Opened, DiskError> {
    let identity = folder.identity.clone();
    let disk: Box<dyn Disk> = match kind {
        StoreKind::Sled => Box::new(SledDisk::open_in(folder, &SledOptions { cache_bytes })?),
        StoreKind::Redb => Box::new(RedbDisk::open_in(folder, cache_bytes)?),
    };
    Ok(Opened { disk, identity })
}
