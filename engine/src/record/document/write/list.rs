//! Writing lists and what is in them. Must not know counters or merging texts: in a list both are plain values.

use super::{object, scalar};
use crate::record::document::read::{self, Slots};
use crate::record::field::EditError;
use crate::record::layout::{self, Root};
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ObjType};

/// Changes a list as little as possible, whether the field is one now or not: what is alike at both ends stays.
pub(super) fn fill(tx: &mut Transaction<'_>, slots: &Slots, path: &str, items: &[Value]) -> Result<(), EditError> {
    let seen = match read::object(slots, Root::List, path) {
        Some(list) => read::list(tx, list, path),
        None => Vec::new(),
    };
    let list = object(tx, Root::List, path)?;
    let items: Vec<_> = items.iter().map(in_list).collect();
    let front = seen.iter().zip(&items).take_while(|(a, b)| a == b).count();
    let back = seen[front..].iter().rev().zip(items[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    for index in (front..seen.len() - back).rev() {
        tx.delete(&list, index)?;
    }
    for (offset, item) in items[front..items.len() - back].iter().enumerate() {
        insert(tx, &list, front + offset, item, layout::depth(path))?;
    }
    Ok(())
}

/// A value as a list shows it again: counters and texts in it are plain ones.
fn in_list(value: &Value) -> Value {
    match value {
        Value::Counter(number) => Value::Int(*number),
        Value::Text(text) => Value::String(text.clone()),
        Value::Uint(number) => i64::try_from(*number).map_or(Value::Uint(*number), Value::Int),
        Value::List(items) => Value::List(items.iter().map(in_list).collect()),
        Value::Map(fields) => Value::Map(fields.iter().map(|(name, value)| (name.clone(), in_list(value))).collect()),
        value => value.clone(),
    }
}

fn insert(tx: &mut Transaction<'_>, list: &ObjId, index: usize, value: &Value, depth: usize) -> Result<(), EditError> {
    match value {
        _ if depth >= DEPTH_MAX => Err(EditError::TooDeep),
        Value::List(items) => {
            let inside = tx.insert_object(list, index, ObjType::List)?;
            fill_list(tx, &inside, items, depth + 1)
        }
        Value::Map(fields) => {
            let inside = tx.insert_object(list, index, ObjType::Map)?;
            fill_map(tx, &inside, fields, depth + 1)
        }
        value => Ok(tx.insert(list, index, scalar(value))?),
    }
}

fn fill_list(tx: &mut Transaction<'_>, list: &ObjId, items: &[Value], depth: usize) -> Result<(), EditError> {
    items.iter().enumerate().try_for_each(|(index, item)| insert(tx, list, index, item, depth))
}

fn fill_map(tx: &mut Transaction<'_>, map: &ObjId, fields: &Fields, depth: usize) -> Result<(), EditError> {
    for (name, value) in fields {
        match value {
            _ if depth >= DEPTH_MAX => return Err(EditError::TooDeep),
            Value::List(items) => {
                let inside = tx.put_object(map, name.as_str(), ObjType::List)?;
                fill_list(tx, &inside, items, depth + 1)?;
            }
            Value::Map(fields) => {
                let inside = tx.put_object(map, name.as_str(), ObjType::Map)?;
                fill_map(tx, &inside, fields, depth + 1)?;
            }
            value => tx.put(map, name.as_str(), scalar(value))?,
        }
    }
    Ok(())
}
