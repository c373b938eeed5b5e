//! The HTTP side: health, readiness, the upgrade to a session, and the way to REST. Must not know what sessions or requests
//! say.

mod stall;

use crate::config::Config;
use crate::lobby::{Guest, Lobby};
use crate::rest::Rest;
use crate::ws::Door;
use axum::body::Body;
use comptoir_engine::wire::message::SUBPROTOCOL;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use stall::Stall;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long a connection may go on asking before it becomes a session.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// The wait after the system gave no connection: it may be out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

type Answer = Response<Body>;

/// Serves connections until `shutdown` turns true, then returns once they have ended, or when their time is up.
pub async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    rest: Option<Rest>,
    config: &Config,
    mut shutdown: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(config.connections_max as usize));
    let lobby = Lobby::new(config.guests_max, config.guests_per_address_max);
    let upgrade_timeout = Duration::from_millis(config.upgrade_timeout_ms);
    let stall_max = Duration::from_millis(config.write_timeout_ms);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                tracing::warn!(%error, "no connection could be taken");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Without it small messages wait for each other; a socket that refuses works all the same.
        let _ = stream.set_nodelay(true);
        match connections.clone().try_acquire_owned() {
            Ok(permit) => {
                let guest = lobby.enter(address, permit);
                let (stream, rest) = (Stall::new(stream, stall_max), rest.clone());
                drop(tokio::spawn(connection(stream, door.clone(), rest, guest, upgrade_timeout, shutdown.clone())))
            }
            // A new socket takes so few bytes at once, or it is gone.
            Err(_) => _ = stream.try_write(BUSY),
        }
    }
    drop(listener);
    let all = connections.acquire_many(config.connections_max);
    if timeout(Duration::from_millis(config.shutdown_timeout_ms), all).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

/// Serves one connection on any stream, until it is upgraded, ended, or `shutdown` turns true. The session that came out
/// of it goes on in a task of its own and keeps the permit.
pub async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    door: Arc<Door>,
    rest: Option<Rest>,
    guest: Guest,
    upgrade_timeout: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let guest = Arc::new(guest);
    let waiting = guest.clone();
    let service = service_fn(move |request| {
        let (door, rest, guest) = (door.clone(), rest.clone(), guest.clone());
        async move { Ok::<_, Infallible>(answer(request, door, rest, guest).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(upgrade_timeout);
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let asking = waiting.clone();
    tokio::select! {
        // The session that came out of it runs in its own task.
        done = connection => {
            if let Err(error) = done {
                tracing::debug!(%error, "a connection ended");
            }
        }
        () = asked_too_long(&asking, CONNECTION_MAX.max(upgrade_timeout)) => {}
        () = waiting.asked_to_go() => tracing::debug!("a connection made room for newer ones"),
        _ = shutdown.wait_for(|stopped| *stopped) => {}
    }
}

/// Returns when a connection has had its time; never, where it has shown a good token.
async fn asked_too_long(guest: &Guest, asking_max: Duration) {
    // wait: the time that whoever has shown no token may go on asking
    sleep(asking_max).await;
    if guest.is_welcome() {
        std::future::pending().await
    }
}

async fn answer(request: Request<Incoming>, door: Arc<Door>, rest: Option<Rest>, guest: Arc<Guest>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => say(StatusCode::OK, "ok"),
        (&Method::GET, "/readyz") if door.is_ready() => say(StatusCode::OK, "ready"),
        (&Method::GET, "/readyz") => say(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (&Method::GET, "/v1/sync") => upgrade(request, door, guest),
        (_, "/healthz" | "/readyz" | "/v1/sync") => say(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
        (_, path) => match rest.filter(|_| path.starts_with("/v1/")) {
            Some(rest) => rest.answer(request, guest).await,
            None => say(StatusCode::NOT_FOUND, "not found"),
        },
    }
}

fn say(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// The WebSocket handshake (RFC 6455, section 4.2).
fn upgrade(request: Request<Incoming>, door: Arc<Door>, guest: Arc<Guest>) -> Answer {
    let headers = request.headers();
    let is_websocket = lists(headers, header::CONNECTION, "upgrade") && lists(headers, header::UPGRADE, "websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_websocket);
    let Some(accept) = key.and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()) else {
        return say(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket");
    };
    if !lists(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return say(StatusCode::UPGRADE_REQUIRED, "use WebSocket version 13");
    }
    let asked = headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    if asked && !lists(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return say(StatusCode::BAD_REQUEST, "this relay speaks comptoir.v1");
    }
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(stream) => door.serve(TokioIo::new(stream), &guest).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    let mut answer = say(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if asked {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    answer
}

/// Whether one of the header's comma-separated values is `value`.
fn lists(headers: &HeaderMap, name: header::HeaderName, value: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    values.flat_map(|line| line.split(',')).any(|each| each.trim().eq_ignore_ascii_case(value))
}
