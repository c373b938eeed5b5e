//! What the operator gives out and takes back, on the command line beside a relay that serves: codes for new devices, tokens that
//! write in some collections only, revoking, and new keys.

use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SHOP: &str = "corner-bar";

/// `comptoir-relay` on this data folder, in a language.
fn operate(data: &Path, args: &[&str], language: &str) -> Result<String, String> {
    let outcome = run(relay::command(args).arg("--data").arg(data).env("COMPTOIR_LANG", language));
    if outcome.code == Some(0) { Ok(outcome.success()) } else { Err(outcome.stderr) }
}

fn said(data: &Path, args: &[&str]) -> String {
    operate(data, args, "en").unwrap_or_else(|line| panic!("{args:?}: {line}"))
}

/// The tokens that were made, by what `token list --json` says.
fn tokens(data: &Path) -> Vec<Value> {
    let lines = said(data, &["token", "list", "--json"]);
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_new_device_comes_with_a_link_once_and_its_token_is_listed_and_revoked() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let url = relay.url();
    let pair = ["pair", "--workspace", SHOP, "--relay", &url, "--device", "till 2", "--expires", "30d"];
    let shown = said(&data, &pair);
    let link = shown.split_whitespace().last().expect("a link");
    assert!(shown.contains("▀") && shown.contains("comptoir init --pair"), "a picture and what to type: {shown}");

    let store = folder.path().join("till-2");
    let till = Device::at(&store);
    till.ok(&["init", "--pair", link, "--device-name", "till 2"]);
    till.ok(&["put", "products", "tea", r#"{"stock":3}"#]);
    till.sync();
    let again = Device::at(&folder.path().join("thief"));
    let line = again.fails(&["init", "--pair", link]);
    assert!(line.contains("not paired") && line.contains("pairing code"), "once: {line}");
    let line = again.fails(&["init", "--pair", "ws://127.0.0.1:1/pair"]);
    assert!(line.contains("no pairing link"), "{line}");

    let listed = tokens(&data);
    assert_eq!(listed.len(), 1, "the code itself is no token: {listed:?}");
    assert_eq!((&listed[0]["subject"], &listed[0]["state"]), (&json!("device:till 2"), &json!("good")));
    said(&data, &["token", "revoke", listed[0]["id"].as_str().expect("an id")]);
    assert_eq!(tokens(&data)[0]["state"], "revoked");
    wait::until("the relay has heard of it", || (till.run(&["sync"]).code != Some(0)).then_some(()));
    till.ok(&["put", "products", "tea", r#"{"stock":2}"#]);
    let line = till.fails(&["sync"]);
    assert!(line.contains("revoked") && line.contains("kept"), "{line}");
    assert_eq!(till.status()["pending"], 1, "nothing is lost");
    let french = operate(&data, &["token", "list"], "fr").expect("a list");
    assert!(french.contains("révoqué"), "{french}");
}

#[test]
fn a_till_that_may_only_sell_keeps_its_prices_to_itself_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let office = Device::init(&folder.path().join("office"), SHOP, &relay.url(), &relay.token(SHOP));
    let token = relay.token_with(SHOP, &["--allow", "sales=write", "--device", "till-1"]);
    let till = Device::init(&folder.path().join("till"), SHOP, &relay.url(), &token);
    office.ok(&["put", "products", "tea", r#"{"price_cents":250}"#]);
    office.sync();
    till.sync();
    assert_eq!(till.get("products", "tea"), json!({"price_cents": 250}), "it reads everything");

    till.ok(&["put", "sales", "T1-1", r#"{"total_cents":250}"#]);
    till.sync();
    till.ok(&["put", "products", "tea", r#"{"price_cents":1}"#]);
    till.ok(&["put", "sales", "T1-2", r#"{"total_cents":1}"#]);
    till.fails(&["sync"]);
    let status = till.status();
    assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(1)), "{status}");
    let aside = till.ok(&["quarantine", "list"]);
    assert!(aside.contains("may not write in this collection"), "{aside}");
    office.sync();
    assert_eq!(office.get("products", "tea"), json!({"price_cents": 250}));
    assert_eq!(office.get("sales", "T1-2"), json!({"total_cents": 1}), "the sale beside it came through");

    // A relay that lost everything gets the prices back from who may write them, and nothing is quarantined for it.
    relay.kill();
    fs::remove_dir_all(data.join("log")).expect("the log");
    relay.restart();
    till.run(&["sync"]);
    assert_eq!(till.status()["quarantined"], 1, "what others wrote is not offered by who may not write it");
    office.sync();
    till.run(&["sync"]);
    let fresh = Device::init(&folder.path().join("fresh"), SHOP, &relay.url(), &relay.token(SHOP));
    fresh.sync();
    assert_eq!(fresh.get("products", "tea"), json!({"price_cents": 250}));
    assert_eq!(fresh.get("sales", "T1-1"), json!({"total_cents": 250}));
    assert_eq!(fresh.digest(), office.digest());
}

#[test]
fn what_was_revoked_stays_so_in_a_restored_relay_and_keys_rotate_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, place, again) =
        (folder.path().join("relay"), folder.path().join("backups"), folder.path().join("again"));
    let mut relay = Relay::start(&data);
    let (good, bad) = (relay.token(SHOP), relay.token(SHOP));
    let old = said(&data, &["key", "list"]).trim().to_owned();
    said(&data, &["key", "rotate"]);
    assert_eq!(said(&data, &["key", "list"]).lines().count(), 2);
    let newer = relay.token(SHOP);
    let line =
        operate(&data, &["key", "retire", said(&data, &["key", "list"]).trim().lines().last().expect("a key")], "en");
    assert!(line.expect_err("the key that signs stays").contains("key rotate"));
    said(&data, &["token", "revoke", &bad]);
    assert!(operate(&data, &["token", "revoke", "nonsense"], "fr").expect_err("no token").contains("token list"));

    said(&data, &["backup", "--out", place.to_str().expect("a path")]);
    assert_eq!(relay.terminate().code, Some(0));
    let mut restore = relay::command(&["restore", "--from", place.to_str().expect("a path")]);
    run(restore.arg("--data").arg(&again)).success();
    let relay = Relay::start(&again);
    let till = |name: &str, token: &str| Device::init(&folder.path().join(name), SHOP, &relay.url(), token);
    till("one", &good).sync();
    till("two", &newer).sync();
    assert!(till("three", &bad).fails(&["sync"]).contains("revoked"));
    said(&again, &["key", "retire", &old]);
    let one = Device::at(&folder.path().join("one"));
    wait::until("the retired key's tokens are refused", || {
        let outcome = one.run(&["sync"]);
        (outcome.code != Some(0)).then(|| outcome.failure())
    });
    Device::at(&folder.path().join("two")).sync();
}

/// The deeds in the audit, in their order.
fn deeds(data: &Path) -> Vec<Value> {
    let files = fs::read_dir(data.join("audit")).expect("the audit").map(|entry| entry.expect("a file").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).expect("text")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_audit_says_who_came_and_what_the_operator_did_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let token = relay.token_with(SHOP, &["--user", "anna"]);
    let till = Device::init(&folder.path().join("till"), SHOP, &relay.url(), &token);
    till.sync();
    said(&data, &["token", "revoke", &token]);
    wait::until("the token is refused", || (till.run(&["sync"]).code != Some(0)).then_some(()));
    relay.terminate();
    let deeds = deeds(&data);
    let of =
        |deed: &str| deeds.iter().find(|line| line["deed"] == deed).unwrap_or_else(|| panic!("no {deed}: {deeds:?}"));
    assert_eq!(of("token.created")["who"], "operator");
    assert_eq!((&of("session.begun")["who"], &of("session.begun")["workspace"]), (&json!("user:anna"), &json!(SHOP)));
    assert_eq!(of("session.ended")["token"], of("token.revoked")["token"]);
    assert!(of("session.denied")["detail"].as_str().expect("a text").contains("revoked"));
    assert!(deeds.iter().all(|line| line["at"].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z'))));
    let secret = token.split('.').nth(2).expect("a payload");
    assert!(deeds.iter().all(|line| !line.to_string().contains(secret)), "a token is nobody's to read");
}
