//! The records that a plan leads to and the filter is true of, one after another. Must not know pages or sums.

use super::rows::Rows;
use super::words::Matching;
use crate::id::{Collection, Key};
use crate::query::cursor::Position;
use crate::query::plan::{self, Access, Known, Plan, Shape};
use crate::query::ranges::Range;
use crate::query::{Field, Query, order};
use crate::record::View;
use crate::store::read::{ViewsAt, view};
use crate::store::{Store, StoreError, keys};

/// A record that was asked for.
pub(super) struct Found {
    pub(super) key: Key,
    /// What the rows of its group have in common.
    pub(super) group: Vec<u8>,
    /// Its row does not hold all of its values.
    pub(super) cut: bool,
    /// And its length as it is stored, in bytes; `None` where it was not needed.
    pub(super) view: Option<(View, usize)>,
}

/// A record that may be one of those asked for, with its stored row where that was read on the way.
type Candidate = (Found, Option<Vec<u8>>);

enum Source {
    Records(Rows),
    Values { rows: Rows, fields: usize, prefix: usize },
    Words(Matching),
}

/// The most rows that are counted to choose between two plans.
const WEIGHED_ROWS_MAX: u64 = 10_000;

/// The collection's indexes that are complete: their numbers, and their shapes at the same places.
pub(super) struct Usable {
    pub(super) numbers: Vec<u32>,
    shapes: Vec<Shape>,
}

/// A plan, and where it stands.
struct Chosen {
    plan: Plan,
    source: Source,
    /// The filter is true of all records that it leads to, but where a value was cut.
    exact: bool,
}

/// A reader of one query's records.
pub(super) struct Reader<'s> {
    store: &'s Store,
    views: ViewsAt,
    /// Bound.
    pub(super) query: Query,
    pub(super) plan: Plan,
    pub(super) usable: Usable,
    source: Source,
    exact: bool,
    after: Option<Position>,
    /// Else a view is only read to ask the filter.
    pub(super) wants_views: bool,
    rows_read: u64,
    pub(super) records_read: u64,
}

impl<'s> Reader<'s> {
    /// Chooses the plan.
    pub(super) fn new(store: &'s Store, collection: &Collection, query: Query) -> Result<Self, StoreError> {
        let indexes = store.complete_indexes(collection).into_iter();
        let (numbers, shapes) = indexes.map(|(number, shape)| (number, shape.clone())).unzip();
        let usable = Usable { numbers, shapes };
        let mut rows_read = 0;
        let Chosen { plan, mut source, exact } = choose(store, collection, &query, &usable, &mut rows_read)?;
        if let (true, Source::Values { rows, .. }, Some(limit)) = (exact && plan.ordered, &mut source, query.limit) {
            rows.expect(limit);
        }
        Ok(Self {
            store,
            views: store.views_at(collection),
            wants_views: query.order.iter().any(|order| order.field != Field::Key),
            query,
            plan,
            usable,
            source,
            exact,
            after: None,
            rows_read,
            records_read: 0,
        })
    }

    /// Rows of indexes that were read.
    pub(super) fn rows_read(&self) -> u64 {
        match &self.source {
            Source::Words(matching) => matching.rows_read() + self.rows_read,
            Source::Records(_) | Source::Values { .. } => self.rows_read,
        }
    }

    /// Begins behind a place: reads on from there as far as the plan's order allows, and passes over the rest.
    pub(super) fn begin_after(&mut self, after: Option<Position>) {
        self.after = after;
        let Some(position) = &self.after else { return };
        let key = position.key().as_str().as_bytes();
        match &mut self.source {
            Source::Records(rows) if self.plan.ordered => {
                let end: &[u8] = if self.plan.backward { &[] } else { &[0] };
                rows.skip(&[self.views.records.as_slice(), key, end].concat());
            }
            Source::Values { rows, .. } if !self.plan.group.is_empty() => {
                let Access::Values(at, _) = self.plan.access else { return };
                let parts: Vec<&[u8]> = position.parts().collect();
                let mut bound = keys::values(self.usable.numbers[at]);
                let mut cut = false;
                for known in &self.plan.group {
                    let component = match known {
                        Known::Order(number) => order::cut(parts[*number], self.usable.shapes[at].text_bytes_max()),
                        Known::Value(component) => component.clone(),
                    };
                    cut = order::is_cut(&component);
                    bound.extend_from_slice(&component);
                    if cut {
                        break;
                    }
                }
                match (self.plan.ordered && !cut, self.plan.backward) {
                    (true, false) => bound.extend_from_slice(&[key, &[0]].concat()),
                    (true, true) => bound.extend_from_slice(key),
                    (false, false) => {}
                    (false, true) => bound = order::behind(&bound),
                }
                rows.skip(&bound);
            }
            Source::Words(matching) if self.plan.ordered => matching.skip(position.key()),
            _ => {}
        }
    }

