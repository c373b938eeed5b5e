//! How a workspace stands, and its devices. Must not write.

use super::RestError;
use super::caller::Caller;
use super::payload::Named;
use super::transactions::OfWorkspace;
use crate::text::hex;
use axum::Json;
use comptoir_engine::record::json;
use comptoir_engine::store::DEVICES;
use comptoir_engine::{Collection, Engine, StoreError};
use serde::Serialize;
use serde_json::Value as JsonValue;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// Devices read at a time, and the most that are told.
const DEVICES_PAGE: usize = 500;
const DEVICES_MAX: usize = 10_000;
const ENTER_TIMEOUT: Duration = Duration::from_secs(5);

/// How a workspace stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// Names the log: a log made anew has another one.
    epoch: String,
    /// The number of the log's last entry.
    tail: u64,
    /// Equal digests mean equal records.
    digest: String,
    /// Records that are not deleted.
    records: u64,
    /// Changes that the relay's own device has set aside.
    quarantined: u64,
    /// Edits saved over REST that are not in the log yet.
    pending: u64,
}

/// How the workspace stands. Only for tokens that may read all of it.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/status", tag = "workspace",
    params(OfWorkspace), responses((status = 200, body = Status, description = "The status")))]
pub(super) async fn status(caller: Caller, Named(_): Named<OfWorkspace>) -> Result<Json<Status>, RestError> {
    if !caller.grant.reads_all() {
        return Err(RestError::Forbidden { collection: "*".to_owned() });
    }
    let seat = timeout(ENTER_TIMEOUT, caller.services.hub().enter(&caller.grant)).await;
    let seat = seat.map_err(|_| RestError::Unavailable)??;
    let found = caller.service()?.look(|engine| Ok(engine.status())).await?;
    let head = seat.room().durable();
    Ok(Json(Status {
        epoch: hex(&seat.room().epoch().0),
        tail: head.tail.0,
        digest: hex(&head.digest.0),
        records: found.total_records,
        quarantined: found.quarantined,
        pending: found.pending,
    }))
}

/// One installation.
#[derive(Serialize, ToSchema, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device {
    /// Its id.
    device: String,
    /// The name that it has last given itself.
    name: String,
}

/// The devices that have written something.
#[derive(Serialize, ToSchema)]
pub(super) struct Devices {
    devices: Vec<Device>,
}

/// The devices that have written something, by id.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/devices", tag = "workspace",
    params(OfWorkspace), responses((status = 200, body = Devices, description = "The devices")))]
pub(super) async fn devices(caller: Caller, Named(_): Named<OfWorkspace>) -> Result<Json<Devices>, RestError> {
    let collection = caller.reads(DEVICES)?;
    let found = caller.service()?.look(move |engine| read_devices(engine, &collection)).await?;
    let devices = found.into_iter().map(|(device, name)| Device { device, name }).collect();
    Ok(Json(Devices { devices }))
}

fn read_devices(engine: &Engine, collection: &Collection) -> Result<BTreeMap<String, String>, StoreError> {
    let (mut found, mut after) = (BTreeMap::new(), None);
    while found.len() < DEVICES_MAX {
        let page = engine.list(collection, after.as_ref(), DEVICES_PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, view) in page.iter().filter(|(_, view)| !view.deleted) {
            let text = |name: &str| match json::object(&view.fields).get(name) {
                Some(JsonValue::String(text)) => text.clone(),
                _ => String::new(),
            };
            found.insert(text("device"), text("name"));
        }
    }
    Ok(found)
}
