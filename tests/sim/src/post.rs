//! The simulated relay: the real writer over a simulated disk, and a follower that reads the whole log for the oracle.
//! Must not know devices or the network.

use crate::oracle::{Kind, Sheet, Violation, broken};
use crate::plan::stream;
use crate::till::{Sheets, workspace};
use comptoir_engine::Timestamp;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk as _, DiskError};
use comptoir_engine::id::{Cursor, LogEpoch, LogSeq};
use comptoir_engine::store::{Settings, Store};
use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, Grant, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::Clock;
use comptoir_relay::log::{Head, LogError, OpenedDisk, Push, Reader, Writer};
use comptoir_relay::room::Room;
use rand::Rng as _;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Small, so that followers also read from the disk.
const RECENT_BYTES_MAX: usize = 600;
const PAGE_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp { unix_ms: 1_700_000_000_000 }
    }
}

/// The proof that an editor's token was checked; which tokens are good, the simulation decides.
pub(crate) fn grant() -> Grant {
    static GRANT: OnceLock<Grant> = OnceLock::new();
    GRANT
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder for keys");
            let auth = Auth::new(Arc::new(Catalog::open(folder.path()).expect("keys")), Arc::new(FixedClock));
            let valid_for = Duration::from_secs(86_400);
            let request =
                TokenRequest { workspace: workspace(), role: Role::Editor, name: "till".to_owned(), valid_for };
            let token = auth.issue(&request).expect("a token");
            auth.check(&token, workspace().as_str()).expect("a grant")
        })
        .clone()
}

/// The log's head for a while.
#[derive(Debug, Clone, Copy)]
struct HeadAt {
    until_ms: u64,
    digest: Digest,
}

/// The relay.
pub(crate) struct Post {
    pub(crate) disk: SimDisk,
    pub(crate) identity: String,
    pub(crate) room: Option<Arc<Room>>,
    /// Pushes that wait for the next flush.
    pub(crate) queue: Vec<Push>,
    pub(crate) full: bool,
    /// Counters are not looked at before the end.
    pub(crate) lenient: bool,
    pub(crate) cut_with_failure: Option<usize>,
    pub(crate) backup: Option<SimDisk>,
    pub(crate) life: u64,
    writer: Option<Writer>,
    follower: Follower,
    heads: Vec<HeadAt>,
    seed: u64,
}

impl Post {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(),
            identity: "drive 0".to_owned(),
            room: None,
            queue: Vec::new(),
            full: false,
            lenient: false,
            cut_with_failure: None,
            backup: None,
            life: 0,
            writer: None,
            follower: Follower::new(),
            heads: Vec::new(),
            seed,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn reader(&self) -> Option<Reader> {
        self.writer.as_ref().map(Writer::reader)
    }

    /// Starts the relay's process. `Ok(Err)`: its disk does not let it.
    pub(crate) fn open(&mut self, now_ms: u64) -> Result<Result<(), LogError>, Violation> {
        self.life += 1;
        let mut rng = stream(self.seed, 1000, self.life);
        let draw = Box::new(move || {
            let mut epoch = [0; 16];
            rng.fill_bytes(&mut epoch);
            Ok(LogEpoch(epoch))
        });
        let opened = self.disk.flush().map_err(LogError::from).and_then(|()| {
            let opened = OpenedDisk { disk: Arc::new(self.disk.clone()), identity: self.identity.clone() };
            let mut writer = Writer::open(opened, draw)?;
            let room = Arc::new(Room::new(RECENT_BYTES_MAX));
            let listener: Weak<Room> = Arc::downgrade(&room);
            writer.attach(&grant(), listener, Timestamp { unix_ms: 1_700_000_000_000 + now_ms as i64 })?;
            Ok((writer, room))
        });
        let (writer, room) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let before = std::mem::replace(&mut self.follower, Follower::new());
        (self.writer, self.room) = (Some(writer), Some(room));
        if let Err(error) = self.follow(now_ms)? {
            self.follower = before;
            self.writer = None;
            return Ok(Err(error));
        }
        for (record, sheet) in &before.sheets {
            if let Some(mark) = sheet.missing_in(self.follower.sheets.get(record)) {
                return broken(Kind::AckedLost, format!("edit {mark} of {record} is gone from the relay's log"));
            }
        }
        Ok(Ok(()))
    }

    /// Ends the process, with a word to those who follow or without.
    pub(crate) fn close(&mut self, politely: bool) {
        if let Some(writer) = self.writer.take().filter(|_| politely) {
            writer.give_up();
        }
        self.queue.clear();
    }

