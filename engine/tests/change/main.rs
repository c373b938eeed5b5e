//! Change chunks: the parser is the inverse of Automerge on everything Automerge makes, and refuses the rest with a
//! typed fault, without a panic, at a cost of a few times its input. Here: chunks made by hand, which need not be right.

mod damage;
mod form;
mod inverse;
mod limits;

use comptoir_engine::change::{Change, ChangeFault, TIME_S_MAX};
use sha2::{Digest as _, Sha256};

const TIME: i64 = TIME_S_MAX as i64;

fn uleb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn sleb(value: i64) -> Vec<u8> {
    let (mut out, mut value) = (Vec::new(), value);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn unsigned(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    uleb(&mut out, value);
    out
}

/// A chunk of the given type with a right length and checksum.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind];
    uleb(&mut out, body.len() as u64);
    out.extend_from_slice(body);
    let hash = Sha256::digest(&out[8..]);
    out[4..8].copy_from_slice(&hash[..4]);
    out
}

/// Column headers and data.
fn columns(columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = unsigned(columns.len() as u64);
    for (spec, data) in columns {
        uleb(&mut out, *spec);
        uleb(&mut out, data.len() as u64);
    }
    columns.iter().for_each(|(_, data)| out.extend_from_slice(data));
    out
}

/// A body without dependencies, message and other actors.
fn body(columns: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 16];
    out.extend_from_slice(&[7; 16]);
    out.extend_from_slice(&[1, 1, 0, 0, 0]);
    out.extend_from_slice(columns);
    out
}

/// So many ops of one kind: `put null` at the key "k" of the root.
fn puts(count: i64) -> Vec<(u64, Vec<u8>)> {
    let run = |item: &[u8]| [&sleb(count), item].concat();
    vec![
        (0x15, run(&[1, b'k'])),
        (0x34, unsigned(count as u64)),
        (0x42, run(&[1])),
        (0x56, run(&[0])),
        (0x70, run(&[0])),
    ]
}

fn with(mut list: Vec<(u64, Vec<u8>)>, spec: u64, data: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
    list.retain(|column| column.0 != spec);
    list.push((spec, data));
    list.sort_unstable();
    list
}

fn fault(list: &[(u64, Vec<u8>)]) -> ChangeFault {
    parse_columns(list).unwrap_err()
}

fn parse_columns(list: &[(u64, Vec<u8>)]) -> Result<Change, ChangeFault> {
    cheap(&chunk(1, &body(&columns(list))))
}

/// Parses and asserts that it took no more memory than a few times the input.
fn cheap(bytes: &[u8]) -> Result<Change, ChangeFault> {
    let mut parsed = None;
    let cost = allocation_counter::measure(|| parsed = Some(Change::parse(bytes)));
    let allowed = 8 * bytes.len() as u64 + 1024;
    assert!(cost.bytes_max <= allowed, "{} bytes of memory for {} of input", cost.bytes_max, bytes.len());
    parsed.unwrap()
}

fn malformed(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::Malformed(_))
}

fn too_large(fault: &ChangeFault) -> bool {
    matches!(fault, ChangeFault::TooLarge { .. })
}

fn sample() -> Vec<u8> {
    chunk(1, &body(&columns(&puts(2))))
}
