//! A device whose relay is played by whoever measures it. Must not know what is measured.

use crate::{NOW, product, record, settings};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::LogEpoch;
use comptoir_engine::session::Mode;
use comptoir_engine::wire::message::{Ack, Entries, FromDevice, FromRelay, Role, Welcome};
use comptoir_engine::{Engine, FieldEdit, RecordId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The log's.
pub const EPOCH: LogEpoch = LogEpoch([7; 16]);

/// A device in a session with a relay that says what is handed to it.
pub struct Device {
    /// Its core.
    pub engine: Engine,
    entries: u64,
}

impl Device {
    /// Welcomed to an empty log.
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = Box::new(SimDisk::new());
        let engine = Engine::create(disk, &format!("device {seed}"), settings().expect("names"), &mut rng);
        let mut device = Self { engine: engine.expect("a store"), entries: 0 };
        device.engine.start(Mode::Both, NOW);
        assert!(device.engine.wants_connection(NOW));
        device.engine.handle_connected(NOW);
        assert!(matches!(device.said(), Some(FromDevice::Hello(_))));
        let welcome = Welcome { epoch: EPOCH.0, tail: 0, digest: [0; 32], role: Role::Editor };
        device.hear(FromRelay::Welcome(welcome));
        device
    }

    /// What it says next.
    pub fn said(&mut self) -> Option<FromDevice> {
        let frame = self.engine.poll_message(NOW).expect("a store")?;
        Some(FromDevice::decode(&frame).expect("a message"))
    }

    fn hear(&mut self, message: FromRelay) {
        let frame = message.encode().expect("a frame");
        self.engine.handle_message(&frame, NOW).expect("a store");
        while self.engine.poll_event().is_some() {}
    }

    /// Commits, is told that it was stored, and answers what it pushed.
    pub fn push(&mut self, edits: &[(RecordId, FieldEdit)]) -> Vec<u8> {
        self.engine.commit(edits, NOW).expect("a commit");
        let Some(FromDevice::Push { push, batch, .. }) = self.said() else { panic!("a push") };
        self.entries += 1;
        let through = Some(self.entries);
        self.hear(FromRelay::Ack(Ack { push, through, digest: None, refused: Vec::new() }));
        batch
    }

    /// The frame by which others hear of what was pushed.
    pub fn entry(&mut self, edits: &[(RecordId, FieldEdit)]) -> Vec<u8> {
        let batch = self.push(edits);
        let entries = Entries { batches: vec![batch], through: self.entries, digest: None };
        FromRelay::Entries(entries).encode().expect("a frame")
    }
}

/// Edits that make products.
pub fn put(from: u64, until: u64) -> Vec<(RecordId, FieldEdit)> {
    (from..until).map(|index| (record(index).expect("a name"), product(index))).collect()
}
