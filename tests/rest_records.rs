//! Records over REST: written, read, counted, listed, with conditions, once, and beside a real device, through the real relay.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::rest::Client;
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;

const TEA: &str = "/v1/workspaces/shop/collections/products/records/tea";

fn shop(folder: &Path) -> (Relay, Client) {
    let relay = Relay::start(&folder.join("relay"));
    let client = Client::new(relay.address(), &relay.token_with("shop", &["--name", "office"]));
    (relay, client)
}

fn fields(client: &Client, path: &str) -> Value {
    client.get(path).expect(200).json()["fields"].take()
}

#[test]
fn a_record_is_made_read_changed_counted_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_relay, client) = shop(folder.path());
    client.get(TEA).expect(404);
    client.write("PUT", TEA, &json!({"name": "Tea", "stock": 3})).expect(201);
    client.write("PUT", TEA, &json!({"name": "Green tea", "stock": 3})).expect(200);
    client.write("PATCH", TEA, &json!({"shelf": "B4", "name": null})).expect(200);
    client.write("POST", &format!("{TEA}/increment"), &json!({"field": "stock", "by": -2})).expect(200);
    assert_eq!(fields(&client, TEA), json!({"shelf": "B4", "stock": 1}));
    client.write("PUT", TEA, &json!({"name": "Tea"})).expect(200);
    assert_eq!(fields(&client, TEA), json!({"name": "Tea"}), "a whole record has no other fields");
    client.send("DELETE", TEA, &[], b"").expect(204);
    client.get(TEA).expect(404);
    client.write("PATCH", TEA, &json!({"shelf": "B4"})).expect(404);
    assert_eq!(client.get(&format!("{TEA}?deleted=true")).expect(200).json()["deleted"], true);
    client.write("PUT", TEA, &json!({"name": "Back"})).expect(200);
    assert_eq!(fields(&client, TEA), json!({"name": "Back"}));
    let past = client.get(&format!("{TEA}/history?limit=1")).expect(200).json();
    assert_eq!(past["changes"][0]["label"], "office", "the history says who: {past}");
    assert!(past["cursor"].is_string(), "{past}");
}

