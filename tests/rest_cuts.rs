//! REST where something is cut short: requests begun and not ended, answers that nobody reads, tokens taken back in the middle, logs
//! that take nothing, devices that nobody asks any more.

use comptoir_engine::disk;
use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::rest::Client;
use comptoir_tests::small_disk::{fill, on_small_disk};
use comptoir_tests::wait;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread;

const TEA: &str = "/v1/workspaces/shop/collections/products/records/tea";
const FEED: &str = "/v1/workspaces/shop/changes";

fn configured(folder: &Path, settings: &str) -> Relay {
    let config = folder.join("relay.toml");
    fs::write(&config, settings).expect("a file");
    Relay::start_with(&folder.join("relay"), &["--config", config.to_str().expect("a path")])
}

fn revoke(folder: &Path, token: &str) {
    run(relay::command(&["token", "revoke", token]).arg("--data").arg(folder.join("relay"))).success();
}

fn put(client: &Client, key: &str, body: &Value) -> u16 {
    client.write("PUT", &TEA.replace("tea", key), body).status
}

#[test]
fn any_change_that_came_at_the_same_time_makes_another_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let client = Client::new(relay.address(), &relay.token("shop"));
    assert_eq!(put(&client, "tea", &json!({"n": 1})), 201);
    for by_hand in ["before", "after"] {
        let till = Device::init(&folder.path().join(by_hand), "shop", &relay.url(), &relay.token("shop"));
        till.sync();
        let edit = || till.ok(&["put", "products", "tea", &json!({"n": format!("till, {by_hand}")}).to_string()]);
        if by_hand == "before" {
            edit();
        }
        assert_eq!(put(&client, "tea", &json!({"n": by_hand})), 200);
        if by_hand == "after" {
            edit();
        }
        let seen = client.get(TEA).expect(200);
        let state = seen.header("etag").expect("a state").to_owned();
        till.sync();
        let now = client.get(TEA).expect(200);
        assert_ne!(now.header("etag"), Some(state.as_str()), "whichever of the two is shown");
        client.send("PUT", TEA, &[("if-match", &state)], b"{}").expect(412);
    }
}

#[test]
fn a_request_begun_in_a_store_that_is_lost_is_neither_done_again_nor_called_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Relay::start(&folder.path().join("relay"));
    let client = Client::new(relay.address(), &relay.token_with("shop", &["--user", "anna"]));
    assert_eq!(put(&client, "milk", &json!({})), 201);
    relay.kill();
    // What a process leaves that is killed between the two lines of a request, and then its store is damaged.
    let service = folder.path().join("relay/service/shop");
    let (path, body) = (format!("{TEA}/increment"), br#"{"field":"stock","by":1}"#);
    let mut says = Sha256::new();
    says.update(format!("POST {path}"));
    says.update([0]);
    says.update(body);
    let says: String = says.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis() as u64;
    let begun = json!({"Begun": {
        "key": "user:anna sale-1", "says": says, "at_ms": now_ms, "digest": "00", "device": "another",
        "record": ["products", "tea"], "records": 1, "absent": 1,
    }});
    fs::write(service.join("keys"), format!("{begun}\n")).expect("a line");
    fs::remove_dir_all(service.join("store")).expect("a store that is lost");
    for _ in 0..2 {
        relay.restart();
        let again = || client.send("POST", &path, &[("idempotency-key", "sale-1")], body);
        let refused = wait::until("an answer", || Some(again()).filter(|answer| answer.status != 503));
        assert_eq!(refused.expect(409).json()["code"], "key_unknown");
        client.get(TEA).expect(404);
    }
    client.send("POST", &path, &[("idempotency-key", "sale-2")], body).expect(201);
}

#[test]
fn a_write_that_the_log_does_not_take_in_time_is_saved_and_sent_later() {
    on_small_disk("a_write_that_the_log_does_not_take_in_time_is_saved_and_sent_later", 96, |small| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("relay");
        fs::create_dir_all(&data).expect("a folder");
        fs::create_dir_all(small.join("log")).expect("a folder");
        std::os::unix::fs::symlink(small.join("log"), data.join("log")).expect("a log on a disk of its own");
        let relay = Relay::start(&data);
        let client = Client::new(relay.address(), &relay.token("shop"));
        assert_eq!(put(&client, "milk", &json!({})), 201);
        let filler = fill(small, 4096);
        let refused = client.write("PUT", TEA, &json!({"n": 1})).expect(503);
        assert_eq!(refused.json()["code"], "write_unsent");
        assert_eq!(refused.header("retry-after"), None, "it is not to be sent again");
        fs::remove_file(filler).expect("room");
        wait::until("it is sent", || {
            let found = client.get(TEA);
            let pending = client.get("/v1/workspaces/shop/status").json()["pending"].clone();
            (found.status == 200 && pending == 0).then_some(())
        });
    });
}

