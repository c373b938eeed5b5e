//! The schemas in force, kept beside the records they are made of. Must not know what a schema demands.

use super::{Committed, Store, StoreError};
use crate::id::{Collection, Key, NameError, RecordId};
use crate::record::schema::{self, SCHEMAS, Schema};
use crate::record::{FieldEdit, Fields, SchemaError, Shape, View};
use crate::time::Timestamp;
use std::sync::Arc;

/// Rows read at a time.
const ROWS_MAX: usize = 64;

impl Store {
    /// A collection's schema; the default one where none was set.
    pub fn schema(&self, collection: &Collection) -> Arc<Schema> {
        self.schemas.get(collection).cloned().unwrap_or_default()
    }

    /// Sets a collection's schema, given as the fields of its record. Setting what is in force changes nothing. Refuses
    /// what is not known or does not fit together and, where there are records, what an older app could not go on
    /// under: see [`SchemaError`]. What a newer release says about a field that `given` names is kept.
    pub fn set_schema(
        &mut self,
        collection: &Collection,
        given: &Fields,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let record = schema_record(collection)?;
        let refuse = |error: SchemaError| StoreError::Schema { collection: collection.clone(), error };
        let next = schema::check(given).map_err(refuse)?;
        self.check_next(collection, &next).map_err(refuse)?;
        let held = self.get(&record)?.unwrap_or_default();
        let fields = schema::written(&held.fields, given);
        self.write_schema(record, held, fields, now)
    }

    /// Adds what an app wants of a collection's schema to what is in force, as [`Schema::joined`] says, so that every
    /// version of the app can do so whenever it starts: what another one or a person said stays. Where it is all there
    /// already, nothing changes. Refuses what [`Store::set_schema`] refuses.
    pub fn ensure_schema(
        &mut self,
        collection: &Collection,
        wants: &Schema,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let record = schema_record(collection)?;
        let refuse = |error: SchemaError| StoreError::Schema { collection: collection.clone(), error };
        let in_force = self.schema(collection);
        let next = in_force.joined(wants);
        if next == *in_force {
            return Ok(Committed::default());
        }
        self.check_next(collection, &next).map_err(refuse)?;
        schema::check(&next.fields()).map_err(refuse)?;
        let held = self.get(&record)?.unwrap_or_default();
        let fields = match held.deleted {
            true => schema::written(&held.fields, &next.fields()),
            false => schema::grown(&held.fields, &in_force, &next),
        };
        self.write_schema(record, held, fields, now)
    }

    /// Refuses what an older app could not go on under, where there are records.
    fn check_next(&self, collection: &Collection, next: &Schema) -> Result<(), SchemaError> {
        match self.collections.get(collection).is_some_and(|row| row.live + row.deleted > 0) {
            true => schema::evolve(&self.schema(collection), next),
            false => Ok(()),
        }
    }

    fn write_schema(
        &mut self,
        record: RecordId,
        held: View,
        fields: Fields,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let mut edits = vec![(record.clone(), FieldEdit::Set(fields))];
        if held.deleted {
            edits.insert(0, (record.clone(), FieldEdit::Restore));
        }
        let mut committed = self.commit_local(&edits, now)?;
        if self.get(&record)? != Some(held) {
            committed.changed.push(record);
        }
        Ok(committed)
    }

    /// A collection's schema as documents use it.
    pub(super) fn shape(&self, collection: &Collection) -> &Shape {
        self.shapes.get(collection).unwrap_or(Shape::none())
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

    /// Reads those schemas again that a commit of `changed` has touched, and makes the views again that they change.
    pub(super) fn refresh_schemas(&mut self, changed: &[RecordId]) -> Result<(), StoreError> {
        for record in changed.iter().filter(|record| record.collection.as_str() == SCHEMAS) {
            let view = self.get(record)?.filter(|view| !view.deleted);
            let Ok(collection) = Collection::new(record.key.as_str()) else { continue };
            let before = self.shape(&collection).clone();
            self.keep_schema(record.key.as_str(), view.map(|view| Schema::read(&view.fields)));
            self.rebuild(&collection, Some(&before))?;
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
        let Some(schema) = schema else {
            self.schemas.remove(&collection);
            self.shapes.remove(&collection);
            return;
        };
        self.shapes.insert(collection.clone(), Shape::from(&schema));
        self.schemas.insert(collection, Arc::new(schema));
    }
}

/// The record that holds a collection's schema; Comptoir's own collections have none.
fn schema_record(collection: &Collection) -> Result<RecordId, StoreError> {
    let record = RecordId { collection: Collection::new(SCHEMAS)?, key: Key::new(collection.as_str())? };
    if collection.is_reserved() { Err(StoreError::Reserved { record }) } else { Ok(record) }
}
