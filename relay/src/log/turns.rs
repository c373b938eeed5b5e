//! How much of one workspace may wait to be stored: the writer takes pushes in the order they come, so those of one workspace
//! must not be so many that others wait long behind them. Must not know what a push holds.

use super::LogError;
use comptoir_engine::id::WorkspaceId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a push counts for at least, in changes.
const PUSH_CHANGES_MIN: u32 = 64;

/// Each workspace's turns.
pub(super) struct Turns {
    workspaces: Mutex<HashMap<WorkspaceId, Weak<Semaphore>>>,
    changes_max: u32,
}

impl Turns {
    pub(super) fn new(changes_max: u32) -> Self {
        Self { workspaces: Mutex::default(), changes_max: changes_max.max(PUSH_CHANGES_MIN) }
    }

    /// Waits until the workspace may have so many changes more waiting; dropping it says that they are stored.
    pub(super) async fn take(&self, workspace: &WorkspaceId, changes: usize) -> Result<OwnedSemaphorePermit, LogError> {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX).clamp(PUSH_CHANGES_MIN, self.changes_max);
        self.of(workspace).acquire_many_owned(changes).await.map_err(|_| LogError::Unavailable)
    }

    fn of(&self, workspace: &WorkspaceId) -> Arc<Semaphore> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = workspaces.get(workspace).and_then(Weak::upgrade) {
            return turns;
        }
        workspaces.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.changes_max as usize));
        workspaces.insert(workspace.clone(), Arc::downgrade(&turns));
        turns
    }
}
