//! Room on the file system: a write is refused while there is little left, so that a store can still be opened and read; and
//! a file keeps some back for opening it when other programs have filled the rest. Must not know what a store keeps.

use super::DiskError;
use fs2::FileExt as _;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What has to be free before a write is taken, in bytes: the reserve, and as much again for what a store writes by itself.
pub const ROOM_BYTES_MIN: u64 = 8 << 20;
/// The length of the file that keeps room back, in bytes: enough to open a store more than once.
const RESERVE_BYTES: u64 = 4 << 20;
const RESERVE: &str = "reserve";

/// The room of one store's folder.
pub(super) struct Room {
    dir: PathBuf,
    /// Whether the file keeps back what it should.
    reserved: AtomicBool,
}

impl Room {
    /// Opens a store by `open`, a second time without the reserve where the disk was full.
    pub(super) fn opening<T>(dir: &Path, open: impl Fn() -> Result<T, DiskError>) -> Result<(T, Self), DiskError> {
        let opened = match open() {
            Err(DiskError::Full { .. }) if fs::remove_file(dir.join(RESERVE)).is_ok() => open(),
            opened => opened,
        }?;
        let room = Self { dir: dir.to_owned(), reserved: AtomicBool::new(false) };
        // Without a reserve the store works as well, as long as there is room.
        let _ = room.check();
        Ok((opened, room))
    }

    /// Whether a write may be taken. Errors: [`DiskError::NoRoom`].
    pub(super) fn check(&self) -> Result<(), DiskError> {
        // Where the system does not say, a write that finds no room fails as such.
        let Ok(free_bytes) = fs2::available_space(&self.dir) else { return Ok(()) };
        if free_bytes < ROOM_BYTES_MIN {
            return Err(DiskError::NoRoom { free_bytes });
        }
        if !self.reserved.load(Ordering::Relaxed) && free_bytes > ROOM_BYTES_MIN + RESERVE_BYTES {
            self.reserved.store(true, Ordering::Relaxed);
            let reserve = OpenOptions::new().write(true).create(true).truncate(false).open(self.dir.join(RESERVE));
            // Some file systems cannot keep room back.
            let _ = reserve.and_then(|reserve| reserve.allocate(RESERVE_BYTES));
        }
        Ok(())
    }
}
