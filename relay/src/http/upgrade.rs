//! The WebSocket handshake (RFC 6455, section 4.2). Must not know what a session says.

use super::routes::{Answer, say};
use crate::lobby::Guest;
use crate::ws::Door;
use comptoir_engine::wire::message::SUBPROTOCOL;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::Instrument as _;

pub(super) fn upgrade(request: Request<Incoming>, door: Arc<Door>, guest: Arc<Guest>) -> Answer {
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
    let session = async move {
        match hyper::upgrade::on(request).await {
            Ok(stream) => door.serve(TokioIo::new(stream), &guest).await,
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    };
    tokio::spawn(session.in_current_span());
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
