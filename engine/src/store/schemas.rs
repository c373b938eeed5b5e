//! The schemas in force, kept beside the records they are made of. Must not know what a schema demands.

use super::{Store, StoreError};
use crate::id::{Collection, NameError, RecordId};
use crate::record::schema::{SCHEMAS, Schema};
use std::sync::Arc;

/// Rows read at a time.
const ROWS_MAX: usize = 64;

impl Store {
    /// A collection's schema; the default one where none was set.
    pub fn schema(&self, collection: &Collection) -> Arc<Schema> {
        self.schemas.get(collection).cloned().unwrap_or_default()
    }

    /// Reads every schema.
    pub(super) fn read_schemas(&mut self) -> Result<(), StoreError> {
        let schemas = Collection::new(SCHEMAS)?;
        let mut after = None;
        loop {
            let page = self.list(&schemas, after.as_ref(), ROWS_MAX)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, view) in page {
                self.keep_schema(key.as_str(), (!view.deleted).then(|| Schema::read(&view.fields)));
            }
        }
    }

    /// Reads those schemas again that a commit of `changed` has touched.
    pub(super) fn refresh_schemas(&mut self, changed: &[RecordId]) -> Result<(), StoreError> {
        for record in changed.iter().filter(|record| record.collection.as_str() == SCHEMAS) {
            let view = self.get(record)?.filter(|view| !view.deleted);
            self.keep_schema(record.key.as_str(), view.map(|view| Schema::read(&view.fields)));
        }
        match changed.iter().any(|record| record.collection.as_str() == SCHEMAS) {
            true => self.settle_indexes(),
            false => Ok(()),
        }
    }

    /// Comptoir's own collections have no schema; a key that names no collection has no effect.
    fn keep_schema(&mut self, name: &str, schema: Option<Schema>) {
        let collection: Result<Collection, NameError> = Collection::new(name);
        let Some(collection) = collection.ok().filter(|name| !name.is_reserved()) else { return };
        match schema {
            Some(schema) => self.schemas.insert(collection, Arc::new(schema)),
            None => self.schemas.remove(&collection),
        };
    }
}