    /// The next record that was asked for.
    pub(super) fn next(&mut self) -> Result<Option<Found>, StoreError> {
        loop {
            let Some((mut found, row)) = self.candidate()? else { return Ok(None) };
            let sure = self.exact && !found.cut;
            found.view = match row {
                Some(row) => Some((view(&row)?, row.len())),
                None if sure && !self.wants_views => None,
                // An index that names a record which is not there has nothing to say.
                None => match self.fetch(&found.key)? {
                    Some(view) => Some(view),
                    None => continue,
                },
            };
            let holds = sure || found.view.as_ref().is_some_and(|(view, _)| self.query.matches(&found.key, view));
            let behind = self.after.as_ref().is_none_or(|after| self.position(&found) > *after);
            if holds && behind {
                return Ok(Some(found));
            }
        }
    }

    /// Where a record stands in the query's order.
    pub(super) fn position(&self, found: &Found) -> Position {
        match &found.view {
            Some((view, _)) => self.query.position(&found.key, view),
            None => self.query.position(&found.key, &View::default()),
        }
    }

    /// A record's view, and its length as it is stored.
    pub(super) fn fetch(&mut self, key: &Key) -> Result<Option<(View, usize)>, StoreError> {
        self.records_read += 1;
        self.store.view_at(&self.views, key)
    }

    /// The next record the plan leads to.
    fn candidate(&mut self) -> Result<Option<Candidate>, StoreError> {
        let disk = &*self.store.disk;
        let plain = |key| Found { key, group: Vec::new(), cut: false, view: None };
        match &mut self.source {
            Source::Words(matching) => Ok(matching.next(disk)?.map(|key| (plain(key), None))),
            Source::Records(rows) => {
                let Some((key, row)) = rows.next(disk)? else { return Ok(None) };
                self.records_read += 1;
                Ok(Some((plain(keys::record_of(&key)?.key), Some(row))))
            }
            Source::Values { rows, fields, prefix } => {
                let Some((row, _)) = rows.next(disk)? else { return Ok(None) };
                self.rows_read += 1;
                let damaged = || StoreError::Damaged { what: "a row of an index".to_owned() };
                let (mut at, mut whole, mut group) = (*prefix, true, *prefix);
                for field in 0..*fields {
                    let len = order::component_len(&row[at..]).ok_or_else(damaged)?;
                    at += len;
                    if whole && field < self.plan.grouped {
                        group = at;
                    }
                    whole &= !order::is_cut(&row[at - len..at]);
                }
                let key = std::str::from_utf8(&row[at..]).map_err(|_| damaged())?;
                // What follows a value that was cut stands in no order.
                let group = row[*prefix..group].to_vec();
                let found = Found { key: Key::new(key)?, group, cut: !whole, view: None };
                Ok(Some((found, None)))
            }
        }
    }
}

/// The first plan that can be gone through; but where it finds many records in no order, and the query asks for few of
/// them, one that finds them in order. Where `m` of `n` records are asked for, `limit * n / m` have to be looked at then,
/// which is less than `m` from `m * m > limit * n` on.
fn choose(
    store: &Store,
    collection: &Collection,
    query: &Query,
    usable: &Usable,
    rows_read: &mut u64,
) -> Result<Chosen, StoreError> {
    let plans = plan::plans(query, &usable.shapes);
    let mut in_order = plans.iter().find(|plan| plan.ordered).cloned();
    for plan in plans {
        let Some(chosen) = begin(store, collection, plan, usable)? else { continue };
        if let (false, Source::Values { rows, .. }, Some(limit)) = (chosen.plan.ordered, &chosen.source, query.limit)
            && let Some(in_order) = in_order.take()
        {
            let records = store.collections.get(collection).map_or(0, |row| row.live);
            let worth = (limit as u64).saturating_mul(records).isqrt().min(WEIGHED_ROWS_MAX);
            let counted = rows.count(&*store.disk, worth as usize + 1)?;
            *rows_read += counted as u64;
            if counted as u64 > worth
                && let Some(in_order) = begin(store, collection, in_order, usable)?
            {
                return Ok(in_order);
            }
        }
        return Ok(chosen);
    }
    Err(StoreError::Damaged { what: "no way to answer a query".to_owned() })
}

/// Where a plan's records come from; `None` where that would be too much.
fn begin(store: &Store, collection: &Collection, plan: Plan, usable: &Usable) -> Result<Option<Chosen>, StoreError> {
    let behind = |prefix: &[u8], ranges: &[Range]| {
        let range = |range: &Range| ([prefix, &range.from].concat(), [prefix, &range.until].concat());
        Rows::new(ranges.iter().map(range).collect(), plan.backward)
    };
    let (source, exact) = match &plan.access {
        Access::Records(ranges) => (Source::Records(behind(&keys::records(collection).0, ranges)), false),
        Access::Values(at, ranges) => {
            let prefix = keys::values(usable.numbers[*at]);
            let (rows, fields) = (behind(&prefix, ranges), usable.shapes[*at].fields.len());
            (Source::Values { rows, fields, prefix: prefix.len() }, true)
        }
        Access::Words(at, typed) => {
            let prefix = keys::words(usable.numbers[*at]);
            let Some(matching) = Matching::open(&*store.disk, &prefix, typed)? else { return Ok(None) };
            (Source::Words(matching), true)
        }
    };
    let exact = exact && plan.rest.is_empty();
    Ok(Some(Chosen { plan, source, exact }))
}
