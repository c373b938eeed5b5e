//! The records the benches work on. Must not know what is measured.

pub mod device;

use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::{Engine, FieldEdit, Now, RecordId, Settings, StoreError, Timestamp, Value, WorkspaceId};
use rand::SeedableRng;
use std::path::Path;

/// The moment at which all benches happen.
pub const NOW: Now = Now { wall: Timestamp { unix_ms: 1_700_000_000_000 }, monotonic_ms: 0 };

/// An engine over sled in `dir`.
pub fn engine(dir: &Path) -> Result<Engine, StoreError> {
    let disk = SledDisk::open(dir, &SledOptions::default())?;
    let identity = disk.identity();
    Engine::create(Box::new(disk), &identity, settings()?, &mut rand::rngs::StdRng::seed_from_u64(1))
}

/// What a device is told that never syncs.
pub fn settings() -> Result<Settings, StoreError> {
    Ok(Settings {
        workspace: WorkspaceId::new("bench")?,
        relay: String::new(),
        token: String::new(),
        device_name: "bench".to_owned(),
    })
}

/// The name of the `index`-th product.
pub fn record(index: u64) -> Result<RecordId, StoreError> {
    Ok(RecordId::new("products", &format!("{index:06}"))?)
}

/// The `index`-th product, about 200 bytes of JSON.
pub fn product(index: u64) -> FieldEdit {
    let text = |value: String| Value::String(value);
    let supplier = [("name", text(format!("Supplier {}", index % 97))), ("phone", text(format!("+33 1 {index:08}")))];
    FieldEdit::Set(
        [
            ("sku", text(format!("SKU-{index:08}"))),
            ("name", text(format!("Product number {index}"))),
            ("price_cents", Value::Int((index * 7919 % 10_000) as i64)),
            ("stock", Value::Counter((index % 100) as i64)),
            ("tags", Value::List((0..3).map(|tag| text(format!("tag{}", (index + tag) % 20))).collect())),
            ("supplier", Value::Map(supplier.map(|(name, value)| (name.to_owned(), value)).into())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    )
}
