//! Frames no honest side sends: the relay ends that connection with a typed reason and serves the others on; a device says
//! that the relay is at fault, and loses nothing.

use comptoir_engine::wire::message::{Denial, FRAME_BYTES_MAX, FromDevice, FromRelay};
use comptoir_tests::device::Device;
use comptoir_tests::forge;
use comptoir_tests::proxy::Proxy;
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket, hello};
use comptoir_tests::wait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{self, Message};

const WORKSPACE: &str = "corner-bar";

struct House {
    relay: Relay,
    token: String,
    bystander: Device,
    sold: i64,
    folder: TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let bystander = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    House { relay, token, bystander, sold: 0, folder }
}

impl House {
    fn socket(&self) -> Socket {
        Socket::welcomed(self.relay.address(), WORKSPACE, &self.token).0
    }

    /// The relay still takes what an honest device sends.
    #[track_caller]
    fn assert_serves(&mut self) {
        assert!(self.relay.is_alive(), "the relay ended: {}", self.relay.stderr());
        self.bystander.ok(&["incr", "products", "tea", "sold", "1"]);
        self.bystander.sync();
        self.sold += 1;
        assert_eq!(self.bystander.status()["pending"], 0);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !thread::panicking() {
            let late = Device::init(&self.folder.path().join("late"), WORKSPACE, &self.relay.url(), &self.token);
            late.sync();
            assert_eq!(late.get("products", "tea"), json!({"sold": self.sold}), "nothing was lost, nothing was added");
        }
    }
}

fn push() -> Vec<u8> {
    FromDevice::Push { push: 1, offered: false, batch: forge::bomb(1000, 1000) }.encode().expect("a message")
}

#[test]
fn a_frame_that_is_no_message_ends_its_connection_with_a_reason() {
    let mut house = house();
    let (honest, mut trailing) = (push(), push());
    trailing.push(0);
    let frames: [(&str, Vec<u8>); 7] = [
        ("empty", vec![]),
        ("a version alone", vec![1]),
        ("an unknown variant", vec![1, 99]),
        ("a newer version", vec![2, 0]),
        ("cut short", honest[..honest.len() - 3].to_vec()),
        ("bytes behind it", trailing),
        ("a length past the end", vec![1, 1, 1, 253, 255, 255, 255, 255, 255, 255, 255, 127]),
    ];
    for (what, frame) in frames {
        let mut socket = house.socket();
        socket.send(Message::binary(frame));
        let denial = socket.denied();
        assert!(matches!(denial, Some(Denial::Unreadable(_))), "{what}: {denial:?}");
    }
    let mut socket = house.socket();
    socket.send(Message::text("{\"hello\":true}"));
    let denial = socket.denied();
    assert!(matches!(denial, Some(Denial::Unreadable(_) | Denial::OutOfTurn)), "a text: {denial:?}");
    house.assert_serves();
}

