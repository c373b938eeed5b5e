//! What the operating system's failures are called, and what keeps a disk shut after one. Must not know which disk.

use super::DiskError;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first failure; from then on nothing more is attempted.
#[derive(Default)]
pub(super) struct Poison(AtomicBool);

impl Poison {
    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        if self.0.load(Ordering::Acquire) {
            return Err(DiskError::Poisoned);
        }
        let outcome = call();
        if outcome.is_err() {
            self.0.store(true, Ordering::Release);
        }
        outcome
    }

    pub(super) fn io(&self, doing: &'static str, call: impl FnOnce() -> io::Result<()>) -> Result<(), DiskError> {
        self.guarded(|| call().map_err(|error| io_error(doing, &error)))
    }
}

pub(super) fn io_error(doing: &'static str, error: &io::Error) -> DiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => DiskError::Full { doing },
        _ => DiskError::Io { doing, cause: error.to_string() },
    }
}
