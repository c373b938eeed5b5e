//! Where work is done that would hold up a task: reading the disk, computing an answer. Must not know what the work is.

use super::LogError;
use tokio::task::spawn_blocking;

/// Where such work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jobs {
    /// In the runtime's threads for such things.
    Threads,
    /// At once, by the task that asks.
    Here,
}

impl Jobs {
    pub(super) async fn run<T: Send + 'static>(self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, LogError> {
        match self {
            Self::Threads => spawn_blocking(job).await.map_err(|_| LogError::Unavailable),
            Self::Here => Ok(job()),
        }
    }
}