#[test]
fn a_condition_that_is_not_met_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_relay, client) = shop(folder.path());
    let put = |headers: &[(&str, &str)], body: &str| client.send("PUT", TEA, headers, body.as_bytes());
    put(&[("if-match", "*")], r#"{"n":0}"#).expect(412);
    let made = put(&[("if-none-match", "*")], r#"{"n":1}"#).expect(201);
    put(&[("if-none-match", "*")], r#"{"n":2}"#).expect(412);
    let first = made.header("etag").expect("a state").to_owned();
    assert_eq!(client.get(TEA).header("etag"), Some(first.as_str()), "the write names the state that is read");
    client.send("GET", TEA, &[("if-none-match", &first)], b"").expect(304);
    let second = put(&[("if-match", &first)], r#"{"n":3}"#).expect(200);
    assert_ne!(second.header("etag"), Some(first.as_str()));
    let refused = put(&[("if-match", &first)], r#"{"n":4}"#).expect(412);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(refused.json()["code"], "precondition");
    assert_eq!(fields(&client, TEA), json!({"n": 3}));
}

#[test]
fn a_request_that_comes_again_under_its_key_is_done_once_also_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    let path = format!("{TEA}/increment");
    let again = |body: &str| client.send("POST", &path, &[("idempotency-key", "sale-1")], body.as_bytes());
    let first = again(r#"{"field":"stock","by":-1}"#).expect(201);
    assert_eq!(again(r#"{"field":"stock","by":-1}"#).expect(201).body, first.body);
    again(r#"{"field":"stock","by":-2}"#).expect(422);
    relay.restart();
    assert_eq!(again(r#"{"field":"stock","by":-1}"#).expect(201).body, first.body);
    assert_eq!(fields(&client, TEA), json!({"stock": -1}));
}

#[test]
fn a_relay_killed_in_the_middle_of_writes_counts_each_key_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    let send = |number: usize| {
        let body = br#"{"field":"stock","by":1}"#;
        let client = client.clone();
        let key = format!("sale-{number}");
        thread::spawn(move || {
            client.send("POST", &format!("{TEA}/increment"), &[("idempotency-key", &key)], body).status
        })
    };
    for round in 0..3 {
        client.write("PUT", &TEA.replace("tea", "warm"), &json!({"round": round}));
        let sent: Vec<_> = (round * 8..round * 8 + 8).map(send).collect();
        relay.restart();
        // Whoever was cut off has no answer, and asks again.
        let cut: Vec<_> = sent.into_iter().map(|each| each.join().is_err()).collect();
        assert_eq!(cut.len(), 8);
        for number in round * 8..round * 8 + 8 {
            let status = send(number).join().expect("an answer");
            assert!(status == 200 || status == 201, "{status}");
        }
    }
    assert_eq!(fields(&client, TEA), json!({"stock": 24}));
}

#[test]
fn a_device_and_rest_see_each_others_edits_and_all_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (relay, client) = shop(folder.path());
    let till = Device::init(&folder.path().join("till"), "shop", &relay.url(), &relay.token("shop"));
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.ok(&["incr", "products", "tea", "stock", "10"]);
    till.sync();
    assert_eq!(fields(&client, TEA), json!({"name": "Tea", "stock": 10}));
    till.ok(&["incr", "products", "tea", "stock", "-3"]);
    till.ok(&["put", "products", "tea", r#"{"shelf":"B4"}"#]);
    let counting: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || {
                for _ in 0..5 {
                    let one = json!({"field": "stock", "by": -1});
                    client.write("POST", &format!("{TEA}/increment"), &one).expect(200);
                }
            })
        })
        .collect();
    counting.into_iter().for_each(|each| each.join().expect("all were counted"));
    client.write("PATCH", TEA, &json!({"price_cents": 320})).expect(200);
    till.sync();
    let both = json!({"name": "Tea", "shelf": "B4", "price_cents": 320, "stock": -13});
    assert_eq!(till.get("products", "tea"), both);
    assert_eq!(fields(&client, TEA), both);
    let status = client.get("/v1/workspaces/shop/status").expect(200).json();
    assert_eq!(status["digest"], till.digest());
}

#[test]
fn a_transaction_is_done_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_relay, client) = shop(folder.path());
    let path = "/v1/workspaces/shop/transactions";
    let put = json!({"op": "put", "collection": "sales", "key": "1", "fields": {"total": 320}});
    let sale = json!([put, {"op": "incr", "collection": "products", "key": "tea", "field": "stock", "by": -1}]);
    let done = client.write("POST", path, &sale).expect(200).json();
    assert_eq!((done["changed"].as_u64(), done["created"].as_u64()), (Some(2), Some(2)), "{done}");
    client.write("PATCH", TEA, &json!({"name": "Tea"})).expect(200);
    let wrong = json!([
        {"op": "put", "collection": "sales", "key": "2", "fields": {}},
        {"op": "incr", "collection": "products", "key": "tea", "field": "name", "by": 1},
    ]);
    assert_eq!(client.write("POST", path, &wrong).expect(422).json()["code"], "not_number");
    client.get("/v1/workspaces/shop/collections/sales/records/2").expect(404);
}

#[test]
fn pages_of_a_query_are_what_the_command_line_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let (relay, client) = shop(folder.path());
    let lines: String = (0..57).map(|n| format!("{{\"id\":\"p{n}\",\"price\":{}}}\n", n * 7 % 31)).collect();
    let lines_type = [("content-type", "application/x-ndjson")];
    let import = "/v1/workspaces/shop/import?collection=products";
    let counts = client.send("POST", import, &lines_type, lines.as_bytes()).expect(200).json();
    assert_eq!(counts["created"], 57, "{counts}");
    let again = client.send("POST", import, &lines_type, lines.as_bytes()).expect(200).json();
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(57)));
    let path = "/v1/workspaces/shop/collections/products/records?where=price%20%3C%2020&order=price%20desc&limit=10";
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).expect(200).json();
        keys.extend(page["records"].as_array().expect("records").iter().map(|record| record["key"].clone()));
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let till = Device::init(&folder.path().join("till"), "shop", &relay.url(), &relay.token("shop"));
    till.sync();
    let listed = till.ok(&["list", "products", "--where", "price < 20", "--order", "price desc", "--json"]);
    let listed: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].take()).collect();
    let listed: Vec<Value> = listed.into_iter().filter(|key| !key.is_null()).collect();
    assert!(keys.len() > 20, "{keys:?}");
    assert_eq!(keys, listed);
    let exported = client.get("/v1/workspaces/shop/export?collection=products").expect(200);
    assert_eq!(String::from_utf8_lossy(&exported.body).lines().count(), 57);
}

#[test]
fn the_store_of_a_service_device_is_made_anew_where_it_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut relay, client) = shop(folder.path());
    client.write("PUT", TEA, &json!({"name": "Tea"})).expect(201);
    relay.kill();
    std::fs::remove_dir_all(folder.path().join("relay/service")).expect("a service device's folder");
    relay.restart();
    wait::until("the record", || (client.get(TEA).status == 200).then_some(()));
    assert_eq!(fields(&client, TEA), json!({"name": "Tea"}));
    client.write("PATCH", TEA, &json!({"shelf": "B4"})).expect(200);
}
