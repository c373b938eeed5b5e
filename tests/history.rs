//! Two tills of one shop: who did what is known on both, concurrent values are listed alike, and a whole transaction is
//! taken back on the other one.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use serde_json::{Value, json};

fn objects(device: &Device, args: &[&str]) -> Vec<Value> {
    let said = device.ok(&[args, &["--json"]].concat());
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn meet(a: &Device, b: &Device) {
    a.sync();
    b.sync();
    a.sync();
    assert_eq!(a.digest(), b.digest(), "equal digests");
    for device in [a, b] {
        let status = device.json(&["status"]);
        assert_eq!(status["state"], "up_to_date", "{status}");
        assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(0)), "{status}");
    }
}

#[test]
fn two_tills_know_who_did_what_choose_a_price_and_take_back_a_stocktake() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Relay::start(&folder.path().join("relay"));
    let till =
        |name: &str| Device::init(&folder.path().join(name), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    let (a, b) = (till("till-a"), till("till-b"));
    a.ok(&["put", "products", "tea", r#"{"name":"Tea","price":320}"#, "--label", "opening"]);
    assert_eq!(a.status()["pending"], 1, "one edit, whatever is sent beside it");
    meet(&a, &b);
    a.ok(&["put", "products", "tea", r#"{"price":350}"#, "--label", "new list"]);
    b.ok(&["put", "products", "tea", r#"{"price":340}"#]);
    b.ok(&["incr", "products", "tea", "stock", "-2", "--label", "sale 7"]);
    meet(&a, &b);

    let history = objects(&a, &["history", "products", "tea"]);
    assert_eq!(history, objects(&b, &["history", "products", "tea"]));
    let of = |label: &str| history.iter().find(|version| version["label"] == label).expect("its label");
    assert_eq!(of("sale 7")["author"]["name"], "till-b");
    assert_eq!(of("opening")["author"]["name"], "till-a");

    let conflicts = objects(&a, &["conflicts"]);
    assert_eq!(conflicts, objects(&b, &["conflicts"]));
    assert_eq!((conflicts.len(), &conflicts[0]["field"]), (1, &json!("price")));
    let values = conflicts[0]["values"].as_array().expect("values");
    assert_eq!(b.get("products", "tea")["price"], values[0]["value"], "the first is what is shown");
    let (other, change) = (&values[1]["value"], values[1]["short"].as_str().expect("a text"));
    b.ok(&["choose", "products", "tea", "price", change]);
    meet(&a, &b);
    assert_eq!(&a.get("products", "tea")["price"], other);
    assert!(objects(&a, &["conflicts"]).is_empty() && objects(&b, &["conflicts", "products", "tea"]).is_empty());

    let rows = folder.path().join("rows.ndjson");
    std::fs::write(&rows, "{\"id\":\"tea\",\"counted\":9}\n{\"id\":\"milk\",\"counted\":4}\n").expect("a file");
    a.ok(&["put", "products", "milk", r#"{"name":"Milk"}"#]);
    a.ok(&["import", rows.to_str().expect("a path"), "--collection", "products", "--label", "stocktake"]);
    meet(&a, &b);
    let stocktake = objects(&b, &["history", "products", "milk", "--limit", "1"]).remove(0);
    assert_eq!(stocktake["label"], "stocktake");
    let id = stocktake["transaction"].as_str().expect("over two records");
    let undone = b.json(&["undo", "--transaction", id]);
    assert_eq!(undone["changed"], json!(["products/milk", "products/tea"]));
    meet(&a, &b);
    assert_eq!(a.get("products", "milk"), json!({"name": "Milk"}));
    assert_eq!(a.get("products", "tea"), json!({"name": "Tea", "price": other, "stock": -2}));
    let again = a.json(&["undo", "--transaction", undone["transaction"].as_str().expect("over two records")]);
    assert_eq!(again["left"], json!([]));
    assert_eq!(a.get("products", "milk")["counted"], 4);
    assert!(relay.is_alive());
}
