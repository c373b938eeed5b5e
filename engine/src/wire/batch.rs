//! Many changes as one compressed block: what a push carries and a log entry keeps. Must not know sockets or storage.
//!
//! Outer form: a version byte, a kind byte (0 plain, 1 zstd), for zstd the plain length in 4 bytes little-endian, the
//! body. The body is [`Columns`] as bincode: one column a header field, so that like stands beside like. Left out of
//! each change, and put back before hashing: magic, checksum, length, hash, derived actors; a dependency is
//! the number of a change its receiver must already have.

use crate::change::{Change, ChangeFault, Parts};
use crate::codec::{self, CodecError, Decode, Encode, Versioned};
use crate::gate::Refusal;
use crate::id::{ActorId, ChangeHash, DocumentId, RecordId, WorkspaceId};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// The longest batch before compression, in bytes.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// The most changes in a batch.
pub const BATCH_CHANGES_MAX: usize = 16_384;

const VERSION: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// Below this zstd's own header costs more than it saves, in bytes.
const PLAIN_BYTES_MAX: usize = 96;

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
    /// Over [`BATCH_CHANGES_MAX`] or [`BATCH_BYTES_MAX`].
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
    const VERSION: u8 = VERSION;
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
    /// Whether the hashes are those the author computed. If not, a receiver has other changes under the same names.
    pub clear: bool,
}

