//! What Automerge makes, by chance: it is parsed, and built again to the same bytes.

use super::TIME;
use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId as Actor, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use comptoir_engine::change::Change;
use comptoir_engine::id::ChangeHash;
use proptest::collection::vec;
use proptest::prelude::*;

/// One op of a random history; the numbers choose among what is there.
#[derive(Debug, Clone)]
pub(super) enum Op {
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
pub(super) enum Step {
    Commit { by: usize, object: u8, ops: Vec<Op>, time_s: i64, message: String },
    Empty { by: usize },
    Merge { from: usize, to: usize },
    Reload { at: usize },
}

const ACTORS: usize = 4;

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

pub(super) fn step() -> impl Strategy<Value = Step> {
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
pub(super) fn history(steps: &[Step]) -> Vec<Automerge> {
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

pub(super) fn assert_inverse(theirs: &automerge::Change) {
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
