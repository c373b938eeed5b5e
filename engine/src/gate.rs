//! The admission gate: a document's lineage, and whether a change may join it. Works on change headers alone, so the
//! relay admits without Automerge. Must not know records, storage or the wire.

use crate::change::{Change, ChangeFault, OP_COUNTER_MAX};
use crate::codec::{self, Computed, Decode, Encode};
use crate::digest::Digest;
use crate::id::{ActorId, ChangeHash, DocumentId, LogSeq};
use std::collections::HashMap;

/// The most changes one document may have. Its lineage is one row of about 40 bytes a change, 70 at worst.
pub const DOCUMENT_CHANGES_MAX: usize = 100_000;
/// The most ops all changes of one document may hold: 60 bytes can stand for 50,000, which take 20 MB of memory.
pub const DOCUMENT_OPS_MAX: u64 = 1 << 19;
/// The most bytes of content all changes of one document may hold, as [`Change::content_bytes`] counts them.
pub const DOCUMENT_CONTENT_BYTES_MAX: u64 = 4 << 20;

/// So many actors, or of the latest changes, are looked through before an index is made.
const SCAN_MAX: usize = 1024;

/// Why a change was set aside. A closed list: it travels on the wire and is kept with the change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// Its bytes are not a strict change chunk.
    #[error("the change is malformed ({0})")]
    Malformed(String),
    /// Its hash does not fit its content.
    #[error("the change's hash does not match its content")]
    Hash,
    /// Over a limit.
    #[error("the change is over the limit of {limit_max} {limit}")]
    TooLarge {
        /// Which limit, with its unit.
        limit: String,
        /// The limit.
        limit_max: u64,
    },
    /// It follows changes that are not here.
    #[error("the change follows another one that is missing")]
    MissingDeps,
    /// Not the actor's next change.
    #[error("the change is number {found} of its author, number {expected} is due")]
    SeqGap {
        /// The number due.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// Its first op does not follow what it builds on.
    #[error("the change begins at op {found}, op {expected} is due")]
    StartOp {
        /// The counter due.
        expected: u64,
        /// The counter found.
        found: u64,
    },
    /// The actor has used this number for other content: a copied or restored store.
    #[error("two different changes carry the same author and number: a store was copied or restored")]
    Forked,
    /// It claims to be derived from its content and is not.
    #[error("the change claims a derived author that its content does not give")]
    DerivedActor,
    /// The document is full.
    #[error("the record has reached its limit of {DOCUMENT_CHANGES_MAX} changes")]
    DocumentFull,
    /// Automerge could not apply it on a copy, or not save and load the result.
    #[error("the change breaks the record: it was tried on a copy and failed")]
    Poison,
    /// It comes after a change of the same record that was set aside, or in one push with one that is forked.
    #[error("the change waits behind an earlier one of its record that was set aside")]
    Waits,
    /// The token may read only.
    #[error("the token may read but not write")]
    RoleTooLow,
    /// The token may not write in this collection.
    #[error("the token may not write in this collection")]
    CollectionClosed,
}

impl From<ChangeFault> for Refusal {
    fn from(fault: ChangeFault) -> Self {
        match fault {
            ChangeFault::Malformed(what) => Self::Malformed(what.to_owned()),
            ChangeFault::Hash => Self::Hash,
            ChangeFault::TooLarge { limit, limit_max } => Self::TooLarge { limit: limit.to_owned(), limit_max },
            ChangeFault::DerivedActor => Self::DerivedActor,
        }
    }
}

/// What the gate says of a change it does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is here already: nothing to do.
    Known,
    /// It may join.
    New,
}

/// One change of a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Link {
    hash: [u8; 32],
    actor: u32,
    seq: u64,
    max_op: u64,
    at: u64,
}

/// The changes of one document, without their content: enough to admit, to deduplicate and to sum up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode)]
pub struct Lineage {
    /// Places in `links`, ascending.
    heads: Vec<u32>,
    actors: Vec<Vec<u8>>,
    last_seqs: Vec<u64>,
    links: Vec<Link>,
    ops: u64,
    content_bytes: u64,
    index: Computed<Index>,
}

/// A lineage as it was read, before it is seen whether its parts fit each other.
#[derive(Decode)]
struct Read {
    heads: Vec<u32>,
    actors: Vec<Vec<u8>>,
    last_seqs: Vec<u64>,
    links: Vec<Link>,
    ops: u64,
    content_bytes: u64,
}

