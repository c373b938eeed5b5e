//! One order of all values, the same on every device. Must not know fields.

use crate::record::view::Value;
use std::cmp::Ordering;

/// By kind, then by value: numbers of every kind by size, texts by their bytes, lists item by item.
pub(in crate::record) fn order(a: &Value, b: &Value) -> Ordering {
    use Value::{Bool, Bytes, Counter, Float, Int, List, Map, String, Text, Timestamp, Uint};
    match (a, b) {
        (Bool(a), Bool(b)) => a.cmp(b),
        (Timestamp(a), Timestamp(b)) => a.cmp(b),
        (String(a) | Text(a), String(b) | Text(b)) => a.cmp(b),
        (Bytes(a), Bytes(b)) => a.cmp(b),
        (Int(a) | Counter(a), Int(b) | Counter(b)) => a.cmp(b),
        (Float(a), Float(b)) => a.total_cmp(b),
        (Int(_) | Counter(_) | Uint(_) | Float(_), Int(_) | Counter(_) | Uint(_) | Float(_)) => numbers(a, b),
        (List(a), List(b)) => each(a.iter().zip(b).map(|(a, b)| order(a, b)), a.len().cmp(&b.len())),
        (Map(a), Map(b)) => {
            let fields = a.iter().zip(b).map(|((name, a), (other, b))| name.cmp(other).then_with(|| order(a, b)));
            each(fields, a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn each(mut parts: impl Iterator<Item = Ordering>, ends: Ordering) -> Ordering {
    parts.find(|order| order.is_ne()).unwrap_or(ends)
}

/// Numbers of which one is a float or past `i64`: as floats, which keeps their order, and where those are equal, exactly.
fn numbers(a: &Value, b: &Value) -> Ordering {
    float(a).total_cmp(&float(b)).then_with(|| whole(a).cmp(&whole(b))).then_with(|| kind(a).cmp(&kind(b)))
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Int(number) | Value::Counter(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        // Zero below zero is no other number.
        Value::Float(number) => *number + 0.0,
        _ => 0.0,
    }
}

fn whole(value: &Value) -> i128 {
    match value {
        Value::Int(number) | Value::Counter(number) => i128::from(*number),
        Value::Uint(number) => i128::from(*number),
        Value::Float(number) => *number as i128,
        _ => 0,
    }
}

fn kind(value: &Value) -> u8 {
    u8::from(matches!(value, Value::Float(_)))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Counter(_) => 2,
        Value::Timestamp(_) => 3,
        Value::String(_) | Value::Text(_) => 4,
        Value::Bytes(_) => 5,
        Value::List(_) => 6,
        Value::Map(_) => 7,
    }
}
