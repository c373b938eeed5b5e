//! What is no message, too long, or out of turn ends its session with a reason, and nothing else.

mod kit;

use comptoir_engine::wire::message::{Denial, FRAME_BYTES_MAX, FromDevice, Role, WANTED_MAX};
use comptoir_relay::config::Config;
use kit::{Author, Device};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn what_is_no_message_ends_the_session_with_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut bystander = Device::editor(&relay).await;
    for frame in [
        Message::Text("hello".into()),
        Message::Binary(vec![].into()),
        Message::Binary(vec![9, 9, 9].into()),
        Message::Binary(vec![1, 200].into()),
    ] {
        for welcomed in [false, true] {
            let mut device = match welcomed {
                true => Device::editor(&relay).await,
                false => Device::connect(relay.address()).await,
            };
            device.send_frame(frame.clone()).await;
            let denial = device.denial().await;
            assert!(matches!(denial, Denial::Unreadable(_)), "{denial:?}");
            assert_eq!(device.try_next().await, None);
        }
    }
    let mut author = Author::new(1, "1");
    bystander.push(1, kit::pack(&[author.edit()])).await;
    assert_eq!(bystander.ack().await.through, Some(1));
    relay.stop().await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_by_its_header() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    device.send_frame(Message::Binary(vec![0; FRAME_BYTES_MAX + 1].into())).await;
    let denial = device.denial().await;
    assert!(matches!(denial, Denial::OverLimit { .. }), "{denial:?}");
    relay.stop().await;
}

#[tokio::test]
async fn a_message_out_of_turn_ends_the_session() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut first = Device::connect(relay.address()).await;
    first.send(FromDevice::Credit { bytes: 1 }).await;
    assert_eq!(first.denial().await, Denial::OutOfTurn);

    let mut twice = Device::editor(&relay).await;
    twice.send(FromDevice::Hello(kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor)))).await;
    assert_eq!(twice.denial().await, Denial::OutOfTurn);

    let mut unasked = Device::editor(&relay).await;
    unasked.send(FromDevice::Want { leaves: vec![[1; 32]], last: true }).await;
    assert_eq!(unasked.denial().await, Denial::OutOfTurn);

    let mut greedy = Device::editor(&relay).await;
    greedy.send(FromDevice::Want { leaves: vec![[1; 32]; WANTED_MAX + 1], last: true }).await;
    assert!(matches!(greedy.denial().await, Denial::OverLimit { .. }));
    relay.stop().await;
}

#[tokio::test]
async fn a_push_that_is_no_batch_ends_the_session() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut device = Device::editor(&relay).await;
    device.push(1, vec![1, 1, 0, 0, 0, 255, 1, 2, 3]).await;
    assert!(matches!(device.denial().await, Denial::Unreadable(_)));
    relay.stop().await;
}

#[tokio::test]
async fn a_device_that_says_nothing_is_given_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { hello_timeout_ms: 100, idle_timeout_ms: 300, ping_interval_ms: 100, ..kit::config() };
    let relay = kit::relay_with(dir.path(), config).await;
    let mut mute = Device::connect(relay.address()).await;
    assert_eq!(mute.try_next().await, None);

    // A welcomed device that answers pings stays; this one never reads them.
    let stream = TcpStream::connect(relay.address()).await.expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(b"GET /v1/sync HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    reading.read_to_end(&mut answer).await.expect("the end");
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    relay.stop().await;
}

#[tokio::test]
async fn a_full_workspace_turns_the_next_session_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay_with(dir.path(), Config { sessions_per_workspace_max: 2, ..kit::config() }).await;
    let (_one, two) = (Device::editor(&relay).await, Device::editor(&relay).await);
    let hello = || FromDevice::Hello(kit::hello("cafe", kit::token(&relay, "cafe", Role::Editor)));
    let mut three = Device::connect(relay.address()).await;
    three.send(hello()).await;
    assert!(matches!(three.denial().await, Denial::OverLimit { limit_max: 2, .. }));
    drop(two);
    loop {
        let mut four = Device::connect(relay.address()).await;
        four.send(hello()).await;
        if let comptoir_engine::wire::FromRelay::Welcome(_) = four.next().await {
            break;
        }
    }
    relay.stop().await;
}
