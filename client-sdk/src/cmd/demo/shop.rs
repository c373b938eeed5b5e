//! The demo's shop: real products and baskets, what is done with them, and what must come of it. Must not know the
//! network.

use crate::error::Error;
use crate::handle::Comptoir;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, Fields, RecordId, Value};
use std::collections::BTreeMap;
use std::io::BufRead as _;

const PRODUCTS: &[u8] = include_bytes!("../../../demo-data/products.ndjson.zst");
const WEEK: &[u8] = include_bytes!("../../../demo-data/week.ndjson.zst");
/// What the stocktake finds of each product.
const STOCKTAKE: i64 = 100;
/// Records saved together.
const CHUNK_RECORDS: usize = 500;
/// A product that two devices enter while the network is cut.
const HONEY: &str = "local-honey";

/// The shop, and what must be seen on every device in the end.
pub(super) struct Shop {
    pub(super) products: usize,
    pub(super) star_name: String,
    rows: Vec<(String, Fields)>,
    baskets: Vec<(String, Fields)>,
    star: String,
    gone: String,
    stock: BTreeMap<String, i64>,
    sales: usize,
}

impl Shop {
    pub(super) fn read() -> Result<Self, Error> {
        let rows = read(PRODUCTS)?;
        let baskets = read(WEEK)?;
        let mut sold: BTreeMap<String, i64> = BTreeMap::new();
        // By pieces; the pumps' gasoline is counted in hundredths.
        let lines = baskets.iter().flat_map(|(_, basket)| lines(basket)).filter(|(_, qty)| *qty < 100);
        lines.for_each(|(id, qty)| *sold.entry(id).or_default() += qty);
        let known = |id: &&String| rows.iter().any(|(known, _)| known == *id);
        let star = sold.keys().filter(known).max_by_key(|id| sold[*id]).cloned().unwrap_or_default();
        let gone = sold.keys().filter(known).find(|id| **id != star).cloned().unwrap_or_default();
        let star_name = rows.iter().find(|(id, _)| *id == star).and_then(|(_, fields)| match fields.get("type") {
            Some(Value::String(name)) => Some(name.clone()),
            _ => None,
        });
        let stock = rows.iter().map(|(id, _)| (id.clone(), STOCKTAKE)).collect();
        let (products, star_name) = (rows.len(), star_name.unwrap_or_default());
        Ok(Self { products, star_name, rows, baskets, star, gone, stock, sales: 0 })
    }

    /// Enters all products with their stock.
    pub(super) async fn stock_up(&self, device: &Comptoir) -> Result<(), Error> {
        for chunk in self.rows.chunks(CHUNK_RECORDS) {
            let mut edits = Vec::new();
            for (id, fields) in chunk {
                let mut fields = fields.clone();
                fields.insert("stock".to_owned(), Value::Int(STOCKTAKE));
                edits.push((RecordId::new("products", id)?, FieldEdit::Import(fields)));
            }
            device.commit(edits).await?;
        }
        Ok(())
    }

    /// One device of `of` takes its share of the week's baskets: each a sale and its stock movements, all or nothing.
    pub(super) async fn sell(&mut self, device: &Comptoir, index: usize, of: usize) -> Result<usize, Error> {
        let share: Vec<_> = self.baskets.iter().skip(index).step_by(of).collect();
        for (id, basket) in &share {
            let mut edits = vec![(RecordId::new("sales", id)?, FieldEdit::Set(basket.clone()))];
            for (product, qty) in lines(basket) {
                let sold = FieldEdit::Increment { field: "stock".to_owned(), by: -qty };
                edits.push((RecordId::new("products", &product)?, sold));
                *self.stock.entry(product).or_default() -= qty;
            }
            device.commit(edits).await?;
            self.sales += 1;
        }
        Ok(share.len())
    }

