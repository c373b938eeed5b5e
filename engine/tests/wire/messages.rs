//! Messages come out as they were written; cut, flipped and lying ones are refused.

use comptoir_engine::codec::CodecError;
use comptoir_engine::gate::Refusal;
use comptoir_engine::wire::message::{Ack, Denial, Entries, Hello, Refused, Role, Welcome};
use comptoir_engine::wire::{FromDevice, FromRelay};
use proptest::collection::vec;
use proptest::prelude::*;

fn from_device() -> Vec<FromDevice> {
    let hello = Hello {
        workspace: "shop".to_owned(),
        device: [1; 16],
        device_name: "till é".to_owned(),
        token: "t".repeat(300),
        cursor: Some(([2; 16], u64::MAX)),
        credit_bytes: 4 << 20,
    };
    vec![
        FromDevice::Hello(Hello { cursor: None, ..hello.clone() }),
        FromDevice::Hello(hello),
        FromDevice::Push { push: 1, offered: false, batch: vec![7; 300] },
        FromDevice::Credit { bytes: u64::MAX },
        FromDevice::Reconcile { payload: Vec::new() },
        FromDevice::Want { leaves: vec![[1; 32]; 3], last: true },
    ]
}

fn from_relay() -> Vec<FromRelay> {
    let refused = vec![
        Refused { index: 0, reason: Refusal::Malformed("x".to_owned()) },
        Refused { index: u32::MAX, reason: Refusal::SeqGap { expected: 1, found: u64::MAX } },
        Refused { index: 1, reason: Refusal::TooLarge { limit: "ops".to_owned(), limit_max: 1 } },
        Refused { index: 2, reason: Refusal::RoleTooLow },
    ];
    vec![
        FromRelay::Welcome(Welcome { epoch: [1; 16], tail: 9, digest: [2; 32], role: Role::Admin }),
        FromRelay::Denied(Denial::OverLimit { limit: "bytes".to_owned(), limit_max: 4 }),
        FromRelay::Denied(Denial::ShuttingDown),
        FromRelay::Ack(Ack { push: 1, through: Some(2), digest: Some([3; 32]), refused }),
        FromRelay::Unclear { push: 3 },
        FromRelay::Entries(Entries { batches: vec![vec![1], vec![], vec![2; 300]], through: 7, digest: None }),
        FromRelay::Reconcile { payload: vec![0x61; 20] },
        FromRelay::Records { batch: vec![1, 0] },
        FromRelay::Reconciled { through: 1, digest: [4; 32] },
    ]
}

/// Reads a frame and writes it again; `None` when it is no message.
type Read = fn(&[u8]) -> Option<Vec<u8>>;

/// Every message as a frame, with its reader.
fn frames() -> Vec<(Vec<u8>, Read)> {
    let device = from_device().into_iter().map(|message| {
        let read: Read = |frame| FromDevice::decode(frame).ok()?.encode().ok();
        (message.encode().unwrap(), read)
    });
    let relay = from_relay().into_iter().map(|message| {
        let read: Read = |frame| FromRelay::decode(frame).ok()?.encode().ok();
        (message.encode().unwrap(), read)
    });
    device.chain(relay).collect()
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in from_device() {
        assert_eq!(FromDevice::decode(&message.encode().unwrap()), Ok(message));
    }
    for message in from_relay() {
        assert_eq!(FromRelay::decode(&message.encode().unwrap()), Ok(message));
    }
}

#[test]
fn cut_and_longer_messages_other_versions_and_unknown_kinds_are_refused() {
    for (frame, read) in frames() {
        for end in 0..frame.len() {
            assert_eq!(read(&frame[..end]), None, "cut at {end}");
        }
        assert_eq!(read(&[&frame[..], &[0]].concat()), None);
        for version in [0, 2, 255] {
            assert_eq!(read(&[&[version], &frame[1..]].concat()), None);
        }
        for kind in [10, 50, 250, 251, 255] {
            assert_eq!(read(&[&[frame[0], kind], &frame[2..]].concat()), None);
        }
    }
    let trailing = [&FromDevice::Credit { bytes: 1 }.encode().unwrap()[..], &[9, 9]].concat();
    assert!(matches!(FromDevice::decode(&trailing), Err(CodecError::Trailing { bytes: 2, .. })));
    assert!(matches!(FromDevice::decode(&[]), Err(CodecError::Empty { .. })));
    assert!(matches!(FromRelay::decode(&[2]), Err(CodecError::Version { found: 2, known: 1, .. })));
    // Unknown variants inside: a role, a denial, a refusal, a presence and a truth value.
    for frame in [&[1, 0, 0, 0, 0][..], &[1, 1, 99], &[1, 2, 1, 0, 0, 1, 0, 99], &[1, 2, 1, 9]] {
        assert!(FromRelay::decode(frame).is_err());
    }
    assert!(FromDevice::decode(&[1, 4, 0, 2]).is_err());
}

#[test]
fn counts_that_lie_in_a_message_cost_no_memory() {
    for (frame, read) in frames() {
        for at in 2..frame.len().min(40) {
            for lie in [&[251, 0xff, 0xff][..], &[252, 0xff, 0xff, 0xff, 0xff], &[253; 9]] {
                let bytes = [&frame[..at], lie, &frame[at + 1..]].concat();
                let cost = allocation_counter::measure(|| drop(read(&bytes)));
                assert!(cost.bytes_max < 9 << 20, "{} bytes", cost.bytes_max);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn flipped_messages_never_panic(flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4)) {
        for (mut frame, read) in frames() {
            for (at, bit) in &flips {
                let at = at.index(frame.len());
                frame[at] ^= 1 << bit;
            }
            let _ = read(&frame);
        }
    }
}
