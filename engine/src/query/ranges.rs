//! Which components of a field a filter leaves: as ranges of bytes. Must not know indexes or records.
//!
//! Ranges hold everything that the filter may be true of. Where the component of a value was cut, or is that of a list
//! or map, more than that: whoever reads such a component looks at the record itself.

use super::field::Field;
use super::filter::{Filter, Op};
use super::order;
use crate::record::Value;
use crate::time::Timestamp;

/// The most ranges that one field is given, or one index.
pub const RANGES_MAX: usize = 256;

/// From a component on, until before another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first bytes in it.
    pub from: Vec<u8>,
    /// The first bytes behind it.
    pub until: Vec<u8>,
}

impl Range {
    /// All that begins with `bytes`.
    pub fn of(bytes: Vec<u8>) -> Self {
        let until = if bytes.is_empty() { vec![0xff] } else { order::behind(&bytes) };
        Self { from: bytes, until }
    }

    /// The one component that this range is, if it is one.
    pub fn point(&self) -> Option<&[u8]> {
        let whole = order::component_len(&self.from) == Some(self.from.len());
        (whole && self.until == order::behind(&self.from)).then_some(&self.from)
    }
}

/// The ranges of `field` in which all records lie that `filter` is true of, ascending and apart; `None` when the filter
/// says nothing about the field alone. Texts are cut to `bytes_max`.
pub fn ranges(filter: &Filter, field: &Field, bytes_max: usize) -> Option<Vec<Range>> {
    match filter {
        Filter::And(parts) if !parts.is_empty() => {
            let all: Option<Vec<_>> = parts.iter().map(|part| ranges(part, field, bytes_max)).collect();
            Some(all?.into_iter().reduce(|left, right| common(&left, &right)).unwrap_or_default())
        }
        Filter::Or(parts) if !parts.is_empty() => {
            let all: Option<Vec<_>> = parts.iter().map(|part| ranges(part, field, bytes_max)).collect();
            united(all?.concat())
        }
        Filter::Not(one) => match &**one {
            Filter::Null(of) if of == field => {
                let null = Range::of(component(&Value::Null, bytes_max));
                Some(vec![Range { from: null.until, until: vec![0xff] }])
            }
            _ => None,
        },
        Filter::Compare { field: of, op, value } if of == field && *op != Op::Ne => {
            united(forms(value).iter().flat_map(|value| compared(*op, value, bytes_max)).collect())
        }
        Filter::In { field: of, values } if of == field => {
            let forms = values.iter().flat_map(forms);
            united(forms.map(|value| Range::of(component(&value, bytes_max))).collect())
        }
        Filter::Prefix { field: of, prefix } if of == field => {
            Some(vec![Range::of(order::encode_prefix(prefix, bytes_max))])
        }
        Filter::Null(of) if of == field => Some(vec![Range::of(component(&Value::Null, bytes_max))]),
        _ => None,
    }
}

/// What a literal is compared as: a text that is a time as both.
fn forms(literal: &Value) -> Vec<Value> {
    let at = match literal {
        Value::String(text) | Value::Text(text) => Timestamp::parse(text),
        _ => None,
    };
    [Some(literal.clone()), at.map(Value::Timestamp)].into_iter().flatten().collect()
}

fn component(value: &Value, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    order::encode(Some(value), bytes_max, &mut bytes);
    bytes
}

fn compared(op: Op, value: &Value, bytes_max: usize) -> Option<Range> {
    let point = Range::of(component(value, bytes_max));
    if op == Op::Eq {
        return Some(point);
    }
    if *value == Value::Null {
        return None;
    }
    let (first, end) = order::kind_range(value);
    let cut = order::is_cut(&point.from);
    let (from, until) = match op {
        Op::Lt if cut => (first, point.until),
        Op::Lt => (first, point.from),
        Op::Le => (first, point.until),
        Op::Gt if cut => (point.from, end),
        Op::Gt => (point.until, end),
        _ => (point.from, end),
    };
    (from < until).then_some(Range { from, until })
}

/// Ascending and apart; `None` when there are too many.
fn united(mut ranges: Vec<Range>) -> Option<Vec<Range>> {
    ranges.sort_unstable();
    let mut apart: Vec<Range> = Vec::new();
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.from < last.until => last.until = range.until.max(std::mem::take(&mut last.until)),
            _ => apart.push(range),
        }
    }
    (apart.len() <= RANGES_MAX).then_some(apart)
}

fn common(left: &[Range], right: &[Range]) -> Vec<Range> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut both = Vec::new();
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let (from, until) = (one.from.as_slice().max(&other.from), one.until.as_slice().min(&other.until));
        if from < until {
            both.push(Range { from: from.to_vec(), until: until.to_vec() });
        }
        if one.until <= other.until {
            left.next()
        } else {
            right.next()
        };
    }
    both
}

/// Ranges of `_key` as ranges of keys themselves: `key 00 00` is the key, which no zero byte is in.
pub fn of_keys(ranges: &[Range]) -> Vec<Range> {
    let text = order::kind_range(&Value::String(String::new()));
    let key = |bound: &[u8]| match bound.strip_prefix(text.0.as_slice()) {
        Some([key @ .., 0, 0]) => key.to_vec(),
        Some([key @ .., 0, 1]) => [key, &[0]].concat(),
        Some(begun) => begun.to_vec(),
        None if bound < text.0.as_slice() => Vec::new(),
        None => vec![0xff],
    };
    let ranges = ranges.iter().map(|range| Range { from: key(&range.from), until: key(&range.until) });
    ranges.filter(|range| range.from < range.until).collect()
}
