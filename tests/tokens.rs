//! Who may do what: without the right token nothing is read or written, the reason is typed and one line long, and nothing
//! is lost meanwhile.

use comptoir_engine::wire::message::{Denial, FromRelay};
use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket, hello};
use comptoir_tests::wait;
use serde_json::json;
use std::path::Path;

fn relay(folder: &Path) -> Relay {
    Relay::start(&folder.join("relay"))
}

/// A device with one edit whose sync fails; the line it says. With a good token the same edit arrives.
fn refused_then_accepted(token: impl FnOnce(&Relay) -> String) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path());
    let device = Device::init(&folder.path().join("till"), "corner-bar", &relay.url(), &token(&relay));
    device.ok(&["put", "products", "tea", r#"{"stock":3}"#]);
    let line = device.fails(&["sync"]);
    let status = device.status();
    assert_eq!(status["pending"], 1, "it waits: {status}");
    assert!(status["last_sync"].is_null(), "{status}");
    device.ok(&["init", "--workspace", "corner-bar", "--relay", &relay.url(), "--token", &relay.token("corner-bar")]);
    device.sync();
    assert_eq!(device.status()["pending"], 0);
    let other = Device::init(&folder.path().join("other"), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    other.sync();
    assert_eq!(other.get("products", "tea"), json!({"stock": 3}));
    line
}

#[test]
fn without_a_token_nothing_is_exchanged_and_nothing_is_lost() {
    let line = refused_then_accepted(|_| String::new());
    assert!(line.contains("token create"), "it says what to do: {line}");
}

#[test]
fn a_token_that_is_none_is_refused() {
    let line = refused_then_accepted(|_| "v4.public.not-a-token".to_owned());
    assert!(line.contains("does not accept this token"), "{line}");
}

#[test]
fn a_token_with_one_letter_changed_is_refused() {
    let line = refused_then_accepted(|relay| {
        let mut token = relay.token("corner-bar").into_bytes();
        let middle = token.len() / 2;
        token[middle] = if token[middle] == b'A' { b'B' } else { b'A' };
        String::from_utf8(token).expect("a token is text")
    });
    assert!(line.contains("does not accept this token"), "{line}");
}

#[test]
fn a_token_of_another_relay_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = relay(folder.path());
    let line = refused_then_accepted(|_| elsewhere.token("corner-bar"));
    assert!(line.contains("does not accept this token"), "{line}");
}

#[test]
fn a_token_of_another_workspace_is_refused() {
    let line = refused_then_accepted(|relay| relay.token("the-pharmacy"));
    assert!(line.contains("another workspace"), "{line}");
}

#[test]
fn an_expired_token_is_refused() {
    let line = refused_then_accepted(|relay| {
        let token = relay.token_with("corner-bar", &["--expires", "1s"]);
        wait::until("the token's end", || {
            let mut socket = Socket::connect(relay.address());
            socket.say(&hello("corner-bar", &token));
            match socket.hear() {
                Heard::Said(FromRelay::Denied(Denial::TokenExpired)) => Some(()),
                Heard::Said(FromRelay::Welcome(_)) => None,
                other => panic!("neither welcomed nor expired: {other:?}"),
            }
        });
        token
    });
    assert!(line.contains("expired"), "{line}");
}

#[test]
fn a_reader_reads_and_its_edits_wait_for_a_better_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path());
    let editor = Device::init(&folder.path().join("editor"), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    editor.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    editor.sync();
    let token = relay.token_with("corner-bar", &["--role", "reader"]);
    let reader = Device::init(&folder.path().join("reader"), "corner-bar", &relay.url(), &token);
    reader.sync();
    assert_eq!(reader.get("products", "tea"), json!({"name": "Tea"}));
    reader.ok(&["incr", "products", "tea", "stock", "-1"]);
    let line = reader.fails(&["sync"]);
    assert!(line.contains("read but not write"), "{line}");
    assert_eq!(reader.status()["pending"], 1);
    editor.sync();
    assert_eq!(editor.get("products", "tea"), json!({"name": "Tea"}), "nothing of it arrived");
    reader.ok(&["init", "--workspace", "corner-bar", "--relay", &relay.url(), "--token", &relay.token("corner-bar")]);
    reader.sync();
    editor.sync();
    assert_eq!(editor.get("products", "tea"), json!({"name": "Tea", "stock": -1}));
}

#[test]
fn a_workspace_sees_nothing_of_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path());
    let device = |workspace: &str| {
        Device::init(&folder.path().join(workspace), workspace, &relay.url(), &relay.token(workspace))
    };
    let (bar, garage) = (device("bar"), device("garage"));
    bar.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    bar.sync();
    garage.sync();
    assert_eq!(garage.status()["total_records"], 0);
    assert_eq!(bar.status()["total_records"], 1);
}
