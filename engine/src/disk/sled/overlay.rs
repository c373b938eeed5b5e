//! Rows that were applied and that sled does not have yet, and reading them together with sled's. Must not know files.

use crate::disk::{Batch, Row};
use itertools::{EitherOrBoth, Itertools as _};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

/// So many bytes of rows are kept back from sled.
pub(super) const OVERLAY_BYTES_MAX: usize = 2 << 20;

/// Newer rows than sled's, and removals of sled's.
#[derive(Default)]
pub(super) struct Overlay {
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Overlay {
    pub(super) fn apply(&mut self, batch: Batch) {
        for (key, value) in batch.rows {
            self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            self.rows.insert(key, value);
        }
    }

    /// Bytes applied since it was empty, rows that were replaced among them.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > OVERLAY_BYTES_MAX
    }

    /// All rows, with `None` for one that was removed.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Vec<u8>, Option<&Vec<u8>>)> {
        self.rows.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// The row under `key`, or `Some(None)` when it was removed; `None` when only sled knows.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.rows.get(key).map(Option::as_ref)
    }

    /// Rows ascending, those of `sled` with newer ones in their places.
    pub(super) fn over<E>(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        sled: impl Iterator<Item = Result<Row, E>>,
    ) -> impl Iterator<Item = Result<Row, E>> {
        merge(self.rows.range::<[u8], _>(bounds), sled, Ord::cmp)
    }

    /// As [`Overlay::over`], descending.
    pub(super) fn over_back<E>(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        sled: impl Iterator<Item = Result<Row, E>>,
    ) -> impl Iterator<Item = Result<Row, E>> {
        merge(self.rows.range::<[u8], _>(bounds).rev(), sled, |a, b| b.cmp(a))
    }
}

fn merge<'o, E>(
    newer: impl Iterator<Item = (&'o Vec<u8>, &'o Option<Vec<u8>>)>,
    older: impl Iterator<Item = Result<Row, E>>,
    order: fn(&Vec<u8>, &Vec<u8>) -> Ordering,
) -> impl Iterator<Item = Result<Row, E>> {
    let by_key = move |(key, _): &(&Vec<u8>, _), older: &Result<Row, E>| match older {
        Ok((other, _)) => order(key, other),
        Err(_) => Ordering::Greater,
    };
    newer.merge_join_by(older, by_key).filter_map(|row| match row {
        EitherOrBoth::Left((key, value)) | EitherOrBoth::Both((key, value), _) => {
            Some(Ok((key.clone(), value.clone()?)))
        }
        EitherOrBoth::Right(row) => Some(row),
    })
}
