//! A schema that a person gives, checked strictly: what it says must be known and fit together, and what an older app does
//! under the schema in force must stay possible. Must not know documents or storage.

use super::{Field, FieldType, Index, SCHEMA_FIELDS_MAX, SCHEMA_INDEXES_MAX, Schema};
use crate::record::json;
use crate::record::layout;
use crate::record::rule::Rule;
use crate::record::view::{Fields, Value};
use std::collections::BTreeMap;

const TYPES: &str = "type: any|bool|int|float|string|bytes|timestamp|list|map|counter|text";
const RULES: &str = "rule: last|first|max|min|counter|set|text|forward(a<b<c)";
const PROPERTIES: &str = "type, required, default, rule";
pub(super) const SAYS: [&str; 4] = ["type", "required", "default", "rule"];
const PARTS: [&str; 2] = ["fields", "indexes"];
const INDEX: &str = "\"FIELD, FIELD\" or \"words(FIELD, FIELD)\"";

/// Why a schema was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Something in it is unknown, or does not fit the rest.
    #[error("\"{field}\": expected {expected}, got {got}: mend the schema, then set it again")]
    Misfit {
        /// The field or index, or the part of the schema.
        field: String,
        /// What may stand there, in a schema's words.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A field has another type than in the schema in force, and there are records.
    #[error(
        "the field \"{field}\" is of type {expected} and cannot become {got}, because there are records: add a new field of that type instead"
    )]
    Type {
        /// The field.
        field: String,
        /// Its type in force.
        expected: String,
        /// The type asked for.
        got: String,
    },
    /// A field becomes required and has no default, and there are records.
    #[error(
        "the field \"{field}\" cannot become required, because there are records and apps that do not know it: give it a default, or leave it optional"
    )]
    Required {
        /// The field.
        field: String,
    },
    /// A state went away or to another place, and there are records.
    #[error(
        "the field \"{field}\" moves through {expected} and cannot go by {got}, because there are records: keep those states in their order, and put new ones between or behind them"
    )]
    States {
        /// The field.
        field: String,
        /// The rule in force.
        expected: String,
        /// The rule asked for.
        got: String,
    },
}

/// The schema that `given` says, when all of it is known and fits together.
pub fn check(given: &Fields) -> Result<Schema, SchemaError> {
    for (name, value) in given {
        match value {
            _ if !PARTS.contains(&name.as_str()) => return Err(misfit_word(name, "fields, indexes", name)),
            Value::Map(_) => {}
            other => return Err(misfit(name, "map", other)),
        }
    }
    let (fields, indexes) = (map(given, "fields"), map(given, "indexes"));
    for (what, count, count_max) in
        [("fields", fields.len(), SCHEMA_FIELDS_MAX), ("indexes", indexes.len(), SCHEMA_INDEXES_MAX)]
    {
        if count > count_max {
            return Err(SchemaError::Misfit {
                field: what.to_owned(),
                expected: format!("at most {count_max}"),
                got: count.to_string(),
            });
        }
    }
    let fields = fields.iter().map(|(name, value)| Ok((name.clone(), check_field(name, value)?)));
    let fields = fields.collect::<Result<BTreeMap<_, _>, _>>()?;
    check_names(&fields)?;
    let indexes = indexes.iter().map(|(name, value)| Ok((name.clone(), check_index(name, value, &fields)?)));
    Ok(Schema { indexes: indexes.collect::<Result<_, _>>()?, fields })
}

