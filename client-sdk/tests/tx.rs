//! `comptoir tx`: several operations together or not at all.

mod till;

use serde_json::json;
use std::io::Write as _;
use std::process::Stdio;
use till::{Said, Till};

fn tx(till: &Till, operations: &str) -> Said {
    let mut child = till.command(&["tx", "--json"]);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(operations.as_bytes()).expect("it listens");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn a_sale_and_its_stock_movements_are_saved_together() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"stock":20}"#]).ok();
    let said = tx(
        &till,
        r#"{"op":"put","collection":"sales","key":"1","fields":{"total_cents":960}}
{"op":"number","collection":"sales","key":"1","field":"receipt","series":"T1"}

{"op":"incr","collection":"products","key":"tea","field":"stock","by":-3}
{"op":"incr","collection":"products","key":"milk","field":"stock","by":-1}
"#,
    );
    let said: serde_json::Value = serde_json::from_str(&said.ok()).expect("JSON");
    assert_eq!((said["changed"].as_array().map(Vec::len), &said["created"]), (Some(3), &json!(3 - 1)), "{said}");
    assert_eq!(till.fields("products", "tea"), json!({"stock": 17}));
    assert_eq!(till.fields("products", "milk"), json!({"stock": -1}));
    assert_eq!(till.fields("sales", "1"), json!({"total_cents": 960, "receipt": said["numbers"][0]}));
}

#[test]
fn one_bad_operation_leaves_everything_as_it_was() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"name":"Tea"}"#]).ok();
    let good = r#"{"op":"put","collection":"sales","key":"1","fields":{"total_cents":960}}"#;
    for (bad, code, what) in [
        ("{", "operation", "line 2"),
        (r#"{"op":"sell","collection":"sales","key":"1"}"#, "operation", "line 2"),
        (r#"{"op":"put","collection":"sales","key":"1","fields":{},"more":1}"#, "operation", "more"),
        (r#"{"op":"put","collection":"Sales!","key":"1","fields":{}}"#, "operation", "lower-case"),
        (r#"{"op":"number","collection":"sales","key":"1","field":"receipt","series":"T-1"}"#, "operation", "series"),
        (r#"{"op":"incr","collection":"products","key":"tea","field":"name","by":1}"#, "not-number", "name"),
        (r#"{"op":"delete","collection":"products","key":"coffee"}"#, "no-record", "no such record"),
    ] {
        let said = tx(&till, &format!("{good}\n{bad}\n")).fails(1);
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["error"]["code"], code, "{said}");
        assert!(said["error"]["message"].as_str().expect("a text").contains(what), "{bad}: {said}");
        assert!(till.run(&["list", "sales"]).ok().is_empty(), "{bad}");
    }
}

#[test]
fn nothing_to_do_is_no_error() {
    let till = Till::new();
    assert!(tx(&till, "").ok().contains("\"changed\":[]"));
    let line = till.run(&["tx", "missing.ndjson"]).fails(1);
    assert!(line.contains("missing.ndjson"), "{line}");
}
