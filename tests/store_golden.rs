//! Pins every kind of row in a device's store and the bytes around them on the disk, and opens a store made of the pinned
//! rows: what one release wrote, the next must read. Must not reach into privates.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::disk::{Batch, Disk};
use comptoir_engine::gate::Refusal;
use comptoir_engine::id::{Cursor, LogEpoch, LogSeq};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::wire::message::Refused;
use comptoir_engine::{Collection, FieldEdit, Label, RecordId, SeriesName, Settings, Timestamp, Value, WorkspaceId};
use comptoir_tests::golden::{self, Golden};
use comptoir_tests::steps::Steps;
use std::fs;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_123 };
const MARKER: &str = "drive 1, inode 2";

fn id(collection: &str, key: &str) -> RecordId {
    RecordId::new(collection, key).unwrap()
}

fn commit(store: &mut Store, record: RecordId, edit: FieldEdit) {
    assert_eq!(store.commit_local(&[(record, edit)], NOW).unwrap().changed.len(), 1);
}

fn every_type() -> FieldEdit {
    let mut fields = json::parse(
        r#"{"null":null,"bool":true,"int":-5,"uint":18446744073709551615,"float":2.5,"string":"Thé",
            "list":[1,[true],{"a":null}],"map":{"name":"x/y~z","empty":{}}}"#,
    )
    .unwrap();
    fields.insert("bytes".to_owned(), Value::Bytes(vec![0, 1, 255]));
    fields.insert("timestamp".to_owned(), Value::Timestamp(NOW));
    fields.insert("text".to_owned(), Value::Text("cold".to_owned()));
    FieldEdit::Set(fields)
}

