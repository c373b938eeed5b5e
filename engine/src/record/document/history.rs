//! A document's changes in the order people read them, and the record as it was. Must not know device names or storage.

use super::map::RootMap;
use super::past::Past;
use super::{Document, DocumentFault, guarded, view_of};
use crate::change::message::Message;
use crate::id::{ActorId, ChangeHash, TransactionId};
use crate::record::history::{Difference, Entry, differences, pointer, weight};
use crate::record::layout;
use crate::record::shape::Shape;
use crate::record::view::View;
use automerge::{Automerge, ReadDoc};
use std::collections::{BTreeMap, BinaryHeap};

/// The most changes of one page of history.
pub const HISTORY_CHANGES_MAX: usize = 100;
/// The most changes looked at for one page, where only those of a field are wanted.
const LOOKED_AT_MAX: usize = 1000;
/// A page ends once its values take so much, in bytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Which part of a history is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryPage {
    /// At most so many changes; [`HISTORY_CHANGES_MAX`] is the limit.
    pub changes_max: usize,
    /// Only what comes behind this one, that is, before it in time.
    pub after: Option<ChangeHash>,
    /// Only changes of this field, by name or JSON Pointer, or of what is in it.
    pub field: Option<String>,
}

/// One change among the others.
struct Node {
    hash: ChangeHash,
    actor: ActorId,
    message: Message,
    deps: Vec<usize>,
    start_op: u64,
    /// See [`Entry::made_s`].
    made_s: Option<i64>,
    /// It changes no field: the beginning of a counter, list or text, or a join of heads.
    silent: bool,
    /// The beginning of a counter, list or text: whoever follows it has not seen a record for that.
    planted: bool,
}

/// All changes, each behind those it follows.
struct Timeline(Vec<Node>);

impl Timeline {
    fn new(doc: &Automerge) -> Self {
        let metas = doc.get_changes_meta(&[]);
        let places: BTreeMap<_, _> = metas.iter().enumerate().map(|(place, meta)| (meta.hash, place)).collect();
        let mut nodes: Vec<Node> = Vec::with_capacity(metas.len());
        for meta in &metas {
            // Admitted changes have actors of these lengths only.
            let actor = ActorId::from_bytes(meta.actor.to_bytes()).unwrap_or_else(|| ActorId::ordinary([0; 16]));
            let deps: Vec<usize> = meta.deps.iter().filter_map(|dep| places.get(dep).copied()).collect();
            let not_before = deps.iter().filter_map(|dep| nodes.get(*dep)?.made_s).max();
            let made_s = if actor.is_derived() { not_before } else { Some(meta.timestamp).max(not_before) };
            let planted = actor.is_derived() && is_planted(doc, meta.hash, meta.deps.len(), meta.max_op);
            nodes.push(Node {
                hash: ChangeHash(meta.hash.0),
                message: Message::parse(meta.message.as_deref().unwrap_or_default()),
                silent: planted || (actor.is_derived() && meta.max_op < meta.start_op),
                start_op: meta.start_op,
                actor,
                deps,
                made_s,
                planted,
            });
        }
        Self::date_derived(&mut nodes);
        Self(nodes)
    }

    /// A derived change counts as made with the first that follows it.
    fn date_derived(nodes: &mut [Node]) {
        let mut followed: Vec<Option<i64>> = vec![None; nodes.len()];
        for place in (0..nodes.len()).rev() {
            if nodes[place].actor.is_derived() {
                nodes[place].made_s = followed[place];
            }
            let Some(made_s) = nodes[place].made_s else { continue };
            for dep in nodes[place].deps.clone() {
                followed[dep] = Some(followed[dep].map_or(made_s, |first| first.min(made_s)));
            }
        }
    }

    /// Newest first, but none before one that follows it.
    fn newest_first(&self) -> Vec<usize> {
        let mut followers = vec![0usize; self.0.len()];
        self.0.iter().flat_map(|node| &node.deps).for_each(|dep| followers[*dep] += 1);
        let rank = |place: usize| (self.0[place].made_s, self.0[place].start_op, self.0[place].hash, place);
        let mut ready: BinaryHeap<_> = (0..self.0.len()).filter(|place| followers[*place] == 0).map(rank).collect();
        let mut order = Vec::with_capacity(self.0.len());
        while let Some((_, _, _, place)) = ready.pop() {
            order.push(place);
            for dep in &self.0[place].deps {
                followers[*dep] -= 1;
                if followers[*dep] == 0 {
                    ready.push(rank(*dep));
                }
            }
        }
        order
    }

    /// What an author saw: the changes followed, planted ones left out.
    fn seen(&self, node: &Node) -> Vec<automerge::ChangeHash> {
        let deps = node.deps.iter().map(|dep| &self.0[*dep]).filter(|dep| !dep.planted);
        deps.map(|dep| automerge::ChangeHash(dep.hash.0)).collect()
    }

    /// The heads of what was made until a time, in seconds. No change is in it without those it follows.
    fn heads_at(&self, time_s: i64) -> Vec<automerge::ChangeHash> {
        let mut inside: Vec<bool> = Vec::with_capacity(self.0.len());
        let mut head = vec![false; self.0.len()];
        for (place, node) in self.0.iter().enumerate() {
            let made = node.made_s.is_none_or(|made_s| made_s <= time_s);
            inside.push(made && node.deps.iter().all(|dep| inside[*dep]));
            if inside[place] {
                node.deps.iter().for_each(|dep| head[*dep] = false);
                head[place] = true;
            }
        }
        let heads = self.0.iter().zip(head).filter(|(_, head)| *head);
        heads.map(|(node, _)| automerge::ChangeHash(node.hash.0)).collect()
    }
}

