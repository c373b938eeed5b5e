//! The newest commit, as a number and a chained checksum, and the file that remembers it outside the database.
//! Must not know which database.

use super::DiskError;
use super::failure::io_error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The reserved key of the row that is the newest commit, in every database.
pub(super) const COMMIT_KEY: &[u8] = b"\xff\xffcommit";
const COMMIT_VERSION: u8 = 1;
const COMMIT_BYTES: usize = 17;
/// Each slot has a page of its own, so that a torn write spoils one at most.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const SLOT_BYTES: usize = 64;

/// How many batches were applied, and a checksum chained over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) number: u64,
    pub(super) chain: u32,
}

impl Commit {
    /// The commit that `entry` makes, which follows this one; the entry is given in pieces.
    pub(super) fn next<'e>(self, entry: impl IntoIterator<Item = &'e [u8]>) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.chain);
        entry.into_iter().for_each(|piece| hasher.update(piece));
        Self { number: self.number + 1, chain: hasher.finalize() }
    }

    pub(super) fn encode(self) -> [u8; COMMIT_BYTES] {
        let mut bytes = [0; COMMIT_BYTES];
        bytes[0] = COMMIT_VERSION;
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        bytes[9..13].copy_from_slice(&self.chain.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..13]);
        bytes[13..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; COMMIT_BYTES] = bytes.try_into().ok()?;
        let number = u64::from_le_bytes(bytes[1..9].try_into().ok()?);
        let chain = u32::from_le_bytes(bytes[9..13].try_into().ok()?);
        let commit = Self { number, chain };
        (commit.encode() == bytes).then_some(commit)
    }
}

/// The file that remembers the newest durable commit outside the database.
pub(super) struct Mark {
    file: File,
    slot: usize,
}

impl Mark {
    /// Opens or makes the mark of a store whose newest commit is `newest`, and moves it there.
    pub(super) fn open(path: &Path, newest: Commit) -> Result<Self, DiskError> {
        let io = |error| io_error("opening the mark", &error);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let slots = SLOT_OFFSETS.map(|offset| {
            let slot = bytes.get(offset as usize..)?.get(..COMMIT_BYTES)?;
            Commit::decode(slot)
        });
        let (slot, marked) = match slots {
            [Some(first), Some(second)] if second.number > first.number => (1, second),
            [Some(first), _] => (0, first),
            [None, Some(second)] => (1, second),
            [None, None] => (1, Commit::default()),
        };
        if newest.number < marked.number {
            let what = format!("the newest writes are gone: {} of {} commits left", newest.number, marked.number);
            return Err(DiskError::Damaged { what });
        }
        if newest.number == marked.number && newest.chain != marked.chain {
            let what = format!("commit {} is another one than was saved", newest.number);
            return Err(DiskError::Damaged { what });
        }
        let mut mark = Self { file, slot };
        mark.advance(newest).and_then(|()| mark.sync()).map_err(io)?;
        Ok(mark)
    }

    /// Moves it to a commit that is durable.
    pub(super) fn advance(&mut self, commit: Commit) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES];
        slot[..COMMIT_BYTES].copy_from_slice(&commit.encode());
        self.slot = 1 - self.slot;
        self.file.seek(SeekFrom::Start(SLOT_OFFSETS[self.slot]))?;
        self.file.write_all(&slot)?;
        Ok(())
    }

    /// The mark is only a lower bound, so it need not be synced with every commit.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // A mark that stays behind is still a lower bound.
        let _ = self.sync();
    }
}
