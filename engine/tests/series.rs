//! Receipt numbers: unique and without gaps in each series, whatever fails, whoever else counts.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::id::{Cursor, LogEpoch, LogSeq};
use comptoir_engine::record::json;
use comptoir_engine::store::{Store, StoreError};
use comptoir_engine::wire::Style;
use comptoir_engine::{Collection, FieldEdit, RecordId, SeriesName, Settings, Timestamp, Value, WorkspaceId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn open(disk: &SimDisk, marker: &str, seed: u64) -> Store {
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(disk.clone()), marker, settings, &mut StdRng::seed_from_u64(seed)).unwrap()
}

fn sale(key: &str) -> RecordId {
    RecordId::new("sales", key).unwrap()
}

fn set(key: &str, text: &str) -> (RecordId, FieldEdit) {
    (sale(key), FieldEdit::Set(json::parse(text).unwrap()))
}

fn number(key: &str) -> (RecordId, FieldEdit) {
    (sale(key), FieldEdit::Number { field: "receipt".to_owned(), series: SeriesName::new("T1").unwrap() })
}

fn receipt(store: &Store, key: &str) -> String {
    match &store.get(&sale(key)).unwrap().unwrap().fields["receipt"] {
        Value::String(number) => number.clone(),
        other => panic!("{other:?}"),
    }
}

/// Sends everything that waits in `from` to `to`.
fn send(from: &mut Store, to: &mut Store) {
    let cursor = Cursor { epoch: LogEpoch([1; 16]), through: LogSeq(1) };
    while let Some(sent) = from.outgoing(0, Style::Explicit).unwrap() {
        to.apply_remote(&[sent.batch], Some(cursor), NOW).unwrap();
        from.acknowledge(sent.from, sent.through, &[], Some(cursor), NOW).unwrap();
    }
}

#[test]
fn sales_are_numbered_in_turn_and_a_number_is_taken_only_with_its_sale() {
    let disk = SimDisk::new();
    let mut store = open(&disk, "here", 1);
    for key in ["a", "b"] {
        store.commit_local(&[set(key, "{}"), number(key)], NOW).unwrap();
    }
    let label = receipt(&store, "a").strip_suffix("-000001").unwrap().to_owned();
    assert_eq!(receipt(&store, "b"), format!("{label}-000002"));
    let half = store.commit_local(&[set("c", "{}"), number("c"), (sale("d"), FieldEdit::Delete)], NOW);
    assert!(matches!(half, Err(StoreError::Edit { .. })), "{half:?}");
    let both = store.commit_local(&[set("c", "{}"), number("c"), set("d", "{}"), number("d")], NOW).unwrap();
    assert_eq!(both.numbers, [format!("{label}-000003"), format!("{label}-000004")]);
    drop(store);
    let mut store = open(&disk, "here", 9);
    store.commit_local(&[set("e", "{}"), number("e")], NOW).unwrap();
    assert_eq!(receipt(&store, "e"), format!("{label}-000005"), "it goes on where it was");
    let audit = store.audit(&Collection::new("sales").unwrap(), "receipt").unwrap();
    assert_eq!((audit.len(), audit[0].numbers, audit[0].last), (1, 5, 5));
    assert!(audit[0].gaps.is_empty() && audit[0].duplicates.is_empty(), "{audit:?}");
    assert_eq!(store.pending(), 5, "claims are not the user's edits");
}

