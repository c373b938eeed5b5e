//! Taking back what one change did, as a new change. What each key held before and after it is read from the document as
//! it was then; a key is put back only where it still holds what the change left in it. Must not know why.

use super::{list, object, path, scalar};
use crate::id::ChangeHash;
use crate::record::document::guarded;
use crate::record::document::map::RootMap;
use crate::record::document::past::Past;
use crate::record::document::read::{self, Scalar, Slot};
use crate::record::document::resolve::Kept;
use crate::record::field::{EditError, FieldEdit};
use crate::record::layout::{self, DELETED, Kind, Root};
use crate::record::shape::Shape;
use crate::record::view::{Value, View};
use automerge::transaction::{Transactable, Transaction};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Scalar(Scalar),
    List(Vec<Value>),
    Text(String),
}

type Contents = BTreeMap<String, Content>;

/// What a change did.
pub(in crate::record::document) struct Deed {
    actor: ActorId,
    ops: RangeInclusive<u64>,
    /// There was no record before.
    created: bool,
    /// It is the beginning of a counter, list or text, and did nothing by itself.
    planted: bool,
    before: Contents,
    after: Contents,
    view_after: View,
}

/// By change.
pub(in crate::record::document) type Deeds = BTreeMap<ChangeHash, Deed>;

/// What remains to be done to take a change back.
struct Plan {
    steps: Vec<Step>,
    /// The paths of fields that were changed since.
    left: BTreeSet<String>,
}

enum Step {
    Put(String, ScalarValue),
    Delete(String),
    Increment(String, i64),
    List(String, Vec<Value>),
    Text(String, String),
}

/// The fields that taking `change` back would leave, as somebody has changed them since.
pub(in crate::record::document) fn left(
    doc: &Automerge,
    change: ChangeHash,
    except: &[String],
) -> Result<Vec<String>, EditError> {
    let left = weighed(|| Ok(Deed::of(doc, change)?.plan(doc, except)?.left))?;
    Ok(left.iter().map(|path| layout::shown(path)).collect())
}

/// What the changes to be taken back did, as the document has them before anything is taken back.
pub(super) fn deeds(doc: &Automerge, edits: &[FieldEdit]) -> Result<Deeds, EditError> {
    let changes = edits.iter().filter_map(|edit| match edit {
        FieldEdit::Undo { change, .. } => Some(*change),
        _ => None,
    });
    changes.map(|change| Ok((change, weighed(|| Deed::of(doc, change))?))).collect()
}

/// Runs Automerge on a history that it was never asked to read before.
fn weighed<T>(run: impl FnOnce() -> Result<T, EditError>) -> Result<T, EditError> {
    guarded(|| Ok(run())).unwrap_or_else(|cause| Err(EditError::Document { cause }))
}

pub(super) fn take_back(
    tx: &mut Transaction<'_>,
    deeds: &Deeds,
    change: ChangeHash,
    except: &[String],
) -> Result<(), EditError> {
    let deed = deeds.get(&change).ok_or(EditError::NoSuchChange { change })?;
    for step in deed.plan(tx, except)?.steps {
        match step {
            Step::Put(key, value) => tx.put(ROOT, key, value)?,
            Step::Delete(key) => tx.delete(ROOT, key)?,
            Step::Increment(key, by) => tx.increment(ROOT, key, by)?,
            Step::List(path, items) => list::fill(tx, &tx.slots(), &path, &items)?,
            Step::Text(path, text) => tx.update_text(&object(tx, Root::Text, &path)?, &text)?,
        }
    }
    Ok(())
}

impl Deed {
    fn of(doc: &Automerge, change: ChangeHash) -> Result<Self, EditError> {
        let hash = automerge::ChangeHash(change.0);
        let made = doc.get_change_by_hash(&hash).ok_or(EditError::NoSuchChange { change })?;
        let planted = |dep: &automerge::ChangeHash| {
            let began = doc.get_change_by_hash(dep).is_some_and(|dep| dep.deps().is_empty() && dep.len() == 1);
            began && (Past { doc, heads: vec![*dep] }).slots().keys().all(|key| layout::is_root(key))
        };
        let seen: Vec<_> = made.deps().iter().filter(|dep| !planted(dep)).copied().collect();
        let after = Past { doc, heads: vec![hash] };
        Ok(Self {
            actor: made.actor_id().clone(),
            ops: made.start_op().get()..=made.max_op(),
            created: seen.is_empty(),
            planted: planted(&hash),
            before: if seen.is_empty() { Contents::new() } else { contents(&Past { doc, heads: seen }) },
            after: contents(&after),
            view_after: read::view(&after, Kept::new(), Shape::none()),
        })
    }

