//! Records under chance and malice: any order of exchange gives the same records, JSON goes in and comes out as it was,
//! and no change, however made, stalls a store.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId as Actor, Automerge, ObjType, ROOT, ScalarValue};
use comptoir_engine::change::Change;
use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::gate::{Lineage, Refusal};
use comptoir_engine::id::LogSeq;
use comptoir_engine::record::json::{self, JsonError};
use comptoir_engine::record::view::DEPTH_MAX;
use comptoir_engine::store::{Store, StoreError};
use comptoir_engine::wire::batch::pack;
use comptoir_engine::wire::message::{FRAME_BYTES_MAX, FromDevice};
use comptoir_engine::wire::{Item, Style};
use comptoir_engine::{
    Collection, EditError, FieldEdit, Fields, HistoryPage, RecordId, Settings, Timestamp, Value, WorkspaceId,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rand::SeedableRng as _;
use serde_json::{Map, Number, Value as Json};

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn record(index: usize) -> RecordId {
    let (collection, key) = [("products", "tea"), ("products", "~/ü"), ("sales", "tea")][index];
    RecordId::new(collection, key).unwrap()
}

fn tea() -> RecordId {
    record(0)
}

// Any order.

#[derive(Debug, Clone)]
enum Step {
    Edit { at: usize, record: usize, edits: Vec<FieldEdit> },
    Push { at: usize, explicit: bool },
    Pull { at: usize, entries: usize, again: usize },
}

const STORES: usize = 3;

/// Names that are hard to keep apart once they are parts of a path.
fn name() -> impl Strategy<Value = String> {
    let odd = ["", "/", "~", "~0", "~1", "~2", "~d", "~c/stock", "a", "b", "a/b", "é", "名 前", "a!b", "\u{1}"];
    prop_oneof![4 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| Value::Int(number.into())),
        prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>()].prop_map(Value::Int),
        (i64::MAX as u64 + 1..).prop_map(Value::Uint),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        ".{0,6}".prop_map(Value::String),
        vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
        any::<i64>().prop_map(|unix_ms| Value::Timestamp(Timestamp { unix_ms })),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => scalar(),
        1 => any::<i32>().prop_map(|count| Value::Counter(count.into())),
        1 => ".{0,6}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            btree_map(name(), inner, 0..3).prop_map(Value::Map),
        ]
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    btree_map(name(), value(), 0..3)
}

/// A JSON Pointer, and sometimes something that only looks like one.
fn pointer() -> impl Strategy<Value = String> {
    let escaped = vec(name(), 1..3).prop_map(|names| {
        let names = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
        names.fold(String::new(), |path, name| path + "/" + &name)
    });
    prop_oneof![3 => escaped, 1 => name()]
}

