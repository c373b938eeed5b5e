//! Plain structs as records: what `#[derive(Record)]` and `#[derive(Field)]` implement. Must not know the store or threads.

#[doc(hidden)]
pub mod derived;
mod field;

use comptoir_engine::record::Schema;
use comptoir_engine::{Fields, Value, View};

pub use field::{Bytes, Field};

/// A plain struct as a record of one collection. Made by `#[derive(Record)]`:
///
/// ```
/// use comptoir::{Field, Record, Timestamp};
///
/// #[derive(Record)]
/// #[record(collection = "products", index(by_department = "department, price_cents"), index(search = "words(name)"))]
/// struct Product {
///     #[record(key)]
///     id: String,
///     name: String,
///     department: String,
///     price_cents: i64,
///     #[record(rule = "counter")]
///     stock: i64,
///     #[record(rule = "forward(listed<retired)", default = "listed")]
///     status: String,
///     tags: Option<Vec<String>>,
///     supplier: Option<Supplier>,
///     sold_at: Option<Timestamp>,
/// }
///
/// #[derive(Field)]
/// struct Supplier {
///     name: String,
///     phone: Option<String>,
/// }
///
/// assert_eq!(Product::COLLECTION, "products");
/// assert_eq!(Product::schema().indexes["search"].to_string(), "words(name)");
/// ```
///
/// - `#[record(key)]`, on one `String`: the record's key. It is no field of the record.
/// - An `Option` may be missing in the record; anything else is required, unless it has a `default`.
/// - `rule` is a merge rule of the schema; `last` where none is named. A `counter` is an integer, a `set` a list, a `text`
///   and a state that moves `forward` are texts. A counter that the record does not have reads as 0.
/// - `r#type` is the field `type`.
///
/// What the struct does not know stays in the record, also inside nested structs; items of a list are replaced whole.
///
/// Mistakes are found when the app is compiled:
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "products")]
/// struct NoKey {
///     name: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "products", index(by_brand = "brand"))]
/// struct IndexOfNothing {
///     #[record(key)]
///     id: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "products")]
/// struct NameAsCounter {
///     #[record(key)]
///     id: String,
///     #[record(rule = "counter")]
///     name: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "products")]
/// struct NoSuchRule {
///     #[record(key)]
///     id: String,
///     #[record(rule = "newest")]
///     name: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "Products of mine")]
/// struct NoCollection {
///     #[record(key)]
///     id: String,
/// }
/// ```
///
/// ```compile_fail
/// #[derive(comptoir::Record)]
/// #[record(collection = "products")]
/// struct NoField {
///     #[record(key)]
///     id: String,
///     thread: std::thread::ThreadId,
/// }
/// ```
pub trait Record: Sized {
    /// The collection all of them are in.
    const COLLECTION: &'static str;
    /// The fields the struct knows; the key is none of them.
    const NAMES: &'static [&'static str];
    /// Those of them that are counters.
    const COUNTERS: &'static [&'static str];

    /// Its key in the collection.
    fn key(&self) -> &str;

    /// Its fields as they are stored into a record that holds `seen`: what a nested struct does not know is kept.
    fn fields_over(&self, seen: &Fields) -> Fields;

    /// Its fields as a new record has them. A field that is `None` is missing.
    fn fields(&self) -> Fields {
        self.fields_over(&Fields::new())
    }

    /// The struct of a record, deleted or not. Errors: a required field is missing, or a field holds something else.
    fn from_view(key: &str, view: &View) -> Result<Self, RecordError>;

    /// The collection's schema, as far as this struct knows it.
    fn schema() -> Schema;
}

/// A record that does not fit the struct it is read into, or a struct that does not fit its record. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field is not there.
    #[error(
        "the field \"{field}\" is missing, {expected} was expected: set it, or make it an Option or give it a default"
    )]
    Missing {
        /// Its name; inside another field, as a JSON Pointer.
        field: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field holds something else.
    #[error("the field \"{field}\" holds {got}, {expected} was expected: set it to that, or change the struct's type")]
    Type {
        /// Its name; inside another field, as a JSON Pointer.
        field: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        got: &'static str,
    },
    /// A record's key was changed in an update.
    #[error(
        "the key \"{key}\" was changed to \"{changed}\": a record keeps its key; save another one and delete this one"
    )]
    Key {
        /// The record's.
        key: String,
        /// The struct's.
        changed: String,
    },
}

impl RecordError {
    fn missing(expected: &'static str) -> Self {
        Self::Missing { field: String::new(), expected }
    }

    fn wrong(expected: &'static str, found: &Value) -> Self {
        Self::Type { field: String::new(), expected, got: field::kind(found) }
    }

    /// The same one level further out.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        if let Self::Missing { field, .. } | Self::Type { field, .. } = &mut self {
            let pointer = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            *field = match field.as_str() {
                "" => name.to_owned(),
                inside if inside.starts_with('/') => format!("{}{inside}", pointer(name)),
                inside => format!("{}{}", pointer(name), pointer(inside)),
            };
        }
        self
    }
}
