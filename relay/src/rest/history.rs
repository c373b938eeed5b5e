//! A record's past, and fields with concurrent values. Must not write.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named};
use super::records::{OfRecord, page_limit};
use super::transactions::OfWorkspace;
use crate::auth::Access;
use crate::service::ServiceError;
use axum::Json;
use comptoir_engine::record::document::HISTORY_CHANGES_MAX;
use comptoir_engine::record::json;
use comptoir_engine::store::CONFLICTS_MAX;
use comptoir_engine::{Author, Collection, Conflict, Engine, HistoryPage, RecordId, StoreError, Value, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as JsonValue, json as object};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The changes of a page where nothing is said.
const PAGE_CHANGES: usize = 20;

/// Who made a change.
#[derive(Serialize, ToSchema)]
pub(super) struct Who {
    /// The device's name; none where it is not known here, or the change is an import's.
    #[schema(required)]
    name: Option<String>,
    /// The device's id, as far as it is known.
    #[schema(required)]
    device: Option<String>,
    /// Whether it is an import: then every device makes the same change.
    imported: bool,
}

impl From<&Author> for Who {
    fn from(author: &Author) -> Self {
        match author {
            Author::Device { name, device } => {
                Self { name: Some(name.clone()), device: Some(device.clone()), imported: false }
            }
            Author::Unnamed(_) => Self { name: None, device: None, imported: false },
            Author::Imported => Self { name: None, device: None, imported: true },
        }
    }
}

/// One change of a record.
#[derive(Serialize, ToSchema)]
pub(super) struct Change {
    /// Its hash.
    change: String,
    author: Who,
    /// When, by its author's clock; RFC 3339.
    #[schema(required)]
    at: Option<String>,
    /// What was done, if somebody said so.
    #[schema(required)]
    label: Option<String>,
    /// The transaction that it is a part of.
    #[schema(required)]
    transaction: Option<String>,
    /// Whether it made the record.
    created: bool,
    /// `true` deleted the record, `false` brought it back.
    #[schema(required)]
    deleted: Option<bool>,
    /// The fields that it changed, each with `before` and `after`.
    #[schema(value_type = Object)]
    fields: BTreeMap<String, JsonValue>,
}

fn value(value: &Value) -> JsonValue {
    json::object(&[("value".to_owned(), value.clone())].into())["value"].take()
}

impl From<&Version> for Change {
    fn from(version: &Version) -> Self {
        let sides = |before: &Option<Value>, after: &Option<Value>| {
            let mut sides = Map::new();
            sides.extend(before.as_ref().map(|before| ("before".to_owned(), value(before))));
            sides.extend(after.as_ref().map(|after| ("after".to_owned(), value(after))));
            JsonValue::Object(sides)
        };
        Self {
            change: version.change.to_string(),
            author: (&version.author).into(),
            at: version.at.map(|at| at.to_string()),
            label: version.label.as_ref().map(ToString::to_string),
            transaction: version.transaction.map(|id| id.to_string()),
            created: version.created,
            deleted: version.deleted,
            fields: version.fields.iter().map(|(name, d)| (name.clone(), sides(&d.before, &d.after))).collect(),
        }
    }
}

/// A page of a record's history, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Past {
    changes: Vec<Change>,
    /// Where the next page begins; none at the end.
    #[schema(required)]
    cursor: Option<String>,
}

/// Which changes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PastPage {
    /// The most changes of the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
    /// The cursor that the page before it ended with.
    cursor: Option<String>,
    /// Only changes of this field.
    field: Option<String>,
}

/// Who changed a record, when, and what.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/collections/{collection}/records/{key}/history", tag = "history",
    params(OfRecord, PastPage), responses((status = 200, body = Past, description = "The page")))]
pub(super) async fn history(
    caller: Caller,
    Named(of): Named<OfRecord>,
    Asked(page): Asked<PastPage>,
) -> Result<Json<Past>, RestError> {
    let record = caller.reads_record(&of.collection, &of.key)?;
    let changes_max = page_limit(page.limit, PAGE_CHANGES)?;
    if changes_max > HISTORY_CHANGES_MAX {
        return Err(RestError::Query { cause: format!("limit: use 1 to {HISTORY_CHANGES_MAX}") });
    }
    let asked = record.clone();
    let service = caller.service()?;
    let found = service.look(move |engine| {
        if engine.get(&asked)?.is_none() {
            return Ok(None);
        }
        let after = page.cursor.map(|digits| engine.change_named(&asked, &digits)).transpose()?;
        engine.history(&asked, &HistoryPage { changes_max, after, field: page.field }).map(Some)
    });
    let found = found.await?.ok_or(ServiceError::NoRecord { record })?;
    let cursor = found.next.map(|change| change.to_string());
    Ok(Json(Past { changes: found.versions.iter().map(Change::from).collect(), cursor }))
}

