//! A year of a real shop: all products on one device, the baskets of two stores sold on two others, all offline; then they
//! meet. Every counter is checked against the sum of the baskets, on every device, and the reconnect of an up-to-date device
//! is weighed byte by byte. Prints how long each phase took.

use comptoir::{Collection, Comptoir, Key, Value, View, json as records};
use comptoir_tests::device::Device;
use comptoir_tests::proxy::Proxy;
use comptoir_tests::relay::Relay;
use comptoir_tests::shop::{self, Basket};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Instant;

const WORKSPACE: &str = "supermarket";
/// Records a listing reads at a time.
const PAGE: usize = 1_000;

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let outcome = run();
    eprintln!("{:7.1} s  {what}", begun.elapsed().as_secs_f64());
    outcome
}

/// Sells every basket on a device that is offline: a sale record, then the stock of each line, one durable edit after
/// another. How many edits that was.
#[tokio::main(flavor = "current_thread")]
async fn sell(store: &Path, baskets: &[Basket]) -> usize {
    let shop = Comptoir::open(store).await.expect("the store opens");
    let mut edits = 0;
    for basket in baskets {
        let fields = records::fields(basket.fields.clone()).expect("a basket is an object");
        edits += shop.put("sales", &basket.id, fields).await.expect("a sale is saved").changed.len();
        for (product, quantity) in &basket.lines {
            let sold = shop.increment("products", product, "stock", -quantity).await;
            edits += sold.expect("a line is saved").changed.len();
        }
    }
    shop.shut_down().await.expect("the store closes");
    edits
}

/// What the baskets leave of each product's stock, which began at nothing.
fn stocks(baskets: &[Basket]) -> BTreeMap<String, i64> {
    let mut stocks = BTreeMap::new();
    for (product, quantity) in baskets.iter().flat_map(|basket| &basket.lines) {
        *stocks.entry(product.clone()).or_insert(0) -= quantity;
    }
    stocks
}

/// Compares every product and every sale on a device with what was imported and sold. How many records those are.
#[tokio::main(flavor = "current_thread")]
async fn assert_exact(store: &Path, stocks: &BTreeMap<String, i64>, baskets: &[Basket]) -> usize {
    let shop = Comptoir::open(store).await.expect("the store opens");
    let (mut imported, mut others) = (0, 0);
    each(&shop, "products", |key, view| {
        let stock = match view.fields.get("stock") {
            None => 0,
            Some(Value::Counter(stock) | Value::Int(stock)) => *stock,
            Some(other) => panic!("{key}: {other:?}"),
        };
        assert_eq!(stock, stocks.get(key).copied().unwrap_or(0), "the stock of {key}");
        match view.fields.contains_key("department") {
            true => imported += 1,
            // Four products of the baskets are not among the products of the chain.
            false => others += 1,
        }
    })
    .await;
    assert!(imported == shop::PRODUCTS && others <= 4, "{imported} imported, {others} others");
    let sold: BTreeMap<&str, &Basket> = baskets.iter().map(|basket| (basket.id.as_str(), basket)).collect();
    let mut sales = 0;
    each(&shop, "sales", |key, view| {
        assert_eq!(records::object(&view.fields), sold[key].fields, "sale {key}");
        sales += 1;
    })
    .await;
    assert_eq!(sales, sold.len());
    shop.shut_down().await.expect("the store closes");
    imported + others + sales
}

async fn each(shop: &Comptoir, collection: &str, mut visit: impl FnMut(&str, &View)) {
    let collection = Collection::new(collection).expect("a name");
    let mut after: Option<Key> = None;
    loop {
        let page = shop.list(&collection, after.as_ref(), PAGE).await.expect("a page");
        let Some((last, _)) = page.last() else { return };
        after = Some(last.clone());
        for (key, view) in &page {
            assert!(!view.deleted);
            visit(key.as_str(), view);
        }
    }
}

#[test]
fn a_year_of_two_stores_sold_offline_adds_up_on_every_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token(WORKSPACE);
    let device = |name: &str| Device::init(&folder.path().join(name), WORKSPACE, &relay.url(), &token);
    let (a, b, c) = (device("back-office"), device("store-292"), device("store-356"));
    let sold = [shop::baskets("292"), shop::baskets("356")];

    let products = shop::file("products.ndjson.zst");
    let products = products.to_str().expect("a path");
    timed("92,331 products imported on A", || a.ok(&["import", products, "--collection", "products", "--key", "id"]));
    let edits = timed("the baskets of two stores sold on B and C at the same time", || {
        thread::scope(|scope| {
            let other = scope.spawn(|| sell(c.store(), &sold[1]));
            sell(b.store(), &sold[0]) + other.join().expect("C sold all")
        })
    });
    eprintln!("           {edits} durable edits");

    let sync = |device: &Device| device.ok(&["sync", "--timeout", "5m"]);
    timed("A pushes the products", || sync(&a));
    timed("B pushes its sales and pulls", || sync(&b));
    timed("C pushes its sales and pulls", || sync(&c));
    timed("A pulls", || sync(&a));
    timed("B pulls", || sync(&b));
    let all: Vec<Basket> = sold.into_iter().flatten().collect();
    let stocks = stocks(&all);
    let records = timed("every counter and every sale compared on three devices", || {
        [&a, &b, &c].map(|device| assert_exact(device.store(), &stocks, &all))
    });
    let digest = a.digest();
    for (device, records) in [&a, &b, &c].into_iter().zip(records) {
        let status = device.status();
        assert_eq!((&status["pending"], &status["quarantined"]), (&json!(0), &json!(0)), "{status}");
        assert_eq!(status["total_records"], json!(records));
        assert_eq!(status["digest"], json!(digest), "equal digests");
    }
    timed("reconnect with nothing new", || reconnect(&a, &relay, &token));
}

/// The least that any other system's device took, in bytes: `docs/benchmarks.md`.
const RECONNECT_BYTES: u64 = 463;

/// An up-to-date device comes back: one round trip, some hundred bytes both ways, the upgrade included.
fn reconnect(device: &Device, relay: &Relay, token: &str) {
    let proxy = Proxy::start(relay.address());
    device.ok(&["init", "--workspace", WORKSPACE, "--relay", &proxy.url(), "--token", token]);
    // The first time it shows its whole token, unless this relay has seen it.
    device.ok(&["sync"]);
    let (up, down, turns) = (proxy.up(), proxy.down(), proxy.turns());
    let status = device.json(&["sync"]);
    assert_eq!(status["state"], "up_to_date", "{status}");
    let (up, down, turns) = (proxy.up() - up, proxy.down() - down, proxy.turns() - turns);
    eprintln!("           {up} bytes up, {down} bytes down, {turns} turns with upgrade and close");
    assert!(up + down <= RECONNECT_BYTES, "{up} up, {down} down");
    assert!(turns <= 3, "the upgrade, one round trip, the close: {turns}");
}