    /// All three devices edit the same product, two enter the same new one, one deletes what another sells.
    pub(super) async fn quarrel(&mut self, a: &Comptoir, b: &Comptoir, c: &Comptoir) -> Result<(), Error> {
        a.put("products", &self.star, json::parse(r#"{"price_cents": 299}"#)?).await?;
        b.put("products", &self.star, json::parse(r#"{"price_cents": 349}"#)?).await?;
        c.put("products", &self.star, json::parse(r#"{"shelf": "B4"}"#)?).await?;
        for device in [a, b, c] {
            device.increment("products", &self.star, "stock", -1).await?;
        }
        *self.stock.entry(self.star.clone()).or_default() -= 3;
        a.put("products", HONEY, json::parse(r#"{"name": "Local honey"}"#)?).await?;
        a.increment("products", HONEY, "stock", 12).await?;
        c.put("products", HONEY, json::parse(r#"{"price_cents": 650}"#)?).await?;
        c.increment("products", HONEY, "stock", -2).await?;
        self.stock.insert(HONEY.to_owned(), 10);
        c.delete("products", &self.gone).await?;
        Ok(())
    }

    /// What a device shows of the product all three edit.
    pub(super) async fn star(&self, device: &Comptoir) -> Result<String, Error> {
        let view = device.get("products", &self.star).await?.unwrap_or_default();
        let shown = ["stock", "price_cents", "shelf"]
            .map(|name| view.fields.get(name).map(|value| (name.to_owned(), value.clone())));
        Ok(json::object(&shown.into_iter().flatten().collect()).to_string())
    }

    /// Every stock, the merged fields, the sales and the deletion, on one device.
    pub(super) async fn check(&self, name: &str, device: &Comptoir) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Demo { what: format!("{name}: {what}") });
        for (id, stock) in &self.stock {
            let view = device.get("products", id).await?.unwrap_or_default();
            match view.fields.get("stock") {
                Some(Value::Int(seen) | Value::Counter(seen)) if seen == stock => {}
                seen => return wrong(format!("the stock of {id} is {seen:?} and should be {stock}")),
            }
        }
        let star = device.get("products", &self.star).await?.unwrap_or_default().fields;
        let price = star.get("price_cents");
        if !matches!(price, Some(Value::Int(299 | 349))) || star.get("shelf") != Some(&Value::String("B4".to_owned())) {
            return wrong(format!("{} has price {price:?} and shelf {:?}", self.star, star.get("shelf")));
        }
        let honey = device.get("products", HONEY).await?.unwrap_or_default().fields;
        if !honey.contains_key("name") || !honey.contains_key("price_cents") {
            return wrong(format!("{HONEY} lacks a field"));
        }
        if !device.get("products", &self.gone).await?.unwrap_or_default().deleted {
            return wrong(format!("{} should stay deleted", self.gone));
        }
        let collection = comptoir_engine::Collection::new("sales")?;
        let sales = device.list(&collection, None, self.sales + 1).await?.len();
        if sales != self.sales {
            return wrong(format!("{sales} sales instead of {}", self.sales));
        }
        Ok(())
    }

    /// How many stocks are checked on each device.
    pub(super) fn stocks(&self) -> usize {
        self.stock.len()
    }
}

fn read(packed: &[u8]) -> Result<Vec<(String, Fields)>, Error> {
    let damaged = |cause: std::io::Error| Error::Demo { what: format!("the data cannot be read: {cause}") };
    let plain = zstd::stream::read::Decoder::new(packed).map_err(damaged)?;
    let mut rows = Vec::new();
    for line in std::io::BufReader::new(plain).lines() {
        let fields = json::parse(&line.map_err(damaged)?)?;
        match fields.get("id") {
            Some(Value::String(id)) => rows.push((id.clone(), fields)),
            _ => return Err(Error::Demo { what: "a row of the data has no id".to_owned() }),
        }
    }
    Ok(rows)
}

/// A basket's products and quantities.
fn lines(basket: &Fields) -> Vec<(String, i64)> {
    let Some(Value::List(lines)) = basket.get("lines") else { return Vec::new() };
    let line = |line: &Value| match line {
        Value::Map(line) => match (line.get("product"), line.get("qty")) {
            (Some(Value::String(product)), Some(Value::Int(qty))) => Some((product.clone(), *qty)),
            _ => None,
        },
        _ => None,
    };
    lines.iter().filter_map(line).collect()
}
