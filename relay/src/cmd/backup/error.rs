//! Why a backup, a restore or a check ended otherwise than it should. Must not know how they are done.

use crate::backup::BackupError;
use crate::catalog::CatalogError;
use crate::control::{ControlError, ManageError};
use crate::text::Told;
use crate::webhooks::WebhookError;
use comptoir_engine::id::{NameError, WorkspaceId};
use std::io;
use std::path::PathBuf;

/// Why nothing was backed up, restored or verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OperateError {
    /// Of the work itself.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Of the relay that was asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Of a workspace.
    #[error(transparent)]
    Manage(#[from] ManageError),
    /// A removal that was not confirmed.
    #[error("this removes {workspace} and all its records from the relay, for good: to confirm, add --yes {workspace}")]
    Unconfirmed {
        /// Which.
        workspace: WorkspaceId,
    },
    /// Of a webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// Not a workspace's name.
    #[error(transparent)]
    Workspace(#[from] NameError),
    /// Not a point in time.
    #[error("\"{at}\" is no point in time: use one as in 2026-05-31T18:00:00Z")]
    At {
        /// What was given.
        at: String,
    },
    /// No log in the folder.
    #[error("there is no relay's log in {data}: check --data")]
    NoLog {
        /// The data folder.
        data: PathBuf,
    },
    /// Damage was found, and told.
    #[error(
        "{workspaces} workspaces are damaged: keep the folder, restore a backup into a new one; the devices bring back the rest"
    )]
    Damaged {
        /// How many.
        workspaces: usize,
    },
    /// Some could not be read, and that was told.
    #[error("{workspaces} workspaces could not be verified, see above: verify again")]
    Unread {
        /// How many.
        workspaces: usize,
    },
    /// Backups are damaged, and that was told.
    #[error(
        "of {backups} backups in {place} {damaged} cannot be restored whole, see above: use another one, and take a full one \
         soon (--full)"
    )]
    DamagedBackups {
        /// The folder or bucket.
        place: String,
        /// How many there are.
        backups: usize,
        /// How many of them.
        damaged: usize,
    },
    /// A backup was taken, but not of all logs as they are.
    #[error(
        "the backup was taken, but {workspaces} workspaces are damaged, see above: earlier backups that hold one whole are \
         kept; restore them into a new folder, and the devices bring back the rest"
    )]
    Lacking {
        /// How many.
        workspaces: usize,
    },
    /// A backup was taken, but older ones are still there.
    #[error("the backup was taken and is good, but older ones could not be removed ({cause}): check the place")]
    NotRemoved {
        /// The system's words.
        cause: String,
    },
    /// No threads, or no folder for what is tried.
    #[error("the system refused what this takes ({cause}): check its limits, then try again")]
    System {
        /// The operating system's words.
        cause: String,
    },
}

impl From<CatalogError> for OperateError {
    fn from(error: CatalogError) -> Self {
        Self::Manage(error.into())
    }
}

impl From<io::Error> for OperateError {
    fn from(error: io::Error) -> Self {
        Self::System { cause: error.to_string() }
    }
}

impl OperateError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        let asked_wrongly = matches!(self, Self::Backup(BackupError::WhichWorkspace { .. }));
        asked_wrongly
            || matches!(self, Self::Workspace(_) | Self::Unconfirmed { .. } | Self::At { .. } | Self::NoLog { .. })
    }
}

impl Told for OperateError {
    fn code(&self) -> &'static str {
        match self {
            Self::Backup(error) => error.code(),
            Self::Control(error) => error.code(),
            Self::Manage(error) => error.code(),
            Self::Unconfirmed { .. } => "removal_unconfirmed",
            Self::Webhook(error) => error.code(),
            Self::Workspace(_) => "workspace_name",
            Self::At { .. } => "no_point_in_time",
            Self::NoLog { .. } => "no_log",
            Self::Damaged { .. } => "workspaces_damaged",
            Self::Unread { .. } => "workspaces_unread",
            Self::DamagedBackups { .. } => "backups_damaged",
            Self::Lacking { .. } => "backup_lacks",
            Self::NotRemoved { .. } => "backups_not_removed",
            Self::System { .. } => "system_refused",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Backup(error) => error.args(),
            Self::Control(error) => error.args(),
            Self::Manage(error) => error.args(),
            Self::Unconfirmed { workspace } => vec![("workspace", workspace.to_string())],
            Self::Webhook(error) => error.args(),
            Self::Workspace(error) => vec![("name", error.name.clone())],
            Self::At { at } => vec![("at", at.clone())],
            Self::NoLog { data } => vec![("data", data.display().to_string())],
            Self::Damaged { workspaces } | Self::Unread { workspaces } | Self::Lacking { workspaces } => {
                vec![("workspaces", workspaces.to_string())]
            }
            Self::DamagedBackups { place, backups, damaged } => {
                vec![("place", place.clone()), ("backups", backups.to_string()), ("damaged", damaged.to_string())]
            }
            Self::NotRemoved { cause } => vec![("cause", cause.clone())],
            Self::System { cause } => vec![("cause", cause.clone())],
        }
    }
}
