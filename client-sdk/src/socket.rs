//! One connection to the relay: frames in, frames out, a deadline on every wait. Must not know what a frame says.

use crate::error::Error;
use crate::machine::{Connecting, Machine, Stream};
use crate::tls::{self, Fault};
use comptoir_engine::session::{PING_INTERVAL_MS, SILENCE_MAX_MS};
use comptoir_engine::wire::message::FRAME_BYTES_MAX;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_millis(SILENCE_MAX_MS);
const PING_EVERY: Duration = Duration::from_millis(PING_INTERVAL_MS);
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames that may wait in each direction.
const FRAMES_MAX: usize = 8;

/// Bytes on the wire, WebSocket and HTTP framing included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Sent.
    pub sent_bytes: u64,
    /// Received.
    pub received_bytes: u64,
}

/// What a connection tells.
#[derive(Debug)]
pub(crate) enum Heard {
    Connected,
    Frame(Vec<u8>),
    Closed {
        cause: String,
    },
    /// As `Closed`: nobody this device believes vouches for the relay.
    Untrusted {
        address: String,
        cause: String,
    },
}

/// A connection at work. Dropping `frames` ends it.
pub(crate) struct Link {
    pub(crate) frames: mpsc::Sender<Vec<u8>>,
    pub(crate) heard: mpsc::Receiver<Heard>,
}

/// Bytes so far, both ways, of all connections.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counters {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Counters {
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { sent_bytes: self.sent.load(Ordering::Relaxed), received_bytes: self.received.load(Ordering::Relaxed) }
    }
}

/// Begins to connect; what comes of it is heard.
pub(crate) fn connect(address: &str, counters: Counters, machine: &dyn Machine) -> Link {
    let (frames, to_send) = mpsc::channel(FRAMES_MAX);
    let (tell, heard) = mpsc::channel(FRAMES_MAX);
    let opening = Opening::begin(address, machine);
    let address = address.to_owned();
    tokio::spawn(async move {
        let opened = async {
            let opening = opening.map_err(|cause| Heard::Closed { cause })?;
            opening.open(&address, counters.clone()).await
        };
        let wait = if planted!(ConnectAwaitedForEver) { Duration::MAX } else { CONNECT_TIMEOUT };
        let last = match timeout(wait, opened).await {
            Ok(Ok(socket)) => Heard::Closed { cause: pump(socket, to_send, &tell, &counters).await },
            Ok(Err(last)) => last,
            Err(_) => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                Heard::Closed { cause: format!("the relay {address} did not answer within {seconds} s") }
            }
        };
        // Nobody listens any more when this fails.
        let _ = tell.send(last).await;
    });
    Link { frames, heard }
}

/// Whether the address is one that [`connect`] can use.
pub(crate) fn is_address(address: &str) -> bool {
    (address.starts_with("ws://") || is_tls(address)) && request(address).is_ok()
}

fn is_tls(address: &str) -> bool {
    address.starts_with("wss://")
}

/// The request for a session, and where it goes.
fn request(address: &str) -> Result<(Request, String, u16), String> {
    let unusable = || format!("\"{address}\" is not a relay's address: use ws://HOST:PORT or wss://HOST:PORT");
    // The path and each message say their version: a subprotocol on top would be 74 bytes of each connection.
    let request = format!("{}/v1/sync", address.trim_end_matches('/')).into_client_request().map_err(|_| unusable())?;
    let host = request.uri().host().ok_or_else(unusable)?.trim_matches(['[', ']']).to_owned();
    let port = request.uri().port_u16().unwrap_or(if is_tls(address) { 443 } else { 80 });
    Ok((request, host, port))
}

/// A connection that is being opened.
struct Opening {
    request: Request,
    connecting: Connecting,
    /// With TLS: the relay's name, and the certificates that may vouch for it.
    tls: Option<(String, Option<Vec<u8>>)>,
}

