//! An edit made on registers alone, with the change that Automerge makes of the same edit. Must not load a document, nor
//! know how registers are stored.

use super::{Held, Register, Registers};
use crate::change::{Change, DEPS_MAX};
use crate::id::{ACTOR_BYTES, ActorId, ChangeHash, DocumentId};
use crate::record::document::guard::guarded;
use crate::record::document::map::{RootMap, RootMapMut};
use crate::record::document::read::{self, Room, Scalar, Slots};
use crate::record::document::resolve;
use crate::record::document::write::{self, plant};
use crate::record::field::{EditError, FieldEdit};
use crate::record::layout::Root;
use crate::record::shape::Shape;
use crate::record::view::Value;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::transaction::Transaction;
use automerge::{Change as MadeChange, ExpandedChange, ObjId, ScalarValue};
use std::collections::BTreeSet;
use std::num::NonZeroU64;

/// Where a record's next change belongs.
#[derive(Debug, Clone)]
pub struct Place {
    actor: ActorId,
    seq: u64,
    start_op: u64,
    deps: Vec<ChangeHash>,
}

impl Place {
    /// Of the change number `seq` that `actor` makes of this record, behind all `heads` and the actor's change before, if
    /// there is one; `start_op` is one more than the counter of any op before.
    pub fn new(actor: &ActorId, seq: u64, start_op: u64, heads: Vec<ChangeHash>, before: Option<ChangeHash>) -> Self {
        // As Automerge does, also where the actor's last change is no head.
        let mut deps: Vec<_> = heads.into_iter().chain(before).collect();
        deps.sort_unstable();
        deps.dedup();
        Self { actor: actor.clone(), seq, start_op, deps }
    }

    /// The same behind changes that follow none.
    fn behind(&self, planted: &[Change]) -> Self {
        let mut place = self.clone();
        for change in planted {
            place.start_op = place.start_op.max(change.max_op() + 1);
            place.deps.push(change.hash());
        }
        place.deps.sort_unstable();
        place
    }
}

impl Registers {
    /// The registers of the document `id` after `edits`, which must fit `shape`, and the changes they made, derived ones
    /// first; `None` where that takes the document.
    pub fn edit(
        &self,
        id: &DocumentId,
        place: &Place,
        (time_s, message): (i64, &str),
        edits: &[FieldEdit],
        shape: &Shape,
    ) -> Result<Option<(Self, Vec<Change>)>, EditError> {
        let (edits, fresh) = (&*shape.fit(edits)?, place.deps.is_empty());
        let Some(kept) = self.kept(shape).filter(|_| edits.iter().all(is_plain)) else { return Ok(None) };
        let all = match edits {
            [FieldEdit::Import(fields)] if fresh => Some([FieldEdit::Set(fields.clone())]),
            _ => None,
        };
        let (import, edits) = (all.is_some(), all.as_ref().map_or(edits, <[_; 1]>::as_slice));
        let roots = plant::missing(self, fresh, edits, shape, &kept)?;
        if roots.iter().any(|(root, _)| *root == Root::Text) {
            return Ok(None);
        }
        let planted = roots.iter().map(|(root, path)| planted(id, *root, path)).collect::<Result<Vec<_>, _>>()?;
        let place = place.behind(&planted);
        if place.deps.len() > DEPS_MAX {
            return Ok(None);
        }
        let mut writing = Writing::new(self.clone(), &place);
        roots.iter().zip(&planted).for_each(|((root, path), planted)| writing.plant(*root, path, planted));
        let had = write::present(self, &kept, shape);
        let ran = write::run(&mut writing, &write::Deeds::new(), edits, shape, &kept, (!fresh).then_some(&had));
        if writing.lacking {
            return Ok(None);
        }
        ran?;
        if fresh && matches!(edits, [FieldEdit::Set(_)]) && writing.ops.is_empty() {
            write::begin(&mut writing)?;
        }
        let Writing { mut registers, ops, .. } = writing;
        if !registers.are_flat() {
            return Ok(None);
        }
        let kept = resolve::kept_since(&kept, &registers, shape);
        registers.kept = Some((shape.print(), kept));
        let mut changes = planted;
        if import {
            let derived = derived(id, &place, ops)?;
            registers.reassign(&place.actor, &derived.parts().actor);
            changes.push(derived);
        } else if !ops.is_empty() {
            changes.push(change(&place, time_s, message, ops)?);
        }
        Ok(Some((registers, changes)))
    }

    /// Gives what one actor wrote to another.
    fn reassign(&mut self, from: &ActorId, to: &ActorId) {
        let written = self.by_key.values_mut().filter(|register| register.actor == *from);
        written.for_each(|register| register.actor = to.clone());
    }
}

/// Whether an edit needs no history.
fn is_plain(edit: &FieldEdit) -> bool {
    !matches!(edit, FieldEdit::Number { .. } | FieldEdit::Choose { .. } | FieldEdit::Undo { .. })
}

/// The derived change that makes a counter or a list.
fn planted(id: &DocumentId, root: Root, path: &str) -> Result<Change, EditError> {
    let nobody = ActorId::ordinary([0; ACTOR_BYTES]);
    derived(id, &Place::new(&nobody, 1, 1, Vec::new(), None), vec![plant::op(root, path)])
}

/// The derived change of these ops, which are the same whoever's they are.
fn derived(id: &DocumentId, place: &Place, ops: Vec<Op>) -> Result<Change, EditError> {
    let made = change(place, 0, "", ops)?;
    Change::derive(id, made.parts().clone()).map_err(EditError::TooLarge)
}

