//! Queries under chance: whatever indexes there are, whatever became of the records, the answer is the one of reading
//! every record and asking the filter. Must not reach into privates.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::disk::{Disk as _, DiskError};
use comptoir_engine::query::{Field, Filter, Op, Order, Tally, Words, order, tally::Counting};
use comptoir_engine::store::{Sorted, Store};
use comptoir_engine::wire::Style;
use comptoir_engine::{
    Collection, FieldEdit, Fields, Key, Query, QueryError, RecordId, Settings, StoreError, Timestamp, Value, View,
    WorkspaceId,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rand::SeedableRng as _;
use std::cmp::Ordering;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

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

// Chance.

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

// One by one.

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

fn index_rows(disk: &SimDisk) -> usize {
    disk.range(b"i", b"j", usize::MAX).unwrap().len()
}

fn index_of(store: &Store, query: &Query) -> Option<String> {
    store.explain(&things(), query).unwrap().index
}

fn parse(filter: &str) -> Query {
    Query::parse(filter).unwrap()
}

#[test]
fn an_index_is_used_once_it_is_complete_and_a_crash_in_between_costs_nothing() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 1_500);
    set_indexes(&mut store, &[("by_b", "b, a"), ("search", "words(b)")]);
    let query = parse("b = 'tea' and a >= 700").order("a").limit(50);
    let search = Query::all().search("MI cho").limit(7);
    let mut pieces = 0;
    loop {
        agrees(&store, &query);
        agrees(&store, &search);
        // Each piece is lost once, half done or not yet durable, and the store opened again.
        disk.fail_next(2 + pieces % 3, DiskError::Io { doing: "writing", cause: "unplugged".to_owned() });
        let _ = store.index_step();
        disk.crash(usize::from(pieces % 2 == 0));
        store = open(&disk);
        put(&mut store, &format!("k{pieces:05}"), fields([("a", Value::Int(10_000 - pieces as i64))]));
        if !store.index_step().unwrap() {
            break;
        }
        let both = index_of(&store, &search).is_some() && index_of(&store, &query).is_some();
        assert!(!both, "half an index is none");
        pieces += 1;
        assert!(pieces < 100, "the build goes on where it was");
    }
    agrees(&store, &query);
    agrees(&store, &search);
    let how = store.explain(&things(), &query).unwrap();
    assert_eq!((how.index.as_deref(), how.sorted), (Some("by_b"), Sorted::Nothing));
    assert_eq!((how.rows, how.records, how.found), (50, 50, 50), "{how:?}");
    assert!(how.rechecked.is_empty(), "{how:?}");
    assert_eq!(index_of(&store, &search).as_deref(), Some("search"));
}

#[test]
fn an_index_that_the_schema_drops_is_cleared_and_a_crash_in_between_leaves_nothing() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 3_000);
    set_indexes(&mut store, &[("by_b", "b"), ("by_a", "a")]);
    build(&mut store);
    // And the copies of the views beside them.
    let all = index_rows(&disk);
    set_indexes(&mut store, &[("by_a", "a")]);
    assert!(store.index_step().unwrap());
    disk.crash(0);
    let mut store = open(&disk);
    build(&mut store);
    assert_eq!(index_rows(&disk), all / 3 * 2);
    set_indexes(&mut store, &[]);
    build(&mut store);
    assert_eq!(index_rows(&disk), 0);
}

#[test]
fn deleted_records_are_in_no_index() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 30);
    set_indexes(&mut store, &[("by_b", "b"), ("search", "words(b)")]);
    build(&mut store);
    for number in 0..30 {
        let record = RecordId::new("things", &format!("k{number:05}")).unwrap();
        store.commit_local(&[(record, FieldEdit::Delete)], NOW).unwrap();
    }
    assert_eq!(index_rows(&disk), 3, "what says that there are two indexes, and copies of the views");
    agrees(&store, &Query::all());
    agrees(&store, &Query::all().with_deleted());
}

