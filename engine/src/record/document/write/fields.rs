//! Writing fields: what a value, an increment and a removal do to the keys of a root map. Must not know transactions over
//! several records, nor history.

use super::{list, object, path, scalar, set};
use crate::record::document::map::{RootMap, RootMapMut};
use crate::record::document::read::{self, Scalar, Seen, Slot};
use crate::record::field::{EditError, kind};
use crate::record::layout::{self, Kind, Root};
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::transaction::{Transactable, Transaction};
use automerge::{ReadDoc, ScalarValue};
use std::collections::BTreeSet;

/// Sets the given fields; those that count are left alone unless `counters`.
pub(super) fn set_fields(
    map: &mut impl RootMapMut,
    seen: &Seen<'_>,
    fields: &Fields,
    counters: bool,
) -> Result<(), EditError> {
    for (name, value) in fields {
        let path = layout::join("", name);
        match read::field(map, seen, &path) {
            Some(Value::Counter(_)) if !counters => {}
            _ => set(map, seen, &path, value)?,
        }
    }
    Ok(())
}

/// Makes a field show a value.
pub(super) fn set(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str, value: &Value) -> Result<(), EditError> {
    let slots = &seen.slots;
    let shows = read::field(map, seen, path);
    if is_same(seen, path, shows.as_ref(), value) {
        return Ok(());
    }
    match value {
        Value::Map(fields) if !fields.is_empty() => return set_map(map, seen, path, fields),
        Value::Float(float) if !float.is_finite() => return Err(EditError::NotFinite { field: path.to_owned() }),
        _ => clear_children(map, seen, path)?,
    }
    if !matches!(value, Value::List(_)) {
        set::clear(map, seen, path)?;
    }
    match (value, shows) {
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(_))) if planted!(CounterSet) => {
            forget_increments(map, seen, path)?;
            map.write(path, scalar(&Value::Int(*to)))
        }
        (Value::Int(to) | Value::Counter(to), Some(Value::Counter(from))) => add(map, path, path, from, *to),
        (Value::Counter(to), shows) => {
            let from = match shows {
                Some(Value::Int(from)) => from,
                None => 0,
                Some(_) => {
                    map.erase(path)?;
                    read::increments(slots, path).unwrap_or(0)
                }
            };
            add(map, path, path, from, *to)
        }
        (Value::List(items), _) if read::is_set(seen, path) => map.whole(|tx| set::set(tx, seen, path, items)),
        (Value::List(items), _) => set_list(map, slots, path, items),
        (Value::Text(text), _) => map.whole(|tx| set_text(tx, slots, path, text)),
        (Value::Map(_), _) => mark(map, slots, path, Kind::EmptyMap),
        (wanted, _) => {
            let increments = read::increments(slots, path).unwrap_or(0);
            let mut value = base(wanted, increments);
            // A fraction or an extreme may not come out as it was.
            if read::shown(value.clone(), increments) != *wanted {
                forget_increments(map, seen, path)?;
                value = wanted.clone();
            }
            match slots.get(path) {
                Some(Slot::Scalar(Scalar::Plain(same))) if *same == value => Ok(()),
                _ => map.write(path, scalar(&value)),
            }
        }
    }
}

fn set_list(map: &mut impl RootMapMut, slots: &read::Slots, path: &str, items: &[Value]) -> Result<(), EditError> {
    mark(map, slots, path, Kind::List)?;
    let shallow = layout::depth(path) < DEPTH_MAX;
    let plain = |item: &Value| (shallow && !matches!(item, Value::List(_) | Value::Map(_))).then(|| scalar(item));
    match items.iter().map(plain).collect::<Option<Vec<_>>>() {
        Some(items) if map.first_items(&Root::List.key(path), &items) => Ok(()),
        _ => map.whole(|tx| list::fill(tx, slots, path, items)),
    }
}

