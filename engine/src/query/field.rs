//! Which field of a record is meant. Must not know how it is compared.

use crate::id::Key;
use crate::record::{Value, View};
use std::borrow::Cow;
use std::fmt;

/// A field of a record, of a map inside it, or the record's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The record's key, as a text; written `_key`.
    Key,
    /// The names that lead to the field. In a list, an item's number, from 0, is its name.
    Path(Vec<String>),
}

impl Field {
    /// A field as a person types it: `_key`, a name, names joined by dots (`supplier.name`), or a JSON Pointer
    /// (`/supplier/name`), which alone reaches names that have a dot in them.
    pub fn typed(text: &str) -> Self {
        match text {
            "_key" => Self::Key,
            _ if text.starts_with('/') => Self::named(text),
            _ => Self::Path(text.split('.').map(str::to_owned).collect()),
        }
    }

    /// A field as a schema names it: a name, or a JSON Pointer.
    pub fn named(text: &str) -> Self {
        match text.strip_prefix('/') {
            Some(pointer) => Self::Path(pointer.split('/').map(unescape).collect()),
            None => Self::Path(vec![text.to_owned()]),
        }
    }

    /// What a record has there; `None` when there is nothing.
    pub fn of<'v>(&self, key: &Key, view: &'v View) -> Option<Cow<'v, Value>> {
        match self {
            Self::Key => Some(Cow::Owned(Value::String(key.as_str().to_owned()))),
            Self::Path(names) => Self::at(names, view).map(Cow::Borrowed),
        }
    }

    fn at<'v>(names: &[String], view: &'v View) -> Option<&'v Value> {
        let (first, rest) = names.split_first()?;
        rest.iter().try_fold(view.fields.get(first)?, |value, name| match value {
            Value::Map(fields) => fields.get(name),
            Value::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// One name of a JSON Pointer (RFC 6901); `~2` is an empty name too, as everywhere in Comptoir.
fn unescape(segment: &str) -> String {
    match segment {
        "~2" => String::new(),
        _ => segment.replace("~1", "/").replace("~0", "~"),
    }
}

/// As it would be typed.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |name: &String| {
            name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !super::parse::is_word_of_the_language(name)
        };
        match self {
            Self::Key => f.write_str("_key"),
            Self::Path(names) if names.iter().all(plain) && *names != ["_key"] => f.write_str(&names.join(".")),
            Self::Path(names) => {
                f.write_str("`")?;
                for name in names {
                    let name = name.replace('~', "~0").replace('/', "~1").replace('`', "``");
                    write!(f, "/{}", if name.is_empty() { "~2" } else { &name })?;
                }
                f.write_str("`")
            }
        }
    }
}
