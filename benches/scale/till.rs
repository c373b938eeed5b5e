//! One device of a crowd: the real engine over a store in memory, with a socket and no more around it. Must not know how many
//! there are.

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::session::Mode;
use comptoir_engine::wire::message::{FromRelay, SUBPROTOCOL};
use comptoir_engine::{Engine, FieldEdit, Now, RecordId, Settings, Timestamp, Value, WorkspaceId};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Buffers of a socket, in bytes: what goes over it here is short.
const BUFFER_BYTES: usize = 4096;
/// The products of each shop.
pub(crate) const PRODUCTS: u64 = 10;

/// What happens in one workspace: one edit at a time, so that it is known who has heard of which.
pub(crate) struct Shop {
    pub(crate) begun: Cell<Option<Instant>>,
    /// Devices that have not heard of it.
    pub(crate) left: Cell<u32>,
    pub(crate) devices: u32,
    pub(crate) heard: Rc<Heard>,
}

/// How long edits took, in microseconds.
#[derive(Default)]
pub(crate) struct Heard {
    /// Until the relay's receipt.
    pub(crate) receipts: std::cell::RefCell<Vec<u64>>,
    /// Until the last of the others had stored it.
    pub(crate) last: std::cell::RefCell<Vec<u64>>,
}

pub(crate) struct Till {
    engine: Engine,
    socket: WebSocketStream<TcpStream>,
    shop: Rc<Shop>,
    edits: u64,
}

fn now() -> Now {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970");
    let wall = Timestamp { unix_ms: unix.as_millis() as i64 };
    Now { wall, monotonic_ms: BEGUN.elapsed().as_millis() as u64 }
}

fn product(number: u64) -> RecordId {
    RecordId::new("products", &format!("{number:04}")).expect("a name")
}

impl Till {
    /// Connects and says hello.
    pub(crate) async fn join(relay: SocketAddr, workspace: &str, token: &str, number: u64, shop: Rc<Shop>) -> Self {
        let settings = Settings {
            workspace: WorkspaceId::new(workspace).expect("a name"),
            relay: format!("ws://{relay}"),
            token: token.to_owned(),
            device_name: format!("till {number}"),
        };
        let mut rng = StdRng::seed_from_u64(number);
        let disk = Box::new(SimDisk::new());
        let mut engine = Engine::create(disk, &format!("till {number}"), settings, &mut rng).expect("a store");
        let mut request = format!("ws://{relay}/v1/sync").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let stream = TcpStream::connect(relay).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
        let (socket, _) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.expect("an upgrade");
        engine.start(Mode::Both, now());
        assert!(engine.wants_connection(now()));
        engine.handle_connected(now());
        let mut till = Self { engine, socket, shop, edits: 0 };
        till.send().await;
        till
    }

    /// Puts the shop's products.
    pub(crate) async fn fill(&mut self) {
        let fields = |number: u64| {
            let name = Value::String(format!("Product number {number}"));
            [("name", name), ("price_cents", Value::Int(250)), ("stock", Value::Counter(1000))]
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        };
        let edits: Vec<_> = (0..PRODUCTS).map(|number| (product(number), FieldEdit::Set(fields(number)))).collect();
        self.engine.commit(&edits, now()).expect("a commit");
        self.send().await;
    }

    /// Returns when it is up to date.
    pub(crate) async fn catch_up(&mut self) {
        while self.engine.status().state != comptoir_engine::State::UpToDate {
            self.hear().await;
        }
    }

    /// Stays: sells when it is told to.
    pub(crate) async fn stay(mut self, mut sell: UnboundedReceiver<()>) {
        loop {
            tokio::select! {
                frame = self.socket.next() => self.take(frame).await,
                told = sell.recv() => match told {
                    Some(()) => self.sell().await,
                    None => return,
                },
            }
        }
    }

    async fn sell(&mut self) {
        self.edits += 1;
        let take = FieldEdit::Increment { field: "stock".to_owned(), by: -1 };
        self.shop.left.set(self.shop.devices - 1);
        self.engine.commit(&[(product(self.edits % PRODUCTS), take)], now()).expect("a commit");
        self.send().await;
    }

    async fn hear(&mut self) {
        let frame = self.socket.next().await;
        self.take(frame).await;
    }

    async fn take(&mut self, frame: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) {
        let Message::Binary(frame) = frame.expect("a connection").expect("a message") else { return };
        self.engine.handle_message(&frame, now()).expect("a store");
        while self.engine.poll_event().is_some() {}
        match FromRelay::decode(&frame).expect("a message") {
            FromRelay::Denied(denial) => panic!("{denial}"),
            FromRelay::Ack(_) => self.note(&self.shop.heard.receipts),
            FromRelay::Entries(_) if self.shop.begun.get().is_some() => {
                self.shop.left.set(self.shop.left.get().saturating_sub(1));
                if self.shop.left.get() == 0 {
                    self.note(&self.shop.heard.last);
                    self.shop.begun.set(None);
                }
            }
            _ => {}
        }
        self.send().await;
    }

    fn note(&self, samples: &std::cell::RefCell<Vec<u64>>) {
        if let Some(begun) = self.shop.begun.get() {
            samples.borrow_mut().push(begun.elapsed().as_micros() as u64);
        }
    }

    async fn send(&mut self) {
        while let Some(frame) = self.engine.poll_message(now()).expect("a store") {
            self.socket.send(Message::Binary(frame.into())).await.expect("a connection");
        }
    }
}
