//! What outlives processes: each device's disk and what the oracle knows of it, the relay's disk and ledger, the clock, and
//! what has been counted. Hosts and driver share it; nobody holds it while waiting. Must not know how anything is done.

use super::wire::Conn;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::oracle::{Kind, Violation, broken};
use crate::plan::{Edit, Plan, stream};
use crate::till::{EPOCH_MS, Sheets, workspace};
use crate::world::Outcome;
use comptoir::{RecordId, Settings, Status, View};
use comptoir_engine::Timestamp;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk as _, DiskError};
use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, Permissions, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::Clock;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The relay's name on the simulated network.
pub(super) const RELAY: &str = "relay";
pub(super) const PORT: u16 = 7440;
/// A token that is not planned to end is good for so long, in milliseconds.
const TOKEN_MS: u64 = 86_400_000;

/// The wall clock without skew.
#[derive(Debug, Default)]
pub(super) struct Time(AtomicU64);

impl Time {
    pub(super) fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp { unix_ms: EPOCH_MS + self.now_ms() as i64 }
    }
}

/// What a device is asked to do.
#[derive(Debug)]
pub(super) enum Ask {
    /// An edit and its name.
    Edit(Edit, String),
    /// There is a new token.
    Renew,
    /// Read everything, for the comparison in the end.
    Read,
}

/// A process that is to die at some call of its disk, or when its time is up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doom {
    pub(super) until_ms: u64,
    pub(super) power: bool,
    pub(super) keep: usize,
    pub(super) down_ms: u64,
}

/// A disk, the process on it, and what was planned for both.
pub(super) struct Drive {
    pub(super) disk: SimDisk,
    pub(super) marker: String,
    pub(super) full_until_ms: u64,
    /// The power goes with the next failure of the disk, and so many unflushed batches survive.
    pub(super) cut_with_failure: Option<usize>,
    pub(super) doom: Option<Doom>,
    pub(super) down_until_ms: u64,
    /// Counts processes.
    pub(super) life: u64,
    /// Counts draws.
    draws: u64,
}

impl Drive {
    fn new(number: usize) -> Self {
        Self {
            disk: SimDisk::new(),
            marker: format!("drive {number}"),
            full_until_ms: 0,
            cut_with_failure: None,
            doom: None,
            down_until_ms: 0,
            life: 0,
            draws: 0,
        }
    }

    pub(super) fn replace(&mut self, disk: SimDisk) {
        disk.fill(self.full_until_ms > 0);
        self.disk = disk;
        (self.cut_with_failure, self.doom) = (None, None);
    }
}

/// What a device's disk held when it was kept aside.
pub(super) struct Backup {
    pub(super) disk: SimDisk,
    pub(super) sheets: Sheets,
    pub(super) issued: usize,
}

/// A device.
pub(super) struct Desk {
    pub(super) drive: Drive,
    pub(super) skew_ms: i64,
    pub(super) token: String,
    /// When its token ends.
    pub(super) token_until_ms: u64,
    /// The tokens that are planned to end, and when.
    pub(super) revoked_ms: Vec<u64>,
    pub(super) conn: Option<Arc<Conn>>,
    pub(super) slow_until_ms: u64,
    pub(super) held_until_ms: u64,
    pub(super) inbox: Option<mpsc::Sender<Ask>>,
    pub(super) statuses: Option<watch::Receiver<Option<Status>>>,
    pub(super) sheets: Sheets,
    pub(super) issued: Vec<String>,
    pub(super) backup: Option<Backup>,
    pub(super) up_to_date_ms: Option<u64>,
    /// Everything it shows, read in the end.
    pub(super) views: Option<BTreeMap<RecordId, View>>,
}

impl Desk {
    pub(super) fn new(number: usize) -> Self {
        Self {
            drive: Drive::new(number),
            skew_ms: 0,
            token: String::new(),
            token_until_ms: 0,
            revoked_ms: Vec::new(),
            conn: None,
            slow_until_ms: 0,
            held_until_ms: 0,
            inbox: None,
            statuses: None,
            sheets: Sheets::new(),
            issued: Vec::new(),
            backup: None,
            up_to_date_ms: None,
            views: None,
        }
    }

    /// What it says of itself now.
    pub(super) fn status(&self) -> Option<Status> {
        self.statuses.as_ref()?.borrow().clone()
    }

    /// Its process is gone.
    pub(super) fn close(&mut self) {
        (self.inbox, self.statuses, self.up_to_date_ms) = (None, None, None);
    }
}

/// The relay.
pub(super) struct Office {
    pub(super) drive: Drive,
    pub(super) backup: Option<SimDisk>,
    /// The disk of the other relay, and its marker.
    pub(super) spare: Option<(SimDisk, String)>,
    pub(super) ledger: Ledger,
}

/// All of it.
pub(super) struct Town {
    pub(super) seed: u64,
    pub(super) time: Arc<Time>,
    pub(super) auth: Auth,
    pub(super) office: Office,
    pub(super) desks: Vec<Desk>,
    /// Connections by the device's address.
    pub(super) conns: BTreeMap<SocketAddr, Arc<Conn>>,
    pub(super) violation: Option<Violation>,
    pub(super) outcome: Outcome,
    pub(super) transfers: BTreeMap<String, [usize; 2]>,
    /// Histories may have been compared, record by record.
    pub(super) compared: bool,
    pub(super) relay_forgot: bool,
    pub(super) rolled_back: bool,
    /// Counters are not looked at before the end.
    pub(super) lenient: bool,
    /// Numbers given, by whom.
    numbers: BTreeMap<String, usize>,
    /// Numbers that may be given again.
    pub(super) forgiven: BTreeSet<String>,
    pub(super) edits: u64,
    hasher: DefaultHasher,
    traced: bool,
}

