//! From a document's root map to a view. Total: whatever the map holds, there is one view of it, the same on every
//! device. Must not change anything.

use super::map::RootMap;
use super::resolve::Kept;
use crate::record::json;
use crate::record::layout::{self, BYTES_TAG, DELETED, Kind, Root};
use crate::record::rule::Rule;
use crate::record::shape::Shape;
use crate::record::view::{DEPTH_MAX, Fields, VIEW_BYTES_MAX, Value, View};
use crate::time::Timestamp;
use automerge::{ObjId, ObjType, ReadDoc, ScalarValueRef, ValueRef};
use std::cell::Cell;
use std::collections::BTreeMap;

/// A root key's winning value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot {
    Scalar(Scalar),
    Object(ObjId, ObjType),
}

/// A scalar, owned, in the document's own terms.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Plain(Value),
    Mark(Kind),
    Increments(i64),
}

/// All root keys, in order.
pub(super) type Slots = BTreeMap<String, Slot>;

/// A document as reading and writing see it.
#[derive(Clone)]
pub(super) struct Seen<'s> {
    pub(super) slots: Slots,
    pub(super) shape: &'s Shape,
    pub(super) kept: Kept,
}

impl Seen<'static> {
    /// As it is without a schema.
    pub(super) fn plain(doc: &impl RootMap) -> Self {
        Self { slots: doc.slots(), shape: Shape::none(), kept: Kept::new() }
    }
}

/// What there is still room for in a view, in bytes. Once something did not fit, nothing does.
pub(super) struct Room(Cell<usize>);

impl Room {
    fn new() -> Self {
        Self(Cell::new(VIEW_BYTES_MAX))
    }

    fn take(&self, bytes: usize) -> bool {
        let left = self.0.get().checked_sub(bytes + 16);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Lists and maps take theirs before what is in them.
    pub(super) fn take_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) | Value::Text(text) => self.take(text.len()),
            Value::Bytes(bytes) => self.take(bytes.len()),
            Value::List(_) | Value::Map(_) => true,
            _ => self.take(0),
        }
    }

    /// A value with all that is in it.
    fn take_all(&self, value: &Value) -> bool {
        let inside = match value {
            Value::List(items) => items.iter().all(|item| self.take_all(item)),
            Value::Map(fields) => fields.iter().all(|(name, item)| self.take(name.len()) && self.take_all(item)),
            _ => true,
        };
        inside && (self.take_value(value) && (!matches!(value, Value::List(_) | Value::Map(_)) || self.take(0)))
    }
}

pub(super) fn view(doc: &impl RootMap, kept: Kept, shape: &Shape) -> View {
    let seen = Seen { slots: doc.slots(), shape, kept };
    let slots = &seen.slots;
    let room = Room::new();
    let mut fields = Fields::new();
    let counters = slots.keys().filter_map(|key| layout::path_of(key, "~c/"));
    let sets = slots.keys().filter_map(|key| layout::set_path(key));
    let plain = slots.keys().filter(|key| layout::is_field(key)).map(String::as_str);
    let mut paths: Vec<&str> = plain.chain(counters).chain(sets).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let fits = path.split('/').all(|name| room.take(name.len()));
        if let Some(value) = field_within(doc, &seen, path, &room).filter(|value| fits && room.take_value(value)) {
            place(&mut fields, path, value);
        }
    }
    View { fields, deleted: slots.contains_key(DELETED) }
}

/// The value at a path, without what lies in its children.
pub(super) fn field(doc: &impl RootMap, seen: &Seen<'_>, path: &str) -> Option<Value> {
    field_within(doc, seen, path, &Room::new())
}

fn field_within(doc: &impl RootMap, seen: &Seen<'_>, path: &str, room: &Room) -> Option<Value> {
    stored(doc, seen, path, room).map(|value| seen.shape.shown(path, value))
}

