//! Backups over REST: those in the place of the settings, the state of the last one, and a new one. Must not know how one is taken.

use super::RestError;
use super::operator::Operating;
use crate::backup::{Place, listed};
use crate::control::{BackupState, Control};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// One backup.
#[derive(Serialize, ToSchema)]
pub(super) struct Backup {
    /// Its name in the place.
    name: String,
    /// When it was taken, RFC 3339.
    made: String,
}

/// The backups of this relay.
#[derive(Serialize, ToSchema)]
pub(super) struct Backups {
    /// The folder or bucket of the settings.
    place: String,
    /// The oldest first.
    backups: Vec<Backup>,
    /// What became of the last one since the relay was started.
    #[schema(value_type = Object)]
    last: BackupState,
}

/// The backups in the place that the settings name, and what became of the last one.
#[utoipa::path(get, path = "/v1/admin/backups", tag = "operator",
    responses((status = 200, body = Backups, description = "The backups")))]
pub(super) async fn list(by: Operating) -> Result<Json<Backups>, RestError> {
    let (out, buckets) = by.control.backup_place().ok_or(RestError::BackupsUnset)?;
    let found = listed(&Place::make(out, buckets)?).await?;
    let backups = found.into_iter().map(|(name, made)| Backup { name, made: made.to_string() }).collect();
    Ok(Json(Backups { place: out.to_owned(), backups, last: by.control.last_backup() }))
}

/// Begins a backup into that place, as the settings say; `GET` tells what becomes of it.
#[utoipa::path(post, path = "/v1/admin/backups", tag = "operator",
    responses((status = 202, body = Object, description = "It has begun")))]
pub(super) async fn begin(by: Operating) -> Result<(StatusCode, Json<BackupState>), RestError> {
    let order = by.control.backup_order().ok_or(RestError::BackupsUnset)?;
    let control: Arc<Control> = by.control.clone();
    if !control.claim_backup() {
        return Err(RestError::BackupRunning);
    }
    tracing::info!(who = by.manager.name, "a backup was asked for over REST");
    tokio::spawn(async move {
        if let Err(error) = control.back_up(&order).await {
            tracing::error!(%error, "no backup could be taken; the last good one is untouched");
        }
    });
    Ok((StatusCode::ACCEPTED, Json(by.control.last_backup())))
}
