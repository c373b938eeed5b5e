//! Backups on time. Must not know what a backup is.

use super::{BackupOrder, Control};
use crate::audit::Deed;
use crate::backup::{BackupError, Owner, Place, check_owner, newest_made};
use crate::config::BackupSettings;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

/// The wait after a backup that failed; no longer than the time between two.
const RETRY: Duration = Duration::from_secs(10 * 60);

impl Control {
    /// Takes a backup whenever the last one in the place is older than it may be, until `shutdown` turns true.
    pub async fn back_up_on_time(&self, settings: &BackupSettings, mut shutdown: watch::Receiver<bool>) {
        let BackupSettings { out, every, keep, trial, .. } = settings.clone();
        self.log.metrics().backups_due_every(every);
        let order = BackupOrder { out, full: false, keep: Some(keep), trial, take_over: false };
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
        let place = Place::make(&order.out, &self.buckets)?;
        // The backups of another relay are not this one's: what they say of the time does not count.
        check_owner(&place, &Owner::of(&self.log_folder())?).await?;
        if let Some(last) = newest_made(&place).await? {
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
        if let Some(audit) = &self.audit {
            let (deed, who, detail) = ("backup.taken", "relay", taken.name.as_str());
            audit.note(&Deed { deed, who, workspace: None, token: None, detail });
        }
        tracing::info!(name = taken.name, bytes = taken.bytes_written, "a backup was taken");
        for lack in &taken.lacks {
            let (workspace, what) = (&lack.workspace, &lack.what);
            match lack.through {
                Some(through) => {
                    tracing::error!(workspace, what, through, "its log is damaged: the backup has it as before")
                }
                None => tracing::error!(workspace, what, "its log is damaged: the backup does not have it"),
            }
        }
        if let Some(cause) = &taken.not_removed {
            tracing::error!(cause, "the backup is good, but older ones could not be removed");
        }
        Ok(every)
    }
}
