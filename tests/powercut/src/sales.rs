//! The work: a real shop's baskets, each sold in one transaction, and what a store must then hold. Must not know processes.

use comptoir::json;
use comptoir_engine::{Collection, Engine, FieldEdit, RecordId, Value};
use comptoir_tests::shop::{self, Basket};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Whose baskets, where nothing else is said.
pub const SHOP: &str = "292";

/// What an error begins with that the store gave itself.
pub const REFUSED: &str = "refused: ";

/// Records of a listing.
const PAGE: usize = 1000;

/// The baskets that are sold, by number.
#[derive(Default)]
pub struct Sales {
    baskets: BTreeMap<usize, Basket>,
}

impl Sales {
    /// The first so many of a shop.
    pub fn first(count: usize) -> Self {
        Self::default().and(SHOP, 0..count, 0)
    }

    /// These and some of a shop, under numbers from `first` on.
    pub fn and(mut self, shop: &str, places: Range<usize>, first: usize) -> Self {
        self.baskets.extend((first..).zip(shop::some_baskets(shop, places)));
        self
    }

    /// One sale: the basket, and the stock of each of its products.
    pub fn edits(&self, number: usize) -> Vec<(RecordId, FieldEdit)> {
        let basket = &self.baskets[&number];
        let fields = json::fields(basket.fields.clone()).expect("a basket is an object");
        let record = |collection: &str, key: &str| RecordId::new(collection, key).expect("names as they should be");
        let sold = |(product, quantity): &(String, i64)| {
            let edit = FieldEdit::Increment { field: "stock".to_owned(), by: -quantity };
            (record("products", product), edit)
        };
        let sale = (record("sales", &basket.id), FieldEdit::Set(fields));
        std::iter::once(sale).chain(basket.lines.iter().map(sold)).collect()
    }

    /// Checks that the rows of a store fit each other, that each record is what its history makes it, and all that
    /// [`Sales::held`] does.
    pub fn check(
        &self,
        engine: &Engine,
        saved: &BTreeSet<usize>,
        tried: &BTreeSet<usize>,
    ) -> Result<BTreeSet<usize>, String> {
        engine.check().map_err(|error| error.to_string())?;
        self.held(engine, saved, tried)
    }

    /// Checks that a store holds all of `saved`, nothing but what was `tried`, and each sale as a whole. What it holds, or
    /// what is wrong.
    pub fn held(
        &self,
        engine: &Engine,
        saved: &BTreeSet<usize>,
        tried: &BTreeSet<usize>,
    ) -> Result<BTreeSet<usize>, String> {
        let by_id: BTreeMap<&str, usize> =
            self.baskets.iter().map(|(number, basket)| (basket.id.as_str(), *number)).collect();
        let mut held = BTreeSet::new();
        for (key, view) in list(engine, "sales")? {
            let number = *by_id.get(key.as_str()).ok_or_else(|| format!("sale {key} was never made"))?;
            if json::object(&view) != self.baskets[&number].fields {
                return Err(format!("sale {key} has other fields than were saved"));
            }
            held.insert(number);
        }
        if let Some(lost) = saved.difference(&held).next() {
            return Err(format!("LOST: sale {lost} was reported saved and is gone"));
        }
        if let Some(found) = held.difference(tried).next() {
            return Err(format!("sale {found} is there and was not made yet"));
        }
        let mut stocks: BTreeMap<String, i64> = BTreeMap::new();
        for (product, quantity) in held.iter().flat_map(|number| &self.baskets[number].lines) {
            *stocks.entry(product.clone()).or_default() -= quantity;
        }
        let mut found = BTreeMap::new();
        for (key, view) in list(engine, "products")? {
            match view.get("stock") {
                Some(Value::Counter(stock) | Value::Int(stock)) => found.insert(key, *stock),
                other => return Err(format!("the stock of {key} is {other:?}")),
            };
        }
        if found != stocks {
            return Err("LOST: the stocks are not the sums of the sales".to_owned());
        }
        Ok(held)
    }
}

fn list(engine: &Engine, collection: &str) -> Result<Vec<(String, comptoir_engine::Fields)>, String> {
    let collection = Collection::new(collection).expect("a name");
    let mut found: Vec<(String, comptoir_engine::Fields)> = Vec::new();
    let mut after = None;
    loop {
        let page = engine.list(&collection, after.as_ref(), PAGE).map_err(|error| format!("{REFUSED}{error}"))?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.clone());
        found.extend(page.into_iter().map(|(key, view)| (key.as_str().to_owned(), view.fields)));
    }
}
