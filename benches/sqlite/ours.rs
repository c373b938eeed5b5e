//! The shop on Comptoir's engine over sled. Must not know what is measured.

use crate::questions::List;
use crate::shop::{LIST_PRODUCTS, Product, SALE_PRODUCTS, SEARCH_PRODUCTS, Till};
use crate::timed::{Spent, Timed};
use comptoir_benches::NOW;
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::live::{Live, LiveEvent, Step, Touched};
use comptoir_engine::query::{Field, Filter, Op};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{Collection, Engine, Event, FieldEdit, Fields, Key, Query, RecordId, Value, View};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Records loaded in one transaction.
const LOAD_RECORDS: usize = 1000;

/// As SQLite's `by_department` and `words`.
const SCHEMA: &str = r#"{"indexes": {"by_department": "department, price_cents", "search": "words(type, brand)"}}"#;

/// The engine, as the SDK's thread owns it.
pub(crate) struct Comptoir {
    engine: Engine,
    products: Collection,
    /// A list that is shown, and the records that were changed since it was looked at.
    live: Option<Live>,
    touched: BTreeSet<Key>,
}

impl Till for Comptoir {
    fn load(dir: &Path, products: &[Product]) {
        let disk = SledDisk::open(dir, &SledOptions::default()).expect("an empty folder");
        let identity = disk.identity();
        let settings = comptoir_benches::settings().expect("settings");
        let mut store =
            Store::create(Box::new(disk), &identity, settings, &mut StdRng::seed_from_u64(1)).expect("a store");
        for chunk in products.chunks(LOAD_RECORDS) {
            let edits: Vec<_> = chunk
                .iter()
                .map(|product| (record("products", &product.id), FieldEdit::Set(fields(product))))
                .collect();
            store.commit_local(&edits, NOW.wall).expect("loaded");
            // A shop's products are on the relay: nothing waits.
            while let Some(sent) = store.outgoing(0, Style::Compact).expect("what waits") {
                store.acknowledge(sent.from, sent.through, &[], None, NOW.wall).expect("acknowledged");
            }
        }
        let schema = json::parse(SCHEMA).expect("a schema");
        store.set_schema(&products_name(), &schema, NOW.wall).expect("a schema");
        while store.index_step().expect("a piece of an index") {}
    }

    fn open(dir: &Path) -> Self {
        let disk = SledDisk::open(dir, &SledOptions::default()).expect("a store");
        let identity = disk.identity();
        Self::over(Box::new(disk), &identity)
    }

    fn sell(&mut self, product: &str) {
        self.commit(&[taken(product)]);
    }

    fn sale(&mut self, sale: u64, products: &[&str]) {
        let mut edits = Vec::with_capacity(SALE_PRODUCTS + 1);
        let lines = products.iter().map(|product| {
            Value::Map([("product".to_owned(), text(product)), ("qty".to_owned(), Value::Int(1))].into())
        });
        let fields = [("at", Value::Timestamp(NOW.wall)), ("lines", Value::List(lines.collect()))];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
        edits.push((record("sales", &format!("{sale:09}")), FieldEdit::Set(fields)));
        edits.extend(products.iter().map(|product| taken(product)));
        self.commit(&edits);
    }

    fn get(&mut self, product: &str) -> Product {
        let view = self.engine.get(&record("products", product)).expect("read").expect("a product");
        of_fields(product, view.fields)
    }

    fn list(&mut self, list: &List<'_>) -> Vec<Product> {
        let page = self.engine.query(&self.products, &query(list)).expect("an answer");
        page.records.into_iter().map(of_row).collect()
    }

    fn search(&mut self, typed: &str) -> Vec<Product> {
        let query = Query::all().search(typed).limit(SEARCH_PRODUCTS);
        let page = self.engine.query(&self.products, &query).expect("an answer");
        page.records.into_iter().map(of_row).collect()
    }

    fn show(&mut self, list: &List<'_>) {
        let mut live = Live::new(self.products.clone(), query(list)).expect("a query");
        self.engine.look(&mut live, &Touched::All).expect("an answer");
        (self.live, self.touched) = (Some(live), BTreeSet::new());
    }

    fn news(&mut self) -> Vec<Product> {
        let live = self.live.as_mut().expect("a list that is shown");
        let touched = Touched::Keys(std::mem::take(&mut self.touched));
        match self.engine.look(live, &touched).expect("an answer") {
            Some(LiveEvent::Changed(steps)) => steps.into_iter().filter_map(of_step).collect(),
            other => panic!("a difference was due: {other:?}"),
        }
    }
}

