//! A record taken into work inside one commit: its row opened, its document loaded when needed, its row written back.
//! Must not know why it changes.

use super::rows::{CollectionRow, DocumentRow};
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::digest::Digest;
use crate::disk::txn::{self, Txn};
use crate::id::{DocumentId, LogSeq, RecordId};
use crate::record::view::StoredView;
use crate::record::{Document, View};
use std::collections::BTreeMap;

/// A snapshot longer than this has a row of its own, so that an edit does not write it again, in bytes.
const SNAPSHOT_INLINE_BYTES_MAX: usize = 2048;
/// The changes kept beside a snapshot before a new one replaces both.
const TAIL_CHANGES_MAX: usize = 16;
/// Or their bytes.
const TAIL_BYTES_MAX: usize = 64 << 10;

/// One record in work.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) id: DocumentId,
    pub(super) row: DocumentRow,
    /// As it was: whether it was deleted, and its leaf; `None` for a new record.
    before: Option<(bool, Digest)>,
    snapshot_changed: bool,
}

/// Records in work, by name.
pub(super) type Drafts = BTreeMap<RecordId, Draft>;

impl Draft {
    pub(super) fn document(&self) -> Result<Document, StoreError> {
        Ok(Document::load(self.id, &self.row.snapshot, self.row.tail.iter().map(Vec::as_slice))?)
    }

    /// Takes an admitted change into lineage and tail.
    pub(super) fn extend(&mut self, change: &Change) {
        self.row.lineage.extend(change, LogSeq(0));
        self.row.tail.push(change.bytes().to_vec());
    }

    /// Replaces a long tail by a snapshot that was loaded again and compared.
    fn compact(&mut self, document: &Document) -> Result<(), StoreError> {
        let bytes: usize = self.row.tail.iter().map(Vec::len).sum();
        if self.row.tail.len() >= TAIL_CHANGES_MAX || bytes > TAIL_BYTES_MAX {
            self.row.snapshot = document.snapshot()?;
            self.row.tail.clear();
            self.snapshot_changed = true;
        }
        Ok(())
    }
}

impl Store {
    /// The record's draft, opened on first use.
    pub(super) fn draft<'a>(&self, drafts: &'a mut Drafts, record: &RecordId) -> Result<&'a mut Draft, StoreError> {
        if !drafts.contains_key(record) {
            let draft = self.open_draft(record)?;
            drafts.insert(record.clone(), draft);
        }
        drafts.get_mut(record).ok_or_else(|| StoreError::Damaged { what: format!("{record} vanished") })
    }

    pub(super) fn open_draft(&self, record: &RecordId) -> Result<Draft, StoreError> {
        let id = DocumentId::derive(&self.settings.workspace, record);
        let Some(bytes) = txn::read(&*self.disk, &keys::record(record))? else {
            return Ok(Draft { id, row: DocumentRow::default(), before: None, snapshot_changed: false });
        };
        let (view, rest) = codec::decode_front::<StoredView>(&bytes)?;
        let mut row: DocumentRow = codec::decode(rest)?;
        if row.apart {
            let apart = txn::read(&*self.disk, &keys::snapshot(record))?;
            row.snapshot = apart.ok_or_else(|| StoreError::Damaged { what: format!("{record} lost its snapshot") })?;
        }
        let before = Some((view.deleted(), row.lineage.leaf(&id)));
        Ok(Draft { id, row, before, snapshot_changed: false })
    }

    /// Writes a changed record with its collection's counts and digest. `document` holds what the draft's row says.
    pub(super) fn write_draft(
        &self,
        tx: &mut Txn<'_>,
        collections: &mut BTreeMap<crate::id::Collection, CollectionRow>,
        record: &RecordId,
        mut draft: Draft,
        document: &Document,
    ) -> Result<View, StoreError> {
        draft.compact(document)?;
        let view = document.view();
        let counts = collections
            .entry(record.collection.clone())
            .or_insert_with(|| self.collections.get(&record.collection).cloned().unwrap_or_default());
        let mut digest = Digest(counts.digest);
        if let Some((deleted, leaf)) = draft.before {
            digest = digest.minus(leaf);
            *(if deleted { &mut counts.deleted } else { &mut counts.live }) -= 1;
        }
        if !(planted!(DigestSkipsDelete) && view.deleted) {
            counts.digest = digest.plus(draft.row.lineage.leaf(&draft.id)).0;
        }
        *(if view.deleted { &mut counts.deleted } else { &mut counts.live }) += 1;

        let apart = draft.row.snapshot.len() > SNAPSHOT_INLINE_BYTES_MAX;
        draft.row.apart = apart;
        let snapshot = if apart { std::mem::take(&mut draft.row.snapshot) } else { Vec::new() };
        if apart && draft.snapshot_changed {
            tx.put(keys::snapshot(record), &snapshot);
        }
        let mut bytes = codec::encode(&StoredView::from(&view))?;
        bytes.extend_from_slice(&codec::encode(&draft.row)?);
        match draft.before {
            None => tx.put_new(keys::record(record), &bytes),
            Some(_) => tx.put(keys::record(record), &bytes),
        }
        Ok(view)
    }

    /// Writes the collections' rows.
    pub(super) fn write_collections(
        &self,
        tx: &mut Txn<'_>,
        collections: &BTreeMap<crate::id::Collection, CollectionRow>,
    ) -> Result<(), StoreError> {
        collections.iter().try_for_each(|(name, row)| put_row(tx, keys::collection(name), row))
    }
}
