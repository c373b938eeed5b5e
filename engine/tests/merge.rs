//! Two stores that exchange their outboxes directly: what merges, and how. No relay, no session.

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{FieldEdit, RecordId, Settings, StoreError, Timestamp, Value, WorkspaceId};
use rand::SeedableRng;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let settings = Settings {
        workspace: WorkspaceId::new("shop").unwrap(),
        relay: String::new(),
        token: String::new(),
        device_name: format!("till {seed}"),
    };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn tea() -> RecordId {
    RecordId::new("products", "tea").unwrap()
}

fn set(text: &str) -> FieldEdit {
    FieldEdit::Set(json::parse(text).unwrap())
}

fn increment(field: &str, by: i64) -> FieldEdit {
    FieldEdit::Increment { field: field.to_owned(), by }
}

fn edit(store: &mut Store, edit: FieldEdit) -> u64 {
    store.commit_local(&[(tea(), edit)], NOW).unwrap().changed.len() as u64
}

/// Everything `from` ever made goes to `to`.
fn send(from: &Store, to: &mut Store) {
    let mut next = 0;
    while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        to.apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, b);
    send(b, a);
    assert_eq!(a.digest(), b.digest());
    assert_eq!(a.get(&tea()).unwrap(), b.get(&tea()).unwrap());
    assert_eq!((a.quarantined(), b.quarantined()), (0, 0));
}

fn shown(store: &Store) -> String {
    json::object(&store.get(&tea()).unwrap().unwrap().fields).to_string()
}

#[test]
fn different_fields_and_both_decrements_survive() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"name":"Tea","price":100,"stock":10}"#));
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"price":120}"#));
    edit(&mut b, set(r#"{"name":"Green tea"}"#));
    edit(&mut a, increment("stock", -3));
    edit(&mut b, increment("stock", -4));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"name":"Green tea","price":120,"stock":3}"#);
}

#[test]
fn a_record_created_on_both_sides_is_one_record_with_the_exact_stock() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"name":"Tea"}"#));
    edit(&mut a, increment("stock", -3));
    edit(&mut b, set(r#"{"price":5}"#));
    edit(&mut b, increment("stock", -4));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"name":"Tea","price":5,"stock":-7}"#);
}

#[test]
fn a_number_set_on_one_side_and_decrements_on_the_other_add_up() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"stock":100}"#));
    edit(&mut b, increment("stock", -3));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&b), r#"{"stock":97}"#);
    edit(&mut a, set(r#"{"stock":90}"#));
    edit(&mut b, increment("stock", -1));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"stock":89}"#);
}

#[test]
fn a_write_that_changes_nothing_makes_no_change() {
    let mut a = store(1);
    let row = r#"{"a":1,"b":[1,{"c":null}],"d":{"":true,"e":{},"f":"x/y~z"},"g":1.5}"#;
    assert_eq!(edit(&mut a, set(row)), 1);
    let digest = a.digest();
    assert_eq!(edit(&mut a, set(row)), 0);
    assert_eq!(edit(&mut a, FieldEdit::Unset { field: "none".to_owned() }), 0);
    assert_eq!(edit(&mut a, FieldEdit::Restore), 0);
    assert_eq!(a.digest(), digest);
    assert_eq!(shown(&a), row);
}

#[test]
fn a_record_without_fields_exists() {
    let mut a = store(1);
    assert_eq!(edit(&mut a, set("{}")), 1);
    assert_eq!(shown(&a), "{}");
    assert_eq!(edit(&mut a, set("{}")), 0);
}

#[test]
fn the_same_row_imported_twice_is_one_change() {
    let (mut a, mut b) = (store(1), store(2));
    let row = r#"{"id":"tea","tags":["hot","green"],"supplier":{"name":"Ann"}}"#;
    for each in [&mut a, &mut b] {
        edit(each, FieldEdit::Import(json::parse(row).unwrap()));
    }
    assert_eq!(a.digest(), b.digest());
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"id":"tea","supplier":{"name":"Ann"},"tags":["hot","green"]}"#);
}

