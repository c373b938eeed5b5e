//! The admission gate: what may join a document's history, and that the sum of a history does not depend on its order.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ROOT, ScalarValue};
use comptoir_engine::change::{Change, OPS_MAX, Parts};
use comptoir_engine::codec::{self, Versioned};
use comptoir_engine::digest::Digest;
use comptoir_engine::gate::{
    Admission, DOCUMENT_CHANGES_MAX, DOCUMENT_CONTENT_BYTES_MAX, DOCUMENT_OPS_MAX, Lineage, Refusal,
};
use comptoir_engine::id::{ActorId, ChangeHash, DocumentId, LogSeq};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const DOCUMENT: DocumentId = DocumentId([3; 32]);
const AT: LogSeq = LogSeq(1);

/// Columns of `count` puts of null at the root's key "k".
fn puts(count: u8) -> Vec<u8> {
    assert!(count < 64);
    match count {
        0 => vec![0],
        _ => {
            let headers = [5, 0x15, 3, 0x34, 1, 0x42, 2, 0x56, 2, 0x70, 2];
            let data = [count, 1, b'k', count, count, 1, count, 0, count, 0];
            [&headers[..], &data].concat()
        }
    }
}

fn parts(actor: u8, seq: u64, start_op: u64, deps: &[&Change]) -> Parts {
    let mut deps: Vec<_> = deps.iter().map(|dep| dep.hash()).collect();
    deps.sort_unstable();
    Parts {
        deps,
        actor: ActorId::ordinary([actor; 16]),
        seq,
        start_op,
        time_s: 0,
        message: String::new(),
        other_actors: Vec::new(),
        columns: puts(2),
    }
}

fn change(actor: u8, seq: u64, start_op: u64, deps: &[&Change]) -> Change {
    Change::build(parts(actor, seq, start_op, deps)).unwrap()
}

fn admit(lineage: &mut Lineage, change: &Change) {
    assert_eq!(lineage.check(&DOCUMENT, change), Ok(Admission::New));
    lineage.extend(change, AT);
}

fn refused(lineage: &Lineage, change: &Change) -> Refusal {
    lineage.check(&DOCUMENT, change).unwrap_err()
}

#[test]
fn a_first_change_joins_and_joins_only_once() {
    let mut lineage = Lineage::default();
    assert!(lineage.is_empty());
    assert_eq!(lineage.leaf(&DOCUMENT), Digest::default());
    let first = change(1, 1, 1, &[]);
    admit(&mut lineage, &first);
    for _ in 0..3 {
        assert_eq!(lineage.check(&DOCUMENT, &first), Ok(Admission::Known));
    }
    assert_eq!((lineage.len(), lineage.heads()), (1, vec![first.hash()]));
    assert_eq!(lineage.hash_of(&first.parts().actor, 1), Some(first.hash()));
    assert_eq!(lineage.place_of(&first.hash()), Some((first.parts().actor.clone(), 1)));
    assert!(lineage.contains(&first.hash()));
}

#[test]
fn a_known_change_stays_known_behind_many_others() {
    let mut lineage = Lineage::default();
    let first = change(1, 1, 1, &[]);
    admit(&mut lineage, &first);
    let mut last = first.clone();
    for seq in 2..50 {
        last = change(1, seq, last.max_op() + 1, &[&last]);
        admit(&mut lineage, &last);
    }
    assert_eq!(lineage.check(&DOCUMENT, &first), Ok(Admission::Known));
    assert_eq!(lineage.heads(), [last.hash()]);
}

#[test]
fn a_gap_in_an_actors_numbers_is_refused() {
    let mut lineage = Lineage::default();
    assert_eq!(refused(&lineage, &change(1, 2, 1, &[])), Refusal::SeqGap { expected: 1, found: 2 });
    let first = change(1, 1, 1, &[]);
    admit(&mut lineage, &first);
    assert_eq!(refused(&lineage, &change(1, 3, 3, &[&first])), Refusal::SeqGap { expected: 2, found: 3 });
    assert_eq!(refused(&lineage, &change(1, u64::MAX, 3, &[&first])), Refusal::SeqGap { expected: 2, found: u64::MAX });
}

