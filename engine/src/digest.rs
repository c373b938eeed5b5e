//! A set hash: equal digests mean equal sets. Must not know what the members are made of.
//!
//! The digest of a set is the sum of its members' SHA-256 leaves modulo 2^256, so members come and go in any order
//! at constant cost. It compares honest copies; it is not meant to withstand someone who can choose a billion members.

use crate::id::{ChangeHash, DocumentId};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A sum of leaves, little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The leaf of one document at these heads, which must be sorted. No heads, no leaf.
    pub fn leaf(document: &DocumentId, heads: &[ChangeHash]) -> Self {
        if heads.is_empty() {
            return Self::default();
        }
        let mut hash = Sha256::new();
        hash.update(b"comptoir.leaf.1");
        hash.update(document.0);
        heads.iter().for_each(|head| hash.update(head.0));
        Self(hash.finalize().into())
    }

    /// The digest with `other`'s members too.
    pub fn plus(self, other: Self) -> Self {
        let mut sum = [0; 32];
        let mut carry = 0u16;
        for (index, byte) in sum.iter_mut().enumerate() {
            carry += u16::from(self.0[index]) + u16::from(other.0[index]);
            *byte = carry as u8;
            carry >>= 8;
        }
        Self(sum)
    }

    /// The digest without `other`'s members.
    pub fn minus(self, other: Self) -> Self {
        let negated = Self(other.0.map(|byte| !byte));
        let mut one = [0; 32];
        one[0] = 1;
        self.plus(negated).plus(Self(one))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