impl Comptoir {
    /// Sells each of `products` once; what each sale took: in all, reading, applying, flushing.
    pub(crate) fn profile<'a>(dir: &Path, products: impl IntoIterator<Item = &'a str>) -> Vec<[Duration; 4]> {
        let disk = SledDisk::open(dir, &SledOptions::default()).expect("a store");
        let (identity, spent) = (disk.identity(), Arc::<Mutex<Spent>>::default());
        let mut till = Self::over(Box::new(Timed { disk, spent: spent.clone() }), &identity);
        let mut sell = |product| {
            std::mem::take(&mut *spent.lock().expect("one thread"));
            let began = Instant::now();
            till.sell(product);
            let all = began.elapsed();
            let Spent { reading, applying, flushing } = *spent.lock().expect("one thread");
            [all, reading, applying, flushing]
        };
        products.into_iter().map(&mut sell).collect()
    }

    fn over(disk: Box<dyn Disk>, identity: &str) -> Self {
        let engine = Engine::open(disk, identity, &mut StdRng::seed_from_u64(2)).expect("a store");
        Self { engine, products: products_name(), live: None, touched: BTreeSet::new() }
    }

    fn commit(&mut self, edits: &[(RecordId, FieldEdit)]) {
        self.engine.commit(edits, NOW).expect("saved");
        while let Some(event) = self.engine.poll_event() {
            if let Event::Changed(record) = event
                && self.live.is_some()
            {
                self.touched.insert(record.key);
            }
        }
    }
}

fn products_name() -> Collection {
    Collection::new("products").expect("a name")
}

fn query(list: &List<'_>) -> Query {
    let compare = |field, op, value| Filter::Compare { field: Field::typed(field), op, value };
    let filter = Filter::And(vec![
        compare("department", Op::Eq, text(list.department)),
        compare("price_cents", Op::Ge, Value::Int(list.from_cents)),
    ]);
    Query { filter: Some(filter), ..Query::all() }.order("price_cents").limit(LIST_PRODUCTS)
}

fn of_row((key, view): (Key, View)) -> Product {
    of_fields(key.as_str(), view.fields)
}

fn of_step(step: Step) -> Option<Product> {
    match step {
        Step::Added { key, view, .. } | Step::Changed { key, view, .. } | Step::Moved { key, view, .. } => {
            Some(of_row((key, view)))
        }
        Step::Removed { .. } => None,
    }
}

fn record(collection: &str, key: &str) -> RecordId {
    RecordId::new(collection, key).expect("a name")
}

fn taken(product: &str) -> (RecordId, FieldEdit) {
    (record("products", product), FieldEdit::Increment { field: "stock".to_owned(), by: -1 })
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn fields(product: &Product) -> Fields {
    let texts = [
        ("department", Some(&product.department)),
        ("brand", Some(&product.brand)),
        ("category", product.category.as_ref()),
        ("type", product.kind.as_ref()),
        ("package_size", product.package_size.as_ref()),
        ("manufacturer_id", Some(&product.manufacturer_id)),
    ];
    let texts = texts.into_iter().filter_map(|(name, value)| Some((name, text(value?))));
    let numbers = [
        ("price_cents", product.price_cents.map(Value::Int)),
        ("sold_2017", Some(Value::Int(product.sold))),
        ("stock", Some(Value::Counter(product.stock))),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    texts.chain(numbers).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_fields(id: &str, fields: Fields) -> Product {
    let mut product = Product { id: id.to_owned(), ..Product::default() };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("department", Value::String(text)) => product.department = text,
            ("brand", Value::String(text)) => product.brand = text,
            ("category", Value::String(text)) => product.category = Some(text),
            ("type", Value::String(text)) => product.kind = Some(text),
            ("package_size", Value::String(text)) => product.package_size = Some(text),
            ("manufacturer_id", Value::String(text)) => product.manufacturer_id = text,
            ("price_cents", Value::Int(number)) => product.price_cents = Some(number),
            ("sold_2017", Value::Int(number)) => product.sold = number,
            ("stock", Value::Counter(number)) => product.stock = number,
            (other, value) => panic!("no field of a product: {other} {value:?}"),
        }
    }
    product
}
