//! Queries over real products with the real program: the same answers as reading every line of the data, before and after
//! there are indexes, and on a second device that got schema and products by sync.

use comptoir_tests::device::Device;
use comptoir_tests::relay::Relay;
use comptoir_tests::shop;
use serde_json::{Value, json};
use std::fs;

/// So many of the products.
const PRODUCTS: usize = 3_000;

fn set_schema(device: &Device, schema: &Value) {
    let file = device.store().with_extension("schema.json");
    fs::write(&file, schema.to_string()).unwrap();
    device.ok(&["schema", "set", "products", file.to_str().unwrap()]);
}

fn lines(device: &Device, args: &[&str]) -> Vec<Value> {
    let said = device.ok(&[&["list", "products", "--json"], args].concat());
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(device: &Device, args: &[&str]) -> Vec<String> {
    let lines = lines(device, args);
    lines.iter().filter_map(|line| line["key"].as_str()).map(str::to_owned).collect()
}

fn key(product: &Value) -> String {
    product["id"].as_str().unwrap().to_owned()
}

/// What every question is asked about: the products of the file, in order of key.
fn products() -> Vec<Value> {
    let mut products: Vec<_> = shop::records("products.ndjson.zst").take(PRODUCTS).collect();
    products.sort_by_key(key);
    products
}

fn answers(device: &Device, products: &[Value]) {
    let where_ = "department = \"GROCERY\" and price_cents < 200";
    let mut cheap: Vec<_> = products
        .iter()
        .filter(|product| {
            product["department"] == "GROCERY" && product["price_cents"].as_i64().is_some_and(|price| price < 200)
        })
        .collect();
    assert_eq!(keys(device, &["--where", where_]), cheap.iter().map(|product| key(product)).collect::<Vec<_>>());
    cheap.sort_by_key(|product| product["price_cents"].as_i64());
    let expected: Vec<_> = cheap.iter().map(|product| key(product)).collect();
    assert_eq!(keys(device, &["--where", where_, "--order", "price_cents"]), expected);
    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["--where", where_, "--order", "price_cents", "--limit", "50"];
        args.extend(after.iter().flat_map(|cursor| ["--after", cursor.as_str()]));
        let page = lines(device, &args);
        paged.extend(page.iter().filter_map(|line| line["key"].as_str()).map(str::to_owned));
        after = page.last().and_then(|line| line["next"].as_str()).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, expected);
    let typed = keys(device, &["--where", "words(category, type) contains 'frz ic'"]);
    let words = |product: &Value| {
        let text = format!("{} {}", product["category"], product["type"]).to_lowercase();
        text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>()
    };
    let has =
        |product: &&Value| ["frz", "ic"].iter().all(|typed| words(product).iter().any(|word| word.starts_with(typed)));
    let expected: Vec<_> = products.iter().filter(has).map(key).collect();
    assert!(!expected.is_empty());
    assert_eq!(typed, expected);
    let sold: i64 =
        products.iter().filter(|product| product["brand"] == "Private").map(|p| p["sold_2017"].as_i64().unwrap()).sum();
    let count = products.iter().filter(|product| product["brand"] == "Private").count();
    let tally = lines(device, &["--group", "brand", "--sum", "sold_2017"]);
    assert!(tally.contains(&json!({"group": "Private", "count": count, "sum": sold})), "{tally:?}");
}

#[test]
fn real_products_are_found_the_same_with_and_without_indexes_here_and_on_another_device() {
    let place = tempfile::tempdir().unwrap();
    let relay = Relay::start(&place.path().join("relay"));
    let till = Device::init(&place.path().join("till"), "grocery", &relay.url(), &relay.token("grocery"));
    let file = place.path().join("products.ndjson");
    let text: String =
        shop::records("products.ndjson.zst").take(PRODUCTS).map(|product| format!("{product}\n")).collect();
    fs::write(&file, text).unwrap();
    till.ok(&["import", file.to_str().unwrap(), "--collection", "products"]);
    let products = products();
    answers(&till, &products);
    let question = ["list", "products", "--where", "department = 'GROCERY'", "--order", "price_cents", "--explain"];
    assert_eq!(till.json(&question)["index"], Value::Null);
    set_schema(
        &till,
        &json!({"indexes": {"by_department": "department, price_cents", "search": "words(category, type)"}}),
    );
    assert_eq!(till.json(&question)["index"], "by_department");
    answers(&till, &products);
    till.sync();
    let phone = Device::init(&place.path().join("phone"), "grocery", &relay.url(), &relay.token("grocery"));
    phone.sync();
    assert_eq!(phone.json(&question)["index"], "by_department");
    answers(&phone, &products);
    assert_eq!(
        keys(&phone, &["--search", "FRZ ic", "--limit", "5"]),
        keys(&till, &["--search", "frz ic", "--limit", "5"])
    );
}
