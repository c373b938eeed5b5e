//! Changes that no store of ours makes: they harm their own record at most.

use super::strategies::edit;
use super::{NOW, record, set, store, tea};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ObjType, ROOT, ScalarValue};
use comptoir_engine::change::Change;
use comptoir_engine::gate::{Lineage, Refusal};
use comptoir_engine::id::LogSeq;
use comptoir_engine::record::view::DEPTH_MAX;
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::pack;
use comptoir_engine::wire::{Item, Style};
use comptoir_engine::{Collection, FieldEdit, HistoryPage, RecordId, Value, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;

/// A batch of changes to one record, by way of Automerge, as no store of ours makes them.
fn hostile(record: &RecordId, make: impl FnOnce(&mut Automerge)) -> Vec<u8> {
    let mut doc = Automerge::new().with_actor(Actor::from([0xbb; 16].as_slice()));
    make(&mut doc);
    let changes = doc.get_changes(&[]);
    batch(record, changes.iter().map(|change| Change::parse(change.raw_bytes()).unwrap()))
}

fn batch(record: &RecordId, changes: impl IntoIterator<Item = Change>) -> Vec<u8> {
    let mut lineage = Lineage::default();
    let item = |change: Change| {
        let deps = change.parts().deps.iter().map(|dep| lineage.place_of(dep).unwrap()).collect();
        lineage.extend(&change, LogSeq(0));
        Item { record: record.clone(), change, deps }
    };
    pack(&changes.into_iter().map(item).collect::<Vec<_>>(), Style::Explicit).unwrap()
}

/// Takes a hostile batch and shows that the store, the record and the rest of its collection still work.
fn survive(batch: Vec<u8>) -> Store {
    let mut victim = store(1);
    victim.commit_local(&[(record(1), set("name", Value::String("Ann".to_owned())))], NOW).unwrap();
    victim.apply_remote(&[batch], None, NOW).unwrap();
    let products = Collection::new("products").unwrap();
    for _ in 0..20 {
        assert_eq!(victim.list(&products, None, 10).unwrap().len(), 2);
        victim.commit_local(&[(tea(), FieldEdit::Increment { field: "sold".to_owned(), by: 1 })], NOW).unwrap();
    }
    assert_eq!(victim.get(&tea()).unwrap().unwrap().fields["sold"], Value::Counter(20));
    // All of it reaches another store.
    let mut other = store(2);
    let records: Vec<_> = victim.leaves().unwrap().into_iter().map(|(_, record)| record).collect();
    victim.offer(&records).unwrap();
    let mut next = 0;
    while let Some(outgoing) = victim.outgoing(next, Style::Explicit).unwrap() {
        other.apply_remote(&[outgoing.batch], None, NOW).unwrap();
        next = outgoing.through + 1;
    }
    assert_eq!(other.get(&tea()).unwrap(), victim.get(&tea()).unwrap());
    victim
}

/// Runs with little stack, so that recursion without bound does not go unnoticed.
fn with_little_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap();
    thread.join().unwrap();
}

/// How deep a value is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn list_at(doc: &mut Automerge, path: &str, levels: usize, kind: impl Fn(usize) -> ObjType) {
    let mut tx = doc.transaction();
    tx.put(ROOT, path, ScalarValue::Bytes(vec![1])).unwrap();
    let mut inner = tx.put_object(ROOT, format!("~l/{path}"), ObjType::List).unwrap();
    let mut here = ObjType::List;
    for level in 0..levels {
        inner = match here {
            ObjType::List => tx.insert_object(&inner, 0, kind(level)).unwrap(),
            _ => tx.put_object(&inner, "m", kind(level)).unwrap(),
        };
        here = kind(level);
    }
    tx.commit();
}

#[test]
fn objects_nested_thousands_deep_are_cut_off_and_harm_nothing() {
    with_little_stack(|| {
        for kind in [|_| ObjType::List, |_| ObjType::Map, |level| [ObjType::List, ObjType::Map][level % 2]] {
            let victim = survive(hostile(&tea(), |doc| list_at(doc, "x", 20_000, kind)));
            assert_eq!(depth(&victim.get(&tea()).unwrap().unwrap().fields["x"]), DEPTH_MAX);
        }
    });
}

#[test]
fn lists_at_the_end_of_a_deep_path_are_cut_off_where_a_view_ends() {
    for maps in [1, DEPTH_MAX - 2, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 5000] {
        let path = vec!["a"; maps + 1].join("/");
        survive(hostile(&tea(), |doc| list_at(doc, &path, 100, |_| ObjType::List)));
    }
}

