//! Many changes as one compressed block: what a push carries and a log entry keeps. Must not know sockets or storage.
//!
//! Outer form: a version byte, a kind byte (0 plain, 1 zstd), for zstd the plain length in 4 bytes little-endian, the
//! body. The body is a struct of columns as bincode: one column a header field, so that like stands beside like. Left out of
//! each change, and put back before hashing: magic, checksum, length, hash, derived actors; a dependency is
//! the number of a change its receiver must already have.

mod block;
mod pack;
mod unpack;

use crate::change::{Change, DEPS_MAX, OTHER_ACTORS_MAX};
use crate::codec::{self, CodecError, Decode, Encode, Versioned};
use crate::gate::Refusal;
use crate::id::{ActorId, ChangeHash, RecordId, WorkspaceId};
use block::{close, open};
use pack::Packer;
use sha2::{Digest as _, Sha256};
use unpack::Unpacker;

/// The longest batch before compression, in bytes.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// The longest all changes of a batch may be once rebuilt, in bytes: a few bytes can name 256 dependencies.
pub const REBUILT_BYTES_MAX: usize = 16 << 20;
/// The most changes in a batch.
pub const BATCH_CHANGES_MAX: usize = 16_384;

/// How a batch names what its changes follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By author and number: short; needs a receiver that has the same changes under them.
    Compact,
    /// By hash, with every change's own hash: for receivers whose history may differ.
    Explicit,
}

/// One change in a batch, with the names of what it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whose change.
    pub record: RecordId,
    /// The change.
    pub change: Change,
    /// Author and number of each of the change's dependencies, in their order.
    pub deps: Vec<(ActorId, u64)>,
}

/// What is wrong with a batch as a whole. None of its changes has been looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// Not the encoded form.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The compressed block is damaged or would grow over the limit.
    #[error("a batch cannot be unpacked: it is damaged, or longer than {BATCH_BYTES_MAX} bytes")]
    Block,
    /// The columns do not fit each other.
    #[error("a batch is malformed: {0}")]
    Malformed(&'static str),
    /// Over [`BATCH_CHANGES_MAX`], [`BATCH_BYTES_MAX`] or [`REBUILT_BYTES_MAX`].
    #[error("a batch is over the limit of {limit_max} {limit}")]
    TooLarge {
        /// Which limit, with its unit.
        limit: &'static str,
        /// The limit.
        limit_max: usize,
    },
}

/// The plain body of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
struct Columns {
    actors: Vec<Vec<u8>>,
    hashes: Vec<[u8; 32]>,
    collections: Vec<String>,
    record_collection: Vec<u32>,
    record_key: Vec<String>,
    record: Vec<u32>,
    /// 0 for a derived actor, else its place in `actors` plus 1.
    actor: Vec<u32>,
    /// Left out (0) for derived actors.
    seq: Vec<u64>,
    start_op: Vec<u64>,
    /// Each the difference to the one before.
    time_s: Vec<i64>,
    message: Vec<String>,
    dep_count: Vec<u32>,
    /// 0: `dep_value` counts changes back in this batch; 1: it is a place in `hashes`; else an actor plus 2.
    dep_kind: Vec<u32>,
    dep_value: Vec<u64>,
    other_count: Vec<u32>,
    /// Even: twice a place in `actors`; odd: twice a count of changes back to a derived one, plus 1.
    other: Vec<u32>,
    columns_bytes: Vec<u32>,
    columns: Vec<u8>,
    /// Every change's hash, in the explicit style.
    own: Vec<[u8; 32]>,
    /// The first 8 bytes of SHA-256 over all hashes in order.
    check: [u8; 8],
}

impl Versioned for Columns {
    const WHAT: &'static str = "a batch";
    const VERSION: u8 = block::VERSION;
}

/// A batch whose form was checked; its changes are rebuilt one by one.
#[derive(Debug)]
pub struct Batch {
    columns: Columns,
}

/// A batch's changes as a receiver rebuilt them.
#[derive(Debug)]
pub struct Unpacked {
    /// Each change, or why it cannot be one, with its record.
    pub changes: Vec<(RecordId, Result<Change, Refusal>)>,
    /// Whether the hashes are those the author computed. If not, a receiver has other changes under the same names, or
    /// cannot tell because it lacks some: then the batch is needed in the explicit style.
    pub clear: bool,
}

