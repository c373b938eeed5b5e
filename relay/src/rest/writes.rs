//! Writes of one record: whole, a part, a counter, gone. Must not know how they become durable.

use super::RestError;
use super::caller::{Caller, Conditions};
use super::payload::{Asked, Named, Payload};
use super::records::{Object, OfRecord, tagged};
use crate::service::{ServiceError, Stated, Write, Written, stated};
use axum::Json;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, Fields, RecordId};
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use utoipa::{IntoParams, ToSchema};

/// What a write did. It is durable in the relay's log.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {
    /// Records that it changed.
    changed: u64,
    /// Those of them that are new.
    created: u64,
    /// What names the transaction, where it changed several records.
    #[schema(required)]
    transaction: Option<String>,
    /// The numbers that its records were given, in order.
    numbers: Vec<String>,
}

impl From<Written> for Done {
    fn from(written: Written) -> Self {
        let Written { changed, created, transaction, numbers, .. } = written;
        Self { changed, created, transaction, numbers }
    }
}

/// What is said beside a write.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Writing {
    /// What is done, for the history: 1 to 200 bytes. Who the token is for, where nothing is said.
    #[param(min_length = 1, max_length = 200)]
    pub(super) label: Option<String>,
}

/// The headers of a write of one record.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // read from the request's head by name
pub(super) struct WriteHeaders {
    /// Only if the record is in this state; `*`: if there is one.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: only if there is no such record.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
    /// 1 to 255 characters: the same request under the same key is done once.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What to do with a record as it is.
type Plan = Box<dyn FnOnce(Option<&Stated>) -> Result<Vec<FieldEdit>, ServiceError> + Send>;

/// Does a write of one record where its conditions hold.
async fn write(
    caller: &Caller,
    record: RecordId,
    writing: &Writing,
    body: &[u8],
    plan: Plan,
) -> Result<Written, RestError> {
    let conditions: Conditions = caller.conditions()?;
    caller.pays(1, body.len())?;
    let (label, once) = (caller.label(writing.label.as_deref())?, caller.once(body)?);
    let of = record.clone();
    let write = Write::new(vec![record], once, move |engine, now| {
        let found = stated(engine, &of)?;
        let there = found.as_ref().filter(|found| !found.view.deleted);
        if !conditions.allow(there.map(|found| found.etag.as_str())) {
            return Err(ServiceError::Precondition { record: of });
        }
        let edits: Vec<_> = plan(found.as_ref())?.into_iter().map(|edit| (of.clone(), edit)).collect();
        Ok(engine.commit_labelled(&edits, label.as_ref(), now)?)
    });
    Ok(caller.service()?.write(write).await?)
}

fn answered(written: Written) -> Response<Body> {
    let status = if written.created > 0 { StatusCode::CREATED } else { StatusCode::OK };
    let etag = written.etag.clone();
    tagged((status, Json(Done::from(written))).into_response(), etag.as_deref())
}

fn fields(payload: &Payload) -> Result<Fields, RestError> {
    json::fields(JsonValue::Object(payload.parse::<Object>()?)).map_err(RestError::json)
}

/// The edits that make a record hold exactly these fields.
fn whole(found: Option<&Stated>, fields: Fields) -> Vec<FieldEdit> {
    let restore = found.filter(|found| found.view.deleted).map(|_| FieldEdit::Restore);
    let gone = found.into_iter().flat_map(|found| found.view.fields.keys()).filter(|name| !fields.contains_key(*name));
    let gone: Vec<_> = gone.map(|name| FieldEdit::Unset { field: pointer(name) }).collect();
    restore.into_iter().chain(gone).chain([FieldEdit::Set(fields)]).collect()
}

/// The name of a field of the record itself, also where it looks like a path.
fn pointer(name: &str) -> String {
    match name.starts_with('/') {
        true => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        false => name.to_owned(),
    }
}

/// Makes a record hold exactly these fields; makes it if there is none, and brings it back if it is deleted. A number
/// given for a counter becomes the increment that leads there from what is seen now.
#[utoipa::path(put, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", tag = "records",
    params(OfRecord, Writing, WriteHeaders), request_body = Object,
    responses((status = 200, body = Done, description = "Written", headers(("etag" = String, description = "The record's state"))),
        (status = 201, body = Done, description = "Written, and new", headers(("etag" = String, description = "The record's state")))))]