fn change(place: &Place, time: i64, message: &str, operations: Vec<Op>) -> Result<Change, EditError> {
    let broken = |cause: String| EditError::Document { cause };
    let start_op = NonZeroU64::new(place.start_op).ok_or_else(|| broken("ops begin at 1".to_owned()))?;
    let expanded = ExpandedChange {
        operations,
        actor_id: place.actor.as_bytes().into(),
        hash: None,
        seq: place.seq,
        start_op,
        time,
        message: (!message.is_empty()).then(|| message.to_owned()),
        deps: place.deps.iter().map(|dep| automerge::ChangeHash(dep.0)).collect(),
        extra_bytes: Vec::new(),
        author: None,
    };
    let made = guarded(|| Ok(MadeChange::from(expanded))).map_err(broken)?;
    Change::parse(made.raw_bytes()).map_err(EditError::TooLarge)
}

/// Registers with the ops that were written since.
struct Writing {
    registers: Registers,
    /// Who writes, and the counter of the first op.
    author: (ActorId, u64),
    ops: Vec<Op>,
    /// The keys of lists that were made for this edit and hold nothing yet.
    fresh: BTreeSet<String>,
    /// Something was to be done that takes the document.
    lacking: bool,
}

impl Writing {
    fn new(registers: Registers, place: &Place) -> Self {
        let author = (place.actor.clone(), place.start_op);
        Self { registers, author, ops: Vec::new(), fresh: BTreeSet::new(), lacking: false }
    }

    /// Takes over a root that was planted.
    fn plant(&mut self, root: Root, path: &str, planted: &Change) {
        let (key, actor) = (root.key(path), planted.parts().actor.clone());
        let held = match root {
            Root::Counter => Held::Scalar(Scalar::Increments(0)),
            Root::List | Root::Text => Held::List(Vec::new()),
        };
        if root == Root::List {
            self.fresh.insert(key.clone());
        }
        self.registers.by_key.insert(key, Register { counter: planted.parts().start_op, actor, held });
    }

    /// The counter of the next op.
    fn next(&self) -> u64 {
        self.author.1 + self.ops.len() as u64
    }

    fn op(&mut self, key: &str, action: OpType) -> u64 {
        let over = self.registers.by_key.get(key);
        let pred = over.map(|over| OpId(over.counter, over.actor.as_bytes().into())).into_iter().collect();
        let counter = self.next();
        self.ops.push(Op { action, obj: ObjectId::Root, key: Key::Map(key.into()), pred, insert: false });
        counter
    }
}

impl RootMapMut for Writing {
    fn write(&mut self, key: &str, value: impl Into<ScalarValue>) -> Result<(), EditError> {
        let value = value.into();
        let held = Held::Scalar(read::scalar(&value.clone().into()));
        if self.registers.by_key.get(key).is_none_or(|register| register.held != held) {
            let counter = self.op(key, OpType::Put(value));
            let register = Register { counter, actor: self.author.0.clone(), held };
            self.registers.by_key.insert(key.to_owned(), register);
        }
        Ok(())
    }

    fn erase(&mut self, key: &str) -> Result<(), EditError> {
        if self.registers.by_key.contains_key(key) {
            self.op(key, OpType::Delete);
            self.registers.by_key.remove(key);
        }
        Ok(())
    }

    fn add(&mut self, key: &str, by: i64) -> Result<(), EditError> {
        let held = self.registers.by_key.get_mut(key).map(|register| &mut register.held);
        let Some(Held::Scalar(Scalar::Increments(sum))) = held else {
            return Err(EditError::Document { cause: format!("{key} is no counter") });
        };
        *sum = sum.checked_add(by).ok_or_else(|| EditError::Overflow { field: key.to_owned() })?;
        self.op(key, OpType::Increment(by));
        Ok(())
    }

    fn first_items(&mut self, key: &str, items: &[ScalarValue]) -> bool {
        let Some(register) = self.registers.by_key.get_mut(key).filter(|_| self.fresh.remove(key)) else {
            return false;
        };
        register.held = Held::List(items.iter().map(|item| read::item(&item.clone().into())).collect());
        let list = ObjectId::Id(OpId(register.counter, register.actor.as_bytes().into()));
        let mut place = ElementId::Head;
        for item in items {
            let id = OpId(self.next(), self.author.0.as_bytes().into());
            let (action, pred) = (OpType::Put(item.clone()), SortedVec::new());
            self.ops.push(Op { action, obj: list.clone(), key: Key::Seq(place), pred, insert: true });
            place = ElementId::Id(id);
        }
        true
    }

    fn whole<T>(&mut self, _: impl FnOnce(&mut Transaction<'_>) -> Result<T, EditError>) -> Result<T, EditError> {
        self.lacking = true;
        Err(EditError::Document { cause: "a list, a text or the history was needed".to_owned() })
    }
}

impl RootMap for Writing {
    fn slots(&self) -> Slots {
        self.registers.slots()
    }

    fn scalars(&self, key: &str) -> Vec<Scalar> {
        self.registers.scalars(key)
    }

    fn items(&self, list: &ObjId, depth: usize, room: &Room) -> Vec<Value> {
        self.registers.items(list, depth, room)
    }

    fn prose(&self, text: &ObjId) -> Option<String> {
        self.registers.prose(text)
    }
}
