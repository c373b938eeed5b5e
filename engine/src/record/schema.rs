//! What a collection's records look like: types, required fields, defaults, merge rules and indexes; and its form as a
//! record of the collection `_schemas`. Must not know documents or storage.
//!
//! ```json
//! {"fields":  {"name":    {"type": "string", "required": true},
//!              "stock":   {"type": "counter"},
//!              "status":  {"type": "string", "rule": "forward(open<paid<closed)", "default": "open"}},
//!  "indexes": {"by_department": "department, price_cents", "search": "words(name, brand)"}}
//! ```
//!
//! A nested field is named by a JSON Pointer (`/supplier/name`). An index is one text, so that concurrent definitions
//! never mix. What this release does not know is kept in the record and has no effect here.

mod check;
mod fit;
mod join;

pub use check::{SchemaError, check, evolve, written};
pub(super) use fit::name;
pub use join::grown;

use super::rule::Rule;
use super::view::{Fields, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The collection that holds every other collection's schema, by name.
pub const SCHEMAS: &str = "_schemas";

/// The most fields a schema names. Of a record with more, those that come first in order of name are read.
pub const SCHEMA_FIELDS_MAX: usize = 1000;

/// The most indexes a schema names, likewise.
pub const SCHEMA_INDEXES_MAX: usize = 64;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldType {
    /// Anything.
    #[default]
    Any,
    /// Yes or no.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// Values in order.
    List,
    /// Values by name.
    Map,
}

/// One field of a schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Field {
    /// What it may hold.
    pub kind: FieldType,
    /// Whether a record must have it.
    pub required: bool,
    /// What a new record gets when nothing is given.
    pub default: Option<Value>,
    /// How concurrent values become one.
    pub rule: Rule,
}

/// One index of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The fields, in order.
    pub fields: Vec<String>,
    /// Whether it holds the words of the fields' texts, and not the values.
    pub words: bool,
}

/// A collection's schema. The default one knows nothing and allows everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    /// By name or JSON Pointer.
    pub fields: BTreeMap<String, Field>,
    /// By name.
    pub indexes: BTreeMap<String, Index>,
}

impl FieldType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::List => "list",
            Self::Map => "map",
        }
    }

    /// The type of its name, with the merge rule that the name implies: `counter` and `text` are both.
    pub fn parse(name: &str) -> Option<(Self, Rule)> {
        Some(match name {
            "any" => (Self::Any, Rule::Last),
            "bool" => (Self::Bool, Rule::Last),
            "int" => (Self::Int, Rule::Last),
            "float" => (Self::Float, Rule::Last),
            "string" => (Self::String, Rule::Last),
            "bytes" => (Self::Bytes, Rule::Last),
            "timestamp" => (Self::Timestamp, Rule::Last),
            "list" => (Self::List, Rule::Last),
            "map" => (Self::Map, Rule::Last),
            "counter" => (Self::Int, Rule::Counter),
            "text" => (Self::String, Rule::Text),
            _ => return None,
        })
    }
}

impl Index {
    /// The index of its written form: `department, price_cents` or `words(name, brand)`.
    pub fn parse(text: &str) -> Option<Self> {
        let inside = text.trim().strip_prefix("words(").and_then(|rest| rest.strip_suffix(')'));
        let fields: Vec<_> = inside.unwrap_or(text).split(',').map(|field| field.trim().to_owned()).collect();
        let good = fields.iter().all(|field| !field.is_empty() && !field.contains(['(', ')']));
        good.then_some(Self { fields, words: inside.is_some() })
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.join(", ");
        if self.words { write!(f, "words({fields})") } else { f.write_str(&fields) }
    }
}

impl Schema {
    /// Its form as a record of `_schemas`: what [`Schema::read`] makes this schema of.
    pub fn fields(&self) -> Fields {
        let fields = self.fields.iter().map(|(name, field)| (name.clone(), Value::Map(write_field(field))));
        let indexes = self.indexes.iter().map(|(name, index)| (name.clone(), Value::String(index.to_string())));
        let (fields, indexes) = (fields.collect(), indexes.collect());
        [("fields", fields), ("indexes", indexes)].map(|(name, map)| (name.to_owned(), Value::Map(map))).into()
    }

    /// What a record of `_schemas` says; what this release does not know in it has no effect.
    pub fn read(record: &Fields) -> Self {
        let fields = named(record, "fields").take(SCHEMA_FIELDS_MAX);
        let fields = fields.map(|(name, value)| (name.clone(), read_field(value))).collect();
        let index = |(name, value): (&String, &Value)| Some((name.clone(), Index::parse(text(value)?)?));
        Self { fields, indexes: named(record, "indexes").take(SCHEMA_INDEXES_MAX).filter_map(index).collect() }
    }
}

fn named<'a>(record: &'a Fields, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    match record.get(name) {
        Some(Value::Map(fields)) => Some(fields.iter()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

fn write_field(field: &Field) -> Fields {
    let (name, implied) = match (field.kind, &field.rule) {
        (FieldType::Int, Rule::Counter) => ("counter", true),
        (FieldType::String, Rule::Text) => ("text", true),
        (kind, rule) => (kind.name(), *rule == Rule::Last),
    };
    let says = [
        ("type", Some(Value::String(name.to_owned()))),
        ("required", field.required.then_some(Value::Bool(true))),
        ("default", field.default.clone()),
        ("rule", (!implied).then(|| Value::String(field.rule.to_string()))),
    ];
    says.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn read_field(value: &Value) -> Field {
    let Value::Map(says) = value else { return Field::default() };
    let (kind, implied) = says.get("type").and_then(text).and_then(FieldType::parse).unwrap_or_default();
    let rule = says.get("rule").and_then(text).and_then(Rule::parse).filter(|rule| rule.suits(kind));
    let required = says.get("required") == Some(&Value::Bool(true));
    let field = Field { kind, required, default: None, rule: rule.unwrap_or(implied) };
    Field { default: says.get("default").filter(|default| field.fit(default).is_some()).cloned(), ..field }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) | Value::Text(text) => Some(text),
        _ => None,
    }
}
