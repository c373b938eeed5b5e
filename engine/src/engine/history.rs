//! History, conflicts and undo for the owner of an engine. Must not know how they are found.

use super::Engine;
use crate::id::{ChangeHash, Collection, Label, RecordId, TransactionId};
use crate::record::document::HistoryPage;
use crate::record::{FieldEdit, View};
use crate::store::{Committed, Conflict, History, StoreError, Undone};
use crate::time::{Now, Timestamp};

impl Engine {
    /// As [`Engine::commit`], with a label that the records' history shows.
    pub fn commit_labelled(
        &mut self,
        edits: &[(RecordId, FieldEdit)],
        label: Option<&Label>,
        now: Now,
    ) -> Result<Committed, StoreError> {
        if let Some((record, _)) = edits.iter().find(|(record, _)| record.collection.is_reserved()) {
            return Err(StoreError::Reserved { record: record.clone() });
        }
        let committed = self.store.commit_labelled(edits, label, now.wall)?;
        self.tell_changed(&committed.changed);
        Ok(committed)
    }

    /// The changes of a record that nothing follows, sorted: two that are concurrent are both there. None of no record.
    pub fn heads(&self, record: &RecordId) -> Result<Vec<ChangeHash>, StoreError> {
        self.store.heads(record)
    }

    /// A page of a record's history, newest first. Errors: no such record.
    pub fn history(&self, record: &RecordId, page: &HistoryPage) -> Result<History, StoreError> {
        self.store.history(record, page)
    }

    /// A record as it was at a time; `None` when there was none yet.
    pub fn view_at_time(&self, record: &RecordId, at: Timestamp) -> Result<Option<View>, StoreError> {
        self.store.view_at_time(record, at)
    }

    /// A record as the author of one of its changes saw it then; `None` when it has no such change.
    pub fn view_at_change(&self, record: &RecordId, change: ChangeHash) -> Result<Option<View>, StoreError> {
        self.store.view_at_change(record, change)
    }

    /// The record's only change whose hash begins with these hexadecimal digits, at least four.
    pub fn change_named(&self, record: &RecordId, digits: &str) -> Result<ChangeHash, StoreError> {
        self.store.change_named(record, digits)
    }

    /// A record's fields with several concurrent values.
    pub fn conflicts_of(&self, record: &RecordId) -> Result<Vec<Conflict>, StoreError> {
        self.store.conflicts_of(record)
    }

    /// The conflicts of at most `records_max` records after `after`, and where to go on; `None` at the end.
    pub fn conflicts(
        &self,
        collection: Option<&Collection>,
        after: Option<&RecordId>,
        records_max: usize,
    ) -> Result<(Vec<Conflict>, Option<RecordId>), StoreError> {
        self.store.conflicts(collection, after, records_max)
    }

    /// Takes back a change of a record, or its newest, as far as nobody has changed it since.
    pub fn undo(
        &mut self,
        record: &RecordId,
        change: Option<ChangeHash>,
        label: Option<&Label>,
        now: Now,
    ) -> Result<Undone, StoreError> {
        let undone = self.store.undo(record, change, label, now.wall)?;
        self.tell_changed(&undone.committed.changed);
        Ok(undone)
    }

    /// Takes back all that a transaction did, as far as nobody has changed it since.
    pub fn undo_transaction(
        &mut self,
        id: TransactionId,
        label: Option<&Label>,
        now: Now,
    ) -> Result<Undone, StoreError> {
        let undone = self.store.undo_transaction(id, label, now.wall)?;
        self.tell_changed(&undone.committed.changed);
        Ok(undone)
    }
}