#[test]
fn other_content_under_a_used_number_is_forked() {
    let mut lineage = Lineage::default();
    let first = change(1, 1, 1, &[]);
    let second = change(1, 2, 3, &[&first]);
    admit(&mut lineage, &first);
    admit(&mut lineage, &second);
    let other = Change::build(Parts { time_s: 9, ..parts(1, 1, 1, &[]) }).unwrap();
    assert_eq!(refused(&lineage, &other), Refusal::Forked);
    let other = Change::build(Parts { message: "x".to_owned(), ..parts(1, 2, 3, &[&first]) }).unwrap();
    assert_eq!(refused(&lineage, &other), Refusal::Forked);
    assert_eq!(lineage.heads(), [second.hash()]);
}

#[test]
fn a_change_whose_dependencies_are_missing_is_refused_until_they_are_there() {
    let (first, other) = (change(1, 1, 1, &[]), change(2, 1, 1, &[]));
    let both = change(1, 2, 3, &[&first, &other]);
    let mut lineage = Lineage::default();
    assert_eq!(refused(&lineage, &both), Refusal::MissingDeps);
    admit(&mut lineage, &first);
    assert_eq!(refused(&lineage, &both), Refusal::MissingDeps);
    admit(&mut lineage, &other);
    admit(&mut lineage, &both);
    assert_eq!(lineage.heads(), [both.hash()]);
}

#[test]
fn the_first_op_follows_the_highest_of_the_dependencies_exactly() {
    let first = change(1, 1, 1, &[]);
    let second = change(1, 2, 3, &[&first]);
    let other = change(2, 1, 1, &[]);
    let mut lineage = Lineage::default();
    assert_eq!(refused(&lineage, &change(1, 1, 2, &[])), Refusal::StartOp { expected: 1, found: 2 });
    [&first, &second, &other].into_iter().for_each(|change| admit(&mut lineage, change));
    for found in [1, 3, 4, 6, 1 << 30] {
        let wrong = change(2, 2, found, &[&second, &other]);
        assert_eq!(refused(&lineage, &wrong), Refusal::StartOp { expected: 5, found });
    }
    admit(&mut lineage, &change(2, 2, 5, &[&second, &other]));
}

#[test]
fn changes_without_ops_move_no_counter() {
    let empty = |actor, seq, start_op, deps: &[&Change]| {
        Change::build(Parts { columns: puts(0), ..parts(actor, seq, start_op, deps) }).unwrap()
    };
    let mut lineage = Lineage::default();
    let first = empty(1, 1, 1, &[]);
    admit(&mut lineage, &first);
    let second = empty(1, 2, 1, &[&first]);
    admit(&mut lineage, &second);
    admit(&mut lineage, &change(1, 3, 1, &[&second]));
}

#[test]
fn an_actor_that_leaves_its_own_earlier_change_aside_cannot_name_two_ops_alike() {
    let first = change(1, 1, 1, &[]);
    let mut lineage = Lineage::default();
    admit(&mut lineage, &first);
    assert!(matches!(refused(&lineage, &change(1, 2, 1, &[])), Refusal::StartOp { .. }));
    assert!(matches!(refused(&lineage, &change(1, 2, 3, &[])), Refusal::StartOp { .. }));
    let other = change(2, 1, 1, &[]);
    admit(&mut lineage, &other);
    assert!(matches!(refused(&lineage, &change(1, 2, 2, &[&other])), Refusal::StartOp { .. }));
    // Of a shorter history still less.
    let short = Change::build(Parts { columns: puts(1), ..parts(3, 1, 1, &[]) }).unwrap();
    admit(&mut lineage, &short);
    assert!(matches!(refused(&lineage, &change(1, 2, 2, &[&short])), Refusal::StartOp { expected: 3, .. }));
}

