//! Change chunks: the parser is the inverse of Automerge on everything Automerge makes, and refuses the rest with a
//! typed fault, without a panic, at a cost of a few times its input.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId as Actor, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use comptoir_engine::change::{
    CHANGE_BYTES_MAX, Change, ChangeFault, DEPS_MAX, OP_COUNTER_MAX, OPS_MAX, Parts, TIME_S_MAX,
};
use comptoir_engine::id::{ActorId, ChangeHash};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

// What Automerge makes.

/// One op of a random history; the numbers choose among what is there.
#[derive(Debug, Clone)]
enum Op {
    Put(u8, ScalarValue),
    PutObject(u8, u8),
    Insert(u8, ScalarValue),
    InsertObject(u8, u8),
    Delete(u8),
    Increment(i64),
    Splice(u8, u8, String),
    Mark(u8, u8, ScalarValue),
}

/// One step: a commit by an actor, or a merge.
#[derive(Debug, Clone)]
enum Step {
    Commit { by: usize, object: u8, ops: Vec<Op>, time_s: i64, message: String },
    Empty { by: usize },
    Merge { from: usize, to: usize },
    Reload { at: usize },
}

const ACTORS: usize = 4;
const TIME: i64 = TIME_S_MAX as i64;

fn scalar() -> impl Strategy<Value = ScalarValue> {
    prop_oneof![
        Just(ScalarValue::Null),
        any::<bool>().prop_map(ScalarValue::Boolean),
        any::<i64>().prop_map(ScalarValue::Int),
        any::<u64>().prop_map(ScalarValue::Uint),
        any::<f64>().prop_map(ScalarValue::F64),
        ".{0,12}".prop_map(|text| ScalarValue::Str(text.as_str().into())),
        vec(any::<u8>(), 0..20).prop_map(ScalarValue::Bytes),
        any::<i64>().prop_map(ScalarValue::Timestamp),
        any::<i32>().prop_map(|count| ScalarValue::counter(count.into())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any::<u8>(), scalar()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(key, kind)| Op::PutObject(key, kind)),
        3 => (any::<u8>(), scalar()).prop_map(|(at, value)| Op::Insert(at, value)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, kind)| Op::InsertObject(at, kind)),
        2 => any::<u8>().prop_map(Op::Delete),
        2 => any::<i32>().prop_map(|by| Op::Increment(by.into())),
        3 => (any::<u8>(), any::<u8>(), ".{0,8}").prop_map(|(at, gone, text)| Op::Splice(at, gone, text)),
        1 => (any::<u8>(), any::<u8>(), scalar()).prop_map(|(from, length, value)| Op::Mark(from, length, value)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (0..ACTORS, any::<u8>(), vec(op(), 1..6), -TIME..=TIME, "[ -~é]{0,10}");
    prop_oneof![
        8 => commit.prop_map(|(by, object, ops, time_s, message)| Step::Commit { by, object, ops, time_s, message }),
        1 => (0..ACTORS).prop_map(|by| Step::Empty { by }),
        3 => (0..ACTORS, 0..ACTORS).prop_map(|(from, to)| Step::Merge { from, to }),
        1 => (0..ACTORS).prop_map(|at| Step::Reload { at }),
    ]
}

fn kind(choice: u8) -> ObjType {
    [ObjType::Map, ObjType::List, ObjType::Text][usize::from(choice) % 3]
}

fn key(choice: u8) -> String {
    ["a", "b", "stock", "", "~c/ü/x"][usize::from(choice) % 5].to_owned()
}

fn at(choice: u8, length: usize) -> usize {
    usize::from(choice) % (length + 1)
}

/// Does `op` to one of `objects` where it can be done, and gives the object it made, if any.
fn apply(tx: &mut Transaction<'_>, objects: &[ObjId], choice: u8, op: &Op) -> Option<ObjId> {
    let suits = |kind| match op {
        Op::Put(..) => kind != ObjType::Text,
        Op::PutObject(..) | Op::Increment(_) => kind == ObjType::Map,
        Op::Insert(..) | Op::InsertObject(..) => kind == ObjType::List,
        Op::Splice(..) | Op::Mark(..) => kind == ObjType::Text,
        Op::Delete(_) => true,
    };
    let places: Vec<_> = objects.iter().filter(|id| tx.object_type(id).is_ok_and(suits)).collect();
    let object = places.get(usize::from(choice) % places.len().max(1))?;
    let kind_here = tx.object_type(object).ok()?;
    let length = tx.length(object);
    match (op, kind_here) {
        (Op::Put(name, value), ObjType::Map) => tx.put(object, key(*name), value.clone()).ok()?,
        (Op::Put(place, value), ObjType::List) if length > 0 => {
            tx.put(object, at(*place, length - 1), value.clone()).ok()?
        }
        (Op::PutObject(name, choice), ObjType::Map) => return tx.put_object(object, key(*name), kind(*choice)).ok(),
        (Op::Insert(place, value), ObjType::List) => tx.insert(object, at(*place, length), value.clone()).ok()?,
        (Op::InsertObject(place, choice), ObjType::List) => {
            return tx.insert_object(object, at(*place, length), kind(*choice)).ok();
        }
        (Op::Delete(name), ObjType::Map) => tx.delete(object, key(*name)).ok()?,
        (Op::Delete(place), ObjType::List | ObjType::Text) if length > 0 => {
            tx.delete(object, at(*place, length - 1)).ok()?
        }
        (Op::Increment(by), ObjType::Map) => {
            let added = tx.increment(object, "stock", *by);
            added.or_else(|_| tx.put(object, "stock", ScalarValue::counter(0))).ok()?
        }
        (Op::Splice(place, gone, text), ObjType::Text) => {
            let place = at(*place, length);
            tx.splice_text(object, place, at(*gone, length - place) as isize, text).ok()?
        }
        (Op::Mark(from, long, value), ObjType::Text) if length > 0 => {
            let from = at(*from, length - 1);
            let mark = Mark::new("bold".to_owned(), value.clone(), from, from + 1 + at(*long, length - from - 1));
            tx.mark(object, mark, [ExpandMark::Both, ExpandMark::None][usize::from(*long) % 2]).ok()?
        }
        _ => {}
    }
    None
}

/// The documents of a random history: every actor's, with all changes it has seen.
fn history(steps: &[Step]) -> Vec<Automerge> {
    let actor = |index: usize| vec![[200, 7, 90, 1][index]; if index == 3 { 12 } else { 16 }];
    let mut docs: Vec<_> = (0..ACTORS).map(|index| Automerge::new().with_actor(Actor::from(actor(index)))).collect();
    let mut objects = vec![ROOT];
    for step in steps {
        match step {
            Step::Commit { by, object, ops, time_s, message } => {
                let mut tx = docs[*by].transaction();
                ops.iter().for_each(|op| objects.extend(apply(&mut tx, &objects, *object, op)));
                let options = CommitOptions::default().with_time(*time_s);
                tx.commit_with(match message.as_str() {
                    "" => options,
                    message => options.with_message(message),
                });
            }
            Step::Empty { by } => drop(docs[*by].empty_commit(CommitOptions::default().with_time(-1))),
            Step::Merge { from, to } => {
                let mut other = docs[*from].clone();
                docs[*to].merge(&mut other).unwrap();
            }
            Step::Reload { at } => {
                docs[*at] = Automerge::load(&docs[*at].save()).unwrap().with_actor(Actor::from(actor(*at)));
            }
        }
    }
    docs
}

fn assert_inverse(theirs: &automerge::Change) {
    let bytes = theirs.raw_bytes();
    let ours = Change::parse(bytes).unwrap();
    let parts = ours.parts();
    assert_eq!(ours.bytes(), bytes);
    assert_eq!(ours.hash().0, theirs.hash().0);
    assert_eq!(ours.ops(), theirs.len() as u64);
    assert_eq!(parts.seq, theirs.seq());
    assert_eq!(parts.start_op, theirs.start_op().get());
    assert_eq!(ours.max_op(), theirs.max_op());
    assert_eq!(parts.time_s, theirs.timestamp());
    assert_eq!(parts.message, theirs.message().unwrap_or_default());
    assert_eq!(parts.actor.as_bytes(), theirs.actor_id().to_bytes());
    let others: Vec<_> = theirs.other_actor_ids().iter().map(|actor| actor.to_bytes().to_vec()).collect();
    assert_eq!(parts.other_actors.iter().map(|actor| actor.as_bytes().to_vec()).collect::<Vec<_>>(), others);
    let mut deps: Vec<_> = theirs.deps().iter().map(|dep| ChangeHash(dep.0)).collect();
    deps.sort_unstable();
    assert_eq!(parts.deps, deps);
    assert_eq!(Change::build(parts.clone()).unwrap(), ours);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn parsing_is_the_inverse_of_automerge_on_every_change_it_makes(steps in vec(step(), 1..40)) {
        for doc in history(&steps) {
            doc.get_changes(&[]).iter().for_each(assert_inverse);
            // After a load the changes are put together again from the ops.
            let loaded = Automerge::load(&doc.save()).unwrap();
            loaded.get_changes(&[]).iter().for_each(assert_inverse);
        }
    }
}

#[test]
fn large_changes_of_one_kind_are_parsed() {
    let mut doc = Automerge::new().with_actor(Actor::from(vec![1; 16]));
    let mut tx = doc.transaction();
    let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
    (0..12_000).for_each(|index| tx.insert(&list, index, index as i64).unwrap());
    tx.commit();
    let mut tx = doc.transaction();
    (0..12_000).for_each(|index| tx.put(&list, index, ScalarValue::Null).unwrap());
    tx.commit();
    let mut tx = doc.transaction();
    let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, &"é".repeat(40_000)).unwrap();
    tx.commit();
    doc.get_changes(&[]).iter().for_each(assert_inverse);
}

