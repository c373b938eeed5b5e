//! What a device offers to a relay that lost its log: whole records, each change behind those it follows, whatever waits in
//! the outbox already.

use comptoir_engine::digest::Digest;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::store::{Outgoing, Store};
use comptoir_engine::wire::Style;
use comptoir_engine::{FieldEdit, HistoryPage, RecordId, Settings, Timestamp, Value, WorkspaceId};
use rand::SeedableRng as _;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn tea() -> RecordId {
    RecordId::new("products", "tea").unwrap()
}

fn milk() -> RecordId {
    RecordId::new("products", "milk").unwrap()
}

fn sell(store: &mut Store, records: &[RecordId]) {
    let one = |record: &RecordId| (record.clone(), FieldEdit::Increment { field: "sold".to_owned(), by: 1 });
    store.commit_local(&records.iter().map(one).collect::<Vec<_>>(), NOW).unwrap();
}

fn push_all(store: &Store) -> Vec<Outgoing> {
    let mut pushes = Vec::new();
    let mut next = 0;
    while let Some(outgoing) = store.outgoing(next, Style::Explicit).unwrap() {
        next = outgoing.through + 1;
        pushes.push(outgoing);
    }
    pushes
}

fn acknowledge_all(store: &mut Store) {
    for push in push_all(store) {
        store.acknowledge(push.from, push.through, &[], None, NOW).unwrap();
    }
}

fn products(store: &Store) -> Vec<(Digest, RecordId)> {
    store.leaves().unwrap().into_iter().filter(|(_, record)| !record.collection.is_reserved()).collect()
}

/// Another store takes every push as it stands.
fn arrives(author: &Store) {
    let mut other = store(2);
    for push in push_all(author) {
        other.apply_remote(&[push.batch], None, NOW).unwrap();
    }
    assert_eq!(other.quarantined(), 0, "a change came before one it follows");
    assert_eq!(products(&other), products(author));
}

#[test]
fn what_is_offered_goes_before_the_edits_that_wait_and_build_on_it() {
    let mut till = store(1);
    sell(&mut till, &[tea()]);
    acknowledge_all(&mut till);
    sell(&mut till, &[tea()]);
    till.offer(&[tea()]).unwrap();
    arrives(&till);
    assert_eq!(till.pending(), 2);
    acknowledge_all(&mut till);
    assert_eq!(till.pending(), 0);
}

#[test]
fn what_was_built_on_an_edit_that_waits_is_offered_with_it() {
    let (mut till, mut other) = (store(1), store(3));
    sell(&mut till, &[tea()]);
    // The relay had this edit, its receipt was lost, and somebody went on from it before the relay lost its log.
    other.apply_remote(&[push_all(&till)[0].batch.clone()], None, NOW).unwrap();
    sell(&mut other, &[tea()]);
    till.apply_remote(&[push_all(&other)[0].batch.clone()], None, NOW).unwrap();
    till.offer(&[tea()]).unwrap();
    arrives(&till);
}

#[test]
fn a_transaction_that_waits_stays_one_push_when_its_records_are_offered() {
    let mut till = store(1);
    sell(&mut till, &[tea()]);
    sell(&mut till, &[milk()]);
    acknowledge_all(&mut till);
    sell(&mut till, &[tea(), milk()]);
    till.offer(&[tea()]).unwrap();
    till.offer(&[milk()]).unwrap();
    arrives(&till);
    assert_eq!(till.pending(), 4, "two offers, and a transaction of two edits");
}

#[test]
fn a_record_is_offered_although_the_same_edit_of_another_one_waits() {
    let mut till = store(1);
    let name = |record| (record, FieldEdit::Set([("name".to_owned(), Value::Int(1))].into()));
    till.commit_local(&[name(milk())], NOW).unwrap();
    acknowledge_all(&mut till);
    till.commit_local(&[name(tea())], NOW).unwrap();
    // Author, number, time and content are alike, and so are the changes: one hash names both.
    let changes = |record| {
        let page = HistoryPage { changes_max: 10, ..HistoryPage::default() };
        let versions = till.history(&record, &page).unwrap().versions;
        versions.into_iter().map(|version| version.change).collect::<Vec<_>>()
    };
    assert_eq!(changes(milk()), changes(tea()));
    till.offer(&[milk(), tea()]).unwrap();
    arrives(&till);
}
