//! The same changes under other actors. Must not know why.

use super::{DocumentFault, guarded};
use crate::change::{Change, Parts};
use crate::id::{ActorId, ChangeHash, DocumentId};
use automerge::legacy::{ElementId, Key, ObjectId, OpId};
use std::collections::{BTreeMap, BTreeSet};

/// An actor in another's place.
struct Successor {
    actor: automerge::ActorId,
    /// The first op that is made again.
    first_op: u64,
    /// Its last number.
    seq: u64,
}

/// Makes `changes`, each behind those it follows, again: everything of an actor under its successor, numbered from 1.
/// What they follow and refer to among themselves is renamed with them, what came before stays. Where an actor has no
/// successor, its change was derived from its content, and is again. A change may follow another one and also what another
/// device has made again of that: then it follows one of them now.
pub(crate) fn reauthor(
    document: &DocumentId,
    changes: &[&Change],
    successors: &BTreeMap<ActorId, ActorId>,
) -> Result<Vec<Change>, DocumentFault> {
    let mut known: BTreeMap<automerge::ActorId, Successor> = BTreeMap::new();
    let mut renamed: BTreeMap<ChangeHash, ChangeHash> = BTreeMap::new();
    let mut out = Vec::with_capacity(changes.len());
    for change in changes {
        let parts = change.parts();
        let deps: BTreeSet<_> = parts.deps.iter().map(|dep| *renamed.get(dep).unwrap_or(dep)).collect();
        let new = match successors.get(&parts.actor) {
            Some(to) => {
                let to = Successor { actor: to.as_bytes().into(), first_op: parts.start_op, seq: 0 };
                known.entry(parts.actor.as_bytes().into()).or_insert(to).seq += 1;
                again(change, &known, &deps)?
            }
            None => {
                let deps = deps.into_iter().collect();
                let derived = Change::derive(document, Parts { deps, ..parts.clone() });
                derived.map_err(|fault| DocumentFault::Apply { cause: fault.to_string() })?
            }
        };
        renamed.insert(change.hash(), new.hash());
        out.push(new);
    }
    Ok(out)
}

fn again(
    change: &Change,
    known: &BTreeMap<automerge::ActorId, Successor>,
    deps: &BTreeSet<ChangeHash>,
) -> Result<Change, DocumentFault> {
    let rename = |id: &mut OpId| {
        if let Some(to) = known.get(&id.1).filter(|to| id.0 >= to.first_op) {
            id.1 = to.actor.clone();
        }
    };
    let mut expanded = super::foreign(change.bytes())?.decode();
    if let Some(to) = known.get(&expanded.actor_id) {
        (expanded.actor_id, expanded.seq) = (to.actor.clone(), to.seq);
    }
    expanded.hash = None;
    expanded.deps = deps.iter().map(|dep| automerge::ChangeHash(dep.0)).collect();
    for op in &mut expanded.operations {
        if let ObjectId::Id(id) = &mut op.obj {
            rename(id);
        }
        if let Key::Seq(ElementId::Id(id)) = &mut op.key {
            rename(id);
        }
        let mut pred: Vec<_> = op.pred.clone().into_iter().collect();
        pred.iter_mut().for_each(rename);
        let pred: BTreeSet<_> = pred.into_iter().collect();
        op.pred = pred.into_iter().collect();
    }
    let new = guarded(|| {
        let made = automerge::Change::from(expanded);
        Change::parse(made.raw_bytes()).map_err(|fault| fault.to_string())
    });
    new.map_err(|cause| DocumentFault::Apply { cause })
}
