//! Stored views made again when a collection's schema changes what they show: a view is a function of document and schema.
//! In chunks, each one atomic commit; the collection's row says by what its views were made, so that a rebuild cut short
//! is done again when the store is opened. Must not know how a view is made.

use super::draft::VIEW_BYTES_WHOLE;
use super::rows::CollectionRow;
use super::{Store, StoreError, keys};
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::id::Collection;
use crate::record::Shape;
use crate::record::shape::Print;
use crate::record::view::StoredView;
use std::collections::BTreeMap;

/// Records looked at in one commit.
const CHUNK_RECORDS: usize = 256;

/// What a collection's row says while its views are being made again.
const UNDER_WAY: Print = [0xff; 16];

impl Store {
    /// Makes the views again of all collections whose row says that they were made by something else.
    pub(super) fn rebuild_stale(&mut self) -> Result<(), StoreError> {
        let names: Vec<Collection> = self.collections.keys().cloned().collect();
        names.iter().try_for_each(|name| self.rebuild(name, None))
    }

    /// Makes a collection's views again unless they were made by its schema. `before` is the schema that was in force.
    pub(super) fn rebuild(&mut self, collection: &Collection, before: Option<&Shape>) -> Result<(), StoreError> {
        let print = self.shape(collection).print();
        let Some(row) = self.collections.get(collection).filter(|row| row.views != print) else { return Ok(()) };
        let before = before.filter(|before| before.print() == row.views).cloned();
        let (mut from, until) = keys::records(collection);
        loop {
            let rows = txn::scan(&*self.disk, &from, &until, CHUNK_RECORDS)?;
            let last = rows.last().map(|(key, _)| key.clone()).filter(|_| rows.len() == CHUNK_RECORDS);
            self.rebuild_chunk(collection, rows, before.as_ref(), if last.is_some() { UNDER_WAY } else { print })?;
            match last {
                Some(last) => from = [last.as_slice(), &[0]].concat(),
                None => break,
            }
        }
        self.rebuilt = true;
        Ok(())
    }

    fn rebuild_chunk(
        &mut self,
        collection: &Collection,
        rows: Vec<(Vec<u8>, Vec<u8>)>,
        before: Option<&Shape>,
        views: Print,
    ) -> Result<(), StoreError> {
        let shape = self.shape(collection);
        let row = CollectionRow { views, ..self.collections.get(collection).cloned().unwrap_or_default() };
        let mut tx = Txn::new(&*self.disk);
        let mut collections = BTreeMap::from([(collection.clone(), row)]);
        for (key, bytes) in rows {
            let record = keys::record_of(&key)?;
            let view = codec::decode_front::<StoredView>(&bytes)?.0.view();
            let view = view.ok_or_else(|| StoreError::Damaged { what: format!("the stored view of {record}") })?;
            let whole = bytes.len() < VIEW_BYTES_WHOLE;
            if before.is_some_and(|before| whole && !shape.may_change(before, &view)) {
                continue;
            }
            let draft = self.open_draft(&record);
            match draft.and_then(|draft| Ok((draft.document()?, draft))) {
                Ok((document, _)) if document.view(shape) == view => {}
                Ok((document, draft)) => {
                    self.write_draft(&mut tx, &mut collections, &record, draft, &document.into())?;
                }
                // It keeps the view that it has; whoever edits the record is told.
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.write_collections(&mut tx, &collections)?;
        self.finish(tx)?;
        self.collections.extend(collections);
        Ok(())
    }

    /// Whether views were made again since this was last asked: then more has changed than the records that were named.
    pub fn take_rebuilt(&mut self) -> bool {
        std::mem::take(&mut self.rebuilt)
    }
}
