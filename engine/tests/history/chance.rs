//! History, conflicts and taking back under chance: random edits on several stores that meet now and then.

use super::{at, conflicts, edit, history, increment, send, set, settings, store, tea};
use comptoir_engine::change::Change;
use comptoir_engine::store::Store;
use comptoir_engine::wire::batch::pack;
use comptoir_engine::wire::{Batch, Item, Style};
use comptoir_engine::{ChangeHash, FieldEdit, Fields, Value, View};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Step {
    Edit { at: usize, edit: FieldEdit },
    Exchange,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..4i64).prop_map(Value::Int),
        2 => "[ab]{0,2}".prop_map(Value::String),
        1 => Just(Value::Null),
        1 => vec((0..3i64).prop_map(Value::Int), 0..3).prop_map(Value::List),
        1 => "[ab]{0,3}".prop_map(Value::Text),
        1 => (0..4i64).prop_map(Value::Counter),
        1 => prop::collection::btree_map("[xy]", (0..3i64).prop_map(Value::Int), 0..2).prop_map(Value::Map),
    ]
}

fn fields(names: &'static str) -> impl Strategy<Value = Fields> {
    prop::collection::btree_map(names, value(), 1..3)
}

fn any_edit(names: &'static str) -> impl Strategy<Value = FieldEdit> {
    prop_oneof![
        5 => fields(names).prop_map(FieldEdit::Set),
        1 => fields(names).prop_map(FieldEdit::Import),
        3 => (names, -3..4i64).prop_map(|(field, by)| FieldEdit::Increment { field, by }),
        2 => names.prop_map(|field| FieldEdit::Unset { field }),
        1 => Just(FieldEdit::Delete),
        1 => Just(FieldEdit::Restore),
    ]
}

fn steps(names: &'static str) -> impl Strategy<Value = Vec<Step>> {
    let edit = (0..3usize, any_edit(names)).prop_map(|(at, edit)| Step::Edit { at, edit });
    vec(prop_oneof![4 => edit, 1 => Just(Step::Exchange)], 1..16)
}

fn run(steps: &[Step]) -> Vec<Store> {
    let mut stores: Vec<Store> = (1..=3).map(store).collect();
    for (second, step) in (0..).zip(steps) {
        match step {
            Step::Edit { at: device, edit } => {
                let _ = stores[*device].commit_local(&[(tea(), edit.clone())], at(second));
            }
            Step::Exchange => meet(&mut stores),
        }
    }
    stores
}

fn meet(stores: &mut [Store]) {
    for from in 0..stores.len() {
        for to in (0..stores.len()).filter(|to| *to != from) {
            let [source, target] = stores.get_disjoint_mut([from, to]).unwrap();
            send(source, target);
        }
    }
}

