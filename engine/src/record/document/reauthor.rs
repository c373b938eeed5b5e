//! The same changes under another actor. Must not know why.

use super::{DocumentFault, guarded};
use crate::change::Change;
use crate::id::{ActorId, ChangeHash};
use automerge::legacy::{ElementId, Key, ObjectId, OpId};
use std::collections::BTreeMap;

/// Makes `changes`, in their order, again under the actor `to`, numbered from `seq`. They are consecutive changes of one
/// actor; what they follow and refer to among themselves is renamed with them, what came before stays.
pub(crate) fn reauthor(changes: &[&Change], to: &ActorId, mut seq: u64) -> Result<Vec<Change>, DocumentFault> {
    let Some(first) = changes.first() else { return Ok(Vec::new()) };
    let from: automerge::ActorId = first.parts().actor.as_bytes().into();
    let first_op = first.parts().start_op;
    let to: automerge::ActorId = to.as_bytes().into();
    let rename = |id: &mut OpId| {
        if id.1 == from && id.0 >= first_op {
            id.1 = to.clone();
        }
    };
    let mut renamed: BTreeMap<ChangeHash, ChangeHash> = BTreeMap::new();
    let mut out = Vec::with_capacity(changes.len());
    for change in changes {
        let mut expanded = super::foreign(change.bytes())?.decode();
        expanded.actor_id = to.clone();
        expanded.seq = seq;
        expanded.hash = None;
        for dep in &mut expanded.deps {
            if let Some(new) = renamed.get(&ChangeHash(dep.0)) {
                dep.0 = new.0;
            }
        }
        for op in &mut expanded.operations {
            if let ObjectId::Id(id) = &mut op.obj {
                rename(id);
            }
            if let Key::Seq(ElementId::Id(id)) = &mut op.key {
                rename(id);
            }
            let mut pred: Vec<_> = op.pred.clone().into_iter().collect();
            pred.iter_mut().for_each(rename);
            op.pred = pred.into();
        }
        let new = guarded(|| {
            let made = automerge::Change::from(expanded);
            Change::parse(made.raw_bytes()).map_err(|fault| fault.to_string())
        });
        let new = new.map_err(|cause| DocumentFault::Apply { cause })?;
        renamed.insert(change.hash(), new.hash());
        out.push(new);
        seq += 1;
    }
    Ok(out)
}
