//! Batches whose columns lie: refused, in bounded memory.

use super::{Receiver, STYLES, elsewhere, expect, item, record, turns};
use automerge::transaction::Transactable;
use automerge::{ActorId as Actor, Automerge, ROOT, ScalarValue};
use bincode::Encode;
use comptoir_engine::change::{Change, DEPS_MAX};
use comptoir_engine::codec::CodecError;
use comptoir_engine::gate::{Lineage, Refusal};
use comptoir_engine::wire::batch::{BATCH_BYTES_MAX, BATCH_CHANGES_MAX, REBUILT_BYTES_MAX, Unpacked, pack};
use comptoir_engine::wire::{Batch, BatchFault, Style};
use rand::SeedableRng as _;

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

pub(super) fn body_of(batch: &[u8]) -> Vec<u8> {
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
fn a_wrong_hash_in_the_explicit_style_refuses_that_change_only() {
    let items = elsewhere();
    let mut columns = columns_of(&pack(&items, Style::Explicit).unwrap());
    columns.own[0][5] ^= 1;
    let unpacked = Receiver::default().unpack(&columns.batch()).unwrap();
    assert_eq!(unpacked.changes[0].1, Err(Refusal::Hash));
    assert_eq!(unpacked.changes[1].1, Err(Refusal::MissingDeps), "it follows one that is not there");
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
