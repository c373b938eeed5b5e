//! The key schema of a device's store, on one screen. Must not know what the rows hold.
//!
//! | key | row |
//! |---|---|
//! | `m` `settings` | workspace, relay, token, device name |
//! | `m` `identity` | marker, device id, actor |
//! | `m` `reach` | what the relay showed of its log last, where that was not everything |
//! | `m` `state` | cursor, counts, next numbers |
//! | `c` collection | records, deleted records, digest, what the views were made by |
//! | `r` collection `0` key | a record: view, lineage, small snapshot, tail |
//! | `s` collection `0` key | a record's snapshot, when it is large |
//! | `id` index | an index: its collection, fields and state |
//! | `ir` index, values, key | a record in an index of values; in one of no fields, its view |
//! | `iw` index, word `0` first | records that have a word, from the key `first` on |
//! | `o` number | one transaction that the relay has not acknowledged |
//! | `n` series | a number series of this device |
//! | `q` collection `0` key `0` number | a change set aside |
//! | `x` `c` collection `0` key | nothing: the record has a field with several concurrent values |
//! | `x` `t` transaction id | the records of a transaction over several |
//!
//! Numbers are 8 bytes, an index is 4 bytes, big-endian. No name contains a zero byte.

use super::StoreError;
use crate::id::{Collection, RecordId, SeriesName, TransactionId};

pub(super) fn settings() -> Vec<u8> {
    b"msettings".to_vec()
}

pub(super) fn identity() -> Vec<u8> {
    b"midentity".to_vec()
}

pub(super) fn reach() -> Vec<u8> {
    b"mreach".to_vec()
}

pub(super) fn state() -> Vec<u8> {
    b"mstate".to_vec()
}

pub(super) fn collection(name: &Collection) -> Vec<u8> {
    [b"c", name.as_str().as_bytes()].concat()
}

/// All collection rows: from, until.
pub(super) fn collections() -> (Vec<u8>, Vec<u8>) {
    (b"c".to_vec(), b"d".to_vec())
}

pub(super) fn collection_of(key: &[u8]) -> Result<Collection, StoreError> {
    Ok(Collection::new(text(&key[1..])?)?)
}

pub(super) fn record(record: &RecordId) -> Vec<u8> {
    named(b"r", record)
}

pub(super) fn snapshot(record: &RecordId) -> Vec<u8> {
    named(b"s", record)
}

/// A collection's record rows: from, until.
pub(super) fn records(collection: &Collection) -> (Vec<u8>, Vec<u8>) {
    let name = collection.as_str().as_bytes();
    ([b"r", name, &[0]].concat(), [b"r", name, &[1]].concat())
}

/// All record rows: from, until.
pub(super) fn all_records() -> (Vec<u8>, Vec<u8>) {
    (b"r".to_vec(), b"s".to_vec())
}

pub(super) fn record_of(key: &[u8]) -> Result<RecordId, StoreError> {
    let text = text(&key[1..])?;
    let (collection, key) =
        text.split_once('\0').ok_or_else(|| StoreError::Damaged { what: "a record's key".to_owned() })?;
    Ok(RecordId::new(collection, key)?)
}

pub(super) fn outbox(number: u64) -> Vec<u8> {
    [b"o".as_slice(), &number.to_be_bytes()].concat()
}

/// All outbox rows: from, until.
pub(super) fn all_outbox() -> (Vec<u8>, Vec<u8>) {
    (b"o".to_vec(), b"p".to_vec())
}

/// The number behind the last eight bytes of an outbox or quarantine key.
pub(super) fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key.last_chunk::<8>().ok_or_else(|| StoreError::Damaged { what: "a numbered key".to_owned() })?;
    Ok(u64::from_be_bytes(*bytes))
}

pub(super) fn quarantine(record: &RecordId, number: u64) -> Vec<u8> {
    [named(b"q", record).as_slice(), &[0], &number.to_be_bytes()].concat()
}

/// A record's quarantine rows: from, until.
pub(super) fn quarantine_of(record: &RecordId) -> (Vec<u8>, Vec<u8>) {
    let name = named(b"q", record);
    ([name.as_slice(), &[0]].concat(), [name.as_slice(), &[1]].concat())
}

/// All quarantine rows: from, until.
pub(super) fn all_quarantine() -> (Vec<u8>, Vec<u8>) {
    (b"q".to_vec(), b"r".to_vec())
}

/// The record of a quarantine key.
pub(super) fn quarantined_record(key: &[u8]) -> Result<RecordId, StoreError> {
    let end = key.len().checked_sub(9).ok_or_else(|| StoreError::Damaged { what: "a quarantine key".to_owned() })?;
    record_of(&key[..end])
}

pub(super) fn conflict(record: &RecordId) -> Vec<u8> {
    named(b"xc", record)
}

/// The conflict rows of all records, or of a collection's: from, until.
pub(super) fn conflicts(collection: Option<&Collection>) -> (Vec<u8>, Vec<u8>) {
    match collection {
        None => (b"xc".to_vec(), b"xd".to_vec()),
        Some(name) => {
            ([b"xc", name.as_str().as_bytes(), &[0]].concat(), [b"xc", name.as_str().as_bytes(), &[1]].concat())
        }
    }
}

/// The record of a conflict row's key.
pub(super) fn conflicting_record(key: &[u8]) -> Result<RecordId, StoreError> {
    record_of(key.get(1..).unwrap_or_default())
}

pub(super) fn transaction(id: TransactionId) -> Vec<u8> {
    [b"xt".as_slice(), &id.0].concat()
}

pub(super) fn series(name: &SeriesName) -> Vec<u8> {
    [b"n", name.as_str().as_bytes()].concat()
}

/// All series rows: from, until.
pub(super) fn all_series() -> (Vec<u8>, Vec<u8>) {
    (b"n".to_vec(), b"o".to_vec())
}

pub(super) fn series_of(key: &[u8]) -> Result<SeriesName, StoreError> {
    Ok(SeriesName::new(text(&key[1..])?)?)
}

pub(super) fn index(number: u32) -> Vec<u8> {
    [b"id".as_slice(), &number.to_be_bytes()].concat()
}

/// All rows that say what indexes there are: from, until.
pub(super) fn indexes() -> (Vec<u8>, Vec<u8>) {
    (b"id".to_vec(), b"ie".to_vec())
}

pub(super) fn index_number_of(key: &[u8]) -> Result<u32, StoreError> {
    let bytes = key.last_chunk::<4>().ok_or_else(|| StoreError::Damaged { what: "an index's key".to_owned() })?;
    Ok(u32::from_be_bytes(*bytes))
}

/// What the keys of an index of values begin with.
pub(super) fn values(number: u32) -> Vec<u8> {
    [b"ir".as_slice(), &number.to_be_bytes()].concat()
}

/// What the keys of an index of words begin with.
pub(super) fn words(number: u32) -> Vec<u8> {
    [b"iw".as_slice(), &number.to_be_bytes()].concat()
}

fn named(prefix: &[u8], record: &RecordId) -> Vec<u8> {
    [prefix, record.collection.as_str().as_bytes(), &[0], record.key.as_str().as_bytes()].concat()
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(|_| StoreError::Damaged { what: "a key is not UTF-8".to_owned() })
}
