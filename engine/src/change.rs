//! An Automerge change chunk, taken apart and put together strictly, without Automerge. Allocates no more than
//! its input. Must not know documents, records or storage.
//!
//! Layout (Automerge binary format, "change chunk", <https://automerge.org/automerge-binary-format-spec>):
//! `85 6f 4a 83 | checksum 4 = hash[0..4] | type 1 | uleb length | body`, hash = SHA-256(type, length, body).
//! Body: deps | actor | seq | start op | time | message | other actors | column headers | column data.

mod columns;
mod leb;
pub mod message;

use crate::id::{ActorId, ChangeHash, DERIVED_ACTOR_BYTES, DocumentId};
use columns::Counts;
use leb::Reader;
use sha2::{Digest as _, Sha256};

pub use columns::OPS_MAX;

/// The longest change, in bytes, uncompressed.
pub const CHANGE_BYTES_MAX: usize = 1 << 20;
/// The most dependencies one change may name.
pub const DEPS_MAX: usize = 256;
/// The most foreign actors one change may refer to.
pub const OTHER_ACTORS_MAX: usize = 1024;
/// The longest commit message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// The highest op counter; Automerge 0.12 panics near 2^32.
pub const OP_COUNTER_MAX: u64 = 1 << 31;
/// The farthest a change's time may be from the epoch, in seconds, past what any clock in milliseconds shows.
/// Automerge 0.12 stores the differences of times and overflows when they pass 64 bits.
pub const TIME_S_MAX: u64 = 1 << 56;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const TYPE_CHANGE: u8 = 1;

/// What is wrong with a change's bytes. Nothing of it has touched a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// Not the strict form of an uncompressed change chunk.
    #[error("the change is malformed: {0}")]
    Malformed(&'static str),
    /// The checksum does not fit the content.
    #[error("the change's hash does not match its content")]
    Hash,
    /// Over one of the limits named in this module.
    #[error("the change is over the limit of {limit_max} {limit}")]
    TooLarge {
        /// Which limit, with its unit.
        limit: &'static str,
        /// The limit.
        limit_max: u64,
    },
    /// A derived actor that the change's content does not give.
    #[error("the change claims a derived actor that its content does not give")]
    DerivedActor,
}

/// What a change says, before it is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The changes it follows directly, sorted.
    pub deps: Vec<ChangeHash>,
    /// Who made it.
    pub actor: ActorId,
    /// Its number among the actor's changes to this document, from 1.
    pub seq: u64,
    /// The counter of its first op.
    pub start_op: u64,
    /// When it was made, in seconds since the Unix epoch, by the author's clock; 0 in derived changes.
    pub time_s: i64,
    /// What [`message::Message`] reads, or empty.
    pub message: String,
    /// The other actors its ops refer to.
    pub other_actors: Vec<ActorId>,
    /// Column headers and column data as Automerge wrote them.
    pub columns: Vec<u8>,
}

/// A change whose form, hash and limits were checked. Its ops were counted, not interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    parts: Parts,
    ops: u64,
    content_bytes: u64,
    bytes: Vec<u8>,
    hash: ChangeHash,
}

impl Change {
    /// Takes a whole chunk apart and checks all of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChangeFault> {
        let parts = split(bytes)?;
        let change = Self::build(parts)?;
        match () {
            _ if bytes.get(4..8) != change.bytes.get(4..8) => Err(ChangeFault::Hash),
            _ if bytes != change.bytes => Err(ChangeFault::Malformed("not the shortest form")),
            _ => Ok(change),
        }
    }

    /// Puts a change together and checks it.
    pub fn build(parts: Parts) -> Result<Self, ChangeFault> {
        check_limits(&parts)?;
        let Counts { ops, repeated_bytes } = columns::count(&parts.columns)?;
        let content_bytes = repeated_bytes.saturating_add(parts.columns.len() as u64);
        if parts.start_op.saturating_add(ops) > OP_COUNTER_MAX {
            return Err(ChangeFault::TooLarge { limit: "op counter", limit_max: OP_COUNTER_MAX });
        }
        let (bytes, hash) = join(&parts);
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(ChangeFault::TooLarge { limit: "bytes", limit_max: CHANGE_BYTES_MAX as u64 });
        }
        Ok(Self { parts, ops, content_bytes, bytes, hash })
    }

    /// Makes the change a derived one of `document`: same content, no time, the actor computed from both.
    /// Two devices that derive the same content get the same change, byte for byte.
    pub fn derive(document: &DocumentId, mut parts: Parts) -> Result<Self, ChangeFault> {
        parts.seq = 1;
        parts.time_s = 0;
        parts.message.clear();
        parts.actor = derived_actor(document, &parts);
        Self::build(parts)
    }

    /// Checks that a derived actor is the one its content gives; ordinary actors pass.
    pub fn check_derived(&self, document: &DocumentId) -> Result<(), ChangeFault> {
        let parts = &self.parts;
        if !parts.actor.is_derived() {
            return Ok(());
        }
        let plain = parts.seq == 1 && parts.time_s == 0 && parts.message.is_empty();
        match plain && parts.actor == derived_actor(document, parts) {
            true => Ok(()),
            false => Err(ChangeFault::DerivedActor),
        }
    }

    /// What it says.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How many ops it holds.
    pub fn ops(&self) -> u64 {
        self.ops
    }

    /// How long its columns are, in bytes, with each name as often as ops carry it: 60 bytes can stand for gigabytes.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The counter of its last op; one less than `start_op` when it has none.
    pub fn max_op(&self) -> u64 {
        self.parts.start_op + self.ops - 1
    }

    /// The whole chunk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its hash.
    pub fn hash(&self) -> ChangeHash {
        self.hash
    }
}

