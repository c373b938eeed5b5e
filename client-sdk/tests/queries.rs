//! `comptoir list` with questions: what is asked, what is answered, and what is refused.

mod till;

use serde_json::json;
use till::Till;

fn shop() -> Till {
    let till = Till::new();
    for (key, fields) in [
        ("tea", r#"{"name": "Thé vert", "price_cents": 320, "department": "GROCERY"}"#),
        ("milk", r#"{"name": "Milk", "price_cents": 110, "department": "DAIRY"}"#),
        ("rice", r#"{"name": "Rice", "price_cents": 210.5, "department": "GROCERY"}"#),
        ("soap", r#"{"name": "Savon", "department": null}"#),
    ] {
        till.run(&["put", "products", key, fields]).ok();
    }
    till.run(&["delete", "products", "rice"]).ok();
    till
}

fn keys(till: &Till, args: &[&str]) -> Vec<String> {
    let said = till.run(&[&["list", "products"], args].concat()).ok();
    said.lines().filter_map(|line| line.split_once(" {")).map(|(key, _)| key.to_owned()).collect()
}

#[test]
fn a_list_without_a_question_is_all_records_by_key() {
    let till = shop();
    assert_eq!(keys(&till, &[]), ["milk", "soap", "tea"]);
    assert_eq!(keys(&till, &["--deleted"]), ["milk", "rice", "soap", "tea"]);
}

#[test]
fn a_list_answers_what_is_asked() {
    let till = shop();
    assert_eq!(keys(&till, &["--where", "price_cents >= 110 and department = 'GROCERY'"]), ["tea"]);
    assert_eq!(keys(&till, &["--where", "price_cents < 300", "--deleted"]), ["milk", "rice"]);
    assert_eq!(keys(&till, &["--search", "VERT the"]), ["tea"]);
    assert_eq!(keys(&till, &["--order", "price_cents desc"]), ["tea", "milk", "soap"]);
    assert_eq!(till.run(&["list", "products", "--count"]).ok(), "3\n");
    assert_eq!(till.run(&["list", "products", "--sum", "price_cents"]).ok(), "430\n");
    assert_eq!(till.run(&["list", "products", "--group", "department"]).ok(), "null 1\nDAIRY 1\nGROCERY 1\n");
    let sum = till.json(&["list", "products", "--sum", "price_cents", "--deleted"]);
    assert_eq!(sum, json!({"count": 4, "sum": 640.5}));
}

#[test]
fn a_page_ends_in_the_cursor_of_the_next() {
    let till = shop();
    let said = till.run(&["list", "products", "--limit", "2"]).ok();
    let cursor = said.lines().last().and_then(|line| line.strip_prefix("There may be more: --after ")).unwrap();
    assert_eq!(keys(&till, &["--limit", "2", "--after", cursor]), ["tea"]);
    let line = till.run(&["list", "products", "--order", "name", "--after", cursor]).fails(1);
    assert!(line.contains("another query"), "{line}");
    let line = till.run(&["list", "products", "--after", "tea"]).fails(2);
    assert!(line.contains("no cursor"), "{line}");
}

#[test]
fn an_index_is_explained() {
    let till = shop();
    let schema = till.write("schema.json", br#"{"indexes": {"by_price": "price_cents"}}"#);
    till.run(&["schema", "set", "products", &schema]).ok();
    let how = till.json(&["list", "products", "--where", "price_cents > 200 and name != 'x'", "--explain"]);
    let expected = json!({
        "index": "by_price", "served": ["price_cents > 200"], "rechecked": ["name != \"x\""], "order": "_key",
        "sorted": "all", "index_rows": 1, "records": 2, "found": 1,
    });
    assert_eq!(how, expected);
    let said = till.run(&["list", "products", "--order", "name", "--explain"]).ok();
    assert!(said.starts_with("Through no index: ") && said.contains("all that was found is sorted"), "{said}");
}

#[test]
fn a_question_that_cannot_be_understood_is_told_where() {
    let till = shop();
    let line = till.run(&["list", "products", "--where", "price_cents <"]).fails(2);
    assert!(line.contains("at character 14 there should be a value"), "{line}");
    let line = till.run(&["list", "products", "--order", "price_cents down"]).fails(2);
    assert!(line.contains("asc, desc"), "{line}");
    let line = till.run(&["list", "products", "--count", "--limit", "3"]).fails(2);
    assert!(line.contains("rules it out"), "{line}");
    let line = till.run(&["list", "products", "--where", "a = 1 or", "--json"]).fails(2);
    let error: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(error["error"]["code"], "query-syntax");
    let french = till.command(&["list", "products", "--where", "a"]).env("COMPTOIR_LANG", "fr").output().unwrap();
    let line = till::Said::from(french).fails(2);
    assert!(line.contains("au caractère 2 il faudrait"), "{line}");
}