fn derived(parts: Parts) -> Change {
    Change::derive(&DOCUMENT, parts).unwrap()
}

#[test]
fn a_derived_change_is_the_same_whoever_derives_it() {
    let mine = derived(Parts { time_s: 5, message: "mine".to_owned(), ..parts(1, 1, 1, &[]) });
    let theirs = derived(Parts { time_s: 9, seq: 1, ..parts(2, 1, 1, &[]) });
    assert_eq!(mine.bytes(), theirs.bytes());
    assert!(mine.parts().actor.is_derived());
    let mut lineage = Lineage::default();
    admit(&mut lineage, &mine);
    assert_eq!(lineage.check(&DOCUMENT, &theirs), Ok(Admission::Known));
    let elsewhere = Change::derive(&DocumentId([4; 32]), parts(1, 1, 1, &[])).unwrap();
    assert_ne!(elsewhere.parts().actor, mine.parts().actor);
}

#[test]
fn a_forged_derived_author_is_refused() {
    let real = derived(parts(1, 1, 1, &[]));
    let base = change(9, 1, 1, &[]);
    let mut lineage = Lineage::default();
    admit(&mut lineage, &base);
    let forge = |edit: &dyn Fn(&mut Parts)| {
        let mut parts = real.parts().clone();
        edit(&mut parts);
        Change::build(parts).unwrap()
    };
    let forged = [
        forge(&|parts| parts.actor = ActorId::from_bytes(&[8; 12]).unwrap()),
        forge(&|parts| parts.time_s = 1),
        forge(&|parts| parts.message = "x".to_owned()),
        forge(&|parts| parts.columns = puts(3)),
        forge(&|parts| parts.start_op = 2),
        forge(&|parts| parts.other_actors = vec![ActorId::ordinary([1; 16])]),
        forge(&|parts| (parts.deps, parts.start_op) = (vec![base.hash()], 3)),
        forge(&|parts| parts.seq = 2),
    ];
    for change in &forged {
        assert_eq!(refused(&lineage, change), Refusal::DerivedActor);
    }
    // One that is right elsewhere is not right here.
    assert_eq!(lineage.check(&DocumentId([4; 32]), &real), Err(Refusal::DerivedActor));
    admit(&mut lineage, &real);
    assert_eq!(refused(&lineage, &forge(&|parts| parts.seq = 2)), Refusal::DerivedActor);
    assert_eq!(refused(&lineage, &forge(&|parts| parts.time_s = 1)), Refusal::Forked);
}

#[test]
fn a_document_holds_so_many_ops_and_so_much_content_and_no_more() {
    // 60 bytes that stand for 50,000 ops.
    let run = [0xd0, 0x86, 3];
    let headers = [5, 0x15, 5, 0x34, 3, 0x42, 4, 0x56, 4, 0x70, 4];
    let data = [&run[..], &[1, b'k'], &run, &run, &[1], &run, &[0], &run, &[0]].concat();
    let many = [&headers[..], &data].concat();
    let mut lineage = Lineage::default();
    let mut actor = 0;
    let reason = loop {
        actor += 1;
        let change = Change::build(Parts { columns: many.clone(), ..parts(actor, 1, 1, &[]) }).unwrap();
        assert_eq!(change.ops(), OPS_MAX);
        match lineage.check(&DOCUMENT, &change) {
            Ok(_) => lineage.extend(&change, AT),
            Err(reason) => break reason,
        }
    };
    assert!(matches!(reason, Refusal::TooLarge { limit_max: DOCUMENT_OPS_MAX, .. }), "{reason:?}");
    assert_eq!(u64::from(actor) - 1, DOCUMENT_OPS_MAX / OPS_MAX);

    let mut doc = Automerge::new();
    let mut lineage = Lineage::default();
    let mut count = 0;
    let reason = loop {
        let mut own = doc.fork().with_actor(Actor::from([count + 1; 16].as_slice()));
        let mut tx = own.transaction();
        tx.put(ROOT, "k", ScalarValue::Bytes(vec![count; 1_000_000])).unwrap();
        tx.commit();
        let change = Change::parse(own.get_last_local_change().unwrap().raw_bytes()).unwrap();
        match lineage.check(&DOCUMENT, &change) {
            Ok(_) => lineage.extend(&change, AT),
            Err(reason) => break reason,
        }
        doc = own;
        count += 1;
    };
    assert!(matches!(reason, Refusal::TooLarge { limit_max: DOCUMENT_CONTENT_BYTES_MAX, .. }), "{reason:?}");
    assert_eq!(u64::from(count), DOCUMENT_CONTENT_BYTES_MAX / 1_000_000);
}

