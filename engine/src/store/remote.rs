//! Changes from the relay: one atomic, flushed commit of changes, views, digests and cursor. Must not know the session.

use super::draft::{Draft, Drafts};
use super::quarantine::Aside;
use super::transactions::Transactions;
use super::{Fork, Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::disk::txn::Txn;
use crate::gate::{Admission, Refusal};
use crate::id::{Cursor, RecordId};
use crate::record::Contents;
use crate::time::Timestamp;
use crate::wire::Batch;
use std::collections::BTreeMap;

/// What a commit of the relay's changes did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The records it changed.
    pub changed: Vec<RecordId>,
}

/// Changes on their way into one record.
#[derive(Default)]
struct Incoming {
    admitted: Vec<Change>,
    refused: Vec<(Refusal, Vec<u8>)>,
}

/// What came of admitted changes.
struct Merged {
    /// The record as far as they could be merged.
    now: Option<(Draft, Contents)>,
    broken: Vec<(Refusal, Vec<u8>)>,
}

impl Store {
    /// Takes batches in order and moves the cursor, all in one commit. A change that is refused is set aside with the
    /// later ones of its record; the rest flows on. `Unclear` when a batch does not come out as its author made it.
    pub fn apply_remote(
        &mut self,
        batches: &[Vec<u8>],
        cursor: Option<Cursor>,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let (mut drafts, mut aside) = (Drafts::new(), Aside::default());
        let mut incoming: BTreeMap<RecordId, Incoming> = BTreeMap::new();
        for bytes in batches {
            self.admit(&Batch::decode(bytes)?, &mut drafts, &mut aside, &mut incoming)?;
        }
        let mut tx = Txn::new(&*self.disk);
        let mut state = self.state.clone();
        if let (Some(cursor), true) = (cursor, planted!(CursorBeforeData)) {
            state.cursor = Some((cursor.epoch.0, cursor.through.0));
            put_row(&mut tx, keys::state(), &state)?;
            self.finish(std::mem::replace(&mut tx, Txn::new(&*self.disk)))?;
        }
        let mut collections = BTreeMap::new();
        let mut applied = Applied::default();
        let mut made = Transactions::default();
        for (record, Incoming { admitted, mut refused }) in incoming {
            let draft = drafts.remove(&record);
            if let (Some(draft), false) = (draft, admitted.is_empty()) {
                let Merged { now, broken } = self.merge(&record, draft, &admitted)?;
                refused.splice(0..0, broken);
                if let Some((draft, contents)) = now {
                    made.note(&record, &admitted);
                    self.write_draft(&mut tx, &mut collections, &record, draft, &contents)?;
                    applied.changed.push(record.clone());
                }
            }
            for (reason, bytes) in refused {
                self.set_aside(&mut tx, &mut state, &mut aside, &record, reason, false, bytes, now)?;
            }
        }
        if let Some(cursor) = cursor {
            state.cursor = Some((cursor.epoch.0, cursor.through.0));
        }
        if state != self.state || !applied.changed.is_empty() {
            put_row(&mut tx, keys::state(), &state)?;
            self.write_transactions(&mut tx, &made)?;
            self.write_collections(&mut tx, &collections)?;
            self.finish(tx)?;
        }
        self.state = state;
        self.collections.extend(collections);
        self.refresh_schemas(&applied.changed)?;
        Ok(applied)
    }

    /// Passes a batch through the gate. Lineages of `drafts` are extended by what is admitted.
    fn admit(
        &self,
        batch: &Batch,
        drafts: &mut Drafts,
        aside: &mut Aside,
        incoming: &mut BTreeMap<RecordId, Incoming>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        let unpacked =
            batch.unpack(&self.settings.workspace, |record, actor, seq| match self.draft(drafts, record) {
                Ok(draft) => match draft.row.lineage.hash_of(actor, seq) {
                    Some(hash) => Some(hash),
                    None => self.quarantined_hash(aside, record, actor, seq).unwrap_or_else(|error| {
                        failed.get_or_insert(error);
                        None
                    }),
                },
                Err(error) => {
                    failed.get_or_insert(error);
                    None
                }
            })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if !unpacked.clear {
            return Err(StoreError::Unclear);
        }
        for (record, change) in unpacked.changes {
            let draft = self.draft(drafts, &record)?;
            let into = incoming.entry(record.clone()).or_default();
            match change {
                Err(reason) => into.refused.push((reason, Vec::new())),
                Ok(change) => match draft.row.lineage.check(&draft.id, &change) {
                    Ok(Admission::Known) => {}
                    Ok(Admission::New) => {
                        draft.follow(&change, self.shape(&record.collection));
                        into.admitted.push(change);
                    }
                    Err(Refusal::Forked) if self.is_forked(&record, &change.parts().actor, change.parts().seq)? => {
                        let (actor, seq) = (change.parts().actor.clone(), change.parts().seq);
                        return Err(StoreError::Forked(Fork { record, actor, seq }));
                    }
                    Err(reason) => {
                        let behind = !into.refused.is_empty() && reason == Refusal::MissingDeps;
                        let reason = if behind { Refusal::Waits } else { reason };
                        into.refused.push((reason, change.bytes().to_vec()));
                    }
                },
            }
        }
        Ok(())
    }

    /// The record with the admitted changes: from its registers where those could follow them all, else by merging them
    /// into its document, all at once; one by one when that fails, to find the culprit.
    fn merge(&self, record: &RecordId, mut draft: Draft, admitted: &[Change]) -> Result<Merged, StoreError> {
        if let Some(following) = draft.following.take() {
            let registers = following.registers(self.shape(&record.collection));
            return Ok(Merged { now: Some((draft, Contents::Registers(registers))), broken: Vec::new() });
        }
        let fresh = self.open_draft(record)?;
        let base = fresh.document()?;
        let mut document = base.clone();
        let shape = self.shape(&record.collection);
        if document.merge(admitted, &draft.row.lineage.heads(), shape).is_ok() {
            return Ok(Merged { now: Some((draft, document.into())), broken: Vec::new() });
        }
        let (mut draft, mut document, mut broken, mut any) = (fresh, base, Vec::new(), false);
        for change in admitted {
            let mut tried = draft.clone();
            let reason = match draft.row.lineage.check(&draft.id, change) {
                Ok(Admission::Known) => continue,
                Ok(Admission::New) => {
                    tried.extend(change);
                    match document.merge(std::slice::from_ref(change), &tried.row.lineage.heads(), shape) {
                        Ok(()) => {
                            (draft, any) = (tried, true);
                            continue;
                        }
                        Err(_) => Refusal::Poison,
                    }
                }
                Err(_) => Refusal::Waits,
            };
            broken.push((reason, change.bytes().to_vec()));
        }
        Ok(Merged { now: any.then(|| (draft, document.into())), broken })
    }
}
