//! A record taken into work inside one commit: its row opened, its document loaded when needed, its row written back.
//! Must not know why it changes.

use super::rows::{CollectionRow, DocumentRow};
use super::{Store, StoreError, keys, put_row};
use crate::change::Change;
use crate::codec;
use crate::digest::Digest;
use crate::disk::txn::{self, Txn};
use crate::id::{ActorId, Collection, DocumentId, LogSeq, RecordId};
use crate::record::view::{StoredView, VIEW_BYTES_MAX};
use crate::record::{
    Contents, Document, EditError, FieldEdit, Following, Place, Registers, Shape, StoredRegisters, View,
};
use std::collections::BTreeMap;

/// A snapshot longer than this has a row of its own, so that an edit does not write it again, in bytes.
const SNAPSHOT_INLINE_BYTES_MAX: usize = 2048;
/// The changes kept beside a snapshot before a new one replaces both: a snapshot loads in half the time.
const TAIL_CHANGES: usize = 4;
/// The same where the document was not loaded, and a snapshot would be made for its own sake.
const TAIL_CHANGES_UNLOADED: usize = 8;
/// And beside one so long that it is not to be written often.
const TAIL_CHANGES_MAX: usize = 16;
/// Or their bytes.
const TAIL_BYTES_MAX: usize = 64 << 10;

/// A record's row up to so many bytes holds all that the view shows: nothing had to be left out.
pub(super) const VIEW_BYTES_WHOLE: usize = VIEW_BYTES_MAX / 8;

/// One record in work.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) id: DocumentId,
    pub(super) row: DocumentRow,
    /// As it was: whether it was deleted, and its leaf; `None` for a new record.
    before: Option<(bool, Digest)>,
    /// The bytes of its row as it was.
    bytes_before: usize,
    /// What it showed, where that saves looking through its history.
    shown: Option<View>,
    /// Its registers, where it has no more than they hold.
    registers: Option<Registers>,
    /// Its registers after the changes that were taken in, as long as they could follow.
    pub(super) following: Option<Following>,
    /// Its view as it was, where indexes have to know.
    view_before: Option<View>,
    snapshot_changed: bool,
    /// A change has joined that did not follow all the others: only then can a conflict begin.
    pub(super) concurrent: bool,
}

/// Records in work, by name.
pub(super) type Drafts = BTreeMap<RecordId, Draft>;

impl Draft {
    pub(super) fn document(&self) -> Result<Document, StoreError> {
        Ok(Document::load(self.id, &self.row.snapshot, self.row.tail.iter().map(Vec::as_slice))?)
    }

    /// The document before an edit under `shape`, by which the stored view was made.
    fn document_to_edit(&self, shape: &Shape) -> Result<Document, StoreError> {
        let mut document = self.document()?;
        if let Some(shown) = &self.shown {
            document.recall(shape, shown);
        }
        Ok(document)
    }

    /// What `edits` make of the record, from its registers if they are enough, and the changes that do it.
    pub(super) fn edit(
        &self,
        actor: &ActorId,
        time_s: i64,
        message: &str,
        edits: &[FieldEdit],
        shape: &Shape,
    ) -> Result<Result<(Contents, Vec<Change>), EditError>, StoreError> {
        if let Some(registers) = self.registers(shape) {
            let lineage = &self.row.lineage;
            let last_seq = lineage.last_seq(actor);
            let before = lineage.hash_of(actor, last_seq);
            let place = Place::new(actor, last_seq + 1, lineage.next_op(), lineage.heads(), before);
            let edited = registers.edit(&self.id, &place, (time_s, message), edits, shape).transpose();
            if let Some(edited) = edited {
                return Ok(edited.map(|(registers, changes)| (Contents::Registers(registers), changes)));
            }
        }
        let edited = self.document_to_edit(shape)?.edit(actor, time_s, message, edits, shape);
        Ok(edited.map(|(document, changes)| (Contents::from(document), changes)))
    }

    fn registers(&self, shape: &Shape) -> Option<Registers> {
        let mut registers = self.registers.clone()?;
        if let Some(shown) = &self.shown {
            registers.recall(shape, shown);
        }
        Some(registers)
    }

    /// Takes another device's admitted change into lineage and tail, and into the registers as long as those are enough.
    pub(super) fn follow(&mut self, change: &Change, shape: &Shape) {
        let before = self.following.take();
        let following = before.or_else(|| Following::new(self.registers(shape)?, shape));
        let following = following.and_then(|following| following.follow(&self.row.lineage.heads(), change, shape));
        self.extend(change);
        // What was read is not what there is any more.
        (self.shown, self.registers) = (None, None);
        // A snapshot is made of a document that the changes were merged into with all checks.
        self.following = following.filter(|_| !self.is_long(TAIL_CHANGES_UNLOADED));
    }

    /// Takes an admitted change into lineage and tail.
    pub(super) fn extend(&mut self, change: &Change) {
        self.concurrent |= self.row.lineage.heads() != change.parts().deps;
        self.row.lineage.extend(change, LogSeq(0));
        self.row.tail.push(change.bytes().to_vec());
    }

    /// Whether a snapshot is worth its making: the tail has a `few` changes that are much beside the snapshot there is, or
    /// very many.
    fn is_long(&self, few: usize) -> bool {
        let bytes: usize = self.row.tail.iter().map(Vec::len).sum();
        let worth_it = self.row.tail.len() >= few && 2 * bytes > self.row.snapshot.len();
        worth_it || self.row.tail.len() >= TAIL_CHANGES_MAX || bytes > TAIL_BYTES_MAX
    }

