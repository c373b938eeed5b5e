//! Which records are meant: a condition on one record. Must not know storage or indexes.
//!
//! A condition is true or false, never unknown. A field that is not there counts as null. `!=` is true of every record
//! that `=` is not true of, those without the field included; `<` and the like are true only of values of one kind
//! (numbers with numbers, texts with texts), never of null. A text that is an RFC 3339 time is compared with times by
//! time, and with texts as a text.

use super::field::Field;
use super::order;
use super::words::Words;
use crate::id::Key;
use crate::record::{Value, View};
use crate::time::Timestamp;
use std::borrow::Cow;
use std::fmt;

/// How a field is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// A condition on a record. Its text form is what [`fmt::Display`] writes and [`super::Query::parse`] reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these hold; true where there are none.
    And(Vec<Filter>),
    /// One of these holds; false where there are none.
    Or(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// A field compares so with a value.
    Compare {
        /// Which field.
        field: Field,
        /// How.
        op: Op,
        /// With what.
        value: Value,
    },
    /// A field is one of these values.
    In {
        /// Which field.
        field: Field,
        /// The values.
        values: Vec<Value>,
    },
    /// A field is a text that begins so, to the letter.
    Prefix {
        /// Which field.
        field: Field,
        /// Its beginning.
        prefix: String,
    },
    /// A field is null or not there.
    Null(Field),
    /// Every typed word begins a word of these fields; of any field where none is named.
    Words {
        /// Which fields.
        fields: Vec<Field>,
        /// What was typed.
        words: Words,
    },
}

/// A literal as it is compared with `found`: a text that is a time as a time, where a time was found.
fn for_value<'l>(literal: &'l Value, found: &Value) -> Cow<'l, Value> {
    match (literal, found) {
        (Value::String(text) | Value::Text(text), Value::Timestamp(_)) => match Timestamp::parse(text) {
            Some(at) => Cow::Owned(Value::Timestamp(at)),
            None => Cow::Borrowed(literal),
        },
        _ => Cow::Borrowed(literal),
    }
}

fn equal(found: &Value, literal: &Value) -> bool {
    order::compare(Some(found), Some(&for_value(literal, found))).is_eq()
}

fn holds(found: &Value, op: Op, literal: &Value) -> bool {
    let order = || {
        let literal = for_value(literal, found);
        let ordered = order::alike(found, &literal) && *found != Value::Null;
        ordered.then(|| order::compare(Some(found), Some(&literal)))
    };
    match op {
        Op::Eq => equal(found, literal),
        Op::Ne => !equal(found, literal),
        Op::Lt => order().is_some_and(|order| order.is_lt()),
        Op::Le => order().is_some_and(|order| order.is_le()),
        Op::Gt => order().is_some_and(|order| order.is_gt()),
        Op::Ge => order().is_some_and(|order| order.is_ge()),
    }
}

impl Filter {
    /// Whether it is true of a record.
    pub fn matches(&self, key: &Key, view: &View) -> bool {
        let found = |field: &Field, holds: &dyn Fn(&Value) -> bool| match field.of(key, view) {
            Some(value) => holds(&value),
            None => holds(&Value::Null),
        };
        match self {
            Self::And(all) => all.iter().all(|one| one.matches(key, view)),
            Self::Or(any) => any.iter().any(|one| one.matches(key, view)),
            Self::Not(one) => !one.matches(key, view),
            Self::Compare { field, op, value } => found(field, &|found| holds(found, *op, value)),
            Self::In { field, values } => found(field, &|found| values.iter().any(|value| equal(found, value))),
            Self::Prefix { field, prefix } => found(
                field,
                &|found| matches!(found, Value::String(text) | Value::Text(text) if text.starts_with(prefix.as_str())),
            ),
            Self::Null(field) => found(field, &|found| *found == Value::Null),
            Self::Words { fields, words } => words.are_in(fields, key, view),
        }
    }

    /// How many conditions it is made of, and how deep they are nested.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                let sizes = parts.iter().map(Self::size);
                let (terms, depth) = sizes.fold((0, 0), |(terms, depth), (more, deep)| (terms + more, depth.max(deep)));
                (terms.max(1), depth + 1)
            }
            Self::Not(one) => {
                let (terms, depth) = one.size();
                (terms, depth + 1)
            }
            Self::In { values, .. } => (values.len().max(1), 1),
            _ => (1, 1),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

/// As it would be typed; what cannot be typed (bytes, lists, maps) in a form of its own.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => join(f, parts, " and ", "true_of_all"),
            Self::Or(parts) => join(f, parts, " or ", "true_of_none"),
            Self::Not(one) => write!(f, "not ({one})"),
            Self::Compare { field, op, value } => write!(f, "{field} {op} {}", Literal(value)),
            Self::In { field, values } => {
                write!(f, "{field} in (")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { ", " }, Literal(value))?;
                }
                f.write_str(")")
            }
            Self::Prefix { field, prefix } => write!(f, "{field} starts with {}", Quoted(prefix)),
            Self::Null(field) => write!(f, "{field} is null"),
            Self::Words { fields, words } => {
                let names: Vec<_> = fields.iter().map(Field::to_string).collect();
                write!(f, "words({}) contains {}", names.join(", "), Quoted(words.typed()))
            }
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, parts: &[Filter], between: &str, none: &str) -> fmt::Result {
    match parts {
        [] => return f.write_str(none),
        [one] => return write!(f, "{one}"),
        _ => {}
    }
    for (index, mut part) in parts.iter().enumerate() {
        let before = if index == 0 { "" } else { between };
        while let Filter::And(alone) | Filter::Or(alone) = part
            && let [one] = alone.as_slice()
        {
            part = one;
        }
        match part {
            Filter::And(parts) | Filter::Or(parts) if parts.len() > 1 => write!(f, "{before}({part})")?,
            _ => write!(f, "{before}{part}")?,
        }
    }
    Ok(())
}

struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

struct Literal<'v>(&'v Value);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) | Value::Counter(value) => write!(f, "{value}"),
            Value::Uint(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::String(text) | Value::Text(text) => write!(f, "{}", Quoted(text)),
            Value::Timestamp(at) => write!(f, "\"{at}\""),
            other => write!(f, "{other:?}"),
        }
    }
}