/// SHA-256 over a domain tag, the document and the change's body with an all-zero actor, cut to 12 bytes.
fn derived_actor(document: &DocumentId, parts: &Parts) -> ActorId {
    let zero = ActorId::from_bytes(&[0; DERIVED_ACTOR_BYTES]).unwrap_or_else(|| parts.actor.clone());
    let mut hash = Sha256::new();
    hash.update(b"comptoir.actor.1");
    hash.update(document.0);
    hash.update(body(&Parts { actor: zero, ..parts.clone() }));
    let digest: [u8; 32] = hash.finalize().into();
    ActorId::from_bytes(&digest[..DERIVED_ACTOR_BYTES]).unwrap_or_else(|| parts.actor.clone())
}

fn check_limits(parts: &Parts) -> Result<(), ChangeFault> {
    let over = |limit, count: usize, limit_max: usize| match count > limit_max {
        true => Err(ChangeFault::TooLarge { limit, limit_max: limit_max as u64 }),
        false => Ok(()),
    };
    over("dependencies", parts.deps.len(), DEPS_MAX)?;
    over("actors", parts.other_actors.len(), OTHER_ACTORS_MAX)?;
    over("message bytes", parts.message.len(), MESSAGE_BYTES_MAX)?;
    over("bytes", parts.columns.len(), CHANGE_BYTES_MAX)?;
    if parts.time_s.unsigned_abs() > TIME_S_MAX {
        return Err(ChangeFault::TooLarge { limit: "seconds from 1970", limit_max: TIME_S_MAX });
    }
    if parts.seq == 0 || parts.start_op == 0 {
        return Err(ChangeFault::Malformed("sequence numbers begin at 1"));
    }
    if !parts.deps.is_sorted_by(|a, b| a < b) {
        return Err(ChangeFault::Malformed("dependencies out of order"));
    }
    if !parts.other_actors.is_sorted_by(|a, b| a < b) || parts.other_actors.contains(&parts.actor) {
        return Err(ChangeFault::Malformed("actors out of order"));
    }
    Ok(())
}

fn split(bytes: &[u8]) -> Result<Parts, ChangeFault> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ChangeFault::TooLarge { limit: "bytes", limit_max: CHANGE_BYTES_MAX as u64 });
    }
    let mut chunk = Reader::new(bytes);
    if chunk.take(4)? != MAGIC {
        return Err(ChangeFault::Malformed("not a change chunk"));
    }
    chunk.take(4)?;
    if chunk.take(1)? != [TYPE_CHANGE] {
        return Err(ChangeFault::Malformed("not an uncompressed change"));
    }
    let length = chunk.length()?;
    if length != chunk.rest().len() {
        return Err(ChangeFault::Malformed("its length is not that of its body"));
    }
    let mut body = Reader::new(chunk.rest());
    let deps = (0..body.count(32)?)
        .map(|_| Ok(ChangeHash(body.take(32)?.try_into().map_err(|_| ChangeFault::Malformed("cut short"))?)))
        .collect::<Result<Vec<_>, ChangeFault>>()?;
    let actor = actor(&mut body)?;
    let (seq, start_op, time_s) = (body.unsigned()?, body.unsigned()?, body.signed()?);
    let message_bytes = body.length()?;
    let message = std::str::from_utf8(body.take(message_bytes)?)
        .map_err(|_| ChangeFault::Malformed("its message is not UTF-8"))?
        .to_owned();
    let other_actors = (0..body.count(1)?).map(|_| self::actor(&mut body)).collect::<Result<_, _>>()?;
    Ok(Parts { deps, actor, seq, start_op, time_s, message, other_actors, columns: body.rest().to_vec() })
}

fn actor(body: &mut Reader<'_>) -> Result<ActorId, ChangeFault> {
    let length = body.length()?;
    ActorId::from_bytes(body.take(length)?).ok_or(ChangeFault::Malformed("an actor has 16 or 12 bytes"))
}

fn body(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.columns.len() + 128 + parts.deps.len() * 32);
    leb::write_unsigned(&mut out, parts.deps.len() as u64);
    parts.deps.iter().for_each(|dep| out.extend_from_slice(&dep.0));
    let actor = |out: &mut Vec<u8>, actor: &ActorId| {
        leb::write_unsigned(out, actor.as_bytes().len() as u64);
        out.extend_from_slice(actor.as_bytes());
    };
    actor(&mut out, &parts.actor);
    leb::write_unsigned(&mut out, parts.seq);
    leb::write_unsigned(&mut out, parts.start_op);
    leb::write_signed(&mut out, parts.time_s);
    leb::write_unsigned(&mut out, parts.message.len() as u64);
    out.extend_from_slice(parts.message.as_bytes());
    leb::write_unsigned(&mut out, parts.other_actors.len() as u64);
    parts.other_actors.iter().for_each(|other| actor(&mut out, other));
    out.extend_from_slice(&parts.columns);
    out
}

fn join(parts: &Parts) -> (Vec<u8>, ChangeHash) {
    let body = body(parts);
    let mut out = Vec::with_capacity(body.len() + 16);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.push(TYPE_CHANGE);
    leb::write_unsigned(&mut out, body.len() as u64);
    out.extend_from_slice(&body);
    let hash = ChangeHash(Sha256::digest(&out[8..]).into());
    out[4..8].copy_from_slice(&hash.0[..4]);
    (out, hash)
}