impl Opening {
    fn begin(address: &str, machine: &dyn Machine) -> Result<Self, String> {
        let (request, host, port) = request(address)?;
        let tls = match is_tls(address) {
            true => Some((host.clone(), machine.relay_ca().map_err(|error: Error| error.to_string())?)),
            false => None,
        };
        Ok(Self { request, connecting: machine.connect(host, port), tls })
    }

    async fn open(self, address: &str, counters: Counters) -> Result<WebSocketStream<Box<dyn Stream>>, Heard> {
        let closed = |cause: String| Heard::Closed { cause };
        let stream = self.connecting.await;
        let stream = stream.map_err(|cause| closed(format!("the relay {address} cannot be reached ({cause})")))?;
        let stream = Counted { stream, counters };
        let stream = match self.tls {
            Some((host, relay_ca)) => tls::open(stream, host, relay_ca).await.map_err(|fault| match fault {
                Fault::Untrusted(cause) => Heard::Untrusted { address: address.to_owned(), cause },
                Fault::Broken(cause) => closed(format!("the relay {address} speaks no TLS ({cause})")),
            })?,
            None => Box::new(stream) as Box<dyn Stream>,
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * FRAME_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let opened = tokio_tungstenite::client_async_with_config(self.request, stream, Some(config)).await;
        opened.map(|(socket, _)| socket).map_err(|cause| closed(format!("{address} is no relay ({cause})")))
    }
}

/// Moves frames until either side ends; returns why. Reading and writing do not wait for each other: both sides may have
/// much to say at once.
async fn pump<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    to_send: mpsc::Receiver<Vec<u8>>,
    tell: &mpsc::Sender<Heard>,
    counters: &Counters,
) -> String {
    if tell.send(Heard::Connected).await.is_err() {
        return String::new();
    }
    let (sink, stream) = socket.split();
    let reading = read(stream, tell, counters);
    tokio::pin!(reading);
    let broken = tokio::select! {
        biased;
        cause = &mut reading => return cause,
        cause = write(sink, to_send) => cause,
    };
    // What the relay still said before a write failed: its reason, as a rule.
    timeout(LAST_WORDS_TIMEOUT, reading).await.unwrap_or(broken)
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut to_send: mpsc::Receiver<Vec<u8>>,
) -> String {
    let mut ping_at = Instant::now() + PING_EVERY;
    loop {
        let message = tokio::select! {
            biased;
            frame = to_send.recv() => frame.map(|frame| Message::Binary(frame.into())),
            () = sleep_until(ping_at), if !planted!(PingUnsent) => {
                ping_at = Instant::now() + PING_EVERY;
                Some(Message::Ping(Vec::new().into()))
            }
        };
        let Some(message) = message else {
            // Closing is a courtesy; the relay may be gone.
            let _ = timeout(WRITE_TIMEOUT, sink.close()).await;
            return "this device ended the connection".to_owned();
        };
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => return format!("the connection broke ({cause})"),
            Err(_) => return "the relay takes nothing any more".to_owned(),
        }
    }
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: SplitStream<WebSocketStream<S>>,
    tell: &mpsc::Sender<Heard>,
    counters: &Counters,
) -> String {
    loop {
        let before = counters.traffic().received_bytes;
        let wait = if planted!(SilenceBorne) { Duration::MAX } else { SILENCE_MAX };
        match timeout(wait, stream.next()).await {
            // A large frame on a slow line.
            Err(_) if counters.traffic().received_bytes > before => {}
            Err(_) => return "the relay has gone silent".to_owned(),
            Ok(Some(Ok(Message::Binary(frame)))) => {
                if tell.send(Heard::Frame(frame.into())).await.is_err() {
                    return String::new();
                }
            }
            Ok(Some(Ok(Message::Close(_))) | None) => return "the relay ended the connection".to_owned(),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(cause))) => return format!("the connection broke ({cause})"),
        }
    }
}

/// A stream that counts its bytes.
struct Counted<S> {
    stream: S,
    counters: Counters,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.counters.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = done {
            self.counters.sent.fetch_add(written as u64, Ordering::Relaxed);
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
