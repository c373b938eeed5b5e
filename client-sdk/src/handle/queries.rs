//! Queries through the handle. Must not know how they are answered.

use super::Comptoir;
use crate::error::Error;
use comptoir_engine::{Collection, Explanation, Page, Query, Tallied, Tally};

impl Comptoir {
    /// A page of the records that a query asks for. [`Page::next`] is where the next one begins.
    pub async fn query(&self, collection: &str, query: &Query) -> Result<Page, Error> {
        let (collection, query) = (Collection::new(collection)?, query.clone());
        self.with(move |engine, _| engine.query(&collection, &query)).await
    }

    /// How [`Comptoir::query`] answers, found by doing it: which index it reads, and how much.
    pub async fn explain(&self, collection: &str, query: &Query) -> Result<Explanation, Error> {
        let (collection, query) = (Collection::new(collection)?, query.clone());
        self.with(move |engine, _| engine.explain(&collection, &query)).await
    }

    /// Counts the records that a query asks for, whatever its order and page.
    pub async fn tally(&self, collection: &str, query: &Query, tally: &Tally) -> Result<Vec<Tallied>, Error> {
        let (collection, query, tally) = (Collection::new(collection)?, query.clone(), tally.clone());
        self.with(move |engine, _| engine.tally(&collection, &query, &tally)).await
    }

    /// Waits until every index that a schema asks for is complete. Without it the thread fills them when it has nothing
    /// else to do, and queries read the records themselves meanwhile.
    pub async fn finish_indexes(&self) -> Result<(), Error> {
        while self.with(|engine, _| engine.index_step()).await? {}
        Ok(())
    }
}