// What nobody should make.

fn uleb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn sleb(value: i64) -> Vec<u8> {
    let (mut out, mut value) = (Vec::new(), value);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn unsigned(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    uleb(&mut out, value);
    out
}

/// A chunk of the given type with a right length and checksum.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind];
    uleb(&mut out, body.len() as u64);
    out.extend_from_slice(body);
    let hash = Sha256::digest(&out[8..]);
    out[4..8].copy_from_slice(&hash[..4]);
    out
}

/// Column headers and data.
fn columns(columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = unsigned(columns.len() as u64);
    for (spec, data) in columns {
        uleb(&mut out, *spec);
        uleb(&mut out, data.len() as u64);
    }
    columns.iter().for_each(|(_, data)| out.extend_from_slice(data));
    out
}

/// A body without dependencies, message and other actors.
fn body(columns: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 16];
    out.extend_from_slice(&[7; 16]);
    out.extend_from_slice(&[1, 1, 0, 0, 0]);
    out.extend_from_slice(columns);
    out
}

/// So many ops of one kind: `put null` at the key "k" of the root.
fn puts(count: i64) -> Vec<(u64, Vec<u8>)> {
    let run = |item: &[u8]| [&sleb(count), item].concat();
    vec![
        (0x15, run(&[1, b'k'])),
        (0x34, unsigned(count as u64)),
        (0x42, run(&[1])),
        (0x56, run(&[0])),
        (0x70, run(&[0])),
    ]
}

