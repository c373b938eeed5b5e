//! The folder around sled: who may open it, its format number, its identity. Must not know sled's own files.

use super::io_error;
use crate::disk::DiskError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

const FORMAT_VERSION: u8 = 1;
/// How long sled's threads may take to let go of the file after their database was dropped: milliseconds as a rule.
const RELEASE_WAITS_MAX: u32 = 1_000;
const RELEASE_WAIT_MS: u64 = 5;
const MAKING: &str = "making";
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

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
pub(super) fn refuse_foreign(dir: &Path) -> Result<(), DiskError> {
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

pub(super) fn take_lock(dir: &Path) -> Result<File, DiskError> {
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
pub(super) fn await_release(dir: &Path, db: &Path) -> Result<(), DiskError> {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(db) else { return Ok(()) };
    for _ in 0..RELEASE_WAITS_MAX {
        // Where files cannot be locked, sled does not lock its own either.
        let Err(TryLockError::WouldBlock) = file.try_lock() else { return Ok(()) };
        sleep(Duration::from_millis(RELEASE_WAIT_MS));
    }
    Err(DiskError::InUse { path: dir.to_owned() })
}

/// Reads the folder's format number, or writes it into a new folder.
pub(super) fn settle_format(dir: &Path) -> Result<(), DiskError> {
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

/// Makes the folder of sled's files, where there is none. In a new store the file `making` is there until they are complete
/// and synced: what a power cut leaves of them before that holds nothing, and sled may not open it, so they are made again.
/// A store that has its mark was complete: nothing of it is ever removed.
pub(super) fn make_sled(dir: &Path, sled_dir: &Path) -> io::Result<()> {
    let making = dir.join(MAKING);
    if dir.join("mark").exists() || (sled_dir.is_dir() && !making.exists()) {
        return make_folder(sled_dir);
    }
    File::create(making)?;
    sync_folder(dir)?;
    match fs::remove_dir_all(sled_dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => make_folder(sled_dir),
    }
}

/// Sled's files are complete and synced.
pub(super) fn sled_is_made(dir: &Path, sled_dir: &Path) -> io::Result<()> {
    sync_folder(sled_dir)?;
    match fs::remove_file(dir.join(MAKING)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => sync_folder(dir),
    }
}

/// Sled 0.34.7 opens no folder in which a process died while it wrote a snapshot.
pub(super) fn remove_half_snapshots(sled_dir: &Path) -> io::Result<()> {
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

/// Reads every file of sled's once. Sled 0.34.7 takes a read that fails while it opens for the end of its log, and makes
/// zeros of what comes behind it: a drive that cannot read must be noticed before. What was read is in the system's cache,
/// so that sled's own reads do not go to the drive again.
pub(super) fn read_through(sled_dir: &Path) -> io::Result<()> {
    let mut piece = vec![0; READ_BYTES];
    for entry in fs::read_dir(sled_dir)? {
        let path = entry?.path();
        if path.is_file() {
            let mut file = File::open(path)?;
            while file.read(&mut piece)? > 0 {}
        }
    }
    Ok(())
}

pub(super) fn identity(lock: &File) -> io::Result<String> {
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
