//! Making sled's files in a new store so that a power cut in the middle leaves nothing that cannot be opened. Must not know
//! what sled writes into them.

use crate::disk::folder::{make_folder, sync_folder};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

const MAKING: &str = "making";

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
