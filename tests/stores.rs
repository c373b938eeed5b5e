//! Stores of either kind, and copying one into the other, with real devices and a real relay: nothing is lost, the same
//! installation goes on, and a killed copy leaves what was there. Must not reach into privates.

use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::small_disk::{fill, on_small_disk};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const WORKSPACE: &str = "corner-bar";

/// A device of its own on redb.
fn device_on_redb(store: &Path, relay: &Relay) -> Device {
    let device = Device::at(store);
    let (url, token) = (relay.url(), relay.token(WORKSPACE));
    let init = ["init", "--workspace", WORKSPACE, "--relay", &url, "--token", &token, "--store-kind", "redb"];
    device.ok(&init);
    assert!(store.join("redb").exists() && !store.join("sled").exists());
    device
}

/// The command line that copies the relay's log, with `--data` given.
fn migrate_relay(data: &Path, to: &str) -> std::process::Command {
    let mut command = relay::command(&["migrate-store", "--to", to, "--data"]);
    command.arg(data);
    command
}

fn sell(device: &Device, sale: u64) {
    device.ok(&["put", "sales", &sale.to_string(), &json!({"total_cents": sale * 10}).to_string()]);
    device.ok(&["incr", "products", "tea", "stock", "-1"]);
}

#[test]
fn a_shop_whose_relay_and_devices_keep_all_in_redb_works_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    fs::write(&config, "store = \"redb\"\n").expect("written");
    let data = folder.path().join("relay");
    let mut relay = Relay::start_with(&data, &["--config", config.to_str().expect("a path")]);
    assert!(data.join("log/redb").exists());
    let [one, two] = ["one", "two"].map(|name| device_on_redb(&folder.path().join(name), &relay));
    let three = Device::init(&folder.path().join("three"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    for sale in 0..6 {
        sell(&one, sale);
        sell(&two, 100 + sale);
        one.sync();
        relay.restart();
    }
    two.sync();
    one.sync();
    three.sync();
    assert_eq!(three.get("products", "tea"), json!({"stock": -12}));
    for device in [&one, &two, &three] {
        assert_eq!(device.digest(), three.digest());
        assert_eq!((&device.status()["pending"], &device.status()["quarantined"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn what_was_saved_on_redb_survives_killed_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut chance = StdRng::seed_from_u64(7);
    let mut relay = Relay::start_with(&folder.path().join("relay"), &["--store", "redb"]);
    let device = device_on_redb(&folder.path().join("till"), &relay);
    let mut saved = Vec::new();
    for sale in 0..40u64 {
        let fields = json!({"total_cents": sale}).to_string();
        let running = device.start(&["put", "sales", &sale.to_string(), &fields]);
        // wait: the kill has to fall at a random moment of the edit, so there is no state to wait for.
        sleep(Duration::from_millis(chance.random_range(0..40)));
        if sale % 2 == 0 {
            running.kill();
        } else if running.wait(Duration::from_secs(60)).code == Some(0) {
            saved.push(sale);
        }
        if sale % 8 == 7 {
            let syncing = device.start(&["sync", "--timeout", "10s"]);
            // wait: as above, of the sync.
            sleep(Duration::from_millis(chance.random_range(0..40)));
            relay.kill();
            syncing.wait(Duration::from_secs(60));
            relay.restart();
        }
    }
    device.sync();
    let late = device_on_redb(&folder.path().join("late"), &relay);
    late.sync();
    assert_eq!(saved.len(), 20);
    for sale in saved {
        assert_eq!(late.get("sales", &sale.to_string())["total_cents"], sale);
    }
    assert_eq!(late.digest(), device.digest());
}

#[test]
fn a_device_goes_on_as_the_same_one_when_its_store_is_copied_there_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let device = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    sell(&device, 1);
    device.sync();
    sell(&device, 2);
    for (turn, (from, to)) in [("sled", "redb"), ("redb", "sled")].into_iter().enumerate() {
        let before = device.status();
        let copied = device.json(&["migrate-store", "--to", to]);
        assert_eq!((&copied["copied"], &copied["from"], &copied["to"]), (&json!(true), &json!(from), &json!(to)));
        assert_eq!(copied["digest"], before["digest"]);
        assert!(copied["rows"].as_u64().expect("a count") > 5);
        assert!(device.store().join(to).exists() && !device.store().join(from).exists());
        assert_eq!(device.status(), before, "device, digest and outbox are what they were");
        sell(&device, 10 + turn as u64);
        let again = device.json(&["migrate-store", "--to", to]);
        assert_eq!(again["copied"], json!(false), "{again}");
    }
    device.sync();
    let history = device.ok(&["history", "products", "tea", "--json"]);
    let changes = history.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let authors: BTreeSet<String> = changes.map(|change| change["author"]["device"].to_string()).collect();
    assert_eq!(authors.len(), 1, "one author throughout: {history}");
    let other = Device::init(&folder.path().join("other"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    other.sync();
    assert_eq!(other.get("products", "tea"), json!({"stock": -4}));
    assert_eq!((other.digest(), &device.status()["quarantined"]), (device.digest(), &json!(0)));
}

#[test]
fn a_relay_goes_on_with_the_same_log_when_it_is_copied_there_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let [one, two] = ["one", "two"]
        .map(|name| Device::init(&folder.path().join(name), WORKSPACE, &relay.url(), &relay.token(WORKSPACE)));
    sell(&one, 1);
    one.sync();
    for (turn, to) in ["redb", "sled"].into_iter().enumerate() {
        let used = run(&mut migrate_relay(&data, to)).failure();
        assert!(used.contains("in use by another process"), "{used}");
        relay.terminate();
        let said = run(&mut migrate_relay(&data, to)).success();
        assert!(said.starts_with("copied ") && said.contains(&format!("{to} keeps the log now")), "{said}");
        let said = run(migrate_relay(&data, to).env("COMPTOIR_LANG", "fr")).success();
        assert!(said.contains(&format!("{to} tient déjà le journal")), "{said}");
        relay.restart();
        assert!(!relay.stderr().contains("new epoch"), "{}", relay.stderr());
        two.sync();
        sell(&two, 10 + turn as u64);
        two.sync();
        one.sync();
        assert_eq!(one.digest(), two.digest());
    }
    assert_eq!(one.get("products", "tea"), json!({"stock": -3}));
}

/// Lets a copy begin again and again, killed a little later each time, until one comes to its end. After each the store
/// must be what it was.
fn killed_until_done(start: impl Fn() -> Running, mut check: impl FnMut()) -> u32 {
    let mut kills = 0;
    loop {
        let mut running = start();
        // wait: each kill has to fall at another moment of the copy, so there is no state to wait for.
        sleep(Duration::from_millis(u64::from(kills) * 15));
        if !running.is_alive() {
            assert_eq!(running.wait(Duration::from_secs(60)).code, Some(0));
            check();
            return kills;
        }
        running.kill();
        kills += 1;
        check();
    }
}

#[test]
fn a_copy_that_is_killed_at_any_moment_leaves_a_store_with_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    let device = Device::init(&folder.path().join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    let rows: String =
        (0..2_000).map(|id| json!({"id": id, "name": format!("Product {id}")}).to_string() + "\n").collect();
    let file = folder.path().join("products.ndjson");
    fs::write(&file, rows).expect("written");
    device.ok(&["import", file.to_str().expect("a path"), "--collection", "products"]);
    device.sync();
    relay.terminate();
    let status = device.status();
    let kills = killed_until_done(
        || device.start(&["migrate-store", "--to", "redb"]),
        || assert_eq!(device.status(), status, "as it was"),
    );
    assert!(device.store().join("redb").exists() && !device.store().join("sled").exists());
    assert!(kills >= 3, "{kills} kills");

    let late = folder.path().join("late");
    let kills = killed_until_done(
        || Running::start(&mut migrate_relay(&data, "redb")),
        || {
            let mut relay = Relay::start(&data);
            let late = Device::init(&late, WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
            late.sync();
            assert_eq!(late.digest(), device.digest());
            fs::remove_dir_all(late.store()).expect("removed");
            relay.terminate();
        },
    );
    assert!(data.join("log/redb").exists() && !data.join("log/sled").exists());
    assert!(kills >= 3, "{kills} kills");
}

#[test]
fn a_kind_that_is_not_what_the_folder_holds_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = Device::init(&folder.path().join("till"), WORKSPACE, "", "");
    let line = device.fails(&["init", "--workspace", WORKSPACE, "--store-kind", "redb"]);
    assert!(line.contains("is kept in sled, not redb") && line.contains("migrate-store --to redb"), "{line}");
    assert_eq!(device.run(&["init", "--workspace", WORKSPACE, "--store-kind", "paper"]).code, Some(2));
    let data = folder.path().join("relay");
    let mut relay = Relay::start(&data);
    relay.terminate();
    let serve =
        relay::command(&["serve", "--listen", "127.0.0.1:0", "--store", "redb"]).arg("--data").arg(&data).output();
    let said = serve.expect("it runs");
    let line = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && line.contains("is kept in sled, not redb"), "{line}");
    let nowhere = Device::at(&folder.path().join("nowhere"));
    assert!(nowhere.fails(&["migrate-store", "--to", "redb"]).contains("comptoir init"));
    assert!(!nowhere.store().exists());
    let none: Value = device.json(&["migrate-store", "--to", "sled"]);
    assert_eq!(none, json!({"from": "sled", "to": "sled", "copied": false}));
}

/// Fields of three kilobytes that do not compress well.
fn large(number: u64) -> String {
    let noise = |place: u64| (number * 7_919 + place * place * 104_729).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    json!({ "note": (0..250).map(|place| format!("{:011x}", noise(place))).collect::<String>() }).to_string()
}

#[test]
fn a_device_on_redb_on_a_full_disk_refuses_edits_and_goes_on_when_there_is_room() {
    let test = "a_device_on_redb_on_a_full_disk_refuses_edits_and_goes_on_when_there_is_room";
    on_small_disk(test, 24, |folder| {
        let device = Device::at(&folder.join("till"));
        device.ok(&["init", "--workspace", WORKSPACE, "--store-kind", "redb"]);
        let put = |number: u64| device.run(&["put", "notes", &number.to_string(), &large(number)]);
        (0..5).for_each(|number| drop(put(number).success()));
        let filler = fill(folder, 64 << 10);
        let mut saved: Vec<u64> = (0..5).collect();
        let line = (5..300).find_map(|number| match put(number) {
            outcome if outcome.code == Some(0) => {
                saved.push(number);
                None
            }
            outcome => Some(outcome.failure()),
        });
        let line = line.expect("the disk is full in the end");
        assert!(line.contains("full") && line.contains("free some space"), "{line}");
        fs::remove_file(filler).expect("there is room again");
        put(1_000).success();
        for number in saved.iter().chain(&[1_000]) {
            assert_eq!(device.get("notes", &number.to_string()).to_string(), large(*number), "{number}");
        }
        assert!(device.status()["total_records"].as_u64().expect("a count") <= saved.len() as u64 + 2);
    });
}

#[test]
fn a_copy_for_which_there_is_no_room_leaves_the_store_as_it_was_and_takes_no_room() {
    let test = "a_copy_for_which_there_is_no_room_leaves_the_store_as_it_was_and_takes_no_room";
    on_small_disk(test, 40, |folder| {
        let device = Device::init(&folder.join("till"), WORKSPACE, "", "");
        let rows: String = (0..500).map(|id| format!("{{\"id\":{id},{}\n", &large(id)[1..])).collect();
        let elsewhere = tempfile::tempdir().expect("a folder");
        let file = elsewhere.path().join("notes.ndjson");
        fs::write(&file, rows).expect("written");
        device.ok(&["import", file.to_str().expect("a path"), "--collection", "notes"]);
        let status = device.status();
        let filler = fill(folder, 2 << 20);
        let line = device.fails(&["migrate-store", "--to", "redb"]);
        assert!(line.contains("full") && line.contains("free some space"), "{line}");
        assert!(!device.store().join("redb").exists() && device.store().join("sled").exists());
        assert_eq!(device.status(), status);
        fs::remove_file(filler).expect("there is room again");
        device.ok(&["migrate-store", "--to", "redb"]);
        assert_eq!(device.status(), status);
    });
}
