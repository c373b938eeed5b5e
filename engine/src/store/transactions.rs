//! Which records a transaction changed, kept in the commit that brought its changes, so that it can be taken back as a
//! whole on any device. Must not know what it did.

use super::rows::TransactionRow;
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::change::message::Message;
use crate::codec;
use crate::disk::txn::Txn;
use crate::id::{Label, RecordId, TransactionId};
use crate::time::Timestamp;
use crate::wire::batch::BATCH_CHANGES_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// The records that changes of a commit name as parts of transactions.
#[derive(Default)]
pub(super) struct Transactions(BTreeMap<TransactionId, BTreeSet<RecordId>>);

impl Transactions {
    pub(super) fn note(&mut self, record: &RecordId, changes: &[Change]) {
        for change in changes.iter().filter(|change| !change.parts().message.is_empty()) {
            if let Some(id) = Message::parse(&change.parts().message).transaction {
                self.0.entry(id).or_default().insert(record.clone());
            }
        }
    }

    /// Of a commit made here, its transaction.
    pub(super) fn only(&self) -> Option<TransactionId> {
        self.0.keys().next().copied()
    }
}

impl Store {
    /// What the changes of a transaction carry: an id where it is over several records of the shop's, and the label.
    pub(super) fn message<'a>(
        &self,
        label: Option<&Label>,
        records: impl Iterator<Item = &'a RecordId> + Clone,
        now: Timestamp,
    ) -> Message {
        let records = records.filter(|record| !record.collection.is_reserved());
        let several = records.clone().nth(1).is_some();
        let id = several.then(|| TransactionId::derive(&self.actor, self.state.outbox_next, now.unix_ms, records));
        Message { transaction: id, label: label.cloned() }
    }

    /// Adds to what is known of these transactions. No push holds more changes than one may have records.
    pub(super) fn write_transactions(&self, tx: &mut Txn<'_>, made: &Transactions) -> Result<(), StoreError> {
        for (id, records) in &made.0 {
            let key = keys::transaction(*id);
            let known: Option<TransactionRow> = tx.get(&key)?.map(|bytes| codec::decode(&bytes)).transpose()?;
            let known = known.unwrap_or_default();
            let mut all: BTreeSet<_> = known.records.iter().cloned().collect();
            all.extend(records.iter().map(|record| (record.collection.to_string(), record.key.to_string())));
            if all.len() > known.records.len() && all.len() <= BATCH_CHANGES_MAX {
                put_row(tx, key, &TransactionRow { records: all.into_iter().collect() })?;
            }
        }
        Ok(())
    }

    /// The records of a transaction that are known here.
    pub(super) fn records_of(&self, id: TransactionId) -> Result<Vec<RecordId>, StoreError> {
        let row: Option<TransactionRow> = super::read_row(&*self.disk, &keys::transaction(id))?;
        let row = row.ok_or(StoreError::NoTransaction { id })?;
        row.records.iter().map(|(collection, key)| Ok(RecordId::new(collection, key)?)).collect()
    }
}
