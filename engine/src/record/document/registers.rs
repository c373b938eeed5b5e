//! A record without its history: of each key of the root map the value and the op that wrote it, which is all that the next
//! edit of a plain field needs. Only where every key has one value, no object is anything but a list of plain values, and no
//! field lies below another that has a value of its own: so there are no conflicts. Must not load a document.
//!
//! The change that comes of it is, to the byte, the one that Automerge makes of the same edit.

mod follow;
mod stored;

pub use follow::Following;
pub use stored::StoredRegisters;

use super::guard::guarded;
use super::map::{RootMap, RootMapMut};
use super::read::{Room, Scalar, Slot, Slots};
use super::resolve::{self, Kept};
use super::write::{self, plant};
use super::{Document, read};
use crate::change::{Change, DEPS_MAX};
use crate::id::{ActorId, ChangeHash};
use crate::record::field::{EditError, FieldEdit};
use crate::record::layout;
use crate::record::shape::{Print, Shape};
use crate::record::view::{Value, View};
use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::Transaction;
use automerge::{Change as MadeChange, ExpandedChange, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, ValueRef};
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// A key's only value, and the op that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Register {
    pub(super) counter: u64,
    pub(super) actor: ActorId,
    pub(super) held: Held,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    Scalar(Scalar),
    /// What the list's items show as.
    List(Vec<Value>),
}

impl Register {
    /// The object it holds, in Automerge's words.
    fn object(&self) -> ObjId {
        ObjId::Id(self.counter, self.actor.as_bytes().into(), 0)
    }
}

/// A record's registers by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registers {
    pub(super) by_key: BTreeMap<String, Register>,
    kept: Option<(Print, Kept)>,
}

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
}

impl Document {
    /// The record's registers; `None` where it has more than they can hold.
    pub fn registers(&self) -> Option<Registers> {
        let register = |item: automerge::iter::MapRangeItem<'_>| {
            let ObjId::Id(counter, actor, _) = item.id() else { return None };
            let held = match &item.value {
                _ if item.conflict => return None,
                ValueRef::Scalar(scalar) => Held::Scalar(read::scalar(scalar)),
                ValueRef::Object(ObjType::List) => Held::List(read::plain_items(&self.doc, &item.id())?),
                ValueRef::Object(_) => return None,
            };
            let actor = ActorId::from_bytes(actor.to_bytes())?;
            Some((item.key.clone().into_owned(), Register { counter, actor, held }))
        };
        let by_key = self.doc.map_range(ROOT, ..).map(register).collect::<Option<_>>()?;
        Some(Registers { by_key, kept: self.kept.clone() }).filter(Registers::are_flat)
    }
}

impl Registers {
    /// Of a record that has no changes yet.
    pub fn empty(shape: &Shape) -> Self {
        Self { by_key: BTreeMap::new(), kept: Some((shape.print(), Kept::new())) }
    }

    /// Takes from a whole view, made of this record under `shape`, what would otherwise be looked for in its history.
    pub fn recall(&mut self, shape: &Shape, view: &View) {
        self.kept = resolve::kept_shown(self, shape, view).map(|kept| (shape.print(), kept));
    }

    /// The record as people read it under the schema it was last edited or recalled under.
    pub fn view(&self, shape: &Shape) -> View {
        read::view(self, self.kept(shape).unwrap_or_default(), shape)
    }

    /// The registers after `edits`, which must fit `shape`, and the changes they made; `None` where that takes the
    /// document.
    pub fn edit(
        &self,
        place: &Place,
        time_s: i64,
        message: &str,
        edits: &[FieldEdit],
        shape: &Shape,
    ) -> Result<Option<(Self, Vec<Change>)>, EditError> {
        let edits = &*shape.fit(edits)?;
        let Some(kept) = self.kept(shape).filter(|_| edits.iter().all(is_plain) && place.deps.len() <= DEPS_MAX) else {
            return Ok(None);
        };
        if !plant::missing(self, false, edits, shape, &kept)?.is_empty() {
            return Ok(None);
        }
        let mut writing = Writing { registers: self.clone(), place, ops: Vec::new() };
        let had = write::present(self, &kept, shape);
        write::run(&mut writing, &write::Deeds::new(), edits, shape, &kept, Some(&had))?;
        let Writing { mut registers, ops, .. } = writing;
        if !registers.are_flat() {
            return Ok(None);
        }
        let kept = resolve::kept_since(&kept, &registers, shape);
        registers.kept = Some((shape.print(), kept));
        let changes = if ops.is_empty() { Vec::new() } else { vec![change(place, time_s, message, ops)?] };
        Ok(Some((registers, changes)))
    }

