//! Changes into columns. Must not know the outer form.

use super::{Columns, Item, Style};
use crate::id::{ActorId, ChangeHash, RecordId};
use std::collections::HashMap;

/// Builds [`Columns`], giving each actor, collection, record and hash its place.
pub(super) struct Packer<'a> {
    style: Style,
    pub(super) out: Columns,
    actors: HashMap<&'a ActorId, u32>,
    collections: HashMap<&'a str, u32>,
    records: HashMap<&'a RecordId, u32>,
    hashes: HashMap<ChangeHash, u32>,
    placed: HashMap<ChangeHash, usize>,
    derived: HashMap<&'a ActorId, usize>,
    last_time_s: i64,
}

impl<'a> Packer<'a> {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            out: Columns::default(),
            actors: HashMap::new(),
            collections: HashMap::new(),
            records: HashMap::new(),
            hashes: HashMap::new(),
            placed: HashMap::new(),
            derived: HashMap::new(),
            last_time_s: 0,
        }
    }

    pub(super) fn add(&mut self, index: usize, item: &'a Item) {
        let parts = item.change.parts();
        let record = self.record(&item.record);
        let actor = if parts.actor.is_derived() { 0 } else { self.actor(&parts.actor) + 1 };
        self.out.record.push(record);
        self.out.actor.push(actor);
        self.out.seq.push(if actor == 0 { 0 } else { parts.seq });
        self.out.start_op.push(parts.start_op);
        self.out.time_s.push(parts.time_s.wrapping_sub(self.last_time_s));
        self.last_time_s = parts.time_s;
        self.out.message.push(parts.message.clone());
        self.out.dep_count.push(parts.deps.len() as u32);
        for (dep, (actor, seq)) in parts.deps.iter().zip(&item.deps) {
            let (kind, value) = self.dep(index, dep, actor, *seq);
            self.out.dep_kind.push(kind);
            self.out.dep_value.push(value);
        }
        self.out.other_count.push(parts.other_actors.len() as u32);
        for other in &parts.other_actors {
            let code = match self.derived.get(other) {
                Some(place) => ((index - place) as u32) << 1 | 1,
                None => self.actor(other) << 1,
            };
            self.out.other.push(code);
        }
        self.out.columns_bytes.push(parts.columns.len() as u32);
        self.out.columns.extend_from_slice(&parts.columns);
        if self.style == Style::Explicit {
            self.out.own.push(item.change.hash().0);
        }
        self.placed.insert(item.change.hash(), index);
        if parts.actor.is_derived() {
            self.derived.insert(&parts.actor, index);
        }
    }

    fn dep(&mut self, index: usize, dep: &ChangeHash, actor: &'a ActorId, seq: u64) -> (u32, u64) {
        if let Some(place) = self.placed.get(dep) {
            return (0, (index - place) as u64);
        }
        if self.style == Style::Compact {
            return (self.actor(actor) + 2, seq);
        }
        let next = self.hashes.len() as u32;
        let place = *self.hashes.entry(*dep).or_insert(next);
        if place == next {
            self.out.hashes.push(dep.0);
        }
        (1, u64::from(place))
    }

    fn actor(&mut self, actor: &'a ActorId) -> u32 {
        let next = self.actors.len() as u32;
        let place = *self.actors.entry(actor).or_insert(next);
        if place == next {
            self.out.actors.push(actor.as_bytes().to_vec());
        }
        place
    }

    fn record(&mut self, record: &'a RecordId) -> u32 {
        if let Some(&place) = self.records.get(record) {
            return place;
        }
        let next = self.collections.len() as u32;
        let collection = *self.collections.entry(record.collection.as_str()).or_insert(next);
        if collection == next {
            self.out.collections.push(record.collection.as_str().to_owned());
        }
        let place = self.records.len() as u32;
        self.records.insert(record, place);
        self.out.record_collection.push(collection);
        self.out.record_key.push(record.key.as_str().to_owned());
        place
    }
}
