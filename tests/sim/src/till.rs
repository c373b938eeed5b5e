//! One simulated device: a real engine over a simulated disk, and what the oracle knows of it. Must not know the network
//! or the relay.

use crate::oracle::{Kind, Sheet, Violation, broken};
use crate::plan::stream;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk as _, DiskError};
use comptoir_engine::{Collection, Engine, Now, RecordId, Settings, StoreError, Timestamp, View, WorkspaceId};
use rand::rngs::StdRng;
use std::collections::BTreeMap;

/// Midday somewhere in 2023, in milliseconds since 1970.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;
const RECORDS_MAX: usize = 10_000;

/// The marks of every record of one copy.
pub(crate) type Sheets = BTreeMap<RecordId, Sheet>;

/// A disk kept aside and what was on it.
pub(crate) struct Backup {
    pub(crate) disk: SimDisk,
    sheets: Sheets,
    issued: usize,
}

/// One device.
pub(crate) struct Till {
    pub(crate) number: usize,
    pub(crate) disk: SimDisk,
    pub(crate) marker: String,
    pub(crate) engine: Option<Engine>,
    pub(crate) rng: StdRng,
    pub(crate) skew_ms: i64,
    pub(crate) token: String,
    pub(crate) conn: Option<usize>,
    pub(crate) partition_until_ms: u64,
    pub(crate) slow_until_ms: u64,
    pub(crate) full: bool,
    /// Counters are not looked at before the end.
    pub(crate) lenient: bool,
    /// The power goes with the next failure of the disk, and so many unflushed batches survive.
    pub(crate) cut_with_failure: Option<usize>,
    pub(crate) connect_twice: bool,
    pub(crate) sheets: Sheets,
    pub(crate) issued: Vec<String>,
    pub(crate) backup: Option<Backup>,
    pub(crate) timer: Option<u64>,
    pub(crate) was_up_to_date: bool,
    /// When it last got up to date.
    pub(crate) up_to_date_ms: u64,
    pub(crate) live_since_ms: Option<u64>,
    /// The connection on which it was last up to date.
    pub(crate) settled_conn: Option<usize>,
    /// Counts processes, so that what was planned for one does not reach the next.
    pub(crate) life: u64,
    seed: u64,
}

pub(crate) fn workspace() -> WorkspaceId {
    WorkspaceId::new("corner-bar").expect("a valid name")
}

