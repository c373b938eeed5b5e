//! Backups on time. Must not know what a backup is.

use super::{BackupOrder, Control};
use crate::backup::{BackupError, Place, newest_made};
use crate::config::BackupSettings;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

/// The wait after a backup that failed; no longer than the time between two.
const RETRY: Duration = Duration::from_secs(10 * 60);

impl Control {
    /// Takes a backup whenever the last one in the place is older than it may be, until `shutdown` turns true.
    pub async fn back_up_on_time(&self, settings: &BackupSettings, mut shutdown: watch::Receiver<bool>) {
        let BackupSettings { out, every, keep, trial } = settings.clone();
        self.log.metrics().backups_due_every(every);
        let order = BackupOrder { out, full: false, keep: Some(keep), trial };
        let on_time = async {
            loop {
                let wait = self.back_up_if_due(&order, every).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "no backup could be taken; the last good one is untouched");
                    RETRY.min(every)
                });
                // wait: until the next one is due
                sleep(wait).await;
            }
        };
        tokio::select! {
            () = on_time => {}
            _ = shutdown.wait_for(|stopped| *stopped) => {}
        }
    }

    /// How long until the next one is due.
    async fn back_up_if_due(&self, order: &BackupOrder, every: Duration) -> Result<Duration, BackupError> {
        if let Some(last) = newest_made(&Place::make(&order.out)?).await? {
            self.log.metrics().backup_found(last.unix_ms);
            // One of the future is of a clock that was wrong.
            let age_ms = u64::try_from(self.clock.now().unix_ms.saturating_sub(last.unix_ms)).unwrap_or(u64::MAX);
            let left = every.saturating_sub(Duration::from_millis(age_ms));
            if !left.is_zero() {
                return Ok(left);
            }
        }
        let taken = match self.back_up(order).await {
            // Nothing to build on: nobody is there who could say `--full`.
            Err(BackupError::Damaged { .. }) => self.back_up(&BackupOrder { full: true, ..order.clone() }).await?,
            taken => taken?,
        };
        tracing::info!(name = taken.name, bytes = taken.bytes_written, "a backup was taken");
        Ok(every)
    }
}
