//! What becomes of changes that were set aside: tried again, or given up.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::Refusal;
use comptoir_engine::id::{Cursor, LogEpoch, LogSeq};
use comptoir_engine::record::json;
use comptoir_engine::store::{Store, StoreError};
use comptoir_engine::wire::Style;
use comptoir_engine::wire::message::Refused;
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, View, WorkspaceId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };
const CURSOR: Cursor = Cursor { epoch: LogEpoch([1; 16]), through: LogSeq(1) };

fn open(disk: &SimDisk, seed: u64) -> Store {
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(disk.clone()), "here", settings, &mut StdRng::seed_from_u64(seed)).unwrap()
}

fn tea() -> RecordId {
    RecordId::new("products", "tea").unwrap()
}

fn set(store: &mut Store, record: &RecordId, text: &str) {
    store.commit_local(&[(record.clone(), FieldEdit::Set(json::parse(text).unwrap()))], NOW).unwrap();
}

/// Everything that waits, as one push.
fn push(store: &Store) -> Vec<u8> {
    store.outgoing(0, Style::Explicit).unwrap().unwrap().batch
}

/// The receipt for everything that waits, with these places refused.
fn acknowledge(store: &mut Store, refused: &[u32]) {
    let sent = store.outgoing(0, Style::Compact).unwrap().unwrap();
    let refused: Vec<_> = refused.iter().map(|&index| Refused { index, reason: Refusal::DocumentFull }).collect();
    store.acknowledge(sent.from, sent.through, &refused, Some(CURSOR), NOW).unwrap();
}

fn name(view: Option<View>) -> String {
    json::object(&view.unwrap().fields).to_string()
}

/// A store whose second edit of tea was refused, with a third one waiting behind it.
fn refused(disk: &SimDisk) -> Store {
    let mut store = open(disk, 1);
    set(&mut store, &tea(), r#"{"name":"Tea"}"#);
    acknowledge(&mut store, &[]);
    set(&mut store, &tea(), r#"{"price":3}"#);
    acknowledge(&mut store, &[0]);
    set(&mut store, &tea(), r#"{"shelf":"B4"}"#);
    assert_eq!((store.quarantined(), store.pending()), (2, 0), "the third waits behind the second");
    store
}

#[test]
fn what_the_relay_refused_is_sent_again_with_what_waited_behind_it() {
    let disk = SimDisk::new();
    let mut store = refused(&disk);
    store.retry(&tea(), NOW).unwrap();
    assert_eq!((store.quarantined(), store.pending()), (0, 1));
    let mut other = open(&SimDisk::new(), 2);
    let mut first = open(&SimDisk::new(), 1);
    set(&mut first, &tea(), r#"{"name":"Tea"}"#);
    other.apply_remote(&[push(&first), push(&store)], Some(CURSOR), NOW).unwrap();
    assert_eq!(name(other.get(&tea()).unwrap()), r#"{"name":"Tea","price":3,"shelf":"B4"}"#);
    assert_eq!(other.quarantined(), 0);
}

#[test]
fn what_is_given_up_leaves_the_record_as_it_is_elsewhere_and_the_device_under_a_fresh_actor() {
    let disk = SimDisk::new();
    let mut store = refused(&disk);
    let mut elsewhere = open(&SimDisk::new(), 1);
    set(&mut elsewhere, &tea(), r#"{"name":"Tea"}"#);
    store.discard(&tea()).unwrap();
    assert_eq!((store.quarantined(), store.pending()), (0, 0));
    assert_eq!(name(store.get(&tea()).unwrap()), r#"{"name":"Tea"}"#);
    assert_eq!(store.digest(), elsewhere.digest());
    drop(store);
    let mut store = open(&disk, 9);
    set(&mut store, &tea(), r#"{"price":4}"#);
    let mut other = open(&SimDisk::new(), 2);
    let sent = push(&store);
    other.apply_remote(&[push(&elsewhere), sent], Some(CURSOR), NOW).unwrap();
    assert_eq!(name(other.get(&tea()).unwrap()), r#"{"name":"Tea","price":4}"#);
    assert_eq!((other.quarantined(), other.digest()), (0, store.digest()));
}

#[test]
fn a_record_that_was_refused_from_its_beginning_is_gone_when_it_is_given_up() {
    let mut store = open(&SimDisk::new(), 1);
    set(&mut store, &tea(), r#"{"name":"Tea"}"#);
    acknowledge(&mut store, &[0]);
    store.discard(&tea()).unwrap();
    assert_eq!((store.get(&tea()).unwrap(), store.records()), (None, 0));
    set(&mut store, &tea(), r#"{"name":"Green tea"}"#);
    assert_eq!((store.records(), store.pending()), (1, 1));
}

#[test]
fn a_change_from_elsewhere_is_taken_once_what_it_follows_has_come() {
    let mut author = open(&SimDisk::new(), 1);
    set(&mut author, &tea(), r#"{"name":"Tea"}"#);
    let first = push(&author);
    acknowledge(&mut author, &[]);
    set(&mut author, &tea(), r#"{"price":3}"#);
    let second = push(&author);
    let mut store = open(&SimDisk::new(), 2);
    store.apply_remote(&[second], Some(CURSOR), NOW).unwrap();
    assert_eq!(store.quarantined(), 1);
    store.retry(&tea(), NOW).unwrap();
    assert_eq!(store.quarantined(), 1, "it still lacks what it follows");
    assert!(matches!(store.discard(&tea()), Err(StoreError::OnRelay { .. })));
    store.apply_remote(&[first], Some(CURSOR), NOW).unwrap();
    store.retry(&tea(), NOW).unwrap();
    assert_eq!((store.quarantined(), name(store.get(&tea()).unwrap())), (0, r#"{"name":"Tea","price":3}"#.to_owned()));
    assert_eq!(store.digest(), author.digest());
    assert!(matches!(store.retry(&tea(), NOW), Err(StoreError::NotQuarantined { .. })));
}
