//! What derived code calls. No interface for anybody else. Must not know any struct.

use super::{Field, RecordError};
use comptoir_engine::record::{Rule, Schema, schema};
use comptoir_engine::{Fields, Value};

/// The schema of these fields and indexes.
pub fn schema<const N: usize>(fields: [(String, schema::Field); N], indexes: &[(&str, &str)]) -> Schema {
    let index = |(name, text): &(&str, &str)| Some(((*name).to_owned(), schema::Index::parse(text)?));
    Schema { fields: fields.into(), indexes: indexes.iter().filter_map(index).collect() }
}

/// One field of a schema. A counter is never required: where there is none, it is 0.
pub fn field<T: Field>(name: &str, rule: &str, default: Option<Value>) -> (String, schema::Field) {
    let rule = Rule::parse(rule).unwrap_or_default();
    let required = T::REQUIRED && default.is_none() && rule != Rule::Counter;
    (name.to_owned(), schema::Field { kind: T::TYPE, required, default, rule })
}

/// What a record holds in a field; nothing known is as good as nothing.
pub fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| **value != Value::Null)
}

/// A whole number as a counter.
pub fn counter(value: Value) -> Value {
    match value {
        Value::Int(number) => Value::Counter(number),
        other => other,
    }
}

/// A text whose edits merge.
pub fn text(value: Value) -> Value {
    match value {
        Value::String(text) => Value::Text(text),
        other => other,
    }
}

/// The fields of what is a map already.
pub fn inside(seen: Option<&Value>) -> Fields {
    match seen {
        Some(Value::Map(fields)) => fields.clone(),
        _ => Fields::new(),
    }
}

/// The fields but for those that a struct knows.
pub fn without(fields: &Fields, names: &[&str]) -> Fields {
    fields.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// The fields of a nested struct.
pub fn map(value: Option<&Value>) -> Result<&Fields, RecordError> {
    match value {
        Some(Value::Map(fields)) => Ok(fields),
        None | Some(Value::Null) => Err(RecordError::missing("a map")),
        Some(other) => Err(RecordError::wrong("a map", other)),
    }
}
