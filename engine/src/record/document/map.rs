//! A record's root map as reads and edits use it, whatever holds it: an Automerge document, or registers alone. Must not
//! know what the keys mean.

use super::read::{self, Room, Scalar, Slot, Slots};
use crate::record::field::EditError;
use crate::record::view::Value;
use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ROOT, ReadDoc, ScalarValue, ValueRef};

/// What can be read.
pub(super) trait RootMap {
    /// All keys, each with its winning value.
    fn slots(&self) -> Slots;
    /// The scalars among a key's values, concurrent ones too.
    fn scalars(&self, key: &str) -> Vec<Scalar>;
    /// The items of a list that lies at `depth`, as many as there is room for.
    fn items(&self, list: &ObjId, depth: usize, room: &Room) -> Vec<Value>;
    /// What a text says.
    fn prose(&self, text: &ObjId) -> Option<String>;
}

/// What edits do.
pub(super) trait RootMapMut: RootMap {
    /// Writes over all values of a key.
    fn write(&mut self, key: &str, value: impl Into<ScalarValue>) -> Result<(), EditError>;
    /// Removes all values of a key, if there are any.
    fn erase(&mut self, key: &str) -> Result<(), EditError>;
    /// Adds to the counter under a key.
    fn add(&mut self, key: &str, by: i64) -> Result<(), EditError>;
    /// Puts the first items into the list under a key, where it is known to be as it was made.
    fn first_items(&mut self, key: &str, items: &[ScalarValue]) -> bool;
    /// Does what needs lists, texts or history.
    fn whole<T>(&mut self, run: impl FnOnce(&mut Transaction<'_>) -> Result<T, EditError>) -> Result<T, EditError>;
}

impl<D: ReadDoc> RootMap for D {
    fn slots(&self) -> Slots {
        let slot = |item: automerge::iter::MapRangeItem<'_>| match &item.value {
            ValueRef::Object(kind) => Slot::Object(item.id(), *kind),
            ValueRef::Scalar(scalar) => Slot::Scalar(read::scalar(scalar)),
        };
        self.map_range(ROOT, ..).map(|item| (item.key.clone().into_owned(), slot(item))).collect()
    }

    fn scalars(&self, key: &str) -> Vec<Scalar> {
        let all = self.get_all(ROOT, key).unwrap_or_default();
        let scalar = |value: &automerge::Value<'_>| match value {
            automerge::Value::Scalar(value) => Some(read::scalar(&value.as_ref().clone().into())),
            automerge::Value::Object(_) => None,
        };
        all.iter().filter_map(|(value, _)| scalar(value)).collect()
    }

    fn items(&self, list: &ObjId, depth: usize, room: &Room) -> Vec<Value> {
        read::items(self, list, depth, room)
    }

    fn prose(&self, text: &ObjId) -> Option<String> {
        self.text(text).ok()
    }
}

impl RootMapMut for Transaction<'_> {
    fn write(&mut self, key: &str, value: impl Into<ScalarValue>) -> Result<(), EditError> {
        Ok(self.put(ROOT, key, value)?)
    }

    fn erase(&mut self, key: &str) -> Result<(), EditError> {
        Ok(self.delete(ROOT, key)?)
    }

    fn add(&mut self, key: &str, by: i64) -> Result<(), EditError> {
        Ok(self.increment(ROOT, key, by)?)
    }

    fn first_items(&mut self, _: &str, _: &[ScalarValue]) -> bool {
        false
    }

    fn whole<T>(&mut self, run: impl FnOnce(&mut Transaction<'_>) -> Result<T, EditError>) -> Result<T, EditError> {
        run(self)
    }
}