#[test]
fn odd_keys_in_a_document_harm_nothing() {
    let long = "k".repeat(100_000);
    let deep = "a/".repeat(50_000);
    let odd = ["", "/", "//", "~", "~3", "~c", "~c/", "~c/a/b", "~l/", "~u/", "~t/", "~x/y", "a/", "/a", &long, &deep];
    let victim = survive(hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        for key in odd {
            tx.put(ROOT, key, 1).unwrap();
        }
        tx.put(ROOT, "~l/x", "no list").unwrap();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        tx.put(ROOT, "y", ScalarValue::Bytes(vec![2])).unwrap();
        tx.put_object(ROOT, "~t/y", ObjType::Map).unwrap();
        tx.put(ROOT, "z", ScalarValue::Bytes(vec![9, 9])).unwrap();
        tx.put_object(ROOT, "w", ObjType::Map).unwrap();
        tx.commit();
    }));
    let fields = victim.get(&tea()).unwrap().unwrap().fields;
    assert_eq!(fields["x"], Value::List(Vec::new()));
    assert_eq!(fields["y"], Value::Text(String::new()));
    assert_eq!(fields["z"], Value::Bytes(vec![9, 9]));
    assert!(!fields.contains_key("w"));
}

/// A list of so many objects with one field each, all of one name.
fn one_name(name_bytes: usize, objects: usize) -> Vec<u8> {
    hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        let list = tx.put_object(ROOT, "~l/x", ObjType::List).unwrap();
        let maps: Vec<_> = (0..objects).map(|at| tx.insert_object(&list, at, ObjType::Map).unwrap()).collect();
        maps.iter().for_each(|map| tx.put(map, "k".repeat(name_bytes), true).unwrap());
        tx.commit();
    })
}

#[test]
fn a_name_that_run_lengths_repeat_does_not_fill_the_memory() {
    let bomb = one_name(20_000, 10_000);
    assert!(bomb.len() < 64 << 10);
    let mut victim = store(1);
    let cost = allocation_counter::measure(|| drop(victim.apply_remote(&[bomb], None, NOW).unwrap()));
    assert!(cost.bytes_max < 4 << 20, "{} bytes", cost.bytes_max);
    assert!(matches!(victim.quarantine().unwrap()[0].reason, Refusal::TooLarge { .. }));
    // What the gate lets pass can be read.
    let mut victim = survive(one_name(200, 20_000));
    assert!(matches!(&victim.get(&tea()).unwrap().unwrap().fields["x"], Value::List(items) if items.len() == 20_000));
    let cost = allocation_counter::measure(|| drop(victim.apply_remote(&[one_name(200, 20_000)], None, NOW).unwrap()));
    assert!(cost.bytes_max < 64 << 20, "{} bytes", cost.bytes_max);
}

#[test]
fn a_list_of_as_many_items_as_the_gate_admits_can_be_read() {
    let batch = hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        let list = tx.put_object(ROOT, "~l/x", ObjType::List).unwrap();
        tx.commit();
        for round in 0..10 {
            let mut tx = doc.transaction();
            (0..49_000).for_each(|at| tx.insert(&list, round * 49_000 + at, ()).unwrap());
            tx.commit();
        }
    });
    assert!(batch.len() < 4096);
    let mut victim = store(1);
    victim.apply_remote(&[batch], None, NOW).unwrap();
    assert_eq!(victim.quarantined(), 0);
    assert!(matches!(&victim.get(&tea()).unwrap().unwrap().fields["x"], Value::List(items) if items.len() > 300_000));
    victim.commit_local(&[(tea(), set("y", Value::Int(1)))], NOW).unwrap();
}

