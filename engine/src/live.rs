//! A live query: what it showed last, and the exact difference to what it shows now. Holds no queue: a listener that
//! comes late gets one difference, or one refresh. Must not know how it is woken.

mod difference;

pub use difference::Step;

use crate::id::{Collection, Key, RecordId};
use crate::query::{Position, Query, QueryError};
use crate::record::View;
use crate::store::{Store, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most records a live query shows; what it shows without a limit of its own.
pub const LIVE_RECORDS_MAX: usize = 1000;
/// The most changed records that are looked at one by one; past it the query is asked again.
pub const LIVE_CHANGES_MAX: usize = 256;

/// What a listener is told.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEvent {
    /// All that the query shows: at first, and when too much has changed to be listed.
    Refresh(Vec<(Key, View)>),
    /// The steps from what was told last to what is.
    Changed(Vec<Step>),
}

/// Which records may have changed since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// These of the collection.
    Keys(BTreeSet<Key>),
    /// Any, or the schema.
    All,
}

/// One record of the list.
#[derive(Debug)]
struct Row {
    position: Position,
    view: View,
}

impl Row {
    fn key(&self) -> &Key {
        self.position.key()
    }
}

/// A query and what it has shown. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Live {
    collection: Collection,
    query: Query,
    /// The query as the schema says it.
    bound: Query,
    limit: usize,
    /// The page begins behind this place.
    after: Option<Position>,
    rows: Vec<Arc<Row>>,
    started: bool,
}

impl Live {
    /// Begins with nothing shown. Errors: a query past its limits, one of more than [`LIVE_RECORDS_MAX`] records, or with
    /// a cursor of another query.
    pub fn new(collection: Collection, query: Query) -> Result<Self, QueryError> {
        let limit = query.limit.unwrap_or(LIVE_RECORDS_MAX);
        if limit > LIVE_RECORDS_MAX {
            return Err(QueryError::TooLarge { limit: "records in a live query", limit_max: LIVE_RECORDS_MAX });
        }
        query.check()?;
        let after = query.after.as_ref().map(|cursor| cursor.position(&query, &collection)).transpose()?;
        let query = query.limit(limit);
        Ok(Self { collection, bound: query.clone(), query, limit, after, rows: Vec::new(), started: false })
    }

    /// What to tell since the last look; `None` when the list is as it was.
    pub fn look(&mut self, store: &Store, touched: &Touched) -> Result<Option<LiveEvent>, StoreError> {
        let few = match touched {
            Touched::Keys(keys) if self.started && keys.len() <= LIVE_CHANGES_MAX => Some(keys),
            _ => None,
        };
        let rows = match few {
            Some(keys) => self.bring_forward(store, keys)?,
            None => {
                self.bound = self.query.bound(&store.schema(&self.collection));
                self.ask(store)?
            }
        };
        let steps = difference::between(&self.rows, &rows);
        let first = !std::mem::replace(&mut self.started, true);
        self.rows = rows;
        Ok(match few {
            _ if steps.is_empty() && !first => None,
            Some(_) => Some(LiveEvent::Changed(steps)),
            None => {
                let all = self.rows.iter().map(|row| (row.key().clone(), row.view.clone()));
                Some(LiveEvent::Refresh(all.collect()))
            }
        })
    }

    /// The rows after the records of `keys` changed.
    fn bring_forward(&self, store: &Store, keys: &BTreeSet<Key>) -> Result<Vec<Arc<Row>>, StoreError> {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| !keys.contains(row.key())).cloned().collect();
        for key in keys {
            if let Some(row) = self.current(store, key)? {
                let place = rows.partition_point(|other| other.position < row.position);
                rows.insert(place, Arc::new(row));
            }
        }
        // What lay behind a full page stays behind it as long as the page ends where it ended, or before.
        let exact = match self.rows.last() {
            Some(last) if self.rows.len() >= self.limit => {
                rows.get(self.limit - 1).is_some_and(|row| row.position <= last.position)
            }
            _ => true,
        };
        if !exact {
            return self.ask(store);
        }
        rows.truncate(self.limit);
        Ok(rows)
    }

    /// The record, if the query shows it.
    fn current(&self, store: &Store, key: &Key) -> Result<Option<Row>, StoreError> {
        let record = RecordId { collection: self.collection.clone(), key: key.clone() };
        let view = store.get(&record)?.filter(|view| self.bound.matches(key, view));
        let row = view.map(|view| Row { position: self.bound.position(key, &view), view });
        Ok(row.filter(|row| self.after.as_ref().is_none_or(|after| row.position > *after)))
    }

    fn ask(&self, store: &Store) -> Result<Vec<Arc<Row>>, StoreError> {
        let page = store.query(&self.collection, &self.query)?;
        let row = |(key, view): (Key, View)| Arc::new(Row { position: self.bound.position(&key, &view), view });
        Ok(page.records.into_iter().map(row).collect())
    }
}
