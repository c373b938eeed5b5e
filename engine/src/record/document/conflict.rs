//! Concurrent values of one field: which there are, and choosing one. Counters add up, lists and texts merge and a
//! deletion holds: none of them is a conflict. Must not know who made a value.

use super::read::{self, Seen, Slot};
use super::resolve::Kept;
use super::write::{children, path};
use super::{Document, DocumentFault};
use crate::id::ChangeHash;
use crate::record::field::EditError;
use crate::record::history::Candidate;
use crate::record::layout;
use crate::record::rule::Rule;
use crate::record::schema::Schema;
use crate::record::shape::Shape;
use crate::record::view::{Value, View};
use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, ObjId, ROOT, ReadDoc, ScalarValue, ScalarValueRef};
use std::collections::{BTreeMap, BTreeSet};

/// One of the values.
struct Rival {
    value: Value,
    /// What the field's own key holds; `None` for the fields inside a map, which lie under keys of their own.
    own: Option<ScalarValue>,
    /// The ops that made it.
    ops: Vec<ObjId>,
}

impl Document {
    /// Whether any field has several concurrent values, merge rules aside.
    pub fn has_conflicts(&self) -> Result<bool, DocumentFault> {
        self.reading(|doc| {
            let seen = Seen::plain(doc);
            suspects(doc, &seen).iter().any(|path| !rivals(doc, &seen, path).is_empty())
        })
    }

    /// The fields with several concurrent values that no rule of `schema` makes one, by name or JSON Pointer; of each the
    /// value that is shown first. The same on every device that has the same changes.
    pub fn conflicts(&self, schema: &Schema) -> Result<BTreeMap<String, Vec<Candidate>>, DocumentFault> {
        let ruled = schema.fields.iter().filter(|(_, field)| field.rule != Rule::Last);
        let ruled: BTreeSet<String> = ruled.filter_map(|(name, _)| path(name).ok()).collect();
        self.reading(|doc| {
            let seen = Seen::plain(doc);
            let mut found = BTreeMap::new();
            for path in suspects(doc, &seen).into_iter().filter(|path| !ruled.contains(path)) {
                let candidates: Vec<_> =
                    rivals(doc, &seen, &path).into_iter().filter_map(|rival| candidate(doc, rival)).collect();
                if candidates.len() > 1 {
                    found.insert(layout::shown(&path), candidates);
                }
            }
            found
        })
    }
}

/// Makes the value that a change set the field's only one.
pub(super) fn choose(tx: &mut Transaction<'_>, field: &str, change: ChangeHash) -> Result<(), EditError> {
    let (path, seen) = (path(field)?, Seen::plain(tx));
    let Some(made) = tx.get_change_by_hash(&automerge::ChangeHash(change.0)) else {
        return Err(EditError::NoSuchChange { change });
    };
    let ops = (made.actor_id().clone(), made.start_op().get()..=made.max_op());
    let by_it = |id: &ObjId| matches!(id, ObjId::Id(counter, actor, _) if *actor == ops.0 && ops.1.contains(counter));
    let chosen = rivals(tx, &seen, &path).into_iter().find(|rival| rival.ops.iter().any(by_it));
    match chosen.map(|rival| rival.own) {
        None => Err(EditError::NotConcurrent { field: field.to_owned(), change }),
        Some(None) => Ok(tx.delete(ROOT, path)?),
        Some(Some(value)) => {
            super::write::clear_children(tx, &seen, &path)?;
            Ok(tx.put(ROOT, path, value)?)
        }
    }
}

/// Paths that may have several values: their key has, or there are fields below it.
fn suspects(doc: &impl ReadDoc, seen: &Seen<'_>) -> Vec<String> {
    let below =
        |prefix: String| seen.slots.range(prefix.clone()..).next().is_some_and(|(key, _)| key.starts_with(&prefix));
    let items = doc.map_range(ROOT, ..).filter(|item| layout::is_field(&item.key));
    let items =
        items.filter(|item| item.conflict || below(format!("{}/", item.key)) || below(format!("~c/{}/", item.key)));
    items.map(|item| item.key.into_owned()).collect()
}

/// The different values of a field, the one that is shown first; none where there is only one.
fn rivals(doc: &impl ReadDoc, seen: &Seen<'_>, path: &str) -> Vec<Rival> {
    if matches!(read::field(doc, seen, path), Some(Value::Counter(_))) {
        return Vec::new();
    }
    let mut found: Vec<Rival> = inside(doc, seen, path).into_iter().collect();
    for (value, id) in doc.get_all(ROOT, path).unwrap_or_default().into_iter().rev() {
        let automerge::Value::Scalar(scalar) = value else { continue };
        let own = scalar.into_owned();
        let mut alone = seen.clone();
        alone.slots.insert(path.to_owned(), Slot::Scalar(read::scalar(&ScalarValueRef::from(own.clone()))));
        let Some(value) = read::field(doc, &alone, path) else { continue };
        match found.iter_mut().find(|rival| rival.value == value) {
            Some(same) => same.ops.push(id),
            None => found.push(Rival { value, own: Some(own), ops: vec![id] }),
        }
    }
    if found.len() > 1 { found } else { Vec::new() }
}

/// The map that fields below a path form, which is shown before any value of the path itself.
fn inside(doc: &impl ReadDoc, seen: &Seen<'_>, path: &str) -> Option<Rival> {
    let below = children(seen, path);
    if below.is_empty() {
        return None;
    }
    let View { fields, .. } = read::view(doc, Kept::new(), Shape::none());
    let mut value = Value::Map(fields);
    for name in path.split('/').map(layout::unescape) {
        let Value::Map(mut fields) = value else { return None };
        value = fields.remove(&*name)?;
    }
    let ops = below.iter().filter_map(|path| Some(doc.get(ROOT, path.as_str()).ok()??.1)).collect();
    matches!(&value, Value::Map(fields) if !fields.is_empty()).then_some(Rival { value, own: None, ops })
}

/// A value with the last change that set it.
fn candidate(doc: &Automerge, rival: Rival) -> Option<Candidate> {
    let counter = |id: &ObjId| match id {
        ObjId::Id(counter, actor, _) => (*counter, actor.to_bytes().to_vec()),
        ObjId::Root => (0, Vec::new()),
    };
    let last = rival.ops.iter().max_by_key(|id| counter(id))?;
    Some(Candidate { value: rival.value, change: ChangeHash(doc.hash_for_opid(last)?.0) })
}
