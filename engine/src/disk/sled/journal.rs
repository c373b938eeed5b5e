//! The newest commits outside sled, in a file that is written over in place: one write and one sync make a commit durable.
//! It has two halves: while one fills, sled is given what the other holds. Must not know sled.
//!
//! ```text
//! file    two halves of 524288 bytes
//! half    header, then frames, each at a multiple of 512; behind the newest frame stand zeros or older frames
//! header  [version u8 = 2][salt, 8 bytes][crc32 of these 9 bytes u32]
//! frame   [version u8 = 1][bytes of the entries u32][number before u64][chain before u32][number through u64]
//!         [crc32 of the salt, these 25 bytes and the entries u32][entries]
//! entry   [number u64][rows u32][rows][chain after it u32]
//! row     [bytes of the key u16][key][bytes of the value u32, or ff ff ff ff for a removal][value]
//! ```
//!
//! Numbers are little-endian. The salt is made, at every opening, of what nobody knows elsewhere: bytes that somebody put
//! into a record to look like a frame do not have it. Frames have consecutive numbers. A frame is synced before the next one
//! is written: only the last can be torn, and what it holds was promised to nobody.
//!
//! A file of before the halves has no header, and its frames no salt; it is read all the same.

use crate::disk::failure::io_error;
use crate::disk::mark::Commit;
use crate::disk::{Batch, DiskError};
use itertools::Itertools as _;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Some 250 sales between two checkpoints.
const HALF_BYTES: usize = 512 << 10;
const HALVES_AT: [usize; 2] = [0, HALF_BYTES];
const JOURNAL_BYTES: usize = 2 * HALF_BYTES;
const FILE_VERSION: u8 = 2;
const FILE_HEADER_BYTES: usize = 13;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 29;
/// A disk writes so much whole or not at all, so a torn frame spoils none before it.
const SECTOR_BYTES: usize = 512;
const REMOVED: u32 = u32::MAX;
const OPENING: &str = "opening the journal";

/// What was applied and is not durable yet.
#[derive(Default)]
pub(super) struct Pending {
    entries: Vec<u8>,
    before: Commit,
    through: Commit,
    /// The entries were more than a half can take, and were dropped.
    overflowed: bool,
}

impl Pending {
    pub(super) fn after(newest: Commit) -> Self {
        Self { before: newest, through: newest, ..Self::default() }
    }

    /// Takes in a batch that becomes the newest commit.
    pub(super) fn push(&mut self, batch: &Batch) {
        self.through = encode(&mut self.entries, self.through, batch);
        self.overflowed |= SECTOR_BYTES + sectors(HEADER_BYTES + self.entries.len()) > HALF_BYTES;
        if self.overflowed {
            self.entries.clear();
        }
    }

    /// All of it, leaving nothing.
    pub(super) fn take(&mut self) -> Self {
        let after = Self::after(self.through);
        std::mem::replace(self, after)
    }

    pub(super) fn through(&self) -> Commit {
        self.through
    }

    pub(super) fn is_empty(&self) -> bool {
        self.through == self.before
    }

    /// Whether it is more than an empty half can take.
    pub(super) fn overflows(&self) -> bool {
        self.overflowed
    }
}

/// The file.
pub(super) struct Journal {
    file: File,
    salt: Salt,
    half: usize,
    /// Where the next frame goes.
    end: usize,
}

type Salt = [u8; 8];

impl Journal {
    /// Opens or makes the journal of a store whose newest commit in sled is `newest`, and has `replay` take what sled lacks.
    /// Answers the newest commit, too. [`Journal::begin`] comes next.
    /// `identity` is the store's own.
    pub(super) fn open(
        path: &Path,
        identity: &str,
        newest: Commit,
        replay: impl FnMut(Batch),
    ) -> Result<(Self, Commit), DiskError> {
        let io = |error| io_error(OPENING, &error);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(JOURNAL_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
        let newest = replay_all(&bytes, newest, replay)?;
        if bytes.len() < JOURNAL_BYTES {
            // Blocks that exist make a sync cheap: nothing but their content changes.
            file.seek(SeekFrom::Start(bytes.len() as u64)).map_err(io)?;
            file.write_all(&vec![0; JOURNAL_BYTES - bytes.len()]).map_err(io)?;
        }
        Ok((Self { file, salt: make_salt(identity, newest), half: 0, end: SECTOR_BYTES }, newest))
    }

    /// Makes the file ready for frames, and forgets those in it: sled has everything, durably.
    pub(super) fn begin(&mut self) -> Result<(), DiskError> {
        let mut header = vec![FILE_VERSION];
        header.extend_from_slice(&self.salt);
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        header.resize(SECTOR_BYTES, 0);
        let mut written = HALVES_AT.into_iter().map(|at| self.write(at, &header));
        let written = written.try_for_each(|half| half).and_then(|()| self.file.sync_all());
        written.map_err(|error| io_error(OPENING, &error))
    }

    /// Whether `pending` fits behind what the half has.
    pub(super) fn has_room(&self, pending: &Pending) -> bool {
        let bytes = sectors(HEADER_BYTES + pending.entries.len());
        !pending.overflowed && self.end + bytes <= HALVES_AT[self.half] + HALF_BYTES
    }

    /// Makes `pending` durable, for which there has to be room.
    pub(super) fn append(&mut self, pending: &Pending) -> io::Result<()> {
        let bytes = sectors(HEADER_BYTES + pending.entries.len());
        let mut frame = Vec::with_capacity(bytes);
        frame.push(VERSION);
        frame.extend_from_slice(&(pending.entries.len() as u32).to_le_bytes());
        frame.extend_from_slice(&pending.before.number.to_le_bytes());
        frame.extend_from_slice(&pending.before.chain.to_le_bytes());
        frame.extend_from_slice(&pending.through.number.to_le_bytes());
        frame.extend_from_slice(&checksum(&self.salt, &frame, &pending.entries).to_le_bytes());
        frame.extend_from_slice(&pending.entries);
        frame.resize(bytes, 0);
        self.write(self.end, &frame)?;
        self.file.sync_data()?;
        self.end += bytes;
        Ok(())
    }

    /// Goes on in the other half, from its front: sled has everything that it holds, durably.
    pub(super) fn switch(&mut self) {
        self.half = 1 - self.half;
        self.end = HALVES_AT[self.half] + SECTOR_BYTES;
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at as u64))?;
        self.file.write_all(bytes)
    }
}

