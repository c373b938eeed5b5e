//! Answers to queries, from stored views and indexes, never from a document: in memory that the limits bound. Must not
//! change anything.

mod reader;
mod rows;
mod words;

use super::{Store, StoreError};
use crate::id::{Collection, Key};
use crate::query::cursor::{PageCursor, Position};
use crate::query::plan::Access;
use crate::query::tally::{Counting, Tallied, Tally};
use crate::query::{Filter, Order, PAGE_RECORDS_MAX, Query, QueryError};
use crate::record::View;
use reader::{Found, Reader};
use std::collections::BinaryHeap;

/// A page ends early when its records are longer than this together, in bytes.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// A part of the answer to a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The records in the query's order.
    pub records: Vec<(Key, View)>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<PageCursor>,
}

/// How a query was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The name of the index that was used; `None` where the records themselves were read through.
    pub index: Option<String>,
    /// What of the filter the index, or the order of keys, saw to.
    pub served: Vec<String>,
    /// What of the filter every record was asked.
    pub rechecked: Vec<String>,
    /// The order.
    pub order: String,
    /// How much of it there was to sort.
    pub sorted: Sorted,
    /// Rows of the index that were read.
    pub rows: u64,
    /// Records that were read.
    pub records: u64,
    /// Records that were found.
    pub found: u64,
}

/// What had to be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sorted {
    /// Nothing: rows came in order, but for values too long for the index.
    Nothing,
    /// Records alike in the first fields of the order, among themselves.
    Groups,
    /// All records that were found.
    All,
}

/// A page in the making.
struct Filling {
    page: Page,
    records_max: usize,
    bytes: usize,
}

impl Filling {
    fn is_full(&self) -> bool {
        self.page.records.len() >= self.records_max || self.bytes >= PAGE_BYTES_MAX
    }

    fn push(&mut self, key: Key, view: View, bytes: usize) {
        self.bytes += bytes;
        self.page.records.push((key, view));
    }
}

impl Store {
    /// A page of the records that a query asks for.
    pub fn query(&self, collection: &Collection, query: &Query) -> Result<Page, StoreError> {
        Ok(self.answer(collection, query)?.0)
    }

    /// How [`Store::query`] answers, found by doing it.
    pub fn explain(&self, collection: &Collection, query: &Query) -> Result<Explanation, StoreError> {
        let (page, reader) = self.answer(collection, query)?;
        Ok(self.explanation(collection, &reader, page.records.len() as u64))
    }

    /// Counts the records that a query asks for, whatever its order and page.
    pub fn tally(&self, collection: &Collection, query: &Query, tally: &Tally) -> Result<Vec<Tallied>, StoreError> {
        query.check()?;
        let mut counting = Counting::new(tally.clone());
        let whole = Query { order: Vec::new(), limit: None, after: None, ..query.bound(&self.schema(collection)) };
        let mut reader = Reader::new(self, collection, whole)?;
        reader.wants_views = tally.sum.is_some() || tally.group.is_some();
        let nothing = View::default();
        while let Some(Found { key, view, .. }) = reader.next()? {
            counting.add(&key, view.as_ref().map_or(&nothing, |(view, _)| view))?;
        }
        Ok(counting.finish())
    }

    fn answer(&self, collection: &Collection, query: &Query) -> Result<(Page, Reader<'_>), StoreError> {
        query.check()?;
        let records_max = query.limit.unwrap_or(PAGE_RECORDS_MAX);
        let after = query.after.as_ref().map(|cursor| cursor.position(query, collection)).transpose()?;
        let mut reader = Reader::new(self, collection, query.bound(&self.schema(collection)))?;
        reader.begin_after(after);
        let mut filling = Filling { page: Page::default(), records_max, bytes: 0 };
        self.fill_page(&mut reader, &mut filling)?;
        let last = filling.page.records.last().filter(|_| filling.is_full());
        filling.page.next = last.map(|(key, view)| PageCursor::new(query, collection, &query.position(key, view)));
        Ok((filling.page, reader))
    }

    /// Rows that come in order are answered as they come; those that only come in groups are sorted group by group, of
    /// which no more is kept than the page has room for.
    fn fill_page(&self, reader: &mut Reader<'_>, filling: &mut Filling) -> Result<(), StoreError> {
        let mut heap: BinaryHeap<Position> = BinaryHeap::new();
        let (mut group, mut grouped) = (Vec::new(), 0);
        while !filling.is_full() {
            let found = reader.next()?;
            let solo = found.as_ref().is_none_or(|found| reader.plan.ordered && !found.cut);
            if solo || found.as_ref().is_some_and(|found| found.group != group) {
                grouped = 0;
                for position in std::mem::take(&mut heap).into_sorted_vec() {
                    if let Some((view, bytes)) = reader.fetch(position.key())?.filter(|_| !filling.is_full()) {
                        filling.push(position.key().clone(), view, bytes);
                    }
                }
            }
            let Some(found) = found else { return Ok(()) };
            if filling.is_full() {
                return Ok(());
            }
            if solo {
                let fetched = match found.view {
                    Some(view) => Some(view),
                    None => reader.fetch(&found.key)?,
                };
                if let Some((view, bytes)) = fetched {
                    filling.push(found.key, view, bytes);
                }
                continue;
            }
            heap.push(reader.position(&found));
            group = found.group;
            grouped += 1;
            if reader.query.limit.is_none() && grouped > PAGE_RECORDS_MAX {
                return Err(QueryError::Unsorted { order: said(&reader.query), records_max: PAGE_RECORDS_MAX }.into());
            }
            if heap.len() > filling.records_max - filling.page.records.len() {
                heap.pop();
            }
        }
        Ok(())
    }

    fn explanation(&self, collection: &Collection, reader: &Reader<'_>, found: u64) -> Explanation {
        let schema = self.schema(collection);
        let name = |number: u32| {
            let row = &self.indexes.get(&number)?.row;
            let same = schema.indexes.iter().find(|(_, index)| index.fields == row.fields && index.words == row.words);
            same.map(|(name, _)| name.clone())
        };
        let plan = &reader.plan;
        let texts = |parts: &[Filter]| parts.iter().map(Filter::to_string).collect();
        Explanation {
            index: match &plan.access {
                Access::Records(_) => None,
                Access::Values(at, _) | Access::Words(at, _) => reader.usable.numbers.get(*at).copied().and_then(name),
            },
            served: texts(&plan.served),
            rechecked: texts(&plan.rest),
            order: said(&reader.query),
            sorted: match () {
                _ if plan.ordered => Sorted::Nothing,
                _ if plan.grouped > 0 => Sorted::Groups,
                _ => Sorted::All,
            },
            rows: reader.rows_read(),
            records: reader.records_read,
            found,
        }
    }
}

/// A query's order, as it would be typed.
fn said(query: &Query) -> String {
    let order: Vec<_> = query.order.iter().map(Order::to_string).collect();
    if order.is_empty() { "_key".to_owned() } else { order.join(", ") }
}
