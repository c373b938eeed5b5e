//! One WebSocket as two halves that carry messages, each within its limits and deadlines. Must not know what the
//! messages mean.

use super::meter::{HELLO_BYTES_MAX, Meter, Metered, Over};
use super::{End, over_limit};
use crate::room::Room;
use comptoir_engine::wire::message::{Denial, FRAME_BYTES_MAX, FromDevice, FromRelay};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// Small, because thousands of sessions are idle at a time, in bytes.
const READ_BUFFER_BYTES: usize = 4096;
/// A frame's header, and a pong or a close beside it, in bytes.
const FRAME_OVERHEAD_BYTES: usize = 1024;
/// What a device that is being sent away may still send before it has read why, in bytes.
const LINGER_BYTES_MAX: usize = 8 << 20;
const LINGER_MAX: Duration = Duration::from_secs(1);
/// The same when the relay stops: its devices come back by themselves.
const LINGER_STOPPING_MAX: Duration = Duration::from_millis(200);
/// The most frames that carry nothing to store (pings, pongs, credit) a device may send in [`LIGHT_WINDOW`]. An honest one
/// pings every few seconds, and gives credit for each MiB.
const LIGHT_FRAMES_MAX: u32 = 1_000;
const LIGHT_WINDOW: Duration = Duration::from_secs(10);

/// The half that sends: one message at a time.
pub(super) struct Outgoing<S> {
    sink: SplitSink<WebSocketStream<Metered<S>>, Message>,
    write_timeout: Duration,
    /// Since when a message is on its way.
    writing_since: Option<Instant>,
}

/// The half that receives.
pub(super) struct Incoming<S> {
    stream: SplitStream<WebSocketStream<Metered<S>>>,
    meter: Meter,
    /// The length of the message handed out last, in bytes; it is dealt with when the next one is asked for.
    handed_out: usize,
    light: Light,
    heard: Instant,
}

/// The light frames since a moment.
struct Light {
    since: Instant,
    frames: u32,
}

impl Light {
    fn count(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now.duration_since(self.since) > LIGHT_WINDOW {
            (self.since, self.frames) = (now, 0);
        }
        self.frames += 1;
        match self.frames > LIGHT_FRAMES_MAX {
            true => Err(over_limit("pings, pongs and credits in 10 seconds", u64::from(LIGHT_FRAMES_MAX))),
            false => Ok(()),
        }
    }
}

pub(super) async fn open<S>(stream: S, write_timeout: Duration) -> (Outgoing<S>, Incoming<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(FRAME_BYTES_MAX + FRAME_OVERHEAD_BYTES)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let (meter, now) = (Meter::default(), Instant::now());
    let stream = Metered::new(stream, meter.clone());
    let (sink, stream) = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await.split();
    let light = Light { since: now, frames: 0 };
    let incoming = Incoming { stream, meter, handed_out: 0, light, heard: now };
    (Outgoing { sink, write_timeout, writing_since: None }, incoming)
}

fn ended(error: &Error) -> End {
    match error {
        Error::Capacity(_) => super::over_limit("bytes in a frame", FRAME_BYTES_MAX as u64),
        // The program ended, or the line did.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        Error::Protocol(_) | Error::Utf8(_) => End::Denied(Denial::Unreadable(error.to_string())),
        _ => End::Gone,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outgoing<S> {
    /// Whether a message is on its way; the next one has to wait for it.
    pub(super) fn is_writing(&self) -> bool {
        self.writing_since.is_some()
    }

    /// When the message on its way is late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.writing_since.map(|since| since + self.write_timeout)
    }

    /// Hands a message over. It is on its way until [`Outgoing::flushed`] returns.
    pub(super) async fn start(&mut self, message: &FromRelay) -> Result<(), End> {
        let frame = message.encode()?;
        self.feed(Message::Binary(Bytes::from(frame))).await
    }

    /// Asks for a sign of life.
    pub(super) async fn start_ping(&mut self) -> Result<(), End> {
        self.feed(Message::Ping(Bytes::new())).await
    }

    /// Returns when the message on its way has left. May be dropped and called again.
    pub(super) async fn flushed(&mut self) -> Result<(), End> {
        let flushed = self.sink.flush().await;
        self.writing_since = None;
        flushed.map_err(|error| ended(&error))
    }

    async fn feed(&mut self, message: Message) -> Result<(), End> {
        self.writing_since = Some(Instant::now());
        // Goes to the socket's own buffer; waits only for a message before it, which has been flushed.
        match timeout(self.write_timeout, self.sink.feed(message)).await {
            Ok(fed) => fed.map_err(|error| ended(&error)),
            Err(_) => Err(End::Silent),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// When the device was heard last.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// From now on messages may have their full length, as far as the room's share of unread bytes goes.
    pub(super) fn welcome(&self, room: Arc<Room>) {
        self.meter.welcome(room);
    }

    /// The device is not late while nobody listens to it.
    pub(super) fn excuse(&mut self) {
        self.heard = Instant::now();
    }

    /// The next message. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<FromDevice, End> {
        self.meter.settle(std::mem::take(&mut self.handed_out));
        loop {
            let frame = self.stream.next().await.ok_or(End::Gone)?;
            let frame = frame.map_err(|error| self.meter.over().map_or_else(|| ended(&error), too_much))?;
            self.heard = Instant::now();
            match frame {
                Message::Binary(frame) => {
                    self.handed_out = frame.len();
                    let message = FromDevice::decode(&frame)?;
                    if matches!(message, FromDevice::Credit { .. }) {
                        self.light.count()?;
                    }
                    return Ok(message);
                }
                Message::Text(_) => return Err(End::Denied(Denial::Unreadable("a text frame".to_owned()))),
                Message::Close(_) => return Err(End::Gone),
                Message::Ping(_) | Message::Pong(_) => self.light.count()?,
                Message::Frame(_) => {}
            }
        }
    }
}

fn too_much(over: Over) -> End {
    match over {
        Over::Hello => over_limit("bytes before the welcome", HELLO_BYTES_MAX as u64),
        Over::Workspace { bytes_max } => over_limit("unread bytes of one workspace", bytes_max as u64),
    }
}

/// Says why the session ends, as far as the device still listens, and closes.
pub(super) async fn close<S>(outgoing: Outgoing<S>, incoming: Incoming<S>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let write_timeout = outgoing.write_timeout;
    incoming.meter.stop();
    let Ok(mut socket) = incoming.stream.reunite(outgoing.sink) else { return };
    let End::Denied(denial) = end else {
        // The other side may be gone already.
        let _ = timeout(write_timeout, socket.close(None)).await;
        return;
    };
    let linger_max = if denial == Denial::ShuttingDown { LINGER_STOPPING_MAX } else { LINGER_MAX };
    if let Ok(frame) = FromRelay::Denied(denial).encode() {
        // From here on the connection ends, whatever happens.
        let _ = timeout(write_timeout, socket.send(Message::Binary(Bytes::from(frame)))).await;
    }
    let _ = timeout(write_timeout, socket.close(None)).await;
    // A socket closed on unread bytes is reset, and the reset may overtake the reason.
    let stream = socket.get_mut();
    let _ = timeout(write_timeout, stream.shutdown()).await;
    let _ = timeout(linger_max, async {
        let mut buffer = vec![0; 16 << 10];
        let mut bytes = 0;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes += read;
            if bytes > LINGER_BYTES_MAX {
                return;
            }
        }
    })
    .await;
}