fn stored(doc: &impl RootMap, seen: &Seen<'_>, path: &str, room: &Room) -> Option<Value> {
    let slots = &seen.slots;
    let plain = match slots.get(path) {
        Some(Slot::Scalar(_)) if seen.kept.contains_key(path) => seen.kept.get(path).cloned(),
        _ if is_set(seen, path) => match set_items(doc, seen, path, room) {
            None => plain(slots, path),
            items => items,
        },
        Some(Slot::Scalar(Scalar::Mark(Kind::List))) => Some(match object(slots, Root::List, path) {
            Some(list) => Value::List(doc.items(list, layout::depth(path), room)),
            None => Value::List(Vec::new()),
        }),
        Some(Slot::Scalar(Scalar::Mark(Kind::Text))) => {
            let text = object(slots, Root::Text, path).and_then(|text| doc.prose(text));
            Some(Value::Text(text.unwrap_or_default()))
        }
        _ => plain(slots, path),
    };
    let Some(increments) = increments(slots, path) else { return plain };
    match plain {
        None if increments == 0 && slots.contains_key(&layout::unset_key(path)) => None,
        None => Some(Value::Counter(increments)),
        Some(base) => Some(match shown(base, increments) {
            Value::Int(sum) => Value::Counter(sum),
            other => other,
        }),
    }
}

/// What a field holds that needs no object.
fn plain(slots: &Slots, path: &str) -> Option<Value> {
    match slots.get(path) {
        Some(Slot::Scalar(Scalar::Plain(value))) => Some(value.clone()),
        Some(Slot::Scalar(Scalar::Increments(number))) => Some(Value::Int(*number)),
        Some(Slot::Scalar(Scalar::Mark(Kind::EmptyMap))) => Some(Value::Map(Fields::new())),
        _ => None,
    }
}

/// Whether the field at a path is read and written as a set: by its rule, or because it is one.
pub(super) fn is_set(seen: &Seen<'_>, path: &str) -> bool {
    match seen.slots.get(path) {
        Some(Slot::Scalar(Scalar::Mark(Kind::Set))) => true,
        _ if *seen.shape.rule(path) == Rule::Set => true,
        None | Some(Slot::Scalar(Scalar::Mark(Kind::List))) => elements(&seen.slots, path).next().is_some(),
        Some(_) => false,
    }
}

/// The keys of a set's elements, with each element's JSON text.
pub(super) fn elements<'s>(slots: &'s Slots, path: &str) -> impl Iterator<Item = (&'s String, &'s str)> {
    let has_sets = slots.range(layout::SETS.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(layout::SETS));
    let of_set = has_sets.then(|| {
        let prefix = layout::set_prefix(path);
        let from = slots.range(prefix.clone()..).map(|(key, _)| key);
        from.map_while(move |key| Some((key, key.strip_prefix(&prefix)?)))
    });
    of_set.into_iter().flatten()
}

/// Whether the field at a path is marked as a list or a set, on one device at least.
pub(super) fn is_listed(doc: &impl RootMap, seen: &Seen<'_>, path: &str) -> bool {
    let lists = |mark: &Scalar| matches!(mark, Scalar::Mark(Kind::List | Kind::Set));
    match seen.slots.get(path) {
        None => false,
        Some(Slot::Scalar(mark)) if lists(mark) => true,
        Some(_) => doc.scalars(path).iter().any(lists),
    }
}

/// A set's elements, in order; `None` when there is no set.
fn set_items(doc: &impl RootMap, seen: &Seen<'_>, path: &str, room: &Room) -> Option<Value> {
    let listed = is_listed(doc, seen, path);
    let mut all: Vec<_> = elements(&seen.slots, path).filter_map(|(_, text)| json::element(text)).collect();
    if !listed && all.is_empty() {
        return None;
    }
    if let Some(list) = object(&seen.slots, Root::List, path).filter(|_| listed) {
        let items = doc.items(list, layout::depth(path), &Room::new()).into_iter();
        all.extend(items.filter_map(|item| json::element(&json::text(&item))));
    }
    let all = json::elements(&all).unwrap_or_default();
    Some(Value::List(all.into_iter().take_while(|item| room.take_all(item)).collect()))
}

/// What a field shows that holds `base` and to whose counter `increments` were added.
pub(super) fn shown(base: Value, increments: i64) -> Value {
    match base {
        Value::Int(base) => Value::Int(base.saturating_add(increments)),
        Value::Float(base) => Value::Float(base + increments as f64),
        other => other,
    }
}

/// What was added to the counter at a path since it was last unset; `None` where there is no counter.
pub(super) fn increments(slots: &Slots, path: &str) -> Option<i64> {
    let Some(Slot::Scalar(Scalar::Increments(sum))) = slots.get(&Root::Counter.key(path)) else { return None };
    let unset = match slots.get(&layout::unset_key(path)) {
        Some(Slot::Scalar(Scalar::Plain(Value::Int(unset)))) => *unset,
        _ => 0,
    };
    Some(sum.saturating_sub(unset))
}

