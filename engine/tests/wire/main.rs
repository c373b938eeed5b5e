//! Batches and messages: what is packed comes out as it was, and whatever else arrives is refused with a typed fault,
//! in bounded memory. Here: histories of several records and actors, and a receiver of them.

mod batches;
mod figures;
mod lies;
mod messages;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ROOT, ScalarValue};
use comptoir_engine::change::Change;
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{DocumentId, LogSeq};
use comptoir_engine::wire::batch::Unpacked;
use comptoir_engine::wire::{Batch, BatchFault, Item, Style};
use comptoir_engine::{RecordId, WorkspaceId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const STYLES: [Style; 2] = [Style::Compact, Style::Explicit];

fn workspace() -> WorkspaceId {
    WorkspaceId::new("shop").unwrap()
}

fn record(index: usize) -> RecordId {
    let (collection, key) = [("products", "tea"), ("products", "café/1"), ("sales", "tea")][index];
    RecordId::new(collection, key).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Edit { record: usize, by: usize, ops: u8, time_s: i64, message: String },
    Merge { record: usize, from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let time_s = prop_oneof![1_700_000_000..1_700_000_100i64, -(1i64 << 56)..(1i64 << 56)];
    let edit = (0..3usize, 0..3usize, 0..4u8, time_s, "[a-zé]{0,3}");
    prop_oneof![
        3 => edit.prop_map(|(record, by, ops, time_s, message)| Step::Edit { record, by, ops, time_s, message }),
        1 => (0..3usize, 0..3usize, 0..3usize).prop_map(|(record, from, to)| Step::Merge { record, from, to }),
    ]
}

/// The derived change that makes a record's counter.
fn genesis(record: &RecordId) -> Change {
    let mut scratch = Automerge::new().with_actor(Actor::from([0; 12].as_slice()));
    let mut tx = scratch.transaction();
    tx.put(ROOT, "~c/stock", ScalarValue::counter(0)).unwrap();
    tx.commit_with(CommitOptions::default().with_time(0));
    let plain = Change::parse(scratch.get_last_local_change().unwrap().raw_bytes()).unwrap();
    Change::derive(&DocumentId::derive(&workspace(), record), plain.parts().clone()).unwrap()
}

fn theirs(change: &Change) -> automerge::Change {
    automerge::Change::try_from(change.bytes()).unwrap()
}

/// All changes of a random history, each behind those it follows, with the names of what it follows.
fn history(steps: &[Step]) -> Vec<Item> {
    let mut docs = Vec::new();
    let mut items = Vec::new();
    let mut lineages: Vec<_> = (0..3).map(|_| Lineage::default()).collect();
    for (index, lineage) in lineages.iter_mut().enumerate() {
        let first = genesis(&record(index));
        for by in 0..3u8 {
            let mut doc = Automerge::new().with_actor(Actor::from([[200, 7, 90][usize::from(by)]; 16].as_slice()));
            doc.apply_changes([theirs(&first)]).unwrap();
            docs.push(doc);
        }
        items.push(item(&record(index), first, lineage));
    }
    for step in steps {
        match step {
            Step::Edit { record: index, by, ops, time_s, message } => {
                let doc = &mut docs[index * 3 + by];
                let options = CommitOptions::default().with_time(*time_s).with_message(message.clone());
                if *ops == 0 {
                    doc.empty_commit(options);
                } else {
                    let mut tx = doc.transaction();
                    tx.increment(ROOT, "~c/stock", i64::from(*ops)).unwrap();
                    (1..*ops).for_each(|op| tx.put(ROOT, format!("{op}"), *time_s + i64::from(op)).unwrap());
                    tx.commit_with(options);
                }
                let change = Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap();
                items.push(item(&record(*index), change, &mut lineages[*index]));
            }
            Step::Merge { record, from, to } => {
                let mut other = docs[record * 3 + from].clone();
                docs[record * 3 + to].merge(&mut other).unwrap();
            }
        }
    }
    items
}

fn item(record: &RecordId, change: Change, lineage: &mut Lineage) -> Item {
    let deps = change.parts().deps.iter().map(|dep| lineage.place_of(dep).unwrap()).collect();
    lineage.extend(&change, LogSeq(1));
    Item { record: record.clone(), change, deps }
}

/// What a receiver holds.
#[derive(Default)]
struct Receiver(BTreeMap<RecordId, Lineage>);

impl Receiver {
    fn with(items: &[Item]) -> Self {
        let mut receiver = Self::default();
        items.iter().for_each(|item| receiver.take(item));
        receiver
    }

    fn take(&mut self, item: &Item) {
        self.0.entry(item.record.clone()).or_default().extend(&item.change, LogSeq(1));
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Unpacked, BatchFault> {
        Batch::decode(bytes)?.unpack(&workspace(), |record, actor, seq| self.0.get(record)?.hash_of(actor, seq))
    }

    fn check(&self, record: &RecordId, change: &Change) -> Result<Admission, Refusal> {
        let document = DocumentId::derive(&workspace(), record);
        self.0.get(record).unwrap_or(&Lineage::default()).check(&document, change)
    }
}

fn expect(items: &[Item]) -> Vec<(RecordId, Result<Change, Refusal>)> {
    items.iter().map(|item| (item.record.clone(), Ok(item.change.clone()))).collect()
}

/// One record edited by two actors in turn: `a1 b1 a2 b2 ...`, each following the one before.
fn turns(count: usize) -> Vec<Item> {
    let edits = (0..count).flat_map(|turn| {
        let (by, from) = (turn % 2, (turn + 1) % 2);
        let edit = Step::Edit { record: 0, by, ops: 2, time_s: turn as i64, message: String::new() };
        [Step::Merge { record: 0, from, to: by }, edit]
    });
    let mut items = history(&edits.collect::<Vec<_>>());
    items.retain(|item| item.record == record(0));
    items
}

/// A change to another record, which follows nothing but its derived genesis.
fn elsewhere() -> Vec<Item> {
    let edit = Step::Edit { record: 2, by: 1, ops: 3, time_s: 5, message: "x".to_owned() };
    history(&[edit]).into_iter().filter(|item| item.record == record(2)).collect()
}
