//! Who changed what and when, records as they were, concurrent values, and taking changes back. Stores exchange their
//! outboxes directly.

use comptoir_engine::change::Change;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::pack;
use comptoir_engine::wire::{Batch, Item, Style};
use comptoir_engine::{
    Author, ChangeHash, Collection, Conflict, FieldEdit, Fields, HistoryPage, Label, RecordId, Settings, StoreError,
    Timestamp, Value, Version, View, WorkspaceId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use std::collections::BTreeSet;

const DAY: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp { unix_ms: (DAY + seconds) * 1000 }
}

fn settings(name: &str) -> Settings {
    let (relay, token) = (String::new(), String::new());
    Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name: name.to_owned() }
}

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    Store::create(Box::new(SimDisk::new()), "here", settings(&format!("till {seed}")), &mut rng).unwrap()
}

fn record(key: &str) -> RecordId {
    RecordId::new("products", key).unwrap()
}

fn tea() -> RecordId {
    record("tea")
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).unwrap())
}

fn increment(field: &str, by: i64) -> FieldEdit {
    FieldEdit::Increment { field: field.to_owned(), by }
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn edit(store: &mut Store, edit: FieldEdit, seconds: i64) {
    store.commit_local(&[(tea(), edit)], at(seconds)).unwrap();
}

fn send(from: &Store, to: &mut Store) {
    let mut next = 0;
    while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        to.apply_remote(&[outgoing.batch], None, at(0)).unwrap();
    }
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, b);
    send(b, a);
    assert_eq!(a.digest(), b.digest());
    assert_eq!((a.quarantined(), b.quarantined()), (0, 0));
}

fn shown(store: &Store) -> String {
    let view = store.get(&tea()).unwrap().unwrap();
    format!("{}{}", if view.deleted { "deleted " } else { "" }, json::object(&view.fields))
}

fn history(store: &Store) -> Vec<Version> {
    let history = store.history(&tea(), &HistoryPage { changes_max: 100, ..HistoryPage::default() }).unwrap();
    assert_eq!(history.next, None);
    history.versions
}

fn said(version: &Version) -> String {
    let json = |value: &Option<Value>| match value {
        Some(value) => json::object(&[("v".to_owned(), value.clone())].into())["v"].to_string(),
        None => "-".to_owned(),
    };
    let fields = version.fields.iter().map(|(name, d)| format!("{name}: {} -> {}", json(&d.before), json(&d.after)));
    let who = match &version.author {
        Author::Device { name, .. } => name.clone(),
        Author::Imported => "imported".to_owned(),
        Author::Unnamed(_) => "unnamed".to_owned(),
    };
    let label = version.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
    let marks = match (version.created, version.deleted) {
        (true, _) => " created",
        (_, Some(true)) => " deleted",
        (_, Some(false)) => " restored",
        _ => "",
    };
    format!("{who}{label}{marks} {}", fields.collect::<Vec<_>>().join(", "))
}

