//! Heads and digests of histories that Automerge makes, in any order; and what a digest depends on.

use super::{AT, DOCUMENT, Row};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ROOT};
use comptoir_engine::change::Change;
use comptoir_engine::codec;
use comptoir_engine::digest::Digest;
use comptoir_engine::gate::{Admission, Lineage};
use comptoir_engine::id::{ChangeHash, DocumentId};
use proptest::collection::vec;
use proptest::prelude::*;

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
