//! Two versions of an app on one store, each of which sets the schema its structs say whenever it starts: neither undoes
//! what the other said.

use comptoir::{Comptoir, Record, Settings, WorkspaceId, json};
use std::path::Path;

mod older {
    use comptoir::Record;

    #[derive(Debug, Clone, PartialEq, Record)]
    #[record(collection = "products", index(by_name = "name"))]
    pub(crate) struct Product {
        #[record(key)]
        pub(crate) id: String,
        pub(crate) name: String,
        pub(crate) stock: i64,
        #[record(rule = "forward(listed<retired)", default = "listed")]
        pub(crate) status: String,
    }
}

mod newer {
    use comptoir::Record;

    #[derive(Debug, Clone, PartialEq, Record)]
    #[record(collection = "products", index(by_department = "department"), index(by_name = "name, department"))]
    pub(crate) struct Product {
        #[record(key)]
        pub(crate) id: String,
        pub(crate) name: Option<String>,
        pub(crate) department: Option<String>,
        #[record(rule = "counter")]
        pub(crate) stock: i64,
        #[record(rule = "forward(listed<reduced<retired)", default = "listed")]
        pub(crate) status: String,
    }
}

mod other {
    use comptoir::Record;

    #[derive(Debug, Clone, PartialEq, Record)]
    #[record(collection = "products")]
    pub(crate) struct Product {
        #[record(key)]
        pub(crate) id: String,
        pub(crate) name: i64,
    }
}

async fn shop(dir: &Path) -> Comptoir {
    let settings = Settings {
        workspace: WorkspaceId::new("corner-bar").expect("a name"),
        relay: String::new(),
        token: String::new(),
        device_name: "till".to_owned(),
    };
    Comptoir::init(dir, settings).await.expect("a store")
}

async fn says(shop: &Comptoir) -> serde_json::Value {
    json::object(&shop.schema("products").await.expect("a schema").fields())
}

/// Whether a start of the app changed the schema.
async fn changes<R: Record>(shop: &Comptoir) -> bool {
    !shop.ensure_schema::<R>().await.expect("a schema").changed.is_empty()
}

#[tokio::test]
async fn two_versions_of_an_app_come_to_rest_on_one_schema_that_serves_both() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    assert!(changes::<older::Product>(&shop).await);
    assert!(!changes::<older::Product>(&shop).await, "the second start finds it there");
    assert_eq!(*shop.schema("products").await.expect("a schema"), older::Product::schema());
    let tea = older::Product { id: "tea".to_owned(), name: "Tea".to_owned(), stock: 3, status: "listed".to_owned() };
    shop.save(&tea).await.expect("saved");

    assert!(changes::<newer::Product>(&shop).await);
    let both = serde_json::json!({
        "fields": {
            "department": {"type": "string"},
            "name": {"type": "string"},
            "status": {"type": "string", "rule": "forward(listed<reduced<retired)", "default": "listed"},
            "stock": {"type": "counter"},
        },
        "indexes": {"by_name": "name", "by_department": "department"},
    });
    assert_eq!(says(&shop).await, both);
    for start in 0..2 {
        assert!(!changes::<older::Product>(&shop).await, "start {start} of the older app");
        assert!(!changes::<newer::Product>(&shop).await, "start {start} of the newer app");
    }
    assert_eq!(says(&shop).await, both);

    shop.update("tea", |tea: &mut newer::Product| tea.status = "reduced".to_owned()).await.expect("saved");
    let tea: older::Product = shop.load("tea").await.expect("read").expect("a product");
    assert_eq!((tea.status.as_str(), tea.stock), ("reduced", 3));
}

#[tokio::test]
async fn what_a_person_said_stays_and_another_type_is_an_error_that_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = shop(dir.path()).await;
    let said = r#"{"fields": {"name": {"type": "string", "rule": "first"}, "/supplier/name": {"type": "string"}},
                   "indexes": {"search": "words(name)"}}"#;
    shop.set_schema("products", json::parse(said).expect("fields")).await.expect("set");
    let own = says(&shop).await;
    shop.put("products", "tea", json::parse(r#"{"name": "Tea"}"#).expect("fields")).await.expect("saved");
    let error = shop.ensure_schema::<other::Product>().await.expect_err("a number is no text");
    assert_eq!(error.code(), "schema-type");
    assert!(error.to_string().contains("\"name\" is of type string and cannot become int"), "{error}");
    assert_eq!(says(&shop).await, own);

    assert!(changes::<newer::Product>(&shop).await);
    let now = says(&shop).await;
    assert_eq!(now["fields"]["name"], own["fields"]["name"], "its rule too");
    assert_eq!(now["fields"]["/supplier/name"], own["fields"]["/supplier/name"]);
    assert_eq!(now["indexes"].as_object().expect("indexes").len(), 3);
}
