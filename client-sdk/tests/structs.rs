//! Plain structs as records: what is saved is loaded, what a struct does not know is kept, and nobody's sales are undone.

use comptoir::{
    Bytes, Comptoir, Error, Field, Fields, Record, RecordError, Settings, Timestamp, Value, WorkspaceId, json,
};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Record)]
#[record(collection = "products", index(by_department = "department, price_cents"), index(search = "words(name)"))]
struct Product {
    #[record(key)]
    id: String,
    name: String,
    department: Option<String>,
    price_cents: i64,
    #[record(rule = "counter")]
    stock: i64,
    #[record(rule = "forward(listed<retired)", default = "listed")]
    status: String,
    tags: Option<Vec<String>>,
    supplier: Option<Supplier>,
    sold_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Field)]
struct Supplier {
    name: String,
    phone: Option<String>,
}

/// One of each type.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(collection = "samples")]
struct Sample {
    #[record(key)]
    key: String,
    r#type: bool,
    large: u64,
    small: u32,
    share: f64,
    image: Bytes,
    shelves: BTreeMap<String, Supplier>,
    lists: Vec<Vec<i64>>,
    #[record(rule = "text")]
    notes: String,
}

fn tea() -> Product {
    Product {
        id: "tea".to_owned(),
        name: "Tea".to_owned(),
        department: None,
        price_cents: 320,
        stock: 12,
        status: "listed".to_owned(),
        tags: Some(vec!["hot".to_owned()]),
        supplier: Some(Supplier { name: "Leaf".to_owned(), phone: None }),
        sold_at: Some(Timestamp { unix_ms: 1_700_000_000_000 }),
    }
}

async fn shop(dir: &Path) -> Comptoir {
    let workspace = WorkspaceId::new("corner-bar").expect("a name");
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    Comptoir::init(dir, Settings { workspace, relay, token, device_name }).await.expect("a store")
}

fn fields(text: &str) -> Fields {
    json::parse(text).expect("fields")
}

async fn stored(shop: &Comptoir) -> Fields {
    shop.get("products", "tea").await.expect("read").expect("a record").fields
}

#[tokio::test]
async fn what_is_saved_is_loaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    assert_eq!(shop.load::<Product>("tea").await.expect("read"), None);
    assert_eq!(shop.save(&tea()).await.expect("saved").created, 1);
    assert_eq!(shop.load("tea").await.expect("read"), Some(tea()));
    assert_eq!(stored(&shop).await["stock"], Value::Counter(12));
    shop.delete("products", "tea").await.expect("deleted");
    assert_eq!(shop.load::<Product>("tea").await.expect("read"), None);
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    let supplier = |phone: Option<&str>| Supplier { name: "Leaf".to_owned(), phone: phone.map(str::to_owned) };
    let sample = Sample {
        key: "1".to_owned(),
        r#type: true,
        large: u64::MAX,
        small: u32::MAX,
        share: 0.25,
        image: Bytes(vec![0, 1, 255]),
        shelves: [("a/b~".to_owned(), supplier(Some("1"))), (String::new(), supplier(None))].into(),
        lists: vec![vec![1, -2], Vec::new()],
        notes: "fragile".to_owned(),
    };
    shop.save(&sample).await.expect("saved");
    assert_eq!(shop.load("1").await.expect("read"), Some(sample));
    let view = shop.get("samples", "1").await.expect("read").expect("a record");
    assert_eq!((&view.fields["type"], &view.fields["notes"]), (&Value::Bool(true), &Value::Text("fragile".to_owned())));
}

#[tokio::test]
async fn saving_what_is_there_already_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    shop.save(&tea()).await.expect("saved");
    assert!(shop.save(&tea()).await.expect("saved").changed.is_empty());
    let loaded = shop.load::<Product>("tea").await.expect("read").expect("a record");
    assert!(shop.save(&loaded).await.expect("saved").changed.is_empty());
    assert_eq!(shop.status().await.expect("a status").engine.pending, 1);
}

