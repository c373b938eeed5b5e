//! Concurrent values: which are listed, which one is shown, and choosing another.

use super::{at, conflicts, edit, exchange, increment, record, set, shown, store, tea};
use comptoir_engine::record::json;
use comptoir_engine::{Author, Collection, Conflict, FieldEdit, RecordId};

fn values(conflict: &Conflict) -> String {
    let value = |rival: &comptoir_engine::Rival| {
        let Author::Device { name, .. } = &rival.author else { panic!("{rival:?}") };
        let object = json::object(&[("v".to_owned(), rival.value.clone())].into());
        format!("{} by {name}", object["v"])
    };
    format!("{}: {}", conflict.field, conflict.values.iter().map(value).collect::<Vec<_>>().join(" | "))
}

#[test]
fn concurrent_values_of_a_field_are_listed_and_one_can_be_chosen() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"price":100,"tags":["a"],"stock":5}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"price":120,"tags":["a","b"],"stock":7,"same":1,"supplier":{"phone":"1"}}"#), 10);
    edit(&mut b, set(r#"{"price":130,"tags":["c","a"],"same":1,"supplier":{"phone":"2"}}"#), 20);
    edit(&mut b, increment("stock", 3), 20);
    exchange(&mut a, &mut b);
    let found = conflicts(&a);
    assert_eq!(found, conflicts(&b));
    let fields: Vec<_> = found.iter().map(|conflict| conflict.field.as_str()).collect();
    assert_eq!(fields, ["/supplier/phone", "price"], "lists and counters merge, equal values agree");
    let view = a.get(&tea()).unwrap().unwrap();
    assert_eq!(view.fields["price"], found[1].values[0].value, "the first is what is shown");
    assert!(
        ["price: 130 by till 2 | 120 by till 1", "price: 120 by till 1 | 130 by till 2"].contains(&&*values(&found[1]))
    );
    for index in [0, 1] {
        let loser = found[index].values[1].clone();
        let field = found[index].field.clone();
        edit(&mut b, FieldEdit::Choose { field: field.clone(), change: loser.change }, 30);
        let again = b.commit_local(&[(tea(), FieldEdit::Choose { field, change: loser.change })], at(31)).unwrap_err();
        assert!(again.to_string().contains("no concurrent value"), "{again}");
    }
    exchange(&mut a, &mut b);
    for store in [&a, &b] {
        assert_eq!(conflicts(store), []);
        assert_eq!(store.get(&tea()).unwrap().unwrap().fields["price"], found[1].values[1].value);
    }
}

#[test]
fn a_deletion_holds_against_an_edit_and_is_no_conflict() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"price":100}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, FieldEdit::Delete, 1);
    edit(&mut b, set(r#"{"price":110}"#), 1);
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"deleted {"price":110}"#);
    assert_eq!((conflicts(&a), a.conflicts_of(&tea()).unwrap()), (vec![], vec![]));
}

#[test]
fn a_value_behind_a_map_is_a_conflict_too() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"name":"Tea"}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"supplier":"Ann"}"#), 1);
    edit(&mut b, set(r#"{"supplier":{"name":"Bob"}}"#), 1);
    exchange(&mut a, &mut b);
    let found = conflicts(&a);
    assert_eq!(found, conflicts(&b));
    assert_eq!(values(&found[0]), r#"supplier: {"name":"Bob"} by till 2 | "Ann" by till 1"#);
    edit(&mut a, FieldEdit::Choose { field: "supplier".to_owned(), change: found[0].values[1].change }, 2);
    assert_eq!((shown(&a), conflicts(&a)), (r#"{"name":"Tea","supplier":"Ann"}"#.to_owned(), vec![]));
}

#[test]
fn a_field_with_a_merge_rule_is_no_conflict() {
    let (mut a, mut b) = (store(1), store(2));
    let schema = RecordId::new("_schemas", "products").unwrap();
    let rules = r#"{"fields":{"best":{"type":"int","rule":"max"}}}"#;
    edit(&mut a, set(r#"{"price":100}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"best":1,"price":1}"#), 1);
    edit(&mut b, set(r#"{"best":2,"price":2}"#), 1);
    exchange(&mut a, &mut b);
    assert_eq!(conflicts(&a).len(), 2);
    a.commit_local(&[(schema, set(rules))], at(2)).unwrap();
    assert_eq!(conflicts(&a).iter().map(|conflict| conflict.field.as_str()).collect::<Vec<_>>(), ["price"]);
}

#[test]
fn conflicts_are_paged_by_record() {
    let (mut a, mut b) = (store(1), store(2));
    for key in ["a", "b", "c", "d", "e"] {
        for (store, price) in [(&mut a, 1), (&mut b, 2)] {
            store.commit_local(&[(record(key), set(&format!(r#"{{"price":{price}}}"#)))], at(0)).unwrap();
        }
    }
    exchange(&mut a, &mut b);
    let products = Collection::new("products").unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = a.conflicts(Some(&products), after.as_ref(), 2).unwrap();
        assert!(page.len() <= 2);
        found.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        found.iter().map(|conflict| conflict.record.key.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(a.conflicts(Some(&Collection::new("sales").unwrap()), None, 9).unwrap(), (vec![], None));
}
