//! Whether a value is what a field holds, and the value as the field holds it. Must not know documents.

use super::{Field, FieldType};
use crate::record::json;
use crate::record::rule::Rule;
use crate::record::view::Value;
use crate::time::Timestamp;
use base64::Engine as _;

/// The largest distance from zero at which every whole number is a float.
const FLOAT_WHOLE_MAX: u64 = 1 << 53;

impl Rule {
    /// Whether a field of this type may have the rule.
    pub fn suits(&self, kind: FieldType) -> bool {
        use FieldType::{Bool, Bytes, Float, Int, List, String, Timestamp};
        match self {
            Self::Last => true,
            Self::First => matches!(kind, Bool | Int | Float | String | Bytes | Timestamp),
            Self::Max | Self::Min => matches!(kind, Int | Float | String | Timestamp),
            Self::Counter => kind == Int,
            Self::Set => kind == List,
            Self::Text | Self::Forward(_) => kind == String,
        }
    }
}

impl Field {
    /// What it holds, in a schema's words.
    pub fn expects(&self) -> String {
        match &self.rule {
            Rule::Counter | Rule::Text | Rule::Forward(_) => self.rule.to_string(),
            _ => self.kind.name().to_owned(),
        }
    }

    /// The value as this field holds it: a text becomes the time or the bytes it stands for, a whole number a float or a
    /// counter. `None` when it does not fit. Null fits every field.
    pub fn fit(&self, value: &Value) -> Option<Value> {
        if *value == Value::Null {
            return Some(Value::Null);
        }
        let value = match (self.kind, value) {
            (FieldType::Any, value) => value.clone(),
            (FieldType::Bool, Value::Bool(_))
            | (FieldType::Int, Value::Int(_) | Value::Uint(_) | Value::Counter(_))
            | (FieldType::Float, Value::Float(_))
            | (FieldType::String, Value::String(_))
            | (FieldType::Bytes, Value::Bytes(_))
            | (FieldType::Timestamp, Value::Timestamp(_))
            | (FieldType::List, Value::List(_))
            | (FieldType::Map, Value::Map(_)) => value.clone(),
            (FieldType::Float, Value::Int(whole) | Value::Counter(whole)) => {
                Value::Float((whole.unsigned_abs() <= FLOAT_WHOLE_MAX).then_some(*whole as f64)?)
            }
            (FieldType::String, Value::Text(text)) => Value::String(text.clone()),
            (FieldType::Bytes, Value::String(text)) => {
                Value::Bytes(base64::engine::general_purpose::STANDARD.decode(text).ok()?)
            }
            (FieldType::Timestamp, Value::String(text)) => Value::Timestamp(Timestamp::parse(text)?),
            _ => return None,
        };
        match (&self.rule, value) {
            (Rule::Counter, Value::Int(number) | Value::Counter(number)) => Some(Value::Counter(number)),
            (Rule::Counter, _) => None,
            (Rule::Text, Value::String(text)) => Some(Value::Text(text)),
            (Rule::Forward(states), Value::String(state)) => states.contains(&state).then_some(Value::String(state)),
            (Rule::First | Rule::Max | Rule::Min, Value::Counter(number)) => Some(Value::Int(number)),
            (Rule::Set, Value::List(items)) => Some(Value::List(json::elements(&items)?)),
            (_, value) => Some(value),
        }
    }
}

/// What a value is, in a schema's words.
pub(in crate::record) fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Uint(_) => "int",
        Value::Float(_) => "float",
        Value::String(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "timestamp",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Counter(_) => "counter",
        Value::Text(_) => "text",
    }
}
