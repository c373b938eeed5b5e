//! What only the relay's operator may do over REST: workspaces listed, suspended, resumed, limited and removed. Must not know how
//! it is done.

use super::RestError;
use super::caller::{Asker, bearer};
use super::payload::{Asked, Named, Payload};
use crate::auth::Manager;
use crate::catalog::{Allowance, CatalogError};
use crate::control::{Control, Workspace};
use crate::lobby::Guest;
use crate::log::LogError;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use comptoir_engine::id::WorkspaceId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

/// Somebody with an operator's token.
pub(super) struct Operating {
    pub(super) control: Arc<Control>,
    pub(super) manager: Manager,
}

impl FromRequestParts<Arc<Control>> for Operating {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, RestError> {
        let manager = control.auth().check_operator(bearer(&parts.headers)?).map_err(RestError::Token)?;
        if let Some(guest) = parts.extensions.get::<Arc<Guest>>() {
            guest.welcome();
        }
        Asker::note(&parts.extensions, &manager.name, &manager.id, None);
        Ok(Self { control: control.clone(), manager })
    }
}

/// A workspace in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfManaged {
    /// Which workspace.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    workspace: String,
}

impl OfManaged {
    fn id(&self) -> Result<WorkspaceId, RestError> {
        Ok(WorkspaceId::new(&self.workspace)?)
    }
}

/// All workspaces.
#[derive(Serialize, ToSchema)]
pub(super) struct Workspaces {
    #[schema(value_type = Vec<Object>)]
    workspaces: Vec<Workspace>,
}

/// Every workspace: its state and what it holds.
#[utoipa::path(get, path = "/v1/admin/workspaces", tag = "operator",
    responses((status = 200, body = Workspaces, description = "The workspaces")))]
pub(super) async fn list(by: Operating) -> Result<Json<Workspaces>, RestError> {
    Ok(Json(Workspaces { workspaces: by.control.workspaces().await? }))
}

/// One workspace: its state and what it holds.
#[utoipa::path(get, path = "/v1/admin/workspaces/{workspace}", tag = "operator", params(OfManaged),
    responses((status = 200, body = Object, description = "The workspace")))]
pub(super) async fn show(by: Operating, Named(of): Named<OfManaged>) -> Result<Json<Workspace>, RestError> {
    Ok(Json(by.control.workspace(&of.id()?).await?))
}

/// Closes a workspace for now: its tokens open nothing, and its sessions end within a second.
#[utoipa::path(post, path = "/v1/admin/workspaces/{workspace}/suspend", tag = "operator", params(OfManaged),
    responses((status = 200, body = Object, description = "The workspace")))]
pub(super) async fn suspend(by: Operating, Named(of): Named<OfManaged>) -> Result<Json<Workspace>, RestError> {
    let workspace = of.id()?;
    by.control.workspace(&workspace).await?;
    let (auth, named) = (by.control.auth(), workspace.clone());
    decide(move || auth.suspend(&named)).await?;
    Ok(Json(by.control.workspace(&workspace).await?))
}

/// Opens a suspended workspace again.
#[utoipa::path(post, path = "/v1/admin/workspaces/{workspace}/resume", tag = "operator", params(OfManaged),
    responses((status = 200, body = Object, description = "The workspace")))]
pub(super) async fn resume(by: Operating, Named(of): Named<OfManaged>) -> Result<Json<Workspace>, RestError> {
    let workspace = of.id()?;
    by.control.workspace(&workspace).await?;
    let (auth, named) = (by.control.auth(), workspace.clone());
    decide(move || auth.resume(&named)).await?;
    Ok(Json(by.control.workspace(&workspace).await?))
}

/// The confirmation of a removal.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirming {
    /// The workspace's name once more.
    #[param(example = "shop")]
    confirm: Option<String>,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    /// The workspace.
    removed: String,
}

/// Deletes a workspace for good: its log, its tokens and codes, and what REST keeps of it. Answered when it is gone; a caller
/// that does not wait changes nothing about it.
#[utoipa::path(delete, path = "/v1/admin/workspaces/{workspace}", tag = "operator", params(OfManaged, Confirming),
    responses((status = 200, body = Removed, description = "It is gone")))]
pub(super) async fn remove(
    by: Operating,
    Named(of): Named<OfManaged>,
    Asked(asked): Asked<Confirming>,
) -> Result<Json<Removed>, RestError> {
    let workspace = of.id()?;
    if asked.confirm.as_deref() != Some(workspace.as_str()) {
        return Err(RestError::Unconfirmed { workspace });
    }
    let (control, named) = (by.control.clone(), workspace.clone());
    let removed = tokio::spawn(async move { control.remove(&named).await }).await;
    removed.map_err(|_| RestError::Unavailable)??;
    Ok(Json(Removed { removed: workspace.to_string() }))
}

/// What a workspace may take, where that is not as in the settings; 0: no limit.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Changes that may be pushed in a second.
    #[schema(minimum = 0)]
    changes_per_second: Option<u32>,
    /// Bytes that may be pushed in a second.
    #[schema(minimum = 0)]
    bytes_per_second: Option<u32>,
    /// REST requests in a second.
    #[schema(minimum = 0)]
    requests_per_second: Option<u32>,
    /// Bytes that its log may have.
    #[schema(minimum = 0)]
    log_bytes_max: Option<u64>,
}

impl From<Allowance> for Limits {
    fn from(allowance: Allowance) -> Self {
        let Allowance { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max } = allowance;
        Self { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max }
    }
}

impl From<Limits> for Allowance {
    fn from(limits: Limits) -> Self {
        let Limits { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max } = limits;
        Self { changes_per_second, bytes_per_second, requests_per_second, log_bytes_max }
    }
}

/// What a workspace may take, where that is not as in the settings.
#[utoipa::path(get, path = "/v1/admin/workspaces/{workspace}/limits", tag = "operator", params(OfManaged),
    responses((status = 200, body = Limits, description = "The limits")))]
pub(super) async fn limits(by: Operating, Named(of): Named<OfManaged>) -> Result<Json<Limits>, RestError> {
    Ok(Json(by.control.auth().allowance(&of.id()?).into()))
}

/// Says what a workspace may take, in the place of all that was said before; what is left out is as in the settings.
#[utoipa::path(put, path = "/v1/admin/workspaces/{workspace}/limits", tag = "operator", params(OfManaged),
    request_body = Limits, responses((status = 200, body = Limits, description = "The limits")))]
pub(super) async fn set_limits(
    by: Operating,
    Named(of): Named<OfManaged>,
    payload: Payload,
) -> Result<Json<Limits>, RestError> {
    let (workspace, given) = (of.id()?, Allowance::from(payload.parse::<Limits>()?));
    let (auth, named) = (by.control.auth(), workspace.clone());
    decide(move || auth.limit(&named, given)).await?;
    Ok(Json(by.control.auth().allowance(&workspace).into()))
}

/// Does what waits for the disk.
pub(super) async fn decide<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, RestError> {
    Ok(spawn_blocking(work).await.map_err(|_| LogError::Unavailable)??)
}
