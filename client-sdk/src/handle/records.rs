//! Records as structs: saved, loaded, updated, listed. Must not know how a struct becomes fields.

use super::Comptoir;
use crate::error::Error;
use crate::record::{Record, RecordError};
use comptoir_engine::{Collection, Committed, Engine, FieldEdit, Fields, Key, Now, RecordId, StoreError, Value};

/// Some of a collection's records, in order of key, deleted ones left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage<R> {
    /// The records.
    pub records: Vec<R>,
    /// What to ask for the next page with; `None` when there is nothing more.
    pub next: Option<Key>,
}

impl Comptoir {
    /// Adds what a struct says of its records to their collection's schema, for every device; where it is all there already,
    /// nothing changes. One call when the app starts, in every version of it: nothing that another version or a person
    /// said is taken away, so versions that share a workspace do not undo each other's schema (see `docs/schemas.md`).
    /// Durable when it returns. Errors: a field of another type, a required one without default, or states in
    /// another order, where there are records.
    pub async fn ensure_schema<R: Record>(&self) -> Result<Committed, Error> {
        let (collection, wants) = (Collection::new(R::COLLECTION)?, R::schema());
        self.with(move |engine, now| engine.ensure_schema(&collection, &wants, now)).await
    }

    /// Saves a struct as its record. In a record that is there already, only what differs is set, a field that is `None`
    /// is removed, and counters are left alone: a struct loaded an hour ago must not undo the sales since. Counters change
    /// by [`Comptoir::increment`] and [`Comptoir::update`]. Durable when it returns.
    pub async fn save<R: Record + Clone + Send + 'static>(&self, record: &R) -> Result<Committed, Error> {
        let (id, record) = (RecordId::new(R::COLLECTION, record.key())?, record.clone());
        self.with(move |engine, now| save(engine, &id, &record, now)).await
    }

    /// A record as a struct; `None` when there is none, or it was deleted.
    pub async fn load<R: Record>(&self, key: &str) -> Result<Option<R>, Error> {
        let view = self.get(R::COLLECTION, key).await?.filter(|view| !view.deleted);
        let record = view.map(|view| R::from_view(key, &view)).transpose();
        record.map_err(|error| unfit(RecordId::new(R::COLLECTION, key), error))
    }

    /// Loads a record, lets `change` work on it, and saves what that changed, with no other edit in between; a counter is
    /// moved by the difference. Returns the record as it is then. `change` runs on the store's thread: it must not wait.
    /// Durable when it returns. Errors: `NoRecord` when there is none, or it was deleted.
    pub async fn update<R: Record + Send + 'static>(
        &self,
        key: &str,
        change: impl FnOnce(&mut R) + Send + 'static,
    ) -> Result<R, Error> {
        let id = RecordId::new(R::COLLECTION, key)?;
        let of = id.clone();
        let outcome = self.with(move |engine, now| update(engine, &of, change, now)).await?;
        outcome.ok_or_else(|| Error::NoRecord { record: id.to_string() })?.map_err(|error| unfit(Ok(id), error))
    }

    /// Records after `after` in order of key, as structs; deleted ones are left out, so a page may hold fewer than
    /// `records_max`, and still have one behind it.
    pub async fn page<R: Record>(&self, after: Option<&Key>, records_max: usize) -> Result<RecordPage<R>, Error> {
        let rows = self.list(&Collection::new(R::COLLECTION)?, after, records_max).await?;
        let next = rows.last().filter(|_| rows.len() == records_max).map(|(key, _)| key.clone());
        let mut records = Vec::with_capacity(rows.len());
        for (key, view) in rows.iter().filter(|(_, view)| !view.deleted) {
            let record = R::from_view(key.as_str(), view);
            records.push(record.map_err(|error| unfit(RecordId::new(R::COLLECTION, key.as_str()), error))?);
        }
        Ok(RecordPage { records, next })
    }
}

fn unfit(record: Result<RecordId, comptoir_engine::id::NameError>, error: RecordError) -> Error {
    record.map_or_else(Error::Name, |record| Error::Record { record, error })
}

/// As [`Comptoir::save`] says.
fn save<R: Record>(engine: &mut Engine, id: &RecordId, record: &R, now: Now) -> Result<Committed, StoreError> {
    let Some(view) = engine.get(id)? else {
        return engine.commit(&[(id.clone(), FieldEdit::Set(record.fields()))], now);
    };
    let counts = |name: &str| R::COUNTERS.contains(&name);
    let fields = record.fields_over(&view.fields);
    let edits = differences::<R>(id, &view.fields, fields, |name| !counts(name));
    engine.commit(&edits, now)
}

/// As [`Comptoir::update`] says; `None` when there is no record.
fn update<R: Record>(
    engine: &mut Engine,
    id: &RecordId,
    change: impl FnOnce(&mut R),
    now: Now,
) -> Result<Option<Result<R, RecordError>>, StoreError> {
    let Some(view) = engine.get(id)?.filter(|view| !view.deleted) else { return Ok(None) };
    let mut record = match R::from_view(id.key.as_str(), &view) {
        Ok(record) => record,
        Err(error) => return Ok(Some(Err(error))),
    };
    let before = record.fields_over(&view.fields);
    change(&mut record);
    if record.key() != id.key.as_str() {
        let (key, changed) = (id.key.to_string(), record.key().to_owned());
        return Ok(Some(Err(RecordError::Key { key, changed })));
    }
    let fields = record.fields_over(&view.fields);
    let edits = differences::<R>(id, &before, fields, |_| true);
    engine.commit(&edits, now)?;
    Ok(Some(Ok(record)))
}

/// The edits that make a record of the fields `before` one of `fields`, of those a struct knows and `wanted` lets pass.
fn differences<R: Record>(
    id: &RecordId,
    before: &Fields,
    mut fields: Fields,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(RecordId, FieldEdit)> {
    let known = || R::NAMES.iter().copied().filter(|name| wanted(name));
    let gone =
        |name: &&str| !fields.contains_key(*name) && before.get(*name).is_some_and(|value| *value != Value::Null);
    let gone: Vec<_> = known().filter(gone).map(|name| FieldEdit::Unset { field: name.to_owned() }).collect();
    fields.retain(|name, value| wanted(name) && before.get(name) != Some(value));
    [FieldEdit::Set(fields)].into_iter().chain(gone).map(|edit| (id.clone(), edit)).collect()
}