    /// Whether no field lies below another that has a value of its own.
    fn are_flat(&self) -> bool {
        let has_value = |path: &str| layout::is_field(path) && self.by_key.contains_key(path);
        let mut paths = self.by_key.keys().map(|key| layout::path_of(key, "~c/").unwrap_or(key));
        paths.all(|path| path.match_indices('/').all(|(at, _)| !has_value(&path[..at])))
    }

    fn kept(&self, shape: &Shape) -> Option<Kept> {
        match &self.kept {
            _ if !shape.keeps() => Some(Kept::new()),
            Some((print, kept)) if *print == shape.print() => Some(kept.clone()),
            _ => None,
        }
    }
}

/// Whether an edit touches nothing but plain fields and counters.
fn is_plain(edit: &FieldEdit) -> bool {
    fn plain(value: &Value) -> bool {
        match value {
            Value::List(_) | Value::Text(_) => false,
            Value::Map(fields) => fields.values().all(plain),
            _ => true,
        }
    }
    match edit {
        FieldEdit::Set(fields) | FieldEdit::Import(fields) => fields.values().all(plain),
        FieldEdit::Increment { .. } | FieldEdit::Unset { .. } | FieldEdit::Delete | FieldEdit::Restore => true,
        FieldEdit::Number { .. } | FieldEdit::Choose { .. } | FieldEdit::Undo { .. } => false,
    }
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
struct Writing<'p> {
    registers: Registers,
    place: &'p Place,
    ops: Vec<Op>,
}

impl Writing<'_> {
    fn op(&mut self, key: &str, action: OpType) -> u64 {
        let over = self.registers.by_key.get(key);
        let pred = over.map(|over| OpId(over.counter, over.actor.as_bytes().into())).into_iter().collect();
        self.ops.push(Op { action, obj: ObjectId::Root, key: Key::Map(key.into()), pred, insert: false });
        self.place.start_op + self.ops.len() as u64 - 1
    }
}

impl RootMapMut for Writing<'_> {
    fn write(&mut self, key: &str, value: impl Into<ScalarValue>) -> Result<(), EditError> {
        let value = value.into();
        let held = Held::Scalar(read::scalar(&value.clone().into()));
        if self.registers.by_key.get(key).is_none_or(|register| register.held != held) {
            let counter = self.op(key, OpType::Put(value));
            let register = Register { counter, actor: self.place.actor.clone(), held };
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

    fn whole<T>(&mut self, _: impl FnOnce(&mut Transaction<'_>) -> Result<T, EditError>) -> Result<T, EditError> {
        Err(EditError::Document { cause: "a list, a text or the history was needed".to_owned() })
    }
}

impl RootMap for Writing<'_> {
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

impl RootMap for Registers {
    fn slots(&self) -> Slots {
        let slot = |register: &Register| match &register.held {
            Held::Scalar(scalar) => Slot::Scalar(scalar.clone()),
            Held::List(..) => Slot::Object(register.object(), ObjType::List),
        };
        self.by_key.iter().map(|(key, register)| (key.clone(), slot(register))).collect()
    }

    fn scalars(&self, key: &str) -> Vec<Scalar> {
        match self.by_key.get(key).map(|register| &register.held) {
            Some(Held::Scalar(scalar)) => vec![scalar.clone()],
            Some(Held::List(..)) | None => Vec::new(),
        }
    }

    fn items(&self, list: &ObjId, _: usize, room: &Room) -> Vec<Value> {
        let items = self.by_key.values().find_map(|register| match &register.held {
            Held::List(items) if register.object() == *list => Some(items),
            _ => None,
        });
        items.into_iter().flatten().take_while(|item| room.take_value(item)).cloned().collect()
    }

    fn prose(&self, _: &ObjId) -> Option<String> {
        None
    }
}
