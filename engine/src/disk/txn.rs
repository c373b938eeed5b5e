//! Staged writes over a disk, committed as one batch; seals every row with a checksum and cuts long values into parts.
//! Must not know what the rows mean.
//!
//! Layout. Callers use keys of at most [`TXN_KEY_BYTES_MAX`] bytes that begin below `0xfe`. Numbers are
//! little-endian unless said.
//!
//! ```text
//! row    [version u8 = 1][crc32 of key, kind and payload, u32][kind u8][payload]
//!   kind 0, whole   payload = the value, at most 4000 bytes
//!   kind 1, head    payload = [total length u32][number of parts u32][crc32 of the whole value u32][first 4000 bytes]
//!   kind 2, part    payload = the next 4000 bytes, fewer in the last part
//! key of a part     [0xfe][length of the head's key, u16 BE][the head's key][part number u32 BE, from 1]
//! ```
//!
//! The checksum of version 1 leaves the version byte out. A later version keeps version and checksum in their places and
//! begins its checksum with the version byte: so a newer row is told from a spoiled version byte.
//!
//! The length in a part's key keeps the parts of one value together whatever bytes the keys hold.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Batch, Disk, DiskError, KEY_BYTES_MAX, Row, check_length, readable};

/// The longest key a [`Txn`] takes, in bytes: a part's key is 7 bytes longer, and has to fit too.
pub const TXN_KEY_BYTES_MAX: usize = KEY_BYTES_MAX - 7;

/// The longest value a [`Txn`] takes, in bytes.
pub const VALUE_TOTAL_BYTES_MAX: usize = 16 << 20;

/// The longest piece of a value in one row, in bytes.
const PIECE_BYTES_MAX: usize = 4000;

const PARTS_KEY_FROM: [u8; 1] = [0xfe];
const ROW_VERSION: u8 = 1;
const HEADER_BYTES: usize = 6;
const WHOLE: u8 = 0;
const HEAD: u8 = 1;
const PART: u8 = 2;

/// How often a long value is read before it is called damaged: a head and its parts are read one after the other, and
/// a writer may replace them in between.
const READS_MAX: usize = 16;

/// Writes staged over a disk. Dropping it without [`Txn::commit`] writes nothing. One writer at a time: two
/// transactions that change the same key at once may leave parts behind or lose some.
pub struct Txn<'d> {
    disk: &'d dyn Disk,
    staged: BTreeMap<Vec<u8>, Staged>,
}

struct Staged {
    value: Option<Vec<u8>>,
    /// The parts of the value on the disk, where they are known.
    parts_before: Option<u32>,
}

impl<'d> Txn<'d> {
    /// A transaction with nothing staged.
    pub fn new(disk: &'d dyn Disk) -> Self {
        Self { disk, staged: BTreeMap::new() }
    }

