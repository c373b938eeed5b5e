//! What became of the last backup. Must not know what a backup is.

use super::{BackupOrder, Control};
use crate::backup::{BackupError, Taken};
use crate::config::BucketSettings;
use comptoir_engine::time::Timestamp;
use serde::Serialize;
use std::sync::{MutexGuard, PoisonError};

/// What became of the last backup since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupState {
    /// `none`, `running`, `done` or `failed`.
    state: &'static str,
    /// When it began, RFC 3339.
    begun: Option<String>,
    /// When it ended.
    ended: Option<String>,
    /// Its name, where it was taken.
    name: Option<String>,
    /// Why it was not, or what it lacks.
    cause: Option<String>,
}

const RUNNING: &str = "running";

/// A backup that is being taken.
pub(super) struct Begun<'c>(&'c Control);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut last = self.0.last();
        if last.state == RUNNING {
            let (ended, cause) = (Some(self.0.clock.now().to_string()), Some("cut short".to_owned()));
            *last = BackupState { state: "failed", ended, cause, ..last.clone() };
        }
    }
}

impl Control {
    /// The place of the settings, where there is one.
    pub fn backup_place(&self) -> Option<(&str, &BucketSettings)> {
        Some((self.backups.as_ref()?.out.as_str(), &self.buckets))
    }

    /// A backup as the settings say.
    pub fn backup_order(&self) -> Option<BackupOrder> {
        let settings = self.backups.as_ref()?;
        let (out, keep, trial) = (settings.out.clone(), Some(settings.keep), settings.trial);
        Some(BackupOrder { out, full: false, keep, trial, take_over: false })
    }

    /// What became of the last one.
    pub fn last_backup(&self) -> BackupState {
        let state = self.last().clone();
        if state.state.is_empty() { BackupState { state: "none", ..state } } else { state }
    }

    /// Says that one begins now; `false`: one is under way already.
    pub fn claim_backup(&self) -> bool {
        let mut last = self.last();
        let free = last.state != RUNNING;
        if free {
            *last = self.running();
        }
        free
    }

    /// One begins: it counts as cut short when this is dropped before its end is told.
    pub(super) fn begun(&self) -> Begun<'_> {
        *self.last() = self.running();
        Begun(self)
    }

    fn running(&self) -> BackupState {
        let begun = Some(self.clock.now().to_string());
        BackupState { state: RUNNING, begun, ..BackupState::default() }
    }

    pub(super) fn ended(&self, made: Timestamp, taken: &Result<Taken, BackupError>) {
        let (begun, ended) = (Some(made.to_string()), Some(self.clock.now().to_string()));
        *self.last() = match taken {
            Ok(taken) => {
                let cause = taken.lacks.first().map(|lack| format!("{}: {}", lack.workspace, lack.what));
                let cause = cause.or_else(|| taken.not_removed.clone());
                let name = Some(taken.name.trim_end_matches(".json").to_owned());
                BackupState { state: "done", begun, ended, name, cause }
            }
            Err(error) => BackupState { state: "failed", begun, ended, name: None, cause: Some(error.to_string()) },
        };
    }

    fn last(&self) -> MutexGuard<'_, BackupState> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
