//! Batches that no honest device packs, written by hand after the layout in the engine's `wire/batch.rs`. Must not know
//! what a receiver should make of them.

use comptoir_engine::change::{Change, Parts};
use comptoir_engine::id::{ActorId, ChangeHash};
use sha2::{Digest as _, Sha256};

/// A change as it will stand in the batch, following nothing; nothing of it is checked.
#[derive(Debug, Clone)]
pub struct Forged {
    /// Collection and key.
    pub record: (String, String),
    /// Its author.
    pub actor: Vec<u8>,
    /// Its number.
    pub seq: u64,
    /// The counter of its first op.
    pub start_op: u64,
    /// Column headers and data.
    pub columns: Vec<u8>,
    /// The hash it claims, if it claims one; all changes of a batch do or none.
    pub own: Option<[u8; 32]>,
}

impl Forged {
    /// As an honest change says it.
    pub fn of(collection: &str, key: &str, parts: &Parts) -> Self {
        Self {
            record: (collection.to_owned(), key.to_owned()),
            actor: parts.actor.as_bytes().to_vec(),
            seq: parts.seq,
            start_op: parts.start_op,
            columns: parts.columns.clone(),
            own: None,
        }
    }
}

/// A number as bincode's varint.
pub fn number(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=250 => out.push(value as u8),
        251..=0xffff => {
            out.push(251);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(252);
            out.extend_from_slice(&(value as u32).to_le_bytes());
        }
        _ => {
            out.push(253);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

fn numbers(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let values: Vec<u64> = values.collect();
    number(out, values.len() as u64);
    values.into_iter().for_each(|value| number(out, value));
}

fn blobs<'a>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = &'a [u8]>) {
    number(out, values.len() as u64);
    for value in values {
        number(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// The plain form of a batch; its check is over the hashes that its changes claim.
pub fn batch(changes: &[Forged]) -> Vec<u8> {
    let mut out = vec![1, 0, 1];
    blobs(&mut out, changes.iter().map(|change| change.actor.as_slice()));
    numbers(&mut out, [].into_iter());
    blobs(&mut out, changes.iter().map(|change| change.record.0.as_bytes()));
    numbers(&mut out, 0..changes.len() as u64);
    blobs(&mut out, changes.iter().map(|change| change.record.1.as_bytes()));
    let each = |of: fn(&Forged) -> u64| changes.iter().map(of);
    numbers(&mut out, 0..changes.len() as u64);
    numbers(&mut out, 1..changes.len() as u64 + 1);
    numbers(&mut out, each(|change| change.seq));
    numbers(&mut out, each(|change| change.start_op));
    numbers(&mut out, each(|_| 0));
    blobs(&mut out, changes.iter().map(|_| &[][..]));
    numbers(&mut out, each(|_| 0));
    numbers(&mut out, [].into_iter());
    numbers(&mut out, [].into_iter());
    numbers(&mut out, each(|_| 0));
    numbers(&mut out, [].into_iter());
    numbers(&mut out, each(|change| change.columns.len() as u64));
    let columns: Vec<u8> = changes.iter().flat_map(|change| change.columns.clone()).collect();
    number(&mut out, columns.len() as u64);
    out.extend_from_slice(&columns);
    let own: Vec<[u8; 32]> = changes.iter().filter_map(|change| change.own).collect();
    number(&mut out, own.len() as u64);
    own.iter().for_each(|own| out.extend_from_slice(own));
    out.extend_from_slice(&Sha256::digest(own.concat())[..8]);
    out
}

/// The hashes of the copies in [`following`]; none where the copies are no changes.
fn owns(change: &Forged, changes: usize, deps: usize) -> Vec<[u8; 32]> {
    let parts = |number: usize| Parts {
        deps: vec![ChangeHash([9; 32]); deps],
        actor: ActorId::from_bytes(&change.actor).expect("an actor"),
        seq: number as u64,
        start_op: change.start_op,
        time_s: 0,
        message: String::new(),
        other_actors: Vec::new(),
        columns: change.columns.clone(),
    };
    (1..=changes).map_while(|number| Some(Change::build(parts(number)).ok()?.hash().0)).collect()
}

/// A zstd batch that says it unpacks to `claimed` bytes and unpacks to `real` zeros.
pub fn bomb(claimed: u32, real: usize) -> Vec<u8> {
    let mut out = vec![1, 1];
    out.extend_from_slice(&claimed.to_le_bytes());
    out.extend(zstd::bulk::compress(&vec![0; real], 3).expect("zeros compress"));
    out
}

/// A compressed batch of copies of a change, each under a number of its own and naming `deps` others, all by one unknown hash.
pub fn following(change: &Forged, changes: usize, deps: usize) -> Vec<u8> {
    let count = changes as u64;
    let same = |value: u64| std::iter::repeat_n(value, changes);
    let mut out = Vec::new();
    blobs(&mut out, [change.actor.as_slice()].into_iter());
    number(&mut out, 1);
    out.extend_from_slice(&[9; 32]);
    blobs(&mut out, [change.record.0.as_bytes()].into_iter());
    numbers(&mut out, [0].into_iter());
    blobs(&mut out, [change.record.1.as_bytes()].into_iter());
    numbers(&mut out, same(0));
    numbers(&mut out, same(1));
    numbers(&mut out, 1..=count);
    numbers(&mut out, same(change.start_op));
    numbers(&mut out, same(0));
    blobs(&mut out, vec![&[][..]; changes].into_iter());
    numbers(&mut out, same(deps as u64));
    numbers(&mut out, std::iter::repeat_n(1, changes * deps));
    numbers(&mut out, std::iter::repeat_n(0, changes * deps));
    numbers(&mut out, same(0));
    numbers(&mut out, [].into_iter());
    numbers(&mut out, same(change.columns.len() as u64));
    number(&mut out, count * change.columns.len() as u64);
    (0..changes).for_each(|_| out.extend_from_slice(&change.columns));
    let own = owns(change, changes, deps);
    number(&mut out, own.len() as u64);
    own.iter().for_each(|own| out.extend_from_slice(own));
    out.extend_from_slice(&Sha256::digest(own.concat())[..8]);
    let plain = [&[1][..], &out].concat();
    let mut batch = vec![1, 1];
    batch.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    batch.extend(zstd::bulk::compress(&plain, 3).expect("it compresses"));
    batch
}
