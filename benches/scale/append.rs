//! How many changes one relay makes durable: 8 devices that push 100 at a time, as fast as they get receipts. Must not know what
//! the relay does with them.

use crate::process::{cpu_seconds, machine};
use comptoir_benches::device::{Device, put};
use comptoir_engine::wire::message::{FromDevice, FromRelay, Hello, PULL_WINDOW_BYTES, SUBPROTOCOL};
use comptoir_tests::relay::Relay;
use futures_util::{SinkExt as _, StreamExt as _};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

const WORKSPACE: &str = "bench";
const DEVICES: u64 = 8;
const PUSHES: u64 = 300;
const CHANGES: u64 = 100;
/// Pushes of one device without a receipt.
const ON_THEIR_WAY: u64 = 16;

/// The frames of one device, made before anything is measured: no two devices make the same products.
fn frames(number: u64, token: &str) -> Vec<Vec<u8>> {
    let mut device = Device::new(number);
    let hello = Hello {
        workspace: WORKSPACE.to_owned(),
        device: [number as u8; 16],
        device_name: format!("device {number}"),
        token: token.to_owned(),
        cursor: None,
        // It hears nothing of the others': the log's own work is what is looked for.
        credit_bytes: 0,
    };
    assert!(hello.credit_bytes < PULL_WINDOW_BYTES);
    let pushes = (0..PUSHES).map(|push| {
        let from = (number * PUSHES + push) * CHANGES;
        let batch = device.push(&put(from, from + CHANGES));
        FromDevice::Push { push: push + 1, offered: false, batch }.encode().expect("a frame")
    });
    std::iter::once(FromDevice::Hello(hello).encode().expect("a frame")).chain(pushes).collect()
}

async fn drive(relay: SocketAddr, frames: Vec<Vec<u8>>) {
    let mut request = format!("ws://{relay}/v1/sync").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let stream = TcpStream::connect(relay).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("an upgrade");
    let (mut frames, mut sent, mut received) = (frames.into_iter(), 0, 0);
    socket.send(Message::Binary(frames.next().expect("a hello").into())).await.expect("a connection");
    while received < PUSHES {
        while sent - received < ON_THEIR_WAY
            && let Some(frame) = frames.next()
        {
            socket.send(Message::Binary(frame.into())).await.expect("a connection");
            sent += 1;
        }
        let Message::Binary(frame) = socket.next().await.expect("a message").expect("a connection") else { continue };
        match FromRelay::decode(&frame).expect("a message") {
            FromRelay::Ack(ack) => {
                assert_eq!(ack.refused, []);
                received += 1;
            }
            FromRelay::Welcome(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Pushes all there is, and says how fast.
pub(crate) fn append() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let frames: Vec<_> = (0..DEVICES).map(|number| frames(number, &token)).collect();
    let bytes: usize = frames.iter().flatten().map(Vec::len).sum();
    println!("\nMachine: {}.", machine());
    let cpu = || (cpu_seconds(relay.process()), cpu_seconds(std::process::id()));
    let ((relay_before, own_before), begun) = (cpu(), Instant::now());
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut devices = JoinSet::new();
        frames.into_iter().for_each(|frames| _ = devices.spawn(drive(relay.address(), frames)));
        devices.join_all().await;
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (relay_after, own_after) = cpu();
    let changes = (DEVICES * PUSHES * CHANGES) as f64;
    println!(
        "{changes} changes in {:.1} MB of pushes, flushed and acknowledged in {seconds:.2} s: {:.0} a second; the relay's CPU {:.2} s, \
         so {:.0} changes in a CPU second; the devices' {:.2} s",
        bytes as f64 / 1e6,
        changes / seconds,
        relay_after - relay_before,
        changes / (relay_after - relay_before),
        own_after - own_before
    );
}
