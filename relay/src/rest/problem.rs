//! Refusals as `application/problem+json` (RFC 9457), in the reader's language. Must not know what was asked.

use super::RestError;
use crate::auth::{IssueError, TokenFault};
use crate::control::ManageError;
use crate::service::ServiceError;
use crate::text::{LOCALES, Told, tell_in};
use crate::webhooks::WebhookError;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use comptoir_engine::disk::DiskError;
use comptoir_engine::{EditError, StoreError};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What went wrong, why, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the kind of problem: `urn:comptoir:problem:` and its code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What, why, and what to do.
    detail: String,
    /// The kind's name, the same in every release.
    code: &'static str,
}

impl RestError {
    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Token(TokenFault::WrongWorkspace | TokenFault::Suspended | TokenFault::NotOperator) => {
                StatusCode::FORBIDDEN
            }
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Role { .. } | Self::Widened { .. } => StatusCode::FORBIDDEN,
            Self::NoToken { .. } | Self::Manage(ManageError::NoWorkspace { .. }) => StatusCode::NOT_FOUND,
            Self::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unconfirmed { .. } => StatusCode::BAD_REQUEST,
            Self::BackupsUnset | Self::BackupRunning => StatusCode::CONFLICT,
            Self::Issue(IssueError::Name | IssueError::Expiry | IssueError::TooLong) => StatusCode::BAD_REQUEST,
            Self::Issue(_) | Self::Manage(_) | Self::Backup(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodySlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Query { .. } | Self::Path { .. } | Self::Json { .. } | Self::Header { .. } => StatusCode::BAD_REQUEST,
            Self::FeedCursor => StatusCode::BAD_REQUEST,
            Self::FeedEpoch => StatusCode::GONE,
            Self::ImportLine { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Service(error) => of_service(error),
            Self::Webhook(error) => of_webhook(error),
        }
    }
}

fn of_service(error: &ServiceError) -> StatusCode {
    match error {
        ServiceError::Precondition { .. } => StatusCode::PRECONDITION_FAILED,
        ServiceError::NoRecord { .. } => StatusCode::NOT_FOUND,
        ServiceError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        ServiceError::Refused | ServiceError::KeyUnknown => StatusCode::CONFLICT,
        ServiceError::OverQuota { .. } => StatusCode::INSUFFICIENT_STORAGE,
        ServiceError::Store(error) => of_store(error),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn of_webhook(error: &WebhookError) -> StatusCode {
    match error {
        WebhookError::NotAdmin | WebhookError::Collection { .. } => StatusCode::FORBIDDEN,
        WebhookError::Unknown { .. } | WebhookError::NoLetter { .. } => StatusCode::NOT_FOUND,
        WebhookError::Full { .. } | WebhookError::Suspended { .. } => StatusCode::CONFLICT,
        WebhookError::Disk { .. } | WebhookError::Log { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn of_store(error: &StoreError) -> StatusCode {
    match error {
        StoreError::Edit { error: EditError::Absent, .. } => StatusCode::NOT_FOUND,
        StoreError::Edit { error: EditError::Deleted, .. } => StatusCode::CONFLICT,
        StoreError::Edit { .. } | StoreError::Schema { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::Reserved { .. } => StatusCode::FORBIDDEN,
        StoreError::Name(_) | StoreError::Query(_) | StoreError::NoChange { .. } => StatusCode::BAD_REQUEST,
        StoreError::Disk(DiskError::Full { .. } | DiskError::NoRoom { .. }) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for RestError {
    /// The status alone; [`told`] fills in the words once the reader's language is known.
    fn into_response(self) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = self.status();
        answer.extensions_mut().insert(Arc::new(self));
        answer
    }
}

/// The answer with its problem in words.
pub(super) fn told(mut answer: Response<Body>, locale: &str) -> Response<Body> {
    let Some(error) = answer.extensions_mut().remove::<Arc<RestError>>() else { return answer };
    let status = answer.status();
    if status.is_server_error() {
        tracing::warn!(%error, "a request failed");
    }
    let titles = format!("problem.s{}", status.as_u16());
    let title = crate::_rust_i18n_try_translate(locale, &titles)
        .map_or_else(|| status.canonical_reason().unwrap_or_default().to_owned(), |title| title.into_owned());
    let problem = Problem {
        kind: format!("urn:comptoir:problem:{}", error.code()),
        title,
        status: status.as_u16(),
        detail: tell_in(locale, &*error),
        code: error.code(),
    };
    *answer.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    let headers = answer.headers_mut();
    // Of the empty body that stood there.
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    if let Ok(language) = HeaderValue::from_str(locale) {
        headers.insert(header::CONTENT_LANGUAGE, language);
    }
    if let RestError::TooFast { seconds } = *error {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What is saved already is not to be sent again.
        StatusCode::SERVICE_UNAVAILABLE if *error != RestError::Service(ServiceError::Unsent) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        _ => {}
    }
    answer
}

/// The best of our languages for the reader: the first one named, whatever its weight; English where none is ours.
pub(super) fn locale(headers: &HeaderMap) -> &'static str {
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|asked| asked.to_str().ok()).unwrap_or_default();
    let mut wanted = asked.split(',').filter_map(|each| each.split([';', '-']).next()).map(str::trim);
    let ours = |name: &str| LOCALES.iter().find(|locale| locale.eq_ignore_ascii_case(name)).copied();
    wanted.find_map(ours).unwrap_or(LOCALES[0])
}
