//! Why a service device does not do what is asked, and what its store's errors are called. Must not know HTTP.

use crate::text::Told;
use comptoir_engine::id::{NameError, RecordId, WorkspaceId};
use comptoir_engine::{EditError, QueryError, SchemaError, StoreError};

/// Why a service device does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Other workspaces are being served.
    #[error("this relay serves {services_max} workspaces over REST at once, and all are in use: try again in a minute")]
    Full {
        /// The limit.
        services_max: u32,
    },
    /// Too much waits.
    #[error("too many requests wait for the workspace {workspace}: try again in a few seconds")]
    Busy {
        /// Whose.
        workspace: WorkspaceId,
    },
    /// The log's newest entries have not come.
    #[error("the newest entries of the log have not been taken in yet, and nothing was done: try again")]
    Behind,
    /// The write is durable here, but not in the log.
    #[error(
        "the write is saved and will be sent, but the relay's log has not confirmed it yet: read again, and do not repeat it"
    )]
    Unsent,
    /// The write is durable here, and the log does not take it.
    #[error("the relay's log has set a part of this write aside: see its records")]
    Refused,
    /// The log is as long as it may be.
    #[error("the workspace has used up its {bytes_max} bytes on this relay: ask the relay's operator for more")]
    OverQuota {
        /// The limit.
        bytes_max: u64,
    },
    /// A condition of the write is not met.
    #[error("{record} is not in the state that the request demands: read it again, then decide")]
    Precondition {
        /// Which record.
        record: RecordId,
    },
    /// There is no such record, or it is deleted.
    #[error("there is no record {record}: check collection and key")]
    NoRecord {
        /// Which.
        record: RecordId,
    },
    /// An idempotency key was used before for something else.
    #[error("this idempotency key was used for another request: take a fresh key for each request")]
    KeyReused,
    /// A request was begun in a store that was lost.
    #[error(
        "this request was cut short and nobody knows whether it was done: read the records, then decide, with a fresh key"
    )]
    KeyUnknown,
    /// The keys of done requests cannot be kept.
    #[error("the idempotency keys cannot be kept ({cause}): check the disk, then try again with the same key")]
    Keys {
        /// The operating system's words.
        cause: String,
    },
    /// The folder of service devices cannot be used.
    #[error("the service device's folder cannot be used ({cause}): check the data folder")]
    Folder {
        /// The operating system's words.
        cause: String,
    },
    /// The store is closed, after a failure or because the relay stops.
    #[error("the service device is being opened again: try again")]
    Closed,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NameError> for ServiceError {
    fn from(error: NameError) -> Self {
        Self::Store(error.into())
    }
}

impl Told for ServiceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "services_full",
            Self::Busy { .. } => "service_busy",
            Self::Behind => "service_behind",
            Self::Unsent => "write_unsent",
            Self::Refused => "write_refused",
            Self::Precondition { .. } => "precondition",
            Self::NoRecord { .. } => "no_record",
            Self::KeyReused => "key_reused",
            Self::KeyUnknown => "key_unknown",
            Self::OverQuota { .. } => "over_quota",
            Self::Keys { .. } => "keys_unkept",
            Self::Folder { .. } => "service_folder",
            Self::Closed => "service_closed",
            Self::Store(error) => error.code(),
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Full { services_max } => vec![("services_max", services_max.to_string())],
            Self::Busy { workspace } => vec![("workspace", workspace.to_string())],
            Self::Precondition { record } | Self::NoRecord { record } => vec![("record", record.to_string())],
            Self::Keys { cause } | Self::Folder { cause } => vec![("cause", cause.clone())],
            Self::Behind | Self::Unsent | Self::Refused | Self::KeyReused => Vec::new(),
            Self::KeyUnknown | Self::Closed => Vec::new(),
            Self::OverQuota { bytes_max } => vec![("bytes_max", bytes_max.to_string())],
            Self::Store(error) => error.args(),
        }
    }
}

