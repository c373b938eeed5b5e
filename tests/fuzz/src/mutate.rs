//! Alterations: of a change's fields and columns as a plan says, and of any bytes by chance. Must not know what is made of
//! them.

use crate::Plan;
use comptoir_engine::change::Parts;
use comptoir_engine::id::{ActorId, ChangeHash};
use rand::RngExt as _;
use rand::rngs::StdRng;

const ALTERATIONS_MAX: usize = 4;

/// The change's parts with up to four of them altered.
pub(crate) fn parts(plan: &mut Plan<'_>, mut parts: Parts) -> Parts {
    for _ in 0..=plan.below(ALTERATIONS_MAX) {
        match plan.below(12) {
            0 => parts.seq = parts.seq.wrapping_add_signed(i64::from(plan.byte() as i8)),
            1 => parts.start_op = parts.start_op.wrapping_add_signed(i64::from(plan.byte() as i8)),
            2 => parts.start_op = plan.number(8),
            3 => parts.time_s = plan.number(8) as i64,
            4 => parts.actor = ActorId::from_bytes(&[plan.byte(); 16]).unwrap_or(parts.actor),
            5 => parts.message = String::from_utf8_lossy(plan.piece()).into_owned(),
            6 => drop(parts.deps.pop()),
            7 => parts.deps.push(ChangeHash([plan.byte(); 32])),
            8 => parts.other_actors.extend(ActorId::from_bytes(&[plan.byte(); 16])),
            9 => splice(plan, &mut parts.columns),
            _ => column(plan, &mut parts.columns),
        }
        parts.other_actors.sort();
    }
    parts
}

/// Replaces some bytes by others.
pub(crate) fn splice(plan: &mut Plan<'_>, bytes: &mut Vec<u8>) {
    let at = plan.below(bytes.len() + 1);
    let until = (at + plan.below(8)).min(bytes.len());
    let count = plan.below(8);
    bytes.splice(at..until, plan.take(count).iter().copied());
}

/// Replaces some bytes of one column, and puts its length right: the form stays, the meaning does not.
fn column(plan: &mut Plan<'_>, columns: &mut Vec<u8>) {
    let Some(mut read) = read(columns) else { return splice(plan, columns) };
    if read.is_empty() {
        return;
    }
    let at = plan.below(read.len());
    match plan.below(8) {
        0 => drop(read.remove(at)),
        1 => read[at].0 = u32::from(plan.byte() & 0x7f),
        2 => read[at].1 = plan.piece().to_vec(),
        _ => splice(plan, &mut read[at].1),
    }
    read.sort_by_key(|(spec, _)| *spec);
    *columns = vec![read.len() as u8];
    for (spec, data) in &read {
        for number in [u64::from(*spec), data.len() as u64] {
            leb(columns, number);
        }
    }
    read.iter().for_each(|(_, data)| columns.extend_from_slice(data));
}

fn leb(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Columns as (spec, data); `None` where they are no longer in form.
fn read(columns: &[u8]) -> Option<Vec<(u32, Vec<u8>)>> {
    let mut rest = columns.iter();
    let mut number = || {
        let (mut number, mut shift) = (0u32, 0);
        loop {
            let byte = *rest.next()?;
            number |= u32::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    };
    let headers = (0..number()?.min(32)).map(|_| Some((number()?, number()?))).collect::<Option<Vec<_>>>()?;
    let mut data = rest.as_slice();
    let mut columns = Vec::new();
    for (spec, length) in headers {
        let (column, behind) = data.split_at_checked(length as usize)?;
        columns.push((spec, column.to_vec()));
        data = behind;
    }
    Some(columns)
}

/// Bytes altered by chance, as a fuzzer does it: flipped, cut, repeated, or joined with others.
pub fn havoc(chance: &mut StdRng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    const ODD: [u8; 10] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 250, 251, 252, 253];
    let mut bytes = bytes.to_vec();
    for _ in 0..1 << chance.random_range(0..4) {
        let at = chance.random_range(0..=bytes.len());
        let some = chance.random_range(0..=(bytes.len() - at).min(16));
        match chance.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = ODD[chance.random_range(0..ODD.len())],
            2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add_signed(chance.random_range(-16..=16)),
            3 => drop(bytes.drain(at..at + some)),
            4 => bytes.insert(at, chance.random()),
            5 => {
                let piece = bytes[at..at + some].to_vec();
                bytes.splice(at..at, piece);
            }
            _ if !other.is_empty() => {
                let from = chance.random_range(0..other.len());
                let until = (from + chance.random_range(0..64)).min(other.len());
                bytes.splice(at..at + some, other[from..until].iter().copied());
            }
            _ => {}
        }
    }
    bytes
}
