//! Registers that take over other devices' changes from their ops alone. Must not load a document, nor write a change.
//!
//! What is taken over is what any device makes of a change, whatever else it holds: each op writes a key that has no value,
//! replaces the one value that the key has, or is among the first to put something into a list. All else takes the
//! document.

use super::{Held, Register, Registers};
use crate::change::Change;
use crate::id::ChangeHash;
use crate::record::document::foreign;
use crate::record::document::guard::guarded;
use crate::record::document::read::{self, Scalar};
use crate::record::document::resolve::{self, Kept};
use crate::record::shape::Shape;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{Change as MadeChange, ObjType, ScalarValue};
use std::collections::BTreeSet;

/// Registers on their way through changes.
#[derive(Debug, Clone)]
pub struct Following {
    registers: Registers,
    kept: Kept,
    /// The keys of lists that no op was ever in: of others it is not known whether they are as empty as they look.
    fresh: BTreeSet<String>,
}

/// A list that a change fills: its key, and the last item's op.
type Filling = Option<(String, OpId)>;

impl Following {
    /// From registers that were made, edited or recalled under `shape`; `None` from others.
    pub fn new(registers: Registers, shape: &Shape) -> Option<Self> {
        let kept = registers.kept(shape)?;
        Some(Self { registers, kept, fresh: BTreeSet::new() })
    }

    /// The registers so far.
    pub fn registers(self, shape: &Shape) -> Registers {
        Registers { kept: Some((shape.print(), self.kept)), ..self.registers }
    }

    /// Takes over an admitted change of a record that had these heads; `None` where that takes the document.
    pub fn follow(mut self, heads: &[ChangeHash], change: &Change, shape: &Shape) -> Option<Self> {
        let follows_all = heads.iter().all(|head| change.parts().deps.contains(head));
        let mut filling = None;
        for (counter, op) in (change.parts().start_op..).zip(ops(change)?) {
            // Whether it follows what it refers to is in the history.
            if !follows_all && (op.obj != ObjectId::Root || op.pred.iter().next().is_some()) {
                return None;
            }
            match &op.obj {
                ObjectId::Root => self.write(change, counter, &op, shape)?,
                ObjectId::Id(list) => {
                    self.fill(list, OpId(counter, change.parts().actor.as_bytes().into()), &op, &mut filling)?
                }
            }
            self.kept = resolve::kept_since(&self.kept, &self.registers, shape);
        }
        self.registers.are_flat().then_some(self)
    }

    /// An op on a key of the root map.
    fn write(&mut self, change: &Change, counter: u64, op: &Op, shape: &Shape) -> Option<()> {
        let Op { action, key: Key::Map(key), insert: false, .. } = op else { return None };
        let by_key = &mut self.registers.by_key;
        if !replaces(by_key.get(key.as_str()), counter, op) {
            return None;
        }
        let held = match action {
            OpType::Put(ScalarValue::Unknown { .. }) => return None,
            OpType::Put(value) => Held::Scalar(read::scalar(&value.clone().into())),
            OpType::Make(ObjType::List) => {
                self.fresh.insert(key.to_string());
                Held::List(Vec::new())
            }
            // What a rule kept is forgotten with it: which takes the history.
            OpType::Delete if shape.keeping().all(|(path, _)| path != key.as_str()) => {
                return by_key.remove(key.as_str()).map(drop);
            }
            OpType::Increment(by) => {
                let Held::Scalar(Scalar::Increments(sum)) = &mut by_key.get_mut(key.as_str())?.held else {
                    return None;
                };
                *sum = sum.checked_add(*by)?;
                return Some(());
            }
            _ => return None,
        };
        let register = Register { counter, actor: change.parts().actor.clone(), held };
        by_key.insert(key.to_string(), register);
        Some(())
    }

    /// An op in a list: one of the first items, each behind the one before it.
    fn fill(&mut self, list: &OpId, id: OpId, op: &Op, filling: &mut Filling) -> Option<()> {
        let Op { action: OpType::Put(value), key: Key::Seq(place), pred, insert: true, .. } = op else { return None };
        let is_it = |register: &Register| register.counter == list.0 && register.actor.as_bytes() == list.1.to_bytes();
        let (key, register) = self.registers.by_key.iter_mut().find(|(_, register)| is_it(register))?;
        let Held::List(items) = &mut register.held else { return None };
        let follows = match (place, &*filling) {
            (ElementId::Head, _) => self.fresh.remove(key),
            (ElementId::Id(before), Some((filled, last))) => filled == key && before == last,
            (ElementId::Id(_), None) => false,
        };
        if !follows || pred.iter().next().is_some() || matches!(value, ScalarValue::Unknown { .. }) {
            return None;
        }
        items.push(read::item(&value.clone().into()));
        *filling = Some((key.clone(), id));
        Some(())
    }
}

/// Whether an op replaces all that its key holds.
fn replaces(held: Option<&Register>, counter: u64, op: &Op) -> bool {
    let mut replaced = op.pred.iter();
    match (held, replaced.next(), replaced.next()) {
        (None, None, None) => true,
        (Some(held), Some(id), None) => {
            counter > held.counter && id.0 == held.counter && id.1.to_bytes() == held.actor.as_bytes()
        }
        _ => false,
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
