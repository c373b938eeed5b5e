//! Pages and their cursors, how much is sorted at most, and sums.

use super::{build, fields, filled, open, paged, parse, put, set_indexes, text, things};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::query::{Field, Tally};
use comptoir_engine::{Collection, Query, QueryError, StoreError, Value};

#[test]
fn a_cursor_of_another_query_is_refused() {
    let store = filled(&SimDisk::new(), 20);
    let query = parse("a > 3").limit(2);
    let next = store.query(&things(), &query).unwrap().next.unwrap();
    let foreign = Err(StoreError::Query(QueryError::ForeignCursor));
    for other in [
        Query::all().limit(2),
        parse("a > 4"),
        parse("a > 3").order("a"),
        parse("a > 3").with_deleted(),
        parse("a > 3").search("tea"),
    ] {
        assert_eq!(store.query(&things(), &other.after(next.clone())), foreign);
    }
    let elsewhere = Collection::new("others").unwrap();
    assert_eq!(store.query(&elsewhere, &query.clone().after(next.clone())), foreign);
    assert!(store.query(&things(), &query.limit(9).after(next)).is_ok(), "pages of another length are of one query");
    for text in ["", "tea", "AA", &"A".repeat(100_000)] {
        assert_eq!(text.parse::<comptoir_engine::PageCursor>(), Err(QueryError::BadCursor));
    }
}

#[test]
fn sorting_more_than_is_kept_asks_for_an_index_or_a_limit() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 10_001);
    let query = Query::all().order("a");
    let expected = QueryError::Unsorted { order: "a".to_owned(), records_max: 10_000 };
    assert_eq!(store.query(&things(), &query), Err(StoreError::Query(expected)));
    assert_eq!(store.query(&things(), &query.clone().limit(5)).unwrap().records.len(), 5);
    assert_eq!(store.query(&things(), &parse("a > 5").order("a")).unwrap().records.len(), 9_995);
    let groups = Tally { sum: None, group: Some(Field::typed("a")) };
    let refused = store.tally(&things(), &Query::all(), &groups);
    assert_eq!(refused, Err(StoreError::Query(QueryError::Groups { field: "a".to_owned(), groups_max: 10_000 })));
    set_indexes(&mut store, &[("by_a", "a")]);
    build(&mut store);
    assert_eq!(paged(&store, &query).len(), 10_001);
    let over = store.query(&things(), &Query::all().limit(10_001));
    assert!(matches!(over, Err(StoreError::Query(QueryError::TooLarge { limit_max: 10_000, .. }))));
}

#[test]
fn sums_are_exact_whatever_the_order() {
    let disk = SimDisk::new();
    let mut store = open(&disk);
    for (key, value) in [
        ("a", Value::Float(1e16)),
        ("b", Value::Float(1.0)),
        ("c", Value::Float(-1e16)),
        ("d", Value::Int(i64::MAX)),
        ("e", Value::Int(-i64::MAX)),
        ("f", text("7")),
        ("g", Value::Float(0.5)),
    ] {
        put(&mut store, key, fields([("n", value)]));
    }
    let tally = Tally { sum: Some(Field::typed("n")), group: None };
    let sum = |filter: &str| store.tally(&things(), &parse(filter), &tally).unwrap()[0].clone();
    assert_eq!(sum("not _key is null").sum, Some(Value::Float(1.5)));
    assert_eq!(sum("_key in ('d', 'e', 'f')").sum, Some(Value::Int(0)));
    assert_eq!(sum("_key = 'd' or _key = 'a'").sum, Some(Value::Float(9_233_372_036_854_775_807.0)));
    assert_eq!((sum("_key = 'none'").count, sum("_key = 'none'").sum), (0, Some(Value::Int(0))));
}