impl Read {
    fn fits(&self) -> bool {
        let links = self.links.len() as u64;
        self.heads.is_sorted_by(|one, next| one < next)
            && self.heads.last().is_none_or(|last| u64::from(*last) < links)
            && self.last_seqs.len() == self.actors.len()
            && self.last_seqs.iter().all(|seq| *seq <= links)
            && self.links.iter().all(|link| (link.actor as usize) < self.actors.len() && link.max_op <= OP_COUNTER_MAX)
            && self.ops <= OP_COUNTER_MAX
    }
}

impl TryFrom<Read> for Lineage {
    type Error = &'static str;

    fn try_from(read: Read) -> Result<Self, Self::Error> {
        match read.fits() {
            true => {
                let Read { heads, actors, last_seqs, links, ops, content_bytes } = read;
                Ok(Self { heads, actors, last_seqs, links, ops, content_bytes, index: Computed::default() })
            }
            false => Err("the parts of a lineage do not fit each other"),
        }
    }
}

codec::decode_checked!(Lineage, Read);

/// Places in a long lineage.
#[derive(Debug, Clone, Default)]
struct Index {
    actors: HashMap<Vec<u8>, u32>,
    by_hash: HashMap<[u8; 32], u32>,
    by_seq: HashMap<(u32, u64), u32>,
}

impl Index {
    fn add(&mut self, place: u32, link: &Link, actor: &[u8]) {
        self.actors.entry(actor.to_vec()).or_insert(link.actor);
        self.by_hash.insert(link.hash, place);
        self.by_seq.insert((link.actor, link.seq), place);
    }
}

impl Lineage {
    /// Whether `change` may join the lineage of `document`.
    pub fn check(&self, document: &DocumentId, change: &Change) -> Result<Admission, Refusal> {
        let parts = change.parts();
        let last_seq = self.last_seq(&parts.actor);
        if parts.seq <= last_seq {
            return match self.hash_of(&parts.actor, parts.seq) == Some(change.hash()) {
                true => Ok(Admission::Known),
                false => Err(Refusal::Forked),
            };
        }
        change.check_derived(document)?;
        let mut expected = 1;
        for dep in &parts.deps {
            let link = self.link(dep).ok_or(Refusal::MissingDeps)?;
            expected = expected.max(link.max_op + 1);
        }
        if parts.seq != last_seq + 1 {
            return Err(Refusal::SeqGap { expected: last_seq + 1, found: parts.seq });
        }
        if parts.start_op != expected {
            return Err(Refusal::StartOp { expected, found: parts.start_op });
        }
        // An actor that does not follow its own last change would name two ops alike.
        let own = self.place_by_seq(&parts.actor, last_seq).map_or(0, |place| self.links[place].max_op);
        if parts.start_op <= own {
            return Err(Refusal::StartOp { expected: own + 1, found: parts.start_op });
        }
        self.check_totals(change)?;
        Ok(Admission::New)
    }

    fn check_totals(&self, change: &Change) -> Result<(), Refusal> {
        let over = |limit: &str, limit_max| Err(Refusal::TooLarge { limit: limit.to_owned(), limit_max });
        match () {
            _ if self.links.len() >= DOCUMENT_CHANGES_MAX => Err(Refusal::DocumentFull),
            _ if self.ops + change.ops() > DOCUMENT_OPS_MAX => over("ops in one record", DOCUMENT_OPS_MAX),
            _ if self.content_bytes.saturating_add(change.content_bytes()) > DOCUMENT_CONTENT_BYTES_MAX => {
                over("bytes in one record", DOCUMENT_CONTENT_BYTES_MAX)
            }
            _ => Ok(()),
        }
    }

