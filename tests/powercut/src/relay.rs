//! A relay: devices that push to its process, what it promised them over their sockets, and its log opened again. Must not
//! know what happened to its files.

use crate::device;
use crate::process::{Watched, scratch};
use crate::sales::Sales;
use crate::tape::Step;
use comptoir::{Comptoir, Mode, Settings, WorkspaceId};
use comptoir_engine::Timestamp;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk;
use comptoir_engine::id::{ActorId, ChangeHash, LogEpoch, LogSeq, RecordId};
use comptoir_engine::wire::Batch;
use comptoir_engine::wire::message::{FRAME_BYTES_MAX, FromRelay};
use comptoir_relay::auth::{Auth, Grant};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::SystemClock;
use comptoir_relay::log::{Entry, Head, Listener, LogError, OpenedDisk, Writer};
pub use comptoir_relay::relay::{keys_folder, log_folder};
use comptoir_tests::program::{self, Running};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The workspace all devices share.
pub const WORKSPACE: &str = "supermarket";
const PATIENCE: Duration = Duration::from_secs(60);

/// What the relay promised through some step.
#[derive(Debug, Default)]
pub struct Promised {
    /// Every entry through this one is durable.
    pub through: u64,
    /// Receipts given.
    pub acks: u64,
    /// What it said the digest of all records is at an entry.
    pub digests: BTreeMap<u64, [u8; 32]>,
    streams: HashMap<u64, Vec<u8>>,
}

impl Promised {
    /// Takes in what was said.
    pub fn hear(&mut self, step: &Step) {
        let Step::Said { fd, bytes } = step else { return };
        if bytes.starts_with(b"HTTP/1.1 ") {
            self.streams.insert(*fd, Vec::new());
        }
        let Some(stream) = self.streams.get_mut(fd) else { return };
        stream.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(frame) = next_frame(stream) {
            said.extend(FromRelay::decode(&frame));
        }
        said.into_iter().for_each(|message| self.note(message));
    }

    fn note(&mut self, message: FromRelay) {
        let (through, digest) = match message {
            FromRelay::Welcome(welcome) => (Some(welcome.tail), Some(welcome.digest)),
            FromRelay::Ack(ack) => {
                self.acks += 1;
                (ack.through, ack.digest)
            }
            FromRelay::Entries(entries) => (Some(entries.through), entries.digest),
            FromRelay::Reconciled { through, digest } => (Some(through), Some(digest)),
            _ => (None, None),
        };
        let Some(through) = through else { return };
        self.through = self.through.max(through);
        if let Some(digest) = digest {
            self.digests.insert(through, digest);
        }
    }
}

/// Takes the answer to the upgrade or a WebSocket frame off the front; what it holds.
fn next_frame(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    if stream.starts_with(b"HTTP") {
        let end = stream.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        stream.drain(..end);
    }
    let (length, header) = match *stream.get(1)? & 0x7f {
        126 => (u16::from_be_bytes(stream.get(2..4)?.try_into().ok()?) as usize, 4),
        127 => (u64::from_be_bytes(stream.get(2..10)?.try_into().ok()?) as usize, 10),
        length => (usize::from(length), 2),
    };
    assert!(length <= FRAME_BYTES_MAX, "the relay's stream is understood");
    let frame = stream.get(header..header + length)?.to_vec();
    stream.drain(..header + length);
    Some(frame)
}

/// A relay's process that is watched.
pub struct Served {
    running: Option<Running>,
    address: String,
}

impl Served {
    /// Starts it; on a free port, or where it listened before.
    pub fn start(watched: &Watched, address: &str) -> Self {
        let data = watched.root.to_str().expect("a path");
        let kind = watched.kind.name();
        let running = watched.start("comptoir-relay", &["serve", "--listen", address, "--data", data, "--store", kind]);
        let line = running.line();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}: {}", running.stderr()));
        Self { address: address.trim().to_owned(), running: Some(running) }
    }

    /// Ends it with SIGKILL, and starts it again.
    pub fn kill_and_restart(&mut self, watched: &Watched) {
        self.running.take().into_iter().for_each(|running| watched.kill(running));
        *self = Self::start(watched, &self.address.clone());
    }

    /// Where devices find it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Asks it to end.
    pub fn stop(mut self) {
        let running = self.running.take().expect("it runs");
        running.terminate().success();
    }
}

/// A token of the relay in `data`.
pub fn token(data: &Path) -> String {
    let mut command = comptoir_tests::relay::command(&["token", "create", "--workspace", WORKSPACE]);
    program::run(command.arg("--data").arg(data)).success().trim().to_owned()
}

/// A device in this process.
pub async fn join(folder: &Path, name: &str, relay: &str, token: &str) -> Comptoir {
    let settings = Settings {
        workspace: WorkspaceId::new(WORKSPACE).expect("a name"),
        relay: relay.to_owned(),
        token: token.to_owned(),
        device_name: name.to_owned(),
    };
    Comptoir::init(&folder.join(name), settings).await.expect("a store")
}

/// Waits until a device is up to date.
pub async fn up_to_date(shop: &Comptoir) {
    assert!(tokio::time::timeout(PATIENCE, device::synced(shop)).await.is_ok(), "up to date within {PATIENCE:?}");
}

