//! The limits of a change, and that a few bytes which stand for much are refused before they cost much.

use super::{
    TIME, body, cheap, chunk, columns, fault, malformed, parse_columns, puts, sleb, too_large, uleb, unsigned, with,
};
use comptoir_engine::change::{CHANGE_BYTES_MAX, Change, DEPS_MAX, OP_COUNTER_MAX, OPS_MAX, Parts};
use comptoir_engine::id::{ActorId, ChangeHash};

#[test]
fn a_few_bytes_never_stand_for_millions_of_ops() {
    for count in [OPS_MAX as i64 + 1, 10_000_000, i64::from(u32::MAX), i64::MAX] {
        assert!(too_large(&fault(&puts(count))), "{count} ops");
    }
    // As nulls, and as a run so long that the sum overflows.
    let nulls = [&[0][..], &unsigned(10_000_000)].concat();
    assert!(too_large(&fault(&with(puts(2), 0x42, nulls))));
    let twice_max = [sleb(i64::MAX), vec![1], sleb(i64::MAX), vec![2], sleb(i64::MAX), vec![1]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x42, twice_max))));
    // A literal run that claims more items than there are bytes.
    assert!(malformed(&fault(&with(puts(2), 0x42, [sleb(i64::MIN), vec![1, 1]].concat()))));
    // Every other column is held to the ops.
    for (spec, item) in [(0x01, 0), (0x02, 1), (0x11, 0), (0x13, 1), (0x15, 0), (0x56, 0), (0x70, 0), (0xa5, 0)] {
        let bomb = [sleb(10_000_000), vec![item]].concat();
        assert!(parse_columns(&with(puts(2), spec, bomb)).is_err(), "spec {spec:#x}");
    }
    for spec in [0x34, 0x94] {
        assert!(parse_columns(&with(puts(2), spec, unsigned(10_000_000))).is_err(), "spec {spec:#x}");
    }
    assert_eq!(parse_columns(&puts(OPS_MAX as i64)).unwrap().ops(), OPS_MAX);
}

#[test]
fn a_few_bytes_never_stand_for_millions_of_predecessors() {
    for each in [OPS_MAX, 10_000_000, u64::MAX / 2, u64::MAX] {
        let counts = [sleb(2), unsigned(each)].concat();
        assert!(parse_columns(&with(puts(2), 0x70, counts)).is_err(), "{each} each");
    }
    let ids = with(with(puts(2), 0x71, [sleb(9), vec![0]].concat()), 0x73, [sleb(9), vec![1]].concat());
    assert!(malformed(&fault(&ids)));
}

#[test]
fn content_counts_a_name_as_often_as_ops_carry_it() {
    assert_eq!(parse_columns(&puts(1)).unwrap().content_bytes(), columns(&puts(1)).len() as u64);
    let name = [sleb(1000), unsigned(3), b"abc".to_vec()].concat();
    let many = with(puts(1000), 0x15, name);
    assert_eq!(parse_columns(&many).unwrap().content_bytes(), columns(&many).len() as u64 + 999 * 3);
    let literals = [sleb(-2), unsigned(1), b"a".to_vec(), unsigned(2), b"bc".to_vec()].concat();
    let few = with(puts(2), 0x15, literals);
    assert_eq!(parse_columns(&few).unwrap().content_bytes(), columns(&few).len() as u64);
}

fn parts() -> Parts {
    Parts {
        deps: Vec::new(),
        actor: ActorId::ordinary([7; 16]),
        seq: 1,
        start_op: 1,
        time_s: 0,
        message: String::new(),
        other_actors: Vec::new(),
        columns: columns(&puts(2)),
    }
}

