//! A service device's connection to its own relay: the session that every device has, over memory instead of a network.
//! Must not know what a frame says.

use crate::lobby::Lobby;
use crate::ws::Door;
use comptoir_engine::session::{PING_INTERVAL_MS, SILENCE_MAX_MS};
use comptoir_engine::wire::message::FRAME_BYTES_MAX;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Bytes on their way in each direction.
const PIPE_BYTES: usize = 256 << 10;
/// Frames that may wait in each direction.
const FRAMES_MAX: usize = 8;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_millis(SILENCE_MAX_MS);
const PING_EVERY: Duration = Duration::from_millis(PING_INTERVAL_MS);

/// A connection at work. Dropping `frames` ends it; `heard` ends with it.
pub(super) struct Link {
    pub(super) frames: mpsc::Sender<Vec<u8>>,
    pub(super) heard: mpsc::Receiver<Vec<u8>>,
}

/// The relay's end of connections: its door, and the tasks that serve there.
pub(super) struct Inside {
    pub(super) door: Arc<Door>,
    pub(super) tasks: Handle,
    pub(super) lobby: Arc<Lobby>,
    pub(super) places: Arc<Semaphore>,
}

impl Inside {
    /// Connects; `None` where too many old connections have not ended yet.
    pub(super) async fn connect(&self) -> Option<Link> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let (ours, theirs) = duplex(PIPE_BYTES);
        let (door, guest) = (self.door.clone(), self.lobby.enter(IpAddr::V4(Ipv4Addr::LOCALHOST), permit));
        self.tasks.spawn(async move { door.serve_own(theirs, &guest).await });
        let config = WebSocketConfig::default()
            .write_buffer_size(0)
            .max_write_buffer_size(2 * FRAME_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let (sink, stream) = WebSocketStream::from_raw_socket(ours, Role::Client, Some(config)).await.split();
        let (frames, to_send) = mpsc::channel(FRAMES_MAX);
        let (tell, heard) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(async move {
            tokio::select! {
                () = write(sink, to_send) => {}
                () = read(stream, tell) => {}
            }
        });
        Some(Link { frames, heard })
    }
}

async fn write(mut sink: SplitSink<WebSocketStream<DuplexStream>, Message>, mut frames: mpsc::Receiver<Vec<u8>>) {
    loop {
        let message = match timeout(PING_EVERY, frames.recv()).await {
            Ok(Some(frame)) => Message::Binary(frame.into()),
            Ok(None) => {
                // Closing is a courtesy; the session may be gone.
                let _ = timeout(WRITE_TIMEOUT, sink.close()).await;
                return;
            }
            Err(_) => Message::Ping(Bytes::new()),
        };
        if !matches!(timeout(WRITE_TIMEOUT, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read(mut stream: SplitStream<WebSocketStream<DuplexStream>>, tell: mpsc::Sender<Vec<u8>>) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await {
        let frame = match message {
            Message::Binary(frame) => frame,
            Message::Close(_) => return,
            _ => continue,
        };
        if tell.send(frame.into()).await.is_err() {
            return;
        }
    }
}