/// Packs changes in the order given: a change stands behind those it follows.
pub fn pack(items: &[Item], style: Style) -> Result<Vec<u8>, BatchFault> {
    if items.len() > BATCH_CHANGES_MAX {
        return Err(BatchFault::TooLarge { limit: "changes", limit_max: BATCH_CHANGES_MAX });
    }
    let mut packer = Packer { style, ..Packer::default() };
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

fn close(body: &[u8]) -> Result<Vec<u8>, BatchFault> {
    if body.len() > BATCH_BYTES_MAX {
        return Err(BatchFault::TooLarge { limit: "bytes", limit_max: BATCH_BYTES_MAX });
    }
    let packed = match body.len() > PLAIN_BYTES_MAX {
        true => zstd::bulk::compress(body, ZSTD_LEVEL).map_err(|_| BatchFault::Block)?,
        false => Vec::new(),
    };
    let mut out = vec![VERSION];
    if packed.is_empty() || packed.len() + 4 >= body.len() {
        out.push(0);
        out.extend_from_slice(body);
    } else {
        out.push(1);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

fn open(bytes: &[u8]) -> Result<Vec<u8>, BatchFault> {
    let what = Columns::WHAT;
    match bytes {
        [] | [_] => Err(CodecError::Empty { what }.into()),
        [found, ..] if *found != VERSION => Err(CodecError::Version { what, found: *found, known: VERSION }.into()),
        [_, 0, body @ ..] if body.len() <= BATCH_BYTES_MAX => Ok(body.to_vec()),
        [_, 1, a, b, c, d, packed @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            if length > BATCH_BYTES_MAX {
                return Err(BatchFault::Block);
            }
            let body = zstd::bulk::decompress(packed, length).map_err(|_| BatchFault::Block)?;
            if body.len() == length { Ok(body) } else { Err(BatchFault::Block) }
        }
        _ => Err(BatchFault::Block),
    }
}

/// Builds [`Columns`], giving each actor, collection, record and hash its place.
struct Packer<'a> {
    style: Style,
    out: Columns,
    actors: HashMap<&'a ActorId, u32>,
    collections: HashMap<&'a str, u32>,
    records: HashMap<&'a RecordId, u32>,
    hashes: HashMap<ChangeHash, u32>,
    placed: HashMap<ChangeHash, usize>,
    derived: HashMap<&'a ActorId, usize>,
    last_time_s: i64,
}

impl Default for Packer<'_> {
    fn default() -> Self {
        Self {
            style: Style::Compact,
            out: Columns::default(),
            actors: HashMap::new(),
            collections: HashMap::new(),
            records: HashMap::new(),
            hashes: HashMap::new(),
            placed: HashMap::new(),
            derived: HashMap::new(),
            last_time_s: 0,
        }
    }
}

impl<'a> Packer<'a> {
    fn add(&mut self, index: usize, item: &'a Item) {
        let parts = item.change.parts();
        let record = self.record(&item.record);
        let actor = if parts.actor.is_derived() { 0 } else { self.actor(&parts.actor) + 1 };
        self.out.record.push(record);
        self.out.actor.push(actor);
        self.out.seq.push(if actor == 0 { 0 } else { parts.seq });
        self.out.start_op.push(parts.start_op);
        self.out.time_s.push(parts.time_s.wrapping_sub(self.last_time_s));
        self.last_time_s = parts.time_s;
        self.out.message.push(parts.message.clone());
        self.out.dep_count.push(parts.deps.len() as u32);
        for (dep, (actor, seq)) in parts.deps.iter().zip(&item.deps) {
            let (kind, value) = self.dep(index, dep, actor, *seq);
            self.out.dep_kind.push(kind);
            self.out.dep_value.push(value);
        }
        self.out.other_count.push(parts.other_actors.len() as u32);
        for other in &parts.other_actors {
            let code = match self.derived.get(other) {
                Some(place) => ((index - place) as u32) << 1 | 1,
                None => self.actor(other) << 1,
            };
            self.out.other.push(code);
        }
        self.out.columns_bytes.push(parts.columns.len() as u32);
        self.out.columns.extend_from_slice(&parts.columns);
        if self.style == Style::Explicit {
            self.out.own.push(item.change.hash().0);
        }
        self.placed.insert(item.change.hash(), index);
        if parts.actor.is_derived() {
            self.derived.insert(&parts.actor, index);
        }
    }

    fn dep(&mut self, index: usize, dep: &ChangeHash, actor: &'a ActorId, seq: u64) -> (u32, u64) {
        if let Some(place) = self.placed.get(dep) {
            return (0, (index - place) as u64);
        }
        if self.style == Style::Compact {
            return (self.actor(actor) + 2, seq);
        }
        let next = self.hashes.len() as u32;
        let place = *self.hashes.entry(*dep).or_insert(next);
        if place == next {
            self.out.hashes.push(dep.0);
        }
        (1, u64::from(place))
    }

    fn actor(&mut self, actor: &'a ActorId) -> u32 {
        let next = self.actors.len() as u32;
        let place = *self.actors.entry(actor).or_insert(next);
        if place == next {
            self.out.actors.push(actor.as_bytes().to_vec());
        }
        place
    }

    fn record(&mut self, record: &'a RecordId) -> u32 {
        if let Some(&place) = self.records.get(record) {
            return place;
        }
        let next = self.collections.len() as u32;
        let collection = *self.collections.entry(record.collection.as_str()).or_insert(next);
        if collection == next {
            self.out.collections.push(record.collection.as_str().to_owned());
        }
        let place = self.records.len() as u32;
        self.records.insert(record, place);
        self.out.record_collection.push(collection);
        self.out.record_key.push(record.key.as_str().to_owned());
        place
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
        let clear = !whole || check(hashes) == self.columns.check;
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
            && self.dep_kind.len() == self.dep_value.len()
            && sum(&self.dep_count) == self.dep_kind.len() as u64
            && sum(&self.other_count) == self.other.len() as u64
            && sum(&self.columns_bytes) == self.columns.len() as u64;
        if fits { Ok(()) } else { Err(BatchFault::Malformed("its columns have different lengths")) }
    }
}

/// Takes [`Columns`] apart, change by change.
struct Unpacker<'a> {
    columns: &'a Columns,
    records: Vec<(RecordId, DocumentId)>,
    actors: Vec<ActorId>,
    done: Vec<(RecordId, Result<Change, Refusal>)>,
    own: HashMap<(u32, ActorId, u64), ChangeHash>,
    time_s: i64,
    deps_used: usize,
    others_used: usize,
    columns_used: usize,
}

impl<'a> Unpacker<'a> {
    fn new(columns: &'a Columns, workspace: &WorkspaceId) -> Result<Self, BatchFault> {
        let mut records = Vec::with_capacity(columns.record_key.len());
        for (collection, key) in columns.record_collection.iter().zip(&columns.record_key) {
            let collection =
                columns.collections.get(*collection as usize).ok_or(BatchFault::Malformed("no such collection"))?;
            let record =
                RecordId::new(collection, key).map_err(|_| BatchFault::Malformed("a record's name is not valid"))?;
            let document = DocumentId::derive(workspace, &record);
            records.push((record, document));
        }
        let actors = columns.actors.iter().map(|bytes| ActorId::from_bytes(bytes));
        let actors = actors.collect::<Option<_>>().ok_or(BatchFault::Malformed("an actor has 16 or 12 bytes"))?;
        let done = Vec::with_capacity(columns.record.len());
        let own = HashMap::new();
        Ok(Self { columns, records, actors, done, own, time_s: 0, deps_used: 0, others_used: 0, columns_used: 0 })
    }