#[test]
fn a_record_keeps_the_number_it_has() {
    let mut store = open(&SimDisk::new(), "here", 1);
    let first = store.commit_local(&[set("a", "{}"), number("a")], NOW).unwrap();
    let again = store.commit_local(&[set("a", r#"{"paid":true}"#), number("a")], NOW).unwrap();
    assert_eq!(first.numbers, again.numbers);
    store.commit_local(&[set("b", r#"{"receipt":"by hand"}"#), number("b")], NOW).unwrap();
    assert_eq!(receipt(&store, "b"), "by hand");
    assert!(store.commit_local(&[number("c")], NOW).unwrap().numbers[0].ends_with("-000002"), "none was skipped");
}

#[test]
fn a_name_is_held_by_the_device_that_was_alone_with_it_and_by_no_other() {
    let (mut a, mut b) = (open(&SimDisk::new(), "a", 1), open(&SimDisk::new(), "b", 2));
    let t1 = SeriesName::new("T1").unwrap();
    assert!(!a.claim_series(&t1, NOW).unwrap().held, "a claim alone holds nothing");
    send(&mut a, &mut b);
    let series = b.claim_series(&t1, NOW).unwrap();
    assert!(series.label.starts_with("T1."), "the name is another's: {series:?}");
    b.commit_local(&[set("b", "{}"), number("b")], NOW).unwrap();
    send(&mut b, &mut a);
    a.commit_local(&[set("a", "{}"), number("a")], NOW).unwrap();
    assert_ne!(receipt(&a, "a"), receipt(&a, "b"));
}

#[test]
fn two_that_claimed_one_name_while_apart_never_give_one_number_twice() {
    let (mut a, mut b) = (open(&SimDisk::new(), "a", 1), open(&SimDisk::new(), "b", 2));
    for (store, key) in [(&mut a, "a1"), (&mut b, "b1")] {
        store.commit_local(&[set(key, "{}"), number(key)], NOW).unwrap();
    }
    send(&mut a, &mut b);
    send(&mut b, &mut a);
    for (store, key) in [(&mut a, "a2"), (&mut b, "b2")] {
        store.commit_local(&[set(key, "{}"), number(key)], NOW).unwrap();
    }
    send(&mut a, &mut b);
    let audits = b.audit(&Collection::new("sales").unwrap(), "receipt").unwrap();
    assert_eq!(audits.len(), 2, "{audits:?}");
    for audit in audits {
        assert_eq!((audit.numbers, audit.last), (2, 2));
        assert!(audit.gaps.is_empty() && audit.duplicates.is_empty() && audit.label.starts_with("T1."), "{audit:?}");
    }
}

#[test]
fn a_copied_store_counts_in_a_series_of_its_own() {
    let disk = SimDisk::new();
    let mut original = open(&disk, "here", 1);
    original.commit_local(&[set("a", "{}"), number("a")], NOW).unwrap();
    let first = receipt(&original, "a");
    drop(original);
    let mut copy = open(&disk, "elsewhere", 2);
    copy.commit_local(&[set("b", "{}"), number("b")], NOW).unwrap();
    let (label, of_copy) = (first.rsplit_once('-').unwrap().0, receipt(&copy, "b"));
    assert!(of_copy.ends_with("-000001") && !of_copy.starts_with(label), "{first} {of_copy}");
}

#[test]
fn the_audit_names_gaps_and_the_records_of_a_number_given_twice() {
    let mut store = open(&SimDisk::new(), "here", 1);
    for (key, number) in
        [("a", "T9-000002"), ("b", "T9-000005"), ("c", "T9-000005"), ("d", "no number"), ("e", "T9-12")]
    {
        store.commit_local(&[set(key, &format!(r#"{{"receipt":"{number}"}}"#))], NOW).unwrap();
    }
    store.commit_local(&[(sale("c"), FieldEdit::Delete)], NOW).unwrap();
    let audits = store.audit(&Collection::new("sales").unwrap(), "receipt").unwrap();
    let [audit] = &audits[..] else { panic!("{audits:?}") };
    assert_eq!((audit.label.as_str(), audit.numbers, audit.last), ("T9", 2, 5));
    assert_eq!(audit.gaps, [(1, 1), (3, 4)]);
    let keys: Vec<_> = audit.duplicates[0].1.iter().map(|key| key.as_str()).collect();
    assert_eq!((audit.duplicates[0].0, keys), (5, vec!["b", "c"]), "a deleted record counts");
}
