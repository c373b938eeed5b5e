//! Two tills of one shop that work offline and then meet: nothing is lost, and both end with the same.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use serde_json::json;
use tempfile::TempDir;

struct Shop {
    relay: Relay,
    a: Device,
    b: Device,
    _folder: TempDir,
}

fn shop() -> Shop {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let device =
        |name: &str| Device::init(&folder.path().join(name), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    let (a, b) = (device("till-a"), device("till-b"));
    Shop { relay, a, b, _folder: folder }
}

impl Shop {
    /// Syncs until each has what the other had, and checks that they say so and are right.
    fn meet(&self) {
        self.a.sync();
        self.b.sync();
        self.a.sync();
        assert_eq!(self.a.digest(), self.b.digest(), "equal digests");
        for device in [&self.a, &self.b] {
            let status = device.status();
            assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(0)), "{status}");
            assert!(status["last_sync"].is_string(), "{status}");
        }
    }
}

#[test]
fn edits_of_different_fields_and_both_decrements_survive() {
    let shop = shop();
    shop.a.ok(&["put", "products", "tea", r#"{"name":"Tea","price":320,"stock":20}"#]);
    shop.meet();
    shop.a.ok(&["put", "products", "tea", r#"{"price":350}"#]);
    shop.a.ok(&["incr", "products", "tea", "stock", "-3"]);
    shop.b.ok(&["put", "products", "tea", r#"{"name":"Green tea"}"#]);
    shop.b.ok(&["incr", "products", "tea", "stock", "-4"]);
    shop.meet();
    for device in [&shop.a, &shop.b] {
        assert_eq!(device.get("products", "tea"), json!({"name": "Green tea", "price": 350, "stock": 13}));
    }
}

#[test]
fn a_record_that_both_created_offline_is_one_record_with_the_exact_stock() {
    let shop = shop();
    shop.a.ok(&["put", "products", "milk", r#"{"name":"Milk"}"#]);
    shop.a.ok(&["incr", "products", "milk", "stock", "-3"]);
    shop.a.ok(&["incr", "products", "milk", "stock", "24"]);
    shop.b.ok(&["incr", "products", "milk", "stock", "-4"]);
    shop.b.ok(&["put", "products", "milk", r#"{"price":110,"supplier":{"name":"Dairy"}}"#]);
    shop.meet();
    let milk = json!({"name": "Milk", "price": 110, "stock": 17, "supplier": {"name": "Dairy"}});
    for device in [&shop.a, &shop.b] {
        assert_eq!(device.get("products", "milk"), milk);
        assert_eq!(device.status()["total_records"], 1);
    }
}

#[test]
fn a_stocktake_and_a_concurrent_sale_both_count() {
    let shop = shop();
    shop.a.ok(&["put", "products", "tea", r#"{"stock":20}"#]);
    shop.a.ok(&["incr", "products", "tea", "stock", "-1"]);
    shop.meet();
    shop.a.ok(&["put", "products", "tea", r#"{"stock":50}"#]);
    shop.b.ok(&["incr", "products", "tea", "stock", "-2"]);
    shop.meet();
    for device in [&shop.a, &shop.b] {
        assert_eq!(device.get("products", "tea"), json!({"stock": 48}));
    }
}

#[test]
fn a_deleted_record_stays_deleted_until_it_is_restored() {
    let shop = shop();
    shop.a.ok(&["put", "products", "tea", r#"{"name":"Tea","stock":5}"#]);
    shop.a.ok(&["put", "products", "milk", r#"{"name":"Milk"}"#]);
    shop.meet();
    shop.a.ok(&["delete", "products", "tea"]);
    shop.b.ok(&["incr", "products", "tea", "stock", "-1"]);
    shop.meet();
    for device in [&shop.a, &shop.b] {
        device.fails(&["get", "products", "tea"]);
        assert_eq!(device.status()["total_records"], 1);
        let shown = device.ok(&["list", "products", "--json"]);
        assert!(shown.contains("Milk") && !shown.contains("Tea"), "{shown}");
    }
    shop.b.ok(&["restore", "products", "tea"]);
    shop.meet();
    for device in [&shop.a, &shop.b] {
        assert_eq!(device.get("products", "tea"), json!({"name": "Tea", "stock": 4}), "the sale meanwhile is not lost");
    }
}

#[test]
fn nobody_says_up_to_date_before_both_are_equal() {
    let shop = shop();
    shop.a.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    assert_eq!(shop.a.status()["state"], "offline", "the relay was not asked");
    let status = shop.a.json(&["status"]);
    assert_eq!((&status["state"], &status["pending"]), (&json!("pending"), &json!(1)), "never synced: {status}");
    assert!(status["last_sync"].is_null(), "{status}");
    let synced = shop.a.json(&["sync"]);
    assert_eq!(synced["state"], "up_to_date", "nobody else has anything: {synced}");
    shop.b.ok(&["put", "products", "milk", r#"{"name":"Milk"}"#]);
    let pushed = shop.b.json(&["sync", "--mode", "push"]);
    assert_ne!(pushed["state"], "up_to_date", "b has not read what a wrote: {pushed}");
    assert_ne!(shop.a.digest(), shop.b.digest());
    let synced = shop.b.json(&["sync"]);
    assert_eq!(synced["state"], "up_to_date", "{synced}");
    let synced = shop.a.json(&["sync"]);
    assert_eq!(synced["state"], "up_to_date", "{synced}");
    assert_eq!(shop.a.digest(), shop.b.digest());
}

#[test]
fn two_devices_that_stay_live_see_each_others_edits() {
    let mut shop = shop();
    shop.a.ok(&["put", "products", "tea", r#"{"stock":9}"#]);
    let (a, b) = (shop.a.start(&["run"]), shop.b.start(&["watch", "products", "--json"]));
    let mut seen = String::new();
    while !seen.contains("tea") {
        seen = b.line();
    }
    a.terminate();
    shop.a.ok(&["incr", "products", "tea", "stock", "-2"]);
    let a = shop.a.start(&["run"]);
    let mut seen = String::new();
    while !seen.contains('7') {
        seen = b.line();
    }
    assert!(shop.relay.is_alive());
    a.terminate();
    b.terminate();
    assert_eq!(shop.b.get("products", "tea"), json!({"stock": 7}));
}
