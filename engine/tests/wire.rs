//! Batches and messages: what is packed comes out as it was, and whatever else arrives is refused with a typed fault,
//! in bounded memory.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ROOT, ScalarValue};
use bincode::Encode;
use comptoir_engine::change::{Change, DEPS_MAX};
use comptoir_engine::codec::CodecError;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{DocumentId, LogSeq};
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, REBUILT_BYTES_MAX, Unpacked, pack};
use comptoir_engine::wire::message::{Ack, Denial, Entries, Hello, Refused, Role, Welcome};
use comptoir_engine::wire::{Batch, BatchFault, FromDevice, FromRelay, Item, Style};
use comptoir_engine::{FieldEdit, RecordId, Settings, Timestamp, Value, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng as _;
use std::collections::BTreeMap;

fn workspace() -> WorkspaceId {
    WorkspaceId::new("shop").unwrap()
}

fn record(index: usize) -> RecordId {
    let (collection, key) = [("products", "tea"), ("products", "café/1"), ("sales", "tea")][index];
    RecordId::new(collection, key).unwrap()
}

// Histories of several records and actors.

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

const STYLES: [Style; 2] = [Style::Compact, Style::Explicit];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_comes_out_as_it_was_in_both_styles(
        steps in vec(step(), 0..60),
        known in any::<prop::sample::Index>(),
    ) {
        let items = history(&steps);
        let (known, fresh) = items.split_at(known.index(items.len() + 1));
        let receiver = Receiver::with(known);
        for style in STYLES {
            let bytes = pack(fresh, style).unwrap();
            prop_assert_eq!(Batch::decode(&bytes).unwrap().len(), fresh.len());
            prop_assert_eq!(Batch::decode(&bytes).unwrap().is_empty(), fresh.is_empty());
            let unpacked = receiver.unpack(&bytes).unwrap();
            prop_assert!(unpacked.clear);
            prop_assert_eq!(unpacked.changes, expect(fresh));
            // Packed again it is the same batch.
            prop_assert_eq!(&pack(fresh, style).unwrap(), &bytes);
        }
    }

    #[test]
    fn a_receiver_that_already_has_some_gets_the_same_changes(
        steps in vec(step(), 0..40),
        known in any::<prop::sample::Index>(),
    ) {
        let items = history(&steps);
        let (known, _) = items.split_at(known.index(items.len() + 1));
        let receiver = Receiver::with(known);
        for style in STYLES {
            let unpacked = receiver.unpack(&pack(&items, style).unwrap()).unwrap();
            prop_assert!(unpacked.clear);
            prop_assert_eq!(unpacked.changes, expect(&items));
        }
    }

    #[test]
    fn damaged_batches_never_panic_and_never_give_another_change(
        steps in vec(step(), 0..30),
        flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        plain in any::<bool>(),
    ) {
        let items = history(&steps);
        for style in STYLES {
            let mut bytes = pack(&items, style).unwrap();
            if plain {
                bytes = [&[1, 0][..], &body_of(&bytes)].concat();
            }
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(unpacked) = Receiver::default().unpack(&bytes) {
                // A clear batch gives the author's changes; their records are not part of their hashes.
                let ours: Vec<_> = items.iter().map(|item| item.change.hash()).collect();
                let rebuilt: Vec<_> = unpacked.changes.iter().flat_map(|(_, change)| change).collect();
                if unpacked.clear && rebuilt.len() == items.len() && style == Style::Compact {
                    prop_assert_eq!(rebuilt.iter().map(|change| change.hash()).collect::<Vec<_>>(), ours);
                }
                for change in rebuilt {
                    prop_assert_eq!(&Change::parse(change.bytes()).unwrap(), change);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_batch_and_no_message(bytes in vec(any::<u8>(), 0..300)) {
        for bytes in [bytes.clone(), [&[1, 0][..], &bytes].concat(), [&[1, 1, 9, 0, 0, 0][..], &bytes].concat()] {
            let _ = Receiver::default().unpack(&bytes);
            let _ = FromDevice::decode(&bytes);
            let _ = FromRelay::decode(&bytes);
        }
    }
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

#[test]
fn only_the_change_whose_dependency_is_missing_is_refused() {
    let items = turns(3);
    let other = elsewhere();
    // The receiver lacks the first edit; the batch holds the third edit, and another record.
    let receiver = Receiver::with(&items[..1]);
    let batch = [&items[2..3], &other[..]].concat();
    let unpacked = receiver.unpack(&pack(&batch, Style::Compact).unwrap()).unwrap();
    assert_eq!(unpacked.changes[0], (record(0), Err(Refusal::MissingDeps)));
    assert_eq!(unpacked.changes[1..], expect(&other));
    assert!(unpacked.clear, "nothing that came out was rebuilt with a hash of the receiver's");

    let unpacked = receiver.unpack(&pack(&batch, Style::Explicit).unwrap()).unwrap();
    assert!(unpacked.clear);
    assert_eq!(unpacked.changes, expect(&batch));
    assert_eq!(receiver.check(&record(0), &batch[0].change), Err(Refusal::MissingDeps));
    assert_eq!(receiver.check(&record(2), &other[0].change), Ok(Admission::New));
}

#[test]
fn what_follows_a_refused_change_in_the_same_batch_is_refused_with_it() {
    let items = turns(4);
    let receiver = Receiver::with(&items[..1]);
    let unpacked = receiver.unpack(&pack(&items[2..], Style::Compact).unwrap()).unwrap();
    assert!(unpacked.changes.iter().all(|(_, change)| *change == Err(Refusal::MissingDeps)));
}

/// The first edit of [`turns`] with other content under the same author and number.
fn forked(items: &[Item]) -> Item {
    let mut parts = items[1].change.parts().clone();
    parts.time_s += 1;
    Item { change: Change::build(parts).unwrap(), ..items[1].clone() }
}

#[test]
fn a_receiver_with_other_content_under_a_used_name_notices_it() {
    let items = turns(3);
    let receiver = Receiver::with(&[items[0].clone(), forked(&items)]);
    let unpacked = receiver.unpack(&pack(&items[2..], Style::Compact).unwrap()).unwrap();
    assert!(!unpacked.clear);
    assert!(unpacked.changes.iter().all(|(_, change)| change.is_ok()));

    let unpacked = receiver.unpack(&pack(&items[1..], Style::Explicit).unwrap()).unwrap();
    assert!(unpacked.clear);
    assert_eq!(unpacked.changes, expect(&items[1..]));
    assert_eq!(receiver.check(&record(0), &items[1].change), Err(Refusal::Forked));
    assert_eq!(receiver.check(&record(0), &items[2].change), Err(Refusal::MissingDeps));
}

#[test]
fn a_missing_dependency_does_not_hide_that_another_record_was_rebuilt_wrongly() {
    let items = turns(3);
    let mut receiver = Receiver::with(&[items[0].clone(), forked(&items)]);
    let edits = [3, 1, 2].map(|ops| Step::Edit { record: 1, by: 0, ops, time_s: 0, message: String::new() });
    let others: Vec<_> = history(&edits).into_iter().filter(|item| item.record == record(1)).collect();
    receiver.take(&others[0]);
    let batch = [items[2].clone(), others[3].clone()];
    let unpacked = receiver.unpack(&pack(&batch, Style::Compact).unwrap()).unwrap();
    assert_eq!(unpacked.changes[1].1, Err(Refusal::MissingDeps));
    assert_ne!(unpacked.changes[0].1.as_ref().unwrap().hash(), items[2].change.hash());
    assert!(!unpacked.clear);
}

#[test]
fn a_wrong_hash_in_the_explicit_style_refuses_that_change_only() {
    let items = elsewhere();
    let mut columns = columns_of(&pack(&items, Style::Explicit).unwrap());
    columns.own[0][5] ^= 1;
    let unpacked = Receiver::default().unpack(&columns.batch()).unwrap();
    assert_eq!(unpacked.changes[0].1, Err(Refusal::Hash));
    assert_eq!(unpacked.changes[1].1, Err(Refusal::MissingDeps), "it follows one that is not there");
}

// The body of a batch, so that it can be made to lie.

#[derive(Clone, Default, Encode, bincode::Decode)]
struct Columns {
    actors: Vec<Vec<u8>>,
    hashes: Vec<[u8; 32]>,
    collections: Vec<String>,
    record_collection: Vec<u32>,
    record_key: Vec<String>,
    record: Vec<u32>,
    actor: Vec<u32>,
    seq: Vec<u64>,
    start_op: Vec<u64>,
    time_s: Vec<i64>,
    message: Vec<String>,
    dep_count: Vec<u32>,
    dep_kind: Vec<u32>,
    dep_value: Vec<u64>,
    other_count: Vec<u32>,
    other: Vec<u32>,
    columns_bytes: Vec<u32>,
    columns: Vec<u8>,
    own: Vec<[u8; 32]>,
    check: [u8; 8],
}

impl Columns {
    fn batch(&self) -> Vec<u8> {
        [&[1, 0][..], &self.body()].concat()
    }

    fn packed(&self) -> Vec<u8> {
        zipped(&self.body())
    }

    fn body(&self) -> Vec<u8> {
        let value = bincode::encode_to_vec(self, bincode::config::standard()).unwrap();
        [&[1][..], &value].concat()
    }
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(body, 3).unwrap();
    [&[1, 1][..], &(body.len() as u32).to_le_bytes(), &packed].concat()
}

fn body_of(batch: &[u8]) -> Vec<u8> {
    match batch[1] {
        0 => batch[2..].to_vec(),
        _ => zstd::bulk::decompress(&batch[6..], BATCH_BYTES_MAX).unwrap(),
    }
}

fn columns_of(batch: &[u8]) -> Columns {
    bincode::decode_from_slice(&body_of(batch)[1..], bincode::config::standard()).unwrap().0
}

/// Decodes and unpacks, and asserts how much memory that took at most.
fn bounded(bytes: &[u8]) -> Result<Unpacked, BatchFault> {
    let mut unpacked = None;
    let cost = allocation_counter::measure(|| unpacked = Some(Receiver::default().unpack(bytes)));
    assert!(cost.bytes_max < 96 << 20, "{} bytes of memory for a batch of {}", cost.bytes_max, bytes.len());
    unpacked.unwrap()
}

fn sample() -> Columns {
    columns_of(&pack(&turns(3), Style::Explicit).unwrap())
}

#[test]
fn the_bodies_made_here_are_those_of_the_engine() {
    let items = turns(3);
    assert_eq!(bounded(&sample().batch()).unwrap().changes, expect(&items));
    assert_eq!(bounded(&sample().packed()).unwrap().changes, expect(&items));
}

#[test]
fn every_prefix_of_a_batch_and_every_longer_form_is_refused() {
    for style in STYLES {
        let bytes = pack(&turns(4), style).unwrap();
        for end in 0..bytes.len() {
            assert!(bounded(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(bounded(&long).is_err());
        let plain = [&[1, 0][..], &body_of(&bytes), &[0]].concat();
        assert!(matches!(bounded(&plain), Err(BatchFault::Codec(CodecError::Trailing { bytes: 1, .. }))));
        let zipped = zipped(&[&body_of(&bytes)[..], &[0]].concat());
        assert!(matches!(bounded(&zipped), Err(BatchFault::Codec(CodecError::Trailing { .. }))));
    }
}

#[test]
fn other_versions_and_kinds_are_refused() {
    let bytes = sample().batch();
    for version in [0, 2, 255] {
        let mut outer = bytes.clone();
        outer[0] = version;
        let refused = bounded(&outer);
        assert!(matches!(refused, Err(BatchFault::Codec(CodecError::Version { found, .. })) if found == version));
        let mut inner = bytes.clone();
        inner[2] = version;
        assert!(matches!(bounded(&inner), Err(BatchFault::Codec(CodecError::Version { .. }))));
    }
    for kind in [2, 3, 255] {
        let mut bytes = bytes.clone();
        bytes[1] = kind;
        assert_eq!(bounded(&bytes).unwrap_err(), BatchFault::Block);
    }
}

#[test]
fn a_frame_inflates_to_the_length_it_names_and_never_past_the_limit() {
    let bomb = vec![0; 256 << 20];
    let packed = zstd::bulk::compress(&bomb, 3).unwrap();
    assert!(packed.len() < 64 << 10);
    for length in [0, 100, BATCH_BYTES_MAX as u32, BATCH_BYTES_MAX as u32 + 1, 256 << 20, u32::MAX] {
        let bytes = [&[1, 1][..], &length.to_le_bytes(), &packed].concat();
        let mut refused = None;
        let cost = allocation_counter::measure(|| refused = Some(Batch::decode(&bytes).unwrap_err()));
        assert_eq!(refused, Some(BatchFault::Block));
        assert!(cost.bytes_max < 2 * BATCH_BYTES_MAX as u64, "{} bytes", cost.bytes_max);
    }
    let body = sample().body();
    let packed = zstd::bulk::compress(&body, 3).unwrap();
    for length in [body.len() - 1, body.len() + 1, 0] {
        let bytes = [&[1, 1][..], &(length as u32).to_le_bytes(), &packed].concat();
        assert_eq!(bounded(&bytes).unwrap_err(), BatchFault::Block);
    }
    let plain = [&[1, 0][..], &vec![0; BATCH_BYTES_MAX + 1]].concat();
    assert_eq!(bounded(&plain).unwrap_err(), BatchFault::Block);
}

#[test]
fn columns_that_do_not_fit_each_other_are_refused() {
    let lies: [fn(&mut Columns); 27] = [
        |columns| columns.seq.push(1),
        |columns| columns.start_op.truncate(1),
        |columns| columns.time_s.push(0),
        |columns| columns.message.clear(),
        |columns| columns.record.push(0),
        |columns| columns.own.truncate(1),
        |columns| columns.dep_count[1] += 1,
        |columns| columns.dep_count[1] = u32::MAX,
        |columns| columns.dep_kind.push(0),
        |columns| columns.dep_value.push(0),
        |columns| columns.other_count[1] = u32::MAX,
        |columns| columns.other.push(0),
        |columns| columns.columns_bytes[0] -= 1,
        |columns| columns.columns_bytes[0] = u32::MAX,
        |columns| columns.columns.push(0),
        |columns| columns.record[1] = 9,
        |columns| columns.record_collection[0] = u32::MAX,
        |columns| columns.record_collection.push(0),
        |columns| columns.collections[0] = "NOT/valid".to_owned(),
        |columns| columns.record_key[0] = "\0".to_owned(),
        |columns| columns.record_key[0] = "k".repeat(257),
        |columns| columns.actor[1] = u32::MAX,
        |columns| columns.actors[0] = vec![1; 13],
        |columns| columns.dep_value[0] = 0,
        |columns| columns.dep_value[0] = u64::MAX,
        |columns| columns.dep_kind[0] = u32::MAX,
        |columns| (columns.dep_kind[0], columns.dep_value[0]) = (1, u64::MAX),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let mut columns = sample();
        lie(&mut columns);
        let refused = bounded(&columns.batch()).unwrap_err();
        assert!(matches!(refused, BatchFault::Malformed(_)), "lie {index}: {refused:?}");
        assert_eq!(bounded(&columns.packed()).unwrap_err(), refused);
    }
}

#[test]
fn counts_that_lie_cost_no_memory() {
    // A count behind the version byte, in every width, for every column in turn.
    let empty = Columns::default().body();
    for column in 0..19 {
        for lie in [&[250][..], &[251, 0xff, 0xff], &[252, 0xff, 0xff, 0xff, 0xff], &[253; 9], &[253, 0, 0, 0, 0, 1]] {
            let body = [&empty[..1 + column], lie, &[0; 100]].concat();
            let mut refused = None;
            let bytes = [&[1, 0][..], &body].concat();
            let cost = allocation_counter::measure(|| refused = Some(Batch::decode(&bytes).is_err()));
            assert!(refused == Some(true) && cost.bytes_max < 16 << 20, "column {column}: {} bytes", cost.bytes_max);
        }
    }
}

#[test]
fn a_small_frame_never_takes_much_memory() {
    let body_max = BATCH_BYTES_MAX - 4096;
    // Empty names, empty actors, empty messages, numbers: what has the smallest encoding for its size in memory.
    let wide = 340_000;
    let bombs: [Columns; 6] = [
        Columns { actors: vec![Vec::new(); wide], ..Columns::default() },
        Columns { actors: vec![vec![1; 16]; wide / 2], ..Columns::default() },
        Columns { collections: vec![String::new(); wide], message: vec![String::new(); wide], ..Columns::default() },
        Columns { record_key: vec!["k".to_owned(); wide], record_collection: vec![0; wide], ..Columns::default() },
        Columns {
            seq: vec![0; 1 << 20],
            start_op: vec![0; 1 << 20],
            dep_value: vec![0; 1 << 20],
            ..Columns::default()
        },
        Columns { record: vec![0; BATCH_CHANGES_MAX + 1], ..Columns::default() },
    ];
    for (index, bomb) in bombs.iter().enumerate() {
        assert!(bomb.body().len() <= BATCH_BYTES_MAX && bomb.packed().len() < 64 << 10);
        assert!(bounded(&bomb.packed()).is_err(), "bomb {index}");
    }
    // Changes that name 256 dependencies, or 1,024 actors, in a few bytes.
    let changes = 2500;
    let mut columns = many(changes);
    columns.hashes = (0..DEPS_MAX).map(|index| [index as u8; 32]).collect();
    columns.dep_count = vec![DEPS_MAX as u32; changes];
    columns.dep_kind = vec![1; changes * DEPS_MAX];
    columns.dep_value = (0..changes * DEPS_MAX).map(|index| (index % DEPS_MAX) as u64).collect();
    let refused = bounded(&columns.packed()).unwrap_err();
    assert_eq!(refused, BatchFault::TooLarge { limit: "bytes once rebuilt", limit_max: REBUILT_BYTES_MAX });
    let changes = body_max / (3 * 1024 + 20);
    let mut columns = many(changes);
    columns.actors = (0..1025u32).map(|index| [&index.to_be_bytes()[..], &[0; 12]].concat()).collect();
    columns.actor = vec![1; changes];
    columns.other_count = vec![1024; changes];
    columns.other = (0..changes as u32 * 1024).map(|index| (index % 1024 + 1) * 2).collect();
    let refused = bounded(&columns.packed()).unwrap_err();
    assert_eq!(refused, BatchFault::TooLarge { limit: "bytes once rebuilt", limit_max: REBUILT_BYTES_MAX });
}

/// So many changes without ops by one actor to one record.
fn many(changes: usize) -> Columns {
    Columns {
        actors: vec![vec![1; 16]],
        collections: vec!["c".to_owned()],
        record_collection: vec![0],
        record_key: vec!["k".to_owned()],
        record: vec![0; changes],
        actor: vec![1; changes],
        seq: (1..=changes as u64).collect(),
        start_op: vec![1; changes],
        time_s: vec![0; changes],
        message: vec![String::new(); changes],
        dep_count: vec![0; changes],
        other_count: vec![0; changes],
        columns_bytes: vec![1; changes],
        columns: vec![0; changes],
        ..Columns::default()
    }
}

#[test]
fn the_most_changes_fit_and_one_more_does_not() {
    let full = bounded(&many(BATCH_CHANGES_MAX).packed()).unwrap();
    assert_eq!(full.changes.len(), BATCH_CHANGES_MAX);
    let refused = bounded(&many(BATCH_CHANGES_MAX + 1).packed()).unwrap_err();
    assert_eq!(refused, BatchFault::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX });
    let first = elsewhere().remove(0);
    let refused = pack(&vec![first; BATCH_CHANGES_MAX + 1], Style::Compact).unwrap_err();
    assert_eq!(refused, BatchFault::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX });
}

#[test]
fn a_batch_that_could_not_be_read_is_not_packed() {
    let mut doc = Automerge::new().with_actor(Actor::from([1; 16].as_slice()));
    let mut lineage = Lineage::default();
    let mut items = Vec::new();
    for seed in 0..6 {
        let mut noise = rand::rngs::StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; 900_000];
        rand::Rng::fill_bytes(&mut noise, &mut bytes);
        let mut tx = doc.transaction();
        tx.put(ROOT, "photo", ScalarValue::Bytes(bytes)).unwrap();
        tx.commit();
        let change = Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap();
        items.push(item(&record(0), change, &mut lineage));
    }
    assert!(pack(&items[..4], Style::Compact).is_ok());
    let refused = pack(&items, Style::Compact).unwrap_err();
    assert!(matches!(refused, BatchFault::TooLarge { limit_max: BATCH_BYTES_MAX, .. }), "{refused:?}");
}

#[test]
fn a_change_that_is_out_of_form_is_refused_alone() {
    let items = turns(3);
    let other = elsewhere();
    let mut columns = columns_of(&pack(&[&items[..], &other].concat(), Style::Explicit).unwrap());
    columns.start_op[1] = 0;
    let unpacked = bounded(&columns.batch()).unwrap();
    assert!(matches!(unpacked.changes[1].1, Err(Refusal::Malformed(_))));
    assert_eq!(unpacked.changes[2].1, Err(Refusal::MissingDeps));
    assert_eq!(unpacked.changes[items.len()..], expect(&other));
}

// Messages.

fn from_device() -> Vec<FromDevice> {
    let hello = Hello {
        workspace: "shop".to_owned(),
        device: [1; 16],
        device_name: "till é".to_owned(),
        token: "t".repeat(300),
        cursor: Some(([2; 16], u64::MAX)),
        credit_bytes: 4 << 20,
    };
    vec![
        FromDevice::Hello(Hello { cursor: None, ..hello.clone() }),
        FromDevice::Hello(hello),
        FromDevice::Push { push: 1, offered: false, batch: vec![7; 300] },
        FromDevice::Credit { bytes: u64::MAX },
        FromDevice::Reconcile { payload: Vec::new() },
        FromDevice::Want { leaves: vec![[1; 32]; 3], last: true },
    ]
}

fn from_relay() -> Vec<FromRelay> {
    let refused = vec![
        Refused { index: 0, reason: Refusal::Malformed("x".to_owned()) },
        Refused { index: u32::MAX, reason: Refusal::SeqGap { expected: 1, found: u64::MAX } },
        Refused { index: 1, reason: Refusal::TooLarge { limit: "ops".to_owned(), limit_max: 1 } },
        Refused { index: 2, reason: Refusal::RoleTooLow },
    ];
    vec![
        FromRelay::Welcome(Welcome { epoch: [1; 16], tail: 9, digest: [2; 32], role: Role::Admin }),
        FromRelay::Denied(Denial::OverLimit { limit: "bytes".to_owned(), limit_max: 4 }),
        FromRelay::Denied(Denial::ShuttingDown),
        FromRelay::Ack(Ack { push: 1, through: Some(2), digest: Some([3; 32]), refused }),
        FromRelay::Unclear { push: 3 },
        FromRelay::Entries(Entries { batches: vec![vec![1], vec![], vec![2; 300]], through: 7, digest: None }),
        FromRelay::Reconcile { payload: vec![0x61; 20] },
        FromRelay::Records { batch: vec![1, 0] },
        FromRelay::Reconciled { through: 1, digest: [4; 32] },
    ]
}

/// Reads a frame and writes it again; `None` when it is no message.
type Read = fn(&[u8]) -> Option<Vec<u8>>;

/// Every message as a frame, with its reader.
fn frames() -> Vec<(Vec<u8>, Read)> {
    let device = from_device().into_iter().map(|message| {
        let read: Read = |frame| FromDevice::decode(frame).ok()?.encode().ok();
        (message.encode().unwrap(), read)
    });
    let relay = from_relay().into_iter().map(|message| {
        let read: Read = |frame| FromRelay::decode(frame).ok()?.encode().ok();
        (message.encode().unwrap(), read)
    });
    device.chain(relay).collect()
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in from_device() {
        assert_eq!(FromDevice::decode(&message.encode().unwrap()), Ok(message));
    }
    for message in from_relay() {
        assert_eq!(FromRelay::decode(&message.encode().unwrap()), Ok(message));
    }
}

#[test]
fn cut_and_longer_messages_other_versions_and_unknown_kinds_are_refused() {
    for (frame, read) in frames() {
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), None, "cut at {end}");
        }
        assert_eq!(read(&[&frame[..], &[0]].concat()), None);
        for version in [0, 2, 255] {
            assert_eq!(read(&[&[version], &frame[1..]].concat()), None);
        }
        for kind in [10, 50, 250, 251, 255] {
            assert_eq!(read(&[&[frame[0], kind], &frame[2..]].concat()), None);
        }
    }
    let trailing = [&FromDevice::Credit { bytes: 1 }.encode().unwrap()[..], &[9, 9]].concat();
    assert!(matches!(FromDevice::decode(&trailing), Err(CodecError::Trailing { bytes: 2, .. })));
    assert!(matches!(FromDevice::decode(&[]), Err(CodecError::Empty { .. })));
    assert!(matches!(FromRelay::decode(&[2]), Err(CodecError::Version { found: 2, known: 1, .. })));
    // Unknown variants inside: a role, a denial, a refusal, a presence and a truth value.
    for frame in [&[1, 0, 0, 0, 0][..], &[1, 1, 99], &[1, 2, 1, 0, 0, 1, 0, 99], &[1, 2, 1, 9]] {
        assert!(FromRelay::decode(frame).is_err());
    }
    assert!(FromDevice::decode(&[1, 4, 0, 2]).is_err());
}

#[test]
fn counts_that_lie_in_a_message_cost_no_memory() {
    for (frame, read) in frames() {
        for at in 2..frame.len().min(40) {
            for lie in [&[251, 0xff, 0xff][..], &[252, 0xff, 0xff, 0xff, 0xff], &[253; 9]] {
                let bytes = [&frame[..at], lie, &frame[at + 1..]].concat();
                let cost = allocation_counter::measure(|| drop(read(&bytes)));
                assert!(cost.bytes_max < 9 << 20, "{} bytes", cost.bytes_max);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn flipped_messages_never_panic(flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4)) {
        for (mut frame, read) in frames() {
            for (at, bit) in &flips {
                let at = at.index(frame.len());
                frame[at] ^= 1 << bit;
            }
            let _ = read(&frame);
        }
    }
}

// Figures.

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
