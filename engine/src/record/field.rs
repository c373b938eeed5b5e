//! What can be done to one record, and why it may be refused. Must not know documents or storage.

use super::view::{Fields, Value};
use crate::change::ChangeFault;
use crate::id::{ChangeHash, SeriesName};

/// One edit of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldEdit {
    /// Sets the given fields and leaves the rest. A number set on a counter becomes an increment by the difference to
    /// what is seen here, so that no concurrent increment is lost.
    Set(Fields),
    /// As `Set`, as one change that every device makes alike when the record does not exist yet; counters of an
    /// existing record are left alone.
    Import(Fields),
    /// Adds to a counter, which begins at the field's number, or at 0.
    Increment {
        /// A field's name, or a JSON Pointer (`/supplier/orders`) to one inside a map.
        field: String,
        /// What to add; may be negative.
        by: i64,
    },
    /// Removes a field. Increments made elsewhere meanwhile stay.
    Unset {
        /// A field's name or a JSON Pointer.
        field: String,
    },
    /// Gives a field the next number of a series of this device, such as `T1-000123`, unless it has one.
    Number {
        /// A field's name.
        field: String,
        /// The series.
        series: SeriesName,
    },
    /// Marks the record deleted; its fields and history stay.
    Delete,
    /// Takes the mark away.
    Restore,
    /// Of a field's concurrent values, makes the one that a change set the only one.
    Choose {
        /// A field's name or a JSON Pointer.
        field: String,
        /// The change that set the value.
        change: ChangeHash,
    },
    /// Takes back what a change of this record did, as far as nobody has changed it since: counters by the opposite
    /// increment, a field goes back to what it was, a deletion is undone, and a record that it made is deleted.
    Undo {
        /// The change.
        change: ChangeHash,
        /// Fields to leave as they are, by name or JSON Pointer.
        except: Vec<String>,
    },
}

/// Why an edit was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Only numbers can be incremented.
    #[error("the field \"{field}\" holds {found}, not a whole number: set it to a number first")]
    NotNumber {
        /// The field.
        field: String,
        /// What it holds.
        found: &'static str,
    },
    /// A counter would leave the range of 64 bits.
    #[error("the counter \"{field}\" would leave the range of 64-bit numbers")]
    Overflow {
        /// The field.
        field: String,
    },
    /// The record is deleted.
    #[error("the record is deleted: restore it first")]
    Deleted,
    /// There is no such record.
    #[error("there is no such record")]
    Absent,
    /// The record has no such change.
    #[error("the record has no change {}: see its history", change.short())]
    NoSuchChange {
        /// As given.
        change: ChangeHash,
    },
    /// The change has set none of the field's concurrent values.
    #[error("the field \"{field}\" has no concurrent value by the change {}: see its conflicts", change.short())]
    NotConcurrent {
        /// The field.
        field: String,
        /// The change.
        change: ChangeHash,
    },
    /// A path that names no field.
    #[error("\"{field}\" names no field: use a name, or a JSON Pointer like /supplier/phone")]
    BadField {
        /// As given.
        field: String,
    },
    /// Lists and maps nested too deep, or too large for one change.
    #[error("the edit is too large: {0}; split it")]
    TooLarge(ChangeFault),
    /// Lists and maps nested too deep.
    #[error("lists and maps are nested too deep: flatten them")]
    TooDeep,
    /// A number no field can hold.
    #[error("the field \"{field}\" is not a finite number")]
    NotFinite {
        /// The field.
        field: String,
    },
    /// The value is not what the schema says.
    #[error("the field \"{field}\" must be {expected}, not {got}: see `comptoir schema show`")]
    Misfit {
        /// The field.
        field: String,
        /// What it must be, in a schema's words.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A record must have this field.
    #[error("the field \"{field}\" is missing, and a record must have it ({expected}): give it a value")]
    Missing {
        /// The field.
        field: String,
        /// What it must be, in a schema's words.
        expected: String,
    },
    /// A field's merge rule keeps what it holds.
    #[error("the field \"{field}\" cannot be removed, because its merge rule is {rule}: leave it as it is")]
    Kept {
        /// The field.
        field: String,
        /// Its rule.
        rule: String,
    },
    /// Automerge refused.
    #[error("the record could not be changed: {cause}")]
    Document {
        /// Its words.
        cause: String,
    },
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Uint(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::String(_) | Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "a time",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
        Value::Counter(_) => "a counter",
    }
}