#[test]
fn a_message_out_of_turn_ends_its_connection() {
    let mut house = house();
    let mut early = Socket::connect(house.relay.address());
    early.send(Message::binary(push()));
    assert_eq!(early.denied(), Some(Denial::OutOfTurn), "a push before the hello");
    let mut again = house.socket();
    again.say(&hello(WORKSPACE, &house.token));
    assert_eq!(again.denied(), Some(Denial::OutOfTurn), "a second hello");
    let mut unasked = house.socket();
    unasked.say(&FromDevice::Reconcile { payload: vec![0xff; 64] });
    assert!(unasked.denied().is_some(), "a comparison that is none");
    house.assert_serves();
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_read() {
    let mut house = house();
    let mut socket = house.socket();
    socket.send(Message::binary(vec![1; FRAME_BYTES_MAX + 1]));
    let denial = socket.denied();
    assert!(matches!(denial, None | Some(Denial::OverLimit { .. })), "{denial:?}");
    // The head of a frame that says it has 2^62 bytes, masked; and nothing behind it.
    let mut socket = house.socket();
    let head = [&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[1, 2, 3, 4]].concat();
    socket.stream().write_all(&head).expect("the head is sent");
    let denial = socket.denied();
    assert!(matches!(denial, None | Some(Denial::OverLimit { .. })), "{denial:?}");
    house.assert_serves();
}

#[test]
fn a_batch_that_would_unpack_to_more_than_it_may_is_refused() {
    let mut house = house();
    for (claimed, real) in [(4 << 20, 64 << 20), (u32::MAX, 1 << 20), (64 << 20, 64 << 20), (16, 1 << 20)] {
        let mut socket = house.socket();
        let heard = socket.push(1, forge::bomb(claimed, real));
        assert!(matches!(heard, Heard::Said(FromRelay::Denied(_))), "{claimed} for {real}: {heard:?}");
    }
    house.assert_serves();
}

#[test]
fn flipped_bits_and_cut_frames_never_stop_the_relay() {
    let mut house = house();
    let mut chance = StdRng::seed_from_u64(3);
    let messages = [push(), hello(WORKSPACE, &house.token).encode().expect("a message")];
    for round in 0..60 {
        let mut frame = messages[round % 2].clone();
        if chance.random_bool(0.3) {
            frame.truncate(chance.random_range(0..frame.len()));
        }
        for _ in 0..chance.random_range(1..4) {
            let bits = frame.len() * 8;
            if bits > 0 {
                let bit = chance.random_range(0..bits);
                frame[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let mut socket = if round % 4 < 2 { house.socket() } else { Socket::connect(house.relay.address()) };
        socket.send(Message::binary(frame));
        if round % 10 == 0 {
            house.assert_serves();
        }
    }
    house.assert_serves();
}

#[test]
fn what_is_no_websocket_is_turned_away() {
    let mut house = house();
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 4096]] {
        let mut stream = TcpStream::connect(house.relay.address()).expect("the relay accepts");
        stream.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
        stream.write_all(bytes).expect("bytes are sent");
        let mut said = Vec::new();
        let ended = stream.take(64 << 10).read_to_end(&mut said);
        assert!(ended.is_ok() || !said.is_empty(), "it answers or hangs up: {ended:?}");
    }
    house.assert_serves();
}

#[test]
fn a_device_that_says_nothing_is_given_up() {
    let mut house = house();
    let mut silent = Socket::connect(house.relay.address());
    silent.denied();
    house.assert_serves();
}

/// A relay that answers every upgrade, and every hello with the frame given.
fn hostile_relay(frame: Message) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            #[expect(clippy::result_large_err, reason = "the type is the library's")]
            let with_protocol = |request: &Request, mut response: Response| {
                let protocol = request.headers().get("Sec-WebSocket-Protocol").cloned();
                protocol.map(|protocol| response.headers_mut().insert("Sec-WebSocket-Protocol", protocol));
                Ok(response)
            };
            let Ok(mut socket) = tungstenite::accept_hdr(stream, with_protocol) else { continue };
            let _ = socket.read();
            let _ = socket.send(frame.clone());
            while socket.read().is_ok() {}
        }
    });
    url
}

#[test]
fn a_large_frame_on_a_slow_line_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let noise: String = (0..6_000u64).map(|place| format!("{:08x}", place.wrapping_mul(0x9e37_79b9) >> 3)).collect();
    let writer = Device::init(&folder.path().join("writer"), WORKSPACE, &relay.url(), &token);
    writer.ok(&["put", "notes", "long", &json!({"text": noise}).to_string()]);
    writer.sync();
    let slow = Proxy::throttled(relay.address(), 250);
    let reader = Device::init(&folder.path().join("reader"), WORKSPACE, &slow.url(), &token);
    reader.ok(&["sync", "--timeout", "50s"]);
    assert!(slow.down() > 27_500, "{} bytes take more than 11 s, longer than a silence may last", slow.down());
    assert_eq!(reader.digest(), writer.digest());
}

#[test]
fn a_device_survives_a_relay_that_talks_nonsense() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "token");
    device.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    let entries = FromRelay::Entries(comptoir_engine::wire::message::Entries {
        batches: vec![forge::bomb(4 << 20, 64 << 20)],
        through: 1,
        digest: None,
    });
    let frames = [
        Message::binary(vec![1, 99]),
        Message::binary(vec![7]),
        Message::text("hello"),
        Message::binary(vec![0; FRAME_BYTES_MAX + 1]),
        Message::binary(entries.encode().expect("a message")),
    ];
    for frame in frames {
        let url = hostile_relay(frame);
        device.ok(&["init", "--workspace", WORKSPACE, "--relay", &url, "--token", "token"]);
        device.fails(&["sync", "--timeout", "3s"]);
        let status = device.status();
        assert_eq!((&status["pending"], &status["quarantined"]), (&json!(1), &json!(0)), "{status}");
        assert_eq!(device.get("products", "tea"), json!({"name": "Tea"}));
    }
}
