//! Folders of this machine, as backups use them. Must not know what is in them.

use super::BackupError;
use crate::catalog::make_private_folder;
use crate::log::LogError;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;
use tokio::task::spawn_blocking;

/// Does work that would hold up a task.
pub(super) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    spawn_blocking(job).await.map_err(|_| LogError::Unavailable)?
}

/// Removes a folder and all that is in it; there need not be one.
pub(super) async fn clear(folder: &Path) -> Result<(), BackupError> {
    let folder = folder.to_owned();
    blocking(move || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(folder_error(&folder, &error)),
        _ => Ok(()),
    })
    .await
}

pub(super) fn folder_error(folder: &Path, error: &io::Error) -> BackupError {
    BackupError::Place { place: folder.display().to_string(), cause: error.to_string() }
}

/// The length of all files in a folder, in bytes; one that goes meanwhile counts for nothing.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    bytes.sum()
}

/// Makes a folder for its owner's eyes only, or closes one that was open to others.
pub(super) fn make_closed(folder: &Path) -> io::Result<()> {
    make_private_folder(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |folder: &Path| fs::metadata(folder).map(|metadata| metadata.permissions().mode());
        if mode(folder)? & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        if mode(folder)? & 0o077 != 0 {
            return Err(io::Error::other("others can read it, and its file system lets nobody change that"));
        }
    }
    Ok(())
}

/// Removes files that `is_left` says were left half-written, and that were written before `before`.
pub(super) fn sweep(folder: &Path, is_left: impl Fn(&str) -> bool, before: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_left = entry.file_name().to_str().is_some_and(&is_left);
        if is_left && entry.metadata()?.modified()? < before {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
