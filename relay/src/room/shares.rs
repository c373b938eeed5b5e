//! What the sessions of one workspace may take of the relay together, so that one workspace cannot take it all. Must not
//! know sessions.

use crate::config::Config;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// One workspace's shares.
pub struct Shares {
    comparisons: Arc<Semaphore>,
    unread_bytes: AtomicUsize,
    unread_bytes_max: usize,
}

impl Shares {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            comparisons: Arc::new(Semaphore::new(config.reconciles_per_workspace_max as usize)),
            unread_bytes: AtomicUsize::new(0),
            unread_bytes_max: config.unread_bytes_per_workspace_max as usize,
        }
    }

    /// Whoever compares histories holds a permit of these.
    pub fn comparisons(&self) -> &Arc<Semaphore> {
        &self.comparisons
    }

    /// The most bytes of messages that are not whole yet, or not dealt with.
    pub fn unread_bytes_max(&self) -> usize {
        self.unread_bytes_max
    }

    /// Takes room for so many bytes of a message; `false`: there is none.
    pub fn take_unread(&self, bytes: usize) -> bool {
        let taken = self.unread_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = taken.saturating_add(bytes) <= self.unread_bytes_max;
        if !fits {
            self.give_back_unread(bytes);
        }
        fits
    }

    /// Gives back what was taken.
    pub fn give_back_unread(&self, bytes: usize) {
        self.unread_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
