//! Reads: stored views and leaves, never a document. Must not change anything.

use super::rows::DocumentRow;
use super::{Store, StoreError, keys};
use crate::codec;
use crate::digest::Digest;
use crate::disk::txn;
use crate::gate::Lineage;
use crate::id::{ChangeHash, Collection, DocumentId, Key, RecordId};
use crate::record::View;
use crate::record::view::{ReadView, StoredView};

/// Rows read at a time.
const ROWS_MAX: usize = 512;

/// What the keys of one collection's views begin with.
pub(super) struct ViewsAt {
    /// Copies apart from history, of all records that are not deleted; empty ones of long views.
    copies: Option<Vec<u8>>,
    /// The records' rows.
    pub(super) records: Vec<u8>,
}

impl Store {
    /// A record's view, deleted ones too; `None` when there never was one.
    pub fn get(&self, record: &RecordId) -> Result<Option<View>, StoreError> {
        Ok(self.view_at(&self.views_at(&record.collection), &record.key)?.map(|(view, _)| view))
    }

    /// Where a collection's views are.
    pub(super) fn views_at(&self, collection: &Collection) -> ViewsAt {
        ViewsAt { copies: self.copies(collection), records: keys::records(collection).0 }
    }

    /// A record's view, and its length as it is stored.
    pub(super) fn view_at(&self, views: &ViewsAt, key: &Key) -> Result<Option<(View, usize)>, StoreError> {
        let read = |prefix: &[u8]| txn::read(&*self.disk, &[prefix, key.as_str().as_bytes()].concat());
        let copy = views.copies.as_deref().map(read).transpose()?.flatten();
        let row = match copy.filter(|copy| !copy.is_empty()) {
            Some(copy) => Some(copy),
            None => read(&views.records)?,
        };
        row.map(|row| Ok((view(&row)?, row.len()))).transpose()
    }

    /// At most `records_max` records of a collection in order of key, those after `after`, deleted ones too.
    pub fn list(
        &self,
        collection: &Collection,
        after: Option<&Key>,
        records_max: usize,
    ) -> Result<Vec<(Key, View)>, StoreError> {
        let (mut from, until) = keys::records(collection);
        if let Some(key) = after {
            from = keys::record(&RecordId { collection: collection.clone(), key: key.clone() });
            from.push(0);
        }
        let rows = txn::scan(&*self.disk, &from, &until, records_max)?;
        rows.into_iter().map(|(key, bytes)| Ok((keys::record_of(&key)?.key, view(&bytes)?))).collect()
    }

    /// The collections that hold or held records, Comptoir's own left out.
    pub fn collections(&self) -> Vec<Collection> {
        self.collections.keys().filter(|name| !name.is_reserved()).cloned().collect()
    }

    /// The changes of a record that nothing follows, sorted; none of no record.
    pub fn heads(&self, record: &RecordId) -> Result<Vec<ChangeHash>, StoreError> {
        let row = txn::read(&*self.disk, &keys::record(record))?;
        Ok(row.map(|row| lineage(&row)).transpose()?.map(|lineage| lineage.heads()).unwrap_or_default())
    }

    /// Every record's leaf of the digest.
    pub fn leaves(&self) -> Result<Vec<(Digest, RecordId)>, StoreError> {
        let (mut from, until) = keys::all_records();
        let mut leaves = Vec::new();
        loop {
            let rows = txn::scan(&*self.disk, &from, &until, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { return Ok(leaves) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in rows {
                let record = keys::record_of(&key)?;
                let id = DocumentId::derive(&self.settings.workspace, &record);
                leaves.push((lineage(&bytes)?.leaf(&id), record));
            }
        }
    }
}

fn lineage(bytes: &[u8]) -> Result<Lineage, StoreError> {
    let (_, rest) = codec::decode_front::<StoredView>(bytes)?;
    Ok(codec::decode::<DocumentRow>(rest)?.lineage)
}

pub(super) fn view(bytes: &[u8]) -> Result<View, StoreError> {
    let (ReadView(view), _) = codec::decode_front_as::<StoredView, ReadView>(bytes)?;
    view.ok_or_else(|| StoreError::Damaged { what: "a stored view".to_owned() })
}
