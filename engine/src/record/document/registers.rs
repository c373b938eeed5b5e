//! A record without its history: of each key of the root map the value and the op that wrote it, which is all that the next
//! edit of a plain field needs. Only where every key has one value, no object is anything but a list of plain values, and no
//! field lies below another that has a value of its own: so there are no conflicts. Must not load a document.
//!
//! The change that comes of it is, to the byte, the one that Automerge makes of the same edit.

mod edit;
mod follow;
mod stored;

pub use edit::Place;
pub use follow::Following;
pub use stored::StoredRegisters;

use super::map::RootMap;
use super::read::{Room, Scalar, Slot, Slots};
use super::resolve::{self, Kept};
use super::{Document, read};
use crate::id::ActorId;
use crate::record::layout;
use crate::record::shape::{Print, Shape};
use crate::record::view::{Value, View};
use automerge::{ObjId, ObjType, ROOT, ReadDoc, ValueRef};
use std::collections::BTreeMap;

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