fn with(mut list: Vec<(u64, Vec<u8>)>, spec: u64, data: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    list.retain(|column| column.0 != spec);
    list.push((spec, data));
    list.sort_unstable();
    list
}

fn fault(list: &[(u64, Vec<u8>)]) -> ChangeFault {
    parse_columns(list).unwrap_err()
}

fn parse_columns(list: &[(u64, Vec<u8>)]) -> Result<Change, ChangeFault> {
    cheap(&chunk(1, &body(&columns(list))))
}

/// Parses and asserts that it took no more memory than a few times the input.
fn cheap(bytes: &[u8]) -> Result<Change, ChangeFault> {
    let mut parsed = None;
    let cost = allocation_counter::measure(|| parsed = Some(Change::parse(bytes)));
    let allowed = 8 * bytes.len() as u64 + 1024;
    assert!(cost.bytes_max <= allowed, "{} bytes of memory for {} of input", cost.bytes_max, bytes.len());
    parsed.unwrap()
}

fn malformed(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::Malformed(_))
}

fn too_large(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::TooLarge { .. })
}

fn sample() -> Vec<u8> {
    chunk(1, &body(&columns(&puts(2))))
}

#[test]
fn the_handmade_change_is_one_that_automerge_takes_too() {
    let theirs = automerge::Change::try_from(&sample()[..]).unwrap();
    assert_inverse(&theirs);
    assert_eq!(theirs.len(), 2);
    assert!(malformed(&Change::parse(&[]).unwrap_err()));
}

