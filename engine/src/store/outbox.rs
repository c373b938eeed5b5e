//! The outbox: what the relay has not acknowledged, in the order it was made. It is the send queue. Must not know
//! sessions.

use super::local::{pushed_bytes, sent};
use super::quarantine::Aside;
use super::rows::{OutboxRow, SentChange};
use super::{Fork, Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::gate::{Lineage, Refusal};
use crate::id::{ActorId, ChangeHash, Cursor, LogSeq, RecordId};
use crate::time::Timestamp;
use crate::wire::batch::{self, Item, Style};
use crate::wire::message::Refused;
use std::collections::{BTreeMap, BTreeSet};

/// A push gathers transactions until it holds so many bytes, uncompressed.
const PUSH_BYTES: usize = 256 << 10;
/// Or so many changes.
const PUSH_CHANGES: usize = 4096;
/// The number of a store's first transaction: there is room for offers before it.
pub(super) const FIRST_NUMBER: u64 = 1 << 40;
/// Records offered in one commit.
const OFFER_RECORDS: usize = 256;
/// Outbox rows read at a time.
const ROWS_MAX: usize = 64;

/// Changes in the outbox, by record: the same edit of two records in one second is one change twice, with one hash.
type Waiting = BTreeSet<(RecordId, ChangeHash)>;

/// One push: some transactions of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The first transaction's number.
    pub from: u64,
    /// The last transaction's number.
    pub through: u64,
    /// They are no new edits, but what the relay was found to lack.
    pub offered: bool,
    /// All their changes.
    pub batch: Vec<u8>,
}

impl Store {
    /// The next push that begins at transaction `from` or later; `None` when there is nothing more to send.
    pub fn outgoing(&self, from: u64, style: Style) -> Result<Option<Outgoing>, StoreError> {
        let mut items = Vec::new();
        let mut range: Option<(u64, u64)> = None;
        let mut offered = false;
        let mut bytes = 0;
        let mut next = from;
        'rows: while next < self.state.outbox_next {
            let rows = self.outbox_rows(next, self.state.outbox_next - 1, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { break };
            next = last.saturating_add(1);
            for (number, row) in rows {
                let row_bytes: usize = row.changes.iter().map(pushed_bytes).sum();
                let full = bytes + row_bytes > PUSH_BYTES || items.len() + row.changes.len() > PUSH_CHANGES;
                if range.is_some() && (full && !items.is_empty() || row.offered != offered) {
                    break 'rows;
                }
                offered = row.offered;
                bytes += row_bytes;
                for change in &row.changes {
                    items.push(item(change)?);
                }
                range = Some((range.map_or(number, |(from, _)| from), number));
            }
        }
        let Some((from, through)) = range else { return Ok(None) };
        Ok(Some(Outgoing { from, through, offered, batch: batch::pack(&items, style)? }))
    }

    /// The same transactions again, in another style.
    pub fn outgoing_again(&self, from: u64, through: u64, style: Style) -> Result<Outgoing, StoreError> {
        let mut items = Vec::new();
        let mut offered = false;
        for (_, row) in self.outbox_rows(from, through, usize::MAX)? {
            offered = row.offered;
            for change in &row.changes {
                items.push(item(change)?);
            }
        }
        Ok(Outgoing { from, through, offered, batch: batch::pack(&items, style)? })
    }

    /// Of each record the first of the refused changes that shows this store to be rolled back or copied.
    pub fn forks(&self, from: u64, through: u64, refused: &[Refused]) -> Result<Vec<Fork>, StoreError> {
        let forked = refused.iter().filter(|each| each.reason == Refusal::Forked && !planted!(ForkUnnoticed));
        let forked: BTreeSet<usize> = forked.map(|each| each.index as usize).collect();
        let mut forks = BTreeMap::new();
        if !forked.is_empty() {
            let rows = self.outbox_rows(from, through, usize::MAX)?;
            let sent = rows.iter().flat_map(|(_, row)| &row.changes).enumerate();
            for (_, sent) in sent.filter(|(index, _)| forked.contains(index)) {
                let Item { record, change, .. } = item(sent)?;
                let (actor, seq) = (change.parts().actor.clone(), change.parts().seq);
                if !actor.is_derived() {
                    forks.entry(record.clone()).or_insert(Fork { record, actor, seq });
                }
            }
        }
        Ok(forks.into_values().collect())
    }

