//! Webhooks over REST, for admins of a workspace. Must not know how they deliver.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named, Payload};
use super::records::page_limit;
use super::transactions::OfWorkspace;
use crate::auth::Grant;
use crate::webhooks::{Attempt, By, Created, DeadLetter, NewWebhook, Webhook, WebhookError, Webhooks};
use axum::Json;
use axum::extract::Extension;
use axum::http::StatusCode;
use comptoir_engine::wire::message::Role;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The attempts that are told where nothing is said.
const ATTEMPTS: usize = 100;

/// The webhook in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfWebhook {
    /// Whose.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
    /// Its id.
    #[param(min_length = 1, max_length = 64, example = "wh_0123456789abcdef")]
    webhook: String,
}

/// The dead letter in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfLetter {
    /// Whose.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
    /// Its webhook.
    #[param(min_length = 1, max_length = 64, example = "wh_0123456789abcdef")]
    webhook: String,
    /// Its id.
    #[param(min_length = 1, max_length = 64, example = "msg_0123456789abcdef0123456789abcdef")]
    letter: String,
}

/// The webhooks of a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<Webhook>,
}

/// The newest attempts to deliver.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptList {
    /// The newest first.
    attempts: Vec<Attempt>,
}

/// The messages that were given up.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterList {
    /// The oldest first.
    dead_letters: Vec<DeadLetter>,
}

/// How many attempts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    /// The most attempts that are told.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Which dead letters.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resend {
    /// These; all where nothing is said.
    #[serde(default)]
    dead_letters: Option<Vec<String>>,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
pub(super) struct Resending {
    /// So many dead letters.
    resending: usize,
}

/// Where to go on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    /// Behind this cursor of the change feed, at its `start` or `end`; where the webhook stands where nothing is said.
    #[serde(default)]
    after: Option<String>,
}

/// The caller, if it may manage webhooks.
fn admin(caller: &Caller) -> Result<(&Grant, String), RestError> {
    if caller.grant.role() < Role::Admin {
        return Err(WebhookError::NotAdmin.into());
    }
    let who = caller.grant.subject().map_or_else(|| caller.grant.name().to_owned(), ToString::to_string);
    Ok((&caller.grant, who))
}

type Hooks = Extension<Arc<Webhooks>>;

/// The webhooks of the workspace. Only for admins, as all about webhooks.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    params(OfWorkspace), responses((status = 200, body = WebhookList, description = "The webhooks")))]
pub(super) async fn list(
    caller: Caller,
    hooks: Hooks,
    Named(_): Named<OfWorkspace>,
) -> Result<Json<WebhookList>, RestError> {
    let (grant, _) = admin(&caller)?;
    Ok(Json(WebhookList { webhooks: hooks.list(grant.workspace()) }))
}

/// Makes a webhook, which is told every change that the caller's token may read, for as long as that token is good.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/webhooks", tag = "webhooks", operation_id = "create_webhook",
    params(OfWorkspace), request_body = NewWebhook,
    responses((status = 201, body = Created, description = "The webhook, with its secret, which is told this once")))]
pub(super) async fn create(
    caller: Caller,
    hooks: Hooks,
    Named(_): Named<OfWorkspace>,
    body: Payload,
) -> Result<(StatusCode, Json<Created>), RestError> {
    let (grant, who) = admin(&caller)?;
    let created = hooks.create(grant, body.parse()?, By { who: &who, token: Some(grant.id()) }).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// A webhook.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/webhooks/{webhook}", tag = "webhooks", operation_id = "get_webhook",
    params(OfWebhook), responses((status = 200, body = Webhook, description = "The webhook")))]
pub(super) async fn get(caller: Caller, hooks: Hooks, Named(of): Named<OfWebhook>) -> Result<Json<Webhook>, RestError> {
    let (grant, _) = admin(&caller)?;
    Ok(Json(hooks.show(grant.workspace(), &of.webhook)?))
}

