//! Merge rules under chance: stores that write, exchange and learn of the schema in any order show the same, and each
//! rule keeps its promise.

#![allow(clippy::unwrap_used)]

use comptoir_engine::disk::sim::SimDisk;
use comptoir_engine::record::json;
use comptoir_engine::store::Store;
use comptoir_engine::wire::Style;
use comptoir_engine::{Collection, FieldEdit, RecordId, Settings, Timestamp, Value, View, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng as _;
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };
const STORES: usize = 3;
const STATES: [&str; 4] = ["open", "paid", "packed", "closed"];

const RULES: &str = r#"{"fields": {
    "first": {"type": "int", "rule": "first"},
    "max": {"type": "int", "rule": "max"},
    "min": {"type": "float", "rule": "min"},
    "count": {"type": "counter"},
    "set": {"type": "list", "rule": "set"},
    "text": {"type": "text"},
    "state": {"type": "string", "rule": "forward(open<paid<packed<closed)"},
    "/in/max": {"type": "string", "rule": "max"}
}}"#;

fn store(seed: u64) -> Store {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let (relay, token, device_name) = (String::new(), String::new(), format!("till {seed}"));
    let settings = Settings { workspace: WorkspaceId::new("shop").unwrap(), relay, token, device_name };
    Store::create(Box::new(SimDisk::new()), "here", settings, &mut rng).unwrap()
}

fn sales() -> Collection {
    Collection::new("sales").unwrap()
}

fn sale() -> RecordId {
    RecordId::new("sales", "1").unwrap()
}

fn learn(store: &mut Store) {
    store.set_schema(&sales(), &json::parse(RULES).unwrap(), NOW).unwrap();
}

fn knows(store: &Store) -> bool {
    !store.schema(&sales()).fields.is_empty()
}

#[derive(Debug, Clone)]
enum Write {
    First(i8),
    Max(i8),
    Min(i8),
    InMax(u8),
    State(usize),
    Add(i8),
    Count(i8),
    Put(u8),
    Take(u8),
    Type,
}

#[derive(Debug, Clone)]
enum Step {
    Write { at: usize, write: Write },
    Learn { at: usize },
    Push { at: usize },
    Pull { at: usize, entries: usize },
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        1 => any::<i8>().prop_map(Write::First),
        1 => any::<i8>().prop_map(Write::Max),
        1 => any::<i8>().prop_map(Write::Min),
        1 => any::<u8>().prop_map(Write::InMax),
        1 => (0..STATES.len()).prop_map(Write::State),
        1 => any::<i8>().prop_map(Write::Add),
        1 => any::<i8>().prop_map(Write::Count),
        2 => (0..5u8).prop_map(Write::Put),
        1 => (0..5u8).prop_map(Write::Take),
        1 => Just(Write::Type),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..STORES, write()).prop_map(|(at, write)| Step::Write { at, write }),
        1 => (0..STORES).prop_map(|at| Step::Learn { at }),
        4 => (0..STORES).prop_map(|at| Step::Push { at }),
        4 => (0..STORES, 1..4usize).prop_map(|(at, entries)| Step::Pull { at, entries }),
    ]
}

/// What the promises say, beside the stores: which writings were made, and of a set, which store has heard of which.
#[derive(Default)]
struct Promise {
    max: Vec<i8>,
    min: Vec<i8>,
    in_max: Vec<u8>,
    states: Vec<usize>,
    count: i64,
    tokens: Vec<String>,
    /// Of each adding of an element: which, and whether a removal has met it.
    added: Vec<(u8, bool)>,
    /// By store: the addings it has heard of.
    heard: [BTreeSet<usize>; STORES],
    /// By entry of the log: what its author had heard of.
    said: Vec<BTreeSet<usize>>,
}

struct Shop {
    stores: Vec<Store>,
    log: Vec<Vec<u8>>,
    pushed: [u64; STORES],
    pulled: [usize; STORES],
    promise: Promise,
    strict: bool,
}

impl Shop {
    /// `strict`: all know the schema from the first.
    fn new(strict: bool) -> Self {
        let mut stores: Vec<Store> = (0..STORES as u64).map(store).collect();
        if strict {
            stores.iter_mut().for_each(learn);
        }
        let promise = Promise::default();
        Self { stores, log: Vec::new(), pushed: [0; STORES], pulled: [0; STORES], promise, strict }
    }

    fn view(&self, at: usize) -> View {
        self.stores[at].get(&sale()).unwrap().unwrap_or_default()
    }