/// A view with what differs in name only made alike: a counter and its number, an absent counter and one at 0.
fn plain(view: Option<View>) -> (Fields, bool) {
    let view = view.unwrap_or(View { fields: Fields::new(), deleted: true });
    let number = |value| match value {
        Value::Counter(number) => Value::Int(number),
        value => value,
    };
    let fields = view.fields.into_iter().map(|(name, value)| (name, number(value)));
    (fields.filter(|(_, value)| *value != Value::Int(0)).collect(), view.deleted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_undone_at_once_is_as_if_it_had_never_been(steps in steps("[abc]"), last in any_edit("[abc]")) {
        let mut stores = run(&steps);
        let a = &mut stores[0];
        let before = a.get(&tea()).unwrap();
        let existed = before.is_some() && !history(a).is_empty();
        let Ok(committed) = a.commit_local(&[(tea(), last)], at(100)) else { return Ok(()) };
        if committed.changed.is_empty() || history(a).first().is_none_or(|version| version.at != Some(at(100))) {
            return Ok(());
        }
        let change = history(a)[0].change;
        let after = a.get(&tea()).unwrap();
        let undone = a.undo(&tea(), Some(change), None, at(101)).unwrap();
        prop_assert_eq!(undone.left, vec![]);
        let (mut now, mut then) = (plain(a.get(&tea()).unwrap()), plain(before));
        if !existed {
            prop_assert!(now.1, "what it made is deleted");
            (now, then) = Default::default();
        }
        prop_assert_eq!(now, then);
        let redone = a.undo(&tea(), None, None, at(102)).unwrap();
        prop_assert_eq!(redone.left, vec![]);
        prop_assert_eq!(plain(a.get(&tea()).unwrap()), plain(after));
    }

    #[test]
    fn what_is_undone_later_leaves_what_others_did_in_other_fields(
        shared in steps("[abc]"),
        mine in any_edit("[abc]"),
        theirs in vec(any_edit("[xyz]"), 1..5),
    ) {
        let only_fields = |edit: &FieldEdit| !matches!(edit, FieldEdit::Delete | FieldEdit::Restore);
        let theirs: Vec<_> = theirs.into_iter().filter(only_fields).collect();
        prop_assume!(only_fields(&mine));
        let outcome = |with_mine: bool| {
            let mut stores = run(&shared);
            stores[0].commit_local(&[(tea(), set(r#"{"d":1}"#))], at(50)).ok()?;
            meet(&mut stores);
            let before = history(&stores[0]);
            if with_mine {
                let _ = stores[0].commit_local(&[(tea(), mine.clone())], at(100));
            }
            for edit in &theirs {
                let _ = stores[1].commit_local(&[(tea(), edit.clone())], at(101));
            }
            let after = history(&stores[0]);
            let change = (after.len() > before.len()).then(|| after[0].change);
            meet(&mut stores);
            if let Some(change) = change {
                assert_eq!(stores[2].undo(&tea(), Some(change), None, at(102)).unwrap().left, []);
            }
            meet(&mut stores);
            let views: Vec<_> = stores.iter().map(|store| plain(store.get(&tea()).unwrap())).collect();
            assert!(views.windows(2).all(|pair| pair[0] == pair[1]));
            Some(views[0].clone())
        };
        prop_assert_eq!(outcome(true), outcome(false));
    }

    #[test]
    fn counters_are_exact_whatever_is_undone(
        sold in vec((0..3usize, -9..10i64), 1..12),
        undone in vec((0..3usize, any::<prop::sample::Index>()), 0..6),
        meets in vec(any::<bool>(), 12),
    ) {
        let mut stores: Vec<Store> = (1..=3).map(store).collect();
        let mut sum = 0;
        for ((device, by), meets) in sold.iter().zip(meets) {
            if *by != 0 {
                edit(&mut stores[*device], increment("stock", *by), 0);
                sum += by;
            }
            if meets {
                meet(&mut stores);
            }
        }
        meet(&mut stores);
        prop_assume!(stores[0].get(&tea()).unwrap().is_some());
        // Several devices may take back the same one before they meet: each does.
        for (device, which) in undone {
            let versions = history(&stores[device]);
            let version = &versions[which.index(versions.len())];
            let number = |value: &Option<Value>| match value {
                Some(Value::Counter(number) | Value::Int(number)) => *number,
                _ => 0,
            };
            let by: i64 = version.fields.values().map(|d| number(&d.after) - number(&d.before)).sum();
            let undone = stores[device].undo(&tea(), Some(version.change), None, at(1)).unwrap();
            prop_assert_eq!(undone.left, vec![]);
            let view = stores[device].get(&tea()).unwrap().unwrap();
            if view.deleted {
                return Ok(());
            }
            sum -= by;
        }
        meet(&mut stores);
        for store in &stores {
            let (fields, _) = plain(store.get(&tea()).unwrap());
            prop_assert_eq!(fields.get("stock").cloned().unwrap_or(Value::Int(0)), Value::Int(sum));
        }
    }

    #[test]
    fn history_agrees_with_a_replay_of_the_changes(steps in steps("[abc]")) {
        let mut stores = run(&steps);
        meet(&mut stores);
        if stores[0].get(&tea()).unwrap().is_none() {
            return Ok(());
        }
        let versions = history(&stores[0]);
        for store in &stores {
            prop_assert_eq!(&history(store), &versions, "the same on every device");
        }
        let changes = all_changes(&mut stores[0]);
        for version in versions {
            let mut wanted = vec![version.change];
            let mut followed: Vec<_> = changes.iter().rev().filter(|change| {
                let is = wanted.contains(&change.hash());
                if is {
                    wanted.extend(&change.parts().deps);
                }
                is
            }).cloned().collect();
            followed.reverse();
            let mut replayed = store(9);
            deliver(&mut replayed, &followed);
            let there = replayed.get(&tea()).unwrap().unwrap();
            for (name, difference) in version.fields.iter().filter(|(name, _)| !name.contains('/')) {
                let shown = there.fields.get(name).filter(|value| !matches!(value, Value::Map(_)));
                let after = difference.after.as_ref().filter(|value| !matches!(value, Value::Map(_)));
                prop_assert_eq!(shown, after);
            }
            prop_assert_eq!(stores[1].view_at_change(&tea(), version.change).unwrap(), Some(there));
        }
    }

    #[test]
    fn conflicts_are_the_same_in_any_order_of_delivery(steps in steps("[ab]"), order in vec(any::<u32>(), 64)) {
        let mut stores = run(&steps);
        meet(&mut stores);
        let mut late = store(7);
        // Any order in which nothing comes before what it follows, one change at a time.
        let mut waiting = all_changes(&mut stores[0]);
        let mut delivered: Vec<ChangeHash> = Vec::new();
        for pick in order.into_iter().cycle().take(waiting.len()) {
            let ready: Vec<_> = waiting.iter().enumerate().filter(|(_, change)| change.parts().deps.iter().all(|dep| delivered.contains(dep))).collect();
            let (place, _) = ready[pick as usize % ready.len()];
            let change = waiting.remove(place);
            delivered.push(change.hash());
            deliver(&mut late, std::slice::from_ref(&change));
        }
        for store in &stores {
            send(store, &mut late);
        }
        let found = conflicts(&stores[0]);
        for store in stores.iter().chain([&late]) {
            prop_assert_eq!(&conflicts(store), &found);
            if let Some(view) = store.get(&tea()).unwrap().filter(|view| !view.deleted) {
                let all = store.conflicts_of(&tea()).unwrap();
                prop_assert_eq!(&all, &found, "the mark in the store misses none");
                for conflict in all {
                    let mut path = conflict.field.trim_start_matches('/').split('/');
                    let shown = path.try_fold(Value::Map(view.fields.clone()), |value, name| match value {
                Value::Map(mut fields) => fields.remove(name),
                _ => None,
            });
                    prop_assert_eq!(shown.as_ref(), Some(&conflict.values[0].value));
                }
            }
        }
    }
}

/// All changes of the record, each behind those it follows.
fn all_changes(store: &mut Store) -> Vec<Change> {
    let _ = store.offer(&[tea()]);
    let mut all = Vec::new();
    let mut next = 0;
    while let Some(outgoing) = store.outgoing(next, Style::Explicit).unwrap() {
        next = outgoing.through + 1;
        let batch = Batch::decode(&outgoing.batch).unwrap();
        all.extend(batch.unpack(&settings("").workspace, |_, _, _| None).unwrap().changes);
    }
    let of_tea = all.into_iter().filter(|(record, _)| *record == tea());
    let mut known = BTreeSet::new();
    of_tea.map(|(_, change)| change.unwrap()).filter(|change| known.insert(change.hash())).collect()
}

fn deliver(to: &mut Store, changes: &[Change]) {
    let deps = |change: &Change| change.parts().deps.iter().map(|_| (change.parts().actor.clone(), 1)).collect();
    let items: Vec<_> =
        changes.iter().map(|change| Item { record: tea(), change: change.clone(), deps: deps(change) }).collect();
    to.apply_remote(&[pack(&items, Style::Explicit).unwrap()], None, at(0)).unwrap();
    assert_eq!(to.quarantined(), 0);
}
