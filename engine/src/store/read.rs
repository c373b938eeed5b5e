//! Reads: stored views and leaves, never a document. Must not change anything.

use super::rows::DocumentRow;
use super::{Store, StoreError, keys};
use crate::codec;
use crate::digest::Digest;
use crate::disk::txn;
use crate::id::{Collection, DocumentId, Key, RecordId};
use crate::record::View;
use crate::record::view::{ReadView, StoredView};

/// Rows read at a time.
const ROWS_MAX: usize = 512;

impl Store {
    /// A record's view, deleted ones too; `None` when there never was one.
    pub fn get(&self, record: &RecordId) -> Result<Option<View>, StoreError> {
        txn::read(&*self.disk, &keys::record(record))?.map(|bytes| view(&bytes)).transpose()
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
                let (_, rest) = codec::decode_front::<StoredView>(&bytes)?;
                let row: DocumentRow = codec::decode(rest)?;
                let id = DocumentId::derive(&self.settings.workspace, &record);
                leaves.push((row.lineage.leaf(&id), record));
            }
        }
    }
}

pub(super) fn view(bytes: &[u8]) -> Result<View, StoreError> {
    let (ReadView(view), _) = codec::decode_front_as::<StoredView, ReadView>(bytes)?;
    view.ok_or_else(|| StoreError::Damaged { what: "a stored view".to_owned() })
}
