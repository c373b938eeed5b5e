//! The simulated relay without sockets: the real writer over a simulated disk. Must not know devices or the network.

use crate::ledger::{Ledger, LogAt};
use crate::oracle::{Kind, Violation, broken};
use crate::plan::stream;
use crate::till::workspace;
use comptoir_engine::Timestamp;
use comptoir_engine::disk::Disk as _;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::LogEpoch;
use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, Grant, Permissions, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::Clock;
use comptoir_relay::log::{Compacted, LogError, OpenedDisk, Push, Reader, Writer};
use comptoir_relay::room::Room;
use rand::Rng as _;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Small, so that followers also read from the disk.
const RECENT_BYTES_MAX: usize = 600;
/// Few, so that entries often become one.
const COMPACT_ENTRIES: usize = 2;

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
            let request = TokenRequest {
                workspace: workspace(),
                role: Role::Editor,
                permissions: Permissions::ALL,
                allowance: Default::default(),
                subject: None,
                name: "till".to_owned(),
                valid_for,
            };
            let token = auth.sign(&request).expect("a token");
            auth.check(&token, workspace().as_str()).expect("a grant")
        })
        .clone()
}

/// The relay.
pub(crate) struct Post {
    pub(crate) disk: SimDisk,
    pub(crate) identity: String,
    pub(crate) room: Option<Arc<Room>>,
    /// Pushes that wait for the next flush.
    pub(crate) queue: Vec<Push>,
    pub(crate) full: bool,
    pub(crate) ledger: Ledger,
    pub(crate) cut_with_failure: Option<usize>,
    pub(crate) backup: Option<SimDisk>,
    pub(crate) life: u64,
    /// The disk of the other relay, and its identity.
    spare: Option<(SimDisk, String)>,
    writer: Option<Writer>,
    compacted: Option<Compacted>,
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
            ledger: Ledger::new(),
            cut_with_failure: None,
            backup: None,
            life: 0,
            spare: None,
            writer: None,
            compacted: None,
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
        let log = LogAt { reader: &writer.reader(), epoch: room.epoch(), head: room.durable() };
        let read = self.ledger.reopen(log, now_ms)?;
        if read.is_ok() {
            (self.writer, self.room) = (Some(writer), Some(room));
        }
        Ok(read)
    }

    /// Ends the process, with a word to those who follow or without.
    pub(crate) fn close(&mut self, politely: bool) {
        if let Some(writer) = self.writer.take().filter(|_| politely) {
            writer.give_up();
        }
        self.queue.clear();
        self.compacted = None;
    }

    /// Another disk: what the log held before is no longer promised.
    pub(crate) fn replace_disk(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.disk.fill(self.full);
        self.identity = format!("{}+", self.identity);
        self.ledger.forget();
    }

    /// The other relay's disk: what the log held before is no longer promised.
    pub(crate) fn switch(&mut self) {
        let (disk, identity) = self.spare.take().unwrap_or((SimDisk::new(), "the other drive".to_owned()));
        let before = std::mem::replace(&mut self.disk, disk);
        self.spare = Some((before, std::mem::replace(&mut self.identity, identity)));
        self.disk.fill(self.full);
        self.ledger.forget();
    }

    /// Stores what waits as one group. `Ok(Err)`: the disk failed.
    pub(crate) fn store(&mut self, now_ms: u64) -> Result<Result<(), LogError>, Violation> {
        let Some(writer) = &mut self.writer else { return Ok(Ok(())) };
        if let Err(error) = writer.store(std::mem::take(&mut self.queue), Timestamp { unix_ms: now_ms as i64 }) {
            return Ok(Err(error));
        }
        let (Some(reader), Some(room)) = (self.reader(), &self.room) else { return Ok(Ok(())) };
        self.ledger.follow(LogAt { reader: &reader, epoch: room.epoch(), head: room.durable() }, now_ms)
    }

    /// Looks for entries to compact; whether there are some. A look that the disk fails is given up.
    pub(crate) fn look(&mut self) -> Result<bool, Violation> {
        let Some(look) = self.writer.as_mut().and_then(|writer| writer.look(COMPACT_ENTRIES)) else { return Ok(false) };
        self.compacted = match look.run() {
            Ok(compacted) => compacted,
            Err(LogError::Disk(_)) => None,
            Err(error) => return broken(Kind::LogBroken, format!("a look at the log: {error}")),
        };
        Ok(self.compacted.is_some())
    }

    /// Puts in place what the last look found; `None` when that was nothing.
    pub(crate) fn replace(&mut self) -> Option<Result<(), LogError>> {
        let (writer, compacted) = (self.writer.as_mut()?, self.compacted.take()?);
        Some(writer.replace(compacted))
    }
}
