//! From edits to changes. Must not know how a view is put together.

mod fields;
mod list;
pub(super) mod plant;
mod set;
mod undo;

use super::Document;
use super::conflict;
use super::map::{RootMap, RootMapMut};
use super::read::{self, Seen};
use super::resolve::{self, Kept};
use crate::change::{Change, ChangeFault};
use crate::id::{ActorId, DERIVED_ACTOR_BYTES};
use crate::record::field::{EditError, FieldEdit};
use crate::record::layout::{self, BYTES_TAG, DELETED, Root};
use crate::record::shape::Shape;
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ROOT, ReadDoc, ScalarValue};
use fields::{increment, mark, set_fields, unset};
use std::collections::BTreeSet;

pub(super) use fields::{children, clear_children};
pub(super) use undo::{Deeds, left};

impl From<AutomergeError> for EditError {
    fn from(cause: AutomergeError) -> Self {
        Self::Document { cause: cause.to_string() }
    }
}

pub(super) fn edit(
    mut document: Document,
    actor: &ActorId,
    time_s: i64,
    message: &str,
    edits: &[FieldEdit],
    shape: &Shape,
) -> Result<(Document, Vec<Change>), EditError> {
    let fresh = document.doc.is_empty();
    let deeds = undo::deeds(&document.doc, edits)?;
    let kept = document.kept(shape);
    let had: BTreeSet<&str> = present(&document.doc, &kept, shape);
    let mut changes = plant::plant(&mut document, edits, shape, &kept)?;
    changes.extend(plant::join(&mut document)?);
    document.doc.set_actor(actor.as_bytes().into());
    let mut tx = document.doc.transaction();
    run(&mut tx, &deeds, edits, shape, &kept, (!fresh).then_some(&had))?;
    if fresh && matches!(edits, [FieldEdit::Set(_)]) && tx.pending_ops() == 0 {
        begin(&mut tx)?;
    }
    let kept = resolve::kept_since(&kept, &tx, shape);
    if tx.pending_ops() == 0 {
        tx.rollback();
    } else {
        let options = CommitOptions::default().with_time(time_s);
        tx.commit_with(if message.is_empty() { options } else { options.with_message(message) });
        changes.push(plant::last_change(&document.doc)?);
    }
    document.kept = Some((shape.print(), kept));
    Ok((document, changes))
}

/// Does `edits`, all or none, on a record in which the required fields `had` hold something; `None` is a new record.
pub(super) fn run(
    map: &mut impl RootMapMut,
    deeds: &Deeds,
    edits: &[FieldEdit],
    shape: &Shape,
    kept: &Kept,
    had: Option<&BTreeSet<&str>>,
) -> Result<(), EditError> {
    edits.iter().try_for_each(|edit| step(map, deeds, edit, shape, kept))?;
    if had.is_none() {
        fill(map, shape, kept)?;
    }
    check_required(map, shape, kept, had)
}

/// One derived change with all fields, so that the same row imported on two devices is one change.
pub(super) fn import(
    mut document: Document,
    fields: &Fields,
    shape: &Shape,
) -> Result<(Document, Vec<Change>), EditError> {
    let (edits, kept) = ([FieldEdit::Set(fields.clone())], Kept::new());
    let mut changes = plant::plant(&mut document, &edits, shape, &kept)?;
    changes.extend(plant::join(&mut document)?);
    let mut scratch = document.clone();
    scratch.doc.set_actor([0; DERIVED_ACTOR_BYTES].as_slice().into());
    let mut tx = scratch.doc.transaction();
    run(&mut tx, &Deeds::new(), &edits, shape, &kept, None)?;
    if tx.pending_ops() == 0 {
        begin(&mut tx)?;
    }
    let kept = resolve::kept_since(&kept, &tx, shape);
    tx.commit_with(CommitOptions::default().with_time(0));
    changes.push(plant::derive(&mut document, plant::last_change(&scratch.doc)?)?);
    document.kept = Some((shape.print(), kept));
    Ok((document, changes))
}

/// Gives a new record the defaults of what it was not given.
fn fill(map: &mut impl RootMapMut, shape: &Shape, kept: &Kept) -> Result<(), EditError> {
    let mut defaults = shape.defaults().peekable();
    if defaults.peek().is_none() {
        return Ok(());
    }
    let seen = look(map, shape, kept);
    for (path, value) in defaults {
        let above = path.match_indices('/').any(|(at, _)| read::field(map, &seen, &path[..at]).is_some());
        let there = read::field(map, &seen, path).is_some() || !children(&seen, path).is_empty();
        if !above && !there {
            fields::set(map, &seen, path, &value)?;
        }
    }
    Ok(())
}

