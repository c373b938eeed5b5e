//! A collection's schema, read and set. Must not know what it does to records.

use super::RestError;
use super::caller::Caller;
use super::payload::{Named, Payload};
use super::records::{Object, OfCollection};
use super::writes::Done;
use crate::service::Write;
use axum::Json;
use comptoir_engine::record::json;
use serde_json::Value as JsonValue;

/// A collection's schema as its record's fields; empty where none was set.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/collections/{collection}/schema", tag = "schemas",
    params(OfCollection), responses((status = 200, body = Object, description = "The schema")))]
pub(super) async fn get(caller: Caller, Named(of): Named<OfCollection>) -> Result<Json<JsonValue>, RestError> {
    let collection = caller.reads(&of.collection)?;
    let found = caller.service()?.look(move |engine| Ok(engine.schema(&collection))).await?;
    Ok(Json(json::object(&found.fields())))
}

/// Sets a collection's schema, for every device; setting the same again changes nothing.
#[utoipa::path(put, path = "/v1/workspaces/{workspace}/collections/{collection}/schema", tag = "schemas",
    params(OfCollection), request_body = Object, responses((status = 200, body = Done, description = "Set")))]
pub(super) async fn put(
    caller: Caller,
    Named(of): Named<OfCollection>,
    payload: Payload,
) -> Result<Json<Done>, RestError> {
    let collection = caller.writes(&of.collection)?;
    caller.writes("_schemas")?;
    let fields = json::fields(JsonValue::Object(payload.parse::<Object>()?)).map_err(RestError::json)?;
    caller.pays(1, payload.0.len())?;
    let write = Write::new(Vec::new(), None, move |engine, now| Ok(engine.set_schema(&collection, &fields, now)?));
    Ok(Json(caller.service()?.write(write).await?.into()))
}
