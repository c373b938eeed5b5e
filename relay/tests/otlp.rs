//! Spans sent to a collector, which here is a socket that reads what comes. Only where the feature is on: see
//! docs/operations.md.
#![cfg(feature = "otlp")]

mod kit;

use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::SystemClock;
use comptoir_relay::relay::keys_folder;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Reads requests and says that they were taken.
fn collect(mut stream: TcpStream, taken: &Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let (mut head, mut bytes) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                bytes = length.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut content = vec![0; bytes];
        reader.read_exact(&mut content).expect("the content");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
        // The test may be over.
        let _ = taken.send((head, content));
    }
}

#[test]
fn a_session_is_told_to_the_collector_when_it_has_ended() {
    let dir = tempfile::tempdir().expect("a folder");
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}/v1/traces", collector.local_addr().expect("an address"));
    let (taken, requests) = channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().map_while(Result::ok) {
            let taken = taken.clone();
            std::thread::spawn(move || collect(stream, &taken));
        }
    });
    let config = dir.path().join("relay.toml");
    std::fs::write(&config, format!("[log]\notlp = \"{endpoint}\"\n")).expect("written");
    let mut relay = Command::new(env!("CARGO_BIN_EXE_comptoir-relay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(dir.path().join("relay"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a relay");
    let mut line = String::new();
    BufReader::new(relay.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on ").and_then(|at| at.parse().ok()).expect("an address");
    let keys = Catalog::open(&keys_folder(&dir.path().join("relay"))).expect("keys");
    let valid_for = Duration::from_secs(3600);
    let request =
        TokenRequest { workspace: kit::workspace("cafe"), role: Role::Editor, name: "front".to_owned(), valid_for };
    let token = Auth::new(Arc::new(keys), Arc::new(SystemClock)).issue(&request).expect("a token");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { drop(kit::Device::join(address, kit::hello("cafe", token.clone())).await) });
    // What waits goes out when the relay ends, if not before.
    let ended = Command::new("kill").args(["-TERM", &relay.id().to_string()]).status().expect("sent");
    assert!(ended.success() && relay.wait().expect("its end").success());
    let mut seen = String::new();
    while !(seen.contains("session") && seen.contains("token_name")) {
        let (head, content) = requests.recv_timeout(kit::PATIENCE).expect("spans");
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        seen += &String::from_utf8_lossy(&content);
    }
    for word in ["comptoir-relay", "connection", "workspace", "cafe", "front"] {
        assert!(seen.contains(word), "{word}: {seen}");
    }
    assert!(!seen.contains(&token[12..60]), "the token is nobody's business");
}
