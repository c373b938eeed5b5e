//! The change feed: replayed from any place, waited for, streamed and taken up again, through the real relay.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::rest::{Client, Stream};
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;

const FEED: &str = "/v1/workspaces/shop/changes";

fn shop(folder: &Path) -> (Relay, Client) {
    let relay = Relay::start(&folder.join("relay"));
    let client = Client::new(relay.address(), &relay.token("shop"));
    (relay, client)
}

fn put(client: &Client, key: &str, number: u64) {
    let path = format!("/v1/workspaces/shop/collections/products/records/{key}");
    let status = client.write("PUT", &path, &json!({"n": number})).status;
    assert!(status == 200 || status == 201, "{status}");
}

/// All changes behind a cursor, in pages.
fn replay(client: &Client, mut after: String, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let page = client.get(&format!("{FEED}?limit={limit}{after}")).expect(200).json();
        let changes = page["changes"].as_array().expect("changes");
        if changes.is_empty() {
            return all;
        }
        all.extend(changes.iter().cloned());
        after = format!("&after={}", page["cursor"].as_str().expect("a cursor"));
    }
}

fn keys(changes: &[Value]) -> Vec<&str> {
    changes.iter().filter_map(|change| change["key"].as_str()).collect()
}

#[test]
fn the_feed_is_replayed_from_any_place_in_pages_of_any_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    let till = Device::init(&folder.path().join("till"), "shop", &relay.url(), &relay.token("shop"));
    for number in 0..9 {
        till.ok(&["put", "products", &format!("till-{number}"), r#"{"n":1}"#]);
    }
    till.sync();
    (0..5).for_each(|number| put(&client, &format!("rest-{number}"), number));
    let whole = replay(&client, String::new(), 100);
    assert_eq!(whole.len(), 14, "{whole:?}");
    assert_eq!(whole[13]["fields"], json!({"n": 4}));
    assert_eq!(keys(&replay(&client, String::new(), 2)), keys(&whole));
    relay.restart();
    for (index, change) in whole.iter().enumerate() {
        let rest = replay(&client, format!("&after={}", change["cursor"].as_str().expect("a cursor")), 3);
        assert_eq!(keys(&rest), keys(&whole[index + 1..]), "behind change {index}");
    }
    client.get(&format!("{FEED}?after=nonsense")).expect(400);
}

#[test]
fn a_cursor_of_another_log_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_relay, client) = shop(folder.path());
    put(&client, "tea", 1);
    let (_other, elsewhere) = shop(&folder.path().join("other"));
    put(&elsewhere, "tea", 1);
    let foreign = elsewhere.get(FEED).expect(200).json();
    let answer = client.get(&format!("{FEED}?after={}", foreign["cursor"].as_str().expect("a cursor"))).expect(410);
    assert_eq!(answer.json()["code"], "feed_epoch");
}

#[test]
fn a_long_poll_answers_when_something_happens_and_when_its_time_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_relay, client) = shop(folder.path());
    put(&client, "tea", 1);
    let cursor = client.get(FEED).expect(200).json()["cursor"].as_str().expect("a cursor").to_owned();
    let empty = client.get(&format!("{FEED}?after={cursor}&wait=1")).expect(200).json();
    assert_eq!(empty, json!({"changes": [], "cursor": cursor}));
    let waiting = client.clone();
    let polled = thread::spawn(move || waiting.get(&format!("{FEED}?after={cursor}&wait=60")).expect(200).json());
    put(&client, "coffee", 2);
    let polled = polled.join().expect("an answer");
    assert_eq!(keys(polled["changes"].as_array().expect("changes")), ["coffee"]);
}

/// The next change of a stream.
fn event(stream: &mut Stream, text: &mut String) -> (String, Value) {
    loop {
        if let Some((event, rest)) = text.split_once("\n\n") {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let found = line("id: ").zip(line("data: "));
            *text = rest.to_owned();
            match found {
                Some((id, data)) => return (id, serde_json::from_str(&data).expect("JSON")),
                None => continue,
            }
        }
        let chunk = stream.chunk();
        assert!(!chunk.is_empty(), "the stream goes on");
        text.push_str(&String::from_utf8(chunk).expect("text"));
    }
}

#[test]
fn a_stream_of_events_goes_on_and_is_taken_up_again_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    put(&client, "a", 1);
    let open = |last: &str| {
        let headers = [("accept", "text/event-stream"), ("last-event-id", last)];
        client.open("GET", FEED, if last.is_empty() { &headers[..1] } else { &headers }, b"")
    };
    let (mut stream, mut text) = (open(""), String::new());
    let (_, first) = event(&mut stream, &mut text);
    put(&client, "b", 2);
    let (id, second) = event(&mut stream, &mut text);
    assert_eq!((&first["key"], &second["key"]), (&json!("a"), &json!("b")));
    drop(stream);
    relay.restart();
    put(&client, "c", 3);
    let (mut stream, mut text) = (open(&id), String::new());
    let (_, third) = event(&mut stream, &mut text);
    assert_eq!(
        (&third["key"], &third["fields"]),
        (&json!("c"), &json!({"n": 3})),
        "nothing is left out, nothing comes twice"
    );
}

#[test]
fn a_relay_that_stops_ends_its_streams_and_polls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    put(&client, "a", 1);
    let stream = client.open("GET", FEED, &[("accept", "text/event-stream")], b"");
    let ended = wait::within(comptoir_tests::program::COMMAND_DEADLINE, "the relay's end", || Some(relay.terminate()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    drop(stream);
}