/// The list or text of a path.
pub(super) fn object<'a>(slots: &'a Slots, root: Root, path: &str) -> Option<&'a ObjId> {
    let wanted = if root == Root::List { ObjType::List } else { ObjType::Text };
    match slots.get(&root.key(path)) {
        Some(Slot::Object(id, kind)) if *kind == wanted => Some(id),
        _ => None,
    }
}

fn place(fields: &mut Fields, path: &str, value: Value) {
    let segments: Vec<_> = path.split('/').map(layout::unescape).collect();
    let Some((last, maps)) = segments.split_last() else { return };
    if maps.len() >= DEPTH_MAX {
        return;
    }
    let mut map = fields;
    for name in maps {
        let entry = map.entry(name.clone().into_owned()).or_insert_with(|| Value::Map(Fields::new()));
        if !matches!(entry, Value::Map(_)) {
            *entry = Value::Map(Fields::new());
        }
        match entry {
            Value::Map(inside) => map = inside,
            _ => return,
        }
    }
    map.insert(last.clone().into_owned(), value);
}

pub(super) fn scalar(scalar: &ScalarValueRef<'_>) -> Scalar {
    Scalar::Plain(match scalar {
        ScalarValueRef::Null => Value::Null,
        ScalarValueRef::Boolean(value) => Value::Bool(*value),
        ScalarValueRef::Int(value) => Value::Int(*value),
        ScalarValueRef::Uint(value) => i64::try_from(*value).map_or(Value::Uint(*value), Value::Int),
        ScalarValueRef::F64(value) => Value::Float(*value),
        ScalarValueRef::Str(value) => Value::String(value.to_string()),
        ScalarValueRef::Timestamp(unix_ms) => Value::Timestamp(Timestamp { unix_ms: *unix_ms }),
        ScalarValueRef::Counter(value) => return Scalar::Increments(*value),
        ScalarValueRef::Bytes(bytes) => match (Kind::from_bytes(bytes), bytes.split_first()) {
            (Some(kind), _) => return Scalar::Mark(kind),
            (None, Some((&BYTES_TAG, own))) => Value::Bytes(own.to_vec()),
            (None, _) => Value::Bytes(bytes.to_vec()),
        },
        ScalarValueRef::Unknown { bytes, .. } => Value::Bytes(bytes.to_vec()),
    })
}

/// A list's items.
pub(super) fn list(doc: &impl RootMap, list: &ObjId, path: &str) -> Vec<Value> {
    doc.items(list, layout::depth(path), &Room::new())
}

pub(super) fn items(doc: &impl ReadDoc, list: &ObjId, depth: usize, room: &Room) -> Vec<Value> {
    doc.list_range(list, ..).map_while(|item| inside(doc, &item.value, &item.id(), depth, room)).collect()
}

/// The items of a list in which there are no objects; `None` if there are.
pub(super) fn plain_items(doc: &impl ReadDoc, list: &ObjId) -> Option<Vec<Value>> {
    let item = |value: &ValueRef<'_>| match value {
        ValueRef::Scalar(scalar) => Some(item(scalar)),
        ValueRef::Object(_) => None,
    };
    doc.list_range(list, ..).map(|found| item(&found.value)).collect()
}

/// A scalar as a list shows it.
pub(super) fn item(scalar: &ScalarValueRef<'_>) -> Value {
    match self::scalar(scalar) {
        Scalar::Plain(value) => value,
        Scalar::Increments(number) => Value::Int(number),
        Scalar::Mark(_) => Value::Null,
    }
}

/// A value in a list; `None` when there is no room for it.
fn inside(doc: &impl ReadDoc, value: &ValueRef<'_>, id: &ObjId, depth: usize, room: &Room) -> Option<Value> {
    let value = match value {
        ValueRef::Scalar(scalar) => item(scalar),
        ValueRef::Object(_) if depth >= DEPTH_MAX => Value::Null,
        ValueRef::Object(ObjType::List | ObjType::Map | ObjType::Table) if !room.take(0) => return None,
        ValueRef::Object(ObjType::List) => Value::List(items(doc, id, depth + 1, room)),
        ValueRef::Object(ObjType::Text) => Value::String(doc.text(id).unwrap_or_default()),
        ValueRef::Object(ObjType::Map | ObjType::Table) => Value::Map(
            doc.map_range(id, ..)
                .take_while(|item| room.take(item.key.len()))
                .filter_map(|item| Some((item.key.to_string(), inside(doc, &item.value, &item.id(), depth + 1, room)?)))
                .collect(),
        ),
    };
    room.take_value(&value).then_some(value)
}
