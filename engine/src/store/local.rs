//! Edits made on this device: one atomic, flushed commit of changes, views, digests and outbox. Must not know the relay.

use super::draft::Draft;
use super::outbox::queue;
use super::rows::{OutboxRow, SentChange};
use super::series::Numbering;
use super::transactions::Transactions;
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::disk::txn::Txn;
use crate::gate::{Admission, Lineage, Refusal};
use crate::id::{Label, RecordId, TransactionId};
use crate::record::{EditError, FieldEdit};
use crate::time::Timestamp;
use crate::wire::batch::BATCH_CHANGES_MAX;
use crate::wire::message::FRAME_BYTES_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// The most a transaction's changes may take on the wire, in bytes: it is one push, and a push is one frame.
pub const TRANSACTION_BYTES_MAX: usize = FRAME_BYTES_MAX / 8 * 7;

/// What a transaction did, durably.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The records it changed; those it left as they were, and Comptoir's own, are not among them.
    pub changed: Vec<RecordId>,
    /// Those of them that did not exist before.
    pub created: u64,
    /// What names the transaction, where it was one over several records.
    pub transaction: Option<TransactionId>,
    /// The numbers its records were given, in the order of the edits.
    pub numbers: Vec<String>,
}

impl Store {
    /// Does all of `edits` or none, in their order for each record. Returns when the outcome would survive a power cut.
    pub fn commit_local(&mut self, edits: &[(RecordId, FieldEdit)], now: Timestamp) -> Result<Committed, StoreError> {
        self.commit_labelled(edits, None, now)
    }

    /// As [`Store::commit_local`]; the history then shows what was done.
    pub fn commit_labelled(
        &mut self,
        edits: &[(RecordId, FieldEdit)],
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let mut numbering = Numbering::default();
        let edits = self.number(edits, &mut numbering)?;
        self.commit_numbered(&edits, numbering, label, now)
    }

    /// As [`Store::commit_labelled`], with the series that numbered the edits.
    pub(super) fn commit_numbered(
        &mut self,
        edits: &[(RecordId, FieldEdit)],
        numbering: Numbering,
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let mut by_record: BTreeMap<&RecordId, Vec<FieldEdit>> = BTreeMap::new();
        for (record, edit) in edits {
            by_record.entry(record).or_default().push(edit.clone());
        }
        let mut tx = Txn::new(&*self.disk);
        let mut collections = BTreeMap::new();
        self.write_series(&mut tx, &numbering.rows)?;
        let mut committed = Committed { numbers: numbering.issued, ..Committed::default() };
        let mut touched = Vec::new();
        let mut row = OutboxRow { edits: 0, offered: false, changes: Vec::new() };
        let message = self.message(label, by_record.keys().copied(), now);
        let mut made = Transactions::default();
        for (record, edits) in by_record {
            let refuse = |error| StoreError::Edit { record: record.clone(), error };
            let mut draft = self.open_draft(record)?;
            let exists = !draft.row.lineage.is_empty();
            if !exists && !creates(&edits[0]) {
                return Err(refuse(EditError::Absent));
            }
            let time_s = now.unix_ms.div_euclid(1000);
            let message = message.of(record).encode();
            let shape = self.shape(&record.collection);
            let edited = draft.edit(&self.actor, time_s, &message, &edits, shape)?;
            let (contents, changes) = edited.map_err(refuse)?;
            if changes.is_empty() {
                continue;
            }
            let joined = join(&mut row, &mut draft, record, &changes);
            joined.map_err(|reason| refuse(EditError::Document { cause: reason.to_string() }))?;
            self.write_draft(&mut tx, &mut collections, record, draft, &contents)?;
            made.note(record, &changes);
            if planted!(TornTransaction) {
                std::mem::replace(&mut tx, Txn::new(&*self.disk)).commit()?;
            }
            touched.push(record.clone());
            if !record.collection.is_reserved() {
                row.edits += 1;
                committed.created += u64::from(!exists);
                committed.changed.push(record.clone());
            }
        }
        if touched.is_empty() {
            self.finish(tx)?;
            return Ok(committed);
        }
        check_size(&row)?;
        committed.transaction = made.only();
        self.write_transactions(&mut tx, &made)?;
        let announced = self.announce(&mut tx, &mut collections, &mut row, now)?;
        let mut state = self.state.clone();
        let row = self.hold_back(&mut tx, &mut state, row, &self.held_back(&touched)?, now)?;
        if !row.changes.is_empty() {
            queue(&mut tx, &mut state, &row)?;
        }
        put_row(&mut tx, keys::state(), &state)?;
        self.write_collections(&mut tx, &collections)?;
        self.finish(tx)?;
        self.state = state;
        self.collections.extend(collections);
        self.announced = announced;
        self.refresh_schemas(&touched)?;
        Ok(committed)
    }

    /// Those of `records` whose earlier changes the relay refused: new ones must wait behind them.
    fn held_back(&self, records: &[RecordId]) -> Result<BTreeSet<RecordId>, StoreError> {
        let mut held = BTreeSet::new();
        if self.state.quarantined > 0 {
            for record in records {
                if self.has_own_quarantined(record)? {
                    held.insert(record.clone());
                }
            }
        }
        Ok(held)
    }
}

fn creates(edit: &FieldEdit) -> bool {
    matches!(edit, FieldEdit::Set(_) | FieldEdit::Import(_) | FieldEdit::Increment { .. })
}

/// Takes a record's new changes into a transaction.
pub(super) fn join(
    row: &mut OutboxRow,
    draft: &mut Draft,
    record: &RecordId,
    changes: &[Change],
) -> Result<(), Refusal> {
    for change in changes {
        if draft.row.lineage.check(&draft.id, change)? == Admission::New {
            row.changes.push(sent(record, change, &draft.row.lineage));
            draft.extend(change);
        }
    }
    Ok(())
}

/// A change with author and number of what it follows, as the lineage before it gives them.
pub(super) fn sent(record: &RecordId, change: &Change, lineage: &Lineage) -> SentChange {
    let deps = change.parts().deps.iter().filter_map(|dep| lineage.place_of(dep));
    SentChange {
        collection: record.collection.as_str().to_owned(),
        key: record.key.as_str().to_owned(),
        bytes: change.bytes().to_vec(),
        deps: deps.map(|(actor, seq)| (actor.as_bytes().to_vec(), seq)).collect(),
    }
}

/// What a change takes in a push at most, every hash spelled out, in bytes.
pub(super) fn pushed_bytes(change: &SentChange) -> usize {
    change.bytes.len() + change.collection.len() + change.key.len() + 32 * change.deps.len() + 64
}

pub(super) fn check_size(row: &OutboxRow) -> Result<(), StoreError> {
    let bytes: usize = row.changes.iter().map(pushed_bytes).sum();
    match () {
        _ if row.changes.len() > BATCH_CHANGES_MAX => {
            Err(StoreError::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX })
        }
        _ if bytes > TRANSACTION_BYTES_MAX => {
            Err(StoreError::TooLarge { limit: "bytes", limit_max: TRANSACTION_BYTES_MAX })
        }
        _ => Ok(()),
    }
}
