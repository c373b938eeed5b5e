//! The real shop data in `data/`: where it is, and its baskets. Must not know devices.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Products in `products.ndjson.zst`.
pub const PRODUCTS: usize = 92_331;

/// One sale of a real store.
pub struct Basket {
    /// Its number.
    pub id: String,
    /// All of it, as it was recorded.
    pub fields: Value,
    /// Product and quantity of each line; a quantity may be 0.
    pub lines: Vec<(String, i64)>,
}

/// A file of the data.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A file's records in order.
pub fn records(name: &str) -> impl Iterator<Item = Value> {
    lines(name).map(|line| serde_json::from_str(&line).expect("a JSON object"))
}

fn lines(name: &str) -> impl Iterator<Item = String> + use<> {
    let file = std::fs::File::open(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    BufReader::new(zstd::Decoder::new(file).expect("a zstd file")).lines().map(|line| line.expect("a line"))
}

/// A store's baskets of the year, in order of time.
pub fn baskets(store: &str) -> Vec<Basket> {
    some_baskets(store, 0..usize::MAX)
}

/// Some of them, by their place.
pub fn some_baskets(store: &str, places: std::ops::Range<usize>) -> Vec<Basket> {
    let basket = |fields: Value| {
        let id = fields["id"].as_str().expect("a basket's id").to_owned();
        let line = |line: &Value| {
            let product = line["product"].as_str().expect("a product").to_owned();
            (product, line["qty"].as_i64().expect("a quantity"))
        };
        let lines = fields["lines"].as_array().expect("lines").iter().map(line).collect();
        Basket { id, fields, lines }
    };
    let lines = lines(&format!("sales-store-{store}.ndjson.zst")).skip(places.start).take(places.len());
    lines.map(|line| basket(serde_json::from_str(&line).expect("a JSON object"))).collect()
}