/// Packs changes in the order given: a change stands behind those it follows.
pub fn pack(items: &[Item], style: Style) -> Result<Vec<u8>, BatchFault> {
    if items.len() > BATCH_CHANGES_MAX {
        return Err(BatchFault::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX });
    }
    check_rebuilt(items.iter().map(|item| item.change.bytes().len()).sum())?;
    let mut packer = Packer::new(style);
    items.iter().enumerate().for_each(|(index, item)| packer.add(index, item));
    packer.out.check = check(items.iter().map(|item| item.change.hash()));
    close(&codec::encode(&packer.out)?)
}

fn check(hashes: impl Iterator<Item = ChangeHash>) -> [u8; 8] {
    let mut hash = Sha256::new();
    hashes.for_each(|each| hash.update(each.0));
    let mut check = [0; 8];
    check.copy_from_slice(&hash.finalize()[..8]);
    check
}

fn check_rebuilt(bytes: usize) -> Result<(), BatchFault> {
    match bytes > REBUILT_BYTES_MAX {
        true => Err(BatchFault::TooLarge { limit: "bytes once rebuilt", limit_max: REBUILT_BYTES_MAX }),
        false => Ok(()),
    }
}

impl Batch {
    /// Reads and checks the outer form.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchFault> {
        let columns: Columns = codec::decode(&open(bytes)?)?;
        if columns.record.len() > BATCH_CHANGES_MAX {
            return Err(BatchFault::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX });
        }
        columns.check_lengths()?;
        Ok(Self { columns })
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.columns.record.len()
    }

    /// The collections of its records; more may be named than have any.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        self.columns.collections.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.columns.record.is_empty()
    }

    /// Rebuilds every change. `hash_of` gives the hash of a record's change by author and number, as this receiver
    /// has it before the batch.
    pub fn unpack(
        &self,
        workspace: &WorkspaceId,
        mut hash_of: impl FnMut(&RecordId, &ActorId, u64) -> Option<ChangeHash>,
    ) -> Result<Unpacked, BatchFault> {
        let mut unpacker = Unpacker::new(&self.columns, workspace)?;
        for index in 0..self.len() {
            unpacker.next(index, &mut hash_of)?;
        }
        let whole = unpacker.done.iter().all(|(_, change)| change.is_ok());
        let hashes = unpacker.done.iter().filter_map(|(_, change)| change.as_ref().ok().map(Change::hash));
        let clear = match whole {
            true => check(hashes) == self.columns.check,
            false => !unpacker.borrowed || !self.columns.own.is_empty(),
        };
        Ok(Unpacked { changes: unpacker.done, clear })
    }
}

impl Columns {
    fn check_lengths(&self) -> Result<(), BatchFault> {
        let changes = self.record.len();
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let even = [
            self.actor.len(),
            self.seq.len(),
            self.start_op.len(),
            self.time_s.len(),
            self.message.len(),
            self.dep_count.len(),
            self.other_count.len(),
            self.columns_bytes.len(),
        ];
        let fits = even.iter().all(|length| *length == changes)
            && (self.own.is_empty() || self.own.len() == changes)
            && self.record_collection.len() == self.record_key.len()
            && self.record_key.len() <= changes
            && self.collections.len() <= changes
            && self.hashes.len() <= self.dep_kind.len()
            && self.actors.len() <= changes + self.dep_kind.len() + self.other.len()
            && self.dep_count.iter().all(|count| *count as usize <= DEPS_MAX)
            && self.other_count.iter().all(|count| *count as usize <= OTHER_ACTORS_MAX)
            && self.dep_kind.len() == self.dep_value.len()
            && sum(&self.dep_count) == self.dep_kind.len() as u64
            && sum(&self.other_count) == self.other.len() as u64
            && sum(&self.columns_bytes) == self.columns.len() as u64;
        if fits { Ok(()) } else { Err(BatchFault::Malformed("its columns have different lengths")) }
    }
}