/// A store with a row of every kind.
fn fill(disk: &SimDisk) -> Store {
    let settings = Settings {
        workspace: WorkspaceId::new("corner-bar").unwrap(),
        relay: "ws://127.0.0.1:7878".to_owned(),
        token: "v4.public.x".to_owned(),
        device_name: "till é".to_owned(),
    };
    let mut store = Store::create(Box::new(disk.clone()), MARKER, settings, &mut Steps::default()).unwrap();
    commit(&mut store, id("products", "tea"), every_type());
    commit(&mut store, id("products", "tea"), FieldEdit::Increment { field: "stock".to_owned(), by: -3 });
    commit(&mut store, id("products", "milk"), FieldEdit::Import(json::parse(r#"{"name":"Milk"}"#).unwrap()));
    commit(&mut store, id("products", "milk"), FieldEdit::Delete);
    commit(&mut store, id("sales", "1"), FieldEdit::Set(json::parse(r#"{"total_cents":320}"#).unwrap()));
    // Long enough that its snapshot has a row of its own, and changed often enough to have one.
    for number in 0..16 {
        let note = format!("{number} {}", golden::hex(&noise(2_200)));
        commit(&mut store, id("notes", "long"), FieldEdit::Set([("note".to_owned(), Value::String(note))].into()));
    }
    // A price that another device set at the same time, and a sale of two records.
    let mut steps = Steps { next: 0x80 };
    let mut other = Store::create(Box::new(SimDisk::new()), "other", store.settings().clone(), &mut steps).unwrap();
    for (store, price) in [(&mut store, 1), (&mut other, 2)] {
        let price = FieldEdit::Set(json::parse(&format!(r#"{{"price":{price}}}"#)).unwrap());
        commit(store, id("products", "rum"), price);
    }
    let theirs = other.outgoing(0, Style::Compact).unwrap().unwrap().batch;
    store.apply_remote(&[theirs], None, NOW).unwrap();
    let sold = ["rum", "tea"].map(|key| {
        let by = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
        (id("products", key), by)
    });
    let sale = store.commit_labelled(&sold, Some(&Label::new("sale 1").unwrap()), NOW).unwrap();
    assert!(sale.transaction.is_some());
    let sent = store.outgoing(0, Style::Compact).unwrap().unwrap();
    let cursor = Cursor { epoch: LogEpoch([9; 16]), through: LogSeq(300) };
    let refused = [Refused { index: 0, reason: Refusal::SeqGap { expected: 2, found: 3 } }];
    store.acknowledge(sent.from, sent.through, &refused, Some(cursor), NOW).unwrap();
    store.note_sync(NOW).unwrap();
    commit(&mut store, id("sales", "2"), FieldEdit::Set(json::parse(r#"{"total_cents":99}"#).unwrap()));
    commit(&mut store, id("sales", "2"), FieldEdit::Increment { field: "paid_cents".to_owned(), by: 99 });
    let series = SeriesName::new("T1").unwrap();
    commit(&mut store, id("sales", "2"), FieldEdit::Number { field: "receipt".to_owned(), series });
    let schema = json::parse(r#"{"fields":{"name":{"type":"string"}},"indexes":{"by":"price","words":"words(name)"}}"#);
    store.set_schema(&Collection::new("products").unwrap(), &schema.unwrap(), NOW).unwrap();
    while store.index_step().unwrap() {}
    store
}

/// Bytes that do not compress, always the same.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Large rows hold what Automerge compressed: they are in the fixture and must open, but are not compared.
fn is_pinned(key: &str) -> bool {
    !key.starts_with("snotes") && !key.starts_with("rnotes")
}

fn unescape(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                bytes.extend(golden::unhex(std::str::from_utf8(&[*high, *low]).unwrap()));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[test]
fn every_row_of_a_store_keeps_its_bytes_and_opens_and_goes_on() {
    let disk = SimDisk::new();
    let store = fill(&disk);
    let rows = txn::scan(&disk, &[], &[0xfe], usize::MAX).unwrap();
    let kinds: std::collections::BTreeSet<u8> = rows.iter().map(|(key, _)| key[0]).collect();
    assert_eq!(kinds, b"mcrsoqxni".iter().copied().collect(), "a row of every kind of the key schema");
    let now: Golden = rows.iter().map(|(key, value)| (readable(key), value.clone())).collect();
    let (same, large): (Golden, Golden) = now.into_iter().partition(|(key, _)| is_pinned(key));
    let about = "a device's store: key, value, as `disk::txn::scan` gives them";
    let mut pinned = golden::check("device-rows.hex", about, &same);
    if std::env::var_os(golden::BLESS).is_some() {
        golden::check("device-rows-large.hex", "the same store's rows with compressed parts", &large);
    }
    pinned.extend(golden::read("device-rows-large.hex"));

    let fixture = SimDisk::new();
    let mut tx = Txn::new(&fixture);
    pinned.iter().for_each(|(key, value)| tx.put(unescape(key), value));
    tx.commit().unwrap();
    fixture.flush().unwrap();
    let mut opened = Store::open(Box::new(fixture), MARKER, &mut Steps::default()).unwrap();
    assert_same(&opened, &store);
    for (record, field, sum) in [(id("products", "tea"), "stock", 6), (id("notes", "long"), "read", 10)] {
        commit(&mut opened, record.clone(), FieldEdit::Increment { field: field.to_owned(), by: 10 });
        assert_eq!(opened.get(&record).unwrap().unwrap().fields[field], Value::Counter(sum), "it goes on");
    }
}

fn assert_same(opened: &Store, store: &Store) {
    assert_eq!(opened.settings(), store.settings());
    assert_eq!(opened.device(), store.device());
    assert_eq!(opened.cursor(), store.cursor());
    assert_eq!(opened.digest(), store.digest());
    assert_eq!(opened.last_sync(), store.last_sync());
    assert_eq!((opened.records(), opened.pending()), (store.records(), store.pending()));
    assert_eq!(opened.quarantine().unwrap(), store.quarantine().unwrap());
    assert_eq!(opened.quarantined(), 1);
    assert_eq!(opened.leaves().unwrap(), store.leaves().unwrap());
    assert_eq!(opened.collections(), store.collections());
    for collection in store.collections() {
        assert_eq!(opened.list(&collection, None, 100).unwrap(), store.list(&collection, None, 100).unwrap());
    }
    assert_eq!(opened.conflicts(None, None, 10).unwrap(), store.conflicts(None, None, 10).unwrap());
    assert_eq!(opened.conflicts(None, None, 10).unwrap().0.len(), 1);
    let outgoing = store.outgoing(0, Style::Explicit).unwrap();
    assert!(outgoing.is_some() && opened.outgoing(0, Style::Explicit).unwrap() == outgoing);
}

#[test]
fn rows_are_sealed_and_long_values_cut_always_alike() {
    let disk = SimDisk::new();
    let mut tx = Txn::new(&disk);
    tx.put(b"k-short".to_vec(), b"value");
    tx.put(b"k-empty".to_vec(), b"");
    tx.put(b"k-long".to_vec(), &noise(9_000));
    tx.commit().unwrap();
    let head = |(key, row): (Vec<u8>, Vec<u8>)| {
        let bytes = [&(row.len() as u32).to_le_bytes(), &row[..row.len().min(48)]].concat();
        (readable(&key), bytes)
    };
    let now: Golden = disk.range(&[], &[0xff], usize::MAX).unwrap().into_iter().map(head).collect();
    assert_eq!(now.len(), 5, "two short rows, and a long one in three");
    golden::check("sealed-rows.hex", "rows on the disk: key, the row's length and its first 48 bytes", &now);
    assert_eq!(txn::read(&disk, b"k-long").unwrap(), Some(noise(9_000)));
}

/// A journal with two frames as it would be with another salt, which each store has of its own.
fn salted(journal: &[u8], salt: &[u8; 8]) -> Vec<u8> {
    let mut journal = journal.to_vec();
    journal[1..9].copy_from_slice(salt);
    let header = crc32fast::hash(&journal[..9]);
    journal[9..13].copy_from_slice(&header.to_le_bytes());
    journal[512..1536].chunks_mut(512).for_each(|frame| sign(frame, salt));
    journal
}

fn sign(frame: &mut [u8], salt: &[u8]) {
    let entries = u32::from_le_bytes(frame[1..5].try_into().unwrap()) as usize;
    let checksum = crc32fast::hash(&[salt, &frame[..25], &frame[29..29 + entries]].concat());
    frame[25..29].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_store_folder_keeps_its_format_and_its_mark() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SledDisk::open(dir.path(), &SledOptions::default()).unwrap();
    for value in [b"one".to_vec(), b"two".to_vec()] {
        let rows = [(b"key".to_vec(), Some(value)), (b"gone".to_vec(), None)];
        disk.apply(Batch { rows: rows.into() }).unwrap();
        disk.flush().unwrap();
    }
    let mark = fs::read(dir.path().join("mark")).unwrap();
    let journal = salted(&fs::read(dir.path().join("journal")).unwrap(), b"pinned 8");
    let now: Golden = vec![
        ("format".to_owned(), fs::read(dir.path().join("format")).unwrap()),
        ("mark-0".to_owned(), mark[..17].to_vec()),
        ("mark-4096".to_owned(), mark[4096..4113].to_vec()),
        ("journal-0".to_owned(), journal[..13].to_vec()),
        ("journal-512".to_owned(), journal[512..608].to_vec()),
        ("journal-1024".to_owned(), journal[1024..1120].to_vec()),
    ];
    golden::check("store-folder.hex", "files beside sled after two commits: name, bytes", &now);

    let later = tempfile::tempdir().unwrap();
    let pinned = [now[3].1.as_slice(), &[0; 499], &now[4].1, &[0; 416], &now[5].1].concat();
    fs::create_dir_all(later.path().join("sled")).unwrap();
    fs::write(later.path().join("format"), "1\n").unwrap();
    fs::write(later.path().join("journal"), pinned).unwrap();
    let disk = SledDisk::open(later.path(), &SledOptions::default()).unwrap();
    assert_eq!(disk.get(b"key").unwrap(), Some(b"two".to_vec()), "a journal is read again");
}
