//! The HTTP side: takes connections, with TLS where there is a certificate, and lets each ask what `http/routes.rs` answers, until
//! it becomes a session. Must not know what sessions say.

mod counted;
mod readers;
mod routes;
mod stall;
mod upgrade;

use crate::config::Config;
use crate::lobby::Guest;
use crate::metrics::Metrics;
use crate::tls::Tls;
use counted::Counted;
use hyper::StatusCode;
use hyper::header::{DATE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use readers::At;
use routes::Answer;
use stall::Stall;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

pub use routes::Site;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long a connection may go on asking before it becomes a session.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Connections at the metrics' own address.
const READERS_MAX: usize = 16;
/// The wait after the system gave no connection: it may be out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves connections until `shutdown` turns true, then returns once they have ended, or when their time is up. With `tls`
/// each begins with its handshake.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    tls: Option<Arc<Tls>>,
    config: &Config,
    mut shutdown: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(config.connections_max as usize));
    let metrics = site.door.hub().log().metrics().clone();
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
                metrics.connected();
                let guest = site.lobby.enter(address, permit);
                let span = tracing::info_span!("connection", %address);
                let one = taken(stream, tls.clone(), site.clone(), guest, metrics.clone(), shutdown.clone());
                drop(tokio::spawn(one.instrument(span)));
            }
            Err(_) => {
                metrics.connection_refused("busy");
                if tls.is_none() {
                    // A new socket takes so few bytes at once, or it is gone.
                    _ = stream.try_write(BUSY);
                }
            }
        }
    }
    drop(listener);
    let all = connections.acquire_many(config.connections_max);
    if timeout(Duration::from_millis(config.shutdown_timeout_ms), all).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

/// A connection that was taken: its handshake, where there is one, and what it asks. In a handshake it is a guest as
/// any other.
async fn taken(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    site: Arc<Site>,
    guest: Guest,
    metrics: Metrics,
    mut shutdown: watch::Receiver<bool>,
) {
    let stream = Stall::new(Counted::new(stream, metrics.clone()), site.stall_max);
    let Some(tls) = tls else { return connection(stream, site, guest, shutdown).await };
    let shaken = tokio::select! {
        shaken = timeout(site.upgrade_timeout, tls.acceptor().accept(stream)) => shaken,
        () = guest.asked_to_go() => return metrics.connection_refused("crowded"),
        _ = shutdown.wait_for(|stopped| *stopped) => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection(stream, site, guest, shutdown).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            metrics.connection_refused("tls");
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            metrics.connection_refused("tls");
        }
    }
}

/// Serves one connection on any stream, until it is upgraded, ended, or `shutdown` turns true. The session that came out
/// of it goes on in a task of its own and keeps the permit.
pub async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    site: Arc<Site>,
    guest: Guest,
    mut shutdown: watch::Receiver<bool>,
) {
    let guest = Arc::new(guest);
    let (waiting, answering) = (guest.clone(), site.clone());
    let service = service_fn(move |request| {
        let (answering, guest) = (answering.clone(), guest.clone());
        async move { Ok::<_, Infallible>(dated(answering.answer(request, &guest).await)) }
    });
    let asking = waiting.clone();
    let connection =
        builder(&site).auto_date_header(false).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! {
        // The session that came out of it runs in its own task.
        done = connection => {
            if let Err(error) = done {
                tracing::debug!(%error, "a connection ended");
            }
        }
        () = asked_too_long(&asking, CONNECTION_MAX.max(site.upgrade_timeout)) => {}
        () = waiting.asked_to_go() => {
            tracing::debug!("a connection made room for newer ones");
            site.door.hub().log().metrics().connection_refused("crowded");
        }
        _ = shutdown.wait_for(|stopped| *stopped) => {}
    }
}

/// With the date, which every answer says but the one that begins a session: there it would be a good part of what an idle
/// device's connection costs (RFC 9110, section 6.6.1, leaves it to the server).
fn dated(mut answer: Answer) -> Answer {
    let now = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now());
    let now = now.ok().and_then(|now| HeaderValue::from_str(&now).ok());
    if let Some(now) = now.filter(|_| answer.status() != StatusCode::SWITCHING_PROTOCOLS) {
        answer.headers_mut().insert(DATE, now);
    }
    answer
}

/// Returns when a connection has had its time; never, where it has shown a good token.
async fn asked_too_long(guest: &Guest, asking_max: Duration) {
    // wait: the time that whoever has shown no token may go on asking
    sleep(asking_max).await;
    if guest.is_welcome() {
        std::future::pending().await
    }
}

fn builder(site: &Site) -> Builder {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(site.upgrade_timeout);
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    builder
}

/// Serves the metrics at an address of their own for as long as it is polled: while the relay stops, `/readyz` says so there.
pub async fn serve_readers(listener: TcpListener, site: Arc<Site>) {
    let connections = Arc::new(Semaphore::new(READERS_MAX));
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            // wait: the system gave no connection, and may have none for a while
            sleep(ACCEPT_RETRY).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
        let site = site.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let answering = site.clone();
            let service = service_fn(move |request| {
                let answer = answering.answer_operator(&request, At::OwnAddress, address.ip());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A reader asks and goes.
            let _ = timeout(CONNECTION_MAX, builder(&site).serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}