#[test]
fn history_says_who_did_what_and_when() {
    let (mut a, mut b) = (store(1), store(2));
    a.commit_labelled(&[(tea(), set(r#"{"name":"Tea","price":100}"#))], Some(&label("stocktake")), at(0)).unwrap();
    exchange(&mut a, &mut b);
    edit(&mut b, increment("stock", -3), 10);
    edit(&mut b, set(r#"{"supplier":{"name":"Ann"}}"#), 20);
    edit(&mut a, FieldEdit::Delete, 30);
    exchange(&mut a, &mut b);
    edit(&mut b, FieldEdit::Restore, 40);
    exchange(&mut a, &mut b);
    let expected = [
        "till 2 restored ",
        "till 1 deleted ",
        r#"till 2 /supplier/name: - -> "Ann""#,
        "till 2 stock: - -> -3",
        r#"till 1 (stocktake) created name: - -> "Tea", price: - -> 100"#,
    ];
    for store in [&a, &b] {
        let versions = history(store);
        assert_eq!(versions.iter().map(said).collect::<Vec<_>>(), expected);
        let times: Vec<_> = versions.iter().map(|version| version.at.unwrap()).collect();
        assert_eq!(times, [at(40), at(30), at(20), at(10), at(0)]);
    }
}

#[test]
fn history_is_paged_and_can_be_asked_for_one_field() {
    let mut a = store(1);
    edit(&mut a, set(r#"{"name":"Tea","supplier":{"name":"Ann","phone":"1"}}"#), 0);
    for round in 1..=5 {
        edit(&mut a, set(&format!(r#"{{"price":{round}}}"#)), round);
    }
    edit(&mut a, set(r#"{"supplier":{"name":"Ann","phone":"2"}}"#), 6);
    let all = history(&a);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = a.history(&tea(), &HistoryPage { changes_max: 2, after, field: None }).unwrap();
        assert!(page.versions.len() <= 2);
        paged.extend(page.versions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all);
    let of = |field: &str| {
        let page = HistoryPage { changes_max: 100, after: None, field: Some(field.to_owned()) };
        a.history(&tea(), &page).unwrap().versions.len()
    };
    assert_eq!((of("price"), of("supplier"), of("/supplier/phone"), of("/supplier/pho"), of("none")), (5, 2, 2, 0, 0));
    let absent = a.history(&record("milk"), &HistoryPage::default()).unwrap_err();
    assert!(absent.to_string().contains("no such record"), "{absent}");
}

#[test]
fn an_imported_row_has_no_author_and_counts_as_made_when_it_was_first_edited() {
    let mut a = store(1);
    edit(&mut a, FieldEdit::Import(json::parse(r#"{"name":"Tea"}"#).unwrap()), 0);
    assert_eq!(said(&history(&a)[0]), r#"imported created name: - -> "Tea""#);
    assert_eq!(history(&a)[0].at, None);
    assert!(a.view_at_time(&tea(), at(-1000)).unwrap().is_some(), "what nobody made was there always");
    edit(&mut a, set(r#"{"price":5}"#), 10);
    assert_eq!(history(&a)[1].at, Some(at(10)));
    assert_eq!(a.view_at_time(&tea(), at(9)).unwrap(), None);
    assert_eq!(a.view_at_time(&tea(), at(10)).unwrap(), a.get(&tea()).unwrap());
}

#[test]
fn a_record_is_shown_as_it_was_at_a_time_and_at_a_change() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"name":"Tea","tags":["hot"]}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"name":"Green tea"}"#), 10);
    // A clock that is behind: what it made does not come before what it saw.
    edit(&mut b, set(r#"{"tags":["hot","green"]}"#), -500);
    exchange(&mut a, &mut b);
    let at_time = |store: &Store, seconds| {
        let view = store.view_at_time(&tea(), at(seconds)).unwrap();
        view.map(|view| json::object(&view.fields).to_string())
    };
    for store in [&a, &b] {
        assert_eq!(at_time(store, -1), None);
        assert_eq!(at_time(store, 0).unwrap(), r#"{"name":"Tea","tags":["hot","green"]}"#);
        assert_eq!(at_time(store, 9).unwrap(), r#"{"name":"Tea","tags":["hot","green"]}"#);
        assert_eq!(at_time(store, 10).unwrap(), r#"{"name":"Green tea","tags":["hot","green"]}"#);
        let renamed = history(store)[0].change;
        let seen = store.view_at_change(&tea(), renamed).unwrap().unwrap();
        assert_eq!(json::object(&seen.fields).to_string(), r#"{"name":"Green tea","tags":["hot"]}"#);
        assert_eq!(store.change_named(&tea(), &renamed.short()).unwrap(), renamed);
    }
    assert_eq!(a.view_at_change(&tea(), ChangeHash([7; 32])).unwrap(), None);
    assert!(matches!(a.change_named(&tea(), ""), Err(StoreError::NoChange { .. })));
}

#[test]
fn a_renamed_device_has_its_new_name_and_a_copied_store_one_of_its_own() {
    let disk = SimDisk::new();
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let mut a = Store::create(Box::new(disk.clone()), "here", settings("bar"), &mut rng).unwrap();
    edit(&mut a, set(r#"{"name":"Tea"}"#), 0);
    assert_eq!((a.pending(), a.records()), (1, 1), "its name is no edit and no record of the shop's");
    assert_eq!(said(&history(&a)[0]), r#"bar created name: - -> "Tea""#);
    a.configure(settings("counter")).unwrap();
    assert_eq!(said(&history(&a)[0]), r#"bar created name: - -> "Tea""#, "known with its next edit");
    edit(&mut a, set(r#"{"price":1}"#), 1);
    assert_eq!(said(&history(&a)[1]), r#"counter created name: - -> "Tea""#);
    edit(&mut a, set(r#"{"price":2}"#), 2);
    let devices = Collection::new("_devices").unwrap();
    assert_eq!(a.list(&devices, None, 10).unwrap().len(), 1);
    drop(a);
    let mut copy = Store::open(Box::new(disk), "elsewhere", &mut rng).unwrap();
    edit(&mut copy, set(r#"{"price":3}"#), 3);
    assert_eq!(copy.list(&devices, None, 10).unwrap().len(), 2, "a fresh author, with a row of its own");
    let mut other = store(9);
    send(&copy, &mut other);
    assert_eq!(other.get(&tea()).unwrap(), copy.get(&tea()).unwrap());
    assert!(
        history(&other)
            .iter()
            .all(|version| matches!(&version.author, Author::Device { name, .. } if name == "counter"))
    );
}

#[test]
fn devices_that_import_the_same_rows_are_equal_before_they_meet() {
    let (mut a, mut b) = (store(1), store(2));
    for each in [&mut a, &mut b] {
        edit(each, FieldEdit::Import(json::parse(r#"{"name":"Tea"}"#).unwrap()), 0);
    }
    assert_eq!(a.digest(), b.digest());
}

#[test]
fn the_outbox_is_empty_when_everything_was_acknowledged_and_not_before() {
    let mut a = store(1);
    edit(&mut a, set(r#"{"name":"Tea"}"#), 0);
    edit(&mut a, set(r#"{"name":"Green tea"}"#), 0);
    assert_eq!((a.pending(), a.is_outbox_empty()), (2, false));
    let outgoing = a.outgoing(0, Style::Compact).unwrap().unwrap();
    a.acknowledge(outgoing.from, outgoing.through, &[], None, at(0)).unwrap();
    assert_eq!((a.pending(), a.is_outbox_empty()), (0, true));
    let device = a.list(&Collection::new("_devices").unwrap(), None, 1).unwrap().remove(0).0;
    a.offer(&[RecordId::new("_devices", device.as_str()).unwrap()]).unwrap();
    assert_eq!((a.pending(), a.is_outbox_empty()), (0, false), "a name is no edit, but it has to be sent");
}

// Conflicts.

fn conflicts(store: &Store) -> Vec<Conflict> {
    let (found, next) = store.conflicts(None, None, 100).unwrap();
    assert_eq!(next, None);
    found
}

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

// Undo.

#[test]
fn what_a_change_did_is_taken_back_and_what_others_changed_since_is_left() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"name":"Tea","price":100,"shelf":"A","stock":20}"#), 0);
    edit(&mut a, increment("stock", -1), 1);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"price":120,"shelf":"B","stock":50,"note":"new"}"#), 2);
    let change = history(&a)[0].change;
    exchange(&mut a, &mut b);
    edit(&mut b, set(r#"{"shelf":"C"}"#), 3);
    edit(&mut b, increment("stock", -2), 3);
    exchange(&mut a, &mut b);
    let undone = a.undo(&tea(), Some(change), Some(&label("oops")), at(4)).unwrap();
    assert_eq!(undone.left, [(tea(), "shelf".to_owned())]);
    assert_eq!(shown(&a), r#"{"name":"Tea","price":100,"shelf":"C","stock":17}"#);
    assert_eq!(history(&a)[0].label, Some(label("oops")));
    let again = a.undo(&tea(), None, None, at(5)).unwrap();
    assert_eq!((again.left, again.committed.changed.len()), (vec![], 1));
    assert_eq!(shown(&a), r#"{"name":"Tea","note":"new","price":120,"shelf":"C","stock":48}"#, "undone undoing");
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), shown(&b));
}

#[test]
fn undoing_twice_does_it_once_but_for_counters() {
    let mut a = store(1);
    edit(&mut a, set(r#"{"price":1}"#), 0);
    edit(&mut a, set(r#"{"price":2}"#), 1);
    let change = history(&a)[0].change;
    assert_eq!(a.undo(&tea(), Some(change), None, at(2)).unwrap().committed.changed, [tea()]);
    let digest = a.digest();
    let again = a.undo(&tea(), Some(change), None, at(3)).unwrap();
    assert_eq!((again.committed.changed, again.left), (vec![], vec![(tea(), "price".to_owned())]));
    assert_eq!((a.digest(), shown(&a)), (digest, r#"{"price":1}"#.to_owned()));
}

#[test]
fn a_record_that_was_made_is_deleted_and_a_deletion_restored() {
    let mut a = store(1);
    edit(&mut a, set(r#"{"name":"Tea"}"#), 0);
    a.undo(&tea(), None, None, at(1)).unwrap();
    assert_eq!(shown(&a), r#"deleted {"name":"Tea"}"#);
    a.undo(&tea(), None, None, at(2)).unwrap();
    assert_eq!(shown(&a), r#"{"name":"Tea"}"#);
    edit(&mut a, FieldEdit::Delete, 3);
    a.undo(&tea(), None, None, at(4)).unwrap();
    assert_eq!(shown(&a), r#"{"name":"Tea"}"#);
    let unknown = a.undo(&tea(), Some(ChangeHash([1; 32])), None, at(5)).unwrap_err();
    assert!(unknown.to_string().contains("no change"), "{unknown}");
}

#[test]
fn a_concurrent_value_shows_again_when_the_winner_is_taken_back() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"price":1}"#), 0);
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"price":2}"#), 1);
    edit(&mut b, set(r#"{"price":3}"#), 1);
    exchange(&mut a, &mut b);
    let conflict = conflicts(&a).remove(0);
    a.undo(&tea(), Some(conflict.values[0].change), None, at(2)).unwrap();
    assert_eq!(a.get(&tea()).unwrap().unwrap().fields["price"], conflict.values[1].value);
}

#[test]
fn a_transaction_is_taken_back_as_a_whole_on_another_device() {
    let (mut a, mut b) = (store(1), store(2));
    let (milk, sale) = (record("milk"), RecordId::new("sales", "1").unwrap());
    for product in [tea(), milk.clone()] {
        a.commit_local(&[(product, set(r#"{"stock":10}"#))], at(0)).unwrap();
    }
    let edits = [
        (sale.clone(), set(r#"{"total_cents":640}"#)),
        (tea(), increment("stock", -2)),
        (milk.clone(), increment("stock", -1)),
    ];
    let committed = a.commit_labelled(&edits, Some(&label("sale 1")), at(1)).unwrap();
    let id = committed.transaction.unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(history(&b)[0].transaction, Some(id));
    assert_eq!(history(&b)[0].label, Some(label("sale 1")));
    b.commit_local(&[(tea(), increment("stock", -4))], at(2)).unwrap();
    let undone = b.undo_transaction(id, None, at(3)).unwrap();
    assert_eq!((undone.committed.changed.len(), undone.left), (3, vec![]));
    assert!(undone.committed.transaction.is_some_and(|undone| undone != id));
    exchange(&mut a, &mut b);
    let field = |record: &RecordId| a.get(record).unwrap().unwrap().fields["stock"].clone();
    assert_eq!((field(&tea()), field(&milk)), (Value::Counter(6), Value::Counter(10)));
    assert!(a.get(&sale).unwrap().unwrap().deleted);
    let again = a.undo_transaction(undone.committed.transaction.unwrap(), None, at(4)).unwrap();
    assert_eq!(again.committed.changed.len(), 3);
    assert!(!a.get(&sale).unwrap().unwrap().deleted);
    let unknown = comptoir_engine::TransactionId([1; 8]);
    assert_eq!(a.undo_transaction(unknown, None, at(5)), Err(StoreError::NoTransaction { id: unknown }));
}

#[test]
fn a_transaction_keeps_its_id_where_a_store_was_set_back() {
    let (mut log, mut before, mut after) = (store(9), store(1), store(1));
    for each in [&mut before, &mut after] {
        edit(each, set(r#"{"stock":10}"#), 0);
    }
    edit(&mut before, increment("stock", -1), 1);
    send(&before, &mut log);
    let edits = [(tea(), increment("stock", -2)), (record("milk"), set(r#"{"stock":1}"#))];
    let id = after.commit_local(&edits, at(1)).unwrap().transaction.unwrap();
    let theirs = before.outgoing(0, Style::Explicit).unwrap().unwrap().batch;
    let Err(StoreError::Forked { record, actor, seq }) = after.apply_remote(std::slice::from_ref(&theirs), None, at(2))
    else {
        panic!("a fork")
    };
    after.reauthor(&record, &actor, seq).unwrap();
    after.apply_remote(&[theirs], None, at(2)).unwrap();
    edit(&mut after, set(r#"{"price":5}"#), 3);
    send(&after, &mut log);
    assert_eq!((after.digest(), after.quarantined()), (log.digest(), 0));
    assert!(
        history(&log).iter().all(|version| matches!(version.author, Author::Device { .. })),
        "every author is named"
    );
    log.undo_transaction(id, None, at(4)).unwrap();
    assert_eq!(shown(&log), r#"{"price":5,"stock":9}"#);
    assert!(log.get(&self::record("milk")).unwrap().unwrap().deleted);
}

#[test]
fn a_label_costs_its_length_and_a_single_edit_without_one_nothing() {
    let changed_bytes = |edits: &[(RecordId, FieldEdit)], text: Option<&str>| {
        let mut a = store(1);
        edit(&mut a, increment("stock", 9), 0);
        let first = a.outgoing(0, Style::Compact).unwrap().unwrap();
        a.commit_labelled(edits, text.map(label).as_ref(), at(1)).unwrap();
        a.outgoing(first.through + 1, Style::Compact).unwrap().unwrap().batch.len()
    };
    let one = [(tea(), increment("stock", -1))];
    let plain = changed_bytes(&one, None);
    assert!(plain < 140, "{plain}");
    assert_eq!(changed_bytes(&one, Some("sale 1204")), plain + "sale 1204".len());
    let two = [one[0].clone(), (record("milk"), increment("stock", -1))];
    assert!(changed_bytes(&two, None) < 250);
}

// By chance.

#[derive(Debug, Clone)]
enum Step {
    Edit { at: usize, edit: FieldEdit },
    Exchange,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..4i64).prop_map(Value::Int),
        2 => "[ab]{0,2}".prop_map(Value::String),
        1 => Just(Value::Null),
        1 => vec((0..3i64).prop_map(Value::Int), 0..3).prop_map(Value::List),
        1 => "[ab]{0,3}".prop_map(Value::Text),
        1 => (0..4i64).prop_map(Value::Counter),
        1 => prop::collection::btree_map("[xy]", (0..3i64).prop_map(Value::Int), 0..2).prop_map(Value::Map),
    ]
}

fn fields(names: &'static str) -> impl Strategy<Value = Fields> {
    prop::collection::btree_map(names, value(), 1..3)
}

fn any_edit(names: &'static str) -> impl Strategy<Value = FieldEdit> {
    prop_oneof![
        5 => fields(names).prop_map(FieldEdit::Set),
        1 => fields(names).prop_map(FieldEdit::Import),
        3 => (names, -3..4i64).prop_map(|(field, by)| FieldEdit::Increment { field, by }),
        2 => names.prop_map(|field| FieldEdit::Unset { field }),
        1 => Just(FieldEdit::Delete),
        1 => Just(FieldEdit::Restore),
    ]
}

fn steps(names: &'static str) -> impl Strategy<Value = Vec<Step>> {
    let edit = (0..3usize, any_edit(names)).prop_map(|(at, edit)| Step::Edit { at, edit });
    vec(prop_oneof![4 => edit, 1 => Just(Step::Exchange)], 1..16)
}

fn run(steps: &[Step]) -> Vec<Store> {
    let mut stores: Vec<Store> = (1..=3).map(store).collect();
    for (second, step) in (0..).zip(steps) {
        match step {
            Step::Edit { at: device, edit } => {
                let _ = stores[*device].commit_local(&[(tea(), edit.clone())], at(second));
            }
            Step::Exchange => meet(&mut stores),
        }
    }
    stores
}

fn meet(stores: &mut [Store]) {
    for from in 0..stores.len() {
        for to in (0..stores.len()).filter(|to| *to != from) {
            let [source, target] = stores.get_disjoint_mut([from, to]).unwrap();
            send(source, target);
        }
    }
}

/// A view with what differs in name only made alike: a counter and its number, an absent counter and one at 0.
fn plain(view: Option<View>) -> (Fields, bool) {
    let view = view.unwrap_or(View { fields: Fields::new(), deleted: true });
    let number = |value| match value {
        Value::Counter(number) => Value::Int(number),
        value => value,
    };
    let fields = view.fields.into_iter().map(|(name, value)| (name, number(value)));
    (fields.filter(|(_, value)| *value != Value::Int(0)).collect(), view.deleted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_undone_at_once_is_as_if_it_had_never_been(steps in steps("[abc]"), last in any_edit("[abc]")) {
        let mut stores = run(&steps);
        let a = &mut stores[0];
        let before = a.get(&tea()).unwrap();
        let existed = before.is_some() && !history(a).is_empty();
        let Ok(committed) = a.commit_local(&[(tea(), last)], at(100)) else { return Ok(()) };
        if committed.changed.is_empty() || history(a).first().is_none_or(|version| version.at != Some(at(100))) {
            return Ok(());
        }
        let change = history(a)[0].change;
        let after = a.get(&tea()).unwrap();
        let undone = a.undo(&tea(), Some(change), None, at(101)).unwrap();
        prop_assert_eq!(undone.left, vec![]);
        let (mut now, mut then) = (plain(a.get(&tea()).unwrap()), plain(before));
        if !existed {
            prop_assert!(now.1, "what it made is deleted");
            (now, then) = Default::default();
        }
        prop_assert_eq!(now, then);
        let redone = a.undo(&tea(), None, None, at(102)).unwrap();
        prop_assert_eq!(redone.left, vec![]);
        prop_assert_eq!(plain(a.get(&tea()).unwrap()), plain(after));
    }

    #[test]
    fn what_is_undone_later_leaves_what_others_did_in_other_fields(
        shared in steps("[abc]"),
        mine in any_edit("[abc]"),
        theirs in vec(any_edit("[xyz]"), 1..5),
    ) {
        let only_fields = |edit: &FieldEdit| !matches!(edit, FieldEdit::Delete | FieldEdit::Restore);
        let theirs: Vec<_> = theirs.into_iter().filter(only_fields).collect();
        prop_assume!(only_fields(&mine));
        let outcome = |with_mine: bool| {
            let mut stores = run(&shared);
            stores[0].commit_local(&[(tea(), set(r#"{"d":1}"#))], at(50)).ok()?;
            meet(&mut stores);
            let before = history(&stores[0]);
            if with_mine {
                let _ = stores[0].commit_local(&[(tea(), mine.clone())], at(100));
            }
            for edit in &theirs {
                let _ = stores[1].commit_local(&[(tea(), edit.clone())], at(101));
            }
            let after = history(&stores[0]);
            let change = (after.len() > before.len()).then(|| after[0].change);
            meet(&mut stores);
            if let Some(change) = change {
                assert_eq!(stores[2].undo(&tea(), Some(change), None, at(102)).unwrap().left, []);
            }
            meet(&mut stores);
            let views: Vec<_> = stores.iter().map(|store| plain(store.get(&tea()).unwrap())).collect();
            assert!(views.windows(2).all(|pair| pair[0] == pair[1]));
            Some(views[0].clone())
        };
        prop_assert_eq!(outcome(true), outcome(false));
    }

    #[test]
    fn counters_are_exact_whatever_is_undone(
        sold in vec((0..3usize, -9..10i64), 1..12),
        undone in vec((0..3usize, any::<prop::sample::Index>()), 0..6),
        meets in vec(any::<bool>(), 12),
    ) {
        let mut stores: Vec<Store> = (1..=3).map(store).collect();
        let mut sum = 0;
        for ((device, by), meets) in sold.iter().zip(meets) {
            if *by != 0 {
                edit(&mut stores[*device], increment("stock", *by), 0);
                sum += by;
            }
            if meets {
                meet(&mut stores);
            }
        }
        meet(&mut stores);
        prop_assume!(stores[0].get(&tea()).unwrap().is_some());
        // Several devices may take back the same one before they meet: each does.
        for (device, which) in undone {
            let versions = history(&stores[device]);
            let version = &versions[which.index(versions.len())];
            let number = |value: &Option<Value>| match value {
                Some(Value::Counter(number) | Value::Int(number)) => *number,
                _ => 0,
            };
            let by: i64 = version.fields.values().map(|d| number(&d.after) - number(&d.before)).sum();
            let undone = stores[device].undo(&tea(), Some(version.change), None, at(1)).unwrap();
            prop_assert_eq!(undone.left, vec![]);
            let view = stores[device].get(&tea()).unwrap().unwrap();
            if view.deleted {
                return Ok(());
            }
            sum -= by;
        }
        meet(&mut stores);
        for store in &stores {
            let (fields, _) = plain(store.get(&tea()).unwrap());
            prop_assert_eq!(fields.get("stock").cloned().unwrap_or(Value::Int(0)), Value::Int(sum));
        }
    }

    #[test]
    fn history_agrees_with_a_replay_of_the_changes(steps in steps("[abc]")) {
        let mut stores = run(&steps);
        meet(&mut stores);
        if stores[0].get(&tea()).unwrap().is_none() {
            return Ok(());
        }
        let versions = history(&stores[0]);
        for store in &stores {
            prop_assert_eq!(&history(store), &versions, "the same on every device");
        }
        let changes = all_changes(&mut stores[0]);
        for version in versions {
            let mut wanted = vec![version.change];
            let mut followed: Vec<_> = changes.iter().rev().filter(|change| {
                let is = wanted.contains(&change.hash());
                if is {
                    wanted.extend(&change.parts().deps);
                }
                is
            }).cloned().collect();
            followed.reverse();
            let mut replayed = store(9);
            deliver(&mut replayed, &followed);
            let there = replayed.get(&tea()).unwrap().unwrap();
            for (name, difference) in version.fields.iter().filter(|(name, _)| !name.contains('/')) {
                let shown = there.fields.get(name).filter(|value| !matches!(value, Value::Map(_)));
                let after = difference.after.as_ref().filter(|value| !matches!(value, Value::Map(_)));
                prop_assert_eq!(shown, after);
            }
            prop_assert_eq!(stores[1].view_at_change(&tea(), version.change).unwrap(), Some(there));
        }
    }

    #[test]
    fn conflicts_are_the_same_in_any_order_of_delivery(steps in steps("[ab]"), order in vec(any::<u32>(), 64)) {
        let mut stores = run(&steps);
        meet(&mut stores);
        let mut late = store(7);
        // Any order in which nothing comes before what it follows, one change at a time.
        let mut waiting = all_changes(&mut stores[0]);
        let mut delivered: Vec<ChangeHash> = Vec::new();
        for pick in order.into_iter().cycle().take(waiting.len()) {
            let ready: Vec<_> = waiting.iter().enumerate().filter(|(_, change)| change.parts().deps.iter().all(|dep| delivered.contains(dep))).collect();
            let (place, _) = ready[pick as usize % ready.len()];
            let change = waiting.remove(place);
            delivered.push(change.hash());
            deliver(&mut late, std::slice::from_ref(&change));
        }
        for store in &stores {
            send(store, &mut late);
        }
        let found = conflicts(&stores[0]);
        for store in stores.iter().chain([&late]) {
            prop_assert_eq!(&conflicts(store), &found);
            if let Some(view) = store.get(&tea()).unwrap().filter(|view| !view.deleted) {
                let all = store.conflicts_of(&tea()).unwrap();
                prop_assert_eq!(&all, &found, "the mark in the store misses none");
                for conflict in all {
                    let mut path = conflict.field.trim_start_matches('/').split('/');
                    let shown = path.try_fold(Value::Map(view.fields.clone()), |value, name| match value {
                Value::Map(mut fields) => fields.remove(name),
                _ => None,
            });
                    prop_assert_eq!(shown.as_ref(), Some(&conflict.values[0].value));
                }
            }
        }
    }
}

/// All changes of the record, each behind those it follows.
fn all_changes(store: &mut Store) -> Vec<Change> {
    let _ = store.offer(&[tea()]);
    let mut all = Vec::new();
    let mut next = 0;
    while let Some(outgoing) = store.outgoing(next, Style::Explicit).unwrap() {
        next = outgoing.through + 1;
        let batch = Batch::decode(&outgoing.batch).unwrap();
        all.extend(batch.unpack(&settings("").workspace, |_, _, _| None).unwrap().changes);
    }
    let of_tea = all.into_iter().filter(|(record, _)| *record == tea());
    let mut known = BTreeSet::new();
    of_tea.map(|(_, change)| change.unwrap()).filter(|change| known.insert(change.hash())).collect()
}

fn deliver(to: &mut Store, changes: &[Change]) {
    let deps = |change: &Change| change.parts().deps.iter().map(|_| (change.parts().actor.clone(), 1)).collect();
    let items: Vec<_> =
        changes.iter().map(|change| Item { record: tea(), change: change.clone(), deps: deps(change) }).collect();
    to.apply_remote(&[pack(&items, Style::Explicit).unwrap()], None, at(0)).unwrap();
    assert_eq!(to.quarantined(), 0);
}
