//! The one error of the SDK and the command line, each with a stable code. Must not know how it is shown.

use comptoir_engine::disk::DiskError;
use comptoir_engine::id::NameError;
use comptoir_engine::record::json::JsonError;
use comptoir_engine::{EditError, QueryError, StoreError};
use std::path::PathBuf;

/// Why something could not be done. Nothing of it was done, and nothing saved before is lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name breaks its rules.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a JSON record.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A query that cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// There is no such record.
    #[error("there is no record {record}: check the collection and the key")]
    NoRecord {
        /// Its name.
        record: String,
    },
    /// The store was shut down.
    #[error("the store was shut down: open it again")]
    ShutDown,
    /// Another single sync is under way.
    #[error("a sync is under way already: wait for its end, then try again")]
    Busy,
    /// No relay is set.
    #[error("this store has no relay to sync with: give it one with `comptoir init --relay`")]
    NoRelay,
    /// The relay's address cannot be used.
    #[error("\"{address}\" is not a relay's address: use ws://HOST:PORT")]
    Address {
        /// As given.
        address: String,
    },
    /// The sync did not end well.
    #[error("not synced: {cause}; everything saved is kept and will be sent next time")]
    Sync {
        /// What stood in the way.
        cause: String,
    },
    /// The time ran out.
    #[error(
        "not synced within {seconds} s ({pending} edits wait): everything saved is kept and will be sent next time"
    )]
    Timeout {
        /// The time allowed, in seconds.
        seconds: u64,
        /// Edits not acknowledged.
        pending: u64,
    },
    /// A file could not be read or written.
    #[error("the file {path} cannot be used: {cause}; check its path and its permissions")]
    File {
        /// Which file.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// A line of an import is no record.
    #[error(
        "line {line} of the import is no record ({cause}): mend it, or pass over such lines with --skip-bad; {saved} records before it are saved"
    )]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
        /// Records saved before it.
        saved: u64,
    },
    /// An import's file ends in the middle, or is damaged.
    #[error(
        "the file {path} cannot be read past line {line}: {cause}; {saved} records before are saved: get a whole file and import it again"
    )]
    ImportCut {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// Its last good line, from 1.
        line: u64,
        /// Records saved.
        saved: u64,
    },
    /// A line of an import is longer than any record.
    #[error("it is longer than {bytes_max} bytes")]
    LongLine {
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// A row of an import has no key.
    #[error("it has no text or whole number in its key field \"{field}\": name another with --key")]
    NoKey {
        /// The field that should hold it.
        field: String,
    },
    /// A word of the command line cannot be used.
    #[error("\"{given}\" is not {wanted}: see --help")]
    Argument {
        /// As given.
        given: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The command line cannot be understood.
    #[error("{what}: see `comptoir --help`")]
    Usage {
        /// What is wrong with it.
        what: String,
    },
    /// The demo found a value that should be another.
    #[error("the demo failed: {what}")]
    Demo {
        /// What was found.
        what: String,
    },
}

/// All codes of [`Error::code`].
pub const CODES: [&str; 38] = [
    "disk-full",
    "store-in-use",
    "newer-format",
    "not-a-store",
    "damaged",
    "disk",
    "not-initialised",
    "other-workspace",
    "deleted",
    "no-record",
    "not-number",
    "edit",
    "too-large",
    "name",
    "history",
    "json-syntax",
    "json-not-object",
    "too-deep",
    "json-number",
    "shut-down",
    "busy",
    "no-relay",
    "address",
    "sync",
    "timeout",
    "file",
    "line",
    "import-cut",
    "long-line",
    "no-key",
    "argument",
    "usage",
    "demo",
    "query-syntax",
    "query-too-large",
    "cursor",
    "unsorted",
    "groups",
];

impl Error {
    /// A stable name for programs and translations.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => store_code(error),
            Self::Name(_) => "name",
            Self::Query(error) => query_code(error),
            Self::Json(JsonError::Syntax { .. }) => "json-syntax",
            Self::Json(JsonError::NotObject { .. }) => "json-not-object",
            Self::Json(JsonError::TooDeep) => "too-deep",
            Self::Json(JsonError::Number { .. }) => "json-number",
            Self::NoRecord { .. } => "no-record",
            Self::ShutDown => "shut-down",
            Self::Busy => "busy",
            Self::NoRelay => "no-relay",
            Self::Address { .. } => "address",
            Self::Sync { .. } => "sync",
            Self::Timeout { .. } => "timeout",
            Self::File { .. } => "file",
            Self::Line { .. } => "line",
            Self::ImportCut { .. } => "import-cut",
            Self::LongLine { .. } => "long-line",
            Self::NoKey { .. } => "no-key",
            Self::Argument { .. } => "argument",
            Self::Usage { .. } => "usage",
            Self::Demo { .. } => "demo",
        }
    }

    /// What its text speaks of, by name.
    pub fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Store(error) => store_args(error),
            Self::Name(NameError { kind, name, .. }) => vec![("kind", (*kind).to_owned()), ("name", name.clone())],
            Self::Query(error) => query_args(error),
            Self::Json(JsonError::Syntax { cause }) => vec![("cause", cause.clone())],
            Self::Json(JsonError::Number { number }) => vec![("number", number.clone())],
            Self::Json(_) | Self::ShutDown | Self::Busy | Self::NoRelay => Vec::new(),
            Self::NoRecord { record } => vec![("record", record.clone())],
            Self::Address { address } => vec![("address", address.clone())],
            Self::Sync { cause } => vec![("cause", cause.clone())],
            Self::Timeout { seconds, pending } => {
                vec![("seconds", seconds.to_string()), ("pending", pending.to_string())]
            }
            Self::File { path, cause } => vec![("path", path.display().to_string()), ("cause", cause.clone())],
            Self::Line { line, cause, saved } => {
                vec![("line", line.to_string()), ("cause", cause.clone()), ("saved", saved.to_string())]
            }
            Self::ImportCut { path, cause, line, saved } => vec![
                ("path", path.display().to_string()),
                ("cause", cause.clone()),
                ("line", line.to_string()),
                ("saved", saved.to_string()),
            ],
            Self::LongLine { bytes_max } => vec![("bytes_max", bytes_max.to_string())],
            Self::NoKey { field } => vec![("field", field.clone())],
            Self::Argument { given, .. } => vec![("given", given.clone())],
            Self::Usage { what } => vec![("what", what.clone())],
            Self::Demo { what } => vec![("what", what.clone())],
        }
    }
}

