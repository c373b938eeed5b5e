//! Backups of a relay: its logs and its signing keys, in a place of their own. Must not know who asks for one.
//!
//! ```text
//! PLACE/backups/TIME-CHECK.json   one backup: where each log stood, and the parts that hold it all
//! PLACE/parts/SHA256.part         entries and keys, as an archive (see the engine); shared by the backups that name it
//! ```
//!
//! A backup names every part it needs, and writes only what no earlier one has: all of them are whole, and each is small.
//! Parts are written first, then the backup is tried, then its one file appears: what a killed process leaves is no backup.

mod manifest;
mod pages;
mod parts;
mod place;
mod restore;
mod take;
mod verify;

use crate::catalog::CatalogError;
use crate::log::LogError;
use crate::text::Told;
use comptoir_engine::archive::ArchiveError;
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::WorkspaceId;
use std::path::PathBuf;

pub use manifest::{Manifest, Part, WorkspaceState, newest_made};
pub use place::Place;
pub use restore::{Cut, Feed, Restore, Restored, check_newest};
pub use take::{Backup, Taken};
pub use verify::{Damage, Verified, verify};

/// Why there is no backup, or nothing came out of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The place cannot be read or written.
    #[error("the place {place} cannot be used ({cause}): check that it is there, its permissions and its free space")]
    Place {
        /// The folder or bucket.
        place: String,
        /// The system's words.
        cause: String,
    },
    /// No backup there, or none so old.
    #[error("there is no such backup in {place}: check the place, or name a later time")]
    NoBackup {
        /// The folder or bucket.
        place: String,
    },
    /// What is in the place is not what was written there.
    #[error("the backup in {place} is damaged ({what}): use an earlier one, and take a full one soon (--full)")]
    Damaged {
        /// The folder or bucket.
        place: String,
        /// What was found.
        what: String,
    },
    /// Written by a newer release.
    #[error("the backup was written by a newer release (format {found}): upgrade this relay")]
    NewerFormat {
        /// The format found.
        found: u32,
    },
    /// The folder to restore into holds something.
    #[error("the folder {path} is not empty: restore into a new one")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A part of a log was asked for, but not of which.
    #[error("the backup holds {workspaces} workspaces: say by --workspace which log shall end at an entry")]
    WhichWorkspace {
        /// How many.
        workspaces: usize,
    },
    /// The backup does not have it.
    #[error("the backup holds no workspace {workspace}: check the name, or use another backup")]
    NoWorkspace {
        /// Its name.
        workspace: WorkspaceId,
    },
    /// A log became another one while it was read.
    #[error("the log of {workspace} was replaced meanwhile: take the backup again")]
    LogReplaced {
        /// Whose log.
        workspace: WorkspaceId,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The signing keys.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<DiskError> for BackupError {
    fn from(error: DiskError) -> Self {
        Self::Log(error.into())
    }
}

impl Told for BackupError {
    fn code(&self) -> &'static str {
        match self {
            Self::Place { .. } => "backup_place",
            Self::NoBackup { .. } => "no_backup",
            Self::Damaged { .. } => "backup_damaged",
            Self::NewerFormat { .. } => "backup_newer_format",
            Self::NotEmpty { .. } => "folder_not_empty",
            Self::WhichWorkspace { .. } => "which_workspace",
            Self::NoWorkspace { .. } => "no_workspace",
            Self::LogReplaced { .. } => "log_replaced",
            Self::Log(error) => error.code(),
            Self::Catalog(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Place { place, cause } => vec![("place", place.clone()), ("cause", cause.clone())],
            Self::NoBackup { place } => vec![("place", place.clone())],
            Self::Damaged { place, what } => vec![("place", place.clone()), ("what", what.clone())],
            Self::NewerFormat { found } => vec![("found", found.to_string())],
            Self::NotEmpty { path } => vec![("path", path.display().to_string())],
            Self::WhichWorkspace { workspaces } => vec![("workspaces", workspaces.to_string())],
            Self::NoWorkspace { workspace } | Self::LogReplaced { workspace } => {
                vec![("workspace", workspace.to_string())]
            }
            Self::Log(error) => error.args(),
            Self::Catalog(error) => error.args(),
        }
    }
}

/// An archive's fault, with the place it is in.
fn in_place(place: &str, fault: &ArchiveError) -> BackupError {
    let place = place.to_owned();
    match fault {
        ArchiveError::NewerFormat { found } => BackupError::NewerFormat { found: (*found).into() },
        ArchiveError::Io { cause } => BackupError::Place { place, cause: cause.clone() },
        ArchiveError::Damaged { what } => BackupError::Damaged { place, what: (*what).to_owned() },
        fault => BackupError::Damaged { place, what: fault.to_string() },
    }
}
