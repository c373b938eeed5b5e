//! What can go wrong with backups, and what to do about it. Must not know how they are taken.

use crate::catalog::CatalogError;
use crate::log::LogError;
use crate::text::Told;
use comptoir_engine::archive::ArchiveError;
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::WorkspaceId;
use std::path::PathBuf;

/// Why there is no backup, or nothing came out of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The place cannot be read or written.
    #[error("the place {place} cannot be used ({cause}): check that it is there, its permissions and its free space")]
    Place {
        /// The folder.
        place: String,
        /// The system's words.
        cause: String,
    },
    /// What is set for a bucket cannot be so.
    #[error(
        "{place} cannot be used as a bucket ({cause}): name it s3://BUCKET/PREFIX, and check the variables AWS_* and the \
         settings [backup.s3] of the process that opens it"
    )]
    BucketSettings {
        /// The bucket.
        place: String,
        /// What is wrong.
        cause: String,
    },
    /// Nobody said who asks.
    #[error(
        "there are no credentials for {place} ({cause}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the process \
         that opens it; where a relay serves the folder, that is the relay"
    )]
    BucketKeys {
        /// The bucket.
        place: String,
        /// The system's words.
        cause: String,
    },
    /// The server answered, and did not do it.
    #[error(
        "{place} refuses ({cause}): check that the bucket is there, the credentials, and that they may list, read, write \
         and delete"
    )]
    BucketRefused {
        /// The bucket.
        place: String,
        /// The server's words.
        cause: String,
    },
    /// No answer, also when asked again.
    #[error("{place} cannot be reached ({cause}): check the endpoint and the network, then try again")]
    BucketUnreachable {
        /// The bucket.
        place: String,
        /// The system's words.
        cause: String,
    },
    /// Another relay backs up into it.
    #[error(
        "{place} holds the backups of another relay ({owner}, this one is {relay}): give each a place of its own; if the \
         other one is gone for good, as when this one was restored or moved, say so once with `backup --take-over`"
    )]
    OfAnother {
        /// The folder or bucket.
        place: String,
        /// Whose it is.
        owner: String,
        /// Who asked.
        relay: String,
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
    /// What is tried would fill the drive.
    #[error(
        "there is too little room to make a log in {folder}: {free_mib} MiB are free, {needed_mib} are needed; free some, or \
         leave the trial out (--no-trial, trial = false)"
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// What is free, in MiB.
        free_mib: u64,
        /// What has to be, in MiB.
        needed_mib: u64,
    },
    /// The folder to restore into holds something.
    #[error("the folder {path} is not empty: restore into a new one")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder to restore into cannot appear from one moment to the next.
    #[error(
        "the folder {path} cannot be replaced as a whole ({cause}): restore into a new folder inside it, as where it is a \
         mount point"
    )]
    NotReplaceable {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        cause: String,
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

impl BackupError {
    /// What is not as it was written, where that is the log.
    pub(super) fn damage_of_log(&self) -> Option<String> {
        match self {
            Self::Log(LogError::Damaged(what) | LogError::Disk(DiskError::Damaged { what })) => Some(what.clone()),
            _ => None,
        }
    }
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
            Self::BucketSettings { .. } => "bucket_settings",
            Self::BucketKeys { .. } => "bucket_keys",
            Self::BucketRefused { .. } => "bucket_refused",
            Self::BucketUnreachable { .. } => "bucket_unreachable",
            Self::OfAnother { .. } => "place_of_another",
            Self::NoBackup { .. } => "no_backup",
            Self::Damaged { .. } => "backup_damaged",
            Self::NewerFormat { .. } => "backup_newer_format",
            Self::NoRoom { .. } => "no_room_to_try",
            Self::NotEmpty { .. } => "folder_not_empty",
            Self::NotReplaceable { .. } => "folder_not_replaceable",
            Self::WhichWorkspace { .. } => "which_workspace",
            Self::NoWorkspace { .. } => "no_workspace",
            Self::LogReplaced { .. } => "log_replaced",
            Self::Log(error) => error.code(),
            Self::Catalog(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Place { place, cause }
            | Self::BucketSettings { place, cause }
            | Self::BucketKeys { place, cause }
            | Self::BucketRefused { place, cause }
            | Self::BucketUnreachable { place, cause } => vec![("place", place.clone()), ("cause", cause.clone())],
            Self::OfAnother { place, owner, relay } => {
                vec![("place", place.clone()), ("owner", owner.clone()), ("relay", relay.clone())]
            }
            Self::NoBackup { place } => vec![("place", place.clone())],
            Self::Damaged { place, what } => vec![("place", place.clone()), ("what", what.clone())],
            Self::NewerFormat { found } => vec![("found", found.to_string())],
            Self::NoRoom { folder, free_mib, needed_mib } => vec![
                ("folder", folder.display().to_string()),
                ("free_mib", free_mib.to_string()),
                ("needed_mib", needed_mib.to_string()),
            ],
            Self::NotEmpty { path } => vec![("path", path.display().to_string())],
            Self::NotReplaceable { path, cause } => {
                vec![("path", path.display().to_string()), ("cause", cause.clone())]
            }
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
pub(super) fn in_place(place: &str, fault: &ArchiveError) -> BackupError {
    let place = place.to_owned();
    match fault {
        ArchiveError::NewerFormat { found } => BackupError::NewerFormat { found: (*found).into() },
        ArchiveError::Io { cause } => BackupError::Place { place, cause: cause.clone() },
        ArchiveError::Damaged { what } => BackupError::Damaged { place, what: (*what).to_owned() },
        fault => BackupError::Damaged { place, what: fault.to_string() },
    }
}