fn edit() -> impl Strategy<Value = FieldEdit> {
    prop_oneof![
        4 => fields().prop_map(FieldEdit::Set),
        1 => fields().prop_map(FieldEdit::Import),
        2 => (pointer(), any::<i16>()).prop_map(|(field, by)| FieldEdit::Increment { field, by: by.into() }),
        2 => any::<i16>().prop_map(|by| FieldEdit::Increment { field: "exact".to_owned(), by: by.into() }),
        2 => pointer().prop_map(|field| FieldEdit::Unset { field }),
        1 => Just(FieldEdit::Delete),
        1 => Just(FieldEdit::Restore),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let edits = (0..STORES, 0..3usize, vec(edit(), 1..4));
    prop_oneof![
        4 => edits.prop_map(|(at, record, edits)| Step::Edit { at, record, edits }),
        2 => (0..STORES, any::<bool>()).prop_map(|(at, explicit)| Step::Push { at, explicit }),
        2 => (0..STORES, 0..4usize, 0..3usize).prop_map(|(at, entries, again)| Step::Pull { at, entries, again }),
    ]
}

/// Stores around one log, as a relay keeps it: in the order of arrival, each change behind those it follows.
struct Shop {
    stores: Vec<Store>,
    log: Vec<Vec<u8>>,
    pushed: [u64; STORES],
    pulled: [usize; STORES],
    exact: [i64; 3],
}

impl Shop {
    fn new() -> Self {
        let stores = (0..STORES as u64).map(store).collect();
        Self { stores, log: Vec::new(), pushed: [0; STORES], pulled: [0; STORES], exact: [0; 3] }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Edit { at, record: index, edits } => {
                let all: Vec<_> = edits.iter().map(|edit| (record(*index), edit.clone())).collect();
                match self.stores[*at].commit_local(&all, NOW) {
                    Ok(_) => self.exact[*index] += edits.iter().map(exact).sum::<i64>(),
                    Err(StoreError::Edit { error: EditError::Document { cause }, .. }) => panic!("{cause}"),
                    Err(StoreError::Edit { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Push { at, explicit } => {
                let style = if *explicit { Style::Explicit } else { Style::Compact };
                if let Some(outgoing) = self.stores[*at].outgoing(self.pushed[*at], style).unwrap() {
                    self.pushed[*at] = outgoing.through + 1;
                    self.log.push(outgoing.batch);
                }
            }
            Step::Pull { at, entries, again } => {
                let from = self.pulled[*at].saturating_sub(*again);
                let until = (self.pulled[*at] + entries).min(self.log.len());
                self.stores[*at].apply_remote(&self.log[from..until], None, NOW).unwrap();
                self.pulled[*at] = until;
            }
        }
    }

    fn settle(&mut self) {
        for at in 0..STORES {
            self.step(&Step::Push { at, explicit: false });
        }
        for at in 0..STORES {
            self.step(&Step::Pull { at, entries: usize::MAX / 2, again: 1 });
        }
    }

    fn check(&self) {
        let first = &self.stores[0];
        for other in &self.stores[1..] {
            assert_eq!(other.digest(), first.digest());
            assert_eq!(other.leaves().unwrap(), first.leaves().unwrap());
            assert_eq!((other.records(), other.collections()), (first.records(), first.collections()));
        }
        for store in &self.stores {
            assert_eq!(store.quarantined(), 0, "{:?}", store.quarantine());
        }
        for index in 0..3 {
            let view = first.get(&record(index)).unwrap();
            for other in &self.stores[1..] {
                assert_eq!(other.get(&record(index)).unwrap(), view);
            }
            let shown = view.and_then(|view| match view.fields.get("exact") {
                Some(Value::Counter(count)) => Some(*count),
                None => None,
                other => panic!("{other:?}"),
            });
            assert_eq!(shown.unwrap_or(0), self.exact[index]);
        }
    }
}

/// What an edit adds to the field that only ever is incremented.
fn exact(edit: &FieldEdit) -> i64 {
    match edit {
        FieldEdit::Increment { field, by } if field == "exact" => *by,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn stores_that_have_exchanged_everything_are_equal_and_have_lost_nothing(steps in vec(step(), 1..50)) {
        let mut shop = Shop::new();
        steps.iter().for_each(|step| shop.step(step));
        shop.settle();
        shop.check();
        // A store that comes last, and reads all at once, sees the same.
        let mut late = store(99);
        late.apply_remote(&shop.log, None, NOW).unwrap();
        prop_assert_eq!(late.digest(), shop.stores[0].digest());
        for index in 0..3 {
            prop_assert_eq!(late.get(&record(index)).unwrap(), shop.stores[0].get(&record(index)).unwrap());
        }
    }

    #[test]
    fn what_is_set_is_what_is_read_whatever_was_there_before(before in fields(), added in any::<i16>(), after in fields()) {
        let mut store = store(1);
        let _ = store.commit_local(&[(tea(), FieldEdit::Set(before.clone()))], NOW);
        for field in before.keys().chain(after.keys()) {
            let field = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
            let _ = store.commit_local(&[(tea(), FieldEdit::Increment { field, by: added.into() })], NOW);
        }
        let edits = [(tea(), FieldEdit::Set(after.clone()))];
        match store.commit_local(&edits, NOW) {
            // The distance between two whole numbers may be past 64 bits.
            Err(StoreError::Edit { error: EditError::Overflow { .. }, .. }) => return Ok(()),
            other => drop(other.unwrap()),
        }
        let read = store.get(&tea()).unwrap().map(|view| view.fields).unwrap_or_default();
        for (name, value) in &after {
            let found = read.get(name).map(plain);
            prop_assert_eq!(found, Some(plain(value)), "{}", name);
        }
        // Said once more, it changes nothing.
        prop_assert_eq!(store.commit_local(&edits, NOW).unwrap().changed, vec![]);
    }
}

/// A value without what a view may add or take away: that a number counts, and that a text merges.
fn plain(value: &Value) -> Value {
    match value {
        Value::Counter(number) => Value::Int(*number),
        Value::Text(text) => Value::String(text.clone()),
        Value::List(items) => Value::List(items.iter().map(plain).collect()),
        Value::Map(fields) => Value::Map(fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        other => other.clone(),
    }
}

// JSON.

fn any_json() -> impl Strategy<Value = Json> {
    let number = prop_oneof![
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()].prop_map(Number::from),
        prop_oneof![Just(u64::MAX), Just(1 << 63), any::<u64>()].prop_map(Number::from),
        prop_oneof![prop::num::f64::NORMAL, prop::num::f64::SUBNORMAL, Just(0.1), Just(f64::MAX), Just(5e-324)]
            .prop_map(|float| Number::from_f64(float).unwrap()),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number.prop_map(Json::Number),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let names = prop_oneof![name(), any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::Array),
            vec((names, inner), 0..5).prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Json> {
    vec((name(), any_json()), 0..6).prop_map(|fields| Json::Object(fields.into_iter().collect()))
}

fn shown(store: &Store, record: &RecordId) -> Json {
    json::object(&store.get(record).unwrap().unwrap().fields)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_out_as_it_went_in(object in any_object()) {
        let text = object.to_string();
        let fields = json::parse(&text).unwrap();
        prop_assert_eq!(json::object(&fields).to_string(), &text[..]);
        let (mut one, mut two) = (store(1), store(2));
        one.commit_local(&[(tea(), FieldEdit::Import(fields.clone()))], NOW).unwrap();
        prop_assert_eq!(shown(&one, &tea()).to_string(), &text[..]);
        if !fields.is_empty() {
            one.commit_local(&[(record(2), FieldEdit::Set(fields))], NOW).unwrap();
            prop_assert_eq!(shown(&one, &record(2)).to_string(), &text[..]);
        }
        two.apply_remote(&[one.outgoing(0, Style::Compact).unwrap().unwrap().batch], None, NOW).unwrap();
        prop_assert_eq!(shown(&two, &tea()).to_string(), &text[..]);
        prop_assert_eq!(one.digest(), two.digest());
    }
}

/// One list, or one object, in another, with `levels` names or items on the way to the innermost.
fn nested(levels: usize, pattern: u32) -> Json {
    (0..levels).fold(Json::Null, |inner, level| match pattern >> (level % 32) & 1 {
        0 => Json::Array(vec![Json::Bool(true), inner]),
        _ => Json::Object(Map::from_iter([("".to_owned(), inner)])),
    })
}

#[test]
fn json_may_be_nested_to_the_limit_and_no_deeper() {
    for pattern in [0, u32::MAX, 1, 0xaaaa_aaaa, 0xffff, 0xffff_0000, 0x1234_5678] {
        for innermost in [Json::Null, Json::Array(Vec::new()), Json::Object(Map::new())] {
            for levels in [0, 1, DEPTH_MAX - 2, DEPTH_MAX - 1] {
                let text = format!("{{\"x\":{}}}", nested(levels, pattern)).replace("null", &innermost.to_string());
                let mut store = store(1);
                let fields = json::parse(&text).unwrap();
                store.commit_local(&[(tea(), FieldEdit::Set(fields.clone()))], NOW).unwrap();
                assert_eq!(shown(&store, &tea()).to_string(), text);
                store.commit_local(&[(record(1), FieldEdit::Import(fields))], NOW).unwrap();
                assert_eq!(shown(&store, &record(1)).to_string(), text);
            }
            let text = format!("{{\"x\":{}}}", nested(DEPTH_MAX, pattern)).replace("null", &innermost.to_string());
            assert_eq!(json::parse(&text), Err(JsonError::TooDeep));
        }
    }
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(json::parse(&text).is_err());
    }
}

#[test]
fn values_too_deep_for_a_view_are_refused_when_they_are_set() {
    for wrap in [|inner| Value::List(vec![inner]), |inner| Value::Map([("m".to_owned(), inner)].into())] {
        for (maps, more) in [(0, DEPTH_MAX), (DEPTH_MAX - 1, 1), (DEPTH_MAX / 2, DEPTH_MAX / 2), (0, 500)] {
            let inner = (0..more).fold(Value::Null, |inner, _| wrap(inner));
            let value = (0..maps).fold(inner, |inner, _| Value::Map([("m".to_owned(), inner)].into()));
            for edit in [FieldEdit::Set, FieldEdit::Import] {
                let mut store = store(1);
                let edit = edit([("x".to_owned(), value.clone())].into());
                let refused = store.commit_local(&[(tea(), edit)], NOW).unwrap_err();
                assert_eq!(refused, StoreError::Edit { record: tea(), error: EditError::TooDeep });
                assert_eq!(store.get(&tea()).unwrap(), None);
            }
        }
    }
}

#[test]
fn a_number_set_on_a_counter_shows_as_it_was_set() {
    let number = |store: &mut Store, value: Value| {
        store.commit_local(&[(tea(), FieldEdit::Set([("kg".to_owned(), value)].into()))], NOW).unwrap();
    };
    let add = |store: &mut Store, by| {
        store.commit_local(&[(tea(), FieldEdit::Increment { field: "kg".to_owned(), by })], NOW).unwrap();
    };
    let (mut one, mut two) = (store(1), store(2));
    add(&mut one, 3);
    let exchange = |from: &Store, to: &mut Store| {
        let mut next = 0;
        while let Some(outgoing) = from.outgoing(next, Style::Compact).unwrap() {
            to.apply_remote(&[outgoing.batch], None, NOW).unwrap();
            next = outgoing.through + 1;
        }
    };
    exchange(&one, &mut two);
    for float in [0.1, 2.7, -1e-9, 1e300, 0.30000000000000004] {
        number(&mut one, Value::Float(float));
        assert_eq!(shown(&one, &tea()).to_string(), format!("{{\"kg\":{}}}", Json::from(float)));
    }
    number(&mut one, Value::Float(0.5));
    add(&mut two, -2);
    exchange(&one, &mut two);
    exchange(&two, &mut one);
    assert_eq!(shown(&one, &tea()).to_string(), "{\"kg\":-1.5}");
    assert_eq!(shown(&two, &tea()).to_string(), "{\"kg\":-1.5}");
}

// Malice.

/// A batch of changes to one record, by way of Automerge, as no store of ours makes them.
fn hostile(record: &RecordId, make: impl FnOnce(&mut Automerge)) -> Vec<u8> {
    let mut doc = Automerge::new().with_actor(Actor::from([0xbb; 16].as_slice()));
    make(&mut doc);
    let changes = doc.get_changes(&[]);
    batch(record, changes.iter().map(|change| Change::parse(change.raw_bytes()).unwrap()))
}

fn batch(record: &RecordId, changes: impl IntoIterator<Item = Change>) -> Vec<u8> {
    let mut lineage = Lineage::default();
    let item = |change: Change| {
        let deps = change.parts().deps.iter().map(|dep| lineage.place_of(dep).unwrap()).collect();
        lineage.extend(&change, LogSeq(0));
        Item { record: record.clone(), change, deps }
    };
    pack(&changes.into_iter().map(item).collect::<Vec<_>>(), Style::Explicit).unwrap()
}

/// Takes a hostile batch and shows that the store, the record and the rest of its collection still work.
fn survive(batch: Vec<u8>) -> Store {
    let mut victim = store(1);
    victim.commit_local(&[(record(1), set("name", Value::String("Ann".to_owned())))], NOW).unwrap();
    victim.apply_remote(&[batch], None, NOW).unwrap();
    let products = Collection::new("products").unwrap();
    for _ in 0..20 {
        assert_eq!(victim.list(&products, None, 10).unwrap().len(), 2);
        victim.commit_local(&[(tea(), FieldEdit::Increment { field: "sold".to_owned(), by: 1 })], NOW).unwrap();
    }
    assert_eq!(victim.get(&tea()).unwrap().unwrap().fields["sold"], Value::Counter(20));
    // All of it reaches another store.
    let mut other = store(2);
    let records: Vec<_> = victim.leaves().unwrap().into_iter().map(|(_, record)| record).collect();
    victim.offer(&records).unwrap();
    let mut next = 0;
    while let Some(outgoing) = victim.outgoing(next, Style::Explicit).unwrap() {
        other.apply_remote(&[outgoing.batch], None, NOW).unwrap();
        next = outgoing.through + 1;
    }
    assert_eq!(other.get(&tea()).unwrap(), victim.get(&tea()).unwrap());
    victim
}

fn set(name: &str, value: Value) -> FieldEdit {
    FieldEdit::Set([(name.to_owned(), value)].into())
}

/// Runs with little stack, so that recursion without bound does not go unnoticed.
fn with_little_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap();
    thread.join().unwrap();
}

/// How deep a value is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn list_at(doc: &mut Automerge, path: &str, levels: usize, kind: impl Fn(usize) -> ObjType) {
    let mut tx = doc.transaction();
    tx.put(ROOT, path, ScalarValue::Bytes(vec![1])).unwrap();
    let mut inner = tx.put_object(ROOT, format!("~l/{path}"), ObjType::List).unwrap();
    let mut here = ObjType::List;
    for level in 0..levels {
        inner = match here {
            ObjType::List => tx.insert_object(&inner, 0, kind(level)).unwrap(),
            _ => tx.put_object(&inner, "m", kind(level)).unwrap(),
        };
        here = kind(level);
    }
    tx.commit();
}

#[test]
fn objects_nested_thousands_deep_are_cut_off_and_harm_nothing() {
    with_little_stack(|| {
        for kind in [|_| ObjType::List, |_| ObjType::Map, |level| [ObjType::List, ObjType::Map][level % 2]] {
            let victim = survive(hostile(&tea(), |doc| list_at(doc, "x", 20_000, kind)));
            assert_eq!(depth(&victim.get(&tea()).unwrap().unwrap().fields["x"]), DEPTH_MAX);
        }
    });
}

#[test]
fn lists_at_the_end_of_a_deep_path_are_cut_off_where_a_view_ends() {
    for maps in [1, DEPTH_MAX - 2, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 5000] {
        let path = vec!["a"; maps + 1].join("/");
        survive(hostile(&tea(), |doc| list_at(doc, &path, 100, |_| ObjType::List)));
    }
}

#[test]
fn odd_keys_in_a_document_harm_nothing() {
    let long = "k".repeat(100_000);
    let deep = "a/".repeat(50_000);
    let odd = ["", "/", "//", "~", "~3", "~c", "~c/", "~c/a/b", "~l/", "~u/", "~t/", "~x/y", "a/", "/a", &long, &deep];
    let victim = survive(hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        for key in odd {
            tx.put(ROOT, key, 1).unwrap();
        }
        tx.put(ROOT, "~l/x", "no list").unwrap();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        tx.put(ROOT, "y", ScalarValue::Bytes(vec![2])).unwrap();
        tx.put_object(ROOT, "~t/y", ObjType::Map).unwrap();
        tx.put(ROOT, "z", ScalarValue::Bytes(vec![9, 9])).unwrap();
        tx.put_object(ROOT, "w", ObjType::Map).unwrap();
        tx.commit();
    }));
    let fields = victim.get(&tea()).unwrap().unwrap().fields;
    assert_eq!(fields["x"], Value::List(Vec::new()));
    assert_eq!(fields["y"], Value::Text(String::new()));
    assert_eq!(fields["z"], Value::Bytes(vec![9, 9]));
    assert!(!fields.contains_key("w"));
}

/// A list of so many objects with one field each, all of one name.
fn one_name(name_bytes: usize, objects: usize) -> Vec<u8> {
    hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        let list = tx.put_object(ROOT, "~l/x", ObjType::List).unwrap();
        let maps: Vec<_> = (0..objects).map(|at| tx.insert_object(&list, at, ObjType::Map).unwrap()).collect();
        maps.iter().for_each(|map| tx.put(map, "k".repeat(name_bytes), true).unwrap());
        tx.commit();
    })
}