/// A lineage as stores keep it.
#[derive(bincode::Encode, bincode::Decode)]
struct Row {
    lineage: Lineage,
}

impl Versioned for Row {
    const WHAT: &'static str = "a row";
    const VERSION: u8 = 1;
}

/// A change without ops by an actor of its own.
fn root(index: u32) -> Change {
    let mut actor = [0; 16];
    actor[..4].copy_from_slice(&index.to_be_bytes());
    let columns = puts(0);
    Change::build(Parts { actor: ActorId::ordinary(actor), columns, ..parts(0, 1, 1, &[]) }).unwrap()
}

#[test]
fn a_full_history_of_strangers_stays_fast_and_fits_its_row() {
    let started = Instant::now();
    let mut lineage = Lineage::default();
    let changes: Vec<_> = (0..DOCUMENT_CHANGES_MAX as u32).map(root).collect();
    changes.iter().for_each(|change| admit(&mut lineage, change));
    assert_eq!(refused(&lineage, &root(u32::MAX)), Refusal::DocumentFull);
    assert_eq!(lineage.heads().len(), DOCUMENT_CHANGES_MAX);
    // Changes that follow 256 of the oldest, or claim to.
    let deps: Vec<_> = changes[..256].iter().collect();
    for seq in 0..2000 {
        let wide = Change::build(Parts { columns: puts(0), time_s: seq, ..parts(0xee, 1, 1, &deps) }).unwrap();
        assert_eq!(refused(&lineage, &wide), Refusal::DocumentFull);
        assert_eq!(lineage.hash_of(&changes[0].parts().actor, 1), Some(changes[0].hash()));
    }
    let bytes = codec::encode(&Row { lineage }).unwrap();
    assert!(bytes.len() < 7 << 20, "{} bytes", bytes.len());
    let again: Row = codec::decode(&bytes).unwrap();
    assert_eq!(again.lineage.heads().len(), DOCUMENT_CHANGES_MAX);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

// Histories that Automerge makes.

#[derive(Debug, Clone)]
enum Step {
    Edit { by: usize, key: u8, ops: u8 },
    Merge { from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4usize, 0..5u8, 1..4u8).prop_map(|(by, key, ops)| Step::Edit { by, key, ops }),
        2 => (0..4usize, 0..4usize).prop_map(|(from, to)| Step::Merge { from, to }),
    ]
}

/// All changes of a random history, and the heads Automerge gives it.
fn history(steps: &[Step]) -> (Vec<Change>, Vec<ChangeHash>) {
    let actor = |index: usize| Actor::from([[200u8, 7, 90, 1][index]; 16].as_slice());
    let mut docs: Vec<_> = (0..4).map(|index| Automerge::new().with_actor(actor(index))).collect();
    for step in steps {
        match step {
            Step::Edit { by, key, ops } => {
                let mut tx = docs[*by].transaction();
                (0..*ops).for_each(|op| tx.put(ROOT, format!("{key}"), i64::from(op)).unwrap());
                tx.commit_with(CommitOptions::default().with_time(0));
            }
            Step::Merge { from, to } => {
                let mut other = docs[*from].clone();
                docs[*to].merge(&mut other).unwrap();
            }
        }
    }
    let mut all = docs.remove(0);
    docs.iter_mut().for_each(|doc| drop(all.merge(doc).unwrap()));
    let mut heads: Vec<_> = all.get_heads().iter().map(|head| ChangeHash(head.0)).collect();
    heads.sort_unstable();
    (all.get_changes(&[]).iter().map(|change| Change::parse(change.raw_bytes()).unwrap()).collect(), heads)
}