    fn shows(&self, at: usize, field: &str) -> Option<Value> {
        self.view(at).fields.get(field).cloned()
    }

    fn commit(&mut self, at: usize, edit: FieldEdit) {
        self.stores[at].commit_local(&[(sale(), edit)], NOW).unwrap();
    }

    fn set(&mut self, at: usize, field: &str, value: Value) {
        self.commit(at, FieldEdit::Set([(field.to_owned(), value)].into()));
    }

    fn write(&mut self, at: usize, write: &Write) {
        match write {
            Write::First(number) => self.set(at, "first", Value::Int((*number).into())),
            Write::Max(number) => {
                self.promise.max.push(*number);
                self.set(at, "max", Value::Int((*number).into()));
            }
            Write::Min(number) => {
                self.promise.min.push(*number);
                self.set(at, "min", Value::Float(f64::from(*number) / 2.0));
            }
            Write::InMax(letter) => {
                self.promise.in_max.push(*letter);
                let inside = [("max".to_owned(), Value::String(format!("{letter:03}")))].into();
                self.set(at, "in", Value::Map(inside));
            }
            Write::State(state) => {
                self.promise.states.push(*state);
                self.set(at, "state", Value::String(STATES[*state].to_owned()));
            }
            Write::Add(by) => {
                self.promise.count += i64::from(*by);
                self.commit(at, FieldEdit::Increment { field: "count".to_owned(), by: (*by).into() });
            }
            Write::Count(to) => self.count(at, (*to).into()),
            Write::Put(element) => self.put(at, *element),
            Write::Take(element) => self.take(at, *element),
            Write::Type => {
                let before = match self.shows(at, "text") {
                    Some(Value::Text(text) | Value::String(text)) => text,
                    _ => String::new(),
                };
                // A device without the schema replaces strings: there only the merging of texts is promised.
                if self.strict {
                    let token = format!("<{}>", self.promise.tokens.len());
                    self.set(at, "text", Value::String(format!("{before}{token}")));
                    self.promise.tokens.push(token);
                }
            }
        }
    }

    /// Setting a counter is an increment by the difference to what is seen; known where the schema is.
    fn count(&mut self, at: usize, to: i64) {
        if knows(&self.stores[at]) {
            let from = match self.shows(at, "count") {
                Some(Value::Counter(from)) => from,
                None => 0,
                other => panic!("{other:?}"),
            };
            self.promise.count += to - from;
            self.set(at, "count", Value::Int(to));
        }
    }

