//! From edits to changes. Must not know how a view is put together.

mod list;
mod plant;
mod set;
mod undo;

use super::Document;
use super::conflict;
use super::read::{self, Scalar, Seen, Slot};
use super::resolve::{self, Kept};
use crate::change::{Change, ChangeFault};
use crate::id::{ActorId, DERIVED_ACTOR_BYTES};
use crate::record::field::{EditError, FieldEdit, kind};
use crate::record::layout::{self, BYTES_TAG, DELETED, Kind, Root};
use crate::record::shape::Shape;
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{AutomergeError, ObjId, ROOT, ReadDoc, ScalarValue};
use std::collections::BTreeSet;
use undo::Deeds;

pub(super) use undo::left;

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
    let done = edits.iter().try_for_each(|edit| step(&mut tx, &deeds, edit, shape, &kept));
    let done = done.and_then(|()| if fresh { fill(&mut tx, shape, &kept) } else { Ok(()) });
    if let Err(error) = done.and_then(|()| check_required(&tx, shape, &kept, fresh, &had)) {
        tx.rollback();
        return Err(error);
    }
    if fresh && matches!(edits, [FieldEdit::Set(_)]) {
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
    step(&mut tx, &Deeds::new(), &edits[0], shape, &kept)?;
    fill(&mut tx, shape, &kept)?;
    check_required(&tx, shape, &kept, true, &BTreeSet::new())?;
    begin(&mut tx)?;
    tx.commit_with(CommitOptions::default().with_time(0));
    changes.push(plant::derive(&mut document, plant::last_change(&scratch.doc)?)?);
    Ok((document, changes))
}

/// Gives a new record the defaults of what it was not given.
fn fill(tx: &mut Transaction<'_>, shape: &Shape, kept: &Kept) -> Result<(), EditError> {
    let mut defaults = shape.defaults().peekable();
    if defaults.peek().is_none() {
        return Ok(());
    }
    let seen = look(tx, shape, kept);
    for (path, value) in defaults {
        let above = path.match_indices('/').any(|(at, _)| read::field(tx, &seen, &path[..at]).is_some());
        let there = read::field(tx, &seen, path).is_some() || !children(&seen, path).is_empty();
        if !above && !there {
            set(tx, &seen, path, &value)?;
        }
    }
    Ok(())
}

/// What a transaction sees.
fn look<'s>(tx: &Transaction<'_>, shape: &'s Shape, kept: &Kept) -> Seen<'s> {
    Seen { slots: read::slots(tx), shape, kept: resolve::kept_since(kept, tx, shape) }
}

/// Those of the required fields that hold something.
fn present<'s>(doc: &impl ReadDoc, kept: &Kept, shape: &'s Shape) -> BTreeSet<&'s str> {
    let mut required = shape.required().peekable();
    if required.peek().is_none() {
        return BTreeSet::new();
    }
    let seen = Seen { slots: read::slots(doc), shape, kept: resolve::kept_since(kept, doc, shape) };
    let holds = |path: &&str| {
        let value = read::field(doc, &seen, path);
        value.is_some_and(|value| value != Value::Null) || !children(&seen, path).is_empty()
    };
    required.filter(holds).collect()
}

/// A new record has all that is required, another one all that it had.
fn check_required(
    tx: &Transaction<'_>,
    shape: &Shape,
    kept: &Kept,
    fresh: bool,
    had: &BTreeSet<&str>,
) -> Result<(), EditError> {
    let has = present(tx, kept, shape);
    let lost = |path: &&str| !has.contains(path) && (fresh || had.contains(path));
    shape.required().find(lost).map_or(Ok(()), |path| Err(shape.missing(path)))
}

/// A record without fields exists by the undoing of a deletion that never was.
fn begin(tx: &mut Transaction<'_>) -> Result<(), EditError> {
    if tx.pending_ops() == 0 {
        tx.put(ROOT, DELETED, true)?;
        tx.delete(ROOT, DELETED)?;
    }
    Ok(())
}