    /// The value of `key`: what is staged, else what is on the disk. Fails as [`read`] does.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        match self.staged.get(key) {
            Some(staged) => Ok(staged.value.clone()),
            None => read(self.disk, key),
        }
    }

    /// Stages `value` under `key`. Its limits are checked by [`Txn::commit`], which reads the old row once.
    pub fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        self.stage(key, Some(value.to_vec()), None);
    }

    /// As [`Txn::put`], for a key whose value on the disk is known to have `bytes_before` bytes: saves the read.
    pub fn put_over(&mut self, key: Vec<u8>, value: &[u8], bytes_before: usize) {
        let parts = bytes_before.saturating_sub(1) / PIECE_BYTES_MAX;
        self.stage(key, Some(value.to_vec()), u32::try_from(parts).ok());
    }

    /// As [`Txn::put`], for a key known not to be on the disk: saves the read. If it is there after all, parts of a
    /// long old value may stay behind as dead rows; no later read is wrong.
    pub fn put_new(&mut self, key: Vec<u8>, value: &[u8]) {
        self.stage(key, Some(value.to_vec()), Some(0));
    }

    /// Stages the removal of `key`, which need not be there.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.stage(key, None, None);
    }

    /// As [`Txn::put`], for a key whose value, old or new, is never longer than one row: saves the read.
    pub fn put_short(&mut self, key: Vec<u8>, value: &[u8]) {
        self.stage(key, Some(value.to_vec()), Some(0));
    }

    /// As [`Txn::remove`], for a key whose value was never longer than one row: saves the read.
    pub fn remove_short(&mut self, key: Vec<u8>) {
        self.stage(key, None, Some(0));
    }

    /// The first key of `from..until` with its value, as it will be after the commit. Fails as [`read`] does.
    pub fn first(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        let mut from = from.to_vec();
        while from.as_slice() < until {
            let staged =
                self.staged.range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(until))).next();
            let on_disk = scan(self.disk, &from, until, 1)?.pop();
            match (staged, on_disk) {
                (Some((key, staged)), on_disk) if on_disk.as_ref().is_none_or(|(other, _)| key <= other) => {
                    match &staged.value {
                        Some(value) => return Ok(Some((key.clone(), value.clone()))),
                        None => from = [key.as_slice(), &[0]].concat(),
                    }
                }
                (_, on_disk) => return Ok(on_disk),
            }
        }
        Ok(None)
    }

    /// The last key of `from..until` with its value, as it will be after the commit. Fails as [`read`] does.
    pub fn last(&self, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
        let mut until = until.to_vec();
        while from < until.as_slice() {
            let bounds = (Bound::Included(from), Bound::Excluded(until.as_slice()));
            let staged = self.staged.range::<[u8], _>(bounds).next_back();
            let on_disk = last(self.disk, from, &until)?;
            match (staged, on_disk) {
                (Some((key, staged)), on_disk) if on_disk.as_ref().is_none_or(|(other, _)| key >= other) => {
                    match &staged.value {
                        Some(value) => return Ok(Some((key.clone(), value.clone()))),
                        None => until = key.clone(),
                    }
                }
                (_, on_disk) => return Ok(on_disk),
            }
        }
        Ok(None)
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Applies all that is staged as one batch, visible together or not at all; durable after [`Disk::flush`].
    /// [`DiskError::TooLong`] past [`TXN_KEY_BYTES_MAX`] or [`VALUE_TOTAL_BYTES_MAX`], [`DiskError::ReservedKey`] for
    /// a key from `0xfe` on, [`DiskError::Damaged`] when a row to be replaced is; then nothing is applied.
    pub fn commit(self) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        for (key, staged) in self.staged {
            check_txn_key(&key)?;
            let parts_before = match staged.parts_before {
                Some(parts) => parts,
                None => parts_on_disk(self.disk, &key)?,
            };
            let parts = match staged.value {
                Some(value) => stage_rows(&mut batch, &key, &value)?,
                None => {
                    batch.rows.insert(key.clone(), None);
                    0
                }
            };
            batch.rows.extend((parts + 1..=parts_before).map(|number| (part_key(&key, number), None)));
        }
        if batch.rows.is_empty() { Ok(()) } else { self.disk.apply(batch) }
    }

    fn stage(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, parts_before: Option<u32>) {
        // What was staged first knows what the disk holds; a later write of the same key does not change that.
        let parts_before = self.staged.get(&key).map_or(parts_before, |before| before.parts_before);
        self.staged.insert(key, Staged { value, parts_before });
    }
}

/// The value of `key` on `disk`. [`DiskError::Damaged`], naming the key, when a row of it is not what was written.
pub fn read(disk: &dyn Disk, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
    check_txn_key(key)?;
    match disk.get(key)? {
        Some(row) => open_row(disk, key, row),
        None => Ok(None),
    }
}

/// At most `rows_max` keys of `from..until` with their values, ascending; long values whole, so the answer can take up
/// to `rows_max` times [`VALUE_TOTAL_BYTES_MAX`]. Fails as [`read`] does. Where a batch replaces several keys by the last of
/// them meanwhile, that one is shown as it was with the others, or as it is without.
pub fn scan(disk: &dyn Disk, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
    let (mut from, until) = (from.to_vec(), until.min(&PARTS_KEY_FROM));
    let mut found = Vec::new();
    'anew: loop {
        for (key, row) in disk.range(&from, until, rows_max - found.len())? {
            match open_row(disk, &key, row)? {
                Some(value) => found.push((key, value)),
                // It was removed while the scan ran: what was read behind it is from before that.
                None => {
                    from = key;
                    continue 'anew;
                }
            }
        }
        return Ok(found);
    }
}

