//! The log's rows: their keys, their values and how they become bytes. Must not know who reads or writes them.
//!
//! ```text
//! key                                        value
//! i                                          IdentityRow: which folder on which machine wrote this log
//! w 00 <workspace>                           WorkspaceRow: epoch, tail, digest, when it was made
//! e 00 <workspace> 00 <seq, u64 BE>          an entry: one push, the batch's own bytes (see engine, wire::batch)
//! d 00 <workspace> 00 <collection> 00 <key>  DocumentRow: the document's lineage; each change with its entry's seq
//! g 00 <workspace> 00 <collection>           CollectionRow: the digest of the collection's records
//! c 00 <workspace>                           CompactedRow: through where short entries have become long ones
//! u 00 <workspace>                           UsageRow: how many entries and bytes there are, as of its tail
//! ```
//!
//! No name contains a zero byte, so the rows of one workspace stand together, in order of seq or of record. The values
//! but the entries begin with a version byte; an entry begins with its batch's. Seqs have gaps where entries became one: a
//! change is in the first entry from its seq on.

use comptoir_engine::codec::{self, CodecError, Decode, Encode, Versioned};
use comptoir_engine::digest::Digest;
use comptoir_engine::gate::Lineage;
use comptoir_engine::id::{LogEpoch, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::time::Timestamp;

/// Which store this log is: a copied or restored one differs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct IdentityRow {
    pub(super) identity: String,
}

impl Versioned for IdentityRow {
    const WHAT: &'static str = "the log's identity";
    const VERSION: u8 = 1;
}

/// Where one workspace's log stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct WorkspaceRow {
    epoch: [u8; 16],
    tail: u64,
    digest: [u8; 32],
    created_ms: i64,
}

impl Versioned for WorkspaceRow {
    const WHAT: &'static str = "a workspace's row";
    const VERSION: u8 = 1;
}

/// One collection's part of the workspace's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct CollectionRow {
    pub(super) digest: [u8; 32],
}

impl Versioned for CollectionRow {
    const WHAT: &'static str = "a collection's row";
    const VERSION: u8 = 1;
}

/// One document's changes, without their content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct DocumentRow {
    pub(super) lineage: Lineage,
}

impl Versioned for DocumentRow {
    const WHAT: &'static str = "a document's row";
    const VERSION: u8 = 1;
}

/// How far one workspace's log is compact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct CompactedRow {
    pub(super) through: u64,
}

impl Versioned for CompactedRow {
    const WHAT: &'static str = "a compacted log's row";
    const VERSION: u8 = 1;
}

/// How much one workspace's log holds. Of another tail than the log's it is out of date.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(super) struct UsageRow {
    pub(super) tail: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// When the last entry came; 0 where that is not known.
    pub(super) at_ms: i64,
}

impl Versioned for UsageRow {
    const WHAT: &'static str = "the row of a log's use";
    const VERSION: u8 = 1;
}

/// The last entry of a log, and the digest of all records there: always one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The last entry; 0 before the first.
    pub tail: LogSeq,
    /// The digest of all records through it.
    pub digest: Digest,
}

impl WorkspaceRow {
    /// A log without entries.
    pub(super) fn new(epoch: LogEpoch, created: Timestamp) -> Self {
        Self { epoch: epoch.0, tail: 0, digest: [0; 32], created_ms: created.unix_ms }
    }

    pub(super) fn epoch(&self) -> LogEpoch {
        LogEpoch(self.epoch)
    }

    pub(super) fn renew(&mut self, epoch: LogEpoch) {
        self.epoch = epoch.0;
    }

    pub(super) fn head(&self) -> Head {
        Head { tail: LogSeq(self.tail), digest: Digest(self.digest) }
    }

    pub(super) fn set_head(&mut self, head: Head) {
        (self.tail, self.digest) = (head.tail.0, head.digest.0);
    }
}

/// The key of the identity.
pub(super) const IDENTITY_KEY: &[u8] = b"i";
/// Where the workspaces' rows begin and end.
pub(super) const WORKSPACES: (&[u8], &[u8]) = (b"w\0", b"w\x01");

pub(super) fn workspace_key(workspace: &WorkspaceId) -> Vec<u8> {
    [b"w\0", workspace.as_str().as_bytes()].concat()
}

pub(super) fn compacted_key(workspace: &WorkspaceId) -> Vec<u8> {
    [b"c\0", workspace.as_str().as_bytes()].concat()
}

pub(super) fn usage_key(workspace: &WorkspaceId) -> Vec<u8> {
    [b"u\0", workspace.as_str().as_bytes()].concat()
}

/// Where a workspace's entries begin and end.
pub(super) fn entries(workspace: &WorkspaceId) -> (Vec<u8>, Vec<u8>) {
    let end = |end: u8| [b"e\0", workspace.as_str().as_bytes(), &[end]].concat();
    (end(0), end(1))
}

/// Where the documents of one collection begin and end.
pub(super) fn documents_of(workspace: &WorkspaceId, collection: &str) -> (Vec<u8>, Vec<u8>) {
    let end = |end: u8| [documents(workspace).0.as_slice(), collection.as_bytes(), &[end]].concat();
    (end(0), end(1))
}

pub(super) fn entry_key(workspace: &WorkspaceId, seq: LogSeq) -> Vec<u8> {
    [b"e\0", workspace.as_str().as_bytes(), b"\0", &seq.0.to_be_bytes()].concat()
}

/// The seq in an entry's key.
pub(super) fn entry_seq(key: &[u8]) -> Option<LogSeq> {
    key.last_chunk().map(|bytes| LogSeq(u64::from_be_bytes(*bytes)))
}

pub(super) fn document_key(workspace: &WorkspaceId, record: &RecordId) -> Vec<u8> {
    let mut key = documents(workspace).0;
    key.extend_from_slice(record.collection.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(record.key.as_str().as_bytes());
    key
}

pub(super) fn collection_key(workspace: &WorkspaceId, collection: &str) -> Vec<u8> {
    let mut key = collections(workspace).0;
    key.extend_from_slice(collection.as_bytes());
    key
}

/// Where the rows of a workspace's collections begin and end.
pub(super) fn collections(workspace: &WorkspaceId) -> (Vec<u8>, Vec<u8>) {
    let end = |end: u8| [b"g\0", workspace.as_str().as_bytes(), &[end]].concat();
    (end(0), end(1))
}

/// Where a workspace's documents begin and end.
pub(super) fn documents(workspace: &WorkspaceId) -> (Vec<u8>, Vec<u8>) {
    let end = |end: u8| [b"d\0", workspace.as_str().as_bytes(), &[end]].concat();
    (end(0), end(1))
}

/// The record that a document's key names.
pub(super) fn record_of(workspace: &WorkspaceId, key: &[u8]) -> Option<RecordId> {
    let names = key.strip_prefix(documents(workspace).0.as_slice())?;
    let (collection, key) = std::str::from_utf8(names).ok()?.split_once('\0')?;
    RecordId::new(collection, key).ok()
}

/// The value's bytes.
pub(super) fn encode<T: Versioned>(value: &T) -> Result<Vec<u8>, CodecError> {
    codec::encode(value)
}

/// The value, or what a new one begins with.
pub(super) fn decode<T: Versioned>(bytes: Option<Vec<u8>>) -> Result<Option<T>, CodecError> {
    bytes.map(|bytes| codec::decode(&bytes)).transpose()
}