fn store_args(error: &StoreError) -> Vec<(&'static str, String)> {
    match error {
        StoreError::Disk(DiskError::InUse { path } | DiskError::NotAStore { path }) => {
            vec![("path", path.display().to_string())]
        }
        StoreError::Disk(DiskError::NewerFormat { found, known }) => {
            vec![("found", found.to_string()), ("known", known.to_string())]
        }
        StoreError::OtherWorkspace { found, wanted } => {
            vec![("found", found.to_string()), ("wanted", wanted.to_string())]
        }
        StoreError::Edit { record, error } => vec![("record", record.to_string()), ("cause", error.to_string())],
        StoreError::Name(NameError { kind, name, .. }) => vec![("kind", (*kind).to_owned()), ("name", name.clone())],
        StoreError::Query(error) => query_args(error),
        other => vec![("cause", other.to_string())],
    }
}

fn query_args(error: &QueryError) -> Vec<(&'static str, String)> {
    match error {
        QueryError::Syntax { position, expected, found } => {
            vec![("position", position.to_string()), ("expected", (*expected).to_owned()), ("found", found.clone())]
        }
        QueryError::TooLarge { limit, limit_max } => {
            vec![("limit", (*limit).to_owned()), ("limit_max", limit_max.to_string())]
        }
        QueryError::BadCursor | QueryError::ForeignCursor => vec![("cause", error.to_string())],
        QueryError::Unsorted { order, records_max } => {
            vec![("order", order.clone()), ("records_max", records_max.to_string())]
        }
        QueryError::Groups { field, groups_max } => {
            vec![("field", field.clone()), ("groups_max", groups_max.to_string())]
        }
    }
}

fn query_code(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax { .. } => "query-syntax",
        QueryError::TooLarge { .. } => "query-too-large",
        QueryError::BadCursor | QueryError::ForeignCursor => "cursor",
        QueryError::Unsorted { .. } => "unsorted",
        QueryError::Groups { .. } => "groups",
    }
}

fn store_code(error: &StoreError) -> &'static str {
    match error {
        StoreError::Disk(DiskError::Full { .. }) => "disk-full",
        StoreError::Disk(DiskError::InUse { .. }) => "store-in-use",
        StoreError::Disk(DiskError::NewerFormat { .. }) => "newer-format",
        StoreError::Disk(DiskError::NotAStore { .. }) => "not-a-store",
        StoreError::Disk(DiskError::Damaged { .. }) | StoreError::Damaged { .. } => "damaged",
        StoreError::Disk(_) => "disk",
        StoreError::NotInitialised => "not-initialised",
        StoreError::OtherWorkspace { .. } => "other-workspace",
        StoreError::Edit { error: EditError::Deleted, .. } => "deleted",
        StoreError::Edit { error: EditError::Absent, .. } => "no-record",
        StoreError::Edit { error: EditError::NotNumber { .. }, .. } => "not-number",
        StoreError::Edit { .. } => "edit",
        StoreError::TooLarge { .. } => "too-large",
        StoreError::Name(_) => "name",
        StoreError::Query(error) => query_code(error),
        StoreError::Batch(_) | StoreError::Unclear | StoreError::Forked { .. } => "history",
    }
}