#[test]
fn lists_and_maps_edited_on_both_sides_merge() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"tags":["a","b","c"],"supplier":{"name":"Ann","phone":"1"}}"#));
    exchange(&mut a, &mut b);
    edit(&mut a, set(r#"{"tags":["x","a","b","c"],"supplier":{"name":"Ann","phone":"2"}}"#));
    edit(&mut b, set(r#"{"tags":["a","b","c","y"],"supplier":{"name":"Bob","phone":"1"}}"#));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"supplier":{"name":"Bob","phone":"2"},"tags":["x","a","b","c","y"]}"#);
}

#[test]
fn a_deleted_record_stays_deleted_until_it_is_restored() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, set(r#"{"stock":5}"#));
    exchange(&mut a, &mut b);
    edit(&mut a, FieldEdit::Delete);
    edit(&mut b, increment("stock", -1));
    exchange(&mut a, &mut b);
    assert!(a.get(&tea()).unwrap().unwrap().deleted);
    assert_eq!(a.records(), 0);
    assert!(a.commit_local(&[(tea(), set(r#"{"x":1}"#))], NOW).is_err());
    edit(&mut b, FieldEdit::Restore);
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"stock":4}"#);
}

#[test]
fn an_unset_counter_shows_only_what_was_added_elsewhere_meanwhile() {
    let (mut a, mut b) = (store(1), store(2));
    edit(&mut a, increment("stock", 7));
    exchange(&mut a, &mut b);
    edit(&mut a, FieldEdit::Unset { field: "stock".to_owned() });
    assert_eq!(shown(&a), "{}");
    edit(&mut b, increment("stock", -2));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"stock":-2}"#);
    edit(&mut a, set(r#"{"stock":"sold out"}"#));
    assert_eq!(shown(&a), r#"{"stock":"sold out"}"#);
    edit(&mut a, set(r#"{"stock":4}"#));
    assert_eq!(shown(&a), r#"{"stock":4}"#);
}

#[test]
fn texts_edited_on_both_sides_merge() {
    let (mut a, mut b) = (store(1), store(2));
    let text = |text: &str| FieldEdit::Set([("note".to_owned(), Value::Text(text.to_owned()))].into());
    edit(&mut a, text("call the supplier"));
    exchange(&mut a, &mut b);
    edit(&mut a, text("please call the supplier"));
    edit(&mut b, text("call the supplier today"));
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a), r#"{"note":"please call the supplier today"}"#);
}

#[test]
fn a_long_history_is_compacted_and_loads_again() {
    let (mut a, mut b) = (store(1), store(2));
    for round in 0..100 {
        edit(&mut a, increment("stock", 1));
        edit(&mut b, set(&format!(r#"{{"price":{round}}}"#)));
        if round % 10 == 0 {
            exchange(&mut a, &mut b);
        }
    }
    exchange(&mut a, &mut b);
    assert_eq!(shown(&b), r#"{"price":99,"stock":100}"#);
}

#[test]
fn a_rolled_back_store_makes_its_newest_edits_again_under_a_fresh_actor() {
    // The same seed: the same actor, as in a virtual machine set back to an earlier moment.
    let (mut log, mut before, mut after) = (store(9), store(1), store(1));
    edit(&mut before, set(r#"{"name":"Tea","stock":10,"tags":["a"]}"#));
    edit(&mut after, set(r#"{"name":"Tea","stock":10,"tags":["a"]}"#));
    edit(&mut before, increment("stock", -1));
    send(&before, &mut log);
    edit(&mut after, set(r#"{"price":5,"tags":["a","b"]}"#));
    edit(&mut after, increment("stock", -2));
    let theirs = log_batch(&before);
    let error = after.apply_remote(std::slice::from_ref(&theirs), None, NOW).unwrap_err();
    let StoreError::Forked(fork) = error else { panic!("{error}") };
    after.reauthor(&fork).unwrap();
    after.apply_remote(&[theirs], None, NOW).unwrap();
    send(&after, &mut log);
    assert_eq!((after.digest(), after.quarantined()), (log.digest(), 0));
    assert_eq!(shown(&log), r#"{"name":"Tea","price":5,"stock":7,"tags":["a","b"]}"#);
    edit(&mut after, increment("stock", -1));
    send(&after, &mut log);
    assert_eq!(after.digest(), log.digest());
}

/// Everything a store ever made, with every hash spelled out.
fn log_batch(store: &Store) -> Vec<u8> {
    store.outgoing(0, Style::Explicit).unwrap().unwrap().batch
}

/// Takes in what is forked to edits that the store holds, as after a comparison of histories with a relay that lacks them.
fn hear_forked(till: &mut Store, theirs: &[u8]) {
    till.offer(&[tea()]).unwrap();
    let error = till.apply_remote(&[theirs.to_vec()], None, NOW).unwrap_err();
    let StoreError::Forked(fork) = error else { panic!("{error}") };
    till.reauthor(&fork).unwrap();
    till.apply_remote(&[theirs.to_vec()], None, NOW).unwrap();
}

#[test]
fn what_others_built_on_an_edit_that_its_author_lost_is_made_again_by_each_of_them_alike() {
    // One till is set back to before its first edit and makes another; the relay lost its log and knows only that one.
    let (mut before, mut after) = (store(1), store(1));
    edit(&mut before, increment("stock", 3));
    let (mut second, mut third) = (store(2), store(3));
    send(&before, &mut second);
    edit(&mut second, increment("stock", 4));
    send(&before, &mut third);
    send(&second, &mut third);
    edit(&mut after, increment("stock", 5));
    let mut log = store(9);
    send(&after, &mut log);
    let theirs = log_batch(&after);
    for till in [&mut second, &mut third] {
        hear_forked(till, &theirs);
        send(till, &mut log);
    }
    assert_eq!((second.digest(), third.digest()), (log.digest(), log.digest()));
    assert_eq!((second.quarantined(), third.quarantined(), log.quarantined()), (0, 0, 0));
    assert_eq!(shown(&log), r#"{"stock":12}"#);
}

#[test]
fn an_edit_on_top_of_a_lost_one_and_of_what_was_made_again_of_it_follows_the_latter() {
    let (mut before, mut after) = (store(1), store(1));
    edit(&mut before, increment("stock", 3));
    let (mut second, mut third, mut log) = (store(2), store(3), store(9));
    send(&before, &mut second);
    send(&before, &mut third);
    edit(&mut after, increment("stock", 5));
    send(&after, &mut log);
    let theirs = log_batch(&after);
    hear_forked(&mut second, &theirs);
    // The third till has the lost edit and hears of the one in its place before it hears why.
    send(&second, &mut third);
    edit(&mut third, increment("stock", 4));
    hear_forked(&mut third, &theirs);
    send(&second, &mut log);
    send(&third, &mut log);
    assert_eq!((third.digest(), third.quarantined(), log.quarantined()), (log.digest(), 0, 0));
    assert_eq!(shown(&log), r#"{"stock":12}"#);
}