    fn elements(&self, at: usize) -> Vec<Value> {
        match self.shows(at, "set") {
            Some(Value::List(items)) => items,
            None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn put(&mut self, at: usize, element: u8) {
        // Without the schema nothing is removed, and each adding is another element.
        let name = if self.strict { element } else { 10 + self.promise.added.len().min(200) as u8 };
        let mut items = self.elements(at);
        let value = Value::Int(name.into());
        if !items.contains(&value) {
            self.promise.heard[at].insert(self.promise.added.len());
            self.promise.added.push((name, false));
            items.push(value);
            self.set(at, "set", Value::List(items));
        }
    }

    fn take(&mut self, at: usize, element: u8) {
        if self.strict {
            let mut items = self.elements(at);
            items.retain(|item| *item != Value::Int(element.into()));
            for adding in &self.promise.heard[at] {
                let (name, removed) = &mut self.promise.added[*adding];
                *removed |= *name == element;
            }
            if self.shows(at, "set").is_some() {
                self.set(at, "set", Value::List(items));
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { at, write } => self.write(*at, write),
            Step::Learn { at } => learn(&mut self.stores[*at]),
            Step::Push { at } => {
                if let Some(outgoing) = self.stores[*at].outgoing(self.pushed[*at], Style::Compact).unwrap() {
                    self.pushed[*at] = outgoing.through + 1;
                    self.log.push(outgoing.batch);
                    self.promise.said.push(self.promise.heard[*at].clone());
                }
            }
            Step::Pull { at, entries } => {
                let until = (self.pulled[*at] + entries).min(self.log.len());
                self.stores[*at].apply_remote(&self.log[self.pulled[*at]..until], None, NOW).unwrap();
                for said in &self.promise.said[self.pulled[*at]..until] {
                    self.promise.heard[*at].extend(said);
                }
                self.pulled[*at] = until;
            }
        }
    }

    fn settle(&mut self) {
        (0..STORES).for_each(|at| self.step(&Step::Push { at }));
        (0..STORES).for_each(|at| self.step(&Step::Pull { at, entries: usize::MAX / 2 }));
    }

    fn check(&self) {
        let view = self.view(0);
        for at in 1..STORES {
            self.stores[at].check().unwrap();
            assert_eq!(self.view(at), view);
            assert_eq!(self.stores[at].digest(), self.stores[0].digest());
        }
        assert_eq!(late_views(&self.log), [view.clone(), view.clone()], "whatever comes first");
        let (promise, fields) = (&self.promise, &view.fields);
        let whole = |number: &i8| Value::Int((*number).into());
        assert_eq!(fields.get("max"), promise.max.iter().max().map(whole).as_ref());
        assert_eq!(fields.get("min"), promise.min.iter().min().map(|n| Value::Float(f64::from(*n) / 2.0)).as_ref());
        let state = promise.states.iter().max().map(|state| Value::String(STATES[*state].to_owned()));
        assert_eq!(fields.get("state"), state.as_ref());
        let inside = promise.in_max.iter().max().map(|letter| Value::String(format!("{letter:03}")));
        let found = fields.get("in").map(|inside| match inside {
            Value::Map(inside) => inside["max"].clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(found, inside);
        let count = match fields.get("count") {
            Some(Value::Counter(count)) => *count,
            None => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(count, promise.count, "each increment counts once");
        let there =
            promise.added.iter().filter(|(_, removed)| !removed).map(|(name, _)| *name).collect::<BTreeSet<_>>();
        let there: Vec<Value> = there.into_iter().map(|name| Value::Int(name.into())).collect();
        assert_eq!(self.elements(0), there, "what was added and not seen by a removal is there");
        for token in &promise.tokens {
            let Value::Text(text) = &fields["text"] else { panic!("a text") };
            assert_eq!(text.matches(token.as_str()).count(), 1, "{token} in {text}");
        }
    }

    /// Writing what is shown changes nothing.
    fn check_same(&mut self) {
        let fields = self.view(0).fields;
        if !fields.is_empty() {
            let digest = self.stores[0].digest();
            for edit in [FieldEdit::Set(fields.clone()), FieldEdit::Import(fields)] {
                assert!(self.stores[0].commit_local(&[(sale(), edit)], NOW).unwrap().changed.is_empty());
            }
            assert_eq!(self.stores[0].digest(), digest);
        }
    }
}

/// What stores show that come last: one gets the schema before the record, the other behind it.
fn late_views(log: &[Vec<u8>]) -> [View; 2] {
    let mut through = store(78);
    through.apply_remote(log, None, NOW).unwrap();
    let records: Vec<RecordId> = through.leaves().unwrap().into_iter().map(|(_, record)| record).collect();
    [false, true].map(|schema_last| {
        let mut records = records.clone();
        records.sort_by_key(|record| record.collection.is_reserved() == schema_last);
        let mut late = store(77);
        for record in records {
            through.offer(&[record]).unwrap();
            let outgoing = through.outgoing(0, Style::Explicit).unwrap().unwrap();
            through.acknowledge(outgoing.from, outgoing.through, &[], None, NOW).unwrap();
            late.apply_remote(&[outgoing.batch], None, NOW).unwrap();
        }
        assert_eq!((late.digest(), late.quarantined()), (through.digest(), 0));
        late.get(&sale()).unwrap().unwrap_or_default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_keeps_its_promise_where_all_know_it(before in vec(step(), 1..40), after in vec(step(), 0..30)) {
        let mut shop = Shop::new(true);
        before.iter().for_each(|step| shop.step(step));
        shop.settle();
        shop.check();
        shop.check_same();
        let first = shop.shows(0, "first");
        after.iter().for_each(|step| shop.step(step));
        shop.settle();
        shop.check();
        if first.is_some() {
            prop_assert_eq!(shop.shows(0, "first"), first, "kept once it is set and everybody has it");
        }
    }

    #[test]
    fn every_rule_keeps_its_promise_where_some_learn_of_it_late(before in vec(step(), 1..40), after in vec(step(), 0..30)) {
        let mut shop = Shop::new(false);
        before.iter().for_each(|step| shop.step(step));
        learn(&mut shop.stores[1]);
        shop.settle();
        shop.check();
        shop.check_same();
        let first = shop.shows(0, "first");
        after.iter().for_each(|step| shop.step(step));
        shop.settle();
        shop.check();
        if first.is_some() {
            prop_assert_eq!(shop.shows(0, "first"), first);
        }
    }
}