impl Told for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Disk(error) => error.code(),
            Self::Edit { error: EditError::Deleted, .. } => "record_deleted",
            Self::Edit { error: EditError::Absent, .. } => "no_record",
            Self::Edit { error: EditError::NotNumber { .. }, .. } => "not_number",
            Self::Edit { error: EditError::Misfit { .. }, .. } => "field_misfit",
            Self::Edit { error: EditError::Missing { .. }, .. } => "field_missing",
            Self::Edit { .. } => "edit_refused",
            Self::Schema { error: SchemaError::Misfit { .. }, .. } => "schema_misfit",
            Self::Schema { error: SchemaError::Type { .. }, .. } => "schema_type",
            Self::Schema { error: SchemaError::Required { .. }, .. } => "schema_required",
            Self::Schema { error: SchemaError::States { .. }, .. } => "schema_states",
            Self::Reserved { .. } => "reserved_collection",
            Self::TooLarge { .. } => "transaction_too_large",
            Self::Name(_) => "name_invalid",
            Self::NoChange { .. } => "no_change",
            Self::Query(QueryError::Syntax { .. }) => "query_syntax",
            Self::Query(QueryError::TooLarge { .. }) => "query_too_large",
            Self::Query(QueryError::BadCursor | QueryError::ForeignCursor) => "query_cursor",
            Self::Query(QueryError::Unsorted { .. }) => "query_unsorted",
            Self::Query(QueryError::Groups { .. }) => "query_groups",
            _ => "service_store",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Disk(error) => error.args(),
            Self::Edit { record, error } => edit_args(record, error),
            Self::Schema { collection, error } => schema_args(collection.as_str(), error),
            Self::Reserved { record } => vec![("record", record.to_string())],
            Self::TooLarge { limit, limit_max } | Self::Query(QueryError::TooLarge { limit, limit_max }) => {
                vec![("limit", (*limit).to_owned()), ("limit_max", limit_max.to_string())]
            }
            Self::Name(NameError { kind, name, .. }) => vec![("kind", (*kind).to_owned()), ("name", name.clone())],
            Self::NoChange { record, digits } => vec![("record", record.to_string()), ("digits", digits.clone())],
            Self::Query(QueryError::Syntax { position, expected, found }) => {
                vec![("position", position.to_string()), ("expected", (*expected).to_owned()), ("found", found.clone())]
            }
            Self::Query(QueryError::Unsorted { order, records_max }) => {
                vec![("order", order.clone()), ("records_max", records_max.to_string())]
            }
            Self::Query(QueryError::Groups { field, groups_max }) => {
                vec![("field", field.clone()), ("groups_max", groups_max.to_string())]
            }
            other => vec![("cause", other.to_string())],
        }
    }
}

fn edit_args(record: &RecordId, error: &EditError) -> Vec<(&'static str, String)> {
    let mut args = vec![("record", record.to_string())];
    match error {
        EditError::NotNumber { field, .. } => args.push(("field", field.clone())),
        EditError::Misfit { field, expected, got } => {
            args.extend([("field", field.clone()), ("expected", expected.clone()), ("got", got.clone())]);
        }
        EditError::Missing { field, expected } => {
            args.extend([("field", field.clone()), ("expected", expected.clone())]);
        }
        other => args.push(("cause", other.to_string())),
    }
    args
}

fn schema_args(collection: &str, error: &SchemaError) -> Vec<(&'static str, String)> {
    let (SchemaError::Misfit { field, .. }
    | SchemaError::Type { field, .. }
    | SchemaError::Required { field }
    | SchemaError::States { field, .. }) = error;
    let mut args = vec![("collection", collection.to_owned()), ("field", field.clone())];
    if let SchemaError::Misfit { expected, got, .. }
    | SchemaError::Type { expected, got, .. }
    | SchemaError::States { expected, got, .. } = error
    {
        args.extend([("expected", expected.clone()), ("got", got.clone())]);
    }
    args
}