/// As [`scan`], but from the end, descending; of several keys that become one meanwhile, some may be shown beside that one.
pub fn scan_back(disk: &dyn Disk, from: &[u8], until: &[u8], rows_max: usize) -> Result<Vec<Row>, DiskError> {
    let mut until = until.min(&PARTS_KEY_FROM).to_vec();
    let mut found = Vec::new();
    'anew: loop {
        for (key, row) in disk.range_back(from, &until, rows_max - found.len())? {
            match open_row(disk, &key, row)? {
                Some(value) => found.push((key, value)),
                None => {
                    until = key;
                    continue 'anew;
                }
            }
        }
        return Ok(found);
    }
}

/// The last key of `from..until` with its value. Fails as [`read`] does.
pub fn last(disk: &dyn Disk, from: &[u8], until: &[u8]) -> Result<Option<Row>, DiskError> {
    let mut until = until.min(&PARTS_KEY_FROM).to_vec();
    while let Some((key, row)) = disk.last(from, &until)? {
        if let Some(value) = open_row(disk, &key, row)? {
            return Ok(Some((key, value)));
        }
        until = key;
    }
    Ok(None)
}

fn check_txn_key(key: &[u8]) -> Result<(), DiskError> {
    check_length("key", key.len(), TXN_KEY_BYTES_MAX)?;
    let reserved = key >= PARTS_KEY_FROM.as_slice();
    if reserved { Err(DiskError::ReservedKey { key: readable(key) }) } else { Ok(()) }
}