impl Till {
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        Self {
            number,
            disk: SimDisk::new(),
            marker: format!("drive {number}"),
            engine: None,
            rng: stream(seed, 1, number as u64),
            skew_ms: 0,
            token: format!("token {number}"),
            conn: None,
            partition_until_ms: 0,
            slow_until_ms: 0,
            full: false,
            lenient: false,
            cut_with_failure: None,
            connect_twice: false,
            sheets: Sheets::new(),
            issued: Vec::new(),
            backup: None,
            timer: None,
            was_up_to_date: false,
            up_to_date_ms: 0,
            live_since_ms: None,
            settled_conn: None,
            life: 0,
            seed,
        }
    }

    pub(crate) fn now(&self, at_ms: u64) -> Now {
        Now { wall: Timestamp { unix_ms: EPOCH_MS + self.skew_ms + at_ms as i64 }, monotonic_ms: at_ms }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            workspace: workspace(),
            relay: "ws://relay".to_owned(),
            token: self.token.clone(),
            device_name: format!("till {}", self.number),
        }
    }

    /// Starts the device's process, as the SDK does: what is visible is made durable before anything builds on it.
    pub(crate) fn open(&mut self) -> Result<(), StoreError> {
        self.life += 1;
        self.timer = None;
        self.rng = stream(self.seed, 2 + self.number as u64, self.life);
        self.disk.flush()?;
        let disk = Box::new(self.disk.clone());
        let engine = Engine::create(disk, &self.marker, self.settings(), &mut self.rng)?;
        self.engine = Some(engine);
        Ok(())
    }

    /// Everything that was saved is there, and nothing is counted wrongly.
    pub(crate) fn check_all(&mut self) -> Result<(), Violation> {
        let Some(found) = self.views()? else { return Ok(()) };
        let hot = found.into_iter().filter(|(record, _)| !record.collection.is_reserved());
        let found: Sheets = hot.map(|(record, view)| (record, Sheet::read(&view))).collect();
        for (record, before) in &self.sheets {
            if let Some(mark) = before.missing_in(found.get(record)) {
                return broken(Kind::SavedLost, format!("edit {mark} of {record} is gone from till {}", self.number));
            }
        }
        for (record, sheet) in &found {
            self.check_counter(record, sheet)?;
        }
        self.sheets = found;
        Ok(())
    }

    /// As [`Till::check_all`], for the records that changed.
    pub(crate) fn check_changed(&mut self, changed: &[RecordId]) -> Result<(), Violation> {
        let Some(engine) = &self.engine else { return Ok(()) };
        for record in changed.iter().filter(|record| !record.collection.is_reserved()) {
            let view = match engine.get(record) {
                Ok(Some(view)) => view,
                Ok(None) => continue,
                // The next thing the engine does fails the same way, and then it is opened again.
                Err(error) if is_fatal(&error) => return Ok(()),
                Err(error) => return Err(failed(self.number, &error)),
            };
            let sheet = Sheet::read(&view);
            if let Some(mark) = self.sheets.get(record).and_then(|before| before.missing_in(Some(&sheet))) {
                return broken(Kind::SavedLost, format!("edit {mark} of {record} is gone from till {}", self.number));
            }
            self.check_counter(record, &sheet)?;
            self.sheets.insert(record.clone(), sheet);
        }
        Ok(())
    }

    fn check_counter(&self, record: &RecordId, sheet: &Sheet) -> Result<(), Violation> {
        if self.lenient { Ok(()) } else { sheet.check(&format!("{record} on till {}", self.number)) }
    }

    /// Every record as it is shown; `None` when the device is closed or its disk fails.
    pub(crate) fn views(&self) -> Result<Option<BTreeMap<RecordId, View>>, Violation> {
        let mut views = BTreeMap::new();
        let Some(engine) = &self.engine else { return Ok(None) };
        let mut collections = engine.collections();
        collections.extend(Collection::new("_series").ok());
        for collection in collections {
            let list = match engine.list(&collection, None, RECORDS_MAX) {
                Ok(list) => list,
                Err(error) if is_fatal(&error) => return Ok(None),
                Err(error) => return Err(failed(self.number, &error)),
            };
            let named = |(key, view)| (RecordId { collection: collection.clone(), key }, view);
            views.extend(list.into_iter().map(named));
        }
        Ok(Some(views))
    }

    pub(crate) fn back_up(&mut self) {
        let (disk, sheets, issued) = (self.disk.snapshot(), self.sheets.clone(), self.issued.len());
        self.backup = Some(Backup { disk, sheets, issued });
    }

    /// Puts the disk kept aside in the place of the present one. The numbers that may be given again.
    pub(crate) fn put_back(&mut self, seen: bool) -> Option<Vec<String>> {
        let backup = self.backup.take()?;
        self.disk = backup.disk;
        self.disk.fill(self.full);
        self.sheets = backup.sheets;
        if seen {
            self.marker = format!("{}+", self.marker);
            return Some(Vec::new());
        }
        Some(self.issued.split_off(backup.issued.min(self.issued.len())))
    }

    /// A new device with a copy of this one's disk.
    pub(crate) fn copy(&self, number: usize) -> Self {
        let mut copy = Self::new(self.seed, number);
        copy.disk = self.disk.snapshot();
        copy.sheets = self.sheets.clone();
        copy.lenient = self.lenient;
        copy
    }
}

/// Whether the disk has failed, so that the store must be opened again.
pub(crate) fn is_fatal(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk(DiskError::Full { .. } | DiskError::Io { .. } | DiskError::Poisoned))
}

pub(crate) fn failed(till: usize, error: &StoreError) -> Violation {
    Violation { kind: Kind::StoreFailed, what: format!("till {till}: {error}") }
}