/// The path of a field given by name or as a JSON Pointer.
pub(super) fn path(field: &str) -> Result<String, EditError> {
    if field.strip_prefix('/').is_some_and(|pointer| pointer.split('/').count() > DEPTH_MAX) {
        return Err(EditError::TooDeep);
    }
    layout::path(field).ok_or_else(|| EditError::BadField { field: field.to_owned() })
}

fn step(
    tx: &mut Transaction<'_>,
    deeds: &Deeds,
    edit: &FieldEdit,
    shape: &Shape,
    kept: &Kept,
) -> Result<(), EditError> {
    let seen = look(tx, shape, kept);
    let deleted = seen.slots.contains_key(DELETED);
    if deleted && !matches!(edit, FieldEdit::Delete | FieldEdit::Restore | FieldEdit::Undo { .. }) {
        return Err(EditError::Deleted);
    }
    match edit {
        FieldEdit::Set(fields) => set_fields(tx, &seen, fields, true),
        FieldEdit::Import(fields) => set_fields(tx, &seen, fields, false),
        FieldEdit::Increment { field, by } => increment(tx, &seen, field, *by),
        FieldEdit::Unset { field } => unset(tx, &seen, &path(field)?),
        // The store has put the number in its place.
        FieldEdit::Number { field, .. } => Err(EditError::BadField { field: field.clone() }),
        FieldEdit::Delete if deleted => Ok(()),
        FieldEdit::Delete => Ok(tx.put(ROOT, DELETED, true)?),
        FieldEdit::Restore if deleted => Ok(tx.delete(ROOT, DELETED)?),
        FieldEdit::Restore => Ok(()),
        FieldEdit::Choose { field, change } => conflict::choose(tx, field, *change),
        FieldEdit::Undo { change, except } => undo::take_back(tx, deeds, *change, except),
    }
}

fn set_fields(tx: &mut Transaction<'_>, seen: &Seen<'_>, fields: &Fields, counters: bool) -> Result<(), EditError> {
    for (name, value) in fields {
        let path = layout::join("", name);
        match read::field(tx, seen, &path) {
            Some(Value::Counter(_)) if !counters => {}
            _ => set(tx, seen, &path, value)?,
        }
    }
    Ok(())
}

fn set(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str, value: &Value) -> Result<(), EditError> {
    let slots = &seen.slots;
    let shows = read::field(tx, seen, path);
    if is_same(seen, path, shows.as_ref(), value) {
        return Ok(());
    }
    match value {
        Value::Map(fields) if !fields.is_empty() => return set_map(tx, seen, path, fields),
        Value::Float(float) if !float.is_finite() => return Err(EditError::NotFinite { field: path.to_owned() }),
        _ => clear_children(tx, seen, path)?,
    }
    if !matches!(value, Value::List(_)) {
        set::clear(tx, seen, path)?;
    }
    match (value, shows) {
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(_))) if planted!(CounterSet) => {
            forget_increments(tx, seen, path)?;
            Ok(tx.put(ROOT, path, scalar(&Value::Int(*to)))?)
        }
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(from))) => add(tx, path, path, from, *to),
        (Value::Counter(to), shows) => {
            let from = match shows {
                Some(Value::Int(from)) => from,
                None => 0,
                Some(_) => {
                    tx.delete(ROOT, path)?;
                    read::increments(slots, path).unwrap_or(0)
                }
            };
            add(tx, path, path, from, *to)
        }
        (Value::List(items), _) if read::is_set(seen, path) => set::set(tx, seen, path, items),
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
                forget_increments(tx, seen, path)?;
                value = wanted.clone();
            }
            match slots.get(path) {
                Some(Slot::Scalar(Scalar::Plain(same))) if *same == value => Ok(()),
                _ => Ok(tx.put(ROOT, path, scalar(&value))?),
            }
        }
    }
}

