//! What a record is: typed fields over one Automerge document. The only place that names Automerge. Must not know
//! storage, the session or other records.

pub mod document;
pub mod field;
pub mod history;
pub mod json;
mod layout;
pub mod rule;
pub mod schema;
pub mod shape;
pub mod view;

pub use document::{Contents, Document, DocumentFault, Following, Place, Registers, StoredRegisters};
pub use field::{EditError, FieldEdit};
pub use history::{Candidate, Difference, Entry};
pub use rule::Rule;
pub use schema::{Schema, SchemaError};
pub use shape::Shape;
pub use view::{Fields, Value, View};
