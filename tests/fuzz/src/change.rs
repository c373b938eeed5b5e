//! The strict reader of a change chunk beside Automerge's own. Must not know documents.

use comptoir_engine::change::Change;
use sha2::{Digest as _, Sha256};
use std::panic::catch_unwind;

/// The reader allocates no more than its input, a few times over; Automerge takes some 400 bytes for an op, and 50,000 ops
/// are admitted.
pub const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// A whole chunk; and the body of one, which gets its length and hash, so that what is behind them is reached.
pub fn target(bytes: &[u8]) {
    check(bytes);
    check(&closed(bytes));
}

/// The chunk whose body this is.
pub fn closed(body: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    let mut rest = body.len();
    while rest >= 0x80 {
        length.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    length.push(rest as u8);
    let hashed = [&[1][..], &length, body].concat();
    let hash = Sha256::digest(&hashed);
    [&[0x85, 0x6f, 0x4a, 0x83][..], &hash[..4], &hashed].concat()
}

fn check(bytes: &[u8]) {
    let Ok(change) = Change::parse(bytes) else { return };
    assert_eq!(change.bytes(), bytes, "there is one form of a change");
    let built = Change::build(change.parts().clone()).expect("what was read can be built");
    assert_eq!(built, change);
    // What Automerge makes of the same bytes, where it can read them at all, must be the same change.
    let theirs = catch_unwind(|| automerge::Change::try_from(bytes).ok()).ok().flatten();
    let Some(theirs) = theirs else { return };
    let parts = change.parts();
    assert_eq!(theirs.hash().0, change.hash().0, "the hash");
    assert_eq!((theirs.seq(), theirs.start_op().get()), (parts.seq, parts.start_op), "the numbers");
    assert_eq!(theirs.actor_id().to_bytes(), parts.actor.as_bytes(), "the author");
    assert_eq!(theirs.len() as u64, change.ops(), "the ops");
    assert_eq!(theirs.max_op(), change.max_op(), "the last op");
    let deps = theirs.deps().iter().map(|dep| dep.0).collect::<Vec<_>>();
    assert_eq!(deps, parts.deps.iter().map(|dep| dep.0).collect::<Vec<_>>(), "what it follows");
}
