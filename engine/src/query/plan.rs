//! How a query is answered: through which index, and what that leaves to be done. Must not know storage.

use super::field::Field;
use super::filter::Filter;
use super::order;
use super::ranges::{RANGES_MAX, Range, of_keys, ranges};
use super::words::Words;
use super::{Order, Query};
use crate::id::{KEY_BYTES_MAX, Key};
use crate::record::View;
use crate::record::schema::Index;
use std::cmp::Reverse;

/// The most fields of an index; one with more is not kept.
pub const INDEX_FIELDS_MAX: usize = 8;
/// What all components of one row of an index take together, in bytes.
pub const INDEX_VALUES_BYTES_MAX: usize = 240;

/// An index as queries see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Whether it holds the words of the fields' texts, and not the values.
    pub words: bool,
}

impl Shape {
    /// The shape of a schema's index; `None` when it has too many fields.
    pub fn of(index: &Index) -> Option<Self> {
        let fields: Vec<_> = index.fields.iter().map(|field| Field::named(field)).collect();
        (fields.len() <= INDEX_FIELDS_MAX).then_some(Self { fields, words: index.words })
    }

    /// How much of a text its rows hold, in bytes.
    pub fn text_bytes_max(&self) -> usize {
        INDEX_VALUES_BYTES_MAX / self.fields.len().max(1) - 3
    }

    /// Whether a record has the same in the index's fields before and after; of an index of all fields, in all of them.
    pub fn is_same(&self, key: &Key, before: &View, after: &View) -> bool {
        match self.fields.as_slice() {
            [] => before.fields == after.fields,
            fields => fields.iter().all(|field| field.of(key, before) == field.of(key, after)),
        }
    }

    /// The components of a record's row in an index of values.
    pub fn components(&self, key: &Key, view: &View) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in &self.fields {
            order::encode(field.of(key, view).as_deref(), self.text_bytes_max(), &mut bytes);
        }
        bytes
    }
}

/// Where the records come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// The records themselves, those with keys in these ranges.
    Records(Vec<Range>),
    /// The rows of an index of values in these ranges of its components.
    Values(usize, Vec<Range>),
    /// The rows of an index of words.
    Words(usize, Words),
}

/// One way to answer a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where the records come from; indexes by their place among those given.
    pub access: Access,
    /// Rows are read from the last to the first.
    pub backward: bool,
    /// They come in the query's order: nothing is left to be sorted, but where a value was cut.
    pub ordered: bool,
    /// Else, rows alike in so many components stand together, and those groups are in order.
    pub grouped: usize,
    /// For each component a group is made of, the field of the order it is, or the one value that all rows have.
    pub group: Vec<Known>,
    /// The parts of the filter that the access sees to. What a cut value hides is looked at again.
    pub served: Vec<Filter>,
    /// Those that every record is asked.
    pub rest: Vec<Filter>,
    /// What it promises: the greater the better.
    rank: (usize, bool, bool, usize, bool),
}

/// A component of which a cursor says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The component of the order's field with this number.
    Order(usize),
    /// The same for all rows.
    Value(Vec<u8>),
}

/// Every way to answer a query, which is bound, with these indexes; the most promising first.
pub fn plans(query: &Query, indexes: &[Shape]) -> Vec<Plan> {
    let parts = conjuncts(query.filter.as_ref());
    let mut plans = vec![by_records(query, &parts)];
    if !query.deleted {
        for (at, shape) in indexes.iter().enumerate() {
            match shape.words {
                true => plans.extend(by_words(query, &parts, at, shape)),
                false => plans.push(by_values(query, &parts, at, shape)),
            }
        }
    }
    plans.sort_by_key(|plan| Reverse(plan.rank));
    plans
}

/// The parts that all must hold.
fn conjuncts(filter: Option<&Filter>) -> Vec<&Filter> {
    match filter {
        None => Vec::new(),
        Some(Filter::And(parts)) => parts.iter().flat_map(|part| conjuncts(Some(part))).collect(),
        Some(one) => vec![one],
    }
}

/// The fields that still decide the order where some have one value only, each with its number, and the direction in
/// which records alike in all of them stand.
fn open_order(query: &Query, is_one: impl Fn(&Field) -> bool) -> (Vec<(usize, &Order)>, bool) {
    let by_key = query.order.iter().position(|order| order.field == Field::Key);
    let backward = by_key.map_or(query.is_backwards(), |at| query.order[at].descending);
    let fields = query.order.iter().enumerate().take(by_key.unwrap_or(usize::MAX));
    (fields.filter(|(_, order)| !is_one(&order.field)).collect(), backward)
}