/// A field with several concurrent values. Nobody has to choose: all devices show the first.
#[derive(Serialize, ToSchema)]
pub(super) struct Rivalry {
    collection: String,
    key: String,
    field: String,
    values: Vec<RivalValue>,
}

/// One of a field's concurrent values.
#[derive(Serialize, ToSchema)]
pub(super) struct RivalValue {
    /// Any JSON value.
    #[schema(value_type = Value)]
    value: JsonValue,
    /// The change that set it.
    change: String,
    author: Who,
    #[schema(required)]
    at: Option<String>,
}

impl From<&Conflict> for Rivalry {
    fn from(conflict: &Conflict) -> Self {
        let rival = |rival: &comptoir_engine::Rival| RivalValue {
            value: value(&rival.value),
            change: rival.change.to_string(),
            author: (&rival.author).into(),
            at: rival.at.map(|at| at.to_string()),
        };
        Self {
            collection: conflict.record.collection.to_string(),
            key: conflict.record.key.to_string(),
            field: conflict.field.clone(),
            values: conflict.values.iter().map(rival).collect(),
        }
    }
}

/// A page of conflicts.
#[derive(Serialize, ToSchema)]
pub(super) struct Conflicts {
    conflicts: Vec<Rivalry>,
    /// Where the next page begins; none at the end.
    #[schema(required)]
    cursor: Option<String>,
}

/// Which conflicts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ConflictPage {
    /// Of this collection only.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$")]
    collection: Option<String>,
    /// The most records whose conflicts are told.
    #[param(minimum = 1, maximum = 256, default = 100)]
    limit: Option<usize>,
    /// The cursor that the page before it ended with.
    cursor: Option<String>,
}

/// Fields with several concurrent values.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/conflicts", tag = "history",
    params(OfWorkspace, ConflictPage), responses((status = 200, body = Conflicts, description = "The page")))]
pub(super) async fn conflicts(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(page): Asked<ConflictPage>,
) -> Result<Json<Conflicts>, RestError> {
    let collection = page.collection.as_deref().map(|collection| caller.reads(collection)).transpose()?;
    let records_max = page_limit(page.limit, 100)?;
    if records_max > CONFLICTS_MAX {
        return Err(RestError::Query { cause: format!("limit: use 1 to {CONFLICTS_MAX}") });
    }
    let after = page.cursor.as_deref().map(place).transpose()?;
    let grant = caller.grant.clone();
    let reads = move |each: &Collection| {
        grant.access(each) >= Access::Read && collection.as_ref().is_none_or(|only| only == each)
    };
    let look = move |engine: &Engine| readable_conflicts(engine, reads, after, records_max);
    let (found, next) = caller.service()?.look(look).await?;
    let place = |record: RecordId| super::cursor::hide(&object!([record.collection.as_str(), record.key.as_str()]));
    Ok(Json(Conflicts { conflicts: found.iter().map(Rivalry::from).collect(), cursor: next.map(place) }))
}

/// Collection by collection, so that no place that is told is one that may not be read.
fn readable_conflicts(
    engine: &Engine,
    reads: impl Fn(&Collection) -> bool,
    mut after: Option<RecordId>,
    records_max: usize,
) -> Result<(Vec<Conflict>, Option<RecordId>), StoreError> {
    let mut found = Vec::new();
    let begun = after.as_ref().map(|record| record.collection.clone());
    for collection in engine.collections().into_iter().filter(reads) {
        if begun.as_ref().is_some_and(|begun| collection < *begun) {
            continue;
        }
        let here = after.take().filter(|record| record.collection == collection);
        let (page, next) = engine.conflicts(Some(&collection), here.as_ref(), records_max)?;
        found.extend(page);
        if next.is_some() || found.len() >= records_max {
            let last = next.or_else(|| found.last().map(|conflict: &Conflict| conflict.record.clone()));
            return Ok((found, last));
        }
    }
    Ok((found, None))
}

fn place(cursor: &str) -> Result<RecordId, RestError> {
    let parts = super::cursor::reveal(cursor)
        .ok_or_else(|| RestError::Query { cause: "cursor: none of this list".to_owned() })?;
    let part = |index: usize| parts.get(index).and_then(JsonValue::as_str).unwrap_or_default();
    Ok(RecordId::new(part(0), part(1))?)
}
