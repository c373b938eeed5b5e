//! Questions about a collection's records: which, in what order, how many. What is true of one record is decided here
//! alone, so that stored answers, live ones and indexes agree. Must not know storage.

pub mod cursor;
pub mod field;
pub mod filter;
pub mod order;
mod parse;
pub mod plan;
pub mod ranges;
pub mod tally;
pub mod words;

pub use cursor::{PageCursor, Position};
pub use field::Field;
pub use filter::{Filter, Op};
pub use tally::{Tallied, Tally};
pub use words::Words;

use crate::id::Key;
use crate::record::{Schema, View};
use std::cmp::Ordering;
use std::fmt;

/// The longest text of a filter or an order, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// The deepest nesting of a filter.
pub const DEPTH_MAX: usize = 32;
/// The most conditions and values of `in (..)` in a filter.
pub const TERMS_MAX: usize = 256;
/// The most fields to order by.
pub const ORDER_FIELDS_MAX: usize = 8;
/// The most of a text that decides the order of records, in bytes; those alike in so much stand in order of key.
pub const ORDER_TEXT_BYTES_MAX: usize = 1024;
/// The most records of one page.
pub const PAGE_RECORDS_MAX: usize = 10_000;

/// Why a query cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A text that is no filter or order.
    #[error("at character {position} there should be {expected}, not {found}")]
    Syntax {
        /// The number of the character, from 1.
        position: usize,
        /// What would be right there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// More than one query may ask for.
    #[error("the query has more than {limit_max} {limit}: ask for less at once")]
    TooLarge {
        /// Which limit, with its unit.
        limit: &'static str,
        /// The limit.
        limit_max: usize,
    },
    /// A cursor that is none.
    #[error("this is no cursor: use one that a page of the same query ended with")]
    BadCursor,
    /// A cursor of another query.
    #[error("this cursor belongs to another query: repeat collection, filter, search and order as they were")]
    ForeignCursor,
    /// Too many records would have to be sorted.
    #[error(
        "more than {records_max} records would have to be sorted by {order}: add an index on these fields to the schema, or a limit"
    )]
    Unsorted {
        /// The order.
        order: String,
        /// The limit, in records.
        records_max: usize,
    },
    /// More groups than are kept.
    #[error("{field} has more than {groups_max} different values: filter first, or group by another field")]
    Groups {
        /// The field.
        field: String,
        /// The limit.
        groups_max: usize,
    },
}

/// One field of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which field.
    pub field: Field,
    /// The greatest first.
    pub descending: bool,
}

/// As it would be typed.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.field, if self.descending { " desc" } else { "" })
    }
}

/// Which records of a collection, in what order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// Only records of which this is true.
    pub filter: Option<Filter>,
    /// And that have words which begin as the typed ones; in which fields, [`Query::bound`] decides.
    pub search: Option<String>,
    /// By these fields, then by key in the direction of the last of them; without any by key. Values are ordered as in
    /// [`order`], lists and maps as equals.
    pub order: Vec<Order>,
    /// The most records of a page; [`PAGE_RECORDS_MAX`] without it.
    pub limit: Option<usize>,
    /// The page begins behind this place.
    pub after: Option<PageCursor>,
    /// Deleted records too.
    pub deleted: bool,
}

impl Query {
    /// All records.
    pub fn all() -> Self {
        Self::default()
    }

    /// The records that a filter's text says: `department = "GROCERY" and price_cents < 500`.
    pub fn parse(filter: &str) -> Result<Self, QueryError> {
        Ok(Self { filter: Some(parse::filter(filter)?), ..Self::default() })
    }

    /// The order that a text says: `price_cents desc, name`.
    pub fn parse_order(order: &str) -> Result<Vec<Order>, QueryError> {
        parse::order(order)
    }

    /// Only records with words that begin as the typed ones.
    pub fn search(self, typed: &str) -> Self {
        Self { search: Some(typed.to_owned()), ..self }
    }

    /// By this field, behind those named before, the least first. The field as in [`Field::typed`].
    pub fn order(self, field: &str) -> Self {
        self.by(field, false)
    }

    /// By this field, behind those named before, the greatest first. The field as in [`Field::typed`].
    pub fn order_desc(self, field: &str) -> Self {
        self.by(field, true)
    }

    fn by(mut self, field: &str, descending: bool) -> Self {
        self.order.push(Order { field: Field::typed(field), descending });
        self
    }

    /// At most so many records a page.
    pub fn limit(self, records: usize) -> Self {
        Self { limit: Some(records), ..self }
    }

    /// The page behind this place.
    pub fn after(self, cursor: PageCursor) -> Self {
        Self { after: Some(cursor), ..self }
    }

    /// Deleted records too.
    pub fn with_deleted(self) -> Self {
        Self { deleted: true, ..self }
    }

    /// The query with its search made a part of the filter: in the fields of the first index of words, by name, that the
    /// schema has; else in all fields.
    pub fn bound(&self, schema: &Schema) -> Self {
        let Some(typed) = &self.search else { return self.clone() };
        let index = schema.indexes.values().find(|index| index.words);
        let fields = index.map(|index| index.fields.iter().map(|field| Field::named(field)).collect());
        let search = Filter::Words { fields: fields.unwrap_or_default(), words: Words::new(typed) };
        let parts = self.filter.iter().cloned().chain([search]).collect();
        Self { filter: Some(Filter::And(parts)), search: None, ..self.clone() }
    }

    /// Whether a record is one of those asked for, whatever the page. A search that is not [`Query::bound`] looks at all
    /// fields.
    pub fn matches(&self, key: &Key, view: &View) -> bool {
        (self.deleted || !view.deleted)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(key, view))
            && self.search.as_ref().is_none_or(|typed| Words::new(typed).are_in(&[], key, view))
    }

    /// Where a record stands in the order: the same place as no other record.
    pub fn position(&self, key: &Key, view: &View) -> Position {
        let part = |order: &Order| {
            let mut bytes = Vec::new();
            order::encode(order.field.of(key, view).as_deref(), ORDER_TEXT_BYTES_MAX, &mut bytes);
            (bytes, order.descending)
        };
        Position::new(self.order.iter().map(part), key.clone(), self.is_backwards())
    }

    /// The total order of records.
    pub fn compare(&self, (key, view): (&Key, &View), (other, with): (&Key, &View)) -> Ordering {
        self.position(key, view).cmp(&self.position(other, with))
    }

    /// Whether records alike in all fields of the order stand in falling order of key.
    pub fn is_backwards(&self) -> bool {
        self.order.last().is_some_and(|order| order.descending)
    }

    /// Refuses what is past the limits; a parsed query never is.
    pub fn check(&self) -> Result<(), QueryError> {
        let (terms, depth) = self.filter.as_ref().map_or((0, 0), Filter::size);
        let limits = [
            (terms, "conditions and values", TERMS_MAX),
            // Each level of parentheses may hold an `or` of `and`s.
            (depth, "levels of conditions", 3 * DEPTH_MAX),
            (self.order.len(), "fields to order by", ORDER_FIELDS_MAX),
            (self.limit.unwrap_or(0), "records a page", PAGE_RECORDS_MAX),
            (self.search.as_ref().map_or(0, String::len), "bytes of text", TEXT_BYTES_MAX),
        ];
        match limits.into_iter().find(|(found, _, limit_max)| found > limit_max) {
            Some((_, limit, limit_max)) => Err(QueryError::TooLarge { limit, limit_max }),
            None => Ok(()),
        }
    }
}
