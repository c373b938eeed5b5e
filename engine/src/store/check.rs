//! The store looked through: whether the rows fit each other. Each row has a checksum of its own; what that cannot show is
//! an older row in the place of the newest one, which a damaged disk can bring back. Must not change anything.

use super::rows::{DocumentRow, OutboxRow, QuarantineRow};
use super::{Store, StoreError, keys};
use crate::codec::{self, Versioned};
use crate::digest::Digest;
use crate::disk::txn;
use crate::id::{Collection, DocumentId, RecordId};
use crate::record::StoredRegisters;
use crate::record::view::StoredView;
use std::collections::BTreeMap;

/// Rows read at a time.
const ROWS_MAX: usize = 512;

/// What [`Store::check`] looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Records, deleted ones and Comptoir's own too.
    pub records: u64,
    /// Transactions that wait for the relay.
    pub queued: u64,
    /// Changes set aside.
    pub quarantined: u64,
}

/// What a collection's rows come to.
#[derive(Default, PartialEq)]
struct Sum {
    live: u64,
    deleted: u64,
    digest: Digest,
}

impl Store {
    /// Reads every record, and compares counts and digests with what is kept about each collection, and the rows of the
    /// outbox and of the quarantine with their counts. Errors: [`StoreError::Damaged`] says what does not fit.
    pub fn check_rows(&self) -> Result<Checked, StoreError> {
        self.check_records(|_, _, _| Ok(()))
    }

    /// As [`Store::check_rows`]; also loads every document, and compares it with its lineage and its stored view.
    pub fn check(&self) -> Result<Checked, StoreError> {
        self.check_records(|record, view, row| {
            let draft = self.open_draft(record)?;
            let document = draft.document()?;
            let shape = self.shape(&record.collection);
            let heads_fit = document.heads() == row.lineage.heads();
            let (shown, registers) = (document.view(shape), document.registers());
            let place = |actor: &_| row.lineage.actor_place(actor);
            let registers = registers.and_then(|registers| StoredRegisters::new(&registers, &shown, place));
            let registers_fit = registers.unwrap_or_default() == row.registers;
            let view_fits = StoredView::encode(&shown)? == codec::encode(view)?;
            match heads_fit && registers_fit && view_fits {
                true => Ok(()),
                false => Err(unfit(format!("{record} is not what its history makes it"))),
            }
        })
    }

    fn check_records(
        &self,
        look: impl Fn(&RecordId, &StoredView, &DocumentRow) -> Result<(), StoreError>,
    ) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let mut sums: BTreeMap<Collection, Sum> = BTreeMap::new();
        self.each(keys::all_records(), |key, bytes| {
            let record = keys::record_of(key)?;
            let (view, rest) = codec::decode_front::<StoredView>(bytes)?;
            let row: DocumentRow = codec::decode(rest)?;
            let sum = sums.entry(record.collection.clone()).or_default();
            *(if view.deleted() { &mut sum.deleted } else { &mut sum.live }) += 1;
            let id = DocumentId::derive(&self.settings.workspace, &record);
            sum.digest = sum.digest.plus(row.lineage.leaf(&id));
            checked.records += 1;
            look(&record, &view, &row)
        })?;
        for (name, kept) in &self.collections {
            let kept = Sum { live: kept.live, deleted: kept.deleted, digest: Digest(kept.digest) };
            if sums.remove(name).unwrap_or_default() != kept {
                return Err(unfit(format!("the records of {name} are not those that were saved last")));
            }
        }
        if let Some(name) = sums.keys().next() {
            return Err(unfit(format!("nothing is kept about the collection {name}")));
        }
        let mut pending = 0u64;
        self.each(keys::all_outbox(), |_, bytes| {
            pending = codec::decode::<OutboxRow>(bytes)?.edits.saturating_add(pending);
            checked.queued += 1;
            Ok(())
        })?;
        if (checked.queued, pending) != (self.state.queued, self.state.pending) {
            return Err(unfit(format!("{} of {} transactions wait in the outbox", checked.queued, self.state.queued)));
        }
        self.each(keys::all_quarantine(), |_, bytes| {
            checked.quarantined += 1;
            decodes::<QuarantineRow>(bytes)
        })?;
        if checked.quarantined != self.state.quarantined {
            let (found, kept) = (checked.quarantined, self.state.quarantined);
            return Err(unfit(format!("{found} of {kept} changes are set aside")));
        }
        Ok(checked)
    }

    fn each(
        &self,
        (mut from, until): (Vec<u8>, Vec<u8>),
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        loop {
            let rows = txn::scan(&*self.disk, &from, &until, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
            rows.iter().try_for_each(|(key, bytes)| visit(key, bytes))?;
        }
    }
}

fn decodes<T: Versioned>(bytes: &[u8]) -> Result<(), StoreError> {
    codec::decode::<T>(bytes)?;
    Ok(())
}

fn unfit(what: String) -> StoreError {
    StoreError::Damaged { what }
}
