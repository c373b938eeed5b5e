//! Transactions: several edits, all or none. Must not know how they become durable.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named, Payload};
use super::writes::{Done, Writing};
use crate::service::Write;
use axum::Json;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, RecordId, SeriesName};
use serde::Deserialize;
use serde_json::Value as JsonValue;
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

use super::records::Object;

/// The most operations of one transaction; the store's own limits on changes and bytes come on top.
const OPERATIONS_MAX: usize = 16_384;

/// The workspace in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfWorkspace {
    /// Which workspace.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
}

/// One edit, as a line of `comptoir tx`.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Operation {
    /// Sets the given fields and leaves the rest.
    Put {
        collection: String,
        key: String,
        #[schema(value_type = Object)]
        fields: Object,
    },
    /// Adds to a counter.
    Incr { collection: String, key: String, field: String, by: i64 },
    /// Removes a field.
    Unset { collection: String, key: String, field: String },
    /// Gives a field the next number of a series, unless it has one.
    Number { collection: String, key: String, field: String, series: String },
    /// Marks the record deleted.
    Delete { collection: String, key: String },
    /// Takes that mark away.
    Restore { collection: String, key: String },
}

impl Operation {
    fn edit(self, caller: &Caller) -> Result<(RecordId, FieldEdit), RestError> {
        let record = |collection: &str, key: &str| caller.writes_record(collection, key);
        Ok(match self {
            Self::Put { collection, key, fields } => {
                let fields = json::fields(JsonValue::Object(fields)).map_err(RestError::json)?;
                (record(&collection, &key)?, FieldEdit::Set(fields))
            }
            Self::Incr { collection, key, field, by } => {
                (record(&collection, &key)?, FieldEdit::Increment { field, by })
            }
            Self::Unset { collection, key, field } => (record(&collection, &key)?, FieldEdit::Unset { field }),
            Self::Number { collection, key, field, series } => {
                let series = SeriesName::new(&series)?;
                (record(&collection, &key)?, FieldEdit::Number { field, series })
            }
            Self::Delete { collection, key } => (record(&collection, &key)?, FieldEdit::Delete),
            Self::Restore { collection, key } => (record(&collection, &key)?, FieldEdit::Restore),
        })
    }
}

/// The header of a transaction.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // read from the request's head by name
pub(super) struct OnceHeader {
    /// 1 to 255 characters: the same request under the same key is done once.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Does all of the edits or none. Every device sees all of them or none.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/transactions", tag = "transactions",
    params(OfWorkspace, Writing, OnceHeader), request_body = Vec<Operation>,
    responses((status = 200, body = Done, description = "Done")))]
pub(super) async fn transact(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(writing): Asked<Writing>,
    payload: Payload,
) -> Result<Json<Done>, RestError> {
    let operations: Vec<Operation> = payload.parse()?;
    if operations.len() > OPERATIONS_MAX {
        return Err(RestError::json(format!("a transaction has at most {OPERATIONS_MAX} operations")));
    }
    let edits = operations.into_iter().map(|each| each.edit(&caller)).collect::<Result<Vec<_>, _>>()?;
    let (label, once) = (caller.label(writing.label.as_deref())?, caller.once(&payload.0)?);
    let records: BTreeSet<RecordId> = edits.iter().map(|(record, _)| record.clone()).collect();
    caller.pays(records.len(), payload.0.len())?;
    let write = Write::new(records.into_iter().collect(), once, move |engine, now| {
        Ok(engine.commit_labelled(&edits, label.as_ref(), now)?)
    });
    Ok(Json(caller.service()?.write(write).await?.into()))
}
