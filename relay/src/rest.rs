//! REST under `/v1/workspaces`: records, transactions, history, conflicts, schemas, devices, status, streams, the change
//! feed and webhooks, each a read or a write of the workspace's service device ([`crate::service`]). Its description, OpenAPI 3.1, is
//! made of the same code that answers. Must not know how connections are taken, or how a service device works.

mod caller;
mod changes;
mod cursor;
mod export;
mod fault;
mod history;
mod import;
mod openapi;
mod payload;
mod problem;
mod records;
mod schemas;
mod status;
mod transactions;
mod webhooks;
mod writes;

use crate::lobby::Guest;
use crate::service::Services;
use crate::webhooks::Webhooks;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse as _;
use axum::{Extension, Router};
use hyper::body::Incoming;
use std::sync::Arc;
use tower::ServiceExt as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use fault::RestError;

/// Answers requests.
#[derive(Clone)]
pub struct Rest {
    router: Router,
    webhooks: Arc<Webhooks>,
}

fn described() -> (Router<Arc<Services>>, OpenApi) {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(records::list))
        .routes(routes!(records::get, writes::put, writes::patch, writes::delete))
        .routes(routes!(writes::increment))
        .routes(routes!(history::history))
        .routes(routes!(transactions::transact))
        .routes(routes!(history::conflicts))
        .routes(routes!(schemas::get, schemas::put))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(status::devices))
        .routes(routes!(status::status))
        .routes(routes!(changes::changes))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::delete))
        .routes(routes!(webhooks::log))
        .routes(routes!(webhooks::dead_letters))
        .routes(routes!(webhooks::discard))
        .routes(routes!(webhooks::resend))
        .routes(routes!(webhooks::replay))
        .split_for_parts()
}

impl Rest {
    /// Answers with these service devices and webhooks.
    pub fn new(services: Arc<Services>, webhooks: Arc<Webhooks>) -> Self {
        let (router, description) = described();
        let description = openapi::finished(description);
        let router = router
            .route("/v1/openapi.json", axum::routing::get(move || async move { axum::Json(description) }))
            .fallback(|| async { RestError::NoRoute })
            .method_not_allowed_fallback(|| async { RestError::Method })
            .layer(Extension(webhooks.clone()))
            .with_state(services);
        Self { router, webhooks }
    }

    /// The webhooks it manages.
    pub fn webhooks(&self) -> &Arc<Webhooks> {
        &self.webhooks
    }

    /// Answers one request. Its connection counts as welcome once it has shown a good token.
    pub async fn answer(&self, mut request: Request<Incoming>, guest: Arc<Guest>) -> Response<Body> {
        let locale = problem::locale(request.headers());
        request.extensions_mut().insert(guest);
        let answered = self.router.clone().oneshot(request).await;
        let answer = answered.unwrap_or_else(|never| match never {});
        problem::told(answer.into_response(), locale)
    }
}
