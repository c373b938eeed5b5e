//! A till whose token shows it some collections: it has those, live and up to date, and nothing of the others; what a wider
//! token shows later comes whole, with all that was hidden.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use serde_json::json;
use std::fs;
use std::path::Path;

const SHOP: &str = "corner-bar";
const TILL: [&str; 6] = ["--allow", "*=none", "--allow", "products=read", "--allow", "sales=write"];

/// Whether a file of the folder holds these bytes.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => holds(&path, text),
            false => fs::read(&path).expect("a file").windows(text.len()).any(|window| window == text.as_bytes()),
        }
    })
}

#[test]
fn a_till_has_what_its_token_shows_and_a_wider_one_brings_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let office = Device::init(&folder.path().join("office"), SHOP, &relay.url(), &relay.token(SHOP));
    office.ok(&["put", "products", "tea", r#"{"price_cents":250,"stock":9}"#]);
    office.ok(&["put", "wages", "anna", r#"{"cents":200000,"bank":"not-for-tills"}"#]);
    office.sync();
    let store = folder.path().join("till");
    let till = Device::init(&store, SHOP, &relay.url(), &relay.token_with(SHOP, &TILL));
    till.sync();
    assert_eq!(till.get("products", "tea"), json!({"price_cents": 250, "stock": 9}));
    assert_eq!((&till.status()["total_records"], &till.status()["quarantined"]), (&json!(1), &json!(0)));
    assert!(!holds(&store, "not-for-tills") && !holds(&store, "anna"), "nothing of what is hidden is on its disk");

    till.ok(&["put", "sales", "T1-1", r#"{"total_cents":250}"#]);
    office.ok(&["incr", "wages", "anna", "cents", "1000"]);
    office.ok(&["incr", "products", "tea", "stock", "-2"]);
    office.sync();
    till.sync();
    office.sync();
    assert_eq!(till.get("products", "tea")["stock"], 7);
    assert_eq!(office.get("sales", "T1-1"), json!({"total_cents": 250}));

    // A relay that lost its log is filled by both, each with what it may write; the till is up to date again.
    relay.kill();
    fs::remove_dir_all(data.join("log")).expect("the log");
    relay.restart();
    till.run(&["sync"]);
    office.sync();
    till.sync();
    assert_eq!(till.status()["quarantined"], 0);

    let wider = relay.token_with(SHOP, &["--allow", "*=read", "--allow", "sales=write"]);
    let till = Device::init(&store, SHOP, &relay.url(), &wider);
    till.sync();
    assert_eq!(till.get("wages", "anna")["cents"], 201_000);
    assert_eq!(till.digest(), office.digest());

    // What is hidden again stays as it was seen last, and does not come between.
    let till = Device::init(&store, SHOP, &relay.url(), &relay.token_with(SHOP, &TILL));
    office.ok(&["incr", "wages", "anna", "cents", "1000"]);
    office.ok(&["incr", "products", "tea", "stock", "-2"]);
    office.sync();
    till.sync();
    assert_eq!(
        (&till.get("products", "tea")["stock"], &till.get("wages", "anna")["cents"]),
        (&json!(5), &json!(201_000))
    );
    let till = Device::init(&store, SHOP, &relay.url(), &relay.token(SHOP));
    till.sync();
    assert_eq!(till.get("wages", "anna")["cents"], 202_000);
    assert_eq!(till.digest(), office.digest());
}

#[test]
fn an_edit_where_a_till_is_shown_nothing_is_set_aside_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let till = Device::init(&folder.path().join("till"), SHOP, &relay.url(), &relay.token_with(SHOP, &TILL));
    till.ok(&["put", "wages", "anna", r#"{"cents":900000}"#]);
    till.ok(&["put", "sales", "T1-1", r#"{"total_cents":250}"#]);
    till.fails(&["sync"]);
    assert!(till.ok(&["quarantine", "list"]).contains("may not write in this collection"));
    let office = Device::init(&folder.path().join("office"), SHOP, &relay.url(), &relay.token(SHOP));
    office.sync();
    assert_eq!(office.get("sales", "T1-1"), json!({"total_cents": 250}));
    assert_eq!(office.status()["total_records"], 1);
}
