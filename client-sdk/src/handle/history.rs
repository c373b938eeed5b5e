//! Labels, history, conflicts and undo. Must not know how they are shown.

use super::Comptoir;
use crate::error::Error;
use comptoir_engine::{
    ChangeHash, Collection, Committed, Conflict, FieldEdit, History, HistoryPage, Label, RecordId, Timestamp,
    TransactionId, Undone, View,
};

impl Comptoir {
    /// As [`Comptoir::commit`], with a label of at most 200 bytes that says what was done (`stocktake`, `sale 1204`) and
    /// that every device shows in the records' history. Empty for none.
    pub async fn commit_labelled(&self, edits: Vec<(RecordId, FieldEdit)>, label: &str) -> Result<Committed, Error> {
        let label = read_label(label)?;
        self.with(move |engine, now| engine.commit_labelled(&edits, label.as_ref(), now)).await
    }

    /// A page of a record's history, newest first: who changed what and when. Errors: no such record.
    pub async fn history(&self, collection: &str, key: &str, page: HistoryPage) -> Result<History, Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.history(&record, &page)).await
    }

    /// A record as it was at a time, to the second, deleted ones too; `None` when there was none yet.
    pub async fn get_at_time(&self, collection: &str, key: &str, at: Timestamp) -> Result<Option<View>, Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.view_at_time(&record, at)).await
    }

    /// A record as the author of one of its changes saw it then, that change included; `None` when it has no such change.
    pub async fn get_at_change(&self, collection: &str, key: &str, change: ChangeHash) -> Result<Option<View>, Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.view_at_change(&record, change)).await
    }

    /// The record's only change whose hash begins with these hexadecimal digits, at least four.
    pub async fn change_named(&self, collection: &str, key: &str, digits: &str) -> Result<ChangeHash, Error> {
        let (record, digits) = (RecordId::new(collection, key)?, digits.to_owned());
        self.with(move |engine, _| engine.change_named(&record, &digits)).await
    }

    /// The fields with several concurrent values of at most `records_max` records after `after`, in one collection or in
    /// all, and where to go on; `None` at the end. Nobody has to choose: all devices show the same value.
    pub async fn conflicts(
        &self,
        collection: Option<&Collection>,
        after: Option<&RecordId>,
        records_max: usize,
    ) -> Result<(Vec<Conflict>, Option<RecordId>), Error> {
        let (collection, after) = (collection.cloned(), after.cloned());
        self.with(move |engine, _| engine.conflicts(collection.as_ref(), after.as_ref(), records_max)).await
    }

    /// A record's fields with several concurrent values.
    pub async fn conflicts_of(&self, collection: &str, key: &str) -> Result<Vec<Conflict>, Error> {
        let record = RecordId::new(collection, key)?;
        self.with(move |engine, _| engine.conflicts_of(&record)).await
    }

    /// Of a field's concurrent values, makes the one that `change` set the only one. Durable when it returns.
    pub async fn choose(
        &self,
        collection: &str,
        key: &str,
        field: &str,
        change: ChangeHash,
        label: &str,
    ) -> Result<Committed, Error> {
        let edit = FieldEdit::Choose { field: field.to_owned(), change };
        self.commit_labelled(vec![(RecordId::new(collection, key)?, edit)], label).await
    }

    /// Takes back a change of a record, or its newest, by a new change: counters by the opposite increment, fields to what
    /// they were; what somebody changed since stays and is told. Durable when it returns.
    pub async fn undo(
        &self,
        collection: &str,
        key: &str,
        change: Option<ChangeHash>,
        label: &str,
    ) -> Result<Undone, Error> {
        let (record, label) = (RecordId::new(collection, key)?, read_label(label)?);
        self.with(move |engine, now| engine.undo(&record, change, label.as_ref(), now)).await
    }

    /// Takes back all that a transaction over several records did, as one transaction. Durable when it returns.
    pub async fn undo_transaction(&self, id: TransactionId, label: &str) -> Result<Undone, Error> {
        let label = read_label(label)?;
        self.with(move |engine, now| engine.undo_transaction(id, label.as_ref(), now)).await
    }
}

fn read_label(text: &str) -> Result<Option<Label>, Error> {
    Ok(if text.is_empty() { None } else { Some(Label::new(text)?) })
}