/// Admits everything, in an order given by ranks as far as dependencies and actors' numbers allow.
fn admit_all(changes: &[Change], ranks: &[u32]) -> Lineage {
    let mut lineage = Lineage::default();
    let mut rest: Vec<_> = changes.iter().zip(ranks.iter().cycle()).collect();
    rest.sort_by_key(|(_, rank)| **rank);
    while !rest.is_empty() {
        let ready = rest.iter().position(|(change, _)| lineage.check(&DOCUMENT, change) == Ok(Admission::New));
        let (change, _) = rest.remove(ready.expect("one of the changes must be admissible"));
        lineage.extend(change, AT);
    }
    lineage
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn heads_are_automerges_and_sums_are_equal_in_any_order(
        steps in vec(step(), 1..60),
        one in vec(any::<u32>(), 30),
        two in vec(any::<u32>(), 31),
    ) {
        let (changes, heads) = history(&steps);
        let (one, two) = (admit_all(&changes, &one), admit_all(&changes, &two));
        prop_assert_eq!(one.heads(), heads);
        prop_assert_eq!(two.heads(), one.heads());
        prop_assert_eq!(two.leaf(&DOCUMENT), one.leaf(&DOCUMENT));
        prop_assert_eq!((one.len(), two.len()), (changes.len(), changes.len()));
        for change in &changes {
            let parts = change.parts();
            prop_assert_eq!(one.check(&DOCUMENT, change), Ok(Admission::Known));
            prop_assert_eq!(one.hash_of(&parts.actor, parts.seq), Some(change.hash()));
            prop_assert_eq!(one.place_of(&change.hash()), Some((parts.actor.clone(), parts.seq)));
        }
        // A lineage is its stored form.
        let again: Row = codec::decode(&codec::encode(&Row { lineage: one.clone() }).unwrap()).unwrap();
        prop_assert_eq!(again.lineage, one);
    }

    #[test]
    fn a_digest_is_a_set_whatever_the_order_in_which_its_members_came_and_went(
        members in vec(any::<[u8; 32]>(), 0..40),
        ranks in vec(any::<u32>(), 40),
        gone in any::<prop::sample::Index>(),
    ) {
        let leaf = |member: &[u8; 32]| Digest::leaf(&DOCUMENT, &[ChangeHash(*member)]);
        let sum = members.iter().fold(Digest::default(), |sum, member| sum.plus(leaf(member)));
        let mut order: Vec<_> = members.iter().zip(&ranks).collect();
        order.sort_by_key(|(_, rank)| **rank);
        prop_assert_eq!(order.iter().fold(Digest::default(), |sum, (member, _)| sum.plus(leaf(member))), sum);
        prop_assert_eq!(order.iter().fold(sum, |sum, (member, _)| sum.minus(leaf(member))), Digest::default());
        if !members.is_empty() {
            let gone = leaf(&members[gone.index(members.len())]);
            prop_assert_eq!(sum.minus(gone).plus(gone), sum);
            prop_assert_ne!(sum.minus(gone), sum);
        }
    }
}

#[test]
fn a_leaf_depends_on_the_document_and_on_every_head() {
    let heads = [ChangeHash([1; 32]), ChangeHash([2; 32])];
    let leaf = Digest::leaf(&DOCUMENT, &heads);
    assert_ne!(leaf, Digest::leaf(&DocumentId([4; 32]), &heads));
    assert_ne!(leaf, Digest::leaf(&DOCUMENT, &heads[..1]));
    assert_ne!(leaf, Digest::leaf(&DOCUMENT, &heads[1..]));
    let carry = Digest([0xff; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(carry.plus(Digest(one)), Digest::default());
    assert_eq!(Digest::default().minus(Digest(one)), carry);
}