/// What the parts say about one field together, and which of them do.
fn about(parts: &[&Filter], field: &Field, bytes_max: usize) -> Option<(Vec<Range>, Vec<usize>)> {
    let said: Vec<_> = (0..parts.len()).filter(|at| ranges(parts[*at], field, bytes_max).is_some()).collect();
    let all = Filter::And(said.iter().map(|at| parts[*at].clone()).collect());
    Some((ranges(&all, field, bytes_max)?, said))
}

fn split(parts: &[&Filter], served: &[usize]) -> (Vec<Filter>, Vec<Filter>) {
    let pick =
        |yes| (0..parts.len()).filter(move |at| served.contains(at) == yes).map(|at| parts[at].clone()).collect();
    (pick(true), pick(false))
}

fn by_records(query: &Query, parts: &[&Filter]) -> Plan {
    let (ranges, said) = match about(parts, &Field::Key, KEY_BYTES_MAX) {
        Some((ranges, said)) => (of_keys(&ranges), said),
        None => (vec![Range::of(Vec::new())], Vec::new()),
    };
    let (order, backward) = open_order(query, |_| false);
    let (served, rest) = split(parts, &said);
    let ordered = order.is_empty();
    let points = usize::from(!said.is_empty() && ranges.iter().all(|range| range.until.ends_with(&[0])));
    let rank = (2 * points, !said.is_empty(), ordered, 0, true);
    let backward = backward && ordered;
    Plan { access: Access::Records(ranges), backward, ordered, grouped: 0, group: Vec::new(), served, rest, rank }
}

fn by_words(query: &Query, parts: &[&Filter], at: usize, shape: &Shape) -> Option<Plan> {
    let covers = |fields: &Vec<Field>| !fields.is_empty() && fields.iter().all(|field| shape.fields.contains(field));
    let (said, words) = parts.iter().enumerate().find_map(|(part, filter)| match filter {
        Filter::Words { fields, words } if covers(fields) && !words.prefixes().is_empty() => {
            // An index of more fields finds more records than have the words in these.
            Some(((part, fields.len() == shape.fields.len()), words))
        }
        _ => None,
    })?;
    let (part, alone) = said;
    let (served, rest) = split(parts, if alone { std::slice::from_ref(&part) } else { &[] });
    let (order, backward) = open_order(query, |_| false);
    let ordered = order.is_empty() && !backward;
    let rank = (usize::MAX, alone, ordered, 0, true);
    let access = Access::Words(at, words.clone());
    Some(Plan { access, backward: false, ordered, grouped: 0, group: Vec::new(), served, rest, rank })
}

fn by_values(query: &Query, parts: &[&Filter], at: usize, shape: &Shape) -> Plan {
    let mut said = Vec::new();
    let mut keys: Vec<Range> = vec![Range::of(Vec::new())];
    let (mut points, mut ranged) = (0, false);
    let mut ones: Vec<Option<Vec<u8>>> = Vec::new();
    for field in &shape.fields {
        let Some((found, served)) = about(parts, field, shape.text_bytes_max()) else { break };
        if found.len() * keys.len() > RANGES_MAX {
            break;
        }
        said.extend(served);
        let all_points = found.iter().all(|range| range.point().is_some());
        let behind = |key: &Range, range: &Range| Range {
            from: [key.from.as_slice(), &range.from].concat(),
            until: [key.from.as_slice(), &range.until].concat(),
        };
        keys = keys.iter().flat_map(|key| found.iter().map(move |range| behind(key, range))).collect();
        if !all_points {
            ranged = true;
            break;
        }
        points += 1;
        let one = if let [one] = found.as_slice() { one.point() } else { None };
        ones.push(one.map(<[u8]>::to_vec));
    }
    ones.resize(shape.fields.len(), None);
    let is_one = |field: &Field| shape.fields.iter().zip(&ones).any(|(of, one)| of == field && one.is_some());
    let (order, key_backward) = open_order(query, is_one);
    let backward = order.first().map_or(key_backward, |(_, order)| order.descending);
    let mut open = shape.fields.iter().enumerate().filter(|(at, _)| ones[*at].is_none());
    let mut group = Vec::new();
    let mut met = 0;
    for (number, order) in &order {
        let Some((place, field)) = open.next() else { break };
        if *field != order.field || order.descending != backward {
            break;
        }
        group.extend(ones[group.len()..place].iter().map(|one| Known::Value(one.clone().unwrap_or_default())));
        group.push(Known::Order(*number));
        met += 1;
    }
    let whole = met == order.len() && (shape.fields.len() - ones.iter().flatten().count()) == met;
    let ordered = whole && backward == key_backward;
    if ordered {
        group.extend(ones[group.len()..].iter().map(|one| Known::Value(one.clone().unwrap_or_default())));
    }
    let (served, rest) = split(parts, &said);
    let rank = (2 * points, ranged, ordered, met, false);
    let backward = backward && (ordered || met > 0);
    Plan { access: Access::Values(at, keys), backward, ordered, grouped: group.len(), group, served, rest, rank }
}