fn set_text(tx: &mut Transaction<'_>, slots: &read::Slots, path: &str, text: &str) -> Result<(), EditError> {
    mark(tx, slots, path, Kind::Text)?;
    let object = object(tx, Root::Text, path)?;
    match tx.text(&object)? == *text {
        true => Ok(()),
        false => Ok(tx.update_text(&object, text)?),
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

fn set_map(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str, fields: &Fields) -> Result<(), EditError> {
    if seen.slots.contains_key(path) {
        map.erase(path)?;
    }
    set::clear(map, seen, path)?;
    for child in children(seen, path) {
        let segment = child[path.len() + 1..].split('/').next().unwrap_or_default();
        if !fields.contains_key(&*layout::unescape(segment)) && !is_kept(map, seen, &child) {
            unset_one(map, seen, &child)?;
        }
    }
    fields.iter().try_for_each(|(name, value)| set(map, seen, &layout::join(path, name), value))
}

/// Whether the field at a path holds something that its rule keeps.
fn is_kept(map: &impl RootMap, seen: &Seen<'_>, path: &str) -> bool {
    seen.shape.rule(path).keeps() && read::field(map, seen, path).is_some_and(|value| value != Value::Null)
}

/// The paths below a path: fields, counters and sets.
pub(in crate::record::document) fn children(seen: &Seen<'_>, path: &str) -> BTreeSet<String> {
    let slots = &seen.slots;
    let fields = slots.keys().filter(|key| layout::is_field(key)).map(String::as_str);
    let counters = slots.keys().filter_map(|key| layout::path_of(key, "~c/"));
    let below = |key: &&str| key.len() > path.len() && key.starts_with(path) && key[path.len()..].starts_with('/');
    let sets = slots.keys().filter_map(|key| layout::set_path(key));
    fields.chain(counters).chain(sets).filter(below).map(str::to_owned).collect()
}

pub(in crate::record::document) fn clear_children(
    map: &mut impl RootMapMut,
    seen: &Seen<'_>,
    path: &str,
) -> Result<(), EditError> {
    children(seen, path).iter().try_for_each(|child| unset_one(map, seen, child))
}

/// Removes a field with all below it.
pub(super) fn unset(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    clear_children(map, seen, path)?;
    unset_one(map, seen, path)
}

fn unset_one(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    if is_kept(map, seen, path) {
        return Err(seen.shape.kept(path));
    }
    if seen.slots.contains_key(path) {
        map.erase(path)?;
    }
    set::clear(map, seen, path)?;
    match seen.slots.contains_key(&layout::unset_key(path)) {
        true => forget_increments(map, seen, path),
        false => note_increments(map, seen, path),
    }
}

/// Lets a field's counter begin again, unless nothing was added to it.
fn forget_increments(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    match read::increments(&seen.slots, path) {
        None | Some(0) => Ok(()),
        Some(_) => note_increments(map, seen, path),
    }
}

fn note_increments(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    match seen.slots.get(&Root::Counter.key(path)) {
        Some(Slot::Scalar(Scalar::Increments(sum))) => map.write(&layout::unset_key(path), *sum),
        _ => Ok(()),
    }
}

/// Adds to a field's counter.
pub(super) fn increment(map: &mut impl RootMapMut, seen: &Seen<'_>, field: &str, by: i64) -> Result<(), EditError> {
    let path = path(field)?;
    let from = match read::field(map, seen, &path) {
        None => 0,
        Some(Value::Int(from) | Value::Counter(from)) => from,
        Some(other) => return Err(EditError::NotNumber { field: field.to_owned(), found: kind(&other) }),
    };
    if !children(seen, &path).is_empty() {
        return Err(EditError::NotNumber { field: field.to_owned(), found: "an object" });
    }
    let to = from.checked_add(by).ok_or_else(|| EditError::Overflow { field: field.to_owned() })?;
    add(map, &path, field, from, to)
}

fn add(map: &mut impl RootMapMut, path: &str, field: &str, from: i64, to: i64) -> Result<(), EditError> {
    let by = to.checked_sub(from).ok_or_else(|| EditError::Overflow { field: field.to_owned() })?;
    match by {
        0 => Ok(()),
        _ => map.add(&Root::Counter.key(path), by),
    }
}

/// Says that the field's content lies elsewhere.
pub(super) fn mark(map: &mut impl RootMapMut, slots: &read::Slots, path: &str, kind: Kind) -> Result<(), EditError> {
    match slots.get(path) {
        Some(Slot::Scalar(Scalar::Mark(same))) if *same == kind => Ok(()),
        _ => map.write(path, ScalarValue::Bytes(vec![kind as u8])),
    }
}
