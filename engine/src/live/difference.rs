//! The exact difference between two lists of records. Must not know where they come from.

use super::Row;
use crate::id::Key;
use crate::record::View;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One step from the list that was shown to the list that is. Steps are applied in their order; each index is that of the
/// list as the steps before it have left it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A record is in the list now.
    Added {
        /// Where.
        index: usize,
        /// Its key.
        key: Key,
        /// What it is.
        view: View,
    },
    /// A record at its place is another.
    Changed {
        /// Where.
        index: usize,
        /// Its key.
        key: Key,
        /// What it is now.
        view: View,
    },
    /// A record is not in the list any more.
    Removed {
        /// Where it was.
        index: usize,
        /// Its key.
        key: Key,
    },
    /// A record went to another place.
    Moved {
        /// Where it was.
        from: usize,
        /// Where it is, once taken from there.
        to: usize,
        /// Its key.
        key: Key,
        /// What it is now.
        view: View,
    },
}

/// The steps from `before` to `after`: as few moves as there can be. No key is twice in a list.
pub(super) fn between(before: &[Arc<Row>], after: &[Arc<Row>]) -> Vec<Step> {
    let kept: BTreeSet<&Key> = after.iter().map(|row| row.key()).collect();
    let mut steps = Vec::new();
    let mut list: Vec<&Key> = before.iter().map(|row| row.key()).collect();
    for index in (0..list.len()).rev().filter(|index| !kept.contains(before[*index].key())) {
        list.remove(index);
        steps.push(Step::Removed { index, key: before[index].key().clone() });
    }
    let places: BTreeMap<&Key, usize> = list.iter().enumerate().map(|(place, key)| (*key, place)).collect();
    let staying = longest_rising(after.iter().filter_map(|row| places.get(row.key()).copied()));
    let mut place = 0;
    for row in after {
        let (key, view) = (row.key(), &row.view);
        match places.get(key) {
            Some(before) if staying.contains(before) => place = position(&list, key) + 1,
            Some(_) => {
                let from = position(&list, key);
                list.remove(from);
                let to = if from < place { place - 1 } else { place };
                list.insert(to, key);
                place = to + 1;
                steps.push(Step::Moved { from, to, key: key.clone(), view: view.clone() });
            }
            None => {
                list.insert(place, key);
                steps.push(Step::Added { index: place, key: key.clone(), view: view.clone() });
                place += 1;
            }
        }
    }
    steps.extend(changed(before, after, &staying, &places));
    steps
}

/// The records that stayed where they are but are others now; the list is as it shall be.
fn changed<'a>(
    before: &'a [Arc<Row>],
    after: &'a [Arc<Row>],
    staying: &'a BTreeSet<usize>,
    places: &'a BTreeMap<&Key, usize>,
) -> impl Iterator<Item = Step> + 'a {
    let was: BTreeMap<&Key, &Arc<Row>> = before.iter().map(|row| (row.key(), row)).collect();
    after.iter().enumerate().filter_map(move |(index, row)| {
        let (key, view) = (row.key(), &row.view);
        let stays = places.get(key).is_some_and(|place| staying.contains(place));
        let differs = stays && was.get(key).is_some_and(|was| !Arc::ptr_eq(was, row) && was.view != *view);
        differs.then(|| Step::Changed { index, key: key.clone(), view: view.clone() })
    })
}

fn position(list: &[&Key], key: &Key) -> usize {
    list.iter().position(|other| *other == key).unwrap_or(list.len())
}

/// The longest rising part of a sequence of distinct numbers.
fn longest_rising(numbers: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let numbers: Vec<_> = numbers.collect();
    // ends[n]: where the best rising part of n + 1 numbers ends; best is the one that ends lowest.
    let (mut ends, mut back) = (Vec::<usize>::new(), vec![usize::MAX; numbers.len()]);
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        if let Some(end) = length.checked_sub(1) {
            back[at] = ends[end];
        }
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut rising = BTreeSet::new();
    let mut at = ends.last().copied().unwrap_or(usize::MAX);
    while let Some(number) = numbers.get(at) {
        rising.insert(*number);
        at = back[at];
    }
    rising
}
