//! NDJSON in and out: what goes in comes out, in each compression; what cannot be read is named by its line.

mod till;

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::process::Stdio;
use till::{Till, text};

/// So many products, one a line, in order of key.
fn products(count: usize) -> String {
    (0..count)
        .map(|number| format!("{{\"id\":\"{number:05}\",\"name\":\"Product {number}\",\"price\":1.5}}\n"))
        .collect()
}

fn gzip(plain: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstd(plain: &str) -> Vec<u8> {
    zstd::stream::encode_all(plain.as_bytes(), 3).expect("in memory")
}

#[test]
fn what_is_imported_comes_out_the_same_in_all_three_compressions() {
    let plain = products(1_203);
    // The content tells the compression, whatever the name says.
    for (name, bytes) in [("p.ndjson", plain.clone().into_bytes()), ("p.zst", gzip(&plain)), ("p.gz", zstd(&plain))] {
        let till = Till::new();
        let file = till.write(name, &bytes);
        let counts = till.json(&["import", &file, "--collection", "products"]);
        assert_eq!((&counts["created"], &counts["lines"]), (&1_203.into(), &1_203.into()), "{counts}");
        for out in ["out.ndjson", "out.ndjson.zst", "out.ndjson.gz"] {
            let path = text(&till.path(out));
            till.run(&["export", "--collection", "products", "--out", &path]).ok();
            let again = Till::new();
            again.run(&["import", &path, "--collection", "products"]).ok();
            assert_eq!(again.run(&["export", "--collection", "products"]).ok(), plain, "{name} {out}");
            assert!(!till.path(&format!("{out}.new")).exists(), "nothing half written is left");
        }
    }
}

#[test]
fn importing_again_changes_only_what_differs() {
    let till = Till::new();
    let file = till.write("p.ndjson", products(40).as_bytes());
    till.run(&["import", &file, "--collection", "products"]).ok();
    till.run(&["put", "products", "00007", r#"{"name": "Renamed"}"#]).ok();
    till.run(&["delete", "products", "00008"]).ok();
    let counts = till.json(&["import", &file, "--collection", "products"]);
    assert_eq!((&counts["created"], &counts["changed"]), (&0.into(), &1.into()), "{counts}");
    assert_eq!((&counts["unchanged"], &counts["skipped_deleted"]), (&38.into(), &1.into()), "{counts}");
    till.run(&["get", "products", "00008"]).fails(1);
}

#[test]
fn an_import_leaves_the_counters_of_a_record_alone() {
    let till = Till::new();
    let file = till.write("p.ndjson", b"{\"id\":\"tea\",\"stock\":10}\n");
    till.run(&["import", &file, "--collection", "products"]).ok();
    till.run(&["incr", "products", "tea", "stock", "-4"]).ok();
    till.run(&["import", &file, "--collection", "products"]).ok();
    assert_eq!(till.fields("products", "tea")["stock"], 6);
}

#[test]
fn standard_input_is_read_and_another_key_field_may_be_named() {
    let till = Till::new();
    let args = ["import", "-", "--collection", "products", "--key", "ean"];
    let mut child = till.command(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"\r\n{\"ean\":4711,\"name\":\"Cologne\"}\r\n{\"ean\":4711,\"size\":3}").expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(till.fields("products", "4711"), serde_json::json!({"ean": 4711, "name": "Cologne", "size": 3}));
}

#[test]
fn a_bad_line_stops_the_import_by_its_number_and_those_before_it_are_saved() {
    for (bad, reason) in [
        ("{\"id\":", "JSON"),
        ("[1]", "a list"),
        ("{\"name\":\"no key\"}", "--key"),
        ("{\"id\":{}}", "--key"),
        ("{\"id\":\"a\\u0007\"}", "control characters"),
        ("{\"id\":\"big\",\"n\":1e999}", "range"),
    ] {
        let till = Till::new();
        let file = till.write("p.ndjson", format!("{}{bad}\n{{\"id\":\"after\"}}\n", products(2)).as_bytes());
        let line = till.run(&["import", &file, "--collection", "products"]).fails(1);
        assert!(line.contains("line 3") && line.contains("2 records before it are saved"), "{bad}: {line}");
        assert!(line.contains(reason) && line.contains("--skip-bad"), "{bad}: {line}");
        assert_eq!(till.json(&["status"])["total_records"], 2);
        let counts = till.json(&["import", &file, "--collection", "products", "--skip-bad"]);
        assert_eq!((&counts["created"], &counts["skipped_bad"]), (&1.into(), &1.into()), "{counts}");
        assert_eq!(till.json(&["status"])["total_records"], 3);
    }
}

#[test]
fn a_line_that_is_a_record_but_too_large_is_named_too() {
    let till = Till::new();
    let note = "n".repeat(3 << 20);
    let file = till.write("p.ndjson", format!("{}{{\"id\":\"big\",\"note\":\"{note}\"}}\n", products(3)).as_bytes());
    let line = till.run(&["import", &file, "--collection", "products"]).fails(1);
    assert!(line.contains("line 4") && line.contains("3 records before it are saved"), "{line}");
    let file = till.write("q.ndjson", format!("{{\"id\":\"{}\"}}\n{}", "n".repeat(5 << 20), products(5)).as_bytes());
    let line = till.run(&["import", &file, "--collection", "products"]).fails(1);
    assert!(line.contains("line 1 "), "{line}");
    let counts = till.json(&["import", &file, "--collection", "products", "--skip-bad"]);
    assert_eq!((&counts["created"], &counts["skipped_bad"]), (&2.into(), &1.into()), "{counts}");
}

#[test]
fn a_file_that_ends_in_the_middle_is_said_to_and_what_could_be_read_is_saved() {
    for pack in [gzip, zstd] {
        let till = Till::new();
        let bytes = pack(&products(60_000));
        let file = till.write("p.ndjson", &bytes[..bytes.len() / 2]);
        let line = till.run(&["import", &file, "--collection", "products"]).fails(1);
        let saved = till.json(&["status"])["total_records"].as_u64().expect("a count");
        assert!(saved > 0 && line.contains(&format!("{saved} records before are saved")), "{line}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let till = Till::new();
    let line = till.run(&["import", "no-such-file", "--collection", "products"]).fails(1);
    assert!(line.contains("no-such-file") && line.contains("check"), "{line}");
    let out = text(&till.path("no-such-folder").join("out.ndjson"));
    assert!(till.run(&["export", "--out", &out]).fails(1).contains("no-such-folder"));
}

#[test]
fn an_export_of_everything_names_collection_and_key_and_leaves_deleted_records_out() {
    let till = Till::new();
    till.run(&["put", "products", "tea", r#"{"name": "Tea"}"#]).ok();
    till.run(&["put", "customers", "7", r#"{"id": 7}"#]).ok();
    till.run(&["put", "customers", "8", "{}"]).ok();
    till.run(&["delete", "customers", "8"]).ok();
    let all = "{\"_collection\":\"customers\",\"_key\":\"7\",\"id\":7}\n\
               {\"_collection\":\"products\",\"_key\":\"tea\",\"name\":\"Tea\"}\n";
    assert_eq!(till.run(&["export"]).ok(), all);
    assert_eq!(till.run(&["export", "--collection", "customers"]).ok(), "{\"id\":7}\n");
    let products = "{\"_key\":\"tea\",\"name\":\"Tea\"}\n";
    assert_eq!(till.run(&["export", "--collection", "products"]).ok(), products, "its key stands in no field");
}