#[test]
fn the_limits_hold_exactly() {
    let hash = |index: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(index as u64).to_be_bytes());
        ChangeHash(hash)
    };
    let deps = |count: usize| Parts { deps: (0..count).map(hash).collect(), ..parts() };
    assert!(Change::build(deps(DEPS_MAX)).is_ok());
    assert!(too_large(&Change::build(deps(DEPS_MAX + 1)).unwrap_err()));
    let start = |start_op: u64| Parts { start_op, ..parts() };
    assert!(Change::build(start(OP_COUNTER_MAX - 2)).is_ok());
    for start_op in [OP_COUNTER_MAX - 1, u64::from(u32::MAX), u64::MAX] {
        assert!(too_large(&Change::build(start(start_op)).unwrap_err()), "{start_op}");
    }
    assert!(malformed(&Change::build(start(0)).unwrap_err()));
    assert!(malformed(&Change::build(Parts { seq: 0, ..parts() }).unwrap_err()));
    assert!(too_large(&Change::build(Parts { message: "m".repeat(1025), ..parts() }).unwrap_err()));
    for time_s in [TIME + 1, -TIME - 1, i64::MAX, i64::MIN] {
        assert!(too_large(&Change::build(Parts { time_s, ..parts() }).unwrap_err()), "{time_s}");
    }
    assert!(Change::build(Parts { time_s: -TIME, ..parts() }).is_ok());
    let over = vec![0; CHANGE_BYTES_MAX + 1];
    assert!(too_large(&cheap(&over).unwrap_err()));
}

#[test]
fn dependencies_and_actors_stand_sorted_and_once() {
    let deps = |deps: [u8; 2]| Parts { deps: deps.map(|byte| ChangeHash([byte; 32])).to_vec(), ..parts() };
    assert!(Change::build(deps([1, 2])).is_ok());
    assert!(malformed(&Change::build(deps([2, 1])).unwrap_err()));
    assert!(malformed(&Change::build(deps([1, 1])).unwrap_err()));
    let others =
        |bytes: [u8; 2]| Parts { other_actors: bytes.map(|byte| ActorId::ordinary([byte; 16])).to_vec(), ..parts() };
    assert!(Change::build(others([1, 9])).is_ok());
    assert!(malformed(&Change::build(others([9, 1])).unwrap_err()));
    assert!(malformed(&Change::build(others([1, 1])).unwrap_err()));
    assert!(malformed(&Change::build(others([1, 7])).unwrap_err()), "its own actor among the others");
}

#[test]
fn counts_that_lie_cost_nothing() {
    for lie in [1 << 20, u64::from(u32::MAX), u64::MAX >> 5, u64::MAX] {
        let deps = [unsigned(lie), vec![0; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &deps)).unwrap_err()));
        let mut plain = body(&[]);
        plain.truncate(22);
        let actors = [plain.clone(), unsigned(lie), vec![16; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &actors)).unwrap_err()));
        let message = [plain[..21].to_vec(), unsigned(lie), vec![b'm'; 200]].concat();
        assert!(malformed(&cheap(&chunk(1, &message)).unwrap_err()));
        let headers = [unsigned(lie), vec![0x42, 1, 1]].concat();
        assert!(malformed(&cheap(&chunk(1, &body(&headers))).unwrap_err()));
        let lengths = [unsigned(1), unsigned(0x42), unsigned(lie), vec![2, 1]].concat();
        assert!(malformed(&cheap(&chunk(1, &body(&lengths))).unwrap_err()));
    }
}

#[test]
fn a_megabyte_of_dependencies_actors_or_literals_stays_cheap() {
    let mut deps = unsigned(30_000);
    deps.resize(30_000 * 32 + 20, 1);
    assert!(cheap(&chunk(1, &deps)).is_err());
    let mut actors = body(&[]);
    actors.truncate(22);
    uleb(&mut actors, 60_000);
    (0..60_000u32).for_each(|index| {
        actors.push(16);
        actors.extend_from_slice(&[0; 12]);
        actors.extend_from_slice(&index.to_be_bytes());
    });
    assert!(cheap(&chunk(1, &actors)).is_err());
    let literals = [sleb(-900_000), vec![1; 900_000]].concat();
    assert!(too_large(&fault(&with(puts(2), 0x42, literals))));
    let empty_texts = [sleb(-900_000), vec![0; 900_000]].concat();
    assert!(malformed(&fault(&with(puts(2), 0x15, empty_texts))));
}