pub(super) async fn put(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(writing): Asked<Writing>,
    payload: Payload,
) -> Result<Response<Body>, RestError> {
    let record = caller.writes_record(&of.collection, &of.key)?;
    let fields = fields(&payload)?;
    let plan = Box::new(move |found: Option<&Stated>| Ok(whole(found, fields)));
    Ok(answered(write(&caller, record, &writing, &payload.0, plan).await?))
}

/// Sets the given fields of a record and leaves the rest; `null` takes a field away (RFC 7396, its first level).
#[utoipa::path(patch, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", tag = "records",
    params(OfRecord, Writing, WriteHeaders), request_body = Object,
    responses((status = 200, body = Done, description = "Written", headers(("etag" = String, description = "The record's state")))))]
pub(super) async fn patch(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(writing): Asked<Writing>,
    payload: Payload,
) -> Result<Response<Body>, RestError> {
    let record = caller.writes_record(&of.collection, &of.key)?;
    let given = payload.parse::<Object>()?;
    let gone: Vec<String> = given.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    let set = JsonValue::Object(given.into_iter().filter(|(_, value)| !value.is_null()).collect());
    let set = json::fields(set).map_err(RestError::json)?;
    let of = record.clone();
    let plan = Box::new(move |found: Option<&Stated>| {
        let found = found.filter(|found| !found.view.deleted).ok_or(ServiceError::NoRecord { record: of })?;
        let gone = gone.into_iter().filter(|name| found.view.fields.contains_key(name));
        let gone: Vec<_> = gone.map(|name| FieldEdit::Unset { field: pointer(&name) }).collect();
        Ok(gone.into_iter().chain([FieldEdit::Set(set)]).collect())
    });
    Ok(answered(write(&caller, record, &writing, &payload.0, plan).await?))
}

/// Marks a record deleted. Its fields and its history stay; doing it again changes nothing.
#[utoipa::path(delete, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", tag = "records",
    params(OfRecord, Writing, WriteHeaders), responses((status = 204, description = "Deleted")))]
pub(super) async fn delete(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(writing): Asked<Writing>,
) -> Result<StatusCode, RestError> {
    let record = caller.writes_record(&of.collection, &of.key)?;
    let of = record.clone();
    let plan = Box::new(move |found: Option<&Stated>| match found {
        None => Err(ServiceError::NoRecord { record: of }),
        Some(found) if found.view.deleted => Ok(Vec::new()),
        Some(_) => Ok(vec![FieldEdit::Delete]),
    });
    write(&caller, record, &writing, &[], plan).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to add to a counter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Increment {
    /// A field's name, or a JSON Pointer to one inside a map.
    #[schema(example = "stock", min_length = 1)]
    field: String,
    /// What to add; may be negative.
    #[schema(example = -3)]
    by: i64,
}

/// Adds to a counter, which begins at the field's number, or at 0; makes the record if there is none. Concurrent increments
/// all count.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}/increment", tag = "records",
    params(OfRecord, Writing, WriteHeaders), request_body = Increment,
    responses((status = 200, body = Done, description = "Counted", headers(("etag" = String, description = "The record's state"))),
        (status = 201, body = Done, description = "Counted, and the record is new", headers(("etag" = String, description = "The record's state")))))]
pub(super) async fn increment(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(writing): Asked<Writing>,
    payload: Payload,
) -> Result<Response<Body>, RestError> {
    let record = caller.writes_record(&of.collection, &of.key)?;
    let Increment { field, by } = payload.parse()?;
    let plan = Box::new(move |_: Option<&Stated>| Ok(vec![FieldEdit::Increment { field, by }]));
    Ok(answered(write(&caller, record, &writing, &payload.0, plan).await?))
}