#[test]
fn every_prefix_and_every_longer_form_of_a_change_is_refused() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(malformed(&cheap(&bytes[..end]).unwrap_err()), "cut at {end}");
    }
    assert!(malformed(&cheap(&[&bytes[..], &[0]].concat()).unwrap_err()));
    // Extra bytes inside the chunk, behind the columns, which Automerge would keep.
    let extra = [&body(&columns(&puts(2)))[..], b"extra"].concat();
    assert!(malformed(&cheap(&chunk(1, &extra)).unwrap_err()));
}

#[test]
fn a_wrong_checksum_is_refused_as_such() {
    for at in 4..8 {
        let mut bytes = sample();
        bytes[at] ^= 1;
        assert_eq!(cheap(&bytes), Err(ChangeFault::Hash));
    }
    let mut bytes = sample();
    let last = bytes.len() - 20;
    bytes[last] = b'z';
    assert!(cheap(&bytes).is_err());
}

#[test]
fn documents_bundles_and_compressed_changes_are_refused() {
    for kind in [0, 2, 3, 4, 255] {
        let bytes = chunk(kind, &body(&columns(&puts(2))));
        assert!(malformed(&cheap(&bytes).unwrap_err()), "chunk type {kind}");
    }
    let mut doc = Automerge::new();
    let mut tx = doc.transaction();
    tx.put(ROOT, "long", "x".repeat(4000)).unwrap();
    tx.commit();
    assert!(malformed(&cheap(&doc.save()).unwrap_err()));
    let mut change = doc.get_changes(&[]).remove(0);
    let deflated = change.bytes().into_owned();
    assert_eq!(deflated[8], 2);
    assert!(malformed(&cheap(&deflated).unwrap_err()));
}

/// The number in one more byte than it needs.
fn longer(value: u8, sign: bool) -> Vec<u8> {
    vec![value | 0x80, if sign { 0x7f } else { 0 }]
}

#[test]
fn numbers_that_are_not_in_their_shortest_form_are_refused_everywhere() {
    let plain = body(&columns(&puts(2)));
    // Count of deps, length of the actor, seq, start op, time, length of the message, count of actors, of columns.
    for at in [0, 1, 18, 19, 20, 21, 22, 23] {
        let stretched = [&plain[..at], &longer(plain[at], false), &plain[at + 1..]].concat();
        assert!(malformed(&cheap(&chunk(1, &stretched)).unwrap_err()), "at {at}");
    }
    let negative = [&plain[..20], &longer(0x7f, true), &plain[21..]].concat();
    assert!(malformed(&cheap(&chunk(1, &negative)).unwrap_err()));
    // The chunk's own length.
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
    bytes.extend(longer(plain.len() as u8, false));
    bytes.extend_from_slice(&plain);
    let hash = Sha256::digest(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    assert!(malformed(&cheap(&bytes).unwrap_err()));
    // Inside the columns: run lengths and values, unsigned, signed and boolean.
    let ops = [&longer(2, false)[..], &[1]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, ops))));
    let action = [&sleb(2)[..], &longer(1, false)].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, action))));
    assert!(malformed(&fault(&with(puts(2), 0x34, longer(2, false)))));
    assert!(malformed(&fault(&with(puts(2), 0x13, [&sleb(2)[..], &longer(0x7f, true)].concat()))));
}

#[test]
fn numbers_past_64_bits_are_refused() {
    let wide = [0xff; 10];
    let over = [&[0xff; 9][..], &[2]].concat();
    for number in [&wide[..], &over[..], &[0xff; 40]] {
        let bytes = [number, &[0; 40]].concat();
        assert!(malformed(&cheap(&chunk(1, &bytes)).unwrap_err()));
        assert!(malformed(&fault(&with(puts(2), 0x42, number.to_vec()))));
        assert!(malformed(&fault(&with(puts(2), 0x34, number.to_vec()))));
    }
}

