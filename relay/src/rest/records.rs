//! Records read: one, or a page of those that a query asks for. Must not write.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named};
use crate::service::{ServiceError, Stated, stated};
use axum::Json;
use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use comptoir_engine::record::json;
use comptoir_engine::{PageCursor, Query, RecordId, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as JsonValue};
use utoipa::{IntoParams, ToSchema};

/// The records of a page where nothing is said.
const PAGE_RECORDS: usize = 100;
/// The most records of a page.
pub(super) const PAGE_RECORDS_MAX: usize = 1000;

/// The collection in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfCollection {
    /// Whose records.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
    /// Which of them.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "products")]
    pub(super) collection: String,
}

/// The record in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfRecord {
    /// Whose record.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
    /// Its collection.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "products")]
    pub(super) collection: String,
    /// Its key: 1 to 256 bytes without control characters.
    #[param(min_length = 1, max_length = 256, example = "tea")]
    pub(super) key: String,
}

/// A record as people read it.
#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    collection: String,
    key: String,
    /// Whether it is deleted. Its fields are kept.
    deleted: bool,
    /// A counter as its number, a timestamp as RFC 3339, bytes as base64.
    #[schema(value_type = Object)]
    fields: JsonValue,
}

impl Record {
    pub(super) fn of(record: &RecordId, view: &View) -> Self {
        Self {
            collection: record.collection.to_string(),
            key: record.key.to_string(),
            deleted: view.deleted,
            fields: json::object(&view.fields),
        }
    }
}

/// A page of records.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordPage {
    records: Vec<Record>,
    /// Where the next page begins; none at the end.
    #[schema(required)]
    cursor: Option<String>,
}

/// Which records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only records of which this is true, as in `department = "GROCERY" and price_cents < 500`.
    #[serde(rename = "where")]
    #[param(example = "price_cents < 500")]
    filter: Option<String>,
    /// Only records with words that begin as these.
    search: Option<String>,
    /// By these fields, as in `price_cents desc, name`; by key where nothing is said.
    #[param(example = "price_cents desc, name")]
    order: Option<String>,
    /// The most records of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the cursor that the one before it ended with.
    cursor: Option<String>,
    /// Deleted records too.
    #[param(default = false)]
    deleted: Option<bool>,
}

impl Page {
    fn query(&self) -> Result<Query, RestError> {
        let mut query = self.filter.as_deref().map(Query::parse).transpose()?.unwrap_or_default();
        query.order = self.order.as_deref().map(Query::parse_order).transpose()?.unwrap_or_default();
        query.after = self.cursor.as_deref().map(str::parse::<PageCursor>).transpose()?;
        query.search = self.search.clone();
        query.deleted = self.deleted.unwrap_or_default();
        query.limit = Some(page_limit(self.limit, PAGE_RECORDS)?);
        Ok(query)
    }
}

/// A limit that was given, checked.
pub(super) fn page_limit(given: Option<usize>, usual: usize) -> Result<usize, RestError> {
    match given.unwrap_or(usual) {
        limit @ 1..=PAGE_RECORDS_MAX => Ok(limit),
        _ => Err(RestError::Query { cause: format!("limit: use 1 to {PAGE_RECORDS_MAX}") }),
    }
}

/// Records of a collection, a page at a time, in the order that the query says.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/collections/{collection}/records", tag = "records",
    params(OfCollection, Page), responses((status = 200, body = RecordPage, description = "The page")))]
pub(super) async fn list(
    caller: Caller,
    Named(of): Named<OfCollection>,
    Asked(page): Asked<Page>,
) -> Result<Json<RecordPage>, RestError> {
    let collection = caller.reads(&of.collection)?;
    let query = page.query()?;
    query.check()?;
    let asked = collection.clone();
    let found = caller.service()?.look(move |engine| engine.query(&asked, &query)).await?;
    let record = |(key, view): (_, View)| Record::of(&RecordId { collection: collection.clone(), key }, &view);
    let cursor = found.next.map(|cursor| cursor.to_string());
    Ok(Json(RecordPage { records: found.records.into_iter().map(record).collect(), cursor }))
}

/// How a record is read.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    /// Also if it is deleted.
    #[param(default = false)]
    deleted: Option<bool>,
}

/// A record, with the name of its state as `ETag`.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", tag = "records",
    params(OfRecord, Reading, ("If-None-Match" = Option<String>, Header, description = "Answered with 304 if the record is still in this state")),
    responses((status = 200, body = Record, description = "The record", headers(("etag" = String, description = "The record's state"))),
        (status = 304, description = "The record is still in this state")))]
pub(super) async fn get(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(reading): Asked<Reading>,
) -> Result<Response<Body>, RestError> {
    let record = caller.reads_record(&of.collection, &of.key)?;
    let conditions = caller.conditions()?;
    let asked = record.clone();
    let found = caller.service()?.look(move |engine| stated(engine, &asked)).await?;
    let seen = |found: &Stated| !found.view.deleted || reading.deleted.unwrap_or_default();
    let found = found.filter(seen).ok_or(ServiceError::NoRecord { record: record.clone() })?;
    let answer = match conditions.knows(Some(&found.etag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(Record::of(&record, &found.view)).into_response(),
    };
    Ok(tagged(answer, Some(&found.etag)))
}

/// The answer with a record's state in its head.
pub(super) fn tagged(mut answer: Response<Body>, etag: Option<&str>) -> Response<Body> {
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok()) {
        answer.headers_mut().insert(header::ETAG, etag);
    }
    answer
}

/// A JSON object as it came.
pub(super) type Object = Map<String, JsonValue>;
