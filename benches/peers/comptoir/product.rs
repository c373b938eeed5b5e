//! The shop's products, the same integers as `lib/gen.mjs`, as records and as the text that devices are compared by. Must not
//! know the SDK's handle.

use comptoir::{FieldEdit, Fields, Key, RecordId, Timestamp, Value, View};
use serde_json::json;

pub(crate) const COLLECTION: &str = "products";
const ADJECTIVES: [&str; 8] = ["Red", "Blue", "Green", "Small", "Large", "Heavy", "Light", "Quick"];
const NOUNS: [&str; 8] = ["Lamp", "Chair", "Table", "Mug", "Shelf", "Clock", "Rug", "Vase"];
const TAGS: [&str; 10] = ["home", "sale", "new", "eco", "wood", "metal", "glass", "gift", "office", "garden"];
const FIRMS: [&str; 4] = ["Acme Trading", "Nordic Supply", "Harbour Goods", "Delta Imports"];

fn hash(number: u64) -> u32 {
    (number as u32 + 1).wrapping_mul(2_654_435_761)
}

fn of<'t>(texts: &[&'t str], place: u32) -> &'t str {
    texts[place as usize % texts.len()]
}

pub(crate) fn id(number: u64) -> RecordId {
    RecordId::new(COLLECTION, &format!("SKU-{number:07}")).expect("a valid key")
}

/// The number of a key.
pub(crate) fn number(key: &Key) -> u64 {
    key.as_str().strip_prefix("SKU-").and_then(|digits| digits.parse().ok()).expect("a product")
}

pub(crate) fn price(number: u64) -> i64 {
    i64::from(100 + (hash(number) >> 4) % 99_900)
}

fn name(number: u64) -> String {
    let hash = hash(number);
    format!("{} {} {}", of(&ADJECTIVES, hash % 8), of(&NOUNS, (hash >> 3) % 8), (hash >> 6) % 1000)
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A product as it is made.
pub(crate) fn made(number: u64) -> Fields {
    let hash = hash(number);
    let tags = [hash % 10, (hash >> 5) % 10, (hash >> 11) % 10].map(|place| text(of(&TAGS, place)));
    let phone = format!("+44 20 {}", 1_000_000 + hash % 9_000_000);
    let supplier = fields([("name", text(of(&FIRMS, (hash >> 2) % 4))), ("phone", text(phone))]);
    fields([
        ("sku", text(format!("SKU-{number:07}"))),
        ("name", text(name(number))),
        ("price", Value::Int(price(number))),
        ("stock", Value::Counter(i64::from(10 + (hash >> 9) % 90))),
        ("tags", Value::List(tags.into())),
        ("supplier", Value::Map(supplier)),
        ("updatedAt", Value::Timestamp(Timestamp { unix_ms: 1_700_000_000_000 + number as i64 * 1000 })),
    ])
}

/// One field set.
pub(crate) fn set(number: u64, field: &str, value: Value) -> (RecordId, FieldEdit) {
    (id(number), FieldEdit::Set(fields([(field, value)])))
}

/// What a device does while it is offline: `A` sets prices, `B` names; on some that both have, both take three from stock.
pub(crate) fn offline(products: u64, role: &str) -> Vec<(RecordId, FieldEdit)> {
    let (share, both) = (products / 10, products / 100);
    let from = if role == "A" { 0 } else { share - both };
    let edit = |number: u64| match role {
        _ if (share - both / 2..share).contains(&number) => {
            (id(number), FieldEdit::Increment { field: "stock".to_owned(), by: -3 })
        }
        "A" => set(number, "price", Value::Int(price(number) + 111)),
        _ => set(number, "name", text(format!("{} v2", name(number)))),
    };
    (from..from + share).map(edit).collect()
}

/// As `canon` in `lib/gen.mjs`.
pub(crate) fn canon(view: &View) -> String {
    let plain = |fields: &Fields, name: &str| match fields.get(name) {
        Some(Value::String(text)) => json!(text).to_string(),
        Some(Value::Int(number) | Value::Counter(number)) => number.to_string(),
        Some(Value::Timestamp(time)) => time.unix_ms.to_string(),
        other => format!("{other:?}"),
    };
    let of = |name: &str| plain(&view.fields, name);
    let tags: Vec<_> = match view.fields.get("tags") {
        Some(Value::List(tags)) => {
            tags.iter().map(|tag| if let Value::String(tag) = tag { tag.as_str() } else { "?" }).collect()
        }
        _ => Vec::new(),
    };
    let supplier = match view.fields.get("supplier") {
        Some(Value::Map(supplier)) => supplier.clone(),
        _ => Fields::new(),
    };
    format!(
        r#"{{"sku":{},"name":{},"price":{},"stock":{},"tags":{},"supplier":{{"name":{},"phone":{}}},"updatedAt":{}}}"#,
        of("sku"),
        of("name"),
        of("price"),
        of("stock"),
        json!(tags),
        plain(&supplier, "name"),
        plain(&supplier, "phone"),
        of("updatedAt"),
    )
}