#[test]
fn a_reader_of_events_that_takes_nothing_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = configured(folder.path(), "write_timeout_ms = 500\n");
    let client = Client::new(relay.address(), &relay.token("shop"));
    let mut stream = client.open("GET", FEED, &[("accept", "text/event-stream")], b"");
    let long = "x".repeat(500_000);
    for number in 0..40 {
        assert_eq!(put(&client, &format!("p{number}"), &json!({"text": long})), 201);
    }
    // The relay is free of it while nobody has read a byte of those.
    wait::until("it is cut off", || {
        let metrics = client.get("/metrics").expect(200);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        (followers(&metrics) == Some(1)).then_some(())
    });
    let mut rest = Vec::new();
    let ended = stream.reader().read_to_end(&mut rest);
    assert!(
        ended.is_err() || rest.len() < 40 * 500_000,
        "what was cut off did not get everything: {} bytes",
        rest.len()
    );
    assert_eq!(put(&client, "after", &json!({})), 201);
}

/// Sessions of the shop's room: the service device's own, its look at the log, and each feed that is read.
fn followers(metrics: &str) -> Option<u64> {
    let line = metrics.lines().find(|line| line.starts_with("comptoir_relay_sessions{workspace=\"shop\"}"))?;
    let seats: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    seats.checked_sub(1)
}

#[test]
fn a_service_device_that_nobody_asks_is_closed_and_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = configured(folder.path(), "service_idle_ms = 300\n");
    let client = Client::new(relay.address(), &relay.token("shop"));
    assert_eq!(put(&client, "tea", &json!({"n": 1})), 201);
    let store = folder.path().join("relay/service/shop/store");
    // Two never have a store open.
    wait::until("the store is free", || disk::open(&store, None, 1 << 20).ok().map(drop));
    assert_eq!(client.get(TEA).expect(200).json()["fields"], json!({"n": 1}));
}

#[test]
fn the_folder_of_the_service_devices_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let client = Client::new(relay.address(), &relay.token("shop"));
    assert_eq!(put(&client, "tea", &json!({})), 201);
    for name in ["relay/service", "relay/service/shop"] {
        let mode = fs::metadata(folder.path().join(name)).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

#[test]
fn a_token_taken_back_during_a_poll_or_a_stream_hears_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let owner = Client::new(relay.address(), &relay.token("shop"));
    assert_eq!(put(&owner, "tea", &json!({})), 201);
    let cursor = owner.get(FEED).expect(200).json()["cursor"].as_str().expect("a cursor").to_owned();

    let token = relay.token("shop");
    let poller = Client::new(relay.address(), &token);
    let path = format!("{FEED}?after={cursor}&wait=60");
    let polling = thread::spawn(move || poller.get(&path));
    revoke(folder.path(), &token);
    let gone = Client::new(relay.address(), &token);
    wait::until("it is revoked", || (gone.get(TEA).status == 401).then_some(()));
    assert_eq!(put(&owner, "coffee", &json!({})), 201);
    let polled = polling.join().expect("an answer");
    assert_eq!(polled.status, 401, "{}", String::from_utf8_lossy(&polled.body));

    let token = relay.token("shop");
    let reader = Client::new(relay.address(), &token);
    let mut stream = reader.open("GET", &format!("{FEED}?after={cursor}"), &[("accept", "text/event-stream")], b"");
    let begun =
        wait::until("the stream", || String::from_utf8(stream.chunk()).ok().filter(|text| text.contains("coffee")));
    assert!(!begun.contains("milk"), "{begun}");
    revoke(folder.path(), &token);
    wait::until("it is revoked", || (reader.get(TEA).status == 401).then_some(()));
    assert_eq!(put(&owner, "milk", &json!({})), 201);
    loop {
        let chunk = stream.chunk();
        assert!(!String::from_utf8_lossy(&chunk).contains("milk"));
        if chunk.is_empty() {
            return;
        }
    }
}
