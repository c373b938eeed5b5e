//! Schemas on the command line and in the SDK.

mod till;

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;
use till::{Said, Till};

const SCHEMA: &str = r#"{"fields": {
    "name": {"type": "string", "required": true},
    "price_cents": {"type": "int"},
    "since": {"type": "timestamp", "rule": "first"},
    "status": {"type": "string", "rule": "forward(open<paid<closed)", "default": "open"}
}}"#;

fn with_schema() -> Till {
    let till = Till::new();
    let file = till.write("products.json", SCHEMA.as_bytes());
    till.run(&["schema", "set", "products", &file]).ok();
    till
}

fn in_french(till: &Till, args: &[&str]) -> Said {
    till.command(args).env("COMPTOIR_LANG", "fr").output().expect("the program runs").into()
}

#[test]
fn a_schema_is_set_from_a_file_or_standard_input_and_shown() {
    let till = Till::new();
    assert_eq!(till.run(&["schema", "show"]).ok(), "");
    let line = till.run(&["schema", "show", "products"]).fails(1);
    assert!(line.contains("comptoir schema set"), "{line}");
    let file = till.write("products.json", SCHEMA.as_bytes());
    assert_eq!(till.json(&["schema", "set", "products", &file])["changed"], true);
    assert_eq!(till.json(&["schema", "set", "products", &file])["changed"], false);
    let mut child = till.command(&["schema", "set", "sales", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    child.stdin.take().expect("a pipe").write_all(br#"{"fields":{"total":{"type":"int"}}}"#).expect("written");
    assert!(Said::from(child.wait_with_output().expect("ends")).ok().contains("saved on this device"));
    let shown = till.json(&["schema", "show", "products"]);
    assert_eq!(shown["schema"]["fields"], serde_json::from_str::<Value>(SCHEMA).expect("JSON")["fields"]);
    let all = till.run(&["schema", "show"]).ok();
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(all.starts_with("products {") && all.contains("sales {"), "{all}");
    assert_eq!(till.json(&["status"])["total_records"], 0, "a schema is no record of the shop");
}

#[test]
fn what_does_not_fit_is_refused_in_one_line_that_names_field_expected_and_got() {
    let till = with_schema();
    till.run(&["put", "products", "tea", r#"{"name":"Tea"}"#]).ok();
    for (args, code, parts) in [
        (&["put", "products", "tea", r#"{"price_cents":"3"}"#][..], "misfit", ["price_cents", "int", "string"]),
        (
            &["put", "products", "tea", r#"{"status":"lost"}"#],
            "misfit",
            ["status", "forward(open<paid<closed)", "lost"],
        ),
        (&["incr", "products", "tea", "name", "1"], "misfit", ["name", "string", "increment"]),
        (&["put", "products", "milk", "{}"], "missing", ["products/milk", "name", "string"]),
        (&["unset", "products", "tea", "name"], "missing", ["products/tea", "name", "string"]),
        (&["unset", "products", "tea", "status"], "kept", ["products/tea", "status", "forward(open<paid<closed)"]),
        (&["put", "_schemas", "products", "{}"], "reserved", ["_schemas/products", "Comptoir", "_"]),
    ] {
        for said in [till.run(args), in_french(&till, args)] {
            let line = said.fails(1);
            assert!(parts.iter().all(|part| line.contains(part)), "{args:?}: {line}");
        }
        let error: Value = serde_json::from_str(&till.run(&[args, &["--json"]].concat()).fails(1)).expect("JSON");
        assert_eq!(error["error"]["code"], code, "{error}");
    }
    assert_eq!(till.fields("products", "tea"), json!({"name": "Tea", "status": "open"}));
}

#[test]
fn a_bad_schema_is_refused_in_one_line() {
    let till = with_schema();
    till.run(&["put", "products", "tea", r#"{"name":"Tea","price_cents":1}"#]).ok();
    for (schema, code, parts) in [
        (r#"{"fields":{"a":{"type":"number"}}}"#, "schema", ["a", "any|bool|int", "number"]),
        (r#"{"fields":{"price_cents":{"type":"float"}}}"#, "schema-type", ["price_cents", "int", "float"]),
        (r#"{"fields":{"shelf":{"required":true}}}"#, "schema-required", ["products", "shelf", ""]),
        (
            r#"{"fields":{"status":{"type":"string","rule":"forward(paid<open)"}}}"#,
            "schema-states",
            ["status", "forward(open<paid<closed)", "forward(paid<open)"],
        ),
    ] {
        let file = till.write("bad.json", schema.as_bytes());
        let args = ["schema", "set", "products", &file];
        for said in [till.run(&args), in_french(&till, &args)] {
            let line = said.fails(1);
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
        let error: Value = serde_json::from_str(&till.run(&[&args[..], &["--json"]].concat()).fails(1)).expect("JSON");
        assert_eq!(error["error"]["code"], code, "{error}");
    }
}

#[test]
fn an_import_stops_at_the_line_that_does_not_fit() {
    let till = with_schema();
    let file = till.write("rows.ndjson", b"{\"id\":1,\"name\":\"Tea\"}\n{\"id\":2}\n{\"id\":3,\"name\":\"Milk\"}\n");
    let line = till.run(&["import", &file, "--collection", "products"]).fails(1);
    assert!(line.contains("line 2") && line.contains("name"), "{line}");
    let counts = till.json(&["import", &file, "--collection", "products", "--skip-bad"]);
    assert_eq!((&counts["created"], &counts["unchanged"], &counts["skipped_bad"]), (&json!(1), &json!(1), &json!(1)));
}