/// What the record of a schema must hold to say what `given` says: what a newer release says about a field or an index
/// that `given` names is kept, as is what it says beside them; what `given` names no more goes.
pub fn written(record: &Fields, given: &Fields) -> Fields {
    let mut written: Fields = record.iter().filter(|(name, _)| !PARTS.contains(&name.as_str())).map(owned).collect();
    for part in PARTS {
        let mut entries = map(given, part);
        if part == "fields" {
            let said = map(record, part);
            for (name, value) in &mut entries {
                let (Value::Map(says), Some(Value::Map(said))) = (value, said.get(name)) else { continue };
                let unknown = said.iter().filter(|(key, _)| !SAYS.contains(&key.as_str()));
                says.extend(unknown.map(owned));
            }
        }
        written.insert(part.to_owned(), Value::Map(entries));
    }
    written
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

pub(super) fn map(record: &Fields, name: &str) -> Fields {
    match record.get(name) {
        Some(Value::Map(map)) => map.clone(),
        _ => Fields::new(),
    }
}

/// Whether `next` may follow the schema in force while there are records: an older app can go on writing.
pub fn evolve(now: &Schema, next: &Schema) -> Result<(), SchemaError> {
    for (name, field) in &next.fields {
        let old = now.fields.get(name);
        let name = || name.clone();
        if field.required && field.default.is_none() && !old.is_some_and(|old| old.required) {
            return Err(SchemaError::Required { field: name() });
        }
        let Some(old) = old else { continue };
        if old.kind != field.kind {
            let (expected, got) = (old.kind.name().to_owned(), field.kind.name().to_owned());
            return Err(SchemaError::Type { field: name(), expected, got });
        }
        if let (Rule::Forward(before), Rule::Forward(after)) = (&old.rule, &field.rule) {
            let mut rest = after.iter();
            if !before.iter().all(|state| rest.any(|other| other == state)) {
                let (expected, got) = (old.rule.to_string(), field.rule.to_string());
                return Err(SchemaError::States { field: name(), expected, got });
            }
        }
    }
    Ok(())
}

fn check_field(name: &str, value: &Value) -> Result<Field, SchemaError> {
    let Value::Map(says) = value else { return Err(misfit(name, "map", value)) };
    if let Some(unknown) = says.keys().find(|key| !SAYS.contains(&key.as_str())) {
        return Err(misfit_word(name, PROPERTIES, unknown));
    }
    let (kind, implied) = match says.get("type") {
        None => (FieldType::Any, Rule::Last),
        Some(Value::String(word)) => FieldType::parse(word).ok_or_else(|| misfit_word(name, TYPES, word))?,
        Some(other) => return Err(misfit(name, TYPES, other)),
    };
    let rule = match says.get("rule") {
        None => implied.clone(),
        Some(Value::String(word)) => Rule::parse(word).ok_or_else(|| misfit_word(name, RULES, word))?,
        Some(other) => return Err(misfit(name, RULES, other)),
    };
    if implied != Rule::Last && rule != implied {
        return Err(misfit_word(name, &format!("rule: {implied}"), &rule.to_string()));
    }
    if !rule.suits(kind) {
        return Err(misfit_word(name, &format!("rule for {}", kind.name()), &rule.to_string()));
    }
    let required = match says.get("required") {
        None => false,
        Some(Value::Bool(required)) => *required,
        Some(other) => return Err(misfit(name, "required: true|false", other)),
    };
    let field = Field { kind, required, default: None, rule };
    let default = says.get("default");
    match default {
        Some(value) if field.fit(value).is_none() || (required && *value == Value::Null) => {
            Err(misfit(name, &format!("default: {}", field.expects()), value))
        }
        _ => Ok(Field { default: default.cloned(), ..field }),
    }
}

/// No two names of one field, and no field inside one that is no map.
fn check_names(fields: &BTreeMap<String, Field>) -> Result<(), SchemaError> {
    let mut paths: BTreeMap<String, (&String, &Field)> = BTreeMap::new();
    for (name, field) in fields {
        let path = layout::path(name).filter(|path| layout::depth(path) <= crate::record::view::DEPTH_MAX);
        let path = path.ok_or_else(|| misfit_word(name, "NAME or /MAP/NAME", name))?;
        if let Some((other, _)) = paths.insert(path, (name, field)) {
            return Err(misfit_word(name, "one name for one field", other));
        }
    }
    for (path, (name, _)) in &paths {
        for (at, _) in path.match_indices('/') {
            let Some((parent, field)) = paths.get(&path[..at]) else { continue };
            if !matches!(field.kind, FieldType::Map | FieldType::Any) {
                return Err(misfit_word(parent, &format!("type: map, because of {name}"), field.kind.name()));
            }
        }
    }
    Ok(())
}

fn check_index(name: &str, value: &Value, fields: &BTreeMap<String, Field>) -> Result<Index, SchemaError> {
    let Value::String(text) = value else { return Err(misfit(name, INDEX, value)) };
    let index = Index::parse(text).ok_or_else(|| misfit_word(name, INDEX, text))?;
    for (at, field) in index.fields.iter().enumerate() {
        if layout::path(field).is_none() || index.fields[..at].contains(field) {
            return Err(misfit_word(name, INDEX, text));
        }
        let kind = fields.get(field).map_or(FieldType::Any, |field| field.kind);
        if index.words && !matches!(kind, FieldType::String | FieldType::Any) {
            return Err(misfit_word(name, &format!("words of a string, {field}"), kind.name()));
        }
    }
    Ok(index)
}

fn misfit(field: &str, expected: &str, got: &Value) -> SchemaError {
    SchemaError::Misfit { field: field.to_owned(), expected: expected.to_owned(), got: json::text(got) }
}

fn misfit_word(field: &str, expected: &str, got: &str) -> SchemaError {
    misfit(field, expected, &Value::String(got.to_owned()))
}
