//! Little-endian base-128 numbers, in their shortest form only, and a bounded reader. Must not know what it reads.

use super::ChangeFault;

const TOO_LONG: ChangeFault = ChangeFault::Malformed("a number is not in its shortest form");

/// Reads from the front of a slice; never past its end.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], ChangeFault> {
        let (front, rest) = self.bytes.split_at_checked(count).ok_or(ChangeFault::Malformed("cut short"))?;
        self.bytes = rest;
        Ok(front)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, ChangeFault> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.take(1)?[0];
            let low = u64::from(byte & 0x7f);
            if index == 9 && low > 1 {
                break;
            }
            value |= low << (7 * index);
            match byte {
                0 if index > 0 => return Err(TOO_LONG),
                0..0x80 => return Ok(value),
                _ => {}
            }
        }
        Err(ChangeFault::Malformed("a number is over 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, ChangeFault> {
        let mut value = 0i64;
        let mut last = None;
        for index in 0..10 {
            let byte = self.take(1)?[0];
            let low = byte & 0x7f;
            if index == 9 && low != 0 && low != 0x7f {
                break;
            }
            value |= i64::from(low).wrapping_shl(7 * index);
            if byte & 0x80 == 0 {
                // The last byte repeats what the sign bit of the one before it says.
                if last.is_some_and(|last: u8| low == if last & 0x40 == 0 { 0 } else { 0x7f }) {
                    return Err(TOO_LONG);
                }
                let bits = 7 * (index + 1);
                let negative = byte & 0x40 != 0 && bits < 64;
                return Ok(if negative { value | (-1i64).wrapping_shl(bits) } else { value });
            }
            last = Some(byte);
        }
        Err(ChangeFault::Malformed("a number is over 64 bits"))
    }

    /// A length that what is left can hold.
    pub(super) fn length(&mut self) -> Result<usize, ChangeFault> {
        self.count(1)
    }

    /// A count of items of at least `item_bytes` each that what is left can hold.
    pub(super) fn count(&mut self, item_bytes: usize) -> Result<usize, ChangeFault> {
        let count = self.unsigned()?;
        match usize::try_from(count).ok().filter(|count| count.saturating_mul(item_bytes) <= self.bytes.len()) {
            Some(count) => Ok(count),
            None => Err(ChangeFault::Malformed("a length is past the end")),
        }
    }
}

pub(super) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