/// What a recording leaves to compare with.
pub struct Recorded {
    /// All that the relay did and said.
    pub steps: Vec<Step>,
    /// The token, and after which step it was given.
    pub token: (String, usize),
    /// The changes of its log in the end, in order.
    pub changes: Vec<Placed>,
}

/// Records a relay to which three devices push, all at once; it is killed in between.
pub fn record(watched: &Watched, sales: usize) -> Recorded {
    let mut served = Served::start(watched, "127.0.0.1:0");
    let token = token(&watched.root);
    let token_after = watched.steps().len();
    let all = Sales::first(sales);
    let folder = scratch();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut shops = Vec::new();
        for name in ["a", "b", "c"] {
            shops.push(join(folder.path(), name, &served.url(), &token).await);
        }
        for (part, numbers) in [0..sales / 2, sales / 2..sales].into_iter().enumerate() {
            if part == 1 {
                // The first sales of this part wait for the relay.
                served.kill_and_restart(watched);
            }
            let sell = |which: usize| {
                let (shop, all, numbers) = (shops[which].clone(), &all, numbers.clone());
                async move {
                    shop.stay_live(Mode::Both).await.expect("live");
                    for number in numbers.filter(|number| number % 3 == which) {
                        shop.commit(all.edits(number)).await.expect("a sale");
                    }
                    up_to_date(&shop).await;
                }
            };
            tokio::join!(sell(0), sell(1), sell(2));
        }
        for shop in shops {
            shop.shut_down().await.expect("closed");
        }
    });
    served.stop();
    let opened = open(&log_folder(&watched.root), &grant(&watched.root, &token).expect("the token is good"));
    let changes = opened.expect("the log opens").changes;
    Recorded { steps: watched.steps(), token: (token, token_after), changes }
}

/// The proof that a token is good for the relay in `data`.
pub fn grant(data: &Path, token: &str) -> Result<Grant, String> {
    let catalog = Catalog::open(&keys_folder(data)).map_err(|error| error.to_string())?;
    Auth::new(Arc::new(catalog), Arc::new(SystemClock)).check(token, WORKSPACE).map_err(|fault| format!("{fault:?}"))
}

/// A change in the log: whose, and which.
pub type Placed = (RecordId, ChangeHash);

/// A log that was opened and read through.
pub struct Opened {
    /// All its changes, in order: entries that became one hold the same.
    pub changes: Vec<Placed>,
    /// Its last entry.
    pub last: LogSeq,
    /// Where it says it stands.
    pub head: Head,
    /// The sum over its documents.
    pub sum: Digest,
}

#[derive(Default)]
struct Standing(Mutex<Option<Head>>);

impl Listener for Standing {
    fn opened(&self, _: LogEpoch, head: Head) {
        *self.0.lock().expect("not poisoned") = Some(head);
    }

    fn appended(&self, _: &[Arc<Entry>], _: Head) {}

    fn announce(&self) {}

    fn lost(&self) {}
}

/// Opens a log as the relay does, and reads all of it.
pub fn open(log: &Path, grant: &Grant) -> Result<Opened, LogError> {
    let disk::Opened { disk, identity } = device::opened(log)?;
    let draw = Box::new(|| Ok(LogEpoch([7; 16])));
    let mut writer = Writer::open(OpenedDisk { disk: Arc::from(disk), identity }, draw)?;
    let standing = Arc::new(Standing::default());
    let listener: std::sync::Weak<Standing> = Arc::downgrade(&standing);
    writer.attach(grant, listener, Timestamp { unix_ms: 0 })?;
    let head = standing.0.lock().expect("not poisoned").expect("told when it joined");
    let reader = writer.reader();
    let entries = reader.entries(grant, LogSeq(0), LogSeq(u64::MAX - 1), usize::MAX)?;
    let leaves = reader.leaves(grant)?;
    let sum = leaves.iter().fold(Digest::default(), |sum, (leaf, _)| sum.plus(*leaf));
    // Every change of every document can be rebuilt from the entries.
    let records: Vec<_> = leaves.into_iter().map(|(_, record)| record).collect();
    reader.records(grant, &records, head.tail, &mut |_| Ok(()))?;
    let last = entries.last().map_or(LogSeq(0), |entry| entry.seq);
    Ok(Opened { changes: changes(&entries)?, last, head, sum })
}

/// The changes of all entries, rebuilt from the first one on.
fn changes(entries: &[Arc<Entry>]) -> Result<Vec<Placed>, LogError> {
    let (mut changes, mut known) = (Vec::new(), HashMap::new());
    let workspace = WorkspaceId::new(WORKSPACE).expect("a name");
    for entry in entries {
        let find = |record: &RecordId, actor: &ActorId, seq| known.get(&(record.clone(), actor.clone(), seq)).copied();
        let unpacked = Batch::decode(&entry.batch)?.unpack(&workspace, find)?;
        for (record, change) in unpacked.changes {
            let damaged = |refusal| LogError::Damaged(format!("entry {}: {refusal}", entry.seq.0));
            let change = change.map_err(damaged)?;
            known.insert((record.clone(), change.parts().actor.clone(), change.parts().seq), change.hash());
            changes.push((record, change.hash()));
        }
    }
    Ok(changes)
}