/// The value whose head was read as `row`, or `None` when it was removed since.
fn open_row(disk: &dyn Disk, key: &[u8], mut row: Vec<u8>) -> Result<Option<Vec<u8>>, DiskError> {
    if let Ok((WHOLE, _)) = unseal(key, &row) {
        row.drain(..HEADER_BYTES);
        return Ok(Some(row));
    }
    let mut reads = 1;
    loop {
        let error = match open_value(disk, key, &row) {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        match disk.get(key) {
            Ok(None) => return Ok(None),
            Ok(Some(again)) if reads < READS_MAX => row = again,
            _ => return Err(error),
        }
        reads += 1;
    }
}

fn open_value(disk: &dyn Disk, key: &[u8], row: &[u8]) -> Result<Vec<u8>, DiskError> {
    let (head, first) = match unseal(key, row)? {
        (WHOLE, payload) => return Ok(payload.to_vec()),
        (HEAD, payload) => Head::decode(key, payload)?,
        (kind, _) => return Err(damaged(key, &format!("its kind is {kind}"))),
    };
    let mut value = Vec::with_capacity(head.bytes_total as usize);
    value.extend_from_slice(first);
    let parts = disk.range(&part_key(key, 1), &part_key(key, head.parts + 1), head.parts as usize)?;
    for (number, (part, row)) in (1..).zip(&parts) {
        match unseal(part, row)? {
            (PART, piece) if *part == part_key(key, number) => value.extend_from_slice(piece),
            _ => return Err(damaged(key, &format!("part {number} is missing"))),
        }
    }
    let whole = value.len() == head.bytes_total as usize && crc32fast::hash(&value) == head.checksum;
    if whole { Ok(value) } else { Err(damaged(key, "its parts do not make up the value")) }
}

/// Stages the rows of `value`; answers how many parts it has besides the head.
fn stage_rows(batch: &mut Batch, key: &[u8], value: &[u8]) -> Result<u32, DiskError> {
    check_length("value", value.len(), VALUE_TOTAL_BYTES_MAX)?;
    let Some((first, rest)) = value.split_at_checked(PIECE_BYTES_MAX).filter(|(_, rest)| !rest.is_empty()) else {
        batch.rows.insert(key.to_vec(), Some(seal(key, WHOLE, &[value])));
        return Ok(0);
    };
    let mut parts = 0;
    for piece in rest.chunks(PIECE_BYTES_MAX) {
        parts += 1;
        let part = part_key(key, parts);
        let row = seal(&part, PART, &[piece]);
        batch.rows.insert(part, Some(row));
    }
    let head = Head { bytes_total: value.len() as u32, parts, checksum: crc32fast::hash(value) };
    batch.rows.insert(key.to_vec(), Some(seal(key, HEAD, &[&head.encode(), first])));
    Ok(parts)
}

fn parts_on_disk(disk: &dyn Disk, key: &[u8]) -> Result<u32, DiskError> {
    let Some(row) = disk.get(key)? else { return Ok(0) };
    match unseal(key, &row)? {
        (HEAD, payload) => Ok(Head::decode(key, payload)?.0.parts),
        _ => Ok(0),
    }
}

fn part_key(key: &[u8], number: u32) -> Vec<u8> {
    let length = key.len() as u16;
    [PARTS_KEY_FROM.as_slice(), &length.to_be_bytes(), key, &number.to_be_bytes()].concat()
}

/// What a head row says of its value.
struct Head {
    bytes_total: u32,
    parts: u32,
    checksum: u32,
}

impl Head {
    fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.bytes_total.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.parts.to_le_bytes());
        bytes[8..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// The head and the first piece.
    fn decode<'p>(key: &[u8], payload: &'p [u8]) -> Result<(Self, &'p [u8]), DiskError> {
        let short = || damaged(key, "its head is cut short");
        let (bytes_total, rest) = payload.split_first_chunk().ok_or_else(short)?;
        let (parts, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (checksum, first) = rest.split_first_chunk().ok_or_else(short)?;
        let [bytes_total, parts, checksum] = [bytes_total, parts, checksum].map(|number| u32::from_le_bytes(*number));
        if bytes_total as usize > VALUE_TOTAL_BYTES_MAX || parts as usize > VALUE_TOTAL_BYTES_MAX / PIECE_BYTES_MAX {
            return Err(damaged(key, "its head is past the limits"));
        }
        Ok((Self { bytes_total, parts, checksum }, first))
    }
}

fn seal(key: &[u8], kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = payload.iter().map(|piece| piece.len()).sum();
    let mut row = Vec::with_capacity(HEADER_BYTES + bytes);
    row.extend_from_slice(&[ROW_VERSION, 0, 0, 0, 0, kind]);
    payload.iter().for_each(|piece| row.extend_from_slice(piece));
    let checksum = checksum(key, &row[HEADER_BYTES - 1..]);
    row[1..5].copy_from_slice(&checksum.to_le_bytes());
    row
}

/// The kind and the payload of `row`, once its checksum is right.
fn unseal<'r>(key: &[u8], row: &'r [u8]) -> Result<(u8, &'r [u8]), DiskError> {
    match row {
        [ROW_VERSION, a, b, c, d, sealed @ ..] if checksum(key, sealed) == u32::from_le_bytes([*a, *b, *c, *d]) => {
            sealed.split_first().map(|(kind, payload)| (*kind, payload)).ok_or_else(|| damaged(key, "it is cut short"))
        }
        [found @ 2..=u8::MAX, a, b, c, d, sealed @ ..] if newer_checksum(*found, key, sealed) == [*a, *b, *c, *d] => {
            Err(DiskError::NewerFormat { found: *found, known: ROW_VERSION })
        }
        _ => Err(damaged(key, "its checksum is wrong")),
    }
}

fn newer_checksum(version: u8, key: &[u8], sealed: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    [&[version], key, sealed].into_iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().to_le_bytes()
}

fn checksum(key: &[u8], sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(sealed);
    hasher.finalize()
}

fn damaged(key: &[u8], why: &str) -> DiskError {
    DiskError::Damaged { what: format!("row {}: {why}", readable(key)) }
}
