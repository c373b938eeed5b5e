//! Two tills and a schema that one of them gets late, through the real command line and relay: the rules hold, nothing is
//! lost, and both show the same.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use serde_json::json;
use std::fs;

const SCHEMA: &str = r#"{"fields": {
    "name": {"type": "string"},
    "joined": {"type": "timestamp", "rule": "first"},
    "visits": {"type": "counter"},
    "best_cents": {"type": "int", "rule": "max"},
    "tags": {"type": "list", "rule": "set"},
    "status": {"type": "string", "rule": "forward(new<active<closed)"}
}}"#;

#[test]
fn rules_hold_for_a_till_that_hears_of_them_late() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(&folder.path().join("relay"));
    let device =
        |name: &str| Device::init(&folder.path().join(name), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    let (a, b) = (device("till-a"), device("till-b"));
    let meet = || [&a, &b, &a].into_iter().for_each(Device::sync);
    let ann = r#"{"name":"Ann","joined":"2020-01-01T00:00:00Z","best_cents":900,"tags":["vip"],"status":"active"}"#;
    a.ok(&["put", "customers", "ann", ann]);
    a.ok(&["put", "customers", "bob", r#"{"name":"Bob","tags":["x"]}"#]);
    a.ok(&["delete", "customers", "bob"]);
    meet();

    let file = folder.path().join("customers.json");
    fs::write(&file, SCHEMA).unwrap();
    a.ok(&["schema", "set", "customers", file.to_str().unwrap()]);
    // b has not heard of the schema: it overwrites what the rules keep.
    let late =
        r#"{"joined":"2026-01-01T00:00:00Z","best_cents":100,"status":"new","tags":["vip","late"],"colour":"red"}"#;
    b.ok(&["put", "customers", "ann", late]);
    b.ok(&["incr", "customers", "ann", "visits", "2"]);
    a.ok(&["put", "customers", "ann", r#"{"best_cents":700,"tags":["vip","regular"],"visits":5,"status":"new"}"#]);
    meet();
    let shown = json!({"name": "Ann", "joined": "2020-01-01T00:00:00Z", "best_cents": 900, "status": "active",
        "tags": ["late", "regular", "vip"], "visits": 7, "colour": "red"});
    for device in [&a, &b] {
        assert_eq!(device.get("customers", "ann"), shown);
        assert_eq!(device.status()["total_records"], 1, "the deleted one does not count again");
    }
    assert_eq!(a.digest(), b.digest());

    // Now b knows the rules too.
    let line = b.fails(&["put", "customers", "ann", r#"{"best_cents":"much"}"#]);
    assert!(line.contains("best_cents") && line.contains("int") && line.contains("string"), "{line}");
    assert_eq!(
        b.json(&["put", "customers", "ann", r#"{"joined":"2026-01-01T00:00:00Z","status":"new"}"#])["changed"],
        false
    );
    // Removed on one side, added again by nobody: gone. Removed and added elsewhere: there.
    a.ok(&["put", "customers", "ann", r#"{"tags":["vip"]}"#]);
    b.ok(&["put", "customers", "ann", r#"{"tags":["vip","late","regular","new"]}"#]);
    meet();
    for device in [&a, &b] {
        assert_eq!(device.get("customers", "ann")["tags"], json!(["new", "vip"]));
        assert_eq!(device.status()["pending"], 0);
    }
    assert_eq!(a.digest(), b.digest());
}
