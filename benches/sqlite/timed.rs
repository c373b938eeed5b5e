//! A disk that notes how long each kind of call took. Must not know rows.

use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time spent below the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) reading: Duration,
    pub(crate) applying: Duration,
    pub(crate) flushing: Duration,
}

/// A disk that adds up what it spends.
pub(crate) struct Timed<D> {
    pub(crate) disk: D,
    pub(crate) spent: Arc<Mutex<Spent>>,
}

impl<D: Disk> Timed<D> {
    fn time<T>(&self, of: fn(&mut Spent) -> &mut Duration, call: impl FnOnce(&D) -> T) -> T {
        let began = Instant::now();
        let outcome = call(&self.disk);
        *of(&mut self.spent.lock().expect("one thread")) += began.elapsed();
        outcome
    }
}

impl<D: Disk> Disk for Timed<D> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.time(|spent| &mut spent.reading, |disk| disk.get(key))
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.time(|spent| &mut spent.reading, |disk| disk.range(from, until, rows_max))
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.time(|spent| &mut spent.reading, |disk| disk.range_back(from, until, rows_max))
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        self.time(|spent| &mut spent.reading, |disk| disk.last(from, until))
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        self.time(|spent| &mut spent.applying, |disk| disk.apply(batch))
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.time(|spent| &mut spent.flushing, Disk::flush)
    }
}
