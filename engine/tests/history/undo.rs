//! Taking back a change, a transaction, and a taking back.

use super::{at, conflicts, edit, exchange, history, increment, label, record, send, set, shown, store, tea};
use comptoir_engine::wire::Style;
use comptoir_engine::{Author, ChangeHash, FieldEdit, RecordId, StoreError, Value};

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
    let Err(StoreError::Forked(fork)) = after.apply_remote(std::slice::from_ref(&theirs), None, at(2)) else {
        panic!("a fork")
    };
    after.reauthor(&fork).unwrap();
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
