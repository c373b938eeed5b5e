//! Chunks that are out of form are refused: lengths, numbers, columns, runs and texts. Must not test limits.

use super::inverse::assert_inverse;
use super::{body, cheap, chunk, columns, fault, malformed, parse_columns, puts, sample, sleb, unsigned, with};
use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT};
use comptoir_engine::change::{Change, ChangeFault};
use sha2::{Digest as _, Sha256};

#[test]
fn the_handmade_change_is_one_that_automerge_takes_too() {
    let theirs = automerge::Change::try_from(&sample()[..]).unwrap();
    assert_inverse(&theirs);
    assert_eq!(theirs.len(), 2);
    assert!(malformed(&Change::parse(&[]).unwrap_err()));
}

#[test]
fn every_prefix_and_every_longer_form_of_a_change_is_refused() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(malformed(&cheap(&bytes[..end]).unwrap_err()), "cut at {end}");
    }
    assert!(malformed(&cheap(&[&bytes[..], &[0]].concat()).unwrap_err()));
    // Extra bytes inside the chunk, behind the columns, which Automerge would keep.
    let extra = [&body(&columns(&puts(2)))[..], b"extra"].concat();
    assert!(malformed(&cheap(&chunk(1, &extra)).unwrap_err()));
}

#[test]
fn a_wrong_checksum_is_refused_as_such() {
    for at in 4..8 {
        let mut bytes = sample();
        bytes[at] ^= 1;
        assert_eq!(cheap(&bytes), Err(ChangeFault::Hash));
    }
    let mut bytes = sample();
    let last = bytes.len() - 20;
    bytes[last] = b'z';
    assert!(cheap(&bytes).is_err());
}

#[test]
fn documents_bundles_and_compressed_changes_are_refused() {
    for kind in [0, 2, 3, 4, 255] {
        let bytes = chunk(kind, &body(&columns(&puts(2))));
        assert!(malformed(&cheap(&bytes).unwrap_err()), "chunk type {kind}");
    }
    let mut doc = Automerge::new();
    let mut tx = doc.transaction();
    tx.put(ROOT, "long", "x".repeat(4000)).unwrap();
    tx.commit();
    assert!(malformed(&cheap(&doc.save()).unwrap_err()));
    let mut change = doc.get_changes(&[]).remove(0);
    let deflated = change.bytes().into_owned();
    assert_eq!(deflated[8], 2);
    assert!(malformed(&cheap(&deflated).unwrap_err()));
}

/// The number in one more byte than it needs.
fn longer(value: u8, sign: bool) -> Vec<u8> {
    vec![value | 0x80, if sign { 0x7f } else { 0 }]
}

#[test]
fn numbers_that_are_not_in_their_shortest_form_are_refused_everywhere() {
    let plain = body(&columns(&puts(2)));
    // Count of deps, length of the actor, seq, start op, time, length of the message, count of actors, of columns.
    for at in [0, 1, 18, 19, 20, 21, 22, 23] {
        let stretched = [&plain[..at], &longer(plain[at], false), &plain[at + 1..]].concat();
        assert!(malformed(&cheap(&chunk(1, &stretched)).unwrap_err()), "at {at}");
    }
    let negative = [&plain[..20], &longer(0x7f, true), &plain[21..]].concat();
    assert!(malformed(&cheap(&chunk(1, &negative)).unwrap_err()));
    // The chunk's own length.
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
    bytes.extend(longer(plain.len() as u8, false));
    bytes.extend_from_slice(&plain);
    let hash = Sha256::digest(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    assert!(malformed(&cheap(&bytes).unwrap_err()));
    // Inside the columns: run lengths and values, unsigned, signed and boolean.
    let ops = [&longer(2, false)[..], &[1]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, ops))));
    let action = [&sleb(2)[..], &longer(1, false)].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, action))));
    assert!(malformed(&fault(&with(puts(2), 0x34, longer(2, false)))));
    assert!(malformed(&fault(&with(puts(2), 0x13, [&sleb(2)[..], &longer(0x7f, true)].concat()))));
}

#[test]
fn numbers_past_64_bits_are_refused() {
    let wide = [0xff; 10];
    let over = [&[0xff; 9][..], &[2]].concat();
    for number in [&wide[..], &over[..], &[0xff; 40]] {
        let bytes = [number, &[0; 40]].concat();
        assert!(malformed(&cheap(&chunk(1, &bytes)).unwrap_err()));
        assert!(malformed(&fault(&with(puts(2), 0x42, number.to_vec()))));
        assert!(malformed(&fault(&with(puts(2), 0x34, number.to_vec()))));
    }
}

#[test]
fn columns_of_unknown_kind_out_of_order_or_twice_are_refused() {
    for spec in [0x00, 0x03, 0x43, 0x57 + 0x10, 0xa4, 0xb5, 0x1042, u64::MAX] {
        assert!(malformed(&fault(&with(puts(2), spec, vec![2, 1]))), "spec {spec:#x}");
    }
    let deflated: Vec<_> = puts(2).into_iter().map(|(spec, data)| (spec | 8, data)).collect();
    assert!(malformed(&fault(&deflated)));
    let mut swapped = puts(2);
    swapped.swap(0, 1);
    assert!(malformed(&fault(&swapped)));
    let mut twice = puts(2);
    twice.insert(2, twice[2].clone());
    assert!(malformed(&fault(&twice)));
}

#[test]
fn values_are_as_long_as_their_lengths_say() {
    let meta = |length: u64| [sleb(2), unsigned(length << 4 | 6)].concat();
    for length in [1, 3, 1 << 20, u64::MAX >> 4] {
        assert!(malformed(&fault(&with(with(puts(2), 0x56, meta(length)), 0x57, b"abcd".to_vec()))), "{length}");
    }
    assert!(malformed(&fault(&with(puts(2), 0x56, meta(2)))));
    assert!(parse_columns(&with(with(puts(2), 0x56, meta(2)), 0x57, b"abcd".to_vec())).is_ok());
}

#[test]
fn empty_runs_and_empty_boolean_runs_are_refused() {
    assert!(malformed(&fault(&with(puts(2), 0x42, vec![2, 1, 0, 0]))));
    assert!(malformed(&fault(&with(puts(2), 0x42, vec![0, 0, 2, 1]))));
    // Only the first count, of falses, may be nothing, and only before another.
    for runs in [vec![0], vec![1, 0], vec![1, 0, 1], vec![0, 0, 2], vec![0, 1, 0, 1], vec![0; 1000]] {
        assert!(malformed(&fault(&with(puts(2), 0x34, runs.clone()))), "{runs:?}");
    }
    for runs in [vec![2], vec![0, 2], vec![1, 1], vec![]] {
        assert!(parse_columns(&with(puts(2), 0x34, runs.clone())).is_ok(), "{runs:?}");
    }
}

#[test]
fn texts_that_are_not_utf_8_are_refused() {
    assert!(malformed(&fault(&with(puts(2), 0x15, vec![2, 1, 0xff]))));
    let mut broken = body(&columns(&puts(2)));
    broken[21] = 1;
    broken.insert(22, 0xff);
    assert!(malformed(&cheap(&chunk(1, &broken)).unwrap_err()));
}

#[test]
fn actors_of_another_length_are_refused() {
    for length in [0u8, 1, 11, 13, 15, 17, 32, 127] {
        let mut bytes = vec![0, length];
        bytes.resize(2 + usize::from(length), 9);
        bytes.extend_from_slice(&[1, 1, 0, 0, 0, 0]);
        assert!(malformed(&cheap(&chunk(1, &bytes)).unwrap_err()), "{length} bytes");
    }
}
