//! Numbers such as receipts bear: each device counts in a series of its own, so they are unique and without gaps while
//! it is offline. Must not know the session.
//!
//! A device that numbers in `T1` claims that name by a record of `_series`, with its actor as a field. The claim holds once
//! the device was up to date after it and found no other: of two devices that claim one name, the later in the relay's log
//! finds the earlier, so at most one holds it. Until then, and for good where somebody else claimed it first, the device
//! counts in `T1.5C9A02F1`, the name and its actor's first four bytes. A copied, restored or reinstalled store has a fresh
//! actor, hence a fresh series: no number is given twice.
//!
//! A number is the series, `-`, and at least six digits: `T1-000123`.

use super::rows::SeriesRow;
use super::{Store, StoreError, keys, put_row, read_row};
use crate::codec;
use crate::disk::txn::{self, Txn};
use crate::id::{Collection, Key, RecordId, SeriesName};
use crate::record::{FieldEdit, Value};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// The collection of claims, by series.
pub const SERIES: &str = "_series";

/// The most series one device counts in.
pub const SERIES_MAX: usize = 1000;

/// Rows read at a time.
const ROWS_MAX: usize = 512;
/// The digits a number has at least.
const DIGITS_MIN: usize = 6;

/// One series of this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The name it was asked for.
    pub name: SeriesName,
    /// What the next number begins with.
    pub label: String,
    /// Whether the name itself is this device's alone.
    pub held: bool,
    /// The next number.
    pub next: u64,
}

/// Series in work inside one commit, and what they gave.
#[derive(Default)]
pub(super) struct Numbering {
    pub(super) rows: BTreeMap<SeriesName, SeriesRow>,
    pub(super) issued: Vec<String>,
}

impl Store {
    /// The edits with each number edit replaced by the field it sets, and with the claims that go along. A record keeps
    /// the number it has.
    pub(super) fn number(
        &self,
        edits: &[(RecordId, FieldEdit)],
        numbering: &mut Numbering,
    ) -> Result<Vec<(RecordId, FieldEdit)>, StoreError> {
        let mut done: Vec<(RecordId, FieldEdit)> = Vec::with_capacity(edits.len());
        for (record, edit) in edits {
            let FieldEdit::Number { field, series } = edit else {
                done.push((record.clone(), edit.clone()));
                continue;
            };
            let stored = self.get(record)?.and_then(|mut view| view.fields.remove(field));
            let given = done.iter().rev().find_map(|(other, edit)| match edit {
                FieldEdit::Set(fields) if other == record => fields.get(field).cloned(),
                _ => None,
            });
            match given.or(stored).filter(|value| *value != Value::Null) {
                Some(Value::String(number)) => numbering.issued.push(number),
                Some(_) => {}
                None => {
                    let number = self.issue(series, &mut numbering.rows)?;
                    numbering.issued.push(number.clone());
                    done.push((record.clone(), FieldEdit::Set([(field.clone(), Value::String(number))].into())));
                }
            }
        }
        done.extend(self.claims(&mut numbering.rows)?);
        Ok(done)
    }

    /// The next number of a series.
    fn issue(&self, name: &SeriesName, rows: &mut BTreeMap<SeriesName, SeriesRow>) -> Result<String, StoreError> {
        if !rows.contains_key(name) {
            rows.insert(name.clone(), self.series_row(name)?);
        }
        let held = self.holds(name, rows.get(name))?;
        let label = self.label(name, held);
        let row = rows.entry(name.clone()).or_default();
        let given = if held { &mut row.given_held } else { &mut row.given_tagged };
        *given = given.saturating_add(1);
        Ok(format!("{label}-{given:0DIGITS_MIN$}"))
    }

    /// The edits that claim the series in work that were never claimed under this actor.
    fn claims(&self, rows: &mut BTreeMap<SeriesName, SeriesRow>) -> Result<Vec<(RecordId, FieldEdit)>, StoreError> {
        let mut claims = Vec::new();
        for (name, row) in rows.iter_mut().filter(|(_, row)| !row.claimed) {
            row.claimed = true;
            // Whoever comes later than another claim has nothing to gain by one of its own.
            if self.claimants(name)?.is_empty() {
                let device = Value::String(self.settings.device_name.clone());
                claims.push((claim(name)?, FieldEdit::Set([(self.claimant(), device)].into())));
            }
        }
        Ok(claims)
    }

    /// Claims a series without taking a number; nothing when it was claimed already.
    pub fn claim_series(&mut self, name: &SeriesName, now: Timestamp) -> Result<Series, StoreError> {
        let mut numbering = Numbering::default();
        numbering.rows.insert(name.clone(), self.series_row(name)?);
        let claims = self.claims(&mut numbering.rows)?;
        self.commit_numbered(&claims, numbering, None, now)?;
        self.describe(name.clone(), &self.series_row(name)?)
    }

    /// The series this device counts in.
    pub fn series(&self) -> Result<Vec<Series>, StoreError> {
        self.series_rows()?.into_iter().map(|(name, row)| self.describe(name, &row)).collect()
    }

    /// Called when the store is up to date: a claim that stands alone now is held for good.
    pub(crate) fn settle_series(&mut self) -> Result<(), StoreError> {
        let mut tx = Txn::new(&*self.disk);
        for (name, row) in self.series_rows()?.into_iter().filter(|(_, row)| row.claimed && !row.held) {
            if self.claimants(&name)? == [self.claimant()] {
                put_row(&mut tx, keys::series(&name), &SeriesRow { held: true, ..row })?;
            }
        }
        if tx.is_empty() { Ok(()) } else { self.finish(tx) }
    }

