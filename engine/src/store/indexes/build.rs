//! Filling new indexes with the records that are there, and clearing dropped ones: one atomic, flushed commit a piece, so
//! that both go on where they were after a crash. Must not know when they are called.

use super::{Kept, copied, postings, value_key};
use crate::disk::txn::{self, Txn};
use crate::id::{Collection, Key, RecordId};
use crate::query::words;
use crate::record::view::StoredView;
use crate::store::rows::{IndexRow, IndexState};
use crate::store::{Store, StoreError, keys, put_row};
use std::collections::BTreeMap;

/// Records that one piece of filling takes in.
const PIECE_RECORDS: usize = 512;
/// Rows that one piece of clearing takes away.
const PIECE_ROWS: usize = 2048;

impl Store {
    /// Whether [`Store::index_step`] has something to do.
    pub fn has_index_work(&self) -> bool {
        self.indexes.values().any(|kept| !kept.is_complete())
    }

    /// Does one piece of what indexes wait for, durably: some milliseconds of work. Whether there is more.
    pub fn index_step(&mut self) -> Result<bool, StoreError> {
        let waiting = self.indexes.iter().find(|(_, kept)| !kept.is_complete());
        let Some((number, kept)) = waiting.map(|(number, kept)| (*number, kept.clone())) else { return Ok(false) };
        match &kept.row.state {
            IndexState::Building { through } => self.fill(number, &kept, through.as_deref())?,
            IndexState::Dropping => self.clear(number)?,
            IndexState::Complete => {}
        }
        Ok(self.has_index_work())
    }

    fn fill(&mut self, number: u32, kept: &Kept, through: Option<&str>) -> Result<(), StoreError> {
        let collection = Collection::new(&kept.row.collection)?;
        let through = through.map(Key::new).transpose()?;
        let records = self.list(&collection, through.as_ref(), PIECE_RECORDS)?;
        let state = match records.last() {
            Some((last, _)) if records.len() == PIECE_RECORDS => {
                IndexState::Building { through: Some(last.as_str().to_owned()) }
            }
            _ => IndexState::Complete,
        };
        let mut tx = Txn::new(&*self.disk);
        let live = records.iter().filter(|(_, view)| !view.deleted);
        if kept.row.words {
            let mut by_word: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (key, view) in live {
                for word in words::words_of(&kept.shape.fields, key, view) {
                    by_word.entry(word).or_default().push(key.as_str());
                }
            }
            for (word, records) in by_word {
                postings::insert(&mut tx, number, &word, &records)?;
            }
        } else {
            for (key, view) in live {
                let record = RecordId { collection: collection.clone(), key: key.clone() };
                let stored = if kept.is_of_views() { StoredView::encode(view)? } else { Vec::new() };
                tx.put_short(value_key(number, kept, &record, view), copied(&stored));
            }
        }
        let row = IndexRow { state, ..kept.row.clone() };
        put_row(&mut tx, keys::index(number), &row)?;
        self.finish(tx)?;
        self.indexes.insert(number, Kept { row, shape: kept.shape.clone() });
        Ok(())
    }

    /// The row that says there is an index goes with the last of its rows.
    fn clear(&mut self, number: u32) -> Result<(), StoreError> {
        let mut tx = Txn::new(&*self.disk);
        let mut left = PIECE_ROWS;
        for prefix in [keys::values(number), keys::words(number)] {
            let until = crate::query::order::behind(&prefix);
            let rows = txn::scan(&*self.disk, &prefix, &until, left)?;
            left -= rows.len();
            rows.into_iter().for_each(|(key, _)| tx.remove_short(key));
        }
        let done = left > 0;
        if done {
            tx.remove(keys::index(number));
        }
        self.finish(tx)?;
        if done {
            self.indexes.remove(&number);
        }
        Ok(())
    }
}
