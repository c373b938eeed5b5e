//! The folder around a store: who may open it, its format and kind, its identity. Must not know what a kind of store keeps
//! in its files.
//!
//! ```text
//! lock     held while the store is open
//! format   the format version of the folder and the kind of its store, as text: "1\n" (sled) or "1 redb\n"
//! ```

use super::failure::io_error;
use super::{DiskError, StoreKind};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

const FORMAT_VERSION: u8 = 1;
const FORMAT_READING: &str = "reading the store's format";

/// A folder that this process has locked; the last clone to go lets go of it.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    /// The kind of store it holds.
    pub(super) kind: StoreKind,
    /// Tells this folder from a copy of it.
    pub(super) identity: String,
    _lock: Arc<File>,
}

impl Folder {
    /// Locks the folder, and makes it for a store of the kind `wanted` where it is missing or empty.
    pub(super) fn open(dir: &Path, wanted: Option<StoreKind>) -> Result<Self, DiskError> {
        let io = |error| io_error("opening the store", &error);
        make_folder(dir).map_err(io)?;
        refuse_foreign(dir)?;
        refuse_newer(dir)?;
        let lock = take_lock(dir)?;
        let identity = identity(&lock).map_err(io)?;
        let kind = match read_format(dir)? {
            Some(kind) => kind,
            None => {
                let kind = wanted.unwrap_or_default();
                write_format(dir, kind)?;
                kind
            }
        };
        match wanted.filter(|wanted| *wanted != kind) {
            Some(wanted) => Err(DiskError::OtherKind { path: dir.to_owned(), found: kind, wanted }),
            None => Ok(Self { dir: dir.to_owned(), kind, identity, _lock: Arc::new(lock) }),
        }
    }

    /// Has the folder name another kind as its store, from one moment to the next.
    pub(super) fn switch(&mut self, kind: StoreKind) -> Result<(), DiskError> {
        write_format(&self.dir, kind)?;
        self.kind = kind;
        Ok(())
    }
}

/// Makes `dir` and the folders above it; each new one is synced into the one above.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
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
pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Other systems sync a folder's entries with the files in it.
#[cfg(not(unix))]
pub(super) fn sync_folder(_dir: &Path) -> io::Result<()> {
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

/// Before the lock is taken, which may have to be made: a folder of a newer release is left exactly as it is.
fn refuse_newer(dir: &Path) -> Result<(), DiskError> {
    match read_format(dir) {
        Err(newer @ DiskError::NewerFormat { .. }) => Err(newer),
        _ => Ok(()),
    }
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

/// The kind of store in the folder; `None` in a new folder.
fn read_format(dir: &Path) -> Result<Option<StoreKind>, DiskError> {
    let text = match fs::read(dir.join("format")) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(FORMAT_READING, &error)),
    };
    let damaged = || DiskError::Damaged { what: "the file `format` holds no version".to_owned() };
    let (version, kind) = text.trim().split_once(' ').unwrap_or((text.trim(), StoreKind::Sled.name()));
    match version.parse::<u8>() {
        Ok(FORMAT_VERSION) => kind.parse().map(Some).map_err(|_| damaged()),
        Ok(found) if found > FORMAT_VERSION => Err(DiskError::NewerFormat { found, known: FORMAT_VERSION }),
        _ => Err(damaged()),
    }
}

fn write_format(dir: &Path, kind: StoreKind) -> Result<(), DiskError> {
    let new = dir.join("format.new");
    let text = match kind {
        StoreKind::Sled => format!("{FORMAT_VERSION}\n"),
        StoreKind::Redb => format!("{FORMAT_VERSION} {kind}\n"),
    };
    File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, dir.join("format")))
        .and_then(|()| sync_folder(dir))
        .map_err(|error| io_error("writing the store's format", &error))
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
