//! Columns back into changes. Must not know the outer form.

use super::{BatchFault, Columns, check_rebuilt};
use crate::change::{Change, ChangeFault, Parts};
use crate::gate::Refusal;
use crate::id::{ActorId, ChangeHash, DocumentId, RecordId, WorkspaceId};
use std::collections::HashMap;

/// Takes [`Columns`] apart, change by change.
pub(super) struct Unpacker<'a> {
    columns: &'a Columns,
    records: Vec<(RecordId, DocumentId)>,
    actors: Vec<ActorId>,
    pub(super) done: Vec<(RecordId, Result<Change, Refusal>)>,
    own: HashMap<(u32, ActorId, u64), ChangeHash>,
    /// Some change was rebuilt with the hash of one that the receiver had before.
    pub(super) borrowed: bool,
    rebuilt_bytes: usize,
    time_s: i64,
    deps_used: usize,
    others_used: usize,
    columns_used: usize,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(columns: &'a Columns, workspace: &WorkspaceId) -> Result<Self, BatchFault> {
        let mut records = Vec::with_capacity(columns.record_key.len());
        for (collection, key) in columns.record_collection.iter().zip(&columns.record_key) {
            let collection =
                columns.collections.get(*collection as usize).ok_or(BatchFault::Malformed("no such collection"))?;
            let record =
                RecordId::new(collection, key).map_err(|_| BatchFault::Malformed("a record's name is not valid"))?;
            let document = DocumentId::derive(workspace, &record);
            records.push((record, document));
        }
        let actors = columns.actors.iter().map(|bytes| ActorId::from_bytes(bytes));
        let actors = actors.collect::<Option<_>>().ok_or(BatchFault::Malformed("an actor has 16 or 12 bytes"))?;
        let done = Vec::with_capacity(columns.record.len());
        Ok(Self {
            columns,
            records,
            actors,
            done,
            own: HashMap::new(),
            borrowed: false,
            rebuilt_bytes: 0,
            time_s: 0,
            deps_used: 0,
            others_used: 0,
            columns_used: 0,
        })
    }

    pub(super) fn next(
        &mut self,
        index: usize,
        hash_of: &mut impl FnMut(&RecordId, &ActorId, u64) -> Option<ChangeHash>,
    ) -> Result<(), BatchFault> {
        let place = self.columns.record[index];
        let (record, document) =
            self.records.get(place as usize).cloned().ok_or(BatchFault::Malformed("no such record"))?;
        self.time_s = self.time_s.wrapping_add(self.columns.time_s[index]);
        let mut borrows = false;
        let deps = self.deps(index, place, |actor, seq| {
            borrows = true;
            hash_of(&record, actor, seq)
        })?;
        let other_actors = self.others(index)?;
        let length = self.columns.columns_bytes[index] as usize;
        let columns = self.columns.columns[self.columns_used..][..length].to_vec();
        self.columns_used += length;
        let derived = self.columns.actor[index] == 0;
        let actor = match derived {
            true => ActorId::ordinary([0; 16]),
            false => self.actor(self.columns.actor[index] - 1)?.clone(),
        };
        let change = deps.zip(other_actors).ok_or(Refusal::MissingDeps).and_then(|(mut deps, mut other_actors)| {
            deps.sort_unstable();
            other_actors.sort_unstable();
            let parts = Parts {
                deps,
                actor,
                seq: self.columns.seq[index],
                start_op: self.columns.start_op[index],
                time_s: self.time_s,
                message: self.columns.message[index].clone(),
                other_actors,
                columns,
            };
            let change = if derived { Change::derive(&document, parts) } else { Change::build(parts) }?;
            match self.columns.own.get(index) {
                Some(own) if *own != change.hash().0 => Err(ChangeFault::Hash.into()),
                _ => Ok(change),
            }
        });
        if let Ok(change) = &change {
            let parts = change.parts();
            self.own.insert((place, parts.actor.clone(), parts.seq), change.hash());
            self.borrowed |= borrows;
            self.rebuilt_bytes += change.bytes().len();
            check_rebuilt(self.rebuilt_bytes)?;
        }
        self.done.push((record, change));
        Ok(())
    }

    /// `None` when one of them is not to be found.
    fn deps(
        &mut self,
        index: usize,
        place: u32,
        mut hash_of: impl FnMut(&ActorId, u64) -> Option<ChangeHash>,
    ) -> Result<Option<Vec<ChangeHash>>, BatchFault> {
        let count = self.columns.dep_count[index] as usize;
        let from = self.deps_used;
        self.deps_used += count;
        let mut deps = Some(Vec::with_capacity(count));
        for at in from..from + count {
            let value = self.columns.dep_value[at];
            let hash = match self.columns.dep_kind[at] {
                0 => self.back(index, value)?.map(Change::hash),
                1 => {
                    let hash = usize::try_from(value).ok().and_then(|value| self.columns.hashes.get(value));
                    Some(ChangeHash(*hash.ok_or(BatchFault::Malformed("no such hash"))?))
                }
                kind => {
                    let actor = self.actor(kind - 2)?.clone();
                    let own = self.own.get(&(place, actor.clone(), value)).copied();
                    own.or_else(|| hash_of(&actor, value))
                }
            };
            match (hash, &mut deps) {
                (Some(hash), Some(deps)) => deps.push(hash),
                _ => deps = None,
            }
        }
        Ok(deps)
    }

    fn others(&mut self, index: usize) -> Result<Option<Vec<ActorId>>, BatchFault> {
        let count = self.columns.other_count[index] as usize;
        let from = self.others_used;
        self.others_used += count;
        let mut others = Some(Vec::with_capacity(count));
        for code in &self.columns.other[from..from + count] {
            let actor = match code & 1 {
                0 => Some(self.actor(code >> 1)?.clone()),
                _ => self.back(index, u64::from(code >> 1))?.map(|change| change.parts().actor.clone()),
            };
            match (actor, &mut others) {
                (Some(actor), Some(others)) => others.push(actor),
                _ => others = None,
            }
        }
        Ok(others)
    }

    fn actor(&self, place: u32) -> Result<&ActorId, BatchFault> {
        self.actors.get(place as usize).ok_or(BatchFault::Malformed("no such actor"))
    }

    /// The change so many places before `index`; `None` when it was no change.
    fn back(&self, index: usize, count: u64) -> Result<Option<&Change>, BatchFault> {
        let place = usize::try_from(count).ok().filter(|count| *count > 0).and_then(|count| index.checked_sub(count));
        let (_, change) =
            place.and_then(|place| self.done.get(place)).ok_or(BatchFault::Malformed("no such change"))?;
        Ok(change.as_ref().ok())
    }
}
