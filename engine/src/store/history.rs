//! Who changed what and when, records as they were, concurrent values, and taking changes back. A document is loaded for
//! each question and dropped again. Must not know how it is shown.

use super::{Author, Committed, Store, StoreError, keys};
use crate::disk::txn;
use crate::id::{ChangeHash, Collection, Label, RecordId, TransactionId};
use crate::record::document::HistoryPage;
use crate::record::{Difference, Document, EditError, FieldEdit, Rule, Value, View};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// The most records whose conflicts are told at once.
pub const CONFLICTS_MAX: usize = 256;
/// Conflict rows read at a time.
const ROWS_MAX: usize = 256;
/// The digits that must at least be given of a change's hash.
const DIGITS_MIN: usize = 4;

/// One change of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its hash.
    pub change: ChangeHash,
    /// Who made it.
    pub author: Author,
    /// When, to the second, by the author's clock but not before what it follows; an import counts as made with the first
    /// change that follows it, and has no time where none does.
    pub at: Option<Timestamp>,
    /// What was done, if somebody said so.
    pub label: Option<Label>,
    /// The transaction over several records that it is a part of.
    pub transaction: Option<TransactionId>,
    /// Whether it made the record, as its author saw it.
    pub created: bool,
    /// `true` deleted the record, `false` restored it.
    pub deleted: Option<bool>,
    /// The fields it changed, by name or JSON Pointer, before and after, as its author saw them.
    pub fields: BTreeMap<String, Difference>,
}

/// A page of a record's history, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The changes.
    pub versions: Vec<Version>,
    /// What to give as [`HistoryPage::after`] for more; `None` at the end.
    pub next: Option<ChangeHash>,
}

/// A field with several concurrent values. Nobody has to choose: all devices show the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// Whose field.
    pub record: RecordId,
    /// Its name or JSON Pointer.
    pub field: String,
    /// The values, the one that is shown first.
    pub values: Vec<Rival>,
}

/// One of a field's concurrent values.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// The value.
    pub value: Value,
    /// The change that set it; it names the value when one is chosen.
    pub change: ChangeHash,
    /// Who made that.
    pub author: Author,
    /// When; as [`Version::at`].
    pub at: Option<Timestamp>,
}

/// What taking a change back did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// The new change or transaction; it changed no record where nothing was left to take back.
    pub committed: Committed,
    /// Fields left as they are: somebody has changed them since, or their merge rule does not go back.
    pub left: Vec<(RecordId, String)>,
}

impl Store {
    /// A page of a record's history. Errors: no such record.
    pub fn history(&self, record: &RecordId, page: &HistoryPage) -> Result<History, StoreError> {
        let (entries, next) = self.opened(record)?.history(page, self.shape(&record.collection))?;
        let version = |entry: crate::record::Entry| {
            Ok(Version {
                change: entry.change,
                author: self.author(&entry.actor)?,
                at: entry.made_s.map(seconds),
                label: entry.message.label,
                transaction: entry.message.transaction,
                created: entry.created,
                deleted: entry.deleted,
                fields: entry.fields,
            })
        };
        Ok(History { versions: entries.into_iter().map(version).collect::<Result<_, StoreError>>()?, next })
    }

    /// A record as it was; `None` when there was none yet. Each change counts as made when [`Version::at`] says, an
    /// import that nothing follows always.
    pub fn view_at_time(&self, record: &RecordId, at: Timestamp) -> Result<Option<View>, StoreError> {
        Ok(self.opened(record)?.view_at_time(at.unix_ms.div_euclid(1000), self.shape(&record.collection))?)
    }

    /// A record as the author of one of its changes saw it then.
    pub fn view_at_change(&self, record: &RecordId, change: ChangeHash) -> Result<Option<View>, StoreError> {
        Ok(self.opened(record)?.view_at_change(change, self.shape(&record.collection))?)
    }

    /// The record's change whose hash begins with these hexadecimal digits, at least four.
    pub fn change_named(&self, record: &RecordId, digits: &str) -> Result<ChangeHash, StoreError> {
        let none = || StoreError::NoChange { record: record.clone(), digits: digits.chars().take(64).collect() };
        if digits.len() < DIGITS_MIN {
            return Err(none());
        }
        match self.opened(record)?.changes_named(&digits.to_ascii_lowercase())?.as_slice() {
            [change] => Ok(*change),
            _ => Err(none()),
        }
    }