#[test]
fn a_record_that_hundreds_changed_at_once_can_still_be_edited() {
    let changes = (0..700u32).map(|index| {
        let actor = [&index.to_be_bytes()[..], &[0xcc; 12]].concat();
        let mut doc = Automerge::new().with_actor(Actor::from(actor));
        let mut tx = doc.transaction();
        tx.put(ROOT, format!("field {index}"), i64::from(index)).unwrap();
        tx.commit_with(CommitOptions::default().with_time(0));
        Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap()
    });
    let batch = batch(&tea(), changes);
    let (mut one, mut two) = (store(1), store(2));
    for store in [&mut one, &mut two] {
        store.apply_remote(std::slice::from_ref(&batch), None, NOW).unwrap();
        store.commit_local(&[(tea(), set("name", Value::Int(1)))], NOW).unwrap();
        assert_eq!(store.get(&tea()).unwrap().unwrap().fields.len(), 701);
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let stores = [&mut one, &mut two];
        let outgoing = stores[from].outgoing(0, Style::Compact).unwrap().unwrap();
        stores[to].apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    assert_eq!((one.quarantined(), two.quarantined()), (0, 0));
}

#[test]
fn two_ops_of_one_name_are_refused_before_they_meet_a_document() {
    let make = |key: &str, seq| {
        let mut doc = Automerge::new().with_actor(Actor::from([0xbb; 16].as_slice()));
        let mut tx = doc.transaction();
        tx.put(ROOT, key, 1).unwrap();
        tx.commit();
        let change = Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap();
        let mut parts = change.parts().clone();
        parts.seq = seq;
        Change::build(parts).unwrap()
    };
    let mut victim = store(1);
    victim.apply_remote(&[batch(&tea(), [make("a", 1), make("b", 2)])], None, NOW).unwrap();
    assert_eq!(victim.get(&tea()).unwrap().unwrap().fields.len(), 1);
    let set_aside = victim.quarantine().unwrap();
    assert_eq!(set_aside.len(), 1);
    assert_eq!(set_aside[0].reason, Refusal::StartOp { expected: 2, found: 1 });
}

/// A change with some bytes of its columns replaced, when that still is one.
fn damaged(change: &Change, edits: &[(prop::sample::Index, u8)]) -> Option<Change> {
    let mut parts = change.parts().clone();
    for (at, byte) in edits {
        let at = at.index(parts.columns.len());
        parts.columns[at] = *byte;
    }
    Change::build(parts).ok().filter(|damaged| damaged != change)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn changes_that_are_well_formed_and_make_no_sense_harm_their_own_record_at_most(
        edits in vec(edit(), 1..6),
        bytes in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..8u8]), 1..4),
        which in any::<prop::sample::Index>(),
    ) {
        let mut author = store(1);
        author.commit_local(&[(tea(), set("a", Value::List(vec![Value::Int(1), Value::Text("x".to_owned())])))], NOW).unwrap();
        for edit in &edits {
            let _ = author.commit_local(&[(tea(), edit.clone())], NOW);
        }
        let honest = author.outgoing(0, Style::Compact).unwrap().unwrap().batch;
        let workspace = WorkspaceId::new("shop").unwrap();
        let unpacked = comptoir_engine::wire::Batch::decode(&honest).unwrap().unpack(&workspace, |_, _, _| None).unwrap();
        let of_tea = unpacked.changes.into_iter().filter(|(record, _)| *record == tea());
        let mut changes: Vec<_> = of_tea.map(|(_, change)| change.unwrap()).collect();
        let which = which.index(changes.len());
        let Some(bad) = damaged(&changes[which], &bytes) else { return Ok(()) };
        changes.truncate(which);
        changes.push(bad);
        let mut victim = store(2);
        victim.commit_local(&[(record(1), set("name", Value::Int(1)))], NOW).unwrap();
        victim.apply_remote(&[batch(&tea(), changes.clone())], None, NOW).unwrap();
        prop_assert_eq!(victim.get(&record(1)).unwrap().unwrap().fields.len(), 1);
        victim.get(&tea()).unwrap();
        // The honest part of the record is there, and the record goes on.
        let mut honest = store(3);
        honest.apply_remote(&[batch(&tea(), changes[..which].iter().cloned())], None, NOW).unwrap();
        if victim.quarantined() == 1 {
            prop_assert_eq!(victim.get(&tea()).unwrap(), honest.get(&tea()).unwrap());
        }
        // Asked for its past it may refuse; it never brings the device down.
        let _ = (victim.history(&tea(), &HistoryPage::default()), victim.view_at_time(&tea(), NOW), victim.conflicts_of(&tea()));
        let _ = victim.undo(&tea(), None, None, NOW);
        for _ in 0..18 {
            let sold = FieldEdit::Increment { field: "sold".to_owned(), by: 1 };
            if victim.commit_local(&[(tea(), FieldEdit::Restore), (tea(), sold)], NOW).is_err() {
                break;
            }
        }
        victim.get(&tea()).unwrap();
    }
}