#[tokio::test]
async fn what_a_struct_does_not_know_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    shop.save(&tea()).await.expect("saved");
    let newer = r#"{"shelf": "B4", "supplier": {"name": "Leaf", "phone": "1", "fax": "2"}}"#;
    shop.put("products", "tea", fields(newer)).await.expect("saved");
    let supplier = Some(Supplier { name: "Leaves".to_owned(), phone: None });
    shop.save(&Product { price_cents: 350, tags: None, supplier, ..tea() }).await.expect("saved");
    let stored = stored(&shop).await;
    assert_eq!(stored["shelf"], Value::String("B4".to_owned()));
    assert_eq!(
        stored["supplier"],
        Value::Map(fields(r#"{"name": "Leaves", "fax": "2"}"#)),
        "a phone that is None is gone"
    );
    assert_eq!(stored["price_cents"], Value::Int(350));
    assert!(!stored.contains_key("tags"), "what is None is removed");
}

#[tokio::test]
async fn a_stale_struct_does_not_undo_increments() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    shop.save(&tea()).await.expect("saved");
    shop.increment("products", "tea", "stock", -5).await.expect("sold");
    shop.save(&Product { price_cents: 350, ..tea() }).await.expect("saved");
    let loaded = shop.load::<Product>("tea").await.expect("read").expect("a record");
    assert_eq!((loaded.stock, loaded.price_cents), (7, 350));
}

#[tokio::test]
async fn an_update_saves_what_it_changes_and_moves_a_counter_by_the_difference() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    shop.save(&tea()).await.expect("saved");
    let updates = (0..8).map(|_| shop.update("tea", |tea: &mut Product| tea.stock -= 1));
    for updated in futures_util::future::join_all(updates).await {
        updated.expect("saved");
    }
    let tea = shop.update("tea", |tea: &mut Product| tea.tags = None).await.expect("saved");
    assert_eq!((tea.stock, tea.tags), (4, None));
    let moved = shop.update("tea", |tea: &mut Product| tea.id = "coffee".to_owned()).await;
    assert!(matches!(moved, Err(Error::Record { error: RecordError::Key { .. }, .. })), "{moved:?}");
    let absent = shop.update("coffee", |_: &mut Product| ()).await;
    assert_eq!(absent.expect_err("no record").code(), "no-record");
}

#[tokio::test]
async fn a_record_that_does_not_fit_says_which_field_and_what_it_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    for (text, wanted) in [
        (r#"{"price_cents": 1}"#, r#"the field "name" is missing, a text was expected"#),
        (r#"{"name": null}"#, r#"the field "name" is missing, a text was expected"#),
        (r#"{"name": 5}"#, r#"the field "name" holds a whole number, a text was expected"#),
        (r#"{"name": "Tea", "tags": ["a", 1]}"#, r#"the field "/tags/1" holds a whole number, a text was expected"#),
        (
            r#"{"tags": null, "supplier": {"phone": "1"}}"#,
            r#"the field "/supplier/name" is missing, a text was expected"#,
        ),
        (r#"{"supplier": "Leaf"}"#, r#"the field "supplier" holds a text, a map was expected"#),
        (
            r#"{"supplier": null, "sold_at": "noon"}"#,
            r#"the field "sold_at" holds a text, a point in time was expected"#,
        ),
    ] {
        shop.put("products", "tea", fields(text)).await.expect("saved");
        let error = shop.load::<Product>("tea").await.expect_err("it does not fit");
        assert_eq!(error.code(), "struct");
        assert!(error.to_string().starts_with(&format!("products/tea: {wanted}")), "{error}");
    }
    shop.put("products", "tea", fields(r#"{"sold_at": "2026-01-02T03:04:05Z"}"#)).await.expect("saved");
    let tea = shop.load::<Product>("tea").await.expect("it fits").expect("a record");
    assert_eq!((tea.stock, tea.status.as_str(), tea.tags), (0, "listed", None), "a counter is 0, a default stands in");
    assert_eq!(tea.sold_at.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[tokio::test]
async fn pages_go_through_all_records_but_the_deleted_ones() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    for number in 0..7 {
        shop.save(&Product { id: format!("{number}"), ..tea() }).await.expect("saved");
    }
    shop.delete("products", "3").await.expect("deleted");
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = shop.page::<Product>(after.as_ref(), 2).await.expect("a page");
        ids.extend(page.records.into_iter().map(|product| product.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["0", "1", "2", "4", "5", "6"]);
}

#[test]
fn the_schema_says_what_the_struct_says() {
    let schema = comptoir::json::object(&Product::schema().fields());
    let wanted = r#"{
        "fields": {
            "department": {"type": "string"},
            "name": {"type": "string", "required": true},
            "price_cents": {"type": "int", "required": true},
            "sold_at": {"type": "timestamp"},
            "status": {"type": "string", "rule": "forward(listed<retired)", "default": "listed"},
            "stock": {"type": "counter"},
            "supplier": {"type": "map"},
            "tags": {"type": "list"}
        },
        "indexes": {"by_department": "department, price_cents", "search": "words(name)"}
    }"#;
    assert_eq!(schema, comptoir::json::object(&fields(wanted)));
}
