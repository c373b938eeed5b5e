//! History, undo and labels through the command line, on one device.

mod till;

use serde_json::{Value, json};
use till::Till;

/// What a command prints with `--json`, one object a line.
fn objects(till: &Till, args: &[&str]) -> Vec<Value> {
    let said = till.run(&[args, &["--json"]].concat()).ok();
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn newest(till: &Till) -> Value {
    objects(till, &["history", "products", "tea", "--limit", "1"]).remove(0)
}

#[test]
fn history_shows_label_device_and_what_changed() {
    let till = Till::without_store();
    till.run(&["init", "--workspace", "corner-bar", "--device-name", "bar till"]).ok();
    till.run(&["put", "products", "tea", r#"{"name":"Tea","price":320}"#, "--label", "opening"]).ok();
    till.run(&["incr", "products", "tea", "stock", "-3", "--label", "sale 12"]).ok();
    let versions = objects(&till, &["history", "products", "tea"]);
    assert_eq!(versions.len(), 2);
    assert_eq!((&versions[0]["label"], &versions[1]["label"]), (&json!("sale 12"), &json!("opening")));
    assert_eq!(versions[0]["author"]["name"], "bar till");
    assert_eq!(versions[0]["fields"], json!({"stock": {"after": -3}}));
    assert_eq!(versions[1]["created"], true);
    let text = till.run(&["history", "products", "tea"]).ok();
    assert!(text.contains("bar till  \"sale 12\"  stock: - -> -3"), "{text}");
    let of_price = objects(&till, &["history", "products", "tea", "--field", "price"]);
    assert_eq!(of_price, [versions[1].clone()]);
    let first = till.run(&["history", "products", "tea", "--limit", "1"]).ok();
    assert!(first.contains("more: --after"), "{first}");
    let short = versions[0]["short"].as_str().expect("a text");
    assert_eq!(objects(&till, &["history", "products", "tea", "--after", short]), [versions[1].clone()]);
}

#[test]
fn a_record_is_shown_as_it_was() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"price":320}"#]).ok();
    let change = newest(&till);
    till.run(&["put", "products", "tea", r#"{"price":350}"#]).ok();
    let short = change["short"].as_str().expect("a text");
    assert_eq!(till.run(&["show", "products", "tea", "--at", short]).ok(), "{\"price\":320}\n");
    assert_eq!(
        till.json(&["show", "products", "tea", "--at", "2999-01-01T00:00:00Z"])["fields"],
        json!({"price": 350})
    );
    let line = till.run(&["show", "products", "tea", "--at", "1999-01-01T00:00:00Z"]).fails(1);
    assert!(line.contains("there was no record products/tea"), "{line}");
    assert!(till.run(&["show", "products", "tea", "--at", "yesterday"]).fails(2).contains("a time like"));
    assert!(till.run(&["show", "products", "tea", "--at", "0000000000"]).fails(1).contains("see its history"));
    assert!(till.run(&["history", "products", "milk"]).fails(1).contains("no such record"));
}

#[test]
fn undo_takes_back_and_says_what_it_left() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"price":320,"shelf":"A"}"#]).ok();
    till.run(&["put", "products", "tea", r#"{"price":350,"shelf":"B"}"#]).ok();
    let change = newest(&till)["short"].as_str().expect("a text").to_owned();
    till.run(&["put", "products", "tea", r#"{"shelf":"C"}"#]).ok();
    let said = till.run(&["undo", "products", "tea", &change]).ok();
    assert!(said.contains("Taken back") && said.contains("products/tea shelf"), "{said}");
    assert_eq!(till.fields("products", "tea"), json!({"price": 320, "shelf": "C"}));
    assert_eq!(newest(&till)["label"], format!("undo {change}"));
    let said = till.run(&["undo", "products", "tea", &change]).ok();
    assert!(said.contains("nothing changed"), "{said}");
    let undone = till.json(&["undo", "products", "tea", "--label", "after all"]);
    assert_eq!(undone, json!({"changed": ["products/tea"], "left": [], "transaction": null}));
    assert_eq!(till.fields("products", "tea"), json!({"price": 350, "shelf": "C"}));
    assert!(till.run(&["undo", "--transaction", "0123456789abcdef"]).fails(1).contains("no transaction"));
    assert!(till.run(&["undo", "--transaction", "sale"]).fails(2).contains("16 digits"));
    assert!(till.run(&["undo"]).fails(2).contains("missing"));
}

#[test]
fn a_label_has_its_limits() {
    let till = Till::new();
    till.run(&["put", "products", "tea", "{}", "--label", &"x".repeat(200)]).ok();
    for label in ["x".repeat(201), "a\nb".to_owned()] {
        let line = till.run(&["put", "products", "tea", r#"{"n":1}"#, "--label", &label]).fails(1);
        assert!(line.contains("label"), "{line}");
    }
    assert_eq!(till.fields("products", "tea"), json!({}), "nothing of it was done");
    assert_eq!(till.run(&["conflicts"]).ok(), "No field has several concurrent values.\n");
}
