//! Rust's types as a record's values. Must not know records.

use super::RecordError;
use comptoir_engine::record::schema::FieldType;
use comptoir_engine::{Timestamp, Value};
use std::collections::BTreeMap;

/// A type that a record's field can hold. `#[derive(Field)]` makes one of a plain struct: a map with the struct's fields.
pub trait Field: Sized {
    /// What the schema calls it.
    const TYPE: FieldType;
    /// Whether a record must have it.
    const REQUIRED: bool = true;

    /// Its value, in a field that holds `seen`; `None` for a field that is to be missing.
    fn to_value(&self, seen: Option<&Value>) -> Option<Value>;

    /// The type's value of a field's, `None` for a field that is missing.
    fn from_value(value: Option<&Value>) -> Result<Self, RecordError>;
}

/// Bytes in a record; a `Vec<u8>` would be a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

/// A value's type as people say it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Uint(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::String(_) | Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "a point in time",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Counter(_) => "a counter",
    }
}

macro_rules! field {
    ($type:ty, $kind:ident, $expected:literal, |$own:ident| $value:expr, $($read:pat => $made:expr),+ $(,)?) => {
        impl Field for $type {
            const TYPE: FieldType = FieldType::$kind;

            fn to_value(&self, _: Option<&Value>) -> Option<Value> {
                let $own = self;
                Some($value)
            }

            fn from_value(value: Option<&Value>) -> Result<Self, RecordError> {
                let made = match value {
                    None | Some(Value::Null) => return Err(RecordError::missing($expected)),
                    $(Some($read) => $made,)+
                    Some(_) => None,
                };
                made.ok_or_else(|| RecordError::wrong($expected, value.unwrap_or(&Value::Null)))
            }
        }
    };
}

field!(bool, Bool, "true or false", |own| Value::Bool(*own), Value::Bool(value) => Some(*value));
field!(String, String, "a text", |own| Value::String(own.clone()),
    Value::String(text) | Value::Text(text) => Some(text.clone()));
field!(f64, Float, "a number", |own| Value::Float(*own),
    Value::Float(number) => Some(*number),
    Value::Int(number) | Value::Counter(number) => Some(*number as f64),
    Value::Uint(number) => Some(*number as f64));
field!(Bytes, Bytes, "bytes", |own| Value::Bytes(own.0.clone()), Value::Bytes(bytes) => Some(Self(bytes.clone())));
field!(Timestamp, Timestamp, "a point in time", |own| Value::Timestamp(*own),
    Value::Timestamp(time) => Some(*time),
    // JSON has no points in time.
    Value::String(text) => Self::parse(text));

macro_rules! whole_number {
    ($($type:ty = $expected:literal),+ $(,)?) => {
        $(field!($type, Int, $expected, |own| whole(i128::from(*own)),
            Value::Int(number) | Value::Counter(number) => Self::try_from(*number).ok(),
            Value::Uint(number) => Self::try_from(*number).ok());)+
    };
}

whole_number! {
    i64 = "a whole number",
    u64 = "a whole number from 0",
    i32 = "a whole number of 32 bits",
    u32 = "a whole number of 32 bits from 0",
}

fn whole(number: i128) -> Value {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => Value::Int(number),
        (_, Ok(number)) => Value::Uint(number),
        _ => Value::Null,
    }
}

impl<T: Field> Field for Option<T> {
    const TYPE: FieldType = T::TYPE;
    const REQUIRED: bool = false;

    fn to_value(&self, seen: Option<&Value>) -> Option<Value> {
        self.as_ref().and_then(|own| own.to_value(seen))
    }

    fn from_value(value: Option<&Value>) -> Result<Self, RecordError> {
        match value {
            None | Some(Value::Null) => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    const TYPE: FieldType = FieldType::List;

    fn to_value(&self, _: Option<&Value>) -> Option<Value> {
        // Items have no names: which of those seen one was made of is not known.
        Some(Value::List(self.iter().map(|item| item.to_value(None).unwrap_or(Value::Null)).collect()))
    }

    fn from_value(value: Option<&Value>) -> Result<Self, RecordError> {
        match value {
            Some(Value::List(items)) => {
                let item = |(at, item)| T::from_value(Some(item)).map_err(|error| error.within(&format!("{at}")));
                items.iter().enumerate().map(item).collect()
            }
            None | Some(Value::Null) => Err(RecordError::missing("a list")),
            Some(other) => Err(RecordError::wrong("a list", other)),
        }
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const TYPE: FieldType = FieldType::Map;

    fn to_value(&self, seen: Option<&Value>) -> Option<Value> {
        let seen = super::derived::inside(seen);
        let entry = |(name, own): (&String, &T)| Some((name.clone(), own.to_value(seen.get(name))?));
        Some(Value::Map(self.iter().filter_map(entry).collect()))
    }

    fn from_value(value: Option<&Value>) -> Result<Self, RecordError> {
        let entry = |(name, value): (&String, &Value)| {
            T::from_value(Some(value)).map(|own| (name.clone(), own)).map_err(|error| error.within(name))
        };
        super::derived::map(value)?.iter().map(entry).collect()
    }
}