/// A handle on the town.
pub(super) type Shared = Arc<Mutex<Town>>;

pub(super) fn held(town: &Shared) -> MutexGuard<'_, Town> {
    town.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The relay's keys: one folder for all runs of a process.
fn catalog() -> Arc<Catalog> {
    static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
    CATALOG
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder for keys");
            Arc::new(Catalog::open(folder.path()).expect("keys"))
        })
        .clone()
}

pub(super) fn io() -> DiskError {
    DiskError::Io { doing: "simulating", cause: "a fault".to_owned() }
}

impl Town {
    pub(super) fn new(plan: &Plan, traced: bool) -> Self {
        let time = Arc::new(Time::default());
        Self {
            seed: plan.seed,
            auth: Auth::new(catalog(), time.clone()),
            time,
            office: Office { drive: Drive::new(1000), backup: None, spare: None, ledger: Ledger::new() },
            desks: Vec::new(),
            conns: BTreeMap::new(),
            violation: None,
            outcome: Outcome::new(),
            transfers: BTreeMap::new(),
            compared: false,
            relay_forgot: false,
            rolled_back: false,
            lenient: false,
            numbers: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            edits: 0,
            hasher: DefaultHasher::new(),
            traced,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    pub(super) fn count(&mut self, fault: Fault) {
        self.outcome.faults.count(fault);
    }

    /// Notes what happens; `what` is only made where somebody reads it.
    pub(super) fn note(&mut self, code: u8, about: usize, bytes: &[u8], what: impl FnOnce() -> String) {
        let at = self.now_ms();
        (at, code, about, bytes).hash(&mut self.hasher);
        if self.traced {
            let what = what();
            self.outcome.trace.push(format!("{:>7}.{:03} s  {what}", at / 1000, at % 1000));
        }
    }

    /// Keeps the first promise that was broken.
    pub(super) fn check<T>(&mut self, outcome: Result<T, Violation>) -> Option<T> {
        match outcome {
            Ok(done) => Some(done),
            Err(violation) => {
                self.violation.get_or_insert(violation);
                None
            }
        }
    }

    pub(super) fn drive(&mut self, device: Option<usize>) -> &mut Drive {
        match device {
            Some(number) => &mut self.desks[number].drive,
            None => &mut self.office.drive,
        }
    }

    /// A source of chance for a device, or for the relay; another one with each call.
    pub(super) fn rng(&mut self, device: Option<usize>) -> StdRng {
        let seed = self.seed;
        let drive = self.drive(device);
        drive.draws += 1;
        let draws = drive.draws;
        stream(seed, device.map_or(3000, |number| 3001 + number as u64), draws)
    }

    /// Opens a disk as a process finds it: after a failure without what the power took with it, and durable.
    pub(super) fn open(&mut self, device: Option<usize>) -> Result<SimDisk, DiskError> {
        let drive = self.drive(device);
        let mut lost = 0;
        if drive.disk.is_poisoned() {
            match drive.cut_with_failure.take() {
                None => drive.disk.reopen(),
                Some(keep) => lost = drive.disk.crash(keep),
            }
        }
        let disk = drive.disk.clone();
        if lost > 0 {
            self.count(Fault::LostUnflushed);
        }
        disk.flush()?;
        Ok(disk)
    }

    /// The device gets a token that is good until the next one that is planned to end.
    pub(super) fn issue(&mut self, number: usize) {
        let now_ms = self.now_ms();
        let desk = &mut self.desks[number];
        let until_ms = desk.revoked_ms.iter().copied().filter(|at_ms| *at_ms > now_ms).min();
        desk.token_until_ms = until_ms.unwrap_or(now_ms + TOKEN_MS);
        let valid_for = Duration::from_millis(desk.token_until_ms - now_ms);
        let name = format!("till {number}");
        let request = TokenRequest {
            workspace: workspace(),
            role: Role::Editor,
            permissions: Permissions::ALL,
            allowance: Default::default(),
            subject: None,
            name,
            valid_for,
        };
        desk.token = self.auth.sign(&request).expect("a token");
    }

    pub(super) fn settings(&self, number: usize) -> Settings {
        Settings {
            workspace: workspace(),
            relay: format!("ws://{RELAY}:{PORT}"),
            token: self.desks[number].token.clone(),
            device_name: format!("till {number}"),
        }
    }

    /// A receipt bears this number.
    pub(super) fn given(&mut self, number: usize, receipt: String) -> Result<(), Violation> {
        let held = !receipt.contains('.');
        let excused = self.forgiven.remove(&receipt) || (held && self.relay_forgot);
        self.desks[number].issued.push(receipt.clone());
        match self.numbers.insert(receipt.clone(), number) {
            Some(other) if !excused => {
                broken(Kind::NumberTwice, format!("{receipt} by till {other} and till {number}"))
            }
            _ => Ok(()),
        }
    }

    /// See the oracle's promise about counters.
    pub(super) fn grow_lenient(&mut self) {
        if self.rolled_back && self.relay_forgot {
            (self.lenient, self.office.ledger.lenient) = (true, true);
        }
    }

    pub(super) fn into_outcome(mut self) -> Outcome {
        self.outcome.trace_hash = self.hasher.finish();
        self.outcome
    }
}