#[test]
fn columns_of_unknown_kind_out_of_order_or_twice_are_refused() {
    for spec in [0x00, 0x03, 0x43, 0x57 + 0x10, 0xa4, 0xb5, 0x1042, u64::MAX] {
        assert!(malformed(&fault(&with(puts(2), spec, vec![2, 1]))), "spec {spec:#x}");
    }
    let deflated: Vec<_> = puts(2).into_iter().map(|(spec, data)| (spec | 8, data)).collect();
    assert!(malformed(&fault(&deflated)));
    let mut swapped = puts(2);
    swapped.swap(0, 1);
    assert!(malformed(&fault(&swapped)));
    let mut twice = puts(2);
    twice.insert(2, twice[2].clone());
    assert!(malformed(&fault(&twice)));
}

#[test]
fn a_few_bytes_never_stand_for_millions_of_ops() {
    for count in [OPS_MAX as i64 + 1, 10_000_000, i64::from(u32::MAX), i64::MAX] {
        assert!(too_large(&fault(&puts(count))), "{count} ops");
    }
    // As nulls, and as a run so long that the sum overflows.
    let nulls = [&[0][..], &unsigned(10_000_000)].concat();
    assert!(too_large(&fault(&with(puts(2), 0x42, nulls))));
    let twice_max = [sleb(i64::MAX), vec![1], sleb(i64::MAX), vec![2], sleb(i64::MAX), vec![1]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, twice_max))));
    // A literal run that claims more items than there are bytes.
    assert!(malformed(&fault(&with(puts(2), 0x42, [sleb(i64::MIN), vec![1, 1]].concat()))));
    // Every other column is held to the ops.
    for (spec, item) in [(0x01, 0), (0x02, 1), (0x11, 0), (0x13, 1), (0x15, 0), (0x56, 0), (0x70, 0), (0xa5, 0)] {
        let bomb = [sleb(10_000_000), vec![item]].concat();
        assert!(parse_columns(&with(puts(2), spec, bomb)).is_err(), "spec {spec:#x}");
    }
    for spec in [0x34, 0x94] {
        assert!(parse_columns(&with(puts(2), spec, unsigned(10_000_000))).is_err(), "spec {spec:#x}");
    }
    assert_eq!(parse_columns(&puts(OPS_MAX as i64)).unwrap().ops(), OPS_MAX);
}

#[test]
fn a_few_bytes_never_stand_for_millions_of_predecessors() {
    for each in [OPS_MAX, 10_000_000, u64::MAX / 2, u64::MAX] {
        let counts = [sleb(2), unsigned(each)].concat();
        assert!(parse_columns(&with(puts(2), 0x70, counts)).is_err(), "{each} each");
    }
    let ids = with(with(puts(2), 0x71, [sleb(9), vec![0]].concat()), 0x73, [sleb(9), vec![1]].concat());
    assert!(malformed(&fault(&ids)));
}

#[test]
fn content_counts_a_name_as_often_as_ops_carry_it() {
    assert_eq!(parse_columns(&puts(1)).unwrap().content_bytes(), columns(&puts(1)).len() as u64);
    let name = [sleb(1000), unsigned(3), b"abc".to_vec()].concat();
    let many = with(puts(1000), 0x15, name);
    assert_eq!(parse_columns(&many).unwrap().content_bytes(), columns(&many).len() as u64 + 999 * 3);
    let literals = [sleb(-2), unsigned(1), b"a".to_vec(), unsigned(2), b"bc".to_vec()].concat();
    let few = with(puts(2), 0x15, literals);
    assert_eq!(parse_columns(&few).unwrap().content_bytes(), columns(&few).len() as u64);
}

#[test]
fn values_are_as_long_as_their_lengths_say() {
    let meta = |length: u64| [sleb(2), unsigned(length << 4 | 6)].concat();
    for length in [1, 3, 1 << 20, u64::MAX >> 4] {
        assert!(malformed(&fault(&with(with(puts(2), 0x56, meta(length)), 0x57, b"abcd".to_vec()))), "{length}");
    }
    assert!(malformed(&fault(&with(puts(2), 0x56, meta(2)))));
    assert!(parse_columns(&with(with(puts(2), 0x56, meta(2)), 0x57, b"abcd".to_vec())).is_ok());
}

