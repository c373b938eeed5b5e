//! Live queries: what a listener makes of the steps it is told is, at every look, just what the query would answer.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::live::{LIVE_CHANGES_MAX, Live, LiveEvent, Step, Touched};
use comptoir_engine::query::{PageCursor, Query};
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::{Collection, FieldEdit, Key, RecordId, Settings, Timestamp, Value, View, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

type Rows = Vec<(Key, View)>;

fn store() -> Store {
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut StdRng::seed_from_u64(1)).unwrap()
}

fn products() -> Collection {
    Collection::new("products").unwrap()
}

fn product(key: u8) -> RecordId {
    RecordId::new("products", &format!("p{key:03}")).unwrap()
}

fn set(key: u8, price: i64) -> (RecordId, FieldEdit) {
    (product(key), FieldEdit::Set([("price".to_owned(), Value::Int(price))].into()))
}

/// A listener's list after what it was told.
fn follow(rows: &mut Rows, event: LiveEvent) {
    let steps = match event {
        LiveEvent::Refresh(all) => return *rows = all,
        LiveEvent::Changed(steps) => steps,
    };
    for step in steps {
        match step {
            Step::Added { index, key, view } => rows.insert(index, (key, view)),
            Step::Changed { index, key, view } => {
                assert_eq!(rows[index].0, key);
                rows[index].1 = view;
            }
            Step::Removed { index, key } => assert_eq!(rows.remove(index).0, key),
            Step::Moved { from, to, key, view } => {
                assert_eq!(rows.remove(from).0, key);
                rows.insert(to, (key, view));
            }
        }
    }
}

/// What the query should show, found by looking at every record.
fn naive(store: &Store, query: &Query, limit: usize, after: Option<&PageCursor>) -> Rows {
    let mut rows = store.list(&products(), None, usize::MAX).unwrap();
    rows.retain(|(key, view)| query.matches(key, view));
    if let Some(after) = after.map(|cursor| cursor.position(query, &products()).unwrap()) {
        rows.retain(|(key, view)| query.position(key, view) > after);
    }
    rows.sort_by(|(key, view), (other, with)| query.compare((key, view), (other, with)));
    rows.truncate(limit);
    rows
}

#[derive(Debug, Clone)]
enum Edit {
    Price(u8, i64),
    Delete(u8),
    Restore(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let key = 0u8..20;
    prop_oneof![
        6 => (key.clone(), 0i64..12).prop_map(|(key, price)| Edit::Price(key, price)),
        1 => key.clone().prop_map(Edit::Delete),
        1 => key.prop_map(Edit::Restore),
    ]
}

/// Makes the edit if it can be made; the record it touched.
fn make(store: &mut Store, edit: &Edit) -> Option<Key> {
    let edit = match *edit {
        Edit::Price(key, price) => set(key, price),
        Edit::Delete(key) => (product(key), FieldEdit::Delete),
        Edit::Restore(key) => (product(key), FieldEdit::Restore),
    };
    let committed = store.commit_local(std::slice::from_ref(&edit), NOW).ok()?;
    committed.changed.into_iter().next().map(|record| record.key)
}

fn query(order: usize) -> Query {
    let query = Query::parse("price >= 3 and price < 10").unwrap();
    match order {
        0 => query,
        1 => query.order("price"),
        _ => query.order_desc("price"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_steps_lead_to_what_the_query_answers(
        before in vec(edit(), 0..30),
        looks in vec(vec(edit(), 1..6), 1..20),
        order in 0usize..3,
        limit in 1usize..9,
        page in any::<bool>(),
    ) {
        let mut store = store();
        before.iter().for_each(|edit| drop(make(&mut store, edit)));
        let mut query = query(order);
        let first = naive(&store, &query, 2, None);
        let cursor = first.last().filter(|_| page).map(|(key, view)| {
            PageCursor::new(&query, &products(), &query.position(key, view))
        });
        if let Some(cursor) = &cursor {
            query = query.after(cursor.clone());
        }
        let mut live = Live::new(products(), query.clone().limit(limit)).unwrap();
        let mut shown = Rows::new();
        let begun = live.look(&store, &Touched::Keys(BTreeSet::new())).unwrap();
        prop_assert!(matches!(begun, Some(LiveEvent::Refresh(_))), "at first all is told, also when it is nothing");
        follow(&mut shown, begun.unwrap());
        for edits in looks {
            let keys: BTreeSet<Key> = edits.iter().filter_map(|edit| make(&mut store, edit)).collect();
            let expected = naive(&store, &query, limit, cursor.as_ref());
            let event = live.look(&store, &Touched::Keys(keys)).unwrap();
            prop_assert_eq!(event.is_none(), shown == expected, "it speaks when there is something to tell");
            if let Some(event) = event {
                prop_assert!(matches!(event, LiveEvent::Changed(_)));
                follow(&mut shown, event);
            }
            prop_assert_eq!(&shown, &expected);
        }
    }
}

#[test]
fn one_record_that_passes_many_is_one_move() {
    let mut store = store();
    store.commit_local(&(0..9).map(|key| set(key, i64::from(key))).collect::<Vec<_>>(), NOW).unwrap();
    let mut live = Live::new(products(), Query::all().order("price")).unwrap();
    live.look(&store, &Touched::All).unwrap();
    store.commit_local(&[set(0, 100)], NOW).unwrap();
    let told = live.look(&store, &Touched::Keys([product(0).key].into())).unwrap();
    let Some(LiveEvent::Changed(steps)) = told else { panic!("{told:?}") };
    assert!(matches!(&steps[..], [Step::Moved { from: 0, to: 8, .. }]), "{steps:?}");
}

#[test]
fn too_many_changes_are_one_refresh_and_none_is_silence() {
    let mut store = store();
    let mut live = Live::new(products(), Query::all().order("price").limit(3)).unwrap();
    live.look(&store, &Touched::All).unwrap();
    let keys: BTreeSet<Key> = (0..=LIVE_CHANGES_MAX)
        .map(|key| {
            let record = RecordId::new("products", &format!("many-{key}")).unwrap();
            let fields = json::parse(&format!(r#"{{"price":{key}}}"#)).unwrap();
            store.commit_local(&[(record.clone(), FieldEdit::Set(fields))], NOW).unwrap();
            record.key
        })
        .collect();
    let told = live.look(&store, &Touched::Keys(keys)).unwrap();
    assert!(matches!(told, Some(LiveEvent::Refresh(rows)) if rows.len() == 3));
    assert_eq!(live.look(&store, &Touched::All).unwrap(), None, "nothing has changed");
}
