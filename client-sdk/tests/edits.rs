//! Edits from the command line: each is saved on this device before the command returns, without any network.

mod till;

use serde_json::json;
use till::Till;

#[test]
fn put_sets_the_given_fields_and_leaves_the_rest() {
    let till = Till::new();
    let said = till.run(&["put", "products", "tea", r#"{"name": "Tea", "price_cents": 320}"#]).ok();
    assert!(said.contains("saved on this device") && said.contains("not on the relay yet"), "{said}");
    till.run(&["put", "products", "tea", r#"{"price_cents": 350}"#]).ok();
    assert_eq!(till.run(&["get", "products", "tea"]).ok(), "{\"name\":\"Tea\",\"price_cents\":350}\n");
}

#[test]
fn a_put_that_changes_nothing_says_so_and_makes_no_change() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"name": "Tea"}"#]).ok();
    assert!(till.run(&["put", "products", "tea", r#"{"name": "Tea"}"#]).ok().contains("nothing changed"));
    assert_eq!(till.json(&["put", "products", "tea", r#"{"name": "Tea"}"#])["changed"], false);
    assert_eq!(till.json(&["status"])["pending"], 1);
}

#[test]
fn increments_add_up_and_may_be_negative() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"stock": 10}"#]).ok();
    till.run(&["incr", "products", "tea", "stock", "-3"]).ok();
    till.run(&["incr", "products", "tea", "stock", "2"]).ok();
    till.run(&["incr", "products", "tea", "/sold/today", "3"]).ok();
    assert_eq!(till.fields("products", "tea"), json!({"stock": 9, "sold": {"today": 3}}));
}

#[test]
fn unset_removes_one_field() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"name": "Tea", "shelf": "B4"}"#]).ok();
    till.run(&["unset", "products", "tea", "shelf"]).ok();
    assert_eq!(till.fields("products", "tea"), json!({"name": "Tea"}));
}

#[test]
fn a_deleted_record_is_gone_from_get_and_list_until_it_is_restored() {
    let till = Till::new();
    for key in ["tea", "milk"] {
        till.run(&["put", "products", key, r#"{"shelf": "B4"}"#]).ok();
    }
    till.run(&["delete", "products", "tea"]).ok();
    let line = till.run(&["get", "products", "tea"]).fails(1);
    assert!(line.contains("products/tea") && line.contains("check"), "{line}");
    assert_eq!(till.json(&["get", "products", "tea"])["deleted"], true);
    assert_eq!(till.run(&["list", "products"]).ok(), "milk {\"shelf\":\"B4\"}\n");
    let all = till.run(&["list", "products", "--deleted", "--json"]).ok();
    assert_eq!(all.lines().count(), 2);
    assert!(till.run(&["put", "products", "tea", r#"{"shelf": "B5"}"#]).fails(1).contains("restore"));
    till.run(&["restore", "products", "tea"]).ok();
    assert_eq!(till.fields("products", "tea"), json!({"shelf": "B4"}));
}

#[test]
fn list_shows_records_in_order_of_key_as_lines_or_ndjson() {
    let till = Till::new();
    for key in ["c", "a", "b"] {
        till.run(&["put", "letters", key, "{}"]).ok();
    }
    assert_eq!(till.run(&["list", "letters"]).ok(), "a {}\nb {}\nc {}\n");
    let first = till.run(&["list", "letters", "--json"]).ok().lines().next().expect("a line").to_owned();
    let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(first, json!({"key": "a", "deleted": false, "fields": {}}));
}

#[test]
fn the_status_counts_what_waits_and_claims_nothing_else() {
    let till = Till::without_store();
    till.run(&["init", "--workspace", "corner-bar", "--relay", "ws://127.0.0.1:1", "--device-name", "bar"]).ok();
    till.run(&["put", "products", "tea", r#"{"name": "Tea"}"#]).ok();
    for args in [&["status"][..], &["status", "--offline"]] {
        let status = till.json(args);
        assert_eq!((&status["enabled"], &status["state"]), (&json!(true), &json!("offline")), "{status}");
        assert_eq!((&status["pending"], &status["total_records"]), (&json!(1), &json!(1)), "{status}");
        assert_eq!((&status["last_sync"], &status["in_progress"]), (&json!(null), &json!(false)), "{status}");
        assert_eq!((&status["quarantined"], &status["device_name"]), (&json!(0), &json!("bar")), "{status}");
        assert_eq!(status["digest"].as_str().map(str::len), Some(64), "{status}");
    }
    assert!(till.json(&["status"])["error"].as_str().expect("a reason").contains("cannot be reached"));
}

#[test]
fn init_again_changes_the_relay_and_keeps_every_record() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"name": "Tea"}"#]).ok();
    till.run(&["init", "--workspace", "corner-bar", "--relay", "ws://127.0.0.1:1"]).ok();
    assert_eq!(till.fields("products", "tea"), json!({"name": "Tea"}));
    assert_eq!(till.json(&["status", "--offline"])["relay"], "ws://127.0.0.1:1");
    let line = till.run(&["init", "--workspace", "the-pharmacy"]).fails(1);
    assert!(line.contains("corner-bar") && line.contains("another folder"), "{line}");
}
