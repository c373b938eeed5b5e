//! A batch's outer form: a version byte, a kind byte, and the body, compressed where that is shorter. Must not know columns.

use super::{BATCH_BYTES_MAX, BatchFault, Columns};
use crate::codec::{CodecError, Versioned as _};
use std::cell::RefCell;
use std::io;
use zstd::bulk::{Compressor, Decompressor};

pub(super) const VERSION: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// Below this zstd's own header costs more than it saves, in bytes.
const PLAIN_BYTES_MAX: usize = 96;
/// Bodies up to here, in bytes, are packed with a state that is kept, and stays small: to make one takes longer than a live
/// edit's whole batch.
const SHORT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Runs with what is kept, made on first use; made anew after a failure.
fn with<T, R>(
    kept: &RefCell<Option<T>>,
    make: impl FnOnce() -> io::Result<T>,
    run: impl FnOnce(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    let mut state = kept.take().map_or_else(make, Ok)?;
    let done = run(&mut state)?;
    kept.replace(Some(state));
    Ok(done)
}

fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    match body.len() > SHORT_BYTES_MAX {
        true => zstd::bulk::compress(body, ZSTD_LEVEL),
        false => COMPRESSOR.with(|kept| with(kept, || Compressor::new(ZSTD_LEVEL), |state| state.compress(body))),
    }
}

fn decompress(packed: &[u8], length: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with(|kept| with(kept, Decompressor::new, |state| state.decompress(packed, length)))
}

/// Puts the outer form around a body.
pub(super) fn close(body: &[u8]) -> Result<Vec<u8>, BatchFault> {
    if body.len() > BATCH_BYTES_MAX {
        return Err(BatchFault::TooLarge { limit: "bytes", limit_max: BATCH_BYTES_MAX });
    }
    let packed = match body.len() > PLAIN_BYTES_MAX {
        true => compress(body).map_err(|_| BatchFault::Block)?,
        false => Vec::new(),
    };
    let mut out = vec![VERSION];
    if packed.is_empty() || packed.len() + 4 >= body.len() {
        out.push(0);
        out.extend_from_slice(body);
    } else {
        out.push(1);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

/// Takes the outer form off.
pub(super) fn open(bytes: &[u8]) -> Result<Vec<u8>, BatchFault> {
    let what = Columns::WHAT;
    match bytes {
        [] | [_] => Err(CodecError::Empty { what }.into()),
        [found, ..] if *found != VERSION => Err(CodecError::Version { what, found: *found, known: VERSION }.into()),
        [_, 0, body @ ..] if body.len() <= BATCH_BYTES_MAX => Ok(body.to_vec()),
        [_, 1, a, b, c, d, packed @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            if length > BATCH_BYTES_MAX {
                return Err(BatchFault::Block);
            }
            let body = decompress(packed, length).map_err(|_| BatchFault::Block)?;
            if body.len() == length { Ok(body) } else { Err(BatchFault::Block) }
        }
        _ => Err(BatchFault::Block),
    }
}