#[test]
fn empty_runs_and_empty_boolean_runs_are_refused() {
    assert!(malformed(&fault(&with(puts(2), 0x42, vec![2, 1, 0, 0]))));
    assert!(malformed(&fault(&with(puts(2), 0x42, vec![0, 0, 2, 1]))));
    // Only the first count, of falses, may be nothing, and only before another.
    for runs in [vec![0], vec![1, 0], vec![1, 0, 1], vec![0, 0, 2], vec![0, 1, 0, 1], vec![0; 1000]] {
        assert!(malformed(&fault(&with(puts(2), 0x34, runs.clone()))), "{runs:?}");
    }
    for runs in [vec![2], vec![0, 2], vec![1, 1], vec![]] {
        assert!(parse_columns(&with(puts(2), 0x34, runs.clone())).is_ok(), "{runs:?}");
    }
}

#[test]
fn texts_that_are_not_utf_8_are_refused() {
    assert!(malformed(&fault(&with(puts(2), 0x15, vec![2, 1, 0xff]))));
    let mut broken = body(&columns(&puts(2)));
    broken[21] = 1;
    broken.insert(22, 0xff);
    assert!(malformed(&cheap(&chunk(1, &broken)).unwrap_err()));
}

#[test]
fn actors_of_another_length_are_refused() {
    for length in [0u8, 1, 11, 13, 15, 17, 32, 127] {
        let mut bytes = vec![0, length];
        bytes.resize(2 + usize::from(length), 9);
        bytes.extend_from_slice(&[1, 1, 0, 0, 0, 0]);
        assert!(malformed(&cheap(&chunk(1, &bytes)).unwrap_err()), "{length} bytes");
    }
}

fn parts() -> Parts {
    Parts {
        deps: Vec::new(),
        actor: ActorId::ordinary([7; 16]),
        seq: 1,
        start_op: 1,
        time_s: 0,
        message: String::new(),
        other_actors: Vec::new(),
        columns: columns(&puts(2)),
    }
}

#[test]
fn the_limits_hold_exactly() {
    let hash = |index: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(index as u64).to_be_bytes());
        ChangeHash(hash)
    };
    let deps = |count: usize| Parts { deps: (0..count).map(hash).collect(), ..parts() };
    assert!(Change::build(deps(DEPS_MAX)).is_ok());
    assert!(too_large(&Change::build(deps(DEPS_MAX + 1)).unwrap_err()));
    let start = |start_op: u64| Parts { start_op, ..parts() };
    assert!(Change::build(start(OP_COUNTER_MAX - 2)).is_ok());
    for start_op in [OP_COUNTER_MAX - 1, u64::from(u32::MAX), u64::MAX] {
        assert!(too_large(&Change::build(start(start_op)).unwrap_err()), "{start_op}");
    }
    assert!(malformed(&Change::build(start(0)).unwrap_err()));
    assert!(malformed(&Change::build(Parts { seq: 0, ..parts() }).unwrap_err()));
    assert!(too_large(&Change::build(Parts { message: "m".repeat(1025), ..parts() }).unwrap_err()));
    for time_s in [TIME + 1, -TIME - 1, i64::MAX, i64::MIN] {
        assert!(too_large(&Change::build(Parts { time_s, ..parts() }).unwrap_err()), "{time_s}");
    }
    assert!(Change::build(Parts { time_s: -TIME, ..parts() }).is_ok());
    let over = vec![0; CHANGE_BYTES_MAX + 1];
    assert!(too_large(&cheap(&over).unwrap_err()));
}

