//! Codes and values of the store's errors. Must not know how they are shown.

use comptoir_engine::archive::ArchiveError;
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::NameError;
use comptoir_engine::{EditError, SchemaError, StoreError};

pub(super) fn args(error: &StoreError) -> Vec<(&'static str, String)> {
    match error {
        StoreError::Disk(DiskError::InUse { path } | DiskError::NotAStore { path }) => {
            vec![("path", path.display().to_string())]
        }
        StoreError::Disk(DiskError::OtherKind { path, found, wanted }) => {
            vec![("path", path.display().to_string()), ("found", found.to_string()), ("wanted", wanted.to_string())]
        }
        StoreError::Disk(DiskError::CopyDiffers { what }) => vec![("cause", what.clone())],
        StoreError::Disk(DiskError::NewerFormat { found, known }) => {
            vec![("found", found.to_string()), ("known", known.to_string())]
        }
        StoreError::Archive(ArchiveError::Io { cause }) => vec![("cause", cause.clone())],
        StoreError::Archive(ArchiveError::NewerFormat { found }) => vec![("found", found.to_string())],
        StoreError::Archive(ArchiveError::OtherKind { .. }) => Vec::new(),
        StoreError::Archive(ArchiveError::Damaged { what }) => vec![("what", (*what).to_owned())],
        StoreError::OtherWorkspace { found, wanted } => {
            vec![("found", found.to_string()), ("wanted", wanted.to_string())]
        }
        StoreError::NotQuarantined { record } => vec![("number", record.to_string())],
        StoreError::OnRelay { record } => vec![("record", record.to_string())],
        StoreError::Edit { record, error: EditError::Misfit { field, expected, got } } => {
            vec![
                ("record", record.to_string()),
                ("field", field.clone()),
                ("expected", expected.clone()),
                ("got", got.clone()),
            ]
        }
        StoreError::Edit { record, error: EditError::Missing { field, expected } } => {
            vec![("record", record.to_string()), ("field", field.clone()), ("expected", expected.clone())]
        }
        StoreError::Edit { record, error: EditError::Kept { field, rule } } => {
            vec![("record", record.to_string()), ("field", field.clone()), ("rule", rule.clone())]
        }
        StoreError::Reserved { record } => vec![("record", record.to_string())],
        StoreError::Schema { collection, error } => schema_args(collection.as_str(), error),
        StoreError::Edit { record, error } => vec![("record", record.to_string()), ("cause", error.to_string())],
        StoreError::NoChange { record, digits } => {
            vec![("record", record.to_string()), ("cause", digits.clone())]
        }
        StoreError::NoTransaction { id } => vec![("id", id.to_string())],
        StoreError::Name(NameError { kind, name, .. }) => vec![("kind", (*kind).to_owned()), ("name", name.clone())],
        StoreError::Query(error) => super::query::args(error),
        other => vec![("cause", other.to_string())],
    }
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

pub(super) fn code(error: &StoreError) -> &'static str {
    match error {
        StoreError::Disk(DiskError::Full { .. } | DiskError::NoRoom { .. }) => "disk-full",
        StoreError::Disk(DiskError::InUse { .. }) => "store-in-use",
        StoreError::Disk(DiskError::NewerFormat { .. }) => "newer-format",
        StoreError::Disk(DiskError::NotAStore { .. }) => "not-a-store",
        StoreError::Disk(DiskError::OtherKind { .. }) => "other-kind",
        StoreError::Disk(DiskError::CopyDiffers { .. }) => "copy-differs",
        StoreError::Disk(DiskError::Damaged { .. }) | StoreError::Damaged { .. } => "damaged",
        StoreError::Disk(_) => "disk",
        StoreError::Archive(ArchiveError::Io { .. }) => "backup-unreadable",
        StoreError::Archive(ArchiveError::NewerFormat { .. }) => "backup-newer",
        StoreError::Archive(ArchiveError::OtherKind { .. }) => "backup-kind",
        StoreError::Archive(ArchiveError::Damaged { .. } | ArchiveError::TooLong { .. }) => "backup-damaged",
        StoreError::NotInitialised => "not-initialised",
        StoreError::OtherWorkspace { .. } => "other-workspace",
        StoreError::Edit { error: EditError::Deleted, .. } => "deleted",
        StoreError::Edit { error: EditError::Absent, .. } => "no-record",
        StoreError::Edit { error: EditError::NotNumber { .. }, .. } => "not-number",
        StoreError::Edit { error: EditError::NoSuchChange { .. }, .. } | StoreError::NoChange { .. } => "no-change",
        StoreError::Edit { error: EditError::NotConcurrent { .. }, .. } => "not-concurrent",
        StoreError::Edit { error: EditError::Misfit { .. }, .. } => "misfit",
        StoreError::Edit { error: EditError::Missing { .. }, .. } => "missing",
        StoreError::Edit { error: EditError::Kept { .. }, .. } => "kept",
        StoreError::Reserved { .. } => "reserved",
        StoreError::Schema { error: SchemaError::Misfit { .. }, .. } => "schema",
        StoreError::Schema { error: SchemaError::Type { .. }, .. } => "schema-type",
        StoreError::Schema { error: SchemaError::Required { .. }, .. } => "schema-required",
        StoreError::Schema { error: SchemaError::States { .. }, .. } => "schema-states",
        StoreError::Edit { .. } => "edit",
        StoreError::NoTransaction { .. } => "no-transaction",
        StoreError::Name(NameError { kind: "label", .. }) => "label",
        StoreError::TooLarge { .. } => "too-large",
        StoreError::NotQuarantined { .. } => "not-quarantined",
        StoreError::OnRelay { .. } => "on-relay",
        StoreError::Name(_) => "name",
        StoreError::Query(error) => super::query::code(error),
        StoreError::Batch(_) | StoreError::Unclear | StoreError::Forked { .. } => "history",
    }
}
