//! Records under chance and malice: any order of exchange gives the same records, JSON goes in and comes out as it was,
//! and no change, however made, stalls a store.

mod exchange;
mod hostile;
mod json;
mod sizes;
mod strategies;

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::store::Store;
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, Value, WorkspaceId};
use rand::SeedableRng as _;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn record(index: usize) -> RecordId {
    let (collection, key) = [("products", "tea"), ("products", "~/ü"), ("sales", "tea")][index];
    RecordId::new(collection, key).unwrap()
}

fn tea() -> RecordId {
    record(0)
}

fn set(name: &str, value: Value) -> FieldEdit {
    FieldEdit::Set([(name.to_owned(), value)].into())
}