#[test]
fn dependencies_and_actors_stand_sorted_and_once() {
    let deps = |deps: [u8; 2]| Parts { deps: deps.map(|byte| ChangeHash([byte; 32])).to_vec(), ..parts() };
    assert!(Change::build(deps([1, 2])).is_ok());
    assert!(malformed(&Change::build(deps([2, 1])).unwrap_err()));
    assert!(malformed(&Change::build(deps([1, 1])).unwrap_err()));
    let others =
        |bytes: [u8; 2]| Parts { other_actors: bytes.map(|byte| ActorId::ordinary([byte; 16])).to_vec(), ..parts() };
    assert!(Change::build(others([1, 9])).is_ok());
    assert!(malformed(&Change::build(others([9, 1])).unwrap_err()));
    assert!(malformed(&Change::build(others([1, 1])).unwrap_err()));
    assert!(malformed(&Change::build(others([1, 7])).unwrap_err()), "its own actor among the others");
}

#[test]
fn counts_that_lie_cost_nothing() {
    for lie in [1 << 20, u64::from(u32::MAX), u64::MAX >> 5, u64::MAX] {
        let deps = [unsigned(lie), vec![0; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &deps)).unwrap_err()));
        let mut plain = body(&[]);
        plain.truncate(22);
        let actors = [plain.clone(), unsigned(lie), vec![16; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &actors)).unwrap_err()));
        let message = [plain[..21].to_vec(), unsigned(lie), vec![b'm'; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &message)).unwrap_err()));
        let headers = [unsigned(lie), vec![0x42, 1, 1]].concat();
        assert!(malformed(&cheap(&chunk(1, &body(&headers))).unwrap_err()));
        let lengths = [unsigned(1), unsigned(0x42), unsigned(lie), vec![2, 1]].concat();
        assert!(malformed(&cheap(&chunk(1, &body(&lengths))).unwrap_err()));
    }
}

#[test]
fn a_megabyte_of_dependencies_actors_or_literals_stays_cheap() {
    let mut deps = unsigned(30_000);
    deps.resize(30_000 * 32 + 20, 1);
    assert!(cheap(&chunk(1, &deps)).is_err());
    let mut actors = body(&[]);
    actors.truncate(22);
    uleb(&mut actors, 60_000);
    (0..60_000u32).for_each(|index| {
        actors.push(16);
        actors.extend_from_slice(&[0; 12]);
        actors.extend_from_slice(&index.to_be_bytes());
    });
    assert!(cheap(&chunk(1, &actors)).is_err());
    let literals = [sleb(-900_000), vec![1; 900_000]].concat();
    assert!(too_large(&fault(&with(puts(2), 0x42, literals))));
    let empty_texts = [sleb(-900_000), vec![0; 900_000]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x15, empty_texts))));
}

// Chance.

#[derive(Debug, Clone)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Remove),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => at().prop_map(Mutation::Cut),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let length = bytes.len().max(1);
        match mutation {
            Mutation::Flip(at, bit) => bytes.iter_mut().skip(at.index(length)).take(1).for_each(|b| *b ^= 1 << bit),
            Mutation::Set(at, byte) => bytes.iter_mut().skip(at.index(length)).take(1).for_each(|b| *b = *byte),
            Mutation::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at.index(length))),
            Mutation::Remove(_) => {}
            Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            Mutation::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}

/// The body of a chunk that is right.
fn body_of(chunk: &[u8]) -> Vec<u8> {
    let prefix = chunk[9..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    chunk[9 + prefix..].to_vec()
}

fn strict(bytes: &[u8]) {
    if let Ok(change) = cheap(bytes) {
        assert_eq!(change.bytes(), bytes);
        let again = Change::build(change.parts().clone()).unwrap();
        assert_eq!(again.bytes(), bytes);
        assert_eq!(again, change);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_changes_never_panic_and_what_is_accepted_is_its_own_encoding(
        steps in vec(step(), 1..12),
        mutations in vec(mutation(), 1..6),
        which in any::<prop::sample::Index>(),
    ) {
        let changes: Vec<_> = history(&steps).iter().flat_map(|doc| doc.get_changes(&[])).collect();
        prop_assume!(!changes.is_empty());
        let mut bytes = changes[which.index(changes.len())].raw_bytes().to_vec();
        let mut body = body_of(&bytes);
        mutate(&mut bytes, &mutations);
        strict(&bytes);
        mutate(&mut body, &mutations);
        strict(&chunk(1, &body));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        strict(&bytes);
        strict(&chunk(1, &bytes));
        strict(&chunk(1, &body(&bytes)));
    }
}
