//! What is answered where: every route stands here. Must not know connections.

use super::readers::{At, Readers, Verdict};
use super::upgrade::upgrade;
use crate::config::Config;
use crate::lobby::{Guest, Lobby};
use crate::metrics::{CONTENT_TYPE, Process, Standing};
use crate::rest::Rest;
use crate::ws::Door;
use axum::body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) type Answer = Response<Body>;

/// What stands behind the routes.
pub struct Site {
    pub(super) door: Arc<Door>,
    pub(super) lobby: Arc<Lobby>,
    pub(super) upgrade_timeout: Duration,
    /// How long a write may wait.
    pub(super) stall_max: Duration,
    rest: Option<Rest>,
    readers: Readers,
    process: Process,
}

impl Site {
    /// A site that lets devices through `door`, and answers REST where there is any.
    pub fn new(door: Arc<Door>, rest: Option<Rest>, lobby: Arc<Lobby>, config: &Config) -> Self {
        let readers = Readers::new(&config.metrics);
        let upgrade_timeout = Duration::from_millis(config.upgrade_timeout_ms);
        let stall_max = Duration::from_millis(config.write_timeout_ms);
        Self { door, lobby, upgrade_timeout, stall_max, rest, readers, process: Process::starting() }
    }

    /// The answer at the address where devices come.
    pub(super) async fn answer(&self, request: Request<Incoming>, guest: &Arc<Guest>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/v1/sync") => upgrade(request, self.door.clone(), guest.clone()),
            (_, "/v1/sync") => say(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
            (_, path) => match self.rest.as_ref().filter(|_| path.starts_with("/v1/")) {
                Some(rest) => rest.answer(request, guest.clone()).await,
                None => self.answer_operator(&request, At::PublicPort, guest.address()),
            },
        }
    }

    /// The answer where only the metrics are, and of what else an operator's programs ask.
    pub(super) fn answer_operator(&self, request: &Request<Incoming>, at: At, address: IpAddr) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => say(StatusCode::OK, "ok"),
            (&Method::GET | &Method::HEAD, "/readyz") if self.door.is_ready() => say(StatusCode::OK, "ready"),
            (&Method::GET | &Method::HEAD, "/readyz") => say(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            (&Method::GET | &Method::HEAD, "/metrics") => match self.readers.judge(at, address, request.headers()) {
                Verdict::Welcome => self.metrics(),
                Verdict::TokenNeeded => say(StatusCode::UNAUTHORIZED, "show the token of [metrics]"),
                Verdict::NotFound => say(StatusCode::NOT_FOUND, "not found"),
            },
            (_, "/healthz" | "/readyz" | "/metrics") => say(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
            _ => say(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn metrics(&self) -> Answer {
        let hub = self.door.hub();
        let standing = Standing {
            is_ready: self.door.is_ready(),
            guests: self.lobby.guests(),
            workspaces: hub.standings(),
            webhooks: self.rest.as_ref().map(|rest| rest.webhooks().standings()).unwrap_or_default(),
            process: self.process,
        };
        let text = hub.log().metrics().text(&standing);
        let mut answer = Response::new(Body::from(Bytes::from(text)));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        answer
    }
}

pub(super) fn say(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
