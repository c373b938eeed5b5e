//! How concurrent values of a field become one, and what a write may do to it. Must not know documents.

mod order;

pub(super) use order::order;

use super::view::Value;
use std::cmp::Ordering;
use std::fmt;

/// A field's merge rule. The same changes give the same value on every device, in any order of delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Rule {
    /// The value written last; of concurrent ones, Automerge's winner.
    #[default]
    Last,
    /// Kept once it is set; of concurrent values, the one with the lowest op id.
    First,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// A whole number changed by increments, none of which is ever lost.
    Counter,
    /// A list without order or repetition; adding wins over removing.
    Set,
    /// A text whose concurrent edits merge.
    Text,
    /// One of these states, which only moves towards the last.
    Forward(Vec<String>),
}

impl Rule {
    /// The rule of its written form: `last`, `forward(open<paid<closed)`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "last" => Self::Last,
            "first" => Self::First,
            "max" => Self::Max,
            "min" => Self::Min,
            "counter" => Self::Counter,
            "set" => Self::Set,
            "text" => Self::Text,
            _ => {
                let states = text.strip_prefix("forward(")?.strip_suffix(')')?;
                let states: Vec<_> = states.split('<').map(|state| state.trim().to_owned()).collect();
                let distinct = states.iter().collect::<std::collections::BTreeSet<_>>().len() == states.len();
                let good = distinct && states.iter().all(|state| !state.is_empty());
                return good.then_some(Self::Forward(states));
            }
        })
    }
}

impl Rule {
    /// Whether a value, once it is there, is kept: later ones only replace it where the rule says so, and it is never
    /// unset.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::First | Self::Max | Self::Min | Self::Forward(_))
    }

    /// Whether a field that shows `seen` moves on to `next`. Both fit the field.
    pub(super) fn moves(&self, seen: &Value, next: &Value) -> bool {
        match (self, seen, next) {
            (_, _, Value::Null) => false,
            (_, Value::Null, _) => true,
            (Self::Max, ..) => order(next, seen) == Ordering::Greater,
            (Self::Min, ..) => order(next, seen) == Ordering::Less,
            (Self::Forward(states), Value::String(seen), Value::String(next)) => {
                let place = |state| states.iter().position(|each| each == state);
                place(next) > place(seen)
            }
            _ => !self.keeps(),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::First => "first",
            Self::Max => "max",
            Self::Min => "min",
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Text => "text",
            Self::Forward(states) => return write!(f, "forward({})", states.join("<")),
        })
    }
}
