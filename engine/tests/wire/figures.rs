//! How many bytes small changes take.

use super::workspace;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::store::Store;
use comptoir_engine::wire::{Batch, Style};
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, Value};
use rand::{RngExt as _, SeedableRng as _};

fn shop(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    let settings = Settings { workspace: workspace(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn product(number: u64) -> RecordId {
    RecordId::new("products", &format!("SKU-{:05}", number * 7919 % 100_000)).unwrap()
}

/// Bytes and changes that wait from transaction `from` on, and where the next ones begin.
fn pushed(store: &Store, mut from: u64) -> (usize, usize, u64) {
    let (mut bytes, mut changes) = (0, 0);
    while let Some(outgoing) = store.outgoing(from, Style::Compact).unwrap() {
        from = outgoing.through + 1;
        bytes += outgoing.batch.len();
        changes += Batch::decode(&outgoing.batch).unwrap().len();
    }
    (bytes, changes, from)
}

#[test]
fn small_changes_cost_few_bytes() {
    let at = |number: u64| Timestamp { unix_ms: 1_700_000_000_000 + number as i64 * 7_000 };
    let mut store = shop(1);
    let mut chance = rand::rngs::StdRng::seed_from_u64(7);
    let words = ["Green", "Loose", "Early", "Mint", "Black", "Dark", "Cake", "Bun", "Organic", "Rye", "Honey", "Lemon"];
    for number in 0..1000 {
        let mut pick = |most: usize| chance.random_range(0..most);
        let name = format!("{} {} {} {} g", words[pick(12)], words[pick(12)], words[pick(12)], pick(1000));
        let (price, supplier) = (99 + pick(2000) as i64, pick(40));
        let text = |text: String| Value::String(text);
        let fields = [
            ("name", text(name)),
            ("category", text(["tea", "coffee", "cake"][number as usize % 3].to_owned())),
            ("price", Value::Int(price)),
            ("vat", Value::Float(0.07)),
            ("active", Value::Bool(true)),
            ("supplier", Value::Map([("name".to_owned(), text(format!("Supplier {supplier}")))].into())),
            ("tags", Value::List(["hot", "new"].map(|tag| text(tag.to_owned())).into())),
        ];
        let edit = FieldEdit::Set(fields.map(|(name, value)| (name.to_owned(), value)).into());
        store.commit_local(&[(product(number), edit)], at(number)).unwrap();
    }
    let (bytes, changes, from) = pushed(&store, 0);
    eprintln!("1,000 new records: {} bytes a record, {} a change", bytes / 1000, bytes / changes);
    assert!(bytes < 120_000, "{bytes} bytes for 1,000 new records");
    for number in 0..1000u64 {
        let sold = product(chance.random_range(0..1000));
        let edit = FieldEdit::Increment { field: "stock".to_owned(), by: -1 - (number % 3) as i64 };
        store.commit_local(&[(sold, edit)], at(1000 + number)).unwrap();
    }
    let (bytes, changes, from) = pushed(&store, from);
    eprintln!(
        "1,000 first sales, counters' beginnings among them: {} bytes a change, {changes} changes",
        bytes / changes
    );
    for number in 0..1000u64 {
        let sold = product(chance.random_range(0..1000));
        let edit = FieldEdit::Increment { field: "stock".to_owned(), by: -1 - (number % 3) as i64 };
        store.commit_local(&[(sold, edit)], at(2000 + number)).unwrap();
    }
    let (bytes, changes, _) = pushed(&store, from);
    eprintln!("1,000 sales: {:.1} bytes a change", bytes as f64 / changes as f64);
    assert!(bytes < 24_000, "{bytes} bytes for 1,000 sales");
}
