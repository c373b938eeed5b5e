//! Derived changes that go before an edit's own: the beginnings of counters, lists and texts, and joins of many heads. Must
//! not know what an edit does with them.

use super::path;
use crate::change::{Change, DEPS_MAX, Parts};
use crate::id::{ACTOR_BYTES, ActorId, DERIVED_ACTOR_BYTES};
use crate::record::document::map::RootMap;
use crate::record::document::read::{self, Scalar, Seen, Slot};
use crate::record::document::resolve::Kept;
use crate::record::document::{Document, foreign, sorted_heads};
use crate::record::field::{EditError, FieldEdit};
use crate::record::layout::{self, Root};
use crate::record::rule::Rule;
use crate::record::shape::Shape;
use crate::record::view::{DEPTH_MAX, Fields, Value};
use automerge::legacy::{Key, ObjectId, Op, OpType, SortedVec};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue};
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// Makes a change the derived one of its content and applies that.
pub(super) fn derive(document: &mut Document, change: Change) -> Result<Change, EditError> {
    let change = Change::derive(&document.id, change.parts().clone()).map_err(EditError::TooLarge)?;
    let own = foreign(change.bytes()).map_err(|cause| EditError::Document { cause: cause.to_string() })?;
    document.doc.apply_changes([own])?;
    Ok(change)
}

/// Makes the counters, lists and texts that `edits` need and the document lacks, each by a derived change.
pub(super) fn plant(
    document: &mut Document,
    edits: &[FieldEdit],
    shape: &Shape,
    kept: &Kept,
) -> Result<Vec<Change>, EditError> {
    let roots = missing(&document.doc, document.doc.is_empty(), edits, shape, kept)?;
    let mut changes = Vec::new();
    for (root, path) in roots {
        let key = root.key(&path);
        let mut scratch = Automerge::new().with_actor([0; DERIVED_ACTOR_BYTES].as_slice().into());
        let mut tx = scratch.transaction();
        match root {
            Root::Counter => tx.put(ROOT, key.as_str(), ScalarValue::counter(0))?,
            Root::List => tx.put_object(ROOT, key.as_str(), ObjType::List).map(drop)?,
            Root::Text => tx.put_object(ROOT, key.as_str(), ObjType::Text).map(drop)?,
        }
        tx.commit_with(CommitOptions::default().with_time(0));
        let planted = derive(document, last_change(&scratch)?)?;
        let begun = if root == Root::Text { begin_text(document, &planted, &path)? } else { None };
        changes.extend([Some(planted), begun].into_iter().flatten());
    }
    Ok(changes)
}

/// The op by which [`plant`] makes a counter or a list.
pub(in crate::record::document) fn op(root: Root, path: &str) -> Op {
    let action = match root {
        Root::Counter => OpType::Put(ScalarValue::counter(0)),
        Root::List => OpType::Make(ObjType::List),
        Root::Text => OpType::Make(ObjType::Text),
    };
    let key = Key::Map(root.key(path).as_str().into());
    Op { action, obj: ObjectId::Root, key, pred: SortedVec::new(), insert: false }
}

/// The counters, lists and texts that `edits` need and the record lacks.
pub(in crate::record::document) fn missing(
    map: &impl RootMap,
    fresh: bool,
    edits: &[FieldEdit],
    shape: &Shape,
    kept: &Kept,
) -> Result<BTreeSet<(Root, String)>, EditError> {
    let mut roots = BTreeSet::new();
    // Of a single edit it is known that it changes nothing where the value is there.
    let single = edits.len() == 1 && !fresh;
    let seen = OnceCell::new();
    let seen = || seen.get_or_init(|| Seen { slots: map.slots(), shape, kept: kept.clone() });
    let lacks = |path: &str, value: &Value| !single || read::field(map, seen(), path).as_ref() != Some(value);
    for edit in edits {
        match edit {
            FieldEdit::Increment { field, .. } => {
                roots.insert((Root::Counter, path(field)?));
            }
            FieldEdit::Set(fields) | FieldEdit::Import(fields) => roots_of("", fields, shape, &lacks, &mut roots)?,
            FieldEdit::Unset { .. }
            | FieldEdit::Number { .. }
            | FieldEdit::Delete
            | FieldEdit::Restore
            | FieldEdit::Choose { .. }
            | FieldEdit::Undo { .. } => {}
        }
    }
    if fresh {
        roots.extend(shape.defaults().filter_map(|(path, value)| root_of(path, &value, shape)));
    }
    roots.retain(|(root, path)| !seen().slots.contains_key(&root.key(path)));
    Ok(roots)
}

/// A new text begins with the string that the field holds, by a derived change: devices that saw the same string begin
/// with it once.
fn begin_text(document: &mut Document, planted: &Change, path: &str) -> Result<Option<Change>, EditError> {
    let slots = document.doc.slots();
    let Some(Slot::Scalar(Scalar::Plain(Value::String(held)))) = slots.get(path) else { return Ok(None) };
    let planted = foreign(planted.bytes()).map_err(|cause| EditError::Document { cause: cause.to_string() })?;
    let mut scratch = Automerge::new().with_actor([0; DERIVED_ACTOR_BYTES].as_slice().into());
    scratch.apply_changes([planted])?;
    let root = scratch.get(ROOT, Root::Text.key(path))?.map(|(_, id)| id);
    let (Some(root), false) = (root, held.is_empty()) else { return Ok(None) };
    let mut tx = scratch.transaction();
    tx.splice_text(&root, 0, 0, held)?;
    tx.commit_with(CommitOptions::default().with_time(0));
    derive(document, last_change(&scratch)?).map(Some)
}

/// Brings the heads down to what one change may follow, by derived changes without ops: else a record that hundreds of
/// devices edited at once could not be edited again.
pub(super) fn join(document: &mut Document) -> Result<Vec<Change>, EditError> {
    let mut changes = Vec::new();
    loop {
        let mut deps = sorted_heads(&document.doc);
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

fn roots_of(
    path: &str,
    fields: &Fields,
    shape: &Shape,
    lacks: &impl Fn(&str, &Value) -> bool,
    roots: &mut BTreeSet<(Root, String)>,
) -> Result<(), EditError> {
    for (name, value) in fields {
        let path = layout::join(path, name);
        match value {
            _ if layout::depth(&path) > DEPTH_MAX => return Err(EditError::TooDeep),
            Value::Map(fields) => roots_of(&path, fields, shape, lacks, roots)?,
            value => roots.extend(root_of(&path, value, shape).filter(|_| lacks(&path, value))),
        }
    }
    Ok(())
}

/// What a value at a path needs.
fn root_of(path: &str, value: &Value, shape: &Shape) -> Option<(Root, String)> {
    let root = match value {
        Value::List(_) if *shape.rule(path) == Rule::Set => return None,
        Value::List(_) => Root::List,
        Value::Text(_) => Root::Text,
        Value::Counter(_) => Root::Counter,
        _ => return None,
    };
    Some((root, path.to_owned()))
}

pub(super) fn last_change(doc: &Automerge) -> Result<Change, EditError> {
    let change = doc.get_last_local_change().ok_or(EditError::Absent)?;
    Change::parse(change.raw_bytes()).map_err(EditError::TooLarge)
}
