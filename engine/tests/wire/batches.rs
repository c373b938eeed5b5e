//! What is packed comes out as it was, or is refused change by change: by what the receiver has, or has not.

use super::lies::body_of;
use super::{Receiver, STYLES, Step, elsewhere, expect, history, record, step, turns};
use comptoir_engine::change::Change;
use comptoir_engine::gate::{Admission, Refusal};
use comptoir_engine::wire::batch::pack;
use comptoir_engine::wire::{Batch, FromDevice, FromRelay, Item, Style};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_comes_out_as_it_was_in_both_styles(
        steps in vec(step(), 0..60),
        known in any::<prop::sample::Index>(),
    ) {
        let items = history(&steps);
        let (known, fresh) = items.split_at(known.index(items.len() + 1));
        let receiver = Receiver::with(known);
        for style in STYLES {
            let bytes = pack(fresh, style).unwrap();
            prop_assert_eq!(Batch::decode(&bytes).unwrap().len(), fresh.len());
            prop_assert_eq!(Batch::decode(&bytes).unwrap().is_empty(), fresh.is_empty());
            let unpacked = receiver.unpack(&bytes).unwrap();
            prop_assert!(unpacked.clear);
            prop_assert_eq!(unpacked.changes, expect(fresh));
            // Packed again it is the same batch.
            prop_assert_eq!(&pack(fresh, style).unwrap(), &bytes);
        }
    }

    #[test]
    fn a_receiver_that_already_has_some_gets_the_same_changes(
        steps in vec(step(), 0..40),
        known in any::<prop::sample::Index>(),
    ) {
        let items = history(&steps);
        let (known, _) = items.split_at(known.index(items.len() + 1));
        let receiver = Receiver::with(known);
        for style in STYLES {
            let unpacked = receiver.unpack(&pack(&items, style).unwrap()).unwrap();
            prop_assert!(unpacked.clear);
            prop_assert_eq!(unpacked.changes, expect(&items));
        }
    }

    #[test]
    fn damaged_batches_never_panic_and_never_give_another_change(
        steps in vec(step(), 0..30),
        flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        plain in any::<bool>(),
    ) {
        let items = history(&steps);
        for style in STYLES {
            let mut bytes = pack(&items, style).unwrap();
            if plain {
                bytes = [&[1, 0][..], &body_of(&bytes)].concat();
            }
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(unpacked) = Receiver::default().unpack(&bytes) {
                // A clear batch gives the author's changes; their records are not part of their hashes.
                let ours: Vec<_> = items.iter().map(|item| item.change.hash()).collect();
                let rebuilt: Vec<_> = unpacked.changes.iter().flat_map(|(_, change)| change).collect();
                if unpacked.clear && rebuilt.len() == items.len() && style == Style::Compact {
                    prop_assert_eq!(rebuilt.iter().map(|change| change.hash()).collect::<Vec<_>>(), ours);
                }
                for change in rebuilt {
                    prop_assert_eq!(&Change::parse(change.bytes()).unwrap(), change);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_batch_and_no_message(bytes in vec(any::<u8>(), 0..300)) {
        for bytes in [bytes.clone(), [&[1, 0][..], &bytes].concat(), [&[1, 1, 9, 0, 0, 0][..], &bytes].concat()] {
            let _ = Receiver::default().unpack(&bytes);
            let _ = FromDevice::decode(&bytes);
            let _ = FromRelay::decode(&bytes);
        }
    }
}

#[test]
fn only_the_change_whose_dependency_is_missing_is_refused() {
    let items = turns(3);
    let other = elsewhere();
    // The receiver lacks the first edit; the batch holds the third edit, and another record.
    let receiver = Receiver::with(&items[..1]);
    let batch = [&items[2..3], &other[..]].concat();
    let unpacked = receiver.unpack(&pack(&batch, Style::Compact).unwrap()).unwrap();
    assert_eq!(unpacked.changes[0], (record(0), Err(Refusal::MissingDeps)));
    assert_eq!(unpacked.changes[1..], expect(&other));
    assert!(unpacked.clear, "nothing that came out was rebuilt with a hash of the receiver's");

    let unpacked = receiver.unpack(&pack(&batch, Style::Explicit).unwrap()).unwrap();
    assert!(unpacked.clear);
    assert_eq!(unpacked.changes, expect(&batch));
    assert_eq!(receiver.check(&record(0), &batch[0].change), Err(Refusal::MissingDeps));
    assert_eq!(receiver.check(&record(2), &other[0].change), Ok(Admission::New));
}

#[test]
fn what_follows_a_refused_change_in_the_same_batch_is_refused_with_it() {
    let items = turns(4);
    let receiver = Receiver::with(&items[..1]);
    let unpacked = receiver.unpack(&pack(&items[2..], Style::Compact).unwrap()).unwrap();
    assert!(unpacked.changes.iter().all(|(_, change)| *change == Err(Refusal::MissingDeps)));
}

/// The first edit of [`turns`] with other content under the same author and number.
fn forked(items: &[Item]) -> Item {
    let mut parts = items[1].change.parts().clone();
    parts.time_s += 1;
    Item { change: Change::build(parts).unwrap(), ..items[1].clone() }
}

#[test]
fn a_receiver_with_other_content_under_a_used_name_notices_it() {
    let items = turns(3);
    let receiver = Receiver::with(&[items[0].clone(), forked(&items)]);
    let unpacked = receiver.unpack(&pack(&items[2..], Style::Compact).unwrap()).unwrap();
    assert!(!unpacked.clear);
    assert!(unpacked.changes.iter().all(|(_, change)| change.is_ok()));

    let unpacked = receiver.unpack(&pack(&items[1..], Style::Explicit).unwrap()).unwrap();
    assert!(unpacked.clear);
    assert_eq!(unpacked.changes, expect(&items[1..]));
    assert_eq!(receiver.check(&record(0), &items[1].change), Err(Refusal::Forked));
    assert_eq!(receiver.check(&record(0), &items[2].change), Err(Refusal::MissingDeps));
}

#[test]
fn a_missing_dependency_does_not_hide_that_another_record_was_rebuilt_wrongly() {
    let items = turns(3);
    let mut receiver = Receiver::with(&[items[0].clone(), forked(&items)]);
    let edits = [3, 1, 2].map(|ops| Step::Edit { record: 1, by: 0, ops, time_s: 0, message: String::new() });
    let others: Vec<_> = history(&edits).into_iter().filter(|item| item.record == record(1)).collect();
    receiver.take(&others[0]);
    let batch = [items[2].clone(), others[3].clone()];
    let unpacked = receiver.unpack(&pack(&batch, Style::Compact).unwrap()).unwrap();
    assert_eq!(unpacked.changes[1].1, Err(Refusal::MissingDeps));
    assert_ne!(unpacked.changes[0].1.as_ref().unwrap().hash(), items[2].change.hash());
    assert!(!unpacked.clear);
}