    /// Another disk: what the log held before is no longer promised.
    pub(crate) fn replace_disk(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.disk.fill(self.full);
        self.identity = format!("{}+", self.identity);
        self.follower = Follower::new();
    }

    /// Stores what waits as one group. `Ok(Err)`: the disk failed.
    pub(crate) fn store(&mut self, now_ms: u64) -> Result<Result<(), LogError>, Violation> {
        let Some(writer) = &mut self.writer else { return Ok(Ok(())) };
        if let Err(error) = writer.store(std::mem::take(&mut self.queue)) {
            return Ok(Err(error));
        }
        self.follow(now_ms)
    }

    /// `Ok(Err)`: the disk failed while the oracle read it.
    fn follow(&mut self, now_ms: u64) -> Result<Result<(), LogError>, Violation> {
        let (Some(reader), Some(room)) = (self.reader(), &self.room) else { return Ok(Ok(())) };
        let head = room.durable();
        if let Err(error) = self.follower.follow(&reader, room.epoch(), head, self.lenient)? {
            return Ok(Err(error));
        }
        if let Some(last) = self.heads.last_mut() {
            last.until_ms = now_ms;
        }
        self.heads.push(HeadAt { until_ms: u64::MAX, digest: head.digest });
        Ok(Ok(()))
    }

    /// Whether the log had this digest at a moment since.
    pub(crate) fn had(&self, digest: Digest, since_ms: u64) -> bool {
        self.heads.iter().rev().take_while(|head| head.until_ms >= since_ms).any(|head| head.digest == digest)
    }

    /// The marks of the log, and its digest.
    pub(crate) fn sheets(&self) -> (&Sheets, Digest) {
        (&self.follower.sheets, self.follower.store.digest())
    }
}

/// Reads the log from its first entry, as a device would that never fails.
struct Follower {
    store: Store,
    through: LogSeq,
    sheets: Sheets,
}

impl Follower {
    fn new() -> Self {
        let settings = Settings {
            workspace: workspace(),
            relay: String::new(),
            token: String::new(),
            device_name: "oracle".to_owned(),
        };
        let mut rng = stream(0, 2000, 0);
        let store = Store::create(Box::new(SimDisk::new()), "oracle", settings, &mut rng).expect("a store in memory");
        Self { store, through: LogSeq(0), sheets: Sheets::new() }
    }

    fn follow(
        &mut self,
        reader: &Reader,
        epoch: LogEpoch,
        head: Head,
        lenient: bool,
    ) -> Result<Result<(), LogError>, Violation> {
        let log_broken = |what: String| Violation { kind: Kind::LogBroken, what };
        while self.through < head.tail {
            let entries = reader.entries(&grant(), self.through, head.tail, PAGE_BYTES);
            let entries = match entries {
                Ok(entries) => entries,
                Err(error @ LogError::Disk(DiskError::Io { .. } | DiskError::Full { .. } | DiskError::Poisoned)) => {
                    return Ok(Err(error));
                }
                Err(error) => return Err(log_broken(error.to_string())),
            };
            if entries.is_empty() {
                return Err(log_broken(format!("nothing is behind entry {}", self.through.0)));
            }
            for entry in entries {
                let cursor = Cursor { epoch, through: entry.seq };
                let batch = std::slice::from_ref(&entry.batch);
                let applied = self.store.apply_remote(batch, Some(cursor), Timestamp { unix_ms: 0 });
                let applied = applied.map_err(|error| log_broken(format!("entry {}: {error}", entry.seq.0)))?;
                for record in applied.changed.into_iter().filter(|record| !record.collection.is_reserved()) {
                    let view = self.store.get(&record).map_err(|error| log_broken(error.to_string()))?;
                    let sheet = view.as_ref().map(Sheet::read).unwrap_or_default();
                    if !lenient {
                        sheet.check(&format!("{record} in the log at entry {}", entry.seq.0))?;
                    }
                    self.sheets.insert(record, sheet);
                }
                self.through = entry.seq;
            }
        }
        if self.store.quarantined() > 0 {
            return Err(log_broken(format!("an entry through {} has a change that nobody can take", head.tail.0)));
        }
        match self.store.digest() == head.digest {
            true => Ok(Ok(())),
            false => Err(log_broken(format!("the digest at entry {} is not that of its entries", head.tail.0))),
        }
    }
}
