//! The folder in which a log is made only to see whether it can be, on a drive that others need too. Must not know what is
//! made there.

use super::BackupError;
use super::folder::{blocking, bytes_in, clear};
use crate::catalog::make_private_folder;
use std::fs;
use std::path::{Path, PathBuf};

/// What stays free beside it, in bytes, whatever is made there: a relay that serves from the same drive goes on.
const MARGIN_BYTES: u64 = 64 << 20;

/// A folder that is not there before or after.
#[derive(Debug, Clone)]
pub struct Scratch {
    folder: PathBuf,
    /// What is to be made there takes less than twice as much as this folder: while it grows a store keeps more than it needs.
    like: Option<PathBuf>,
}

impl Scratch {
    /// For a log of unknown length.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, like: None }
    }

    /// For a log as long as the one in the folder `like`.
    pub fn like(folder: PathBuf, like: PathBuf) -> Self {
        Self { folder, like: Some(like) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it, empty, where there is room for what will be made in it. Errors: [`BackupError::NoRoom`].
    pub(super) async fn make(&self) -> Result<(), BackupError> {
        clear(&self.folder).await?;
        let scratch = self.clone();
        blocking(move || {
            let folder = &scratch.folder;
            make_private_folder(folder).map_err(|error| super::folder::folder_error(folder, &error))?;
            let has_room = scratch.has_room(scratch.like.as_deref().map_or(0, bytes_in));
            if has_room.is_err() {
                // It is empty, and said to be gone afterwards.
                let _ = fs::remove_dir(folder);
            }
            has_room
        })
        .await
    }

    /// Whether there still is room. Errors: [`BackupError::NoRoom`].
    pub(super) fn check(&self) -> Result<(), BackupError> {
        self.has_room(0)
    }

    fn has_room(&self, bytes: u64) -> Result<(), BackupError> {
        let needed = bytes.saturating_mul(2).saturating_add(MARGIN_BYTES);
        match fs2::available_space(&self.folder) {
            Ok(free) if free < needed => Err(BackupError::NoRoom {
                folder: self.folder.clone(),
                free_mib: free >> 20,
                needed_mib: needed.div_ceil(1 << 20),
            }),
            // Where the system does not say, a write that finds no room fails as such.
            _ => Ok(()),
        }
    }

    /// Removes what is there.
    pub async fn sweep(&self) -> Result<(), BackupError> {
        clear(&self.folder).await
    }

    /// As [`Scratch::sweep`], whatever came of it: an error of `done` comes before one of removing.
    pub(super) async fn remove<T>(&self, done: Result<T, BackupError>) -> Result<T, BackupError> {
        let removed = self.sweep().await;
        done.and_then(|done| removed.map(|()| done))
    }
}
