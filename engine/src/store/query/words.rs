//! The records in an index of words that have all words which were typed. Must not know the records.

use crate::disk::{Disk, txn};
use crate::id::Key;
use crate::query::{Words, order};
use crate::store::StoreError;
use crate::store::indexes::postings;

/// How much is read of each word before more is read of any, in bytes; the rarest of them is read whole.
const ROUNDS_BYTES: [usize; 3] = [32 << 10, 256 << 10, 2 << 20];
/// Rows read at a time.
const ROWS_MAX: usize = 32;
/// So few records are looked at themselves, and no other words are read.
const FEW: usize = 32;

/// What was found.
pub(super) struct Records {
    /// In order; `None` where even the rarest word has too many.
    pub(super) records: Option<Vec<Key>>,
    /// All of them have all words.
    pub(super) exact: bool,
    /// Rows that were read.
    pub(super) rows: u64,
}

/// The rarest word's records that have the other words too, or may have: the caller looks at each.
pub(super) fn records(disk: &dyn Disk, prefix: &[u8], typed: &Words, backward: bool) -> Result<Records, StoreError> {
    let mut rows = 0;
    let mut rarest = None;
    'rounds: for bytes_max in ROUNDS_BYTES {
        for (at, word) in typed.prefixes().iter().enumerate() {
            let mut keys: Vec<String> = Vec::new();
            let whole = each_block(disk, prefix, word, bytes_max, &mut rows, |block| {
                keys.extend(block.map(str::to_owned));
            })?;
            if whole {
                rarest = Some((at, keys));
                break 'rounds;
            }
        }
    }
    let Some((rarest, mut keys)) = rarest else { return Ok(Records { records: None, exact: false, rows }) };
    let mut exact = true;
    keys.sort_unstable();
    keys.dedup();
    for (_, word) in typed.prefixes().iter().enumerate().filter(|(at, _)| *at != rarest) {
        if keys.len() <= FEW {
            exact = false;
            break;
        }
        let mut has = vec![false; keys.len()];
        let whole = each_block(disk, prefix, word, ROUNDS_BYTES[2], &mut rows, |block| {
            // Both are in order, so the search goes on where it was.
            let mut from = 0;
            for key in block {
                match keys[from..].binary_search_by(|other| other.as_str().cmp(key)) {
                    Ok(at) => {
                        has[from + at] = true;
                        from += at + 1;
                    }
                    Err(at) => from += at,
                }
            }
        })?;
        exact &= whole;
        if whole {
            let mut has = has.into_iter();
            keys.retain(|_| has.next().unwrap_or(true));
        }
    }
    if backward {
        keys.reverse();
    }
    let records = keys.iter().map(|key| Key::new(key)).collect::<Result<_, _>>()?;
    Ok(Records { records: Some(records), exact, rows })
}

/// Tells every block of the words that begin so; false when there is more than `bytes_max` of them.
fn each_block(
    disk: &dyn Disk,
    prefix: &[u8],
    word: &str,
    bytes_max: usize,
    rows_read: &mut u64,
    mut tell: impl FnMut(&mut dyn Iterator<Item = &str>),
) -> Result<bool, StoreError> {
    let mut from = [prefix, word.as_bytes()].concat();
    let until = order::behind(&from);
    let mut bytes = 0;
    loop {
        let rows = txn::scan(disk, &from, &until, ROWS_MAX)?;
        let Some((last, _)) = rows.last() else { return Ok(true) };
        from = [last.as_slice(), &[0]].concat();
        *rows_read += rows.len() as u64;
        for (row, block) in &rows {
            bytes += block.len();
            if bytes > bytes_max {
                return Ok(false);
            }
            tell(&mut postings::read(row, block)?);
        }
        if rows.len() < ROWS_MAX {
            return Ok(true);
        }
    }
}
