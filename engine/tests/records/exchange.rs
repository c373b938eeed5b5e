//! Stores around one log: once all have everything they are equal, and nothing is lost.

use super::strategies::{edit, fields};
use super::{NOW, record, store, tea};
use comptoir_engine::store::{Store, StoreError};
use comptoir_engine::wire::Style;
use comptoir_engine::{EditError, FieldEdit, Value};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Edit { at: usize, record: usize, edits: Vec<FieldEdit> },
    Push { at: usize, explicit: bool },
    Pull { at: usize, entries: usize, again: usize },
}

const STORES: usize = 3;

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
