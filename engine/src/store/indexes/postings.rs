//! The rows of an index of words: for each word the keys of the records that have it, in order, in blocks. Must not know
//! where words come from.
//!
//! A block's row key ends in the least key that may be in it; the first block's in nothing. A key lies in the last block
//! that may hold it. A block is `[version u8 = 1]` and the keys, each ended by a zero byte, which no key contains.

use crate::disk::Row;
use crate::disk::txn::Txn;
use crate::id::Key;
use crate::query::order;
use crate::store::{StoreError, keys};
use std::ops::Range;

/// A block is divided when it is longer, in bytes.
const BLOCK_BYTES_MAX: usize = 2048;
const BLOCK_VERSION: u8 = 1;

/// Adds records, which are in order, to a word.
pub(super) fn insert(tx: &mut Txn<'_>, number: u32, word: &str, mut records: &[&str]) -> Result<(), StoreError> {
    let word = row_key(number, word, "");
    while let Some(first) = records.first() {
        let (row, block) = block_for(tx, &word, first)?.unwrap_or_else(|| (word.clone(), Vec::new()));
        let here = match records {
            [_] => 1,
            _ => {
                let next = tx.first(&[row.as_slice(), &[0]].concat(), &order::behind(&word))?;
                let next = next.map(|(key, _)| key[word.len()..].to_vec());
                records.iter().take_while(|key| next.as_ref().is_none_or(|next| key.as_bytes() < next)).count()
            }
        };
        let (mine, later) = records.split_at(here);
        records = later;
        let mut all: Vec<&str> = read(&row, &block)?.collect();
        let appended = all.last() < mine.first();
        all.extend(mine);
        if !appended {
            all.sort_unstable();
            all.dedup();
        }
        write(tx, &word, row, &all, appended);
    }
    Ok(())
}

/// Takes a record away from a word.
pub(super) fn remove(tx: &mut Txn<'_>, number: u32, word: &str, record: &Key) -> Result<(), StoreError> {
    let word = row_key(number, word, "");
    let Some((row, block)) = block_for(tx, &word, record.as_str())? else { return Ok(()) };
    let left: Vec<&str> = read(&row, &block)?.filter(|key| *key != record.as_str()).collect();
    match left.as_slice() {
        [] => tx.remove_short(row),
        left => write(tx, &word, row, left, false),
    }
    Ok(())
}

/// Where the records' keys are in a block.
pub(in crate::store) fn places(row: &[u8], block: &[u8]) -> Result<Vec<Range<usize>>, StoreError> {
    let mut at = 1;
    let place = |key: &str| {
        let place = at..at + key.len();
        at = place.end + 1;
        place
    };
    Ok(read(row, block)?.map(place).collect())
}

/// A block's records.
fn read<'b>(row: &[u8], block: &'b [u8]) -> Result<impl Iterator<Item = &'b str>, StoreError> {
    let keys = match block {
        [] => Some(""),
        [BLOCK_VERSION, keys @ ..] => std::str::from_utf8(keys).ok(),
        _ => None,
    };
    let damaged = || StoreError::Damaged { what: format!("the block of words {}", row.escape_ascii()) };
    Ok(keys.ok_or_else(damaged)?.split_terminator('\0'))
}

fn row_key(number: u32, word: &str, first: &str) -> Vec<u8> {
    [keys::words(number).as_slice(), word.as_bytes(), &[0], first.as_bytes()].concat()
}

/// The block that holds `record` or would hold it.
fn block_for(tx: &Txn<'_>, word: &[u8], record: &str) -> Result<Option<Row>, StoreError> {
    Ok(tx.last(word, &[word, record.as_bytes(), &[0]].concat())?)
}

/// Writes a block in as many rows as it needs. One that grew at its end is left full behind.
fn write(tx: &mut Txn<'_>, word: &[u8], row: Vec<u8>, records: &[&str], appended: bool) {
    let bytes: usize = records.iter().map(|key| key.len() + 1).sum();
    let each = match bytes > BLOCK_BYTES_MAX {
        true if appended => BLOCK_BYTES_MAX,
        true => BLOCK_BYTES_MAX / 2,
        false => usize::MAX,
    };
    let (mut row, mut block) = (row, vec![BLOCK_VERSION]);
    for key in records {
        if block.len() > 1 && block.len() + key.len() > each {
            tx.put_short(std::mem::replace(&mut row, [word, key.as_bytes()].concat()), &block);
            block.truncate(1);
        }
        block.extend_from_slice(key.as_bytes());
        block.push(0);
    }
    tx.put_short(row, &block);
}
