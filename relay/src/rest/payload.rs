//! Bodies and queries, read within their limits. Must not know what they are for.

use super::RestError;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest body that is read at once, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// How long such a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body as it came.
pub(super) struct Payload(pub(super) Bytes);

impl Payload {
    /// What it says.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, RestError> {
        serde_json::from_slice(&self.0).map_err(RestError::json)
    }
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = RestError;

    async fn from_request(request: Request, _: &S) -> Result<Self, RestError> {
        const JSON: [&str; 2] = ["application/json", "application/merge-patch+json"];
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
        if !JSON.iter().any(|json| json.eq_ignore_ascii_case(media)) {
            return Err(RestError::MediaType { wanted: JSON[0] });
        }
        collect(request.into_body()).await.map(Self)
    }
}

async fn collect(body: Body) -> Result<Bytes, RestError> {
    let whole = timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let whole = whole.map_err(|_| RestError::BodySlow { seconds: BODY_TIMEOUT.as_secs() })?;
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(RestError::BodyTooLarge { bytes_max: BODY_BYTES_MAX })
        }
        Err(error) => Err(RestError::json(error)),
    }
}

/// The query of the address.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RestError> {
        let query = Query::try_from_uri(&parts.uri).map_err(|cause| RestError::Query { cause: cause.to_string() })?;
        Ok(Self(query.0))
    }
}

/// The names in the address.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RestError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|cause| RestError::Path { cause: cause.to_string() })
    }
}
