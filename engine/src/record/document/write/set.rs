//! Writing sets: what is added and what is removed, and nothing else. Must not know how a set is shown.

use super::mark;
use crate::record::document::map::RootMapMut;
use crate::record::document::read::{self, Seen};
use crate::record::field::EditError;
use crate::record::json;
use crate::record::layout::{Kind, Root, set_prefix};
use crate::record::view::Value;
use automerge::ROOT;
use automerge::transaction::{Transactable, Transaction};
use std::collections::BTreeSet;

/// Adds the items that the set lacks and removes those that it has beside them, here and in the list it may have been.
pub(super) fn set(tx: &mut Transaction<'_>, seen: &Seen<'_>, path: &str, items: &[Value]) -> Result<(), EditError> {
    let wanted: BTreeSet<String> = items.iter().map(json::text).collect();
    let mut has = BTreeSet::new();
    for (key, element) in read::elements(&seen.slots, path) {
        match wanted.contains(element) {
            true => drop(has.insert(element.to_owned())),
            false => tx.delete(ROOT, key.as_str())?,
        }
    }
    let listed = read::is_listed(tx, seen, path);
    if let Some(list) = read::object(&seen.slots, Root::List, path) {
        let items = read::list(tx, list, path);
        for (index, item) in items.iter().map(json::text).enumerate().rev() {
            match wanted.contains(&item) {
                true if listed => drop(has.insert(item)),
                true => {}
                false => tx.delete(list, index)?,
            }
        }
    }
    if !listed {
        mark(tx, &seen.slots, path, Kind::Set)?;
    }
    let prefix = set_prefix(path);
    wanted.difference(&has).try_for_each(|element| Ok(tx.put(ROOT, format!("{prefix}{element}"), true)?))
}

/// Removes all elements.
pub(super) fn clear(map: &mut impl RootMapMut, seen: &Seen<'_>, path: &str) -> Result<(), EditError> {
    read::elements(&seen.slots, path).try_for_each(|(key, _)| map.erase(key))
}
