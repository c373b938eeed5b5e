//! Frames of either side, and what they carry: batches, and messages of a comparison of histories. Must not know sockets.

use crate::shop;
use comptoir_engine::digest::Digest;
use comptoir_engine::session::reconcile::{Reconcile, Responder};
use comptoir_engine::wire::batch::{self, Batch, Style};
use comptoir_engine::wire::{FromDevice, FromRelay};

/// A batch may unpack to 4 MiB and be rebuilt to 16.
pub const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// The first byte says whose frame it is.
pub fn target(bytes: &[u8]) {
    let Some((side, frame)) = bytes.split_first() else { return };
    match side % 3 {
        0 => from_device(frame),
        1 => from_relay(frame),
        _ => batch(frame),
    }
}

fn from_device(frame: &[u8]) {
    let Ok(message) = FromDevice::decode(frame) else { return };
    let again = message.encode().expect("what was read can be written");
    assert_eq!(FromDevice::decode(&again).as_ref(), Ok(&message), "a message reads as it was written");
    match message {
        FromDevice::Push { batch: bytes, .. } => batch(&bytes),
        FromDevice::Reconcile { payload } => {
            let leaves = (0..5).map(|leaf| Digest([leaf * 50; 32]));
            let mut responder = Responder::new(leaves).expect("leaves");
            if responder.answer(&payload).is_ok() {
                // A device may say anything next, so the same again too.
                let _ = responder.answer(&payload);
            }
        }
        _ => {}
    }
}

fn from_relay(frame: &[u8]) {
    let Ok(message) = FromRelay::decode(frame) else { return };
    let again = message.encode().expect("what was read can be written");
    assert_eq!(FromRelay::decode(&again).as_ref(), Ok(&message), "a message reads as it was written");
    match message {
        FromRelay::Entries(entries) => entries.batches.iter().for_each(|bytes| batch(bytes)),
        FromRelay::Records { batch: bytes } => batch(&bytes),
        FromRelay::Reconcile { payload } => {
            let leaf = |number: u8| (Digest([number * 50; 32]), shop::id("products", &number.to_string()));
            let (mut reconcile, _) = Reconcile::begin((0..5).map(leaf).collect()).expect("leaves");
            let _ = reconcile.step(&payload);
        }
        _ => {}
    }
}

/// What can be unpacked can be packed again, and is then the same.
fn batch(bytes: &[u8]) {
    let Ok(read) = Batch::decode(bytes) else { return };
    let Ok(unpacked) = read.unpack(&shop::workspace(), |_, _, _| None) else { return };
    assert_eq!(unpacked.changes.len(), read.len());
    let whole = unpacked.changes.iter().map(|(record, change)| Some(shop::item(record, change.clone().ok()?)));
    let Some(items) = whole.collect::<Option<Vec<_>>>() else { return };
    let Ok(packed) = batch::pack(&items, Style::Explicit) else { return };
    let again = Batch::decode(&packed).and_then(|again| again.unpack(&shop::workspace(), |_, _, _| None));
    let again = again.expect("what was packed here can be read here");
    assert!(again.clear, "with every hash spelled out nothing is open");
    assert_eq!(again.changes, unpacked.changes, "a batch reads as it was written");
}
