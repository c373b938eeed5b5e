//! Counts what a change's columns hold, by their run lengths, without expanding a run. Must not interpret ops.
//!
//! A column is named by its spec: id in the high bits, deflate in bit 3, type in the low three bits.

use super::ChangeFault;
use super::leb::Reader;

/// The most ops one change may hold: Automerge takes about 400 bytes of memory for each.
pub const OPS_MAX: u64 = 50_000;

const ACTION: u64 = 0x42;
const VALUE_META: u64 = 0x56;
const VALUE: u64 = 0x57;
const PRED_COUNT: u64 = 0x70;
/// Object actor and counter; key actor, counter and text; insert; action; value; predecessors; expand; mark name.
const KNOWN: [u64; 13] = [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, ACTION, VALUE_META, VALUE, PRED_COUNT, 0x71, 0x73, 0x94];
const MARK_NAME: u64 = 0xa5;

/// What a column's items are.
enum Item {
    Unsigned,
    Signed,
    Text,
}

/// What the columns hold.
pub(super) struct Counts {
    pub(super) ops: u64,
    /// The bytes of all texts, each as often as its run says, past those that are spelled out.
    pub(super) repeated_bytes: u64,
}

/// Counts, after checking that no column holds more items than there are ops to carry them.
pub(super) fn count(columns: &[u8]) -> Result<Counts, ChangeFault> {
    let mut reader = Reader::new(columns);
    let count = reader.count(2)?;
    let mut headers = Vec::with_capacity(count.min(KNOWN.len() + 1));
    for _ in 0..count {
        let (spec, length) = (reader.unsigned()?, reader.unsigned()?);
        if !KNOWN.contains(&spec) && spec != MARK_NAME {
            return Err(ChangeFault::Malformed("a column of unknown kind"));
        }
        if headers.last().is_some_and(|&(last, _)| last >= spec) {
            return Err(ChangeFault::Malformed("columns out of order"));
        }
        headers.push((spec, length));
    }
    let mut data = Vec::with_capacity(headers.len());
    for (spec, length) in headers {
        let length = usize::try_from(length).map_err(|_| ChangeFault::Malformed("a length is past the end"))?;
        data.push((spec, reader.take(length)?));
    }
    match reader.is_empty() {
        true => check(&data),
        false => Err(ChangeFault::Malformed("bytes behind the columns")),
    }
}

fn check(data: &[(u64, &[u8])]) -> Result<Counts, ChangeFault> {
    let of = |spec| data.iter().find(|column| column.0 == spec).map_or(&[][..], |column| column.1);
    let ops = items(of(ACTION), Item::Unsigned, |_| Ok(()))?;
    if ops > OPS_MAX {
        return Err(ChangeFault::TooLarge { limit: "ops", limit_max: OPS_MAX });
    }
    let mut preds = 0u64;
    items(of(PRED_COUNT), Item::Unsigned, |run| add(&mut preds, run))?;
    if preds > OPS_MAX {
        return Err(ChangeFault::TooLarge { limit: "overwritten values", limit_max: OPS_MAX });
    }
    let mut value_bytes = 0u64;
    items(of(VALUE_META), Item::Unsigned, |(count, meta)| add(&mut value_bytes, (count, meta >> 4)))?;
    if value_bytes != of(VALUE).len() as u64 {
        return Err(ChangeFault::Malformed("values and their lengths differ"));
    }
    let mut repeated_bytes = 0u64;
    for &(spec, bytes) in data {
        let carried = if spec == 0x71 || spec == 0x73 { preds } else { ops };
        let found = match spec & 7 {
            1 | 2 | 6 | 0 => items(bytes, Item::Unsigned, |_| Ok(()))?,
            3 => items(bytes, Item::Signed, |_| Ok(()))?,
            4 => booleans(bytes)?,
            5 => items(bytes, Item::Text, |(count, length)| add(&mut repeated_bytes, (count - 1, length)))?,
            _ => 0,
        };
        if found > carried {
            return Err(ChangeFault::Malformed("a column is longer than the ops"));
        }
    }
    Ok(Counts { ops, repeated_bytes })
}

fn add(sum: &mut u64, (count, value): (u64, u64)) -> Result<(), ChangeFault> {
    let more = count.checked_mul(value).and_then(|more| sum.checked_add(more));
    *sum = more.ok_or(ChangeFault::Malformed("a run overflows"))?;
    Ok(())
}

/// The number of items in a run-length encoded column; `each` sees every run or literal as (count, value).
fn items(
    bytes: &[u8],
    item: Item,
    mut each: impl FnMut((u64, u64)) -> Result<(), ChangeFault>,
) -> Result<u64, ChangeFault> {
    let mut reader = Reader::new(bytes);
    let mut total = 0u64;
    while !reader.is_empty() {
        let run = reader.signed()?;
        let count = match run {
            0 => reader.unsigned()?,
            1.. => {
                each((run.unsigned_abs(), value(&mut reader, &item)?))?;
                run.unsigned_abs()
            }
            _ => {
                for _ in 0..run.unsigned_abs() {
                    each((1, value(&mut reader, &item)?))?;
                }
                run.unsigned_abs()
            }
        };
        if count == 0 {
            return Err(ChangeFault::Malformed("an empty run"));
        }
        add(&mut total, (count, 1))?;
    }
    Ok(total)
}

/// A number, or the length of a text.
fn value(reader: &mut Reader<'_>, item: &Item) -> Result<u64, ChangeFault> {
    match item {
        Item::Unsigned => reader.unsigned(),
        Item::Signed => reader.signed().map(|_| 0),
        Item::Text => {
            let length = reader.length()?;
            let text = reader.take(length)?;
            std::str::from_utf8(text).map(|_| length as u64).map_err(|_| ChangeFault::Malformed("a text is not UTF-8"))
        }
    }
}

/// The number of items in a boolean column: counts in turn, of falses first. Only those falses may be none.
fn booleans(bytes: &[u8]) -> Result<u64, ChangeFault> {
    let mut reader = Reader::new(bytes);
    let mut total = 0u64;
    while !reader.is_empty() {
        let (first, count) = (reader.rest().len() == bytes.len(), reader.unsigned()?);
        if count == 0 && (!first || reader.is_empty()) {
            return Err(ChangeFault::Malformed("an empty run"));
        }
        add(&mut total, (count, 1))?;
    }
    Ok(total)
}
