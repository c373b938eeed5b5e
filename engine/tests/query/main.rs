//! Queries: whatever indexes there are, whatever became of the records, the answer is the one of reading every record and
//! asking the filter. Must not reach into privates.

#![allow(clippy::unwrap_used)]

mod any_query;
mod indexes;
mod pages;
mod typed;

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::query::tally::Counting;
use comptoir_engine::query::{Field, Tally};
use comptoir_engine::store::Store;
use comptoir_engine::{
    Collection, FieldEdit, Fields, Key, Query, RecordId, Settings, Timestamp, Value, View, WorkspaceId,
};
use rand::SeedableRng as _;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn open(disk: &SimDisk) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let (relay, token, device_name) = (String::new(), String::new(), "till".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(disk.clone()), "here", settings, &mut rng).unwrap()
}

fn things() -> Collection {
    Collection::new("things").unwrap()
}

fn put(store: &mut Store, key: &str, fields: Fields) {
    let edits = [(RecordId::new("things", key).unwrap(), FieldEdit::Set(fields))];
    store.commit_local(&edits, NOW).unwrap();
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The one place where these tests set a schema.
fn set_indexes(store: &mut Store, indexes: &[(&str, &str)]) {
    let record = RecordId::new("_schemas", "things").unwrap();
    let old = store.get(&record).unwrap().map(|view| view.fields).unwrap_or_default();
    let unset = match old.get("indexes") {
        Some(Value::Map(old)) => old.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let unset = unset.iter().map(|name| FieldEdit::Unset { field: format!("/indexes/{name}") });
    let indexes = indexes.iter().map(|(name, index)| ((*name).to_owned(), text(index))).collect();
    let set = FieldEdit::Set(fields([("indexes", Value::Map(indexes))]));
    let edits: Vec<_> = unset.chain([set]).map(|edit| (record.clone(), edit)).collect();
    store.commit_local(&edits, NOW).unwrap();
}

fn build(store: &mut Store) {
    while store.index_step().unwrap() {}
}

/// Every record, the filter asked of each.
fn naive(store: &Store, query: &Query) -> Vec<(Key, View)> {
    let query = query.bound(&store.schema(&things()));
    let mut all = store.list(&things(), None, usize::MAX).unwrap();
    all.retain(|(key, view)| query.matches(key, view));
    all.sort_by(|(key, view), (other, with)| query.compare((key, view), (other, with)));
    all
}

/// The answer page by page.
fn paged(store: &Store, query: &Query) -> Vec<(Key, View)> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = store.query(&things(), &query).unwrap();
        assert!(page.records.len() <= query.limit.unwrap_or(usize::MAX));
        all.extend(page.records);
        let Some(next) = page.next else { return all };
        query.after = Some(next.to_string().parse().unwrap());
    }
}

fn agrees(store: &Store, query: &Query) {
    let expected = naive(store, query);
    let keys = |records: &[(Key, View)]| records.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    let found = paged(store, query);
    let said = || format!("{query:?}\n{:?}", store.explain(&things(), query));
    assert_eq!(keys(&found), keys(&expected), "{}", said());
    assert_eq!(found, expected);
    let tally = Tally { sum: Some(Field::typed("a")), group: Some(Field::typed("c")) };
    let mut counting = Counting::new(tally.clone());
    expected.iter().for_each(|(key, view)| counting.add(key, view).unwrap());
    assert_eq!(store.tally(&things(), query, &tally).unwrap(), counting.finish(), "{}", said());
    let count = store.tally(&things(), query, &Tally::default()).unwrap();
    assert_eq!(count[0].count, expected.len() as u64, "{}", said());
}

/// So many records, `a` counting up, `b` in three groups.
fn filled(disk: &SimDisk, records: usize) -> Store {
    let mut store = open(disk);
    for chunk in (0..records).collect::<Vec<_>>().chunks(500) {
        let record = |number: &usize| {
            let group = text(["tea", "Café crème", "choc mint"][number % 3]);
            let fields = fields([("a", Value::Int(*number as i64)), ("b", group)]);
            (RecordId::new("things", &format!("k{number:05}")).unwrap(), FieldEdit::Set(fields))
        };
        store.commit_local(&chunk.iter().map(record).collect::<Vec<_>>(), NOW).unwrap();
    }
    store
}

fn index_of(store: &Store, query: &Query) -> Option<String> {
    store.explain(&things(), query).unwrap().index
}

fn parse(filter: &str) -> Query {
    Query::parse(filter).unwrap()
}