#[test]
fn a_record_reads_the_same_however_long_it_is_and_whatever_became_of_it() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 20);
    set_indexes(&mut store, &[("by_b", "b")]);
    build(&mut store);
    let record = RecordId::new("things", "k00003").unwrap();
    for bytes in [10, 2_000, 2_100, 5_000, 3, 20_000] {
        let edit = FieldEdit::Set(fields([("b", text("here")), ("note", text(&"x".repeat(bytes)))]));
        store.commit_local(&[(record.clone(), edit)], NOW).unwrap();
        for edit in [FieldEdit::Delete, FieldEdit::Restore] {
            store.commit_local(&[(record.clone(), edit)], NOW).unwrap();
            agrees(&store, &parse("b = 'here'"));
            let listed = store.list(&record.collection, None, 100).unwrap();
            let listed = listed.into_iter().find(|(key, _)| *key == record.key).map(|(_, view)| view);
            assert_eq!(store.get(&record).unwrap(), listed, "{bytes}");
        }
        store = open(&disk);
    }
}

#[test]
fn a_record_and_its_rows_in_indexes_are_one_commit() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 20);
    set_indexes(&mut store, &[("by_b", "b"), ("search", "words(b)")]);
    build(&mut store);
    for calls in 0..12 {
        disk.fail_next(calls, DiskError::Full { doing: "writing" });
        let record = RecordId::new("things", "k00003").unwrap();
        let _ = store.commit_local(&[(record, FieldEdit::Set(fields([("b", text(&format!("new {calls}")))])))], NOW);
        disk.crash(calls as usize % 2);
        store = open(&disk);
        for query in [parse("b starts with 'new'"), Query::all().search("new"), Query::all().search("tea")] {
            agrees(&store, &query);
        }
    }
}

#[test]
fn a_schema_that_arrives_by_sync_builds_its_indexes() {
    let mut one = filled(&SimDisk::new(), 600);
    set_indexes(&mut one, &[("by_b", "b, a")]);
    let mut rng = rand::rngs::StdRng::seed_from_u64(2);
    let (relay, token, device_name) = (String::new(), String::new(), "phone".to_owned());
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    let mut other = Store::create(Box::new(SimDisk::new()), "there", settings, &mut rng).unwrap();
    let mut from = 0;
    while let Some(outgoing) = one.outgoing(from, Style::Compact).unwrap() {
        other.apply_remote(&[outgoing.batch], None, NOW).unwrap();
        from = outgoing.through + 1;
    }
    let query = parse("b = 'tea'").order_desc("a").limit(10);
    assert_eq!(index_of(&other, &query), None);
    assert!(other.has_index_work());
    build(&mut other);
    assert_eq!(index_of(&other, &query).as_deref(), Some("by_b"));
    agrees(&other, &query);
    build(&mut one);
    assert_eq!(one.query(&things(), &query), other.query(&things(), &query));
}