/// Takes a webhook away, with its log and its dead letters.
#[utoipa::path(delete, path = "/v1/workspaces/{workspace}/webhooks/{webhook}", tag = "webhooks",
    operation_id = "delete_webhook", params(OfWebhook), responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(caller: Caller, hooks: Hooks, Named(of): Named<OfWebhook>) -> Result<StatusCode, RestError> {
    let (grant, who) = admin(&caller)?;
    hooks.remove(grant.workspace(), &of.webhook, By { who: &who, token: Some(grant.id()) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The delivery log: the newest attempts, the newest first.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/webhooks/{webhook}/log", tag = "webhooks",
    operation_id = "webhook_log", params(OfWebhook, Newest),
    responses((status = 200, body = AttemptList, description = "The attempts")))]
pub(super) async fn log(
    caller: Caller,
    hooks: Hooks,
    Named(of): Named<OfWebhook>,
    Asked(newest): Asked<Newest>,
) -> Result<Json<AttemptList>, RestError> {
    let (grant, _) = admin(&caller)?;
    let limit = page_limit(newest.limit, ATTEMPTS)?;
    Ok(Json(AttemptList { attempts: hooks.attempts(grant.workspace(), &of.webhook, limit).await? }))
}

/// The messages that were given up, the oldest first.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/webhooks/{webhook}/dead-letters", tag = "webhooks",
    operation_id = "dead_letters", params(OfWebhook),
    responses((status = 200, body = DeadLetterList, description = "The dead letters")))]
pub(super) async fn dead_letters(
    caller: Caller,
    hooks: Hooks,
    Named(of): Named<OfWebhook>,
) -> Result<Json<DeadLetterList>, RestError> {
    let (grant, _) = admin(&caller)?;
    Ok(Json(DeadLetterList { dead_letters: hooks.dead_letters(grant.workspace(), &of.webhook)? }))
}

/// Takes a dead letter away: it is not sent any more.
#[utoipa::path(delete, path = "/v1/workspaces/{workspace}/webhooks/{webhook}/dead-letters/{letter}", tag = "webhooks",
    operation_id = "delete_dead_letter", params(OfLetter), responses((status = 204, description = "It is gone")))]
pub(super) async fn discard(caller: Caller, hooks: Hooks, Named(of): Named<OfLetter>) -> Result<StatusCode, RestError> {
    let (grant, who) = admin(&caller)?;
    let by = By { who: &who, token: Some(grant.id()) };
    hooks.discard(grant.workspace(), &of.webhook, &of.letter, by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has dead letters sent again, soon and once, as they were.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/webhooks/{webhook}/resend", tag = "webhooks",
    operation_id = "resend_dead_letters", params(OfWebhook), request_body = Resend,
    responses((status = 202, body = Resending, description = "They are being sent: see the log")))]
pub(super) async fn resend(
    caller: Caller,
    hooks: Hooks,
    Named(of): Named<OfWebhook>,
    body: Payload,
) -> Result<(StatusCode, Json<Resending>), RestError> {
    let (grant, who) = admin(&caller)?;
    let (asked, by): (Resend, _) = (body.parse()?, By { who: &who, token: Some(grant.id()) });
    let resending = hooks.resend(grant.workspace(), &of.webhook, asked.dead_letters, by).await?;
    Ok((StatusCode::ACCEPTED, Json(Resending { resending })))
}

/// Has a webhook go on from another place. One that was suspended sends again.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/webhooks/{webhook}/replay", tag = "webhooks",
    operation_id = "replay_webhook", params(OfWebhook), request_body = Replay,
    responses((status = 200, body = Webhook, description = "The webhook")))]
pub(super) async fn replay(
    caller: Caller,
    hooks: Hooks,
    Named(of): Named<OfWebhook>,
    body: Payload,
) -> Result<Json<Webhook>, RestError> {
    let (grant, who) = admin(&caller)?;
    let (asked, by): (Replay, _) = (body.parse()?, By { who: &who, token: Some(grant.id()) });
    Ok(Json(hooks.replay(grant.workspace(), &of.webhook, asked.after.as_deref(), by).await?))
}
