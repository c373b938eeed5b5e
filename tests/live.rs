//! A live query through the real program and relay: what one device is told while another works, applied in its order, is
//! what the same query lists.

use comptoir::{Comptoir, Notice, Settings, WorkspaceId, json};
use comptoir_tests::device::Device;
use comptoir_tests::program::Running;
use comptoir_tests::relay::Relay;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

const QUESTION: [&str; 6] = ["--where", "stock < 5", "--order", "stock, name", "--limit", "6"];

/// A list as somebody holds it who only hears of differences.
#[derive(Default)]
struct Heard {
    rows: Vec<(String, Value)>,
    events: BTreeSet<String>,
}

impl Heard {
    fn apply(&mut self, line: &str) {
        let event: Value = serde_json::from_str(line).unwrap();
        let index = |name: &str| event[name].as_u64().unwrap() as usize;
        let row = || (event["key"].as_str().unwrap().to_owned(), event["fields"].clone());
        match event["event"].as_str().unwrap() {
            "refresh" => self.rows = event["records"].as_array().unwrap().iter().map(listed).collect(),
            "added" => self.rows.insert(index("index"), row()),
            "changed" => {
                assert_eq!(self.rows[index("index")].0, row().0, "{line}");
                self.rows[index("index")] = row();
            }
            "removed" => assert_eq!(self.rows.remove(index("index")).0, event["key"].as_str().unwrap(), "{line}"),
            "moved" => {
                assert_eq!(self.rows.remove(index("from")).0, row().0, "{line}");
                self.rows.insert(index("to"), row());
            }
            other => panic!("no such event: {other}"),
        }
        self.events.insert(event["event"].as_str().unwrap().to_owned());
    }

    /// Hears until the list is this one.
    #[track_caller]
    fn until(&mut self, watch: &Running, expected: &[(String, Value)]) {
        while self.rows != expected {
            self.apply(&watch.line());
        }
    }
}

fn listed(line: &Value) -> (String, Value) {
    (line["key"].as_str().unwrap().to_owned(), line["fields"].clone())
}

fn list(device: &Device) -> Vec<(String, Value)> {
    let said = device.ok(&[&["list", "products", "--json"], QUESTION.as_slice()].concat());
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["key"].is_string()).map(|line| listed(&line)).collect()
}

/// Two devices with twelve products each, half of them short.
fn shop() -> (TempDir, Relay, Device, Device) {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(&folder.path().join("relay"));
    let device =
        |name: &str| Device::init(&folder.path().join(name), "corner-bar", &relay.url(), &relay.token("corner-bar"));
    let (shelf, till) = (device("shelf"), device("till"));
    let product =
        |number: i64| json!({"id": format!("p{number:02}"), "name": format!("Product {number}"), "stock": number});
    let lines: String = (0..12).map(|number| format!("{}\n", product(number))).collect();
    let file = folder.path().join("products.ndjson");
    std::fs::write(&file, lines).unwrap();
    till.ok(&["import", file.to_str().unwrap(), "--collection", "products"]);
    till.sync();
    shelf.sync();
    (folder, relay, shelf, till)
}

fn watch(device: &Device) -> Running {
    device.start(&[&["watch", "products", "--json"], QUESTION.as_slice()].concat())
}

/// Ends a watch, hears what it still said, and checks that its own device lists the same.
fn end(watch: Running, mut heard: Heard, device: &Device) -> Heard {
    watch.terminate().success().lines().for_each(|line| heard.apply(line));
    assert_eq!(heard.rows, list(device));
    heard
}

#[test]
fn differences_arrive_and_applied_in_order_are_what_the_query_lists() {
    let (_folder, _relay, shelf, till) = shop();
    let (running, mut heard) = (watch(&shelf), Heard::default());
    heard.until(&running, &list(&till));
    let works: [&[&[&str]]; 7] = [
        // One changes at its place, one moves, one leaves by its filter.
        &[&["put", "products", "p01", r#"{"name":"Product 1b"}"#]],
        &[&["incr", "products", "p00", "stock", "3"]],
        &[&["incr", "products", "p02", "stock", "40"]],
        // Two come in, the second through the lower end of the page, which a third then leaves.
        &[
            &["put", "products", "p20", r#"{"name":"A new one","stock":-1}"#],
            &["incr", "products", "p09", "stock", "-5"],
        ],
        &[&["put", "products", "p21", r#"{"name":"Another","stock":0}"#], &["incr", "products", "p05", "stock", "-4"]],
        // What was behind the page comes up when others go.
        &[&["delete", "products", "p20"], &["delete", "products", "p21"], &["delete", "products", "p01"]],
        &[&["restore", "products", "p01"], &["unset", "products", "p03", "stock"]],
    ];
    for work in works {
        work.iter().for_each(|args| drop(till.ok(args)));
        till.sync();
        heard.until(&running, &list(&till));
    }
    let heard = end(running, heard, &shelf);
    let all = ["added", "changed", "moved", "refresh", "removed"].map(str::to_owned);
    assert_eq!(heard.events, BTreeSet::from(all));
}

#[test]
fn many_changes_at_once_and_a_relay_that_was_gone_leave_the_list_exact() {
    let (_folder, mut relay, shelf, till) = shop();
    let (running, mut heard) = (watch(&shelf), Heard::default());
    heard.until(&running, &list(&till));
    relay.kill();
    for number in (0..12).filter(|number| number % 5 != 0) {
        till.ok(&["incr", "products", &format!("p{number:02}"), "stock", &(7 - 2 * number).to_string()]);
    }
    relay.restart();
    till.sync();
    heard.until(&running, &list(&till));
    // More than are looked at one by one: the query is asked again.
    let more: String =
        (100..500).map(|number| format!("{}\n", json!({"id": number.to_string(), "stock": number - 103}))).collect();
    let file = till.store().with_extension("ndjson");
    std::fs::write(&file, more).unwrap();
    till.ok(&["import", file.to_str().unwrap(), "--collection", "products"]);
    till.sync();
    heard.until(&running, &list(&till));
    end(running, heard, &shelf);
}

#[tokio::test]
async fn a_watch_tells_of_records_from_now_on() {
    let folder = TempDir::new().unwrap();
    let workspace = WorkspaceId::new("corner-bar").unwrap();
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    let settings = Settings { workspace, relay, token, device_name };
    let shop = Comptoir::init(&folder.path().join("till"), settings).await.unwrap();
    for number in 0..200i64 {
        let fields = || [("stock".to_owned(), comptoir::Value::Int(number))].into();
        shop.put("products", "tea", fields()).await.unwrap();
        let mut watch = shop.watch();
        assert!(watch.now().is_none(), "it was saved before, and answered");
        let schema = json!({"fields": {"stock": {"type": "int", "default": number}}}).to_string();
        shop.set_schema("products", json::parse(&schema).unwrap()).await.unwrap();
        while let Some(told) = watch.now() {
            assert!(matches!(told, Notice::Refresh), "a schema is no record of the shop's: {told:?}");
        }
        shop.put("products", "milk", fields()).await.unwrap();
        let told = watch.now().expect("told before the answer");
        assert!(matches!(told, Notice::Changed(record) if record.to_string() == "products/milk"));
    }
    shop.shut_down().await.unwrap();
}