#[test]
fn the_plan_fits_the_question() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 2_000);
    set_indexes(&mut store, &[("by_a", "a"), ("by_b", "b"), ("by_ba", "b, a"), ("search", "words(b)")]);
    build(&mut store);
    for (query, index, sorted) in [
        (parse("a = 7"), Some("by_a"), Sorted::Nothing),
        (parse("a = 7 and b = 'tea'"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'").order("a"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'").order_desc("a"), Some("by_ba"), Sorted::Nothing),
        (parse("b = 'tea'"), Some("by_b"), Sorted::Nothing),
        (parse("b in ('tea', 'milk')").order("b").order("a"), Some("by_ba"), Sorted::Nothing),
        (Query::all().order("b").order_desc("a").limit(5), Some("by_b"), Sorted::Groups),
        (Query::all().order_desc("a").limit(5), Some("by_a"), Sorted::Nothing),
        (Query::all().order("c").limit(5), None, Sorted::All),
        (parse("a != 7"), None, Sorted::Nothing),
        (parse("_key starts with 'k0001'"), None, Sorted::Nothing),
        (Query::all().search("caf cre"), Some("search"), Sorted::Nothing),
        (parse("b contains 'mint'").order("a").limit(3), Some("search"), Sorted::All),
        // So many fit that the first ones are found sooner by reading in order.
        (parse("a > 3").limit(5), None, Sorted::Nothing),
        (parse("a > 3 and a < 12").limit(5), Some("by_a"), Sorted::All),
    ] {
        agrees(&store, &query);
        let how = store.explain(&things(), &query).unwrap();
        assert_eq!((how.index.as_deref(), how.sorted), (index, sorted), "{query:?}: {how:?}");
    }
    let how = store.explain(&things(), &parse("_key starts with 'k0001'")).unwrap();
    assert_eq!((how.records, how.found), (10, 10));
}

#[test]
fn a_cursor_of_another_query_is_refused() {
    let store = filled(&SimDisk::new(), 20);
    let query = parse("a > 3").limit(2);
    let next = store.query(&things(), &query).unwrap().next.unwrap();
    let foreign = Err(StoreError::Query(QueryError::ForeignCursor));
    for other in [
        Query::all().limit(2),
        parse("a > 4"),
        parse("a > 3").order("a"),
        parse("a > 3").with_deleted(),
        parse("a > 3").search("tea"),
    ] {
        assert_eq!(store.query(&things(), &other.after(next.clone())), foreign);
    }
    let elsewhere = Collection::new("others").unwrap();
    assert_eq!(store.query(&elsewhere, &query.clone().after(next.clone())), foreign);
    assert!(store.query(&things(), &query.limit(9).after(next)).is_ok(), "pages of another length are of one query");
    for text in ["", "tea", "AA", &"A".repeat(100_000)] {
        assert_eq!(text.parse::<comptoir_engine::PageCursor>(), Err(QueryError::BadCursor));
    }
}

#[test]
fn sorting_more_than_is_kept_asks_for_an_index_or_a_limit() {
    let disk = SimDisk::new();
    let mut store = filled(&disk, 10_001);
    let query = Query::all().order("a");
    let expected = QueryError::Unsorted { order: "a".to_owned(), records_max: 10_000 };
    assert_eq!(store.query(&things(), &query), Err(StoreError::Query(expected)));
    assert_eq!(store.query(&things(), &query.clone().limit(5)).unwrap().records.len(), 5);
    assert_eq!(store.query(&things(), &parse("a > 5").order("a")).unwrap().records.len(), 9_995);
    let groups = Tally { sum: None, group: Some(Field::typed("a")) };
    let refused = store.tally(&things(), &Query::all(), &groups);
    assert_eq!(refused, Err(StoreError::Query(QueryError::Groups { field: "a".to_owned(), groups_max: 10_000 })));
    set_indexes(&mut store, &[("by_a", "a")]);
    build(&mut store);
    assert_eq!(paged(&store, &query).len(), 10_001);
    let over = store.query(&things(), &Query::all().limit(10_001));
    assert!(matches!(over, Err(StoreError::Query(QueryError::TooLarge { limit_max: 10_000, .. }))));
}

#[test]
fn a_wrong_text_is_told_where_and_what_should_be_there() {
    const CONDITION: &str = "a condition such as =, <, in, starts with, contains, or is null";
    const VALUE: &str = "a value: a number, true, false, null, or a text in quotes";
    for (text, position, expected, found) in [
        ("", 1, "a field, not, or (", "the end"),
        ("price", 6, CONDITION, "the end"),
        ("price <", 8, VALUE, "the end"),
        ("price < milk", 9, VALUE, "\"milk\""),
        ("price 5", 7, CONDITION, "5"),
        ("price = 5 6", 11, "and, or, or the end", "6"),
        ("(price = 5", 11, "and, or, or )", "the end"),
        ("price in 5", 10, "( and values", "5"),
        ("price in (5 6)", 13, "a comma or )", "6"),
        ("name starts 'a'", 13, "with", "the text 'a'"),
        ("name contains 5", 15, "a text in quotes", "5"),
        ("é = 5 and", 10, "a field, not, or (", "the end"),
        ("name = 'Tea", 8, "a closing quote", "a text without end"),
        ("price = 1x", 9, "a number of 64 bits", "\"1x\""),
        ("price = 99999999999999999999", 9, "a number of 64 bits", "\"99999999999999999999\""),
        ("price ; 5", 7, "a field, a value or a comparison", "\";\""),
        ("x is 5", 6, "null or not null", "5"),
        ("not = 5", 5, "a field, not, or (", "\"=\""),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!(error, QueryError::Syntax { position, expected, found: found.to_owned() }, "{text}");
    }
    let deep = "(".repeat(100) + "a = 1" + &")".repeat(100);
    assert!(matches!(Query::parse(&deep), Err(QueryError::TooLarge { limit_max: 32, .. })));
    assert!(matches!(Query::parse(&"not ".repeat(2_000)), Err(QueryError::TooLarge { limit_max: 32, .. })));
    let long = vec!["a = 1"; 300].join(" or ");
    assert!(matches!(Query::parse(&long), Err(QueryError::TooLarge { limit_max: 256, .. })));
    assert!(matches!(Query::parse(&"a".repeat(9_000)), Err(QueryError::TooLarge { .. })));
    assert!(matches!(Query::parse_order("a, b, c, d, e, f, g, h, i"), Err(QueryError::TooLarge { .. })));
    assert!(matches!(Query::parse_order("a down"), Err(QueryError::Syntax { position: 3, .. })));
}

#[test]
fn what_is_typed_means_what_it_says() {
    let view = View {
        fields: fields([
            ("name", text("L'Œuf à la coque")),
            ("price", Value::Counter(320)),
            ("it's", text("say \"hi\"")),
            ("a.b", Value::Bool(true)),
            ("at", Value::Timestamp(Timestamp::parse("2017-01-02T03:04:05Z").unwrap())),
            ("tags", Value::List(vec![text("hot"), text("new")])),
            ("supplier", Value::Map(fields([("name", text("Dupont")), ("in", Value::Null)]))),
        ]),
        deleted: false,
    };
    let key = Key::new("tea-1").unwrap();
    for (filter, holds) in [
        ("price = 320", true),
        ("price == 320.0 AND price <> 321", true),
        ("price >= 319.5 and not price > 320", true),
        ("price < 'x' or price > 'x'", false),
        ("price != 'x'", true),
        ("missing != 5", true),
        ("missing < 5", false),
        ("missing is null and supplier.in is null and price is not null", true),
        ("missing = null", true),
        ("supplier.name = 'Dupont'", true),
        ("/supplier/name = \"Dupont\"", true),
        ("`/a.b` = true and `a.b` = true and not a.b = true", true),
        ("/tags/1 = 'new' and /tags/2 is null", true),
        ("`it's` = 'say \"hi\"' and `it's` = \"say \"\"hi\"\"\"", true),
        ("at = '2017-01-02T04:04:05+01:00' and at > '2016-12-31T23:59:59Z'", true),
        ("at < 'tomorrow'", false),
        ("price in (1, 320) and price not in (1, 2)", true),
        ("name starts with 'L''' and name not starts with 'l'", true),
        ("name contains 'oeuf COQ'", true),
        ("name contains 'que'", false),
        ("words(tags, name) contains 'ho oeu' and words() contains 'dup'", true),
        ("_key = 'tea-1' and _key starts with 'tea' and `_key` is null", true),
        ("not (price = 1 or (price = 2 and price = 3))", true),
        ("price = 1 or price = 320 and missing is null", true),
    ] {
        assert_eq!(parse(filter).matches(&key, &view), holds, "{filter}");
    }
    let order = Query::parse_order("price desc, supplier.name ASC, _key").unwrap();
    let said: Vec<_> = order.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["price desc", "supplier.name", "_key"]);
}

#[test]
fn sums_are_exact_whatever_the_order() {
    let disk = SimDisk::new();
    let mut store = open(&disk);
    for (key, value) in [
        ("a", Value::Float(1e16)),
        ("b", Value::Float(1.0)),
        ("c", Value::Float(-1e16)),
        ("d", Value::Int(i64::MAX)),
        ("e", Value::Int(-i64::MAX)),
        ("f", text("7")),
        ("g", Value::Float(0.5)),
    ] {
        put(&mut store, key, fields([("n", value)]));
    }
    let tally = Tally { sum: Some(Field::typed("n")), group: None };
    let sum = |filter: &str| store.tally(&things(), &parse(filter), &tally).unwrap()[0].clone();
    assert_eq!(sum("not _key is null").sum, Some(Value::Float(1.5)));
    assert_eq!(sum("_key in ('d', 'e', 'f')").sum, Some(Value::Int(0)));
    assert_eq!(sum("_key = 'd' or _key = 'a'").sum, Some(Value::Float(9_233_372_036_854_775_807.0)));
    assert_eq!((sum("_key = 'none'").count, sum("_key = 'none'").sum), (0, Some(Value::Int(0))));
}
