//! Any query under chance, of records and indexes that come and go.

use super::{NOW, agrees, build, naive, open, put, set_indexes, things};
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::query::{Field, Filter, Op, Order, Words, order};
use comptoir_engine::store::Store;
use comptoir_engine::{FieldEdit, Fields, Key, Query, RecordId, StoreError, Timestamp, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::cmp::Ordering;

/// All indexes that a schema of these tests may have.
const INDEXES: [(&str, &str); 9] = [
    ("by_a", "a"),
    ("by_b", "b"),
    ("by_ab", "a, b"),
    ("by_ba", "b, a"),
    ("by_bca", "b, c, a"),
    ("by_nested", "/m/x, a"),
    ("by_c", "c"),
    ("words", "words(b, c)"),
    ("words_a", "words(a)"),
];

/// Texts that differ late, or in what is hard to encode.
fn texts() -> impl Strategy<Value = String> {
    let long = |end: &str| "long ".repeat(60) + end;
    let longer = |end: &str| "x".repeat(1_100) + end;
    select(vec![
        String::new(),
        "a".to_owned(),
        "ab".to_owned(),
        "a\u{1}".to_owned(),
        "Crème brûlée".to_owned(),
        "creme fraiche".to_owned(),
        "2017-01-02T03:04:05Z".to_owned(),
        long(""),
        long("a"),
        long("b"),
        longer("a"),
        longer("b"),
        "long ".repeat(15) + "x",
    ])
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        4 => (-3..4i64).prop_map(Value::Int),
        1 => select(vec![i64::MAX, i64::MAX - 1, i64::MIN, 1 << 53, (1 << 53) + 1]).prop_map(Value::Int),
        1 => select(vec![u64::MAX, u64::MAX - 1, 1 << 63]).prop_map(Value::Uint),
        2 => select(vec![0.0, -0.0, 0.5, 1.0, -2.5, 9007199254740992.0, 1e300]).prop_map(Value::Float),
        3 => texts().prop_map(Value::String),
        1 => select(vec![0, 1_483_326_245_000, -5]).prop_map(|unix_ms| Value::Timestamp(Timestamp { unix_ms })),
        1 => vec(any::<u8>(), 0..2).prop_map(Value::Bytes),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => scalar(),
        1 => vec(scalar(), 0..3).prop_map(Value::List),
        1 => texts().prop_map(Value::Text),
    ]
}

fn some_fields() -> impl Strategy<Value = Fields> {
    let nested = btree_map(Just("x".to_owned()), scalar(), 0..2).prop_map(Value::Map);
    let plain = (select(vec!["a", "b", "c"]).prop_map(str::to_owned), value());
    (vec(plain, 0..4), proptest::option::of(nested))
        .prop_map(|(plain, nested)| plain.into_iter().chain(nested.map(|nested| ("m".to_owned(), nested))).collect())
}

fn field() -> impl Strategy<Value = Field> {
    select(vec!["a", "b", "c", "m.x", "_key"]).prop_map(Field::typed)
}

fn condition() -> impl Strategy<Value = Filter> {
    let op = select(vec![Op::Eq, Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let words = select(vec!["", "a", "cre", "creme br", "lon x", "1", "zz", "long long xxx"]);
    let word_fields = select(vec![vec![], vec!["b"], vec!["b", "c"], vec!["a"]]);
    prop_oneof![
        6 => (field(), op, scalar()).prop_map(|(field, op, value)| Filter::Compare { field, op, value }),
        1 => (field(), vec(scalar(), 0..4)).prop_map(|(field, values)| Filter::In { field, values }),
        1 => (field(), select(vec!["", "a", "k1", "long ", "zz"]))
            .prop_map(|(field, prefix)| Filter::Prefix { field, prefix: prefix.to_owned() }),
        1 => (field(), texts()).prop_map(|(field, prefix)| Filter::Prefix { field, prefix }),
        1 => field().prop_map(Filter::Null),
        2 => (word_fields, words).prop_map(|(fields, words)| Filter::Words {
            fields: fields.into_iter().map(Field::typed).collect(),
            words: Words::new(words),
        }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    condition().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 0..4).prop_map(Filter::And),
            1 => vec(inner.clone(), 0..3).prop_map(Filter::Or),
            1 => inner.prop_map(|one| Filter::Not(Box::new(one))),
        ]
    })
}

fn query() -> impl Strategy<Value = Query> {
    let by = (field(), any::<bool>()).prop_map(|(field, descending)| Order { field, descending });
    let search = proptest::option::weighted(0.2, select(vec!["cre", "lo a", "1"]).prop_map(str::to_owned));
    let limit = proptest::option::weighted(0.8, 1..9usize);
    (proptest::option::weighted(0.9, filter()), search, vec(by, 0..3), limit, proptest::bool::weighted(0.1)).prop_map(
        |(filter, search, order, limit, deleted)| Query { filter, search, order, limit, after: None, deleted },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Fields),
    Delete(usize),
    Restore(usize),
    Unset(usize, &'static str),
    Indexes(Vec<(&'static str, &'static str)>),
    Build(usize),
    Reopen,
    Ask(Query),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40usize, some_fields()).prop_map(|(key, fields)| Step::Put(key, fields)),
        1 => (0..40usize).prop_map(Step::Delete),
        1 => (0..40usize).prop_map(Step::Restore),
        1 => (0..40usize, select(vec!["a", "b", "/m/x"])).prop_map(|(key, field)| Step::Unset(key, field)),
        1 => subsequence(INDEXES.to_vec(), 0..=INDEXES.len()).prop_map(Step::Indexes),
        1 => (1..4usize).prop_map(Step::Build),
        1 => Just(Step::Reopen),
        3 => query().prop_map(Step::Ask),
    ]
}

