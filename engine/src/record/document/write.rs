//! From edits to changes. Must not know how a view is put together.

mod list;

use super::Document;
use super::read::{self, Scalar, Slot, Slots};
use crate::change::{Change, ChangeFault, DEPS_MAX, Parts};
use crate::id::{ACTOR_BYTES, ActorId, DERIVED_ACTOR_BYTES};
use crate::record::field::{EditError, FieldEdit, kind};
use crate::record::layout::{self, BYTES_TAG, DELETED, Kind, Root};
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use std::collections::BTreeSet;

impl From<AutomergeError> for EditError {
    fn from(cause: AutomergeError) -> Self {
        Self::Document { cause: cause.to_string() }
    }
}

pub(super) fn edit(
    mut document: Document,
    actor: &ActorId,
    time_s: i64,
    edits: &[FieldEdit],
) -> Result<(Document, Vec<Change>), EditError> {
    let fresh = document.doc.is_empty();
    let mut changes = plant(&mut document, edits)?;
    changes.extend(join(&mut document)?);
    document.doc.set_actor(actor.as_bytes().into());
    let mut tx = document.doc.transaction();
    for edit in edits {
        if let Err(error) = step(&mut tx, edit) {
            tx.rollback();
            return Err(error);
        }
    }
    if fresh && matches!(edits, [FieldEdit::Set(_)]) {
        begin(&mut tx)?;
    }
    if tx.pending_ops() == 0 {
        tx.rollback();
        return Ok((document, changes));
    }
    tx.commit_with(CommitOptions::default().with_time(time_s));
    changes.push(last_change(&document.doc)?);
    Ok((document, changes))
}

/// One derived change with all fields, so that the same row imported on two devices is one change.
pub(super) fn import(mut document: Document, fields: &Fields) -> Result<(Document, Vec<Change>), EditError> {
    let edits = [FieldEdit::Set(fields.clone())];
    let mut changes = plant(&mut document, &edits)?;
    changes.extend(join(&mut document)?);
    let mut scratch = document.clone();
    scratch.doc.set_actor([0; DERIVED_ACTOR_BYTES].as_slice().into());
    let mut tx = scratch.doc.transaction();
    step(&mut tx, &edits[0])?;
    begin(&mut tx)?;
    tx.commit_with(CommitOptions::default().with_time(0));
    changes.push(derive(&mut document, last_change(&scratch.doc)?)?);
    Ok((document, changes))
}

/// A record without fields exists by the undoing of a deletion that never was.
fn begin(tx: &mut Transaction<'_>) -> Result<(), EditError> {
    if tx.pending_ops() == 0 {
        tx.put(ROOT, DELETED, true)?;
        tx.delete(ROOT, DELETED)?;
    }
    Ok(())
}

fn last_change(doc: &Automerge) -> Result<Change, EditError> {
    let change = doc.get_last_local_change().ok_or(EditError::Absent)?;
    Change::parse(change.raw_bytes()).map_err(EditError::TooLarge)
}

/// Makes a change the derived one of its content and applies that.
fn derive(document: &mut Document, change: Change) -> Result<Change, EditError> {
    let change = Change::derive(&document.id, change.parts().clone()).map_err(EditError::TooLarge)?;
    let own = super::foreign(change.bytes()).map_err(|cause| EditError::Document { cause: cause.to_string() })?;
    document.doc.apply_changes([own])?;
    Ok(change)
}

/// Makes the counters, lists and texts that `edits` need and the document lacks, each by a derived change.
fn plant(document: &mut Document, edits: &[FieldEdit]) -> Result<Vec<Change>, EditError> {
    let mut roots = BTreeSet::new();
    for edit in edits {
        match edit {
            FieldEdit::Increment { field, .. } => {
                roots.insert((Root::Counter, path(field)?));
            }
            FieldEdit::Set(fields) | FieldEdit::Import(fields) => roots_of("", fields, 0, &mut roots)?,
            FieldEdit::Unset { .. } | FieldEdit::Number { .. } | FieldEdit::Delete | FieldEdit::Restore => {}
        }
    }
    let mut changes = Vec::new();
    for (root, path) in roots {
        let key = root.key(&path);
        if document.doc.get(ROOT, key.as_str())?.is_some() {
            continue;
        }
        let mut scratch = Automerge::new().with_actor([0; DERIVED_ACTOR_BYTES].as_slice().into());
        let mut tx = scratch.transaction();
        match root {
            Root::Counter => tx.put(ROOT, key.as_str(), ScalarValue::counter(0))?,
            Root::List => tx.put_object(ROOT, key.as_str(), ObjType::List).map(drop)?,
            Root::Text => tx.put_object(ROOT, key.as_str(), ObjType::Text).map(drop)?,
        }
        tx.commit_with(CommitOptions::default().with_time(0));
        changes.push(derive(document, last_change(&scratch)?)?);
    }
    Ok(changes)
}

