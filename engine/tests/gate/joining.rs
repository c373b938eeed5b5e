//! A change joins a history, is known already or is refused, and why. Must not test limits.

use super::{DOCUMENT, admit, change, parts, puts, refused};
use comptoir_engine::change::{Change, Parts};
use comptoir_engine::digest::Digest;
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{ActorId, DocumentId};

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
