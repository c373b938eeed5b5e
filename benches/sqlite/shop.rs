//! The real products, and the work that is measured, the same for every store. Must not know any store.

use crate::questions::List;
use comptoir_tests::shop;
use serde_json::Value;
use std::path::Path;

/// Stock of every product when the shop opens.
pub(crate) const STOCK: i64 = 100_000;
/// Products that one sale touches; with the sale itself, ten records.
pub(crate) const SALE_PRODUCTS: usize = 9;
/// Products that a list shows.
pub(crate) const LIST_PRODUCTS: usize = 50;
/// Products that a search shows.
pub(crate) const SEARCH_PRODUCTS: usize = 20;

/// A product of `tests/data`, with a stock.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) department: String,
    pub(crate) brand: String,
    pub(crate) category: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) package_size: Option<String>,
    pub(crate) manufacturer_id: String,
    pub(crate) price_cents: Option<i64>,
    pub(crate) sold: i64,
    pub(crate) stock: i64,
}

/// A store that a till could stand on. Every change is durable when the call returns.
pub(crate) trait Till {
    /// Makes a store in an empty folder, with products and indexes, and closes it.
    fn load(dir: &Path, products: &[Product])
    where
        Self: Sized;

    /// Opens what [`Till::load`] made.
    fn open(dir: &Path) -> Self
    where
        Self: Sized;

    /// Takes one from a product's stock.
    fn sell(&mut self, product: &str);

    /// Saves a sale and takes one from the stock of each of its products, all or nothing.
    fn sale(&mut self, sale: u64, products: &[&str]);

    /// A product with all its fields.
    fn get(&mut self, product: &str) -> Product;

    /// The first [`LIST_PRODUCTS`] of a list.
    fn list(&mut self, list: &List<'_>) -> Vec<Product>;

    /// [`SEARCH_PRODUCTS`] that have words which begin as those typed, in whatever order comes cheapest.
    fn search(&mut self, typed: &str) -> Vec<Product>;

    /// Begins to show a list.
    fn show(&mut self, list: &List<'_>);

    /// What is new in the list that is shown, once something was sold.
    fn news(&mut self) -> Vec<Product>;
}

/// All 92,331 products.
pub(crate) fn products() -> Vec<Product> {
    let products: Vec<_> = shop::records("products.ndjson.zst").map(product).collect();
    assert_eq!(products.len(), shop::PRODUCTS, "the data is whole");
    products
}

fn product(json: Value) -> Product {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let must = |name: &str| text(name).unwrap_or_else(|| panic!("{name} in {json}"));
    Product {
        id: must("id"),
        department: must("department"),
        brand: must("brand"),
        category: text("category"),
        kind: text("type"),
        package_size: text("package_size"),
        manufacturer_id: must("manufacturer_id"),
        price_cents: json["price_cents"].as_i64(),
        sold: json["sold_2017"].as_i64().expect("units sold"),
        stock: STOCK,
    }
}

/// Products in an order that jumps about, the same in every run, without end.
pub(crate) fn turns(products: &[Product]) -> impl Iterator<Item = &Product> {
    (0..).map(|turn: usize| &products[turn * 7919 % products.len()])
}