    /// Adds a change that [`Lineage::check`] found new; `at` is its log entry, or 0 where there is none.
    pub fn extend(&mut self, change: &Change, at: LogSeq) {
        let parts = change.parts();
        for dep in &parts.deps {
            let head = self.place(dep).and_then(|place| self.heads.binary_search(&(place as u32)).ok());
            head.map(|head| self.heads.remove(head));
        }
        let actor = self.actor(&parts.actor).unwrap_or_else(|| {
            self.actors.push(parts.actor.as_bytes().to_vec());
            self.last_seqs.push(0);
            self.actors.len() - 1
        });
        self.last_seqs[actor] = parts.seq;
        self.ops += change.ops();
        self.content_bytes = self.content_bytes.saturating_add(change.content_bytes());
        let (hash, seq, max_op) = (change.hash().0, parts.seq, change.max_op());
        let (place, link) = (self.links.len() as u32, Link { hash, actor: actor as u32, seq, max_op, at: at.0 });
        if let Some(index) = self.index.0.get_mut() {
            index.add(place, &link, parts.actor.as_bytes());
        }
        self.links.push(link);
        self.heads.push(place);
    }

    /// The changes nothing follows, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.heads.iter().map(|place| ChangeHash(self.links[*place as usize].hash)).collect();
        heads.sort_unstable();
        heads
    }

    /// The document's leaf in the digest.
    pub fn leaf(&self, document: &DocumentId) -> Digest {
        Digest::leaf(document, &self.heads())
    }

    /// The counter of the first op of a change that follows all others.
    pub fn next_op(&self) -> u64 {
        self.heads.iter().map(|place| self.links[*place as usize].max_op).max().unwrap_or(0) + 1
    }

    /// The place of an actor among those of the lineage.
    pub fn actor_place(&self, actor: &ActorId) -> Option<u32> {
        self.actor(actor).map(|place| place as u32)
    }

    /// The actor at a place.
    pub fn actor_at(&self, place: u32) -> Option<ActorId> {
        ActorId::from_bytes(self.actors.get(place as usize)?)
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The number of the actor's last change; 0 for an actor unknown here.
    pub fn last_seq(&self, actor: &ActorId) -> u64 {
        self.actor(actor).map_or(0, |actor| self.last_seqs[actor])
    }

    /// The change of this actor with this number.
    pub fn hash_of(&self, actor: &ActorId, seq: u64) -> Option<ChangeHash> {
        self.place_by_seq(actor, seq).map(|place| ChangeHash(self.links[place].hash))
    }

    /// Who made the change, and its number among theirs.
    pub fn place_of(&self, hash: &ChangeHash) -> Option<(ActorId, u64)> {
        let link = self.link(hash)?;
        Some((ActorId::from_bytes(&self.actors[link.actor as usize])?, link.seq))
    }

    /// Whether the change is here.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.link(hash).is_some()
    }

    /// Its changes, each with the log entry it came in.
    pub fn changes(&self) -> impl Iterator<Item = (ChangeHash, LogSeq)> + '_ {
        self.links.iter().map(|link| (ChangeHash(link.hash), LogSeq(link.at)))
    }

    fn link(&self, hash: &ChangeHash) -> Option<&Link> {
        self.place(hash).map(|place| &self.links[place])
    }

    fn actor(&self, actor: &ActorId) -> Option<usize> {
        match self.actors.len() > SCAN_MAX {
            true => self.index().actors.get(actor.as_bytes()).map(|actor| *actor as usize),
            false => self.actors.iter().position(|known| known == actor.as_bytes()),
        }
    }

    fn place(&self, hash: &ChangeHash) -> Option<usize> {
        let indexed = || self.index().by_hash.get(&hash.0).map(|place| *place as usize);
        self.scan(|link| link.hash == hash.0, indexed)
    }

    fn place_by_seq(&self, actor: &ActorId, seq: u64) -> Option<usize> {
        let actor = self.actor(actor)? as u32;
        let indexed = || self.index().by_seq.get(&(actor, seq)).map(|place| *place as usize);
        self.scan(|link| link.actor == actor && link.seq == seq, indexed)
    }

    /// Looks through the latest changes, and into the index for the others.
    fn scan(&self, is: impl Fn(&Link) -> bool, indexed: impl FnOnce() -> Option<usize>) -> Option<usize> {
        let latest = self.links.len().saturating_sub(SCAN_MAX);
        let found = self.links[latest..].iter().rposition(is).map(|place| latest + place);
        found.or_else(|| if latest > 0 { indexed() } else { None })
    }

    fn index(&self) -> &Index {
        self.index.0.get_or_init(|| {
            let mut index = Index::default();
            for (place, link) in self.links.iter().enumerate() {
                index.add(place as u32, link, &self.actors[link.actor as usize]);
            }
            index
        })
    }
}