    pub(super) fn write_series(
        &self,
        tx: &mut Txn<'_>,
        rows: &BTreeMap<SeriesName, SeriesRow>,
    ) -> Result<(), StoreError> {
        let kept = |_: &(&SeriesName, &SeriesRow)| !planted!(SeriesForgets);
        rows.iter().filter(kept).try_for_each(|(name, row)| put_row(tx, keys::series(name), row))
    }

    fn describe(&self, name: SeriesName, row: &SeriesRow) -> Result<Series, StoreError> {
        let held = self.holds(&name, Some(row))?;
        let next = 1 + if held { row.given_held } else { row.given_tagged };
        Ok(Series { label: self.label(&name, held), name, held, next })
    }

    fn label(&self, name: &SeriesName, held: bool) -> String {
        let tag = self.actor.as_bytes().iter().take(4).map(|byte| format!("{byte:02X}")).collect::<String>();
        if held { name.to_string() } else { format!("{name}.{tag}") }
    }

    /// A held name is given up as soon as another claim is seen, as after the loss of a relay.
    fn holds(&self, name: &SeriesName, row: Option<&SeriesRow>) -> Result<bool, StoreError> {
        Ok(row.is_some_and(|row| row.held || (planted!(SeriesUnsettled) && row.claimed))
            && self.claimants(name)? == [self.claimant()])
    }

    /// The actors that claim a name, in order.
    fn claimants(&self, name: &SeriesName) -> Result<Vec<String>, StoreError> {
        Ok(self.get(&claim(name)?)?.map(|view| view.fields.into_keys().collect()).unwrap_or_default())
    }

    fn claimant(&self) -> String {
        self.actor.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A series' row, new where there is none under this store's actor.
    fn series_row(&self, name: &SeriesName) -> Result<SeriesRow, StoreError> {
        let row = read_row::<SeriesRow>(&*self.disk, &keys::series(name))?;
        if row.is_none() && self.series_rows()?.len() >= SERIES_MAX {
            return Err(StoreError::TooLarge { limit: "number series", limit_max: SERIES_MAX });
        }
        Ok(row.filter(|row| row.actor == self.actor.as_bytes()).unwrap_or_else(|| self.new_series()))
    }

    fn new_series(&self) -> SeriesRow {
        SeriesRow { actor: self.actor.as_bytes().to_vec(), ..SeriesRow::default() }
    }

    /// This actor's series.
    fn series_rows(&self) -> Result<Vec<(SeriesName, SeriesRow)>, StoreError> {
        let (from, until) = keys::all_series();
        let mut rows = Vec::new();
        for (key, bytes) in txn::scan(&*self.disk, &from, &until, SERIES_MAX)? {
            let row: SeriesRow = codec::decode(&bytes)?;
            if row.actor == self.actor.as_bytes() {
                rows.push((keys::series_of(&key)?, row));
            }
        }
        Ok(rows)
    }
}

fn claim(name: &SeriesName) -> Result<RecordId, StoreError> {
    Ok(RecordId { collection: Collection::new(SERIES)?, key: Key::new(name.as_str())? })
}

/// What an audit found in one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesAudit {
    /// What its numbers begin with.
    pub label: String,
    /// How many different numbers there are.
    pub numbers: u64,
    /// The largest.
    pub last: u64,
    /// Missing numbers below the largest: from, through.
    pub gaps: Vec<(u64, u64)>,
    /// Numbers that several records bear, with their keys.
    pub duplicates: Vec<(u64, Vec<Key>)>,
}

impl Store {
    /// Looks through a field of a collection's records, deleted ones too, for gaps and for numbers given twice. Takes 8
    /// bytes of memory for each number.
    pub fn audit(&self, collection: &Collection, field: &str) -> Result<Vec<SeriesAudit>, StoreError> {
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        self.each_number(collection, field, |label, number, _| {
            numbers.entry(label.to_owned()).or_default().push(number)
        })?;
        let mut audits: BTreeMap<_, _> =
            numbers.into_iter().map(|(label, found)| (label.clone(), sum_up(label, found))).collect();
        if audits.values().any(|audit| !audit.duplicates.is_empty()) {
            self.each_number(collection, field, |label, number, key| {
                let duplicates = audits.get_mut(label).map(|audit| &mut audit.duplicates);
                let twice = duplicates.and_then(|all| {
                    all.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| &mut all[at])
                });
                if let Some((_, keys)) = twice {
                    keys.push(key.clone());
                }
            })?;
        }
        Ok(audits.into_values().collect())
    }

    fn each_number(
        &self,
        collection: &Collection,
        field: &str,
        mut found: impl FnMut(&str, u64, &Key),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.list(collection, after.as_ref(), ROWS_MAX)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, view) in &page {
                if let Some(Value::String(text)) = view.fields.get(field)
                    && let Some((label, number)) = parse(text)
                {
                    found(label, number, key);
                }
            }
        }
    }
}

/// Series and number of a numbered text.
fn parse(text: &str) -> Option<(&str, u64)> {
    let (label, digits) = text.rsplit_once('-')?;
    let plain = digits.len() >= DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((label, digits.parse().ok().filter(|_| plain && !label.is_empty())?))
}

fn sum_up(label: String, mut found: Vec<u64>) -> SeriesAudit {
    found.sort_unstable();
    let (mut gaps, mut duplicates, mut numbers, mut expected) = (Vec::new(), Vec::<(u64, Vec<Key>)>::new(), 0, 1);
    for number in found {
        match number {
            _ if number >= expected => {
                if number > expected {
                    gaps.push((expected, number - 1));
                }
                numbers += 1;
                expected = number.saturating_add(1);
            }
            _ if duplicates.last().is_none_or(|(last, _)| *last != number) => duplicates.push((number, Vec::new())),
            _ => {}
        }
    }
    SeriesAudit { label, numbers, last: expected - 1, gaps, duplicates }
}