    /// Replaces a long tail by a snapshot that was loaded again and compared.
    fn compact(&mut self, contents: &Contents) -> Result<(), StoreError> {
        let few = if let Contents::Document(_) = contents { TAIL_CHANGES } else { TAIL_CHANGES_UNLOADED };
        if self.is_long(few) {
            self.row.snapshot = match contents {
                Contents::Document(document) => document.snapshot()?,
                Contents::Registers(_) => self.document()?.snapshot()?,
            };
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
            return Ok(Draft {
                id,
                row: DocumentRow::default(),
                before: None,
                bytes_before: 0,
                shown: None,
                registers: Some(Registers::empty(self.shape(&record.collection))),
                following: None,
                view_before: None,
                snapshot_changed: false,
                concurrent: false,
            });
        };
        let (view, rest) = codec::decode_front::<StoredView>(&bytes)?;
        let mut row: DocumentRow = codec::decode(rest)?;
        if row.apart {
            let apart = txn::read(&*self.disk, &keys::snapshot(record))?;
            row.snapshot = apart.ok_or_else(|| StoreError::Damaged { what: format!("{record} lost its snapshot") })?;
        }
        let before = Some((view.deleted(), row.lineage.leaf(&id)));
        let whole = bytes.len() < VIEW_BYTES_WHOLE && self.shape(&record.collection).keeps();
        let view = view.view();
        let registers = std::mem::take(&mut row.registers);
        let registers = view.as_ref().and_then(|view| registers.registers(view, |place| row.lineage.actor_at(place)));
        let shown = if whole { view.clone() } else { None };
        let bytes_before = bytes.len();
        Ok(Draft {
            id,
            row,
            before,
            bytes_before,
            shown,
            registers,
            following: None,
            view_before: view.filter(|_| self.is_indexed(&record.collection)),
            snapshot_changed: false,
            concurrent: false,
        })
    }

    /// Writes a changed record with its collection's counts and digest. `contents` holds what the draft's row says.
    pub(super) fn write_draft(
        &self,
        tx: &mut Txn<'_>,
        collections: &mut BTreeMap<Collection, CollectionRow>,
        record: &RecordId,
        mut draft: Draft,
        contents: &Contents,
    ) -> Result<View, StoreError> {
        draft.compact(contents)?;
        let shape = self.shape(&record.collection);
        let view = contents.view(shape);
        let counts = self.without(collections, record, &draft);
        if !(planted!(DigestSkipsDelete) && view.deleted) {
            counts.digest = Digest(counts.digest).plus(draft.row.lineage.leaf(&draft.id)).0;
        }
        let count = if view.deleted { &mut counts.deleted } else { &mut counts.live };
        *count = count.saturating_add(1);

        let conflicting = (draft.row.conflicting || draft.concurrent) && contents.has_conflicts()?;
        match (draft.row.conflicting, conflicting) {
            (false, true) => tx.put(keys::conflict(record), &[]),
            (true, false) => tx.remove(keys::conflict(record)),
            _ => {}
        }
        draft.row.conflicting = conflicting;

        let apart = draft.row.snapshot.len() > SNAPSHOT_INLINE_BYTES_MAX;
        draft.row.apart = apart;
        let snapshot = if apart { std::mem::take(&mut draft.row.snapshot) } else { Vec::new() };
        if apart && draft.snapshot_changed {
            tx.put(keys::snapshot(record), &snapshot);
        }
        let registers = contents.registers();
        let place = |actor: &_| draft.row.lineage.actor_place(actor);
        let registers = registers.and_then(|registers| StoredRegisters::new(&registers, &view, place));
        draft.row.registers = registers.unwrap_or_default();
        let mut bytes = StoredView::encode(&view)?;
        self.write_indexes(tx, record, draft.view_before.as_ref(), &view, &bytes)?;
        bytes.extend_from_slice(&codec::encode(&draft.row)?);
        match draft.before {
            None => tx.put_new(keys::record(record), &bytes),
            Some(_) => tx.put_over(keys::record(record), &bytes, draft.bytes_before),
        }
        Ok(view)
    }

    /// Removes a record as if it had never been.
    pub(super) fn remove_draft(
        &self,
        tx: &mut Txn<'_>,
        collections: &mut BTreeMap<Collection, CollectionRow>,
        record: &RecordId,
        draft: &Draft,
    ) -> Result<(), StoreError> {
        self.without(collections, record, draft);
        tx.remove(keys::record(record));
        tx.remove(keys::snapshot(record));
        tx.remove(keys::conflict(record));
        let gone = View { deleted: true, ..View::default() };
        self.write_indexes(tx, record, draft.view_before.as_ref(), &gone, &[])
    }

    /// The collection's row without what the record added to it before.
    fn without<'a>(
        &self,
        collections: &'a mut BTreeMap<Collection, CollectionRow>,
        record: &RecordId,
        draft: &Draft,
    ) -> &'a mut CollectionRow {
        let counts = collections.entry(record.collection.clone()).or_insert_with(|| {
            match self.collections.get(&record.collection) {
                Some(row) => row.clone(),
                None => CollectionRow { views: self.shape(&record.collection).print(), ..CollectionRow::default() },
            }
        });
        if let Some((deleted, leaf)) = draft.before {
            counts.digest = Digest(counts.digest).minus(leaf).0;
            let count = if deleted { &mut counts.deleted } else { &mut counts.live };
            // A count that a damaged row says; the check of the rows tells of it.
            *count = count.saturating_sub(1);
        }
        counts
    }

    /// Writes the collections' rows.
    pub(super) fn write_collections(
        &self,
        tx: &mut Txn<'_>,
        collections: &BTreeMap<Collection, CollectionRow>,
    ) -> Result<(), StoreError> {
        collections.iter().try_for_each(|(name, row)| put_row(tx, keys::collection(name), row))
    }
}