/// Whether setting a value changes nothing, because it is there or because the field's rule keeps what is there.
fn is_same(seen: &Seen<'_>, path: &str, shows: Option<&Value>, value: &Value) -> bool {
    let (Some(field), Some(shows)) = (seen.shape.field(path), shows) else { return false };
    let kept = field.rule.keeps() && field.fit(shows).is_some() && !field.rule.moves(shows, value);
    kept || (shows == value && children(seen, path).is_empty())
}

/// The number that shows as `value` once what was added to the field's counter is added to it.
fn base(value: &Value, increments: i64) -> Value {
    match value {
        Value::Int(value) => Value::Int(value.saturating_sub(increments)),
        Value::Float(value) => Value::Float(value - increments as f64),
        other => other.clone(),
    }
}

fn set_map(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str, fields: &Fields) -> Result<(), EditError> {
    if seen.slots.contains_key(path) {
        tx.delete(ROOT, path)?;
    }
    set::clear(tx, seen, path)?;
    for child in children(seen, path) {
        let segment = child[path.len() + 1..].split('/').next().unwrap_or_default();
        if !fields.contains_key(&layout::unescape(segment)) && !is_kept(tx, seen, &child) {
            unset_one(tx, seen, &child)?;
        }
    }
    fields.iter().try_for_each(|(name, value)| set(tx, seen, &layout::join(path, name), value))
}

/// Whether the field at a path holds something that its rule keeps.
fn is_kept(tx: &Transaction<'_>, seen: &Seen<'_>, path: &str) -> bool {
    seen.shape.rule(path).keeps() && read::field(tx, seen, path).is_some_and(|value| value != Value::Null)
}

/// The paths below a path: fields, counters and sets.
pub(super) fn children(seen: &Seen<'_>, path: &str) -> BTreeSet<String> {
    let slots = &seen.slots;
    let fields = slots.keys().filter(|key| layout::is_field(key)).map(String::as_str);
    let counters = slots.keys().filter_map(|key| layout::path_of(key, "~c/"));
    let below = |key: &&str| key.len() > path.len() && key.starts_with(path) && key[path.len()..].starts_with('/');
    let sets = slots.keys().filter_map(|key| layout::set_path(key));
    fields.chain(counters).chain(sets).filter(below).map(str::to_owned).collect()
}

pub(super) fn clear_children(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    children(seen, path).iter().try_for_each(|child| unset_one(tx, seen, child))
}

fn unset(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    clear_children(tx, seen, path)?;
    unset_one(tx, seen, path)
}

fn unset_one(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    if is_kept(tx, seen, path) {
        return Err(seen.shape.kept(path));
    }
    if seen.slots.contains_key(path) {
        tx.delete(ROOT, path)?;
    }
    set::clear(tx, seen, path)?;
    match seen.slots.contains_key(&layout::unset_key(path)) {
        true => forget_increments(tx, seen, path),
        false => note_increments(tx, seen, path),
    }
}

/// Lets a field's counter begin again, unless nothing was added to it.
fn forget_increments(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    match read::increments(&seen.slots, path) {
        None | Some(0) => Ok(()),
        Some(_) => note_increments(tx, seen, path),
    }
}

fn note_increments(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    match seen.slots.get(&Root::Counter.key(path)) {
        Some(Slot::Scalar(Scalar::Increments(sum))) => Ok(tx.put(ROOT, layout::unset_key(path), *sum)?),
        _ => Ok(()),
    }
}

fn increment(tx: &mut Transaction<'_>, seen: &Seen<'_>, field: &str, by: i64) -> Result<(), EditError> {
    let path = path(field)?;
    let from = match read::field(tx, seen, &path) {
        None => 0,
        Some(Value::Int(from) | Value::Counter(from)) => from,
        Some(other) => return Err(EditError::NotNumber { field: field.to_owned(), found: kind(&other) }),
    };
    if !children(seen, &path).is_empty() {
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

fn mark(tx: &mut Transaction<'_>, slots: &read::Slots, path: &str, kind: Kind) -> Result<(), EditError> {
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
