//! How fields lie in an Automerge document's root map. Must not know transactions.
//!
//! Maps are flattened, so that concurrent creations of one map merge and an edit inside a map survives its deletion. A
//! leaf's key is its path as a JSON Pointer (RFC 6901) without the first slash: `supplier/name`; `~` and `/` in a
//! name are written `~0` and `~1`, an empty name `~2`, so keys that begin otherwise are Comptoir's own:
//!
//! | key | holds |
//! |---|---|
//! | `path` | the field: a scalar, or a [`Kind`] mark |
//! | `~c/path` | a counter's increments, from a derived change |
//! | `~u/path` | the counter's value when the field was unset |
//! | `~l/path` | a list, from a derived change |
//! | `~t/path` | a text, from a derived change; it begins with the string that the field held |
//! | `~s/path~=element` | `true` where a set has the element, as JSON text |
//! | `~d` | when the record was deleted |
//!
//! Bytes begin with a tag: `0` before the user's own bytes, else a [`Kind`].
//!
//! A set's elements are keys, because a key that is put on one device and deleted on another stays: adding wins. Where the
//! field is marked as a list or a set, the items of `~l/path` are elements too, so that a list becomes a set as it is,
//! and what a device without the schema adds to the list is in the set. No path holds `~=`.

use super::view::{Fields, Value};
use std::borrow::Cow;

/// The key of the deletion mark.
pub(super) const DELETED: &str = "~d";
/// The tag before a user's bytes.
pub(super) const BYTES_TAG: u8 = 0;

/// What a field's mark says it is; the content lies elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `~l/path`.
    List = 1,
    /// `~t/path`.
    Text = 2,
    /// No content: a map without fields.
    EmptyMap = 3,
    /// `~s/path~=` and `~l/path`.
    Set = 4,
}

impl Kind {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1] => Some(Self::List),
            [2] => Some(Self::Text),
            [3] => Some(Self::EmptyMap),
            [4] => Some(Self::Set),
            _ => None,
        }
    }
}

/// Objects and counters that every device must mean as the same one, each made by a derived change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    Counter,
    List,
    Text,
}

impl Root {
    pub(super) fn key(self, path: &str) -> String {
        let prefix = match self {
            Self::Counter => "~c/",
            Self::List => "~l/",
            Self::Text => "~t/",
        };
        [prefix, path].concat()
    }
}

/// The key that keeps a counter's value when its field was unset.
pub(super) fn unset_key(path: &str) -> String {
    ["~u/", path].concat()
}

/// What the keys of all sets' elements begin with.
pub(super) const SETS: &str = "~s/";

/// What the keys of a set's elements begin with.
pub(super) fn set_prefix(path: &str) -> String {
    [SETS, path, "~="].concat()
}

/// What a view shows at a path.
pub(super) fn value_at<'v>(fields: &'v Fields, path: &str) -> Option<&'v Value> {
    match path.split_once('/') {
        None => fields.get(&*unescape(path)),
        Some((name, rest)) => match fields.get(&*unescape(name)) {
            Some(Value::Map(inside)) => value_at(inside, rest),
            _ => None,
        },
    }
}

/// The path of a set's element key.
pub(super) fn set_path(key: &str) -> Option<&str> {
    key.strip_prefix(SETS)?.split_once("~=").map(|(path, _)| path)
}

/// A name as one segment of a path.
pub(super) fn escape(name: &str) -> String {
    match name {
        "" => "~2".to_owned(),
        _ => name.replace('~', "~0").replace('/', "~1"),
    }
}

/// The name that a segment stands for.
pub(super) fn unescape(segment: &str) -> Cow<'_, str> {
    match segment {
        "~2" => Cow::Borrowed(""),
        _ if segment.contains('~') => Cow::Owned(segment.replace("~1", "/").replace("~0", "~")),
        _ => Cow::Borrowed(segment),
    }
}

/// The path of a field in a map.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => escape(name),
        _ => format!("{path}/{}", escape(name)),
    }
}

/// The path of a field given by name or as a JSON Pointer; `None` when it is a bad pointer.
pub(super) fn path(field: &str) -> Option<String> {
    let Some(pointer) = field.strip_prefix('/') else { return Some(escape(field)) };
    let mut tail = pointer;
    while let Some(at) = tail.find('~') {
        tail = &tail[at + 1..];
        if !tail.starts_with(['0', '1']) {
            return None;
        }
    }
    let segments: Vec<_> = pointer.split('/').map(|segment| escape(&unescape(segment))).collect();
    Some(segments.join("/"))
}

/// How deep a path lies: 1 for a field of the record itself.
pub(super) fn depth(path: &str) -> usize {
    path.matches('/').count() + 1
}

/// The path behind a prefix such as `~c/`.
pub(super) fn path_of<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)
}

/// Whether a key is a field's own.
pub(super) fn is_field(key: &str) -> bool {
    !key.starts_with('~') || ["~0", "~1", "~2"].iter().any(|escaped| key.starts_with(escaped))
}

/// Whether a key holds what every device must mean as the same: a counter's increments, a list or a text.
pub(super) fn is_root(key: &str) -> bool {
    ["~c/", "~l/", "~t/"].iter().any(|prefix| key.starts_with(prefix))
}

/// The field a key is about, as its path, whatever of it the key holds; `None` for the deletion mark.
pub(super) fn path_in(key: &str) -> Option<&str> {
    match is_field(key) {
        true => Some(key),
        false => {
            set_path(key).or_else(|| ["~c/", "~u/", "~l/", "~t/"].iter().find_map(|prefix| key.strip_prefix(prefix)))
        }
    }
}

/// A path as people type it: a name, or a JSON Pointer.
pub(super) fn shown(path: &str) -> String {
    match path.contains(['/', '~']) {
        true => format!(
            "/{}",
            path.split('/').map(|segment| if segment == "~2" { "" } else { segment }).collect::<Vec<_>>().join("/")
        ),
        false => path.to_owned(),
    }
}