#[test]
fn a_name_that_run_lengths_repeat_does_not_fill_the_memory() {
    let bomb = one_name(20_000, 10_000);
    assert!(bomb.len() < 64 << 10);
    let mut victim = store(1);
    let cost = allocation_counter::measure(|| drop(victim.apply_remote(&[bomb], None, NOW).unwrap()));
    assert!(cost.bytes_max < 4 << 20, "{} bytes", cost.bytes_max);
    assert!(matches!(victim.quarantine().unwrap()[0].reason, Refusal::TooLarge { .. }));
    // What the gate lets pass can be read.
    let mut victim = survive(one_name(200, 20_000));
    assert!(matches!(&victim.get(&tea()).unwrap().unwrap().fields["x"], Value::List(items) if items.len() == 20_000));
    let cost = allocation_counter::measure(|| drop(victim.apply_remote(&[one_name(200, 20_000)], None, NOW).unwrap()));
    assert!(cost.bytes_max < 64 << 20, "{} bytes", cost.bytes_max);
}

#[test]
fn a_list_of_as_many_items_as_the_gate_admits_can_be_read() {
    let batch = hostile(&tea(), |doc| {
        let mut tx = doc.transaction();
        tx.put(ROOT, "x", ScalarValue::Bytes(vec![1])).unwrap();
        let list = tx.put_object(ROOT, "~l/x", ObjType::List).unwrap();
        tx.commit();
        for round in 0..10 {
            let mut tx = doc.transaction();
            (0..49_000).for_each(|at| tx.insert(&list, round * 49_000 + at, ()).unwrap());
            tx.commit();
        }
    });
    assert!(batch.len() < 4096);
    let mut victim = store(1);
    victim.apply_remote(&[batch], None, NOW).unwrap();
    assert_eq!(victim.quarantined(), 0);
    assert!(matches!(&victim.get(&tea()).unwrap().unwrap().fields["x"], Value::List(items) if items.len() > 300_000));
    victim.commit_local(&[(tea(), set("y", Value::Int(1)))], NOW).unwrap();
}

