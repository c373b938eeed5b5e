//! Fields to JSON and back. Must not know documents.

use super::rule::order;
use super::view::{DEPTH_MAX, Fields, Value};
use base64::Engine as _;
use serde_json::{Map, Number, Value as Json};
use std::collections::BTreeSet;

/// Why a JSON text is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("this is not valid JSON: {cause}")]
    Syntax {
        /// The parser's words, with line and column.
        cause: String,
    },
    /// JSON, but not an object.
    #[error("a record is a JSON object like {{\"name\": \"Tea\"}}, this is {found}")]
    NotObject {
        /// What it is.
        found: &'static str,
    },
    /// Nested too deep.
    #[error("lists and objects are nested more than {DEPTH_MAX} deep: flatten them")]
    TooDeep,
    /// A number no field can hold.
    #[error("the number {number} is out of range: use a string")]
    Number {
        /// As it was written.
        number: String,
    },
}

/// The fields of a JSON object's text.
pub fn parse(text: &str) -> Result<Fields, JsonError> {
    let json = serde_json::from_str(text).map_err(|cause| JsonError::Syntax { cause: cause.to_string() })?;
    fields(json)
}

/// The fields of a JSON object.
pub fn fields(json: Json) -> Result<Fields, JsonError> {
    match json {
        Json::Object(object) => map(object, 0),
        Json::Array(_) => Err(JsonError::NotObject { found: "a list" }),
        Json::String(_) => Err(JsonError::NotObject { found: "a text" }),
        Json::Number(_) => Err(JsonError::NotObject { found: "a number" }),
        Json::Bool(_) | Json::Null => Err(JsonError::NotObject { found: "a single value" }),
    }
}

fn map(object: Map<String, Json>, depth: usize) -> Result<Fields, JsonError> {
    object.into_iter().map(|(name, json)| Ok((name, value(json, depth)?))).collect()
}

fn value(json: Json, depth: usize) -> Result<Value, JsonError> {
    if depth >= DEPTH_MAX {
        return Err(JsonError::TooDeep);
    }
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::String(value) => Value::String(value),
        Json::Number(number) => self::number(&number)?,
        Json::Array(items) => {
            Value::List(items.into_iter().map(|item| value(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => Value::Map(map(object, depth + 1)?),
    })
}

fn number(number: &Number) -> Result<Value, JsonError> {
    let whole = number.as_i64().map(Value::Int).or_else(|| number.as_u64().map(Value::Uint));
    let any = whole.or_else(|| number.as_f64().filter(|float| float.is_finite()).map(Value::Float));
    any.ok_or_else(|| JsonError::Number { number: number.to_string() })
}

/// The JSON object of a record's fields: a counter as its number, a timestamp as RFC 3339, bytes as base64.
pub fn object(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.clone(), json(value))).collect())
}

fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) | Value::Counter(value) => Json::Number((*value).into()),
        Value::Uint(value) => Json::Number((*value).into()),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::String(value) | Value::Text(value) => Json::String(value.clone()),
        Value::Bytes(value) => Json::String(base64::engine::general_purpose::STANDARD.encode(value)),
        Value::Timestamp(value) => Json::String(value.to_string()),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(fields) => object(fields),
    }
}

/// A value as JSON text, the same for equal values.
pub(super) fn text(value: &Value) -> String {
    json(value).to_string()
}

/// The value of an element's JSON text; `None` when it is not what [`text`] writes.
pub(super) fn element(text: &str) -> Option<Value> {
    let found = value(serde_json::from_str(text).ok()?, 1).ok()?;
    (self::text(&found) == text).then_some(found)
}

/// Items as the elements of a set: plain JSON values, each once, in order; `None` when one is nested too deep.
pub(super) fn elements(items: &[Value]) -> Option<Vec<Value>> {
    let texts: BTreeSet<String> = items.iter().map(text).collect();
    let mut values = texts.iter().map(|text| element(text)).collect::<Option<Vec<_>>>()?;
    values.sort_by(order);
    Some(values)
}
