//! A WebSocket to a relay with nothing behind it: says what it is told, honest or not. Must not know what is right.

use crate::wait::DEADLINE;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Hello, SUBPROTOCOL, Welcome};
use std::net::{SocketAddr, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// A connection to a relay.
pub struct Socket {
    socket: WebSocket<TcpStream>,
}

/// What a relay said, or that it said no more.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message.
    Said(FromRelay),
    /// The end of the connection.
    End,
}

impl Socket {
    /// Connects and upgrades.
    pub fn connect(relay: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&relay, DEADLINE).expect("the relay accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        let mut request = format!("ws://{relay}/v1/sync").into_client_request().expect("an address");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default().max_message_size(Some(64 << 20)).max_frame_size(Some(64 << 20));
        // Thousands of them fit into one process.
        let config = config.read_buffer_size(4096);
        let (socket, _) = tungstenite::client::client_with_config(request, stream, Some(config))
            .unwrap_or_else(|error| panic!("the relay upgrades: {error}"));
        Self { socket }
    }

    /// Connects and says an honest hello.
    pub fn welcomed(relay: SocketAddr, workspace: &str, token: &str) -> (Self, Welcome) {
        let mut socket = Self::connect(relay);
        socket.say(&hello(workspace, token));
        match socket.hear() {
            Heard::Said(FromRelay::Welcome(welcome)) => (socket, welcome),
            other => panic!("not welcomed: {other:?}"),
        }
    }

    /// Sends a message.
    pub fn say(&mut self, message: &FromDevice) {
        self.send(Message::binary(message.encode().expect("a message within the limits")));
    }

    /// Sends anything. That the relay no longer listens is no failure.
    pub fn send(&mut self, message: Message) {
        let _ = self.socket.send(message);
    }

    /// The connection below, for what is no WebSocket frame.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// The next message; panics when there is none within the deadline.
    pub fn hear(&mut self) -> Heard {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(frame)) => {
                    return Heard::Said(FromRelay::decode(&frame).expect("a relay's message"));
                }
                Ok(Message::Close(_)) => return Heard::End,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => panic!("silence for {DEADLINE:?}"),
                Err(_) => return Heard::End,
            }
        }
    }

    /// The reason for which the relay ends the connection; `None` when it gives none. Other messages are passed over.
    pub fn denied(&mut self) -> Option<Denial> {
        loop {
            match self.hear() {
                Heard::Said(FromRelay::Denied(denial)) => return Some(denial),
                Heard::Said(_) => {}
                Heard::End => return None,
            }
        }
    }

    /// Pushes a batch and waits for what the relay says of it.
    pub fn push(&mut self, push: u64, batch: Vec<u8>) -> Heard {
        self.say(&FromDevice::Push { push, offered: false, batch });
        loop {
            match self.hear() {
                Heard::Said(FromRelay::Entries(_)) => {}
                other => return other,
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// An honest hello of a new device.
pub fn hello(workspace: &str, token: &str) -> FromDevice {
    FromDevice::Hello(Hello {
        workspace: workspace.to_owned(),
        device: [0xee; 16],
        device_name: "a raw socket".to_owned(),
        token: token.to_owned(),
        cursor: None,
        credit_bytes: 4 << 20,
    })
}
