//! What the relay's log held and when, for the oracle: a follower that never fails reads it from its first entry. Must not
//! know how the log is written.

use crate::oracle::{Kind, Sheet, Violation, broken};
use crate::plan::stream;
use crate::post::grant;
use crate::till::{Sheets, workspace};
use comptoir_engine::Timestamp;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::DiskError;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::{Cursor, LogEpoch, LogSeq};
use comptoir_engine::store::{Settings, Store};
use comptoir_relay::log::{Head, LogError, Reader};

const PAGE_BYTES: usize = 1 << 20;

/// The log's head for a while.
#[derive(Debug, Clone, Copy)]
struct HeadAt {
    until_ms: u64,
    digest: Digest,
}

/// The log as it is at a moment.
#[derive(Clone, Copy)]
pub(crate) struct LogAt<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) epoch: LogEpoch,
    /// What is durable.
    pub(crate) head: Head,
}

/// Whether the log could be read; `Ok(Err)`: its disk failed meanwhile.
pub(crate) type Read = Result<Result<(), LogError>, Violation>;

/// The log as the oracle knows it.
pub(crate) struct Ledger {
    follower: Follower,
    heads: Vec<HeadAt>,
    /// Counters are not looked at before the end.
    pub(crate) lenient: bool,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { follower: Follower::new(), heads: Vec::new(), lenient: false }
    }

    /// The log is open again: what it held before is there.
    pub(crate) fn reopen(&mut self, log: LogAt<'_>, now_ms: u64) -> Read {
        let before = std::mem::replace(&mut self.follower, Follower::new());
        if let Err(error) = self.follow(log, now_ms)? {
            self.follower = before;
            return Ok(Err(error));
        }
        for (record, sheet) in &before.sheets {
            if let Some(mark) = sheet.missing_in(self.follower.sheets.get(record)) {
                return broken(Kind::AckedLost, format!("edit {mark} of {record} is gone from the relay's log"));
            }
        }
        Ok(Ok(()))
    }

    /// Another disk: what the log held before is no longer promised.
    pub(crate) fn forget(&mut self) {
        self.follower = Follower::new();
    }

    /// The log has grown.
    pub(crate) fn follow(&mut self, log: LogAt<'_>, now_ms: u64) -> Read {
        if let Err(error) = self.follower.follow(log, self.lenient)? {
            return Ok(Err(error));
        }
        if let Some(last) = self.heads.last_mut() {
            last.until_ms = now_ms;
        }
        self.heads.push(HeadAt { until_ms: u64::MAX, digest: log.head.digest });
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

    fn follow(&mut self, log: LogAt<'_>, lenient: bool) -> Read {
        let LogAt { reader, epoch, head } = log;
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
