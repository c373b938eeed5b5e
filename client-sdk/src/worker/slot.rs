//! The store's place with its owner: filled while its disk works, empty from a failure until it could be opened again. Must
//! not know connections.

use crate::error::Error;
use crate::machine::Machine;
use comptoir_engine::disk::DiskError;
use comptoir_engine::{Engine, Settings, StoreError};
use std::time::Duration;
use tokio::time::Instant;

/// The first wait before a store that failed is opened again; it doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// After working so long a store has recovered: the next failure is its first.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

fn open(machine: &mut dyn Machine, make: Option<Settings>) -> Result<Engine, Error> {
    let opened = machine.open(make.is_some())?;
    let mut rng = machine.rng();
    Ok(match make {
        Some(settings) => Engine::create(opened.disk, &opened.identity, settings, &mut rng)?,
        None => Engine::open(opened.disk, &opened.identity, &mut rng)?,
    })
}

/// Whether the store must be closed: its disk answers nothing any more.
pub(super) fn is_fatal(error: &StoreError) -> bool {
    use DiskError::{Damaged, Full, Io, Poisoned};
    matches!(error, StoreError::Disk(Full { .. } | Io { .. } | Damaged { .. } | Poisoned))
}

/// A store, or the reason why there is none now.
pub(super) struct Slot {
    machine: Box<dyn Machine>,
    engine: Option<Engine>,
    cause: Option<StoreError>,
    failures: u32,
    opened_at: Instant,
    retry_at: Instant,
}

impl Slot {
    /// Opens the machine's store; with settings, makes one where there is none.
    pub(super) fn open(mut machine: Box<dyn Machine>, make: Option<Settings>) -> Result<Self, Error> {
        let engine = Some(open(&mut *machine, make)?);
        let now = Instant::now();
        Ok(Self { machine, engine, cause: None, failures: 0, opened_at: now, retry_at: now })
    }

    pub(super) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    pub(super) fn machine_mut(&mut self) -> &mut dyn Machine {
        &mut *self.machine
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// The engine, or why there is none now.
    pub(super) fn engine_mut(&mut self) -> Result<&mut Engine, Error> {
        let cause = self.cause.clone().unwrap_or(StoreError::Disk(DiskError::Poisoned));
        self.engine.as_mut().ok_or_else(|| cause.into())
    }

    /// What the disk said when it failed.
    pub(super) fn cause(&self) -> Option<&StoreError> {
        self.cause.as_ref()
    }

    /// When an empty slot is to be filled again.
    pub(super) fn retry_at(&self) -> Instant {
        self.retry_at
    }

    /// Closes the store.
    pub(super) fn fail(&mut self, cause: &StoreError) {
        self.engine = None;
        self.cause = Some(cause.clone());
        if self.opened_at.elapsed() > RECOVERED_AFTER {
            self.failures = 0;
        }
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Instant::now() + wait;
    }

    /// Opens a closed store when it is time; true when it is open again.
    pub(super) fn reopen(&mut self) -> bool {
        if self.engine.is_some() || Instant::now() < self.retry_at || planted!(StoreStaysClosed) {
            return false;
        }
        match open(&mut *self.machine, None) {
            Ok(engine) => {
                self.engine = Some(engine);
                self.cause = None;
                self.opened_at = Instant::now();
                true
            }
            Err(Error::Store(cause)) => {
                self.fail(&cause);
                false
            }
            Err(_) => {
                self.fail(&StoreError::Disk(DiskError::Poisoned));
                false
            }
        }
    }
}
