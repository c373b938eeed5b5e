//! A device's store as one file, and a store out of that file: nothing is lost, also not what had not reached the relay, and
//! where both go on they are two.

use comptoir::{Comptoir, json as records};
use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, binary};
use comptoir_tests::relay::Relay;
use comptoir_tests::shop;
use comptoir_tests::wait::until;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

const WORKSPACE: &str = "corner-bar";

fn restore(store: &Path, file: &str) -> Result<Device, String> {
    let outcome = Device::at(store).run(&["restore", "--from", file]);
    if outcome.code == Some(0) { Ok(Device::at(store)) } else { Err(outcome.failure()) }
}

fn put(device: &Device, keys: std::ops::Range<u32>) {
    keys.for_each(|key| _ = device.ok(&["put", "products", &key.to_string(), r#"{"name":"Pils"}"#]));
}

#[test]
fn what_had_not_reached_the_relay_comes_out_of_a_backup_too_and_no_number_is_given_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let till = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &token);
    let file = folder.path().join("till.backup").display().to_string();
    till.ok(&["series", "claim", "T1"]);
    put(&till, 0..3);
    till.sync();
    put(&till, 3..5);
    let sale = |till: &Device, key: &str| -> String {
        till.ok(&["put", "sales", key, "{}", "--number", "receipt=T1"]);
        till.get("sales", key)["receipt"].as_str().expect("a number").to_owned()
    };
    let first = sale(&till, "1");
    let status = till.status();
    let said = till.ok(&["backup", "--out", &file]);
    assert!(said.contains("Backed up into"), "{said}");
    let verified = till.json(&["verify"]);
    assert_eq!(Device::at(&folder.path().join("nowhere")).json(&["verify", "--from", &file]), verified);
    // The till goes on, and then it falls into the sink.
    let second = sale(&till, "2");
    let store = till.store().to_owned();
    fs::remove_dir_all(&store).expect("removed");

    let again = restore(&store, &file).expect("restored");
    assert_eq!(again.status()["pending"], status["pending"], "what waited waits again");
    assert_ne!(again.status()["device"], status["device"], "it is another installation");
    again.sync();
    let other = Device::init(&folder.path().join("cellar"), WORKSPACE, &relay.url(), &token);
    other.sync();
    assert_eq!(other.digest(), again.digest());
    assert_eq!(other.get("products", "4")["name"], "Pils");
    let third = sale(&again, "3");
    assert!(third != first && third != second, "{first} {second} {third}");
}

#[test]
fn a_restored_store_and_the_old_one_both_go_on_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let old = Device::init(&folder.path().join("old"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    let file = folder.path().join("till.backup").display().to_string();
    old.ok(&["put", "products", "tea", r#"{"stock":10}"#]);
    old.ok(&["backup", "--out", &file]);
    let new = restore(&folder.path().join("new"), &file).expect("restored");
    for device in [&old, &new] {
        device.ok(&["incr", "products", "tea", "stock", "-1"]);
        put(device, 0..2);
    }
    for device in [&old, &new, &old, &new] {
        device.sync();
    }
    assert_eq!(old.digest(), new.digest());
    assert_eq!(old.get("products", "tea")["stock"], 8);
    assert_eq!(new.status()["quarantined"], 0);
}

#[test]
fn what_is_no_whole_backup_is_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let till = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "t");
    put(&till, 0..20);
    let path = folder.path().join("till.backup");
    let file = path.display().to_string();
    till.ok(&["backup", "--out", &file]);
    let good = fs::read(&path).expect("a file");
    let store = folder.path().join("fresh");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    for (spoiled, expected) in [
        (&flipped[..], "damaged"),
        (&good[..good.len() - 1], "damaged"),
        (&[good.as_slice(), &[0]].concat(), "damaged"),
        (b"", "damaged"),
        (b"PK\x03\x04 a picture", "no backup of a device's store"),
        (b"\x07\x01 of a later year", "newer release"),
    ] {
        fs::write(&path, spoiled).expect("written");
        let said = restore(&store, &file).err().expect("refused");
        assert!(said.contains(expected), "{said}");
        let said = till.fails(&["verify", "--from", &file]);
        assert!(said.contains(expected), "{said}");
        assert!(!store.exists());
    }
    fs::write(&path, &good).expect("written");
    restore(&store, &file).expect("restored");
    let said = restore(&store, &file).err().expect("refused");
    assert!(said.contains("is not empty"), "{said}");
    let said = restore(&folder.path().join("other"), "nowhere.backup").err().expect("refused");
    assert!(said.contains("nowhere.backup cannot be used"), "{said}");
    till.fails(&["backup", "--out", "/proc/till.backup"]);
    assert_eq!(till.run(&["restore"]).code, Some(2));
    assert_eq!(till.run(&["restore", "products", "1", "--from", &file]).code, Some(2));
}

#[test]
fn a_killed_backup_leaves_the_older_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let till = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "t");
    let products = folder.path().join("products.ndjson");
    let lines = shop::records("products.ndjson.zst").take(20_000).map(|product| format!("{product}\n"));
    fs::write(&products, lines.collect::<String>()).expect("written");
    till.ok(&["import", &products.display().to_string(), "--collection", "products", "--key", "id"]);
    let path = folder.path().join("till.backup");
    let file = path.display().to_string();
    till.ok(&["backup", "--out", &file]);
    let count = |args: &[&str]| till.json(args)["records"].as_u64().expect("a number");
    let before = count(&["verify"]);
    till.ok(&["put", "sales", "1", "{}"]);
    let draft = folder.path().join("till.backup.draft");
    let mut command = Command::new(binary("comptoir"));
    let running = Running::start(command.args(["backup", "--out", &file, "--store"]).arg(till.store()));
    until("a backup has begun", || draft.exists().then_some(()));
    running.kill();
    let (records, now) = (count(&["verify", "--from", &file]), count(&["verify"]));
    assert!(records == before || records == now, "all of the older one, or of the newer: {records} of {now}");
}

#[tokio::test]
async fn an_app_backs_up_its_open_store_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let till = Device::init(&folder.path().join("till"), WORKSPACE, "ws://127.0.0.1:1", "t");
    let shop = Comptoir::open(till.store()).await.expect("opened");
    let tea = || records::fields(json!({"name": "tea"})).expect("fields");
    shop.put("products", "1", tea()).await.expect("saved");
    let file = folder.path().join("till.backup");
    let contents = shop.back_up(&file).await.expect("backed up");
    assert!(contents.rows > 3, "{contents:?}");
    shop.put("products", "2", tea()).await.expect("saved");
    shop.verify().await.expect("whole");
    shop.shut_down().await.expect("closed");
    let restored = folder.path().join("restored");
    assert_eq!(Comptoir::restore_store(&file, &restored).await.expect("restored"), contents);
    let shop = Comptoir::open(&restored).await.expect("opened");
    assert!(shop.get("products", "1").await.expect("read").is_some());
    assert!(shop.get("products", "2").await.expect("read").is_none(), "it came after the backup");
    shop.shut_down().await.expect("closed");
}
