//! What history says of a record's changes, and the record as it was.

use super::{at, edit, exchange, history, increment, label, record, said, send, set, settings, store, tea};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{Author, ChangeHash, Collection, FieldEdit, HistoryPage, RecordId, StoreError};
use rand::SeedableRng;

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
