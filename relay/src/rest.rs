//! REST under `/v1/workspaces`: records, transactions, history, conflicts, schemas, devices, status, streams, the change
//! feed and webhooks, each a read or a write of the workspace's service device ([`crate::service`]). Its description, OpenAPI 3.1, is
//! made of the same code that answers. Must not know how connections are taken, or how a service device works.

mod backups;
mod caller;
mod changes;
mod cursor;
mod export;
mod fault;
mod history;
mod import;
mod openapi;
mod operator;
mod payload;
mod problem;
mod records;
mod schemas;
mod status;
mod tokens;
mod transactions;
mod webhooks;
mod writes;

use crate::audit::{Audit, Deed};
use crate::control::Control;
use crate::lobby::Guest;
use crate::service::Services;
use crate::webhooks::Webhooks;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::{Extension, Router};
use hyper::body::{Bytes, Incoming};
use std::sync::{Arc, OnceLock};
use tower::ServiceExt as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use caller::Asker;
use fault::RestError;

/// Of a long address, so many letters are in the audit.
const NOTED_LETTERS_MAX: usize = 256;

/// Answers requests.
#[derive(Clone)]
pub struct Rest {
    router: Router,
    webhooks: Arc<Webhooks>,
    audit: Audit,
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
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::give_out))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::delete))
        .routes(routes!(webhooks::log))
        .routes(routes!(webhooks::dead_letters))
        .routes(routes!(webhooks::discard))
        .routes(routes!(webhooks::resend))
        .routes(routes!(webhooks::replay))
        .split_for_parts()
}

fn described_for_operators() -> (Router<Arc<Control>>, OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(operator::list))
        .routes(routes!(operator::show, operator::remove))
        .routes(routes!(operator::suspend))
        .routes(routes!(operator::resume))
        .routes(routes!(operator::limits, operator::set_limits))
        .routes(routes!(backups::list, backups::begin))
        .split_for_parts()
}

/// The description as it is served, made when it is first asked for: as text it takes a tenth of what it is made of.
fn description() -> Bytes {
    static DESCRIPTION: OnceLock<Bytes> = OnceLock::new();
    let made = || {
        let (mut description, theirs) = (described().1, described_for_operators().1);
        description.merge(theirs);
        // Texts, numbers and lists of them: there is nothing in it that is no JSON.
        serde_json::to_vec(&openapi::finished(description)).unwrap_or_default().into()
    };
    DESCRIPTION.get_or_init(made).clone()
}

impl Rest {
    /// Answers with these service devices and webhooks, and does for operators what `control` does; notes in `audit` who did what.
    pub fn new(services: Arc<Services>, control: Arc<Control>, webhooks: Arc<Webhooks>, audit: Audit) -> Self {
        let (router, operators) = (described().0, described_for_operators().0);
        let router = router
            .route(
                "/v1/openapi.json",
                axum::routing::get(async || ([(CONTENT_TYPE, "application/json")], description())),
            )
            .fallback(|| async { RestError::NoRoute })
            .method_not_allowed_fallback(|| async { RestError::Method })
            .layer(Extension(webhooks.clone()))
            .with_state(services)
            .merge(operators.with_state(control));
        Self { router, webhooks, audit }
    }

    /// The webhooks it manages.
    pub fn webhooks(&self) -> &Arc<Webhooks> {
        &self.webhooks
    }

    /// Answers one request. Its connection counts as welcome once it has shown a good token.
    pub async fn answer(&self, mut request: Request<Incoming>, guest: Arc<Guest>) -> Response<Body> {
        let locale = problem::locale(request.headers());
        request.extensions_mut().insert(guest);
        let asker = Arc::new(Asker::default());
        request.extensions_mut().insert(asker.clone());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = self.router.clone().oneshot(request).await;
        let answer = answered.unwrap_or_else(|never| match never {});
        let answer = problem::told(answer.into_response(), locale);
        self.note(&method, &path, &asker, answer.status());
        answer
    }

    /// One line for each request that writes, exports or is an operator's; reads of records are not noted.
    fn note(&self, method: &Method, path: &str, asker: &Asker, status: StatusCode) {
        let Some((who, token, workspace)) = asker.get() else { return };
        let deed = match workspace {
            None => "rest.operated",
            Some(_) if path.ends_with("/export") && status != StatusCode::TOO_MANY_REQUESTS => "rest.exported",
            // Whoever is too fast fills no file.
            Some(_) if *method == Method::GET || status == StatusCode::TOO_MANY_REQUESTS => return,
            Some(_) => "rest.wrote",
        };
        let shown: String = path.chars().take(NOTED_LETTERS_MAX).collect();
        let detail = format!("{method} {shown} {}", status.as_u16());
        self.audit.note(&Deed { deed, who, workspace: workspace.as_ref(), token: Some(token), detail: &detail });
    }
}
