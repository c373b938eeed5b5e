//! The relay's process: its log, rooms, sessions and HTTP as they are shipped, over a simulated disk and turmoil's streams.
//! What is durable is told to the ledger with each flush. Must not know devices.

use super::machine::conn_from;
use super::pace::paced;
use super::town::{PORT, Shared, held};
use super::wire::RelayEnd;
use crate::fault::Fault;
use crate::ledger::LogAt;
use crate::plan::stream;
use crate::post::grant;
use comptoir_engine::Timestamp;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Batch, Disk, DiskError, Row};
use comptoir_engine::id::LogEpoch;
use comptoir_relay::audit::Audit;
use comptoir_relay::config::Config;
use comptoir_relay::http::{self, Site};
use comptoir_relay::lobby::Lobby;
use comptoir_relay::log::{DrawEpoch, Log, OpenDisk, OpenedDisk, Writer};
use comptoir_relay::room::{Hub, Room};
use comptoir_relay::ws::Door;
use rand::Rng as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;
use turmoil::net::TcpListener;

/// Small, so that followers also read from the disk.
const RECENT_BYTES_MAX: usize = 600;
/// Few, so that entries often become one.
const COMPACT_ENTRIES: usize = 4;
/// How long a relay whose disk does not open waits before it is started again.
const RESTART: Duration = Duration::from_millis(100);

/// The relay's disk: the ledger follows each flush.
struct Witnessed {
    disk: SimDisk,
    identity: String,
    town: Shared,
}

impl Disk for Witnessed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.get(key)
    }

    fn range(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range(from, until, rows_max)
    }

    fn range_back(&self, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
        self.disk.range_back(from, until, rows_max)
    }

    fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        self.disk.last(from, until)
    }

    fn apply(&self, batch: Batch) -> Result<(), DiskError> {
        let compacts = batch.rows.iter().any(|(key, value)| key.starts_with(b"e\0") && value.is_none());
        self.disk.apply(batch)?;
        if compacts {
            held(&self.town).count(Fault::RelayCompacted);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.disk.flush()?;
        witness(&self.town, &self.disk, &self.identity, false);
        Ok(())
    }
}

/// Shows the ledger what is durable on the relay's disk: a process that stopped now would find just that.
fn witness(town: &Shared, disk: &SimDisk, identity: &str, reopened: bool) {
    let opened = OpenedDisk { disk: Arc::new(disk.snapshot()), identity: identity.to_owned() };
    let room = Arc::new(Room::new(0));
    let listener: Weak<Room> = Arc::downgrade(&room);
    let mut writer = Writer::open(opened, Box::new(|| Ok(LogEpoch([0; 16])))).expect("a disk that does not fail");
    writer.attach(&grant(), listener, Timestamp { unix_ms: 0 }).expect("a disk that does not fail");
    let log = LogAt { reader: &writer.reader(), epoch: room.epoch(), head: room.durable() };
    let mut town = held(town);
    let now_ms = town.now_ms();
    let read = match reopened {
        true => town.office.ledger.reopen(log, now_ms),
        false => town.office.ledger.follow(log, now_ms),
    };
    town.check(read);
    town.note(9, 0, &log.head.digest.0, || format!("relay is durable through entry {}", log.head.tail.0));
}

/// Opens the relay's disk, at the start and after each failure.
struct Opener {
    town: Shared,
}

impl OpenDisk for Opener {
    fn open(&mut self) -> Result<OpenedDisk, DiskError> {
        let (disk, identity) = {
            let mut town = held(&self.town);
            let disk = town.open(None)?;
            (disk, town.office.drive.marker.clone())
        };
        witness(&self.town, &disk, &identity, true);
        let witnessed = Witnessed { disk, identity: identity.clone(), town: self.town.clone() };
        Ok(OpenedDisk { disk: Arc::new(witnessed), identity })
    }

    fn epochs(&mut self) -> Box<DrawEpoch> {
        let mut town = held(&self.town);
        town.office.drive.life += 1;
        let mut rng = stream(town.seed, 1000, town.office.drive.life);
        Box::new(move || {
            let mut epoch = [0; 16];
            rng.fill_bytes(&mut epoch);
            Ok(LogEpoch(epoch))
        })
    }
}

/// The relay's process, from its start on.
pub(super) async fn process(town: Shared) -> turmoil::Result {
    let (wait_ms, time, auth) = {
        let town = held(&town);
        (town.office.drive.down_until_ms.saturating_sub(town.now_ms()), town.time.clone(), town.auth.clone())
    };
    // wait: simulated; the relay is down
    sleep(Duration::from_millis(wait_ms)).await;
    let config = Config { recent_bytes_max: RECENT_BYTES_MAX, compact_entries: COMPACT_ENTRIES, ..Config::default() };
    let (log, work) = loop {
        match Log::start_here(Box::new(Opener { town: town.clone() }), &config, time.clone()) {
            Ok(started) => break started,
            // wait: simulated; as whoever restarts a service would
            Err(_) => sleep(RESTART).await,
        }
    };
    let rng = held(&town).rng(None);
    spawn_local(paced(work, rng));
    held(&town).note(11, 0, &[], || "relay starts".to_owned());
    let (_stop, stopping) = watch::channel(false);
    let hub = Hub::new(log, &config);
    let door = Arc::new(Door::new(auth, Audit::none(time), hub, &config, stopping.clone()));
    let permits = Arc::new(Semaphore::new(config.connections_max as usize));
    let lobby = Lobby::new(config.guests_max, config.guests_per_address_max);
    let site = Arc::new(Site::new(door, None, lobby.clone(), &config));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (stream, from) = listener.accept().await?;
        let stream = RelayEnd { stream, conn: conn_from(&town, from) };
        let guest = lobby.enter(from.ip(), permits.clone().acquire_owned().await?);
        tokio::spawn(http::connection(stream, site.clone(), guest, stopping.clone()));
    }
}
