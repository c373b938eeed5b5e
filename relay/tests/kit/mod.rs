//! What the relay's tests stand on: a relay on a free port, devices that speak the wire, authors that make changes. Must
//! not know what is tested.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ROOT};
use comptoir_engine::change::Change;
use comptoir_engine::digest::Digest;
use comptoir_engine::gate::Lineage;
use comptoir_engine::id::{DocumentId, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use comptoir_engine::wire::message::{Ack, Denial, Entries, FromDevice, FromRelay, Hello, Role, SUBPROTOCOL, Welcome};
use comptoir_relay::auth::{Permissions, TokenRequest};
use comptoir_relay::clock::SystemClock;
use comptoir_relay::config::Config;
use comptoir_relay::relay::Relay;
use futures_util::{SinkExt as _, StreamExt as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Nothing takes this long unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn config() -> Config {
    Config { listen: "127.0.0.1:0".to_owned(), ..Config::default() }
}

pub async fn relay(data: &Path) -> Relay {
    relay_with(data, config()).await
}

pub async fn relay_with(data: &Path, config: Config) -> Relay {
    Relay::start(data, config, Arc::new(SystemClock)).await.expect("a relay")
}

pub fn workspace(name: &str) -> WorkspaceId {
    WorkspaceId::new(name).expect("a workspace's name")
}

pub fn record(key: &str) -> RecordId {
    RecordId::new("products", key).expect("a record's name")
}

pub fn token(relay: &Relay, name: &str, role: Role) -> String {
    let valid_for = Duration::from_secs(3600);
    let request = TokenRequest {
        workspace: workspace(name),
        role,
        permissions: Permissions::ALL,
        allowance: Default::default(),
        subject: None,
        name: "till".to_owned(),
        valid_for,
    };
    relay.auth().sign(&request).expect("a token")
}

pub fn hello(workspace: &str, token: String) -> Hello {
    Hello {
        workspace: workspace.to_owned(),
        device: [7; 16],
        device_name: "till".to_owned(),
        token,
        cursor: None,
        credit_bytes: 1 << 20,
    }
}

/// One connection.
pub struct Device {
    socket: WebSocketStream<TcpStream>,
}

impl Device {
    pub async fn connect(address: SocketAddr) -> Self {
        let mut request = format!("ws://{address}/v1/sync").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.expect("an upgrade");
        assert_eq!(
            answer.headers().get("sec-websocket-protocol").map(HeaderValue::as_bytes),
            Some(SUBPROTOCOL.as_bytes())
        );
        Self { socket }
    }

    /// Connects, says hello and is welcomed.
    pub async fn join(address: SocketAddr, hello: Hello) -> (Self, Welcome) {
        let mut device = Self::connect(address).await;
        device.send(FromDevice::Hello(hello)).await;
        match device.next().await {
            FromRelay::Welcome(welcome) => (device, welcome),
            other => panic!("not welcomed: {other:?}"),
        }
    }

    /// An editor in workspace `cafe`, following from the first entry.
    pub async fn editor(relay: &Relay) -> Self {
        Self::join(relay.address(), hello("cafe", token(relay, "cafe", Role::Editor))).await.0
    }

    pub async fn send(&mut self, message: FromDevice) {
        self.send_frame(Message::Binary(message.encode().expect("a frame").into())).await;
    }

    /// The relay may have hung up already: what it said is still to be read.
    pub async fn send_frame(&mut self, frame: Message) {
        let _ = timeout(PATIENCE, self.socket.send(frame)).await.expect("time to write");
    }

    pub async fn next(&mut self) -> FromRelay {
        self.try_next().await.expect("a message before the end")
    }

    /// `None` at the end of the connection.
    pub async fn try_next(&mut self) -> Option<FromRelay> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Binary(frame))) => return Some(FromRelay::decode(&frame).expect("a relay's message")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn denial(&mut self) -> Denial {
        loop {
            if let FromRelay::Denied(denial) = self.next().await {
                return denial;
            }
        }
    }

    pub async fn push(&mut self, push: u64, batch: Vec<u8>) {
        self.send(FromDevice::Push { push, offered: false, batch }).await;
    }

    /// The next receipt; entries that come first are dropped.
    pub async fn ack(&mut self) -> Ack {
        loop {
            match self.next().await {
                FromRelay::Ack(ack) => return ack,
                FromRelay::Entries(_) => {}
                other => panic!("no receipt: {other:?}"),
            }
        }
    }

    pub async fn entries(&mut self) -> Entries {
        match self.next().await {
            FromRelay::Entries(entries) => entries,
            other => panic!("no entries: {other:?}"),
        }
    }
}

/// One actor who edits one record, and what it knows of the record's history.
pub struct Author {
    pub record: RecordId,
    doc: AutoCommit,
    lineage: Lineage,
    edits: i64,
}

impl Author {
    pub fn new(actor: u8, key: &str) -> Self {
        let doc = AutoCommit::new().with_actor(automerge::ActorId::from([actor; 16]));
        Self { record: record(key), doc, lineage: Lineage::default(), edits: 0 }
    }

    /// One more change.
    pub fn edit(&mut self) -> Item {
        self.edit_with("n", self.edits)
    }

    pub fn edit_with(&mut self, field: &str, value: impl Into<automerge::ScalarValue>) -> Item {
        self.edits += 1;
        self.doc.put(ROOT, field, value).expect("a put");
        self.doc.commit();
        let bytes = self.doc.get_last_local_change().expect("a change").raw_bytes().to_vec();
        self.known(&Change::parse(&bytes).expect("a strict change"))
    }

    /// What another author of the same record made.
    pub fn merge(&mut self, item: &Item) {
        let change = automerge::Change::from_bytes(item.change.bytes().to_vec()).expect("a change");
        self.doc.apply_changes([change]).expect("applied");
        self.known(&item.change);
    }

    fn known(&mut self, change: &Change) -> Item {
        let place = |dep| self.lineage.place_of(dep).expect("a known dependency");
        let deps = change.parts().deps.iter().map(place).collect();
        self.lineage.extend(change, LogSeq(1));
        Item { record: self.record.clone(), change: change.clone(), deps }
    }

    pub fn leaf(&self, name: &str) -> Digest {
        self.lineage.leaf(&DocumentId::derive(&workspace(name), &self.record))
    }
}

pub fn pack(items: &[Item]) -> Vec<u8> {
    batch::pack(items, Style::Compact).expect("a batch")
}

/// How many changes a batch holds.
pub fn changes(batch: &[u8]) -> usize {
    Batch::decode(batch).expect("a batch").len()
}
