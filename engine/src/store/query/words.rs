//! The records in an index of words that have all words which were typed, one after another in order of key: the lists of
//! all words are gone through side by side, and what cannot be in every one is leapt over. One block of each word is in
//! memory at a time. Must not know the records.

use crate::disk::{Disk, Row, txn};
use crate::id::Key;
use crate::query::{Words, order};
use crate::store::StoreError;
use crate::store::indexes::postings;
use std::ops::Range;

/// The most words of the index that one typed word may begin; one that begins more finds its records otherwise.
const WORDS_MAX: usize = 512;

/// The list of one word of the index.
struct List {
    /// What its rows' keys begin with.
    prefix: Vec<u8>,
    row: Row,
    /// Of the row's block.
    keys: Vec<Range<usize>>,
    at: usize,
    rows_read: u64,
}

impl List {
    fn key(&self, at: usize) -> Option<&[u8]> {
        self.keys.get(at).map(|key| &self.row.1[key.clone()])
    }

    fn head(&self) -> Option<&[u8]> {
        self.key(self.at)
    }

    fn load(&mut self, row: Row) -> Result<(), StoreError> {
        self.keys = postings::places(&row.0, &row.1)?;
        self.row = row;
        self.at = 0;
        self.rows_read += 1;
        Ok(())
    }

    /// Goes on to the first key that is not below `bound`.
    fn seek(&mut self, disk: &dyn Disk, bound: &[u8]) -> Result<(), StoreError> {
        while self.key(self.keys.len().wrapping_sub(1)).is_some_and(|last| last < bound) {
            let end = order::behind(&self.prefix);
            let next = txn::scan(disk, &[self.row.0.as_slice(), &[0]].concat(), &end, 1)?.pop();
            let Some(next) = next else {
                self.keys.clear();
                return Ok(());
            };
            let leap = [self.prefix.as_slice(), bound].concat();
            let row = match next.0 < leap {
                true => txn::last(disk, &next.0, &[leap.as_slice(), &[0]].concat())?.unwrap_or(next),
                false => next,
            };
            self.load(row)?;
        }
        let (row, from) = (&self.row.1, self.at.min(self.keys.len()));
        self.at = from + self.keys[from..].partition_point(|key| &row[key.clone()] < bound);
        Ok(())
    }
}

/// The lists of all words that begin as one that was typed.
struct Lists(Vec<List>);

impl Lists {
    /// `None` where there are too many.
    fn open(disk: &dyn Disk, index: &[u8], typed: &str) -> Result<Option<Self>, StoreError> {
        let mut from = [index, typed.as_bytes()].concat();
        let until = order::behind(&from);
        let mut lists = Vec::new();
        while let Some(row) = txn::scan(disk, &from, &until, 1)?.pop() {
            if lists.len() == WORDS_MAX {
                return Ok(None);
            }
            let word = row.0[index.len()..].iter().position(|byte| *byte == 0).unwrap_or_default();
            let prefix = row.0[..=index.len() + word].to_vec();
            from = order::behind(&prefix);
            let mut list = List { prefix, row: Row::default(), keys: Vec::new(), at: 0, rows_read: 0 };
            list.load(row)?;
            lists.push(list);
        }
        Ok(Some(Self(lists)))
    }

    /// The least key that is not below `bound`.
    fn seek(&mut self, disk: &dyn Disk, bound: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        for list in &mut self.0 {
            if list.head().is_some_and(|head| head < bound) {
                list.seek(disk, bound)?;
            }
        }
        Ok(self.0.iter().filter_map(List::head).min())
    }
}

/// The records that have all words.
pub(super) struct Matching {
    /// The typed word with the fewest lists first.
    lists: Vec<Lists>,
    bound: Vec<u8>,
}

impl Matching {
    /// `None` where a typed word begins too many words.
    pub(super) fn open(disk: &dyn Disk, index: &[u8], typed: &Words) -> Result<Option<Self>, StoreError> {
        let lists = typed.prefixes().iter().map(|word| Lists::open(disk, index, word));
        let lists: Option<Vec<Lists>> = lists.collect::<Result<_, _>>()?;
        let Some(mut lists) = lists else { return Ok(None) };
        lists.sort_by_key(|lists| lists.0.len());
        Ok(Some(Self { lists, bound: Vec::new() }))
    }

    /// Rows of the index that were read.
    pub(super) fn rows_read(&self) -> u64 {
        self.lists.iter().flat_map(|lists| &lists.0).map(|list| list.rows_read).sum()
    }

    /// Goes on behind a record.
    pub(super) fn skip(&mut self, key: &Key) {
        self.bound = [key.as_str().as_bytes(), &[0]].concat();
    }

    /// The next record.
    pub(super) fn next(&mut self, disk: &dyn Disk) -> Result<Option<Key>, StoreError> {
        loop {
            let mut agreed = true;
            for (number, lists) in self.lists.iter_mut().enumerate() {
                let Some(head) = lists.seek(disk, &self.bound)? else { return Ok(None) };
                if head != self.bound.as_slice() {
                    // Those before it have to follow.
                    agreed &= number == 0;
                    self.bound = head.to_vec();
                }
            }
            if agreed {
                let damaged = |_| StoreError::Damaged { what: "a block of words".to_owned() };
                let key = Key::new(std::str::from_utf8(&self.bound).map_err(damaged)?)?;
                self.skip(&key);
                return Ok(Some(key));
            }
        }
    }
}
