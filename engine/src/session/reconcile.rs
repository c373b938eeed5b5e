//! Finding the difference between two sets of documents at a cost proportional to it: range-based set
//! reconciliation by the negentropy protocol, version 1. Must not know what is done about the difference.

use crate::digest::Digest;
use crate::id::RecordId;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use std::collections::HashMap;

/// The longest message of either side, in bytes.
pub const PAYLOAD_BYTES_MAX: u64 = 64 << 10;

/// What the other side says does not follow the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the comparison of histories failed: {cause}")]
pub struct ReconcileError {
    /// What was found.
    pub cause: String,
}

impl From<negentropy::Error> for ReconcileError {
    fn from(error: negentropy::Error) -> Self {
        Self { cause: error.to_string() }
    }
}

/// The device's side: it begins and learns the difference.
pub struct Reconcile {
    negentropy: Negentropy<'static, NegentropyStorageVector>,
    records: HashMap<[u8; 32], RecordId>,
    have: Vec<RecordId>,
    need: Vec<[u8; 32]>,
}

/// What each side lacks.
#[derive(Debug, Default)]
pub struct Difference {
    /// Records whose state the relay lacks.
    pub have: Vec<RecordId>,
    /// Leaves of records whose state the device lacks.
    pub need: Vec<[u8; 32]>,
}

impl Reconcile {
    /// Begins with the device's leaves: the state, and the first message.
    pub fn begin(leaves: Vec<(Digest, RecordId)>) -> Result<(Self, Vec<u8>), ReconcileError> {
        let storage = storage(leaves.iter().map(|(leaf, _)| *leaf))?;
        let records = leaves.into_iter().map(|(leaf, record)| (leaf.0, record)).collect();
        let mut negentropy = Negentropy::owned(storage, PAYLOAD_BYTES_MAX)?;
        let payload = negentropy.initiate()?;
        Ok((Self { negentropy, records, have: Vec::new(), need: Vec::new() }, payload))
    }

    /// Takes the relay's answer: the next message, or the difference when it is known.
    pub fn step(&mut self, payload: &[u8]) -> Result<Result<Vec<u8>, Difference>, ReconcileError> {
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = self.negentropy.reconcile_with_ids(payload, &mut have, &mut need)?;
        self.have.extend(have.iter().filter_map(|id| self.records.get(&**id).cloned()));
        self.need.extend(need.iter().map(|id| **id));
        if next.is_none() {
            // They come out of a hash table: the same sets are to give the same messages.
            self.have.sort_unstable();
            self.need.sort_unstable();
        }
        Ok(next
            .ok_or_else(|| Difference { have: std::mem::take(&mut self.have), need: std::mem::take(&mut self.need) }))
    }
}

/// The relay's side: it answers.
pub struct Responder {
    negentropy: Negentropy<'static, NegentropyStorageVector>,
}

impl Responder {
    /// Holds the relay's leaves.
    pub fn new(leaves: impl Iterator<Item = Digest>) -> Result<Self, ReconcileError> {
        Ok(Self { negentropy: Negentropy::owned(storage(leaves)?, PAYLOAD_BYTES_MAX)? })
    }

    /// The answer to a message.
    pub fn answer(&mut self, payload: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        Ok(self.negentropy.reconcile(payload)?)
    }
}

fn storage(leaves: impl Iterator<Item = Digest>) -> Result<NegentropyStorageVector, ReconcileError> {
    let mut storage = NegentropyStorageVector::new();
    for leaf in leaves {
        storage.insert(0, Id::from_byte_array(leaf.0))?;
    }
    storage.seal()?;
    Ok(storage)
}
