//! What has to be waited for and removed before sled opens its folder. Must not know the folder around it.

use crate::disk::DiskError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// How long sled's threads may take to let go of the file after their database was dropped: milliseconds as a rule.
const RELEASE_WAITS_MAX: u32 = 1_000;
const RELEASE_WAIT_MS: u64 = 5;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

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