#[test]
fn a_record_that_hundreds_changed_at_once_can_still_be_edited() {
    let changes = (0..700u32).map(|index| {
        let actor = [&index.to_be_bytes()[..], &[0xcc; 12]].concat();
        let mut doc = Automerge::new().with_actor(Actor::from(actor));
        let mut tx = doc.transaction();
        tx.put(ROOT, format!("field {index}"), i64::from(index)).unwrap();
        tx.commit_with(CommitOptions::default().with_time(0));
        Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap()
    });
    let batch = batch(&tea(), changes);
    let (mut one, mut two) = (store(1), store(2));
    for store in [&mut one, &mut two] {
        store.apply_remote(std::slice::from_ref(&batch), None, NOW).unwrap();
        store.commit_local(&[(tea(), set("name", Value::Int(1)))], NOW).unwrap();
        assert_eq!(store.get(&tea()).unwrap().unwrap().fields.len(), 701);
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let stores = [&mut one, &mut two];
        let outgoing = stores[from].outgoing(0, Style::Compact).unwrap().unwrap();
        stores[to].apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    assert_eq!((one.quarantined(), two.quarantined()), (0, 0));
}

#[test]
fn a_record_with_hundreds_of_lists_can_be_imported_and_edited() {
    let fields: Fields =
        (0..600).map(|index| (format!("list {index}"), Value::List(vec![Value::Int(index)]))).collect();
    let (mut one, mut two) = (store(1), store(2));
    for store in [&mut one, &mut two] {
        store.commit_local(&[(tea(), FieldEdit::Import(fields.clone()))], NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    one.commit_local(&[(record(1), FieldEdit::Set(fields.clone()))], NOW).unwrap();
    assert_eq!(one.get(&record(1)).unwrap().unwrap().fields, fields);
    let mut next = 0;
    while let Some(outgoing) = one.outgoing(next, Style::Compact).unwrap() {
        next = outgoing.through + 1;
        two.apply_remote(&[outgoing.batch], None, NOW).unwrap();
    }
    assert_eq!(one.digest(), two.digest());
    assert_eq!(two.quarantined(), 0);
}

#[test]
fn two_ops_of_one_name_are_refused_before_they_meet_a_document() {
    let make = |key: &str, seq| {
        let mut doc = Automerge::new().with_actor(Actor::from([0xbb; 16].as_slice()));
        let mut tx = doc.transaction();
        tx.put(ROOT, key, 1).unwrap();
        tx.commit();
        let change = Change::parse(doc.get_last_local_change().unwrap().raw_bytes()).unwrap();
        let mut parts = change.parts().clone();
        parts.seq = seq;
        Change::build(parts).unwrap()
    };
    let mut victim = store(1);
    victim.apply_remote(&[batch(&tea(), [make("a", 1), make("b", 2)])], None, NOW).unwrap();
    assert_eq!(victim.get(&tea()).unwrap().unwrap().fields.len(), 1);
    let set_aside = victim.quarantine().unwrap();
    assert_eq!(set_aside.len(), 1);
    assert_eq!(set_aside[0].reason, Refusal::StartOp { expected: 2, found: 1 });
}

/// A change with some bytes of its columns replaced, when that still is one.
fn damaged(change: &Change, edits: &[(prop::sample::Index, u8)]) -> Option<Change> {
    let mut parts = change.parts().clone();
    for (at, byte) in edits {
        let at = at.index(parts.columns.len());
        parts.columns[at] = *byte;
    }
    Change::build(parts).ok().filter(|damaged| damaged != change)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn changes_that_are_well_formed_and_make_no_sense_harm_their_own_record_at_most(
        edits in vec(edit(), 1..6),
        bytes in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..8u8]), 1..4),
        which in any::<prop::sample::Index>(),
    ) {
        let mut author = store(1);
        author.commit_local(&[(tea(), set("a", Value::List(vec![Value::Int(1), Value::Text("x".to_owned())])))], NOW).unwrap();
        for edit in &edits {
            let _ = author.commit_local(&[(tea(), edit.clone())], NOW);
        }
        let honest = author.outgoing(0, Style::Compact).unwrap().unwrap().batch;
        let workspace = WorkspaceId::new("shop").unwrap();
        let unpacked = comptoir_engine::wire::Batch::decode(&honest).unwrap().unpack(&workspace, |_, _, _| None).unwrap();
        let of_tea = unpacked.changes.into_iter().filter(|(record, _)| *record == tea());
        let mut changes: Vec<_> = of_tea.map(|(_, change)| change.unwrap()).collect();
        let which = which.index(changes.len());
        let Some(bad) = damaged(&changes[which], &bytes) else { return Ok(()) };
        changes.truncate(which);
        changes.push(bad);
        let mut victim = store(2);
        victim.commit_local(&[(record(1), set("name", Value::Int(1)))], NOW).unwrap();
        victim.apply_remote(&[batch(&tea(), changes.clone())], None, NOW).unwrap();
        prop_assert_eq!(victim.get(&record(1)).unwrap().unwrap().fields.len(), 1);
        victim.get(&tea()).unwrap();
        // The honest part of the record is there, and the record goes on.
        let mut honest = store(3);
        honest.apply_remote(&[batch(&tea(), changes[..which].iter().cloned())], None, NOW).unwrap();
        if victim.quarantined() == 1 {
            prop_assert_eq!(victim.get(&tea()).unwrap(), honest.get(&tea()).unwrap());
        }
        // Asked for its past it may refuse; it never brings the device down.
        let _ = (victim.history(&tea(), &HistoryPage::default()), victim.view_at_time(&tea(), NOW), victim.conflicts_of(&tea()));
        let _ = victim.undo(&tea(), None, None, NOW);
        for _ in 0..18 {
            let sold = FieldEdit::Increment { field: "sold".to_owned(), by: 1 };
            if victim.commit_local(&[(tea(), FieldEdit::Restore), (tea(), sold)], NOW).is_err() {
                break;
            }
        }
        victim.get(&tea()).unwrap();
    }
}

#[test]
fn a_transaction_too_large_for_one_frame_is_refused_and_the_largest_one_fits() {
    let mut one = store(1);
    let bytes = |count: usize| {
        let mut blob = vec![0; count];
        rand::Rng::fill_bytes(&mut rand::rngs::StdRng::seed_from_u64(count as u64), &mut blob);
        FieldEdit::Set([("blob".to_owned(), Value::Bytes(blob))].into())
    };
    let error = one.commit_local(&[(record(0), bytes(500_000)), (record(1), bytes(500_000))], NOW).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: "bytes", .. }), "{error}");
    assert_eq!(one.records(), 0);
    one.commit_local(&[(record(0), bytes(450_000)), (record(1), bytes(450_000))], NOW).unwrap();
    for style in [Style::Compact, Style::Explicit] {
        let batch = one.outgoing(0, style).unwrap().unwrap().batch;
        let frame = FromDevice::Push { push: u64::MAX, offered: true, batch }.encode().unwrap();
        assert!(frame.len() <= FRAME_BYTES_MAX, "{} bytes", frame.len());
    }
}