    /// Takes the relay's receipt: the transactions leave the outbox, what was refused goes to quarantine, and the cursor
    /// moves, in one commit.
    pub fn acknowledge(
        &mut self,
        from: u64,
        through: u64,
        refused: &[Refused],
        cursor: Option<Cursor>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = Txn::new(&*self.disk);
        let (mut state, mut aside) = (self.state.clone(), Aside::default());
        let reasons: BTreeMap<u32, &Refusal> = refused.iter().map(|each| (each.index, &each.reason)).collect();
        let mut index = 0;
        for (number, row) in self.outbox_rows(from, through, usize::MAX)? {
            for change in &row.changes {
                if let Some(reason) = reasons.get(&index) {
                    let record = RecordId::new(&change.collection, &change.key)?;
                    let bytes = change.bytes.clone();
                    self.set_aside(&mut tx, &mut state, &mut aside, &record, (*reason).clone(), true, bytes, now)?;
                }
                index += 1;
            }
            state.queued = state.queued.saturating_sub(1);
            state.pending = state.pending.saturating_sub(row.edits);
            tx.remove(keys::outbox(number));
        }
        if let Some(cursor) = cursor {
            state.cursor = Some((cursor.epoch.0, cursor.through.0));
        }
        put_row(&mut tx, keys::state(), &state)?;
        self.finish(tx)?;
        self.state = state;
        Ok(())
    }

    /// Offers whole records to a relay that lacks them: what is not in the outbox of their history, and what that follows,
    /// goes before everything that is, so that no push comes before one it builds on. Idempotent there.
    pub fn offer(&mut self, records: &[RecordId]) -> Result<(), StoreError> {
        let waiting = if records.is_empty() { Waiting::new() } else { self.waiting()? };
        records.chunks(OFFER_RECORDS).try_for_each(|records| self.offer_some(records, &waiting))
    }

    fn offer_some(&mut self, records: &[RecordId], waiting: &Waiting) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for record in records {
            let changes = self.open_draft(record)?.document()?.changes();
            let changes = changes.map_err(|fault| StoreError::Damaged { what: format!("{record}: {fault}") })?;
            let mut needed = BTreeSet::new();
            for change in changes.iter().rev() {
                if needed.contains(&change.hash()) || !waiting.contains(&(record.clone(), change.hash())) {
                    needed.insert(change.hash());
                    needed.extend(change.parts().deps.iter().copied());
                }
            }
            offered(record, &changes, &needed, &mut rows);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let first = if planted!(OfferedLast, ClosedLogUnchecked) { None } else { Some(self.first_number()?) };
        let Some(first) =
            first.unwrap_or(self.state.outbox_next.saturating_add(rows.len() as u64)).checked_sub(rows.len() as u64)
        else {
            return Err(StoreError::Damaged { what: "the outbox's numbers".to_owned() });
        };
        let mut tx = Txn::new(&*self.disk);
        let mut state = self.state.clone();
        for (number, row) in (first..).zip(&rows) {
            // No number is used twice, so there is no old row to look for.
            tx.put_new(keys::outbox(number), &codec::encode(row)?);
            state.queued = state.queued.saturating_add(1);
            state.pending = state.pending.saturating_add(row.edits);
        }
        put_row(&mut tx, keys::state(), &state)?;
        self.finish(tx)?;
        self.state = state;
        Ok(())
    }