fn take(store: &mut Store, disk: &SimDisk, step: &Step) {
    let record = |key: &usize| RecordId::new("things", &format!("k{key}")).unwrap();
    let mut edit = |record, edit| match store.commit_local(&[(record, edit)], NOW) {
        Ok(_) | Err(StoreError::Edit { .. }) => {}
        Err(error) => panic!("{error}"),
    };
    match step {
        Step::Put(key, fields) => edit(record(key), FieldEdit::Set(fields.clone())),
        Step::Delete(key) => edit(record(key), FieldEdit::Delete),
        Step::Restore(key) => edit(record(key), FieldEdit::Restore),
        Step::Unset(key, field) => edit(record(key), FieldEdit::Unset { field: (*field).to_owned() }),
        Step::Indexes(indexes) => set_indexes(store, indexes),
        Step::Build(pieces) => (0..*pieces).for_each(|_| {
            store.index_step().unwrap();
        }),
        Step::Reopen => {
            disk.crash(0);
            *store = open(disk);
        }
        Step::Ask(query) => agrees(store, query),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_query_has_the_answer_of_reading_everything_whatever_the_indexes_and_whatever_happened(
        indexes in subsequence(INDEXES.to_vec(), 0..=INDEXES.len()),
        steps in vec(step(), 10..80),
        queries in vec(query(), 6),
    ) {
        let disk = SimDisk::new();
        let mut store = open(&disk);
        set_indexes(&mut store, &indexes);
        build(&mut store);
        steps.iter().for_each(|step| take(&mut store, &disk, step));
        build(&mut store);
        queries.iter().for_each(|query| agrees(&store, query));
    }

    #[test]
    fn the_bytes_of_values_keep_their_order(left in value(), right in value(), bytes_max in 20..60usize) {
        let encoded = |value: &Value, bytes_max| {
            let mut bytes = Vec::new();
            let cut = order::encode(Some(value), bytes_max, &mut bytes);
            prop_assert_eq!(order::component_len(&bytes), Some(bytes.len()));
            prop_assert_eq!(order::is_cut(&bytes), cut);
            Ok(bytes)
        };
        let exact = order::compare(Some(&left), Some(&right));
        for bytes_max in [bytes_max, 2_000] {
            let (one, other) = (encoded(&left, bytes_max)?, encoded(&right, bytes_max)?);
            match one.cmp(&other) {
                Ordering::Equal => prop_assert!(exact.is_eq() || order::is_cut(&one), "{left:?} {right:?}"),
                unequal => prop_assert_eq!(unequal, exact, "{:?} {:?}", &left, &right),
            }
            prop_assert!(!one.starts_with(&other) || one == other, "no component begins another");
            prop_assert_eq!(order::cut(&encoded(&left, 2_000)?, bytes_max), one);
        }
    }

    #[test]
    fn a_filter_reads_as_it_is_written(filter in filter()) {
        let typeable = |filter: &Filter| !format!("{filter:?}").contains("Bytes") && !format!("{filter}").contains("true_of")
            && !format!("{filter:?}").contains("Timestamp") && !format!("{filter:?}").contains("values: []");
        if !typeable(&filter) {
            return Ok(());
        }
        let written = filter.to_string();
        let read = Query::parse(&written).map_err(|error| TestCaseError::fail(format!("{written}: {error}")))?;
        prop_assert_eq!(read.filter.unwrap().to_string(), written);
    }

    #[test]
    fn no_text_stops_the_parser(text in "\\PC{0,40}|[a-z0-9 ()='\"<>!,./`-]{0,60}") {
        let _ = Query::parse(&text);
        let _ = Query::parse_order(&text);
        let _ = text.parse::<comptoir_engine::PageCursor>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn paging_neither_skips_nor_repeats_a_record_that_stays_as_it_is(
        indexes in subsequence(INDEXES.to_vec(), 0..=INDEXES.len()),
        before in vec((0..40usize, some_fields()), 20..60),
        query in query(),
        between in vec((40..80usize, some_fields()), 0..30),
        gone in vec(0..40usize, 0..5),
    ) {
        let disk = SimDisk::new();
        let mut store = open(&disk);
        set_indexes(&mut store, &indexes);
        build(&mut store);
        before.iter().for_each(|(key, fields)| put(&mut store, &format!("k{key}"), fields.clone()));
        let stays = |key: &Key| !gone.iter().any(|other| key.as_str() == format!("k{other}"));
        let expected: Vec<_> = naive(&store, &query).into_iter().map(|(key, _)| key).filter(stays).collect();
        let mut query = Query { limit: Some(3), ..query };
        let mut found = Vec::new();
        let (mut between, mut gone) = (between.iter(), gone.iter());
        loop {
            let page = store.query(&things(), &query).unwrap();
            found.extend(page.records.into_iter().map(|(key, _)| key).filter(|key| expected.contains(key)));
            // Others come, and some go, while pages are turned.
            between.by_ref().take(3).for_each(|(key, fields)| put(&mut store, &format!("k{key}"), fields.clone()));
            gone.by_ref().take(1).for_each(|key| take(&mut store, &disk, &Step::Delete(*key)));
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        prop_assert_eq!(found, expected);
    }
}