    /// The fields of a record that have several concurrent values which no merge rule makes one.
    pub fn conflicts_of(&self, record: &RecordId) -> Result<Vec<Conflict>, StoreError> {
        let document = self.opened(record)?;
        let found = document.conflicts(&self.schema(&record.collection))?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let made = document.made()?;
        let rival = |candidate: crate::record::Candidate| {
            let (actor, made_s) = made.get(&candidate.change).map_or((None, None), |(actor, at)| (Some(actor), *at));
            let author = actor.map_or(Ok(Author::Imported), |actor| self.author(actor))?;
            Ok(Rival { value: candidate.value, change: candidate.change, author, at: made_s.map(seconds) })
        };
        let conflict = |(field, values): (String, Vec<_>)| {
            let values = values.into_iter().map(rival).collect::<Result<_, StoreError>>()?;
            Ok(Conflict { record: record.clone(), field, values })
        };
        found.into_iter().map(conflict).collect()
    }

    /// The conflicts of at most `records_max` records after `after`, deleted ones left out: of one collection or of all.
    /// Also where to go on, `None` at the end. Only records that may have some are opened.
    pub fn conflicts(
        &self,
        collection: Option<&Collection>,
        after: Option<&RecordId>,
        records_max: usize,
    ) -> Result<(Vec<Conflict>, Option<RecordId>), StoreError> {
        let (mut from, until) = keys::conflicts(collection);
        if let Some(record) = after {
            from = [keys::conflict(record).as_slice(), &[0]].concat();
        }
        let (mut found, mut records) = (Vec::new(), 0);
        loop {
            let rows = txn::scan(&*self.disk, &from, &until, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { return Ok((found, None)) };
            from = [last.as_slice(), &[0]].concat();
            for (key, _) in rows {
                let record = keys::conflicting_record(&key)?;
                if record.collection.is_reserved() || self.get(&record)?.is_none_or(|view| view.deleted) {
                    continue;
                }
                let conflicts = self.conflicts_of(&record)?;
                records += usize::from(!conflicts.is_empty());
                found.extend(conflicts);
                if records >= records_max.clamp(1, CONFLICTS_MAX) {
                    return Ok((found, Some(record)));
                }
            }
        }
    }

    /// Takes back a change of a record, or its newest, by a new change.
    pub fn undo(
        &mut self,
        record: &RecordId,
        change: Option<ChangeHash>,
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Undone, StoreError> {
        let newest = || {
            let page = HistoryPage { changes_max: 1, ..HistoryPage::default() };
            let (entries, _) = self.opened(record)?.history(&page, self.shape(&record.collection))?;
            let absent = || StoreError::Edit { record: record.clone(), error: EditError::Absent };
            entries.first().map(|entry| entry.change).ok_or_else(absent)
        };
        let change = change.map_or_else(newest, Ok)?;
        self.take_back(&[(record.clone(), change)], label, now)
    }

    /// Takes back all that a transaction did, by a new transaction.
    pub fn undo_transaction(
        &mut self,
        id: TransactionId,
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Undone, StoreError> {
        let mut changes = Vec::new();
        for record in self.records_of(id)? {
            let of_it = self.opened(&record)?.changes_of(id)?;
            changes.extend(of_it.into_iter().map(|change| (record.clone(), change)));
        }
        self.take_back(&changes, label, now)
    }

    fn take_back(
        &mut self,
        changes: &[(RecordId, ChangeHash)],
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Undone, StoreError> {
        let (mut edits, mut left) = (Vec::with_capacity(changes.len()), Vec::new());
        for (record, change) in changes {
            let except = self.one_way(&record.collection);
            let refuse = |error| StoreError::Edit { record: record.clone(), error };
            let stays = self.opened(record)?.left_by_undo(*change, &except).map_err(refuse)?;
            left.extend(stays.into_iter().map(|field| (record.clone(), field)));
            edits.push((record.clone(), FieldEdit::Undo { change: *change, except }));
        }
        Ok(Undone { committed: self.commit_labelled(&edits, label, now)?, left })
    }

    /// The fields of a collection whose rules do not let them go back.
    fn one_way(&self, collection: &Collection) -> Vec<String> {
        let schema = self.schema(collection);
        let fields = schema.fields.iter();
        let one_way = |rule: &Rule| matches!(rule, Rule::First | Rule::Max | Rule::Min | Rule::Forward(_));
        fields.filter(|(_, field)| one_way(&field.rule)).map(|(name, _)| name.clone()).collect()
    }

    /// A record's document. Errors: no such record.
    fn opened(&self, record: &RecordId) -> Result<Document, StoreError> {
        let draft = self.open_draft(record)?;
        match draft.row.lineage.is_empty() {
            true => Err(StoreError::Edit { record: record.clone(), error: EditError::Absent }),
            false => draft.document(),
        }
    }
}

fn seconds(unix_s: i64) -> Timestamp {
    Timestamp { unix_ms: unix_s.saturating_mul(1000) }
}
