//! Views follow the schema: made again when it changes, whatever arrives first, and after a power cut between the chunks.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Batch, Disk, DiskError};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{
    Collection, Engine, Event, FieldEdit, Now, RecordId, Settings, StoreError, Timestamp, WorkspaceId,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };
/// Several chunks of a rebuild.
const RECORDS: usize = 600;
const RULES: &str = r#"{"fields": {"since": {"type": "timestamp", "rule": "first"}, "tags": {"type": "list", "rule": "set"},
    "price": {"type": "float"}, "name": {"type": "string"}, "stock": {"type": "counter"}}}"#;

fn settings() -> Settings {
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name }
}

fn store_on(disk: &SimDisk, seed: u64) -> Store {
    Store::create(Box::new(disk.clone()), "here", settings(), &mut StdRng::seed_from_u64(seed)).unwrap()
}

fn store(seed: u64) -> Store {
    store_on(&SimDisk::new(), seed)
}

fn products() -> Collection {
    Collection::new("products").unwrap()
}

fn product(number: usize) -> RecordId {
    RecordId::new("products", &format!("{number:04}")).unwrap()
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).unwrap())
}

/// Records whose views are others under the rules: each was written twice, and every tenth is deleted.
fn fill(store: &mut Store, records: usize) {
    let row = |day: usize| {
        format!(r#"{{"name":"N","since":"2024-05-0{day}T00:00:00Z","tags":["b","a"],"price":3,"stock":5}}"#)
    };
    for day in [1, 2] {
        let edits: Vec<_> = (0..records).map(|number| (product(number), set(&row(day)))).collect();
        store.commit_local(&edits, NOW).unwrap();
    }
    let deleted: Vec<_> = (0..records).step_by(10).map(|number| (product(number), FieldEdit::Delete)).collect();
    store.commit_local(&deleted, NOW).unwrap();
}

fn learn(store: &mut Store) -> Result<(), StoreError> {
    store.set_schema(&products(), &json::parse(RULES).unwrap(), NOW).map(drop)
}

fn assert_views(store: &Store, records: usize) {
    let ruled = r#"{"name":"N","price":3.0,"since":"2024-05-01T00:00:00Z","stock":5,"tags":["a","b"]}"#;
    let list = store.list(&products(), None, usize::MAX).unwrap();
    assert_eq!(list.len(), records);
    for (key, view) in list {
        assert_eq!(json::object(&view.fields).to_string(), ruled, "{key:?}");
    }
    assert_eq!(store.records(), (records - records.div_ceil(10)) as u64, "deleted ones still do not count");
}

/// Everything `from` ever made, as one batch a transaction.
fn log(from: &Store) -> Vec<Vec<u8>> {
    let (mut next, mut log) = (0, Vec::new());
    while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        log.push(outgoing.batch);
    }
    log
}

fn copy(disk: &SimDisk) -> SimDisk {
    let rows = disk.range(&[], &[0xff, 0xff], usize::MAX).unwrap();
    let copy = SimDisk::new();
    copy.apply(Batch { rows: rows.into_iter().map(|(key, value)| (key, Some(value))).collect() }).unwrap();
    copy.flush().unwrap();
    copy
}

#[test]
fn a_schema_that_comes_after_the_records_changes_what_they_show() {
    let mut one = store(1);
    fill(&mut one, RECORDS);
    let digest = one.digest();
    learn(&mut one).unwrap();
    assert_views(&one, RECORDS);
    assert_ne!(one.digest(), digest, "the schema is a record");
    // Taken back, everything shows as it did.
    one.set_schema(&products(), &json::parse("{}").unwrap(), NOW).unwrap();
    let plain = r#"{"name":"N","price":3,"since":"2024-05-02T00:00:00Z","stock":5,"tags":["b","a"]}"#;
    let view = one.get(&product(1)).unwrap().unwrap();
    assert_eq!(json::object(&view.fields).to_string(), plain);
}

#[test]
fn records_and_schema_may_come_in_one_batch_and_in_any_order() {
    let (mut shop, mut office) = (store(1), store(2));
    fill(&mut shop, 30);
    learn(&mut office).unwrap();
    let (records, schema) = (log(&shop), log(&office));
    for batches in [[records.clone(), schema.clone()].concat(), [schema.clone(), records.clone()].concat()] {
        let mut all_at_once = store(3);
        all_at_once.apply_remote(&batches, None, NOW).unwrap();
        assert_views(&all_at_once, 30);
        let mut one_by_one = store(4);
        for batch in batches {
            one_by_one.apply_remote(&[batch], None, NOW).unwrap();
        }
        assert_views(&one_by_one, 30);
        assert_eq!(one_by_one.digest(), all_at_once.digest());
    }
}

#[test]
fn a_power_cut_between_the_chunks_leaves_nothing_half_done() {
    let disk = SimDisk::new();
    let mut store = store_on(&disk, 1);
    fill(&mut store, RECORDS);
    drop(store);
    let mut cut_short = 0;
    for calls in (0..).step_by(131) {
        for keep in [0, usize::MAX] {
            let disk = copy(&disk);
            let mut store = store_on(&disk, 1);
            disk.fail_next(calls, DiskError::Poisoned);
            let failed = learn(&mut store).is_err();
            drop(store);
            disk.crash(keep);
            let mut store = store_on(&disk, 1);
            if store.schema(&products()).fields.is_empty() {
                learn(&mut store).unwrap();
            }
            assert_views(&store, RECORDS);
            drop(store);
            assert_views(&store_on(&disk, 1), RECORDS);
            cut_short += usize::from(failed);
            if !failed {
                assert!(cut_short > 5, "the cuts came between the chunks");
                return;
            }
        }
    }
}

#[test]
fn an_engine_says_that_more_changed_than_it_names_and_keeps_its_own_collections() {
    let now = Now { wall: NOW, monotonic_ms: 0 };
    let rng = &mut StdRng::seed_from_u64(1);
    let mut engine = Engine::create(Box::new(SimDisk::new()), "here", settings(), rng).unwrap();
    engine.commit(&[(product(1), set(r#"{"price":3}"#))], now).unwrap();
    while engine.poll_event().is_some() {}
    engine.set_schema(&products(), &json::parse(RULES).unwrap(), now).unwrap();
    let events: Vec<Event> = std::iter::from_fn(|| engine.poll_event()).collect();
    assert!(events.contains(&Event::Refresh), "{events:?}");
    let own = RecordId::new("_schemas", "products").unwrap();
    let refused = engine.commit(&[(own.clone(), set("{}"))], now).unwrap_err();
    assert_eq!(refused, StoreError::Reserved { record: own.clone() });
    let nested = engine.set_schema(&own.collection, &json::parse("{}").unwrap(), now).unwrap_err();
    assert!(matches!(nested, StoreError::Reserved { .. }), "{nested}");
    assert_eq!(engine.schema(&products()).fields.len(), 5);
}