/// Has `replay` take what comes after `newest`, from all frames that are whole; answers the newest commit. A frame that is
/// whole and newer than all that could be replayed was promised to somebody.
fn replay_all(bytes: &[u8], mut newest: Commit, mut replay: impl FnMut(Batch)) -> Result<Commit, DiskError> {
    let salt = HALVES_AT.into_iter().find_map(|at| salt_of(bytes.get(at..)?));
    let salt: &[u8] = salt.as_ref().map_or(&[], |salt| salt);
    let frames = (0..bytes.len()).step_by(SECTOR_BYTES).filter_map(|at| Frame::decode(salt, &bytes[at..]));
    let frames = frames.sorted_by_key(|frame| frame.before.number).collect_vec();
    for frame in &frames {
        if frame.through > newest.number && !frame.replay(&mut newest, &mut replay) {
            break;
        }
    }
    match frames.iter().map(|frame| frame.through).max() {
        Some(through) if through > newest.number => {
            let what = format!("the newest writes are gone: {} of {through} commits left", newest.number);
            Err(DiskError::Damaged { what })
        }
        _ => Ok(newest),
    }
}

fn make_salt(identity: &str, newest: Commit) -> Salt {
    let hash = Sha256::new().chain_update(newest.encode()).chain_update(identity).finalize();
    std::array::from_fn(|at| hash[at])
}

/// The salt in the header that `bytes` begin with, if that is whole.
fn salt_of(bytes: &[u8]) -> Option<Salt> {
    let (header, checksum) = bytes.get(..FILE_HEADER_BYTES)?.split_at_checked(FILE_HEADER_BYTES - 4)?;
    let right = header[0] == FILE_VERSION && checksum == crc32fast::hash(header).to_le_bytes();
    if right { header[1..].try_into().ok() } else { None }
}

struct Frame<'b> {
    before: Commit,
    through: u64,
    entries: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The frame that `bytes` begin with, if its checksum is right.
    fn decode(salt: &[u8], bytes: &'b [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let (head, sum) = header.split_at_checked(HEADER_BYTES - 4)?;
        let mut fields = Reader(head);
        let version = fields.take(1)?[0];
        let entries = rest.get(..fields.u32()? as usize)?;
        let before = Commit { number: fields.u64()?, chain: fields.u32()? };
        let through = fields.u64()?;
        let right = version == VERSION && sum == checksum(salt, head, entries).to_le_bytes();
        right.then_some(Self { before, through, entries })
    }

    /// Applies what comes after `newest`. `false` when it does not follow: it is of another time, or of another store.
    fn replay(&self, newest: &mut Commit, replay: &mut impl FnMut(Batch)) -> bool {
        let mut entries = Reader(self.entries);
        let mut reached = self.before;
        while !entries.0.is_empty() {
            if reached.number == newest.number && reached != *newest {
                return false;
            }
            let before = reached;
            let Some((batch, commit)) = entries.entry(before) else { return false };
            reached = commit;
            if before == *newest {
                replay(batch);
                *newest = reached;
            }
        }
        reached == *newest
    }
}

fn sectors(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTOR_BYTES)
}

fn checksum(salt: &[u8], head: &[u8], entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(head);
    hasher.update(entries);
    hasher.finalize()
}

/// Writes the entry of a batch that follows `before`; answers the commit it makes.
fn encode(out: &mut Vec<u8>, before: Commit, batch: &Batch) -> Commit {
    let start = out.len();
    out.extend_from_slice(&(before.number + 1).to_le_bytes());
    out.extend_from_slice(&(batch.rows.len() as u32).to_le_bytes());
    for (key, value) in &batch.rows {
        // Keys and values were held to their limits before.
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(&value.as_ref().map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let commit = before.next([&out[start..]]);
    out.extend_from_slice(&commit.chain.to_le_bytes());
    commit
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The next entry, which follows `before`, and the commit it makes.
    fn entry(&mut self, before: Commit) -> Option<(Batch, Commit)> {
        let whole = self.0;
        let number = self.u64()?;
        let mut batch = Batch::default();
        for _ in 0..self.u32()? {
            let bytes = self.u16()?;
            let key = self.take(bytes.into())?.to_vec();
            let value = match self.u32()? {
                REMOVED => None,
                bytes => Some(self.take(bytes as usize)?.to_vec()),
            };
            batch.rows.insert(key, value);
        }
        let commit = before.next([&whole[..whole.len() - self.0.len()]]);
        (self.u32()? == commit.chain && number == commit.number).then_some((batch, commit))
    }
}