fn is_planted(doc: &Automerge, hash: automerge::ChangeHash, deps: usize, max_op: u64) -> bool {
    let alone = || Past { doc, heads: vec![hash] };
    deps == 0 && max_op == 1 && alone().slots().keys().all(|key| layout::is_root(key))
}

impl Document {
    /// A page of the record's history, newest first, and the change to ask on from; `None` at the end.
    pub fn history(
        &self,
        page: &HistoryPage,
        shape: &Shape,
    ) -> Result<(Vec<Entry>, Option<ChangeHash>), DocumentFault> {
        self.reading(|doc| {
            let timeline = Timeline::new(doc);
            let order = timeline.newest_first();
            let after = page.after.and_then(|after| order.iter().position(|place| timeline.0[*place].hash == after));
            let rest = order.get(after.map_or(0, |after| after + 1)..).unwrap_or_default();
            let shown = rest.iter().map(|place| &timeline.0[*place]).filter(|node| !node.silent);
            let (mut entries, mut looked_at, mut bytes, mut last) = (Vec::new(), 0, 0, None);
            let mut views = Views::default();
            for node in shown {
                let full = entries.len() >= page.changes_max.clamp(1, HISTORY_CHANGES_MAX);
                if full || looked_at >= LOOKED_AT_MAX || bytes > PAGE_BYTES_MAX {
                    return (entries, last);
                }
                looked_at += 1;
                last = Some(node.hash);
                let entry = views.entry(doc, &timeline, node, shape);
                if page.field.as_ref().is_none_or(|field| entry.fields.keys().any(|name| is_in(name, field))) {
                    bytes += entry.fields.values().map(weigh).sum::<usize>();
                    entries.push(entry);
                }
            }
            (entries, None)
        })
    }

    /// The record as it was at a time, in seconds since the Unix epoch; `None` when there was none yet.
    pub fn view_at_time(&self, time_s: i64, shape: &Shape) -> Result<Option<View>, DocumentFault> {
        self.reading(|doc| {
            let timeline = Timeline::new(doc);
            let heads = timeline.heads_at(time_s);
            let planted =
                |head: &automerge::ChangeHash| timeline.0.iter().any(|node| node.planted && node.hash.0 == head.0);
            (!heads.iter().all(planted)).then(|| view_of(doc, &Past { doc, heads }, shape))
        })
    }

    /// The record as the author of a change saw it then; `None` when the record has no such change.
    pub fn view_at_change(&self, change: ChangeHash, shape: &Shape) -> Result<Option<View>, DocumentFault> {
        let hash = automerge::ChangeHash(change.0);
        self.reading(|doc| {
            let known = doc.get_change_by_hash(&hash).is_some();
            known.then(|| view_of(doc, &Past { doc, heads: vec![hash] }, shape))
        })
    }

    /// The changes whose hash begins with these hexadecimal digits; two at most.
    pub fn changes_named(&self, digits: &str) -> Result<Vec<ChangeHash>, DocumentFault> {
        self.reading(|doc| {
            let hashes = doc.get_changes_meta(&[]).into_iter().map(|meta| ChangeHash(meta.hash.0));
            hashes.filter(|hash| hash.to_string().starts_with(digits)).take(2).collect()
        })
    }

    /// Who made each change, and when, as [`Entry::made_s`].
    pub fn made(&self) -> Result<BTreeMap<ChangeHash, (ActorId, Option<i64>)>, DocumentFault> {
        let made = |node: Node| (node.hash, (node.actor, node.made_s));
        self.reading(|doc| Timeline::new(doc).0.into_iter().map(made).collect())
    }

    /// The changes that are parts of a transaction, newest first.
    pub fn changes_of(&self, id: TransactionId) -> Result<Vec<ChangeHash>, DocumentFault> {
        self.reading(|doc| {
            let timeline = Timeline::new(doc);
            let nodes = timeline.newest_first().into_iter().map(|place| &timeline.0[place]);
            nodes.filter(|node| node.message.transaction == Some(id)).map(|node| node.hash).collect()
        })
    }

    pub(super) fn reading<T>(&self, read: impl FnOnce(&Automerge) -> T) -> Result<T, DocumentFault> {
        guarded(|| Ok(read(&self.doc))).map_err(|cause| DocumentFault::Read { cause })
    }
}

/// The view put together last: what one change began with is often what the next one to be shown ended with.
#[derive(Default)]
struct Views(Option<(Vec<automerge::ChangeHash>, View)>);

impl Views {
    fn entry(&mut self, doc: &Automerge, timeline: &Timeline, node: &Node, shape: &Shape) -> Entry {
        let (own, seen) = (vec![automerge::ChangeHash(node.hash.0)], timeline.seen(node));
        let after = match self.0.take() {
            Some((heads, view)) if heads == own => view,
            _ => view_of(doc, &Past { doc, heads: own }, shape),
        };
        let before = match seen.is_empty() {
            true => View::default(),
            false => view_of(doc, &Past { doc, heads: seen.clone() }, shape),
        };
        let entry = Entry {
            change: node.hash,
            actor: node.actor.clone(),
            made_s: node.made_s,
            message: node.message.clone(),
            created: seen.is_empty(),
            deleted: (before.deleted != after.deleted).then_some(after.deleted),
            fields: differences(&before, &after),
        };
        self.0 = Some((seen, before));
        entry
    }
}

fn is_in(name: &str, field: &str) -> bool {
    pointer(name).strip_prefix(&*pointer(field)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn weigh(difference: &Difference) -> usize {
    let Difference { before, after } = difference;
    before.iter().chain(after).map(weight).sum()
}
