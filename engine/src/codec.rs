//! The one place that names bincode: values to bytes and back, within limits. Must not know what the values mean.
//!
//! Every encoded value begins with a format version byte. Integers are bincode's varints, sequences are
//! length-prefixed, enum variants are numbered in order of declaration (bincode 2, `config::standard`).

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::EncodeError;
use std::sync::OnceLock;

pub use bincode::de::BorrowDecoder;
pub use bincode::error::DecodeError;
pub use bincode::{BorrowDecode, Decode, Encode};

/// The longest encoded value that is read or written, and the most memory a decoded one may ask for, in bytes.
pub const ENCODED_BYTES_MAX: usize = 16 << 20;

type Config = Configuration<LittleEndian, Varint, Limit<ENCODED_BYTES_MAX>>;

fn config() -> Config {
    bincode::config::standard().with_limit::<ENCODED_BYTES_MAX>()
}

/// Why bytes are not the value they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Nothing at all.
    #[error("empty where {what} was expected")]
    Empty {
        /// The value's name.
        what: &'static str,
    },
    /// Another format version.
    #[error("{what} has format version {found}, this release reads {known}: upgrade the older side")]
    Version {
        /// The value's name.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The version this release reads.
        known: u8,
    },
    /// Cut short, out of range, over the limit, or with an unknown variant.
    #[error("{what} cannot be read: {cause}")]
    Malformed {
        /// The value's name.
        what: &'static str,
        /// The decoder's words.
        cause: String,
    },
    /// Bytes left over behind the value.
    #[error("{what} is followed by {bytes} bytes that do not belong to it")]
    Trailing {
        /// The value's name.
        what: &'static str,
        /// How many.
        bytes: usize,
    },
    /// Too long to be written.
    #[error("{what} is longer than {ENCODED_BYTES_MAX} bytes")]
    TooLong {
        /// The value's name.
        what: &'static str,
    },
}

/// A value with a name for messages and a format version. Recursive types, floats and `usize` have no place in it.
pub trait Versioned: Encode + Decode<()> {
    /// What it is called in an error.
    const WHAT: &'static str;
    /// The version byte it begins with.
    const VERSION: u8;
}

/// The version byte and the value.
pub fn encode<T: Versioned>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_as::<T, T>(value)
}

/// As [`encode`], written from something else than will be read, which may borrow what it holds.
pub fn encode_as<R: Versioned, T: Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![R::VERSION];
    bincode::encode_into_std_write(value, &mut bytes, config()).map_err(|_| CodecError::TooLong { what: R::WHAT })?;
    match bytes.len() <= ENCODED_BYTES_MAX {
        true => Ok(bytes),
        false => Err(CodecError::TooLong { what: R::WHAT }),
    }
}

/// The value that `bytes` are, all of them.
pub fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, rest) = decode_front(bytes)?;
    match rest.len() {
        0 => Ok(value),
        bytes => Err(CodecError::Trailing { what: T::WHAT, bytes }),
    }
}

/// The value that `bytes` begin with, and what follows it.
pub fn decode_front<T: Versioned>(bytes: &[u8]) -> Result<(T, &[u8]), CodecError> {
    let body = body::<T>(bytes)?;
    let (value, used) = bincode::decode_from_slice(body, config()).map_err(malformed::<T>)?;
    Ok((value, &body[used..]))
}

/// As [`decode_front`], read into something else than was written, which may borrow from the bytes.
pub fn decode_front_as<'b, W: Versioned, T: BorrowDecode<'b, ()>>(
    bytes: &'b [u8],
) -> Result<(T, &'b [u8]), CodecError> {
    let body = body::<W>(bytes)?;
    let (value, used) = bincode::borrow_decode_from_slice(body, config()).map_err(malformed::<W>)?;
    Ok((value, &body[used..]))
}

/// What follows the version byte.
fn body<T: Versioned>(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let what = T::WHAT;
    let (&found, body) = bytes.split_first().ok_or(CodecError::Empty { what })?;
    if found != T::VERSION {
        return Err(CodecError::Version { what, found, known: T::VERSION });
    }
    if body.len() > ENCODED_BYTES_MAX {
        return Err(CodecError::TooLong { what });
    }
    Ok(body)
}

fn malformed<T: Versioned>(cause: DecodeError) -> CodecError {
    CodecError::Malformed { what: T::WHAT, cause: cause.to_string() }
}

/// Something computed from what stands beside it when first asked for. It is no part of the value: it is not encoded,
/// not compared, and computed again after decoding.
#[derive(Debug, Clone)]
pub struct Computed<T>(pub OnceLock<T>);

impl<T> Default for Computed<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> PartialEq for Computed<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Computed<T> {}

impl<T> Encode for Computed<T> {
    fn encode<E: Encoder>(&self, _: &mut E) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl<T, C> Decode<C> for Computed<T> {
    fn decode<D: Decoder<Context = C>>(_: &mut D) -> Result<Self, DecodeError> {
        Ok(Self::default())
    }
}

bincode::impl_borrow_decode!(Computed<T>, T);

/// Decodes a type by way of the parts it was written in, which may not fit each other.
macro_rules! decode_checked {
    ($whole:ty, $parts:ty) => {
        impl<C> bincode::Decode<C> for $whole {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let parts: $parts = bincode::Decode::decode(decoder)?;
                parts.try_into().map_err(bincode::error::DecodeError::Other)
            }
        }

        bincode::impl_borrow_decode!($whole);
    };
}

pub(crate) use decode_checked;
