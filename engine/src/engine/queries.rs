//! Queries, and the work that indexes wait for. Must not know how either is done.

use super::Engine;
use crate::id::Collection;
use crate::live::{Live, LiveEvent, Touched};
use crate::query::{Query, Tallied, Tally};
use crate::store::{Explanation, Page, StoreError};

impl Engine {
    /// A page of the records that a query asks for, read from stored views and indexes.
    pub fn query(&self, collection: &Collection, query: &Query) -> Result<Page, StoreError> {
        self.store.query(collection, query)
    }

    /// How [`Engine::query`] answers, found by doing it.
    pub fn explain(&self, collection: &Collection, query: &Query) -> Result<Explanation, StoreError> {
        self.store.explain(collection, query)
    }

    /// What a live query has to tell.
    pub fn look(&self, live: &mut Live, touched: &Touched) -> Result<Option<LiveEvent>, StoreError> {
        live.look(&self.store, touched)
    }

    /// Counts the records that a query asks for, whatever its order and page.
    pub fn tally(&self, collection: &Collection, query: &Query, tally: &Tally) -> Result<Vec<Tallied>, StoreError> {
        self.store.tally(collection, query, tally)
    }

    /// Whether indexes wait to be filled or cleared: call [`Engine::index_step`] whenever there is nothing else to do.
    pub fn has_index_work(&self) -> bool {
        self.store.has_index_work()
    }

    /// Does one piece of what indexes wait for, durably: some milliseconds of work. Whether there is more.
    pub fn index_step(&mut self) -> Result<bool, StoreError> {
        self.store.index_step()
    }
}
