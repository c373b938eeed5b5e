//! The one error of the SDK and the command line, each with a stable code. Must not know how it is shown.

mod query;
mod store;

use crate::record::RecordError;
use comptoir_engine::id::NameError;
use comptoir_engine::record::json::JsonError;
use comptoir_engine::{QueryError, RecordId, StoreError};
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
    /// A record and its struct do not fit.
    #[error("{record}: {error}")]
    Record {
        /// Which one.
        record: RecordId,
        /// Why.
        error: RecordError,
    },
    /// A query that cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// There is no such record.
    #[error("there is no record {record}: check the collection and the key")]
    NoRecord {
        /// Its name.
        record: String,
    },
    /// There was no such record at that time.
    #[error("there was no record {record} at {at}: see its history")]
    NotThen {
        /// Its name.
        record: String,
        /// The time or the change, as given.
        at: String,
    },
    /// The collection has no schema.
    #[error("the collection {collection} has no schema: give it one with `comptoir schema set`")]
    NoSchema {
        /// Its name.
        collection: String,
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
    #[error("\"{address}\" is not a relay's address: use ws://HOST:PORT, or wss://HOST:PORT for TLS")]
    Address {
        /// As given.
        address: String,
    },
    /// Not a pairing link.
    #[error(
        "\"{link}\" is no pairing link: use the one that `comptoir-relay pair` shows, as in wss://HOST:PORT/pair#CODE"
    )]
    Link {
        /// As given.
        link: String,
    },
    /// No token came for a pairing link.
    #[error("not paired: {cause}")]
    Pair {
        /// What stood in the way.
        cause: String,
    },
    /// Nobody this device believes vouches for the relay. Nothing was said to it.
    #[error(
        "the certificate of the relay {address} is not trusted ({cause}): check the address; where it is of the shop's own authority, give that with `comptoir init --relay-ca`; nothing was sent"
    )]
    Untrusted {
        /// The relay.
        address: String,
        /// What is wrong with its certificate.
        cause: String,
    },
    /// The certificates that are to vouch for the relay cannot be used.
    #[error(
        "the certificates that are to vouch for the relay cannot be used ({cause}): give a file with certificates in PEM"
    )]
    RelayCa {
        /// What is wrong with them.
        cause: String,
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
    /// A store is to be restored into a folder that holds something.
    #[error("the folder {path} is not empty: restore into a new one")]
    NotEmpty {
        /// Which folder.
        path: PathBuf,
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
    /// A line of a transaction is no operation.
    #[error("line {line} of the transaction: {cause}; nothing of it was done: correct the line and give it again")]
    Operation {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// Another device holds the name of a series.
    #[error(
        "the series {name} is another device's: choose another name, or go on with {label}, which is this device's"
    )]
    SeriesTaken {
        /// The name asked for.
        name: String,
        /// What this device counts in instead.
        label: String,
    },
    /// No change set aside has this number.
    #[error("no change set aside has the number {number}: see `comptoir quarantine list`")]
    NotQuarantined {
        /// As given.
        number: u64,
    },
    /// An audit found something.
    #[error("{gaps} numbers are missing and {duplicates} were given twice: look at the records named above")]
    Audit {
        /// Missing numbers.
        gaps: u64,
        /// Numbers given twice.
        duplicates: u64,
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
pub const CODES: [&str; 69] = [
    "disk-full",
    "store-in-use",
    "newer-format",
    "not-a-store",
    "other-kind",
    "copy-differs",
    "damaged",
    "disk",
    "not-initialised",
    "other-workspace",
    "deleted",
    "no-record",
    "no-schema",
    "not-number",
    "edit",
    "misfit",
    "missing",
    "kept",
    "reserved",
    "schema",
    "schema-type",
    "schema-required",
    "schema-states",
    "too-large",
    "name",
    "label",
    "no-change",
    "not-concurrent",
    "no-transaction",
    "not-then",
    "history",
    "json-syntax",
    "json-not-object",
    "too-deep",
    "json-number",
    "struct",
    "shut-down",
    "busy",
    "no-relay",
    "address",
    "link",
    "pair",
    "untrusted",
    "relay-ca",
    "sync",
    "timeout",
    "file",
    "line",
    "operation",
    "series-taken",
    "audit",
    "not-quarantined",
    "on-relay",
    "import-cut",
    "long-line",
    "no-key",
    "argument",
    "usage",
    "demo",
    "backup-unreadable",
    "backup-newer",
    "backup-kind",
    "backup-damaged",
    "not-empty",
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
            Self::Store(error) => store::code(error),
            Self::Name(NameError { kind: "label", .. }) => "label",
            Self::Name(_) => "name",
            Self::Query(error) => query::code(error),
            Self::Json(JsonError::Syntax { .. }) => "json-syntax",
            Self::Json(JsonError::NotObject { .. }) => "json-not-object",
            Self::Json(JsonError::TooDeep) => "too-deep",
            Self::Json(JsonError::Number { .. }) => "json-number",
            Self::Record { .. } => "struct",
            Self::NoRecord { .. } => "no-record",
            Self::NotThen { .. } => "not-then",
            Self::NoSchema { .. } => "no-schema",
            Self::ShutDown => "shut-down",
            Self::Busy => "busy",
            Self::NoRelay => "no-relay",
            Self::Address { .. } => "address",
            Self::Link { .. } => "link",
            Self::Pair { .. } => "pair",
            Self::Untrusted { .. } => "untrusted",
            Self::RelayCa { .. } => "relay-ca",
            Self::Sync { .. } => "sync",
            Self::Timeout { .. } => "timeout",
            Self::File { .. } => "file",
            Self::NotEmpty { .. } => "not-empty",
            Self::Line { .. } => "line",
            Self::Operation { .. } => "operation",
            Self::SeriesTaken { .. } => "series-taken",
            Self::Audit { .. } => "audit",
            Self::NotQuarantined { .. } => "not-quarantined",
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
            Self::Store(error) => store::args(error),
            Self::Name(NameError { kind, name, .. }) => vec![("kind", (*kind).to_owned()), ("name", name.clone())],
            Self::Query(error) => query::args(error),
            Self::Json(JsonError::Syntax { cause }) => vec![("cause", cause.clone())],
            Self::Json(JsonError::Number { number }) => vec![("number", number.clone())],
            Self::Json(_) | Self::ShutDown | Self::Busy | Self::NoRelay => Vec::new(),
            Self::Record { record, error } => vec![("record", record.to_string()), ("cause", error.to_string())],
            Self::NoRecord { record } => vec![("record", record.clone())],
            Self::NotThen { record, at } => vec![("record", record.clone()), ("at", at.clone())],
            Self::NoSchema { collection } => vec![("collection", collection.clone())],
            Self::Address { address } => vec![("address", address.clone())],
            Self::Link { link } => vec![("link", link.clone())],
            Self::Untrusted { address, cause } => vec![("address", address.clone()), ("cause", cause.clone())],
            Self::Sync { cause } | Self::Pair { cause } | Self::RelayCa { cause } => vec![("cause", cause.clone())],
            Self::Timeout { seconds, pending } => {
                vec![("seconds", seconds.to_string()), ("pending", pending.to_string())]
            }
            Self::NotEmpty { path } => vec![("path", path.display().to_string())],
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
            Self::Operation { line, cause } => vec![("line", line.to_string()), ("cause", cause.clone())],
            Self::SeriesTaken { name, label } => vec![("name", name.clone()), ("label", label.clone())],
            Self::NotQuarantined { number } => vec![("number", number.to_string())],
            Self::Audit { gaps, duplicates } => {
                vec![("gaps", gaps.to_string()), ("duplicates", duplicates.to_string())]
            }
            Self::LongLine { bytes_max } => vec![("bytes_max", bytes_max.to_string())],
            Self::NoKey { field } => vec![("field", field.clone())],
            Self::Argument { given, .. } => vec![("given", given.clone())],
            Self::Usage { what } => vec![("what", what.clone())],
            Self::Demo { what } => vec![("what", what.clone())],
        }
    }
}
