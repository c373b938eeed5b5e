//! The indexes that schemas ask for: which there are, and keeping them in the commit of the record they are about. Must
//! not know queries.
//!
//! An index is begun when a schema asks for it, takes in every write from then on, and is filled with the records that
//! were there before piece by piece; a query uses it when it is complete. Deleted records are in none.
//!
//! Beside the indexes that a schema asks for lies one of no fields: in it are the views themselves, by key. A query that
//! has found its records reads them there, and not from the records' rows, most of which is history. A long view is not
//! copied; its row is empty.

mod build;
pub(super) mod postings;

use super::rows::{IndexRow, IndexState};
use super::{Store, StoreError, keys, put_row};
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::id::{Collection, RecordId};
use crate::query::plan::Shape;
use crate::query::words;
use crate::record::View;
use crate::record::schema::Index;
use std::collections::{BTreeMap, BTreeSet};

/// The most indexes of a store, those that are being dropped included.
const INDEXES_MAX: usize = 1024;

/// The longest view that is copied, in bytes; with it a row is never cut into parts.
const COPY_BYTES_MAX: usize = 2048;

/// One index.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) row: IndexRow,
    pub(super) shape: Shape,
}

/// All indexes of a store, by number.
pub(super) type Indexes = BTreeMap<u32, Kept>;

impl Kept {
    fn new(row: IndexRow) -> Option<Self> {
        let shape = Shape::of(&Index { fields: row.fields.clone(), words: row.words })?;
        Some(Self { row, shape })
    }

    fn is_kept(&self, collection: &Collection) -> bool {
        self.row.state != IndexState::Dropping && self.row.collection == collection.as_str()
    }

    /// Whether it holds the views themselves.
    fn is_of_views(&self) -> bool {
        !self.row.words && self.row.fields.is_empty()
    }

    /// Whether it holds every record of its collection.
    pub(super) fn is_complete(&self) -> bool {
        self.row.state == IndexState::Complete
    }
}

impl Store {
    /// Reads what indexes there are.
    pub(super) fn read_indexes(&mut self) -> Result<(), StoreError> {
        let (from, until) = keys::indexes();
        for (key, bytes) in txn::scan(&*self.disk, &from, &until, INDEXES_MAX)? {
            let kept = Kept::new(codec::decode(&bytes)?);
            let kept = kept.ok_or_else(|| StoreError::Damaged { what: "an index's row".to_owned() })?;
            self.indexes.insert(keys::index_number_of(&key)?, kept);
        }
        Ok(())
    }

    /// Begins the indexes that schemas ask for and drops those that none asks for any more, durably.
    pub(super) fn settle_indexes(&mut self) -> Result<(), StoreError> {
        let mut missing: BTreeSet<(&str, &[String], bool)> = BTreeSet::new();
        for (collection, schema) in &self.schemas {
            let good = schema.indexes.values().filter(|index| Shape::of(index).is_some());
            let before = missing.len();
            missing.extend(good.map(|index| (collection.as_str(), index.fields.as_slice(), index.words)));
            if missing.len() > before {
                missing.insert((collection.as_str(), &[], false));
            }
        }
        let mut changed = Indexes::new();
        for (number, kept) in self.indexes.iter().filter(|(_, kept)| kept.row.state != IndexState::Dropping) {
            let IndexRow { collection, fields, words, .. } = &kept.row;
            if !missing.remove(&(collection.as_str(), fields.as_slice(), *words)) {
                let row = IndexRow { state: IndexState::Dropping, ..kept.row.clone() };
                changed.insert(*number, Kept { row, shape: kept.shape.clone() });
            }
        }
        let room = INDEXES_MAX.saturating_sub(self.indexes.len());
        let next = self.indexes.last_key_value().map_or(0, |(number, _)| number.saturating_add(1));
        for (number, (collection, fields, words)) in (next..).zip(missing.into_iter().take(room)) {
            let state = IndexState::Building { through: None };
            let row = IndexRow { collection: collection.to_owned(), fields: fields.to_vec(), words, state };
            changed.extend(Kept::new(row).map(|kept| (number, kept)));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let mut tx = Txn::new(&*self.disk);
        changed.iter().try_for_each(|(number, kept)| put_row(&mut tx, keys::index(*number), &kept.row))?;
        self.finish(tx)?;
        self.indexes.extend(changed);
        Ok(())
    }

    /// Whether writes to a collection have to know what a record was before.
    pub(super) fn is_indexed(&self, collection: &Collection) -> bool {
        self.indexes.values().any(|kept| kept.is_kept(collection))
    }

    /// Brings the indexes of a record's collection from what it was to what it is, which is `stored` so.
    pub(super) fn write_indexes(
        &self,
        tx: &mut Txn<'_>,
        record: &RecordId,
        before: Option<&View>,
        after: &View,
        stored: &[u8],
    ) -> Result<(), StoreError> {
        let before = before.filter(|view| !view.deleted);
        let after = Some(after).filter(|view| !view.deleted);
        for (number, kept) in self.indexes.iter().filter(|(_, kept)| kept.is_kept(&record.collection)) {
            if !kept.is_of_views()
                && let (Some(before), Some(after)) = (before, after)
                && kept.shape.is_same(&record.key, before, after)
            {
                continue;
            }
            if kept.row.words {
                let words = |view: &View| words::words_of(&kept.shape.fields, &record.key, view);
                let (old, new) = (before.map(words).unwrap_or_default(), after.map(words).unwrap_or_default());
                for word in old.difference(&new) {
                    postings::remove(tx, *number, word, &record.key)?;
                }
                for word in new.difference(&old) {
                    postings::insert(tx, *number, word, &[record.key.as_str()])?;
                }
            } else if kept.is_of_views() {
                let key = || value_key(*number, kept, record, &View::default());
                match after {
                    Some(view) if before != Some(view) => tx.put_short(key(), copied(stored)),
                    None if before.is_some() => tx.remove_short(key()),
                    _ => {}
                }
            } else {
                let row = |view: &View| value_key(*number, kept, record, view);
                let (old, new) = (before.map(row), after.map(row));
                if old != new {
                    old.into_iter().for_each(|key| tx.remove_short(key));
                    new.into_iter().for_each(|key| tx.put_short(key, &[]));
                }
            }
        }
        Ok(())
    }

    /// The indexes of a collection that queries may use, with their numbers.
    pub(super) fn complete_indexes(&self, collection: &Collection) -> Vec<(u32, &Shape)> {
        let good = |kept: &Kept| kept.is_kept(collection) && kept.is_complete() && !kept.is_of_views();
        let complete = self.indexes.iter().filter(|(_, kept)| good(kept));
        complete.map(|(number, kept)| (*number, &kept.shape)).collect()
    }

    /// What the keys of the copies of a collection's views begin with, where there are copies of all.
    pub(super) fn copies(&self, collection: &Collection) -> Option<Vec<u8>> {
        let good = |kept: &Kept| kept.is_of_views() && kept.is_complete() && kept.is_kept(collection);
        let (number, _) = self.indexes.iter().find(|(_, kept)| good(kept))?;
        Some(keys::values(*number))
    }
}

/// A view's copy: as it is stored, or empty where it is long.
fn copied(stored: &[u8]) -> &[u8] {
    if stored.len() <= COPY_BYTES_MAX { stored } else { &[] }
}

/// A record's key in an index of values.
fn value_key(number: u32, kept: &Kept, record: &RecordId, view: &View) -> Vec<u8> {
    let mut key = keys::values(number);
    key.extend_from_slice(&kept.shape.components(&record.key, view));
    key.extend_from_slice(record.key.as_str().as_bytes());
    key
}
