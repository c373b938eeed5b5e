//! The one order of all values, as comparison and as bytes. Must not know fields, filters or storage.
//!
//! Values of different kinds stand in this order, so that any two records can be put in one:
//!
//! | kind | order among its own |
//! |---|---|
//! | nothing: null, or no such field | all equal |
//! | `false`, `true` | |
//! | numbers: int, uint, float, counter | by their exact value, whatever they are written as; NaN is below all others |
//! | times | earlier first |
//! | texts | by code point |
//! | bytes | byte by byte |
//! | lists | item by item |
//! | maps | by their names and values, in order of name |
//!
//! As bytes every value is one component, and no component begins another, so components can be put one behind the
//! other. Numbers are a tag, the largest double that is not above them, and the distance to it, big-endian:
//!
//! ```text
//! nothing 01 · false 02 · true 03 · number 04 [double u64][distance u16] · time 05 [i64] · text 06 [bytes] 00 00 ·
//! bytes 07 [bytes] 00 00 · list 08 · map 09          a zero byte inside is 00 ff; one cut short ends in 00 01
//! ```

use crate::record::Value;
use std::cmp::Ordering;

const NOTHING: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const NUMBER: u8 = 4;
const TIME: u8 = 5;
const TEXT: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;

const END: [u8; 2] = [0, 0];
const CUT: [u8; 2] = [0, 1];
const ZERO: [u8; 2] = [0, 0xff];

/// The exact order of two values, nothing at all being `None`.
pub fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    use Value::{Bytes, List, Map, String, Text, Timestamp};
    let (left, right) = (left.unwrap_or(&Value::Null), right.unwrap_or(&Value::Null));
    match (left, right) {
        (String(left) | Text(left), String(right) | Text(right)) => left.cmp(right),
        (Timestamp(left), Timestamp(right)) => left.cmp(right),
        (Bytes(left), Bytes(right)) => left.cmp(right),
        (List(left), List(right)) => {
            let pairs = left.iter().zip(right).map(|(left, right)| compare(Some(left), Some(right)));
            first_difference(pairs).then(left.len().cmp(&right.len()))
        }
        (Map(left), Map(right)) => {
            let pairs = left.iter().zip(right);
            let pairs =
                pairs.map(|((name, value), (other, with))| name.cmp(other).then(compare(Some(value), Some(with))));
            first_difference(pairs).then(left.len().cmp(&right.len()))
        }
        _ => kind(left).cmp(&kind(right)).then(number(left).cmp(&number(right))),
    }
}

fn first_difference(mut pairs: impl Iterator<Item = Ordering>) -> Ordering {
    pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether two values are of one kind, so that one can be called less than the other.
pub fn alike(left: &Value, right: &Value) -> bool {
    let class = |value| if kind(value) == TRUE { FALSE } else { kind(value) };
    class(left) == class(right)
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => NOTHING,
        Value::Bool(false) => FALSE,
        Value::Bool(true) => TRUE,
        Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Counter(_) => NUMBER,
        Value::Timestamp(_) => TIME,
        Value::String(_) | Value::Text(_) => TEXT,
        Value::Bytes(_) => BYTES,
        Value::List(_) => LIST,
        Value::Map(_) => MAP,
    }
}

/// A number as the largest double that is not above it, in the order of doubles, and the distance to it; zero for what
/// is no number. Two whole numbers of 64 bits with one such double are less than 2^11 apart.
fn number(value: &Value) -> (u64, u16) {
    let whole = |exact: i128| {
        let near = exact as f64;
        let below = if near as i128 > exact { near.next_down() } else { near };
        (ordered(below), (exact - below as i128) as u16)
    };
    match value {
        Value::Int(number) | Value::Counter(number) => whole((*number).into()),
        Value::Uint(number) => whole((*number).into()),
        Value::Float(number) => (ordered(*number), 0),
        _ => (0, 0),
    }
}

