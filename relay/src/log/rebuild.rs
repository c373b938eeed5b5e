//! A log made anew on an empty disk, out of another one's entries: every change is hashed and asked about at the gate again, so
//! what comes out whole was whole. Must not know where the entries come from.

use super::append::Group;
use super::rows::{Head, WorkspaceRow};
use super::writer::{draw_epoch, open_workspace};
use super::{LogError, Outcome};
use comptoir_engine::disk::Disk;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A log that is being made.
pub struct Rebuild {
    disk: Box<dyn Disk>,
    now: Timestamp,
}

impl Rebuild {
    /// Begins on a disk without rows. `now` is when its workspaces are made.
    pub fn new(disk: Box<dyn Disk>, now: Timestamp) -> Self {
        Self { disk, now }
    }

    /// Where the workspace's log stands; it is made, under an epoch of its own, when it is not there yet.
    pub fn head(&self, workspace: &WorkspaceId) -> Result<Head, LogError> {
        Ok(self.open(workspace)?.head())
    }

    /// Adds entries behind those that are there, durable when it returns. What a log would not have taken is
    /// [`LogError::Damaged`], and nothing is added.
    pub fn add(&self, workspace: &WorkspaceId, entries: &[Vec<u8>]) -> Result<(), LogError> {
        self.open(workspace)?;
        let mut group = Group::new(&*self.disk);
        for entry in entries {
            let staged = catch_unwind(AssertUnwindSafe(|| group.append(workspace, None, entry)));
            let panicked = |_| Err(LogError::Damaged(format!("an entry of {workspace}: it cannot be read")));
            let refused = match staged.unwrap_or_else(panicked)? {
                Outcome::Stored(receipt) => receipt.refused.first().map(|refused| refused.reason.to_string()),
                Outcome::Unclear => Some("its hashes are not those of its changes".to_owned()),
                Outcome::Unreadable(fault) => Some(fault.to_string()),
            };
            if let Some(cause) = refused {
                return Err(LogError::Damaged(format!("an entry of {workspace}: {cause}")));
            }
        }
        group.commit(self.now).map(drop)
    }

    fn open(&self, workspace: &WorkspaceId) -> Result<WorkspaceRow, LogError> {
        open_workspace(&*self.disk, workspace, self.now, &mut draw_epoch)
    }
}
