//! Registers that take over another device's change from its ops alone. Must not load a document, nor write a change.
//!
//! What is taken over is what any device makes of the change, whatever else it holds: each op writes a key that has no
//! value, or replaces the one value that the key has. Everything else takes the document.

use super::{Register, Registers};
use crate::change::Change;
use crate::record::document::guard::guarded;
use crate::record::document::read::{self, Scalar};
use crate::record::document::{foreign, resolve};
use crate::record::shape::Shape;
use automerge::Change as MadeChange;
use automerge::ScalarValue;
use automerge::legacy::{Key, ObjectId, Op, OpType};

impl Registers {
    /// The registers after an admitted change; `None` where that takes the document.
    pub fn follow(&self, change: &Change, shape: &Shape) -> Option<Self> {
        let mut kept = self.kept(shape)?;
        let mut next = Self { by_key: self.by_key.clone(), kept: None };
        for (counter, op) in (change.parts().start_op..).zip(ops(change)?) {
            let Op { action, obj: ObjectId::Root, key: Key::Map(key), insert: false, .. } = &op else { return None };
            if !next.replaces(key, counter, &op) {
                return None;
            }
            match action {
                OpType::Put(ScalarValue::Unknown { .. }) => return None,
                OpType::Put(value) => {
                    let (actor, held) = (change.parts().actor.clone(), read::scalar(&value.clone().into()));
                    next.by_key.insert(key.to_string(), Register { counter, actor, held });
                }
                // What a rule kept is forgotten with it: which takes the history.
                OpType::Delete if shape.keeping().all(|(path, _)| path != key.as_str()) => {
                    next.by_key.remove(key.as_str())?;
                }
                OpType::Increment(by) => match &mut next.by_key.get_mut(key.as_str())?.held {
                    Scalar::Increments(sum) => *sum = sum.checked_add(*by)?,
                    Scalar::Plain(_) | Scalar::Mark(_) => return None,
                },
                _ => return None,
            }
            kept = resolve::kept_since(&kept, &next, shape);
        }
        next.kept = Some((shape.print(), kept));
        Some(next).filter(Self::are_flat)
    }

    /// Whether an op replaces all that its key holds.
    fn replaces(&self, key: &str, counter: u64, op: &Op) -> bool {
        let mut replaced = op.pred.iter();
        match (self.by_key.get(key), replaced.next(), replaced.next()) {
            (None, None, None) => true,
            (Some(held), Some(id), None) => {
                counter > held.counter && id.0 == held.counter && id.1.to_bytes() == held.actor.as_bytes()
            }
            _ => false,
        }
    }
}

/// A change's ops; `None` where it is not what Automerge writes for them.
fn ops(change: &Change) -> Option<Vec<Op>> {
    let made = foreign(change.bytes()).ok()?;
    let ops = guarded(|| {
        let expanded = made.decode();
        let again = MadeChange::from(expanded.clone());
        Ok((again.raw_bytes() == change.bytes()).then_some(expanded.operations))
    });
    ops.ok().flatten()
}
