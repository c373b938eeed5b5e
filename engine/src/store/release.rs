//! What becomes of changes that were set aside: tried again, or, where they were made here, given up. Always whole
//! records, since later changes of a record wait behind the first. Must not decide what is set aside.

use super::local::sent;
use super::outbox::queue;
use super::reauthor::successor;
use super::rows::{OutboxRow, QuarantineRow, StateRow};
use super::{Applied, Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::id::{ChangeHash, RecordId};
use crate::time::Timestamp;
use crate::wire::batch::{self, Item, Style};
use std::collections::BTreeSet;

impl Store {
    /// Tries a record's changes again that were set aside: those made here go back to the outbox, those from the relay to
    /// the gate. What is refused again is set aside again, or stays so. Errors: `NotQuarantined`.
    pub fn retry(&mut self, record: &RecordId, now: Timestamp) -> Result<Applied, StoreError> {
        let rows = self.set_aside_of(record)?;
        let (own, foreign): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| row.own);
        let applied = self.admit_again(record, &foreign, now)?;
        let lineage = self.open_draft(record)?.row.lineage;
        let mut tx = Txn::new(&*self.disk);
        let mut state = self.state.clone();
        let mut again =
            OutboxRow { edits: u64::from(!record.collection.is_reserved()), offered: false, changes: Vec::new() };
        for (key, row) in own.into_iter().chain(foreign) {
            let Ok(change) = Change::parse(&row.bytes) else { continue };
            if !lineage.contains(&change.hash()) {
                continue;
            }
            if row.own {
                again.changes.push(sent(record, &change, &lineage));
            }
            tx.remove(key);
            state.quarantined = state.quarantined.saturating_sub(1);
        }
        if !again.changes.is_empty() {
            queue(&mut tx, &mut state, &again)?;
        }
        put_row(&mut tx, keys::state(), &state)?;
        self.finish(tx)?;
        self.state = state;
        Ok(applied)
    }

    /// Passes changes through the gate once more; what is refused again is known to be set aside.
    fn admit_again(
        &mut self,
        record: &RecordId,
        rows: &[(Vec<u8>, QuarantineRow)],
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let mut items = Vec::new();
        for (_, row) in rows {
            if let Ok(change) = Change::parse(&row.bytes) {
                let deps = vec![(change.parts().actor.clone(), 0); change.parts().deps.len()];
                items.push(Item { record: record.clone(), change, deps });
            }
        }
        match items.is_empty() {
            true => Ok(Applied::default()),
            false => self.apply_remote(&[batch::pack(&items, Style::Explicit)?], None, now),
        }
    }

    /// Gives up a record's changes that were made here and that the relay refused: the record is as it was without them,
    /// and the device goes on under a fresh actor. Errors: `NotQuarantined`; `OnRelay` when one of its changes set aside
    /// came from the relay.
    pub fn discard(&mut self, record: &RecordId) -> Result<(), StoreError> {
        let rows = self.set_aside_of(record)?;
        if rows.iter().any(|(_, row)| !row.own) {
            return Err(StoreError::OnRelay { record: record.clone() });
        }
        let given_up: BTreeSet<ChangeHash> =
            rows.iter().filter_map(|(_, row)| Change::parse(&row.bytes).ok()).map(|change| change.hash()).collect();
        let draft = self.open_draft(record)?;
        let changes = draft.document()?.changes();
        let changes = changes.map_err(|fault| StoreError::Damaged { what: format!("{record}: {fault}") })?;
        let kept: Vec<&Change> = changes.iter().filter(|change| !given_up.contains(&change.hash())).collect();
        let last = changes.iter().rev().find(|change| given_up.contains(&change.hash()));
        let fresh = last.map_or_else(|| self.actor.clone(), |change| successor(&self.actor, &change.hash()));
        let mut tx = Txn::new(&*self.disk);
        let quarantined = self.state.quarantined - rows.len() as u64;
        let state = StateRow { quarantined, ..self.state.clone() };
        put_row(&mut tx, keys::state(), &state)?;
        rows.into_iter().for_each(|(key, _)| tx.remove(key));
        let rewritten = self.rewrite(&mut tx, record, draft, &kept, &fresh)?;
        self.finish(tx)?;
        self.state = state;
        self.adopt(rewritten);
        Ok(())
    }

    fn set_aside_of(&self, record: &RecordId) -> Result<Vec<(Vec<u8>, QuarantineRow)>, StoreError> {
        let (from, until) = keys::quarantine_of(record);
        let rows = txn::scan(&*self.disk, &from, &until, usize::MAX)?;
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(key, bytes)| Ok((key, codec::decode(&bytes)?)))
            .collect::<Result<_, StoreError>>()?;
        match rows.is_empty() {
            true => Err(StoreError::NotQuarantined { record: record.clone() }),
            false => Ok(rows),
        }
    }
}
