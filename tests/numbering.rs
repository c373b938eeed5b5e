//! Receipts of real tills through a real relay: numbered while offline, each number once, and a name held by one till.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn tills_number_receipts_offline_and_the_audit_finds_each_number_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token("corner-bar");
    let device = |name: &str| Device::init(&folder.path().join(name), "corner-bar", &relay.url(), &token);
    let (a, b) = (device("till-a"), device("till-b"));
    let held = a.json(&["series", "claim", "T1"]);
    assert_eq!((&held["held"], &held["next"]), (&true.into(), &"T1-000001".into()));
    b.sync();
    assert!(b.fails(&["series", "claim", "T1"]).contains("another device's"));
    assert_eq!(b.json(&["series", "claim", "T2"])["next"], "T2-000001");
    for sale in 0..3 {
        for (till, series) in [(&a, "T1"), (&b, "T2"), (&b, "T1")] {
            let key = format!("{series}-{sale}-{}", till.store().display());
            let number = format!("receipt={series}");
            till.ok(&["put", "sales", &key, r#"{"total_cents":320}"#, "--number", &number]);
        }
    }
    b.sync();
    a.sync();
    let audits = a.ok(&["audit", "sales", "receipt", "--json"]);
    let labels: BTreeSet<String> = audits
        .lines()
        .map(|line| {
            let audit: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!((&audit["numbers"], &audit["last"]), (&3.into(), &3.into()), "{audit}");
            audit["series"].as_str().expect("a label").to_owned()
        })
        .collect();
    assert_eq!(labels.len(), 3, "T1, T2, and the second till's own T1: {labels:?}");
    assert!(labels.contains("T1") && labels.contains("T2"), "{labels:?}");
    // A till installed again in place of the first.
    fs::remove_dir_all(a.store()).expect("the store goes");
    let again = device("till-a");
    again.sync();
    let sold = again.json(&["put", "sales", "after", "{}", "--number", "receipt=T1"]);
    let number = sold["numbers"][0].as_str().expect("a number");
    assert!(number.starts_with("T1.") && number.ends_with("-000001"), "a new series: {number}");
    again.ok(&["audit", "sales", "receipt"]);
    // A gap is found, and said with exit status 1.
    again.ok(&["put", "sales", "typed", r#"{"receipt":"T2-000009"}"#]);
    let found = again.run(&["audit", "sales", "receipt"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains("T2-000004 … T2-000008"), "{found:?}");
}