    fn plan(&self, doc: &impl ReadDoc, except: &[String]) -> Result<Plan, EditError> {
        let now = contents(doc);
        let except = except.iter().map(|field| path(field)).collect::<Result<BTreeSet<_>, _>>()?;
        let mut plan = Plan { steps: Vec::new(), left: BTreeSet::new() };
        if self.created && except.is_empty() && read::view(doc, Kept::new(), Shape::none()) == self.view_after {
            if !self.view_after.deleted && !self.planted {
                plan.steps.push(Step::Put(DELETED.to_owned(), true.into()));
            }
            return Ok(plan);
        }
        let keys: BTreeSet<&String> = self.before.keys().chain(self.after.keys()).collect();
        let changed: Vec<&String> =
            keys.into_iter().filter(|key| self.before.get(*key) != self.after.get(*key)).collect();
        for key in &changed {
            let Some(path) = layout::path_in(key).filter(|_| !key.starts_with("~c/")) else { continue };
            if now.get(*key) != self.after.get(*key) {
                plan.left.insert(path.to_owned());
            }
        }
        plan.left
            .extend(except.iter().filter(|path| changed.iter().any(|key| layout::path_in(key) == Some(path))).cloned());
        for key in changed {
            match layout::path_in(key) {
                None => self.plan_mark(doc, key, &now, &mut plan),
                Some(path) if except.contains(path) => {}
                Some(path) if key.starts_with("~c/") => self.plan_counter(key, path, &now, &mut plan),
                Some(path) if plan.left.contains(path) => {}
                Some(path) => self.plan_key(doc, key, path, &mut plan),
            }
        }
        Ok(plan)
    }

    /// A deletion that somebody else made at the same time holds.
    fn plan_mark(&self, doc: &impl ReadDoc, key: &str, now: &Contents, plan: &mut Plan) {
        if key != DELETED || self.others(doc, key).is_some() {
            return;
        }
        match (self.after.contains_key(key), now.contains_key(key)) {
            (true, true) => plan.steps.push(Step::Delete(key.to_owned())),
            (false, false) => plan.steps.push(Step::Put(key.to_owned(), true.into())),
            _ => {}
        }
    }

    /// The opposite increment; where the counter was not there before and nothing is left in it, it goes again.
    fn plan_counter(&self, key: &str, path: &str, now: &Contents, plan: &mut Plan) {
        let sum = |contents: &Contents| match contents.get(key) {
            Some(Content::Scalar(Scalar::Increments(sum))) => *sum,
            _ => 0,
        };
        let back = sum(&self.before).checked_sub(sum(&self.after));
        let Some((by, to)) = back.and_then(|by| Some((by, sum(now).checked_add(by)?))) else {
            plan.left.insert(path.to_owned());
            return;
        };
        if by != 0 {
            plan.steps.push(Step::Increment(key.to_owned(), by));
        }
        let unset = layout::unset_key(path);
        let bare = |contents: &Contents| !contents.contains_key(path) && !contents.contains_key(&unset);
        let gone = bare(now) || (now.get(path) == self.after.get(path) && !now.contains_key(&unset));
        if bare(&self.before) && !self.before.contains_key(key) && to == 0 && gone {
            plan.steps.push(Step::Put(unset, 0.into()));
        }
    }

    fn plan_key(&self, doc: &impl ReadDoc, key: &str, path: &str, plan: &mut Plan) {
        let others = self.others(doc, key);
        plan.steps.push(match (self.before.get(key), others) {
            (_, Some(other)) => Step::Put(key.to_owned(), other),
            (Some(Content::Scalar(Scalar::Plain(value))), None) => Step::Put(key.to_owned(), scalar(value)),
            (Some(Content::Scalar(Scalar::Mark(kind))), None) => Step::Put(key.to_owned(), mark(*kind)),
            (Some(Content::List(items)), None) => Step::List(path.to_owned(), items.clone()),
            (Some(Content::Text(text)), None) => Step::Text(path.to_owned(), text.clone()),
            (Some(Content::Scalar(Scalar::Increments(_))), None) => return,
            (None, None) => match self.after.get(key) {
                Some(Content::List(_)) => Step::List(path.to_owned(), Vec::new()),
                Some(Content::Text(_)) => Step::Text(path.to_owned(), String::new()),
                _ => Step::Delete(key.to_owned()),
            },
        });
    }

    /// The value that others gave the key at the same time, which shows when this change's goes.
    fn others(&self, doc: &impl ReadDoc, key: &str) -> Option<ScalarValue> {
        let all = doc.get_all(ROOT, key).unwrap_or_default();
        let own = |id: &ObjId| matches!(id, ObjId::Id(counter, actor, _) if *actor == self.actor && self.ops.contains(counter));
        all.iter().find(|(_, id)| own(id))?;
        all.into_iter().rev().filter(|(_, id)| !own(id)).find_map(|(value, _)| match value {
            automerge::Value::Scalar(value) => Some(value.into_owned()),
            automerge::Value::Object(_) => None,
        })
    }
}

fn mark(kind: Kind) -> ScalarValue {
    ScalarValue::Bytes(vec![kind as u8])
}

fn contents(doc: &impl ReadDoc) -> Contents {
    let content = |(key, slot): (String, Slot)| match slot {
        Slot::Scalar(scalar) => Some((key, Content::Scalar(scalar))),
        Slot::Object(list, ObjType::List) => {
            let items = read::list(doc, &list, layout::path_in(&key)?);
            Some((key, Content::List(items)))
        }
        Slot::Object(text, ObjType::Text) => Some((key, Content::Text(doc.text(text).unwrap_or_default()))),
        Slot::Object(..) => None,
    };
    doc.slots().into_iter().filter_map(content).collect()
}