/// The bits of a double so that their order is its own; both zeros are one, and so are all NaNs.
fn ordered(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    match () {
        _ if number.is_nan() => 0,
        _ if bits >> 63 == 1 => !bits,
        _ => bits | 1 << 63,
    }
}

/// Appends a value's component. A text or bytes are cut to `bytes_max` of theirs; of lists and maps there is only the
/// kind. Whether something was left out: then values with other contents may have the same component.
pub fn encode(value: Option<&Value>, bytes_max: usize, out: &mut Vec<u8>) -> bool {
    let value = value.unwrap_or(&Value::Null);
    out.push(kind(value));
    match value {
        Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Counter(_) => {
            let (double, distance) = number(value);
            out.extend_from_slice(&double.to_be_bytes());
            out.extend_from_slice(&distance.to_be_bytes());
            false
        }
        Value::Timestamp(at) => {
            out.extend_from_slice(&((at.unix_ms as u64) ^ 1 << 63).to_be_bytes());
            false
        }
        Value::String(text) | Value::Text(text) => string(text.as_bytes(), bytes_max, out),
        Value::Bytes(bytes) => string(bytes, bytes_max, out),
        Value::List(_) | Value::Map(_) => true,
        Value::Null | Value::Bool(_) => false,
    }
}

fn string(bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    let until = out.len() + bytes_max;
    for byte in bytes {
        let escaped: &[u8] = if *byte == 0 { &ZERO } else { std::slice::from_ref(byte) };
        if out.len() + escaped.len() > until {
            out.extend_from_slice(&CUT);
            return true;
        }
        out.extend_from_slice(escaped);
    }
    out.extend_from_slice(&END);
    false
}

/// What the components of all texts begin with that begin with `prefix`.
pub fn encode_prefix(prefix: &str, bytes_max: usize) -> Vec<u8> {
    let mut bytes = vec![TEXT];
    if !string(prefix.as_bytes(), bytes_max, &mut bytes) {
        bytes.truncate(bytes.len() - END.len());
    }
    bytes
}

/// Whether values with other contents may have this component.
pub fn is_cut(component: &[u8]) -> bool {
    match component.first() {
        Some(&(LIST | MAP)) => true,
        Some(&(TEXT | BYTES)) => component.ends_with(&CUT),
        _ => false,
    }
}

/// All components of the value's kind: from, until.
pub fn kind_range(value: &Value) -> (Vec<u8>, Vec<u8>) {
    match value {
        Value::Bool(_) => (vec![FALSE], vec![NUMBER]),
        other => (vec![kind(other)], vec![kind(other) + 1]),
    }
}

/// The bytes of the first component; `None` where there is none.
pub fn component_len(bytes: &[u8]) -> Option<usize> {
    let len = match *bytes.first()? {
        NOTHING | FALSE | TRUE | LIST | MAP => 1,
        NUMBER => 11,
        TIME => 9,
        TEXT | BYTES => {
            let mut at = 1;
            loop {
                let zero = at + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
                at = zero + 2;
                if *bytes.get(zero + 1)? != ZERO[1] {
                    break at;
                }
            }
        }
        _ => return None,
    };
    (len <= bytes.len()).then_some(len)
}

/// A component as it is when cut to `bytes_max`.
pub fn cut(component: &[u8], bytes_max: usize) -> Vec<u8> {
    let (Some(TEXT | BYTES), Some(inside)) = (component.first().copied(), component.len().checked_sub(END.len()))
    else {
        return component.to_vec();
    };
    if inside - 1 <= bytes_max {
        return component.to_vec();
    }
    // The two bytes of a zero stay together.
    let until = if component[bytes_max] == 0 { bytes_max } else { bytes_max + 1 };
    [&component[..until], &CUT].concat()
}

/// The first bytes behind all that begin with `prefix`.
pub fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    while bytes.last() == Some(&0xff) {
        bytes.pop();
    }
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes
}