    /// Every change in the outbox.
    fn waiting(&self) -> Result<Waiting, StoreError> {
        let mut waiting = Waiting::new();
        let mut next = 0;
        loop {
            let rows = self.outbox_rows(next, u64::MAX - 1, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { return Ok(waiting) };
            next = last.saturating_add(1);
            for change in rows.iter().flat_map(|(_, row)| &row.changes) {
                let Item { record, change, .. } = item(change)?;
                waiting.insert((record, change.hash()));
            }
        }
    }

    /// The number of the first transaction that waits, or of the next one.
    fn first_number(&self) -> Result<u64, StoreError> {
        Ok(self.outbox_rows(0, u64::MAX - 1, 1)?.first().map_or(self.state.outbox_next, |(number, _)| *number))
    }

    /// Of a transaction, moves the changes of `held` records to quarantine and returns the rest.
    pub(super) fn hold_back(
        &self,
        tx: &mut Txn<'_>,
        state: &mut super::StateRow,
        row: OutboxRow,
        held: &BTreeSet<RecordId>,
        now: Timestamp,
    ) -> Result<OutboxRow, StoreError> {
        if held.is_empty() {
            return Ok(row);
        }
        let edits = held.iter().filter(|record| !record.collection.is_reserved()).count() as u64;
        let mut aside = Aside::default();
        let mut rest = OutboxRow { edits: row.edits.saturating_sub(edits), offered: row.offered, changes: Vec::new() };
        for change in row.changes {
            let record = RecordId::new(&change.collection, &change.key)?;
            match held.contains(&record) {
                true => self.set_aside(tx, state, &mut aside, &record, Refusal::Waits, true, change.bytes, now)?,
                false => rest.changes.push(change),
            }
        }
        Ok(rest)
    }

    fn outbox_rows(&self, from: u64, through: u64, rows_max: usize) -> Result<Vec<(u64, OutboxRow)>, StoreError> {
        let rows = txn::scan(&*self.disk, &keys::outbox(from), &keys::outbox(through.saturating_add(1)), rows_max)?;
        rows.into_iter().map(|(key, bytes)| Ok((keys::number_of(&key)?, codec::decode(&bytes)?))).collect()
    }
}

pub(super) fn queue(tx: &mut Txn<'_>, state: &mut super::StateRow, row: &OutboxRow) -> Result<(), StoreError> {
    // No number is used twice, so there is no old row to look for.
    tx.put_new(keys::outbox(state.outbox_next), &codec::encode(row)?);
    state.outbox_next = state.outbox_next.saturating_add(1);
    state.queued = state.queued.saturating_add(1);
    state.pending = state.pending.saturating_add(row.edits);
    Ok(())
}

/// The rows that offer the `needed` changes of a record, each within a push's limits.
fn offered(record: &RecordId, changes: &[Change], needed: &BTreeSet<ChangeHash>, rows: &mut Vec<OutboxRow>) {
    let mut lineage = Lineage::default();
    let edits = u64::from(!record.collection.is_reserved());
    let mut row = OutboxRow { edits, offered: true, changes: Vec::new() };
    let mut bytes = 0;
    for change in changes {
        let sent = sent(record, change, &lineage);
        lineage.extend(change, LogSeq(0));
        if !needed.contains(&change.hash()) {
            continue;
        }
        bytes += pushed_bytes(&sent);
        if !row.changes.is_empty() && (bytes > PUSH_BYTES || row.changes.len() >= PUSH_CHANGES) {
            bytes = pushed_bytes(&sent);
            rows.push(std::mem::replace(&mut row, OutboxRow { edits: 0, offered: true, changes: Vec::new() }));
        }
        row.changes.push(sent);
    }
    if !row.changes.is_empty() {
        rows.push(row);
    }
}

fn item(sent: &SentChange) -> Result<Item, StoreError> {
    let damaged = |what: String| StoreError::Damaged { what };
    let record = RecordId::new(&sent.collection, &sent.key)?;
    let change = Change::parse(&sent.bytes).map_err(|fault| damaged(format!("the outbox of {record}: {fault}")))?;
    let deps = sent.deps.iter().map(|(actor, seq)| Some((ActorId::from_bytes(actor)?, *seq)));
    let deps = deps.collect::<Option<Vec<_>>>().ok_or_else(|| damaged(format!("the outbox of {record}")))?;
    Ok(Item { record, change, deps })
}
