//! How many records, and the sum of a field, in groups or all together; the same in whatever order records come. Must
//! not know storage.

use super::field::Field;
use super::{ORDER_TEXT_BYTES_MAX, QueryError, order};
use crate::id::Key;
use crate::record::{Value, View};
use std::collections::BTreeMap;

/// The most groups of a tally.
pub const GROUPS_MAX: usize = 10_000;

/// What is counted besides records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// The field whose numbers are added up; what is no number is passed over.
    pub sum: Option<Field>,
    /// The field whose values are counted apart, as they are ordered: `1` and `1.0` are one group, texts alike in their
    /// first [`ORDER_TEXT_BYTES_MAX`] bytes too, and so are all lists, and all maps, which are shown empty.
    pub group: Option<Field>,
}

/// One group, or all records.
#[derive(Debug, Clone, PartialEq)]
pub struct Tallied {
    /// The group's value; null for records without one.
    pub group: Option<Value>,
    /// Its records.
    pub count: u64,
    /// The sum of their numbers: whole where all of them are and 64 bits hold it, else the nearest double.
    pub sum: Option<Value>,
}

/// Counting.
#[derive(Debug, Default)]
pub struct Counting {
    tally: Tally,
    groups: BTreeMap<Vec<u8>, (Value, u64, Sum)>,
}

impl Counting {
    /// Nothing is counted yet.
    pub fn new(tally: Tally) -> Self {
        Self { tally, groups: BTreeMap::new() }
    }

    /// Counts a record.
    pub fn add(&mut self, key: &Key, view: &View) -> Result<(), QueryError> {
        let mut bytes = Vec::new();
        let value = self.tally.group.as_ref().and_then(|field| field.of(key, view));
        order::encode(value.as_deref(), ORDER_TEXT_BYTES_MAX, &mut bytes);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&bytes) {
            let field = self.tally.group.as_ref().map_or_else(String::new, ToString::to_string);
            return Err(QueryError::Groups { field, groups_max: GROUPS_MAX });
        }
        let (_, count, sum) = self.groups.entry(bytes).or_insert_with(|| (shown(value.as_deref()), 0, Sum::default()));
        *count += 1;
        if let Some(value) = self.tally.sum.as_ref().and_then(|field| field.of(key, view)) {
            sum.add(&value);
        }
        Ok(())
    }

    /// The groups in order of their values; without groups one line for all records, even for none.
    pub fn finish(mut self) -> Vec<Tallied> {
        if self.tally.group.is_none() && self.groups.is_empty() {
            self.groups.insert(Vec::new(), (Value::Null, 0, Sum::default()));
        }
        let Tally { sum: summed, group: grouped } = self.tally;
        let line = |(value, count, sum): (Value, u64, Sum)| Tallied {
            group: grouped.as_ref().map(|_| value),
            count,
            sum: summed.as_ref().map(|_| sum.value()),
        };
        self.groups.into_values().map(line).collect()
    }
}

/// A group's value, short.
fn shown(value: Option<&Value>) -> Value {
    let cut = |text: &String| {
        text.chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= ORDER_TEXT_BYTES_MAX).then_some(c)
            })
            .collect()
    };
    match value {
        None => Value::Null,
        Some(Value::String(text) | Value::Text(text)) => Value::String(cut(text)),
        Some(Value::Bytes(bytes)) => Value::Bytes(bytes.iter().take(ORDER_TEXT_BYTES_MAX).copied().collect()),
        Some(Value::List(_)) => Value::List(Vec::new()),
        Some(Value::Map(_)) => Value::Map(BTreeMap::new()),
        Some(Value::Counter(number)) => Value::Int(*number),
        Some(Value::Uint(number)) => i64::try_from(*number).map_or(Value::Uint(*number), Value::Int),
        Some(Value::Float(number)) => whole(*number),
        Some(other) => other.clone(),
    }
}

/// A double as a whole number where it is one of 64 bits, as other records of its group may have it.
fn whole(number: f64) -> Value {
    let exact = number as i128;
    let uint = || u64::try_from(exact).map(Value::Uint);
    match i64::try_from(exact).map(Value::Int).or_else(|_| uint()) {
        Ok(value) if exact as f64 == number => value,
        _ => Value::Float(number),
    }
}

/// A sum without rounding before its end, so that the order of its numbers plays no part: whole numbers as one, doubles
/// as a sum of doubles that do not overlap (Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997).
#[derive(Debug, Default)]
struct Sum {
    whole: i128,
    any_double: bool,
    doubles: Vec<f64>,
}

impl Sum {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Int(number) | Value::Counter(number) => self.whole += i128::from(*number),
            Value::Uint(number) => self.whole += i128::from(*number),
            Value::Float(number) if number.is_finite() => {
                self.any_double = true;
                self.add_double(*number);
            }
            _ => {}
        }
    }

    fn add_double(&mut self, mut number: f64) {
        let mut kept = 0;
        for at in 0..self.doubles.len() {
            let mut other = self.doubles[at];
            if number.abs() < other.abs() {
                std::mem::swap(&mut number, &mut other);
            }
            let sum = number + other;
            let rest = other - (sum - number);
            if rest != 0.0 {
                self.doubles[kept] = rest;
                kept += 1;
            }
            number = sum;
        }
        self.doubles.truncate(kept);
        self.doubles.push(number);
    }

    fn value(mut self) -> Value {
        if !self.any_double {
            let whole = i64::try_from(self.whole).map(Value::Int);
            let whole = whole.or_else(|_| u64::try_from(self.whole).map(Value::Uint));
            return whole.unwrap_or(Value::Float(self.whole as f64));
        }
        // Each piece of 48 bits is a double exactly.
        for piece in 0..3 {
            let bits = if piece == 2 { self.whole >> 96 } else { (self.whole >> (48 * piece)) & ((1 << 48) - 1) };
            self.add_double(bits as f64 * 2f64.powi(48 * piece));
        }
        Value::Float(rounded(&self.doubles))
    }
}

/// The double nearest to the sum of doubles that do not overlap, ascending; ties to even.
fn rounded(doubles: &[f64]) -> f64 {
    let Some((&last, mut rest)) = doubles.split_last() else { return 0.0 };
    let mut high = last;
    while let Some((&next, before)) = rest.split_last() {
        rest = before;
        let sum = high + next;
        let low = next - (sum - high);
        high = sum;
        if low != 0.0 {
            // Halfway between two doubles, what is left decides.
            if rest.last().is_some_and(|left| (low < 0.0) == (*left < 0.0) && *left != 0.0) {
                let twice = low * 2.0;
                let up = high + twice;
                if twice == up - high {
                    high = up;
                }
            }
            break;
        }
    }
    high
}