/// Brings the heads down to what one change may follow, by derived changes without ops: else a record that hundreds of
/// devices edited at once could not be edited again.
fn join(document: &mut Document) -> Result<Vec<Change>, EditError> {
    let mut changes = Vec::new();
    loop {
        let mut deps = super::sorted_heads(&document.doc);
        if deps.len() <= DEPS_MAX {
            return Ok(changes);
        }
        deps.truncate(DEPS_MAX);
        let heads = deps.iter().filter_map(|dep| document.doc.get_change_by_hash(&automerge::ChangeHash(dep.0)));
        let parts = Parts {
            start_op: heads.map(|head| head.max_op()).max().unwrap_or(0) + 1,
            deps,
            actor: ActorId::ordinary([0; ACTOR_BYTES]),
            seq: 1,
            time_s: 0,
            message: String::new(),
            other_actors: Vec::new(),
            columns: vec![0],
        };
        changes.push(derive(document, Change::build(parts)?)?);
    }
}

fn roots_of(path: &str, fields: &Fields, depth: usize, roots: &mut BTreeSet<(Root, String)>) -> Result<(), EditError> {
    for (name, value) in fields {
        let path = layout::join(path, name);
        match value {
            _ if depth >= DEPTH_MAX => return Err(EditError::TooDeep),
            Value::Map(fields) => roots_of(&path, fields, depth + 1, roots)?,
            Value::List(_) => drop(roots.insert((Root::List, path))),
            Value::Text(_) => drop(roots.insert((Root::Text, path))),
            Value::Counter(_) => drop(roots.insert((Root::Counter, path))),
            _ => {}
        }
    }
    Ok(())
}

/// The path of a field given by name or as a JSON Pointer.
fn path(field: &str) -> Result<String, EditError> {
    let Some(pointer) = field.strip_prefix('/') else { return Ok(layout::escape(field)) };
    if pointer.split('/').count() > DEPTH_MAX {
        return Err(EditError::TooDeep);
    }
    let mut tail = pointer;
    while let Some(at) = tail.find('~') {
        tail = &tail[at + 1..];
        if !tail.starts_with(['0', '1']) {
            return Err(EditError::BadField { field: field.to_owned() });
        }
    }
    let segments: Vec<_> = pointer.split('/').map(|segment| layout::escape(&layout::unescape(segment))).collect();
    Ok(segments.join("/"))
}

fn step(tx: &mut Transaction<'_>, edit: &FieldEdit) -> Result<(), EditError> {
    let slots = read::slots(tx);
    let deleted = slots.contains_key(DELETED);
    if deleted && !matches!(edit, FieldEdit::Delete | FieldEdit::Restore) {
        return Err(EditError::Deleted);
    }
    match edit {
        FieldEdit::Set(fields) => set_fields(tx, &slots, fields, true),
        FieldEdit::Import(fields) => set_fields(tx, &slots, fields, false),
        FieldEdit::Increment { field, by } => increment(tx, &slots, field, *by),
        FieldEdit::Unset { field } => unset(tx, &slots, &path(field)?),
        // The store has put the number in its place.
        FieldEdit::Number { field, .. } => Err(EditError::BadField { field: field.clone() }),
        FieldEdit::Delete if deleted => Ok(()),
        FieldEdit::Delete => Ok(tx.put(ROOT, DELETED, true)?),
        FieldEdit::Restore if deleted => Ok(tx.delete(ROOT, DELETED)?),
        FieldEdit::Restore => Ok(()),
    }
}

fn set_fields(tx: &mut Transaction<'_>, slots: &Slots, fields: &Fields, counters: bool) -> Result<(), EditError> {
    for (name, value) in fields {
        let path = layout::join("", name);
        match read::field(tx, slots, &path) {
            Some(Value::Counter(_)) if !counters => {}
            _ => set(tx, slots, &path, value)?,
        }
    }
    Ok(())
}

fn set(tx: &mut Transaction<'_>, slots: &Slots, path: &str, value: &Value) -> Result<(), EditError> {
    let seen = read::field(tx, slots, path);
    match value {
        Value::Map(fields) if !fields.is_empty() => return set_map(tx, slots, path, fields),
        Value::Float(float) if !float.is_finite() => return Err(EditError::NotFinite { field: path.to_owned() }),
        _ => clear_children(tx, slots, path)?,
    }
    match (value, seen) {
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(_))) if planted!(CounterSet) => {
            forget_increments(tx, slots, path)?;
            Ok(tx.put(ROOT, path, scalar(&Value::Int(*to)))?)
        }
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(from))) => add(tx, path, path, from, *to),
        (Value::Counter(to), seen) => {
            let from = match seen {
                Some(Value::Int(from)) => from,
                None => 0,
                Some(_) => {
                    tx.delete(ROOT, path)?;
                    read::increments(slots, path).unwrap_or(0)
                }
            };
            add(tx, path, path, from, *to)
        }
        (Value::List(items), _) => list::set(tx, slots, path, items),
        (Value::Text(text), _) => {
            mark(tx, slots, path, Kind::Text)?;
            let object = object(tx, Root::Text, path)?;
            match tx.text(&object)? == *text {
                true => Ok(()),
                false => Ok(tx.update_text(&object, text)?),
            }
        }
        (Value::Map(_), _) => mark(tx, slots, path, Kind::EmptyMap),
        (wanted, _) => {
            let increments = read::increments(slots, path).unwrap_or(0);
            let mut value = base(wanted, increments);
            // A fraction or an extreme may not come out as it was.
            if read::shown(value.clone(), increments) != *wanted {
                forget_increments(tx, slots, path)?;
                value = wanted.clone();
            }
            match slots.get(path) {
                Some(Slot::Scalar(Scalar::Plain(same))) if *same == value => Ok(()),
                _ => Ok(tx.put(ROOT, path, scalar(&value))?),
            }
        }
    }
}

