//! The values of fields whose rule keeps them: made of every value that was ever written over, so that a device that does
//! not know the rule cannot undo it. Must not change anything.
//!
//! From the values a key has now, concurrent ones too, the walk goes to those they replaced, and so on. It is a function
//! of the changes alone: the same on every device. What was deleted is not found again.

use super::guard::guarded;
use super::map::RootMap;
use super::read::{self, Scalar, Slot};
use crate::record::layout::{self, Root};
use crate::record::rule::Rule;
use crate::record::schema::Field;
use crate::record::shape::Shape;
use crate::record::view::{Value, View};
use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{ActorId, Automerge, ChangeHash, ObjId, ROOT, ReadDoc};
use std::collections::{BTreeMap, BTreeSet};

/// Changes looked up one by one, each by a pass over the document's ops; past this, all of them are read at once.
const LOOKUPS_MAX: usize = 4;

/// What fields hold whose rule keeps it, by path, before their counter is added.
pub(super) type Kept = BTreeMap<String, Value>;

/// Lamport number, then author: the order in which `first` is first.
type OpId = (u64, ActorId);

/// One writing of a key.
struct Written {
    value: Option<Value>,
    replaced: Vec<OpId>,
}

/// The writings of the keys that keep values, as far as they were needed.
struct History<'d> {
    doc: &'d Automerge,
    keys: BTreeSet<&'d str>,
    writings: BTreeMap<OpId, Written>,
    read: BTreeSet<ChangeHash>,
    whole: bool,
}

/// Of the values that `now` has, which is the document or as it was at some of its changes.
pub(super) fn kept(doc: &Automerge, now: &impl ReadDoc, shape: &Shape) -> Kept {
    let keys: BTreeSet<&str> = shape.keeping().map(|(path, _)| path).collect();
    if keys.is_empty() {
        return Kept::new();
    }
    let kept = guarded(|| {
        let mut history = History { doc, keys, writings: BTreeMap::new(), read: BTreeSet::new(), whole: false };
        let fields = shape.keeping();
        Ok(fields.filter_map(|(path, field)| Some((path.to_owned(), history.value(now, path, field)?))).collect())
    });
    // Where Automerge gives up, it does so on every device.
    kept.unwrap_or_default()
}

/// The same from what the record shows; `None` where that does not tell.
pub(super) fn kept_shown(map: &impl RootMap, shape: &Shape, view: &View) -> Option<Kept> {
    let slots = map.slots();
    let tells = |path: &str| {
        let counted = slots.contains_key(&Root::Counter.key(path));
        !counted && matches!(slots.get(path), None | Some(Slot::Scalar(Scalar::Plain(_))))
    };
    let value = |(path, field): (&str, &Field)| {
        let value = field.fit(layout::value_at(&view.fields, path)?).filter(|value| *value != Value::Null)?;
        Some((path.to_owned(), value))
    };
    shape.keeping().all(|(path, _)| tells(path)).then(|| shape.keeping().filter_map(value).collect())
}

/// What the rule makes of values in the order they were written, none of them null; `None` when none fits.
fn resolve(field: &Field, values: impl Iterator<Item = Value>) -> Option<Value> {
    let mut fitting = values.filter_map(|value| field.fit(&value)).filter(|value| *value != Value::Null);
    match field.rule {
        Rule::First => fitting.next(),
        _ => fitting.reduce(|seen, next| if field.rule.moves(&seen, &next) { next } else { seen }),
    }
}

impl History<'_> {
    fn value(&mut self, now: &impl ReadDoc, key: &str, field: &Field) -> Option<Value> {
        let now = now.get_all(ROOT, key).ok()?;
        let mut next: Vec<OpId> = now.iter().filter_map(|(_, id)| op_id(id)).collect();
        let mut found = BTreeMap::new();
        while let Some(id) = next.pop() {
            if found.contains_key(&id) {
                continue;
            }
            let written = self.written(&id);
            next.extend(written.iter().flat_map(|written| written.replaced.iter().cloned()));
            found.insert(id, written.and_then(|written| written.value.clone()));
        }
        resolve(field, found.into_values().flatten())
    }

    fn written(&mut self, id: &OpId) -> Option<&Written> {
        if !self.writings.contains_key(id) && !self.whole {
            match self.read.len() < LOOKUPS_MAX {
                true => {
                    let hash = self.doc.hash_for_opid(&ObjId::Id(id.0, id.1.clone(), usize::MAX))?;
                    let change = self.doc.get_change_by_hash(&hash)?;
                    self.read.insert(hash);
                    self.note(&change);
                }
                false => {
                    self.whole = true;
                    self.doc.get_changes(&[]).iter().for_each(|change| self.note(change));
                }
            }
        }
        self.writings.get(id)
    }

    /// Takes the writings of a change.
    fn note(&mut self, change: &automerge::Change) {
        let change = change.decode();
        for (number, op) in (change.start_op.get()..).zip(change.operations) {
            let Key::Map(key) = &op.key else { continue };
            if op.obj != ObjectId::Root || !self.keys.contains(key.as_str()) {
                continue;
            }
            let value = match op.action {
                OpType::Put(value) => match read::scalar(&value.into()) {
                    Scalar::Plain(value) => Some(value),
                    Scalar::Mark(_) | Scalar::Increments(_) => None,
                },
                _ => None,
            };
            let replaced = op.pred.into_iter().map(|id| (id.0, id.1)).collect();
            self.writings.insert((number, change.actor_id.clone()), Written { value, replaced });
        }
    }
}

fn op_id(id: &ObjId) -> Option<OpId> {
    match id {
        ObjId::Id(number, actor, _) => Some((*number, actor.clone())),
        ObjId::Root => None,
    }
}

/// What the fields hold during an edit: what they held before, and what was written since.
pub(super) fn kept_since(before: &Kept, map: &impl RootMap, shape: &Shape) -> Kept {
    let value = |(path, field): (&str, &Field)| {
        let now = map.scalars(path).into_iter().filter_map(|scalar| match scalar {
            Scalar::Plain(value) => Some(value),
            Scalar::Mark(_) | Scalar::Increments(_) => None,
        });
        Some((path.to_owned(), resolve(field, before.get(path).cloned().into_iter().chain(now))?))
    };
    shape.keeping().filter_map(value).collect()
}
