//! Whether a change's ops refer only to ops that the change follows. One that does not could be taken with its successors
//! and not without them, so devices that hear of it in other portions would part for good. Must not apply anything.

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId};
use automerge::{ActorId, Automerge, Change, ChangeHash};
use std::collections::{BTreeMap, BTreeSet};

/// The ops of one change, by counter.
struct Span {
    from: u64,
    through: u64,
    change: ChangeHash,
}

/// Who wrote which ops of a document, and what each change follows.
pub(super) struct Foundations {
    /// In order of counter.
    spans: BTreeMap<ActorId, Vec<Span>>,
    deps: BTreeMap<ChangeHash, Vec<ChangeHash>>,
    heads: BTreeSet<ChangeHash>,
}

impl Foundations {
    pub(super) fn of(doc: &Automerge) -> Self {
        let (mut spans, mut deps) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for change in doc.get_changes_meta(&[]) {
            let span = Span { from: change.start_op, through: change.max_op, change: change.hash };
            spans.entry(change.actor.into_owned()).or_default().push(span);
            deps.insert(change.hash, change.deps);
        }
        spans.values_mut().for_each(|spans| spans.sort_unstable_by_key(|span| (span.from, span.through)));
        Self { spans, deps, heads: doc.get_heads().into_iter().collect() }
    }

    /// Takes in a change that follows others in here, unless it refers to what it does not follow.
    pub(super) fn carry(&mut self, change: &Change) -> bool {
        let Some(needed) = self.needed(change) else { return false };
        if !self.heads.iter().all(|head| change.deps().contains(head)) && !self.follows(change, needed) {
            return false;
        }
        let span = Span { from: change.start_op().get(), through: change.max_op(), change: change.hash() };
        self.spans.entry(change.actor_id().clone()).or_default().push(span);
        self.deps.insert(change.hash(), change.deps().to_vec());
        change.deps().iter().for_each(|dep| _ = self.heads.remove(dep));
        self.heads.insert(change.hash());
        true
    }

    /// The changes whose ops a change refers to; `None` when there is no such op.
    fn needed(&self, change: &Change) -> Option<BTreeSet<ChangeHash>> {
        let mut needed = BTreeSet::new();
        for (counter, op) in (change.start_op().get()..).zip(change.decode().operations) {
            for OpId(referred, actor) in references(&op) {
                if actor == change.actor_id() && *referred >= change.start_op().get() {
                    if *referred >= counter {
                        return None;
                    }
                    continue;
                }
                let spans = self.spans.get(actor)?;
                let after = spans.partition_point(|span| span.from <= *referred);
                needed.insert(spans[..after].last().filter(|span| *referred <= span.through)?.change);
            }
        }
        Some(needed)
    }

    /// Whether all of `needed` are among what a change follows, directly or not.
    fn follows(&self, change: &Change, mut needed: BTreeSet<ChangeHash>) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), change.deps().to_vec());
        while let Some(hash) = next.pop().filter(|_| !needed.is_empty()) {
            if seen.insert(hash) {
                needed.remove(&hash);
                next.extend(self.deps.get(&hash).into_iter().flatten());
            }
        }
        needed.is_empty()
    }
}

/// The ops that an op names.
fn references(op: &Op) -> impl Iterator<Item = &OpId> {
    let object = match &op.obj {
        ObjectId::Id(id) => Some(id),
        ObjectId::Root => None,
    };
    let place = match &op.key {
        Key::Seq(ElementId::Id(id)) => Some(id),
        Key::Seq(ElementId::Head) | Key::Map(_) => None,
    };
    op.pred.iter().chain(object).chain(place)
}