/// The number that shows as `value` once what was added to the field's counter is added to it.
fn base(value: &Value, increments: i64) -> Value {
    match value {
        Value::Int(value) => Value::Int(value.saturating_sub(increments)),
        Value::Float(value) => Value::Float(value - increments as f64),
        other => other.clone(),
    }
}

fn set_map(tx: &mut Transaction<'_>, slots: &Slots, path: &str, fields: &Fields) -> Result<(), EditError> {
    if slots.contains_key(path) {
        tx.delete(ROOT, path)?;
    }
    for child in children(slots, path) {
        let segment = child[path.len() + 1..].split('/').next().unwrap_or_default();
        if !fields.contains_key(&layout::unescape(segment)) {
            unset_one(tx, slots, &child)?;
        }
    }
    fields.iter().try_for_each(|(name, value)| set(tx, slots, &layout::join(path, name), value))
}

/// The paths below a path, fields and counters.
fn children(slots: &Slots, path: &str) -> BTreeSet<String> {
    let fields = slots.keys().filter(|key| layout::is_field(key)).map(String::as_str);
    let counters = slots.keys().filter_map(|key| layout::path_of(key, "~c/"));
    let below = |key: &&str| key.len() > path.len() && key.starts_with(path) && key[path.len()..].starts_with('/');
    fields.chain(counters).filter(below).map(str::to_owned).collect()
}

fn clear_children(tx: &mut Transaction<'_>, slots: &Slots, path: &str) -> Result<(), EditError> {
    children(slots, path).iter().try_for_each(|child| unset_one(tx, slots, child))
}

fn unset(tx: &mut Transaction<'_>, slots: &Slots, path: &str) -> Result<(), EditError> {
    clear_children(tx, slots, path)?;
    unset_one(tx, slots, path)
}

fn unset_one(tx: &mut Transaction<'_>, slots: &Slots, path: &str) -> Result<(), EditError> {
    if slots.contains_key(path) {
        tx.delete(ROOT, path)?;
    }
    match slots.contains_key(&layout::unset_key(path)) {
        true => forget_increments(tx, slots, path),
        false => note_increments(tx, slots, path),
    }
}

/// Lets a field's counter begin again, unless nothing was added to it.
fn forget_increments(tx: &mut Transaction<'_>, slots: &Slots, path: &str) -> Result<(), EditError> {
    match read::increments(slots, path) {
        None | Some(0) => Ok(()),
        Some(_) => note_increments(tx, slots, path),
    }
}

fn note_increments(tx: &mut Transaction<'_>, slots: &Slots, path: &str) -> Result<(), EditError> {
    match slots.get(&Root::Counter.key(path)) {
        Some(Slot::Scalar(Scalar::Increments(sum))) => Ok(tx.put(ROOT, layout::unset_key(path), *sum)?),
        _ => Ok(()),
    }
}

fn increment(tx: &mut Transaction<'_>, slots: &Slots, field: &str, by: i64) -> Result<(), EditError> {
    let path = path(field)?;
    let from = match read::field(tx, slots, &path) {
        None => 0,
        Some(Value::Int(from) | Value::Counter(from)) => from,
        Some(other) => return Err(EditError::NotNumber { field: field.to_owned(), found: kind(&other) }),
    };
    if !children(slots, &path).is_empty() {
        return Err(EditError::NotNumber { field: field.to_owned(), found: "an object" });
    }
    let to = from.checked_add(by).ok_or_else(|| EditError::Overflow { field: field.to_owned() })?;
    add(tx, &path, field, from, to)
}

fn add(tx: &mut Transaction<'_>, path: &str, field: &str, from: i64, to: i64) -> Result<(), EditError> {
    let by = to.checked_sub(from).ok_or_else(|| EditError::Overflow { field: field.to_owned() })?;
    match by {
        0 => Ok(()),
        _ => Ok(tx.increment(ROOT, Root::Counter.key(path), by)?),
    }
}

fn mark(tx: &mut Transaction<'_>, slots: &Slots, path: &str, kind: Kind) -> Result<(), EditError> {
    match slots.get(path) {
        Some(Slot::Scalar(Scalar::Mark(same))) if *same == kind => Ok(()),
        _ => Ok(tx.put(ROOT, path, ScalarValue::Bytes(vec![kind as u8]))?),
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
