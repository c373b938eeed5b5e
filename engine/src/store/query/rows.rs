//! Rows of some ranges of keys, one after another, read in pieces. Must not know what they hold.

use crate::disk::txn;
use crate::disk::{Disk, DiskError, Row};
use std::collections::VecDeque;

/// Rows read at a time, at first where nothing is known, and at most.
const ROWS_FIRST: usize = 64;
const ROWS_MAX: usize = 256;

/// What is still to be read.
pub(super) struct Rows {
    /// From, until.
    ranges: VecDeque<(Vec<u8>, Vec<u8>)>,
    backward: bool,
    read: VecDeque<Row>,
    rows_next: usize,
}

impl Rows {
    /// The rows of these ranges, which are ascending and apart.
    pub(super) fn new(mut ranges: Vec<(Vec<u8>, Vec<u8>)>, backward: bool) -> Self {
        if backward {
            ranges.reverse();
        }
        Self { ranges: ranges.into(), backward, read: VecDeque::new(), rows_next: ROWS_FIRST }
    }

    /// Leaves out what comes before a place: in falling order the keys from `bound` on, else those before it.
    pub(super) fn skip(&mut self, bound: &[u8]) {
        for (from, until) in &mut self.ranges {
            match self.backward {
                true if until.as_slice() > bound => *until = bound.to_vec(),
                false if from.as_slice() < bound => *from = bound.to_vec(),
                _ => {}
            }
        }
        self.ranges.retain(|(from, until)| from < until);
    }

    /// How many rows there are, or `rows_max` if there are more.
    pub(super) fn count(&self, disk: &dyn Disk, rows_max: usize) -> Result<usize, DiskError> {
        let mut counted = 0;
        for (from, until) in &self.ranges {
            counted += txn::scan(disk, from, until, rows_max - counted)?.len();
        }
        Ok(counted)
    }

    /// Expects that so many rows will do.
    pub(super) fn expect(&mut self, rows: usize) {
        self.rows_next = rows.clamp(1, ROWS_MAX);
    }

    /// The next row.
    pub(super) fn next(&mut self, disk: &dyn Disk) -> Result<Option<Row>, DiskError> {
        while self.read.is_empty() {
            let Some((from, until)) = self.ranges.front_mut() else { return Ok(None) };
            let rows = match self.backward {
                true => txn::scan_back(disk, from, until, self.rows_next)?,
                false => txn::scan(disk, from, until, self.rows_next)?,
            };
            match rows.last() {
                Some((last, _)) if rows.len() == self.rows_next => match self.backward {
                    true => *until = last.clone(),
                    false => *from = [last.as_slice(), &[0]].concat(),
                },
                _ => drop(self.ranges.pop_front()),
            }
            self.read = rows.into();
            self.rows_next = (self.rows_next * 2).min(ROWS_MAX);
        }
        Ok(self.read.pop_front())
    }
}
