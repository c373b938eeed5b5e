//! What a record's history and its concurrent values are, in the terms of fields. Must not know documents, storage or
//! device names.

use super::view::{Fields, Value, View};
use crate::change::message::Message;
use crate::id::{ActorId, ChangeHash};
use std::collections::BTreeMap;

/// One change of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its hash.
    pub change: ChangeHash,
    /// Who made it.
    pub actor: ActorId,
    /// When, in seconds since the Unix epoch: by the author's clock, and not before what it follows. A derived change
    /// counts as made with the first ordinary one that follows it; `None` when none does.
    pub made_s: Option<i64>,
    /// Its label and its transaction.
    pub message: Message,
    /// Whether there was no record before, as the author saw it.
    pub created: bool,
    /// What it did to the deletion mark, if anything: `true` deleted, `false` restored.
    pub deleted: Option<bool>,
    /// The fields it changed, by name or JSON Pointer.
    pub fields: BTreeMap<String, Difference>,
}

/// A field before and after a change, as its author saw it; `None` where it was absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Before.
    pub before: Option<Value>,
    /// After.
    pub after: Option<Value>,
}

/// One of a field's concurrent values.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The value.
    pub value: Value,
    /// The change that set it.
    pub change: ChangeHash,
}

/// What differs between two views, by name or JSON Pointer; maps are compared field by field.
pub(super) fn differences(before: &View, after: &View) -> BTreeMap<String, Difference> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten(&before.fields, "", &mut old);
    flatten(&after.fields, "", &mut new);
    let mut fields = BTreeMap::new();
    for (path, value) in &old {
        if new.get(path) != Some(value) {
            let difference = Difference { before: Some((*value).clone()), after: new.get(path).map(|v| (*v).clone()) };
            fields.insert(name(path), difference);
        }
    }
    for (path, value) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        fields.insert(name(path), Difference { before: None, after: Some((*value).clone()) });
    }
    fields
}

fn flatten<'a>(fields: &'a Fields, pointer: &str, out: &mut BTreeMap<String, &'a Value>) {
    for (name, value) in fields {
        let path = format!("{pointer}{}", pointer_to(name));
        match value {
            Value::Map(inside) if !inside.is_empty() => flatten(inside, &path, out),
            value => drop(out.insert(path, value)),
        }
    }
}

/// A JSON Pointer as it is typed: a field at the top by its name, unless that begins with a slash or is empty.
pub(super) fn name(pointer: &str) -> String {
    let plain = pointer.strip_prefix('/').filter(|rest| !rest.is_empty() && !rest.contains(['/', '~']));
    plain.unwrap_or(pointer).to_owned()
}

/// The JSON Pointer of a field given by name or JSON Pointer.
pub(super) fn pointer(field: &str) -> String {
    if field.starts_with('/') { field.to_owned() } else { pointer_to(field) }
}

fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// About how much memory values take, in bytes.
pub(super) fn weight(value: &Value) -> usize {
    16 + match value {
        Value::String(text) | Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        _ => 0,
    }
}