/// What a transaction sees.
fn look<'s>(map: &impl RootMap, shape: &'s Shape, kept: &Kept) -> Seen<'s> {
    Seen { slots: map.slots(), shape, kept: resolve::kept_since(kept, map, shape) }
}

/// Those of the required fields that hold something.
pub(super) fn present<'s>(map: &impl RootMap, kept: &Kept, shape: &'s Shape) -> BTreeSet<&'s str> {
    let mut required = shape.required().peekable();
    if required.peek().is_none() {
        return BTreeSet::new();
    }
    let seen = Seen { slots: map.slots(), shape, kept: resolve::kept_since(kept, map, shape) };
    let holds = |path: &&str| {
        let value = read::field(map, &seen, path);
        value.is_some_and(|value| value != Value::Null) || !children(&seen, path).is_empty()
    };
    required.filter(holds).collect()
}

/// A new record has all that is required, another one all that it had.
fn check_required(
    map: &impl RootMap,
    shape: &Shape,
    kept: &Kept,
    had: Option<&BTreeSet<&str>>,
) -> Result<(), EditError> {
    let has = present(map, kept, shape);
    let lost = |path: &&str| !has.contains(path) && had.is_none_or(|had| had.contains(path));
    shape.required().find(lost).map_or(Ok(()), |path| Err(shape.missing(path)))
}

/// A record without fields exists by the undoing of a deletion that never was.
pub(super) fn begin(map: &mut impl RootMapMut) -> Result<(), EditError> {
    map.write(DELETED, true)?;
    map.erase(DELETED)
}

/// The path of a field given by name or as a JSON Pointer.
pub(super) fn path(field: &str) -> Result<String, EditError> {
    if field.strip_prefix('/').is_some_and(|pointer| pointer.split('/').count() > DEPTH_MAX) {
        return Err(EditError::TooDeep);
    }
    layout::path(field).ok_or_else(|| EditError::BadField { field: field.to_owned() })
}

fn step(
    map: &mut impl RootMapMut,
    deeds: &Deeds,
    edit: &FieldEdit,
    shape: &Shape,
    kept: &Kept,
) -> Result<(), EditError> {
    let seen = look(map, shape, kept);
    let deleted = seen.slots.contains_key(DELETED);
    if deleted && !matches!(edit, FieldEdit::Delete | FieldEdit::Restore | FieldEdit::Undo { .. }) {
        return Err(EditError::Deleted);
    }
    match edit {
        FieldEdit::Set(fields) => set_fields(map, &seen, fields, true),
        FieldEdit::Import(fields) => set_fields(map, &seen, fields, false),
        FieldEdit::Increment { field, by } => increment(map, &seen, field, *by),
        FieldEdit::Unset { field } => unset(map, &seen, &path(field)?),
        // The store has put the number in its place.
        FieldEdit::Number { field, .. } => Err(EditError::BadField { field: field.clone() }),
        FieldEdit::Delete if deleted => Ok(()),
        FieldEdit::Delete => map.write(DELETED, true),
        FieldEdit::Restore if deleted => map.erase(DELETED),
        FieldEdit::Restore => Ok(()),
        FieldEdit::Choose { field, change } => map.whole(|tx| conflict::choose(tx, field, *change)),
        FieldEdit::Undo { change, except } => map.whole(|tx| undo::take_back(tx, deeds, *change, except)),
    }
}

fn object(tx: &Transaction<'_>, root: Root, path: &str) -> Result<ObjId, EditError> {
    let found = tx.get(ROOT, root.key(path))?.map(|(_, id)| id);
    found.ok_or_else(|| EditError::BadField { field: path.to_owned() })
}

/// The scalar of a value that is neither a list nor a map; counters and texts inside lists become plain values.
fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null | Value::List(_) | Value::Map(_) => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) | Value::Counter(value) => ScalarValue::Int(*value),
        Value::Uint(value) => ScalarValue::Uint(*value),
        Value::Float(value) => ScalarValue::F64(*value),
        Value::String(value) | Value::Text(value) => ScalarValue::Str(value.as_str().into()),
        Value::Timestamp(value) => ScalarValue::Timestamp(value.unix_ms),
        Value::Bytes(bytes) => {
            let mut tagged = vec![BYTES_TAG];
            tagged.extend_from_slice(bytes);
            ScalarValue::Bytes(tagged)
        }
    }
}

/// An edit that Automerge took but the gate would not.
impl From<ChangeFault> for EditError {
    fn from(fault: ChangeFault) -> Self {
        Self::TooLarge(fault)
    }
}