    fn next(
        &mut self,
        index: usize,
        hash_of: &mut impl FnMut(&RecordId, &ActorId, u64) -> Option<ChangeHash>,
    ) -> Result<(), BatchFault> {
        let place = self.columns.record[index];
        let (record, document) =
            self.records.get(place as usize).cloned().ok_or(BatchFault::Malformed("no such record"))?;
        self.time_s = self.time_s.wrapping_add(self.columns.time_s[index]);
        let deps = self.deps(index, place, &record, hash_of)?;
        let other_actors = self.others(index)?;
        let length = self.columns.columns_bytes[index] as usize;
        let columns = self.columns.columns[self.columns_used..][..length].to_vec();
        self.columns_used += length;
        let derived = self.columns.actor[index] == 0;
        let actor = match derived {
            true => ActorId::ordinary([0; 16]),
            false => self.actor(self.columns.actor[index] - 1)?.clone(),
        };
        let change = deps.zip(other_actors).ok_or(Refusal::MissingDeps).and_then(|(mut deps, mut other_actors)| {
            deps.sort_unstable();
            other_actors.sort_unstable();
            let parts = Parts {
                deps,
                actor,
                seq: self.columns.seq[index],
                start_op: self.columns.start_op[index],
                time_s: self.time_s,
                message: self.columns.message[index].clone(),
                other_actors,
                columns,
            };
            let change = if derived { Change::derive(&document, parts) } else { Change::build(parts) }?;
            match self.columns.own.get(index) {
                Some(own) if *own != change.hash().0 => Err(ChangeFault::Hash.into()),
                _ => Ok(change),
            }
        });
        if let Ok(change) = &change {
            let parts = change.parts();
            self.own.insert((place, parts.actor.clone(), parts.seq), change.hash());
        }
        self.done.push((record, change));
        Ok(())
    }

    /// `None` when one of them is not to be found.
    fn deps(
        &mut self,
        index: usize,
        place: u32,
        record: &RecordId,
        hash_of: &mut impl FnMut(&RecordId, &ActorId, u64) -> Option<ChangeHash>,
    ) -> Result<Option<Vec<ChangeHash>>, BatchFault> {
        let count = self.columns.dep_count[index] as usize;
        let from = self.deps_used;
        self.deps_used += count;
        let mut deps = Some(Vec::with_capacity(count));
        for at in from..from + count {
            let value = self.columns.dep_value[at];
            let hash = match self.columns.dep_kind[at] {
                0 => self.back(index, value)?.map(Change::hash),
                1 => {
                    let hash = usize::try_from(value).ok().and_then(|value| self.columns.hashes.get(value));
                    Some(ChangeHash(*hash.ok_or(BatchFault::Malformed("no such hash"))?))
                }
                kind => {
                    let actor = self.actor(kind - 2)?.clone();
                    let own = self.own.get(&(place, actor.clone(), value)).copied();
                    own.or_else(|| hash_of(record, &actor, value))
                }
            };
            match (hash, &mut deps) {
                (Some(hash), Some(deps)) => deps.push(hash),
                _ => deps = None,
            }
        }
        Ok(deps)
    }

    fn others(&mut self, index: usize) -> Result<Option<Vec<ActorId>>, BatchFault> {
        let count = self.columns.other_count[index] as usize;
        let from = self.others_used;
        self.others_used += count;
        let mut others = Some(Vec::with_capacity(count));
        for code in &self.columns.other[from..from + count] {
            let actor = match code & 1 {
                0 => Some(self.actor(code >> 1)?.clone()),
                _ => self.back(index, u64::from(code >> 1))?.map(|change| change.parts().actor.clone()),
            };
            match (actor, &mut others) {
                (Some(actor), Some(others)) => others.push(actor),
                _ => others = None,
            }
        }
        Ok(others)
    }

    fn actor(&self, place: u32) -> Result<&ActorId, BatchFault> {
        self.actors.get(place as usize).ok_or(BatchFault::Malformed("no such actor"))
    }

    /// The change so many places before `index`; `None` when it was no change.
    fn back(&self, index: usize, count: u64) -> Result<Option<&Change>, BatchFault> {
        let place = usize::try_from(count).ok().filter(|count| *count > 0).and_then(|count| index.checked_sub(count));
        let (_, change) =
            place.and_then(|place| self.done.get(place)).ok_or(BatchFault::Malformed("no such change"))?;
        Ok(change.as_ref().ok())
    }
}
