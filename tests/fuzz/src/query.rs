//! Filters, orders, searches and cursors as people type and programs send them. Must not know how they are answered.

use crate::shop::{self, NOW};
use comptoir_engine::query::Tally;
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Engine, FieldEdit, Query, StoreError};
use std::cell::OnceCell;

/// A text of 64 kB, and the records of a small shop.
pub const MEMORY_BYTES_MAX: u64 = 32 << 20;

thread_local! {
    static STOCKED: OnceCell<Engine> = const { OnceCell::new() };
}

fn stocked() -> Engine {
    let mut engine = shop::open(&shop::disks()[1].snapshot()).expect("an honest store");
    for number in 0..30 {
        let fields = format!(
            r#"{{"name":"Tea number {number}","price":{number},"ratio":{}.5,"hot":{},"supplier":{{"name":"x"}},"none":null}}"#,
            number / 3,
            number % 2 == 0
        );
        let fields = FieldEdit::Set(json::parse(&fields).expect("fields"));
        engine.commit(&[(shop::id("products", &format!("p{number}")), fields)], NOW).expect("an edit");
    }
    while engine.index_step().expect("an index") {}
    engine
}

/// A line each: filter, order, search, cursor. What can be read reads the same when it is written; a page of the answer is
/// what a walk through all records finds.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or("");
    let (filter, order, search, cursor) = (line(), line(), line(), line());
    let mut query = match Query::parse(filter) {
        Ok(query) => query,
        Err(_) => Query::all(),
    };
    if let Some(filter) = &query.filter {
        let again = Query::parse(&filter.to_string());
        assert_eq!(
            again.map(|query| query.filter),
            Ok(Some(filter.clone())),
            "a filter reads as it was written: {filter}"
        );
    }
    query.order = Query::parse_order(order).unwrap_or_default();
    let said = query.order.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !query.order.is_empty() {
        assert_eq!(Query::parse_order(&said).as_ref(), Ok(&query.order), "an order reads as it was written");
    }
    if !search.is_empty() {
        query = query.search(search);
    }
    query.after = cursor.parse().ok();
    STOCKED.with(|engine| ask(engine.get_or_init(stocked), query));
}

fn ask(engine: &Engine, query: Query) {
    let products = Collection::new("products").expect("a name");
    let _ = engine.explain(&products, &query);
    let _ = engine.tally(&products, &query, &Tally::default());
    let page = match engine.query(&products, &query) {
        Ok(page) => page,
        Err(StoreError::Query(_)) => return,
        Err(other) => panic!("{other:?}"),
    };
    if query.after.is_some() {
        return;
    }
    let bound = query.bound(&engine.schema(&products));
    let all = engine.list(&products, None, 1000).expect("a list");
    let mut found: Vec<_> = all.into_iter().filter(|(key, view)| !view.deleted && bound.matches(key, view)).collect();
    found.sort_by(|one, two| bound.compare((&one.0, &one.1), (&two.0, &two.1)));
    found.truncate(page.records.len().max(1));
    assert_eq!(page.records, found, "an answer is what a walk through all records finds");
}
