//! Rows in one stream, as a backup keeps them. Must not know what the rows mean or where the stream goes.
//!
//! ```text
//! archive = version, kind, zstd frame with its checksum over: row*, end          (integers little-endian)
//! row     = key's length as u16, at most KEY_BYTES_MAX; value's length as u32, at most VALUE_BYTES_MAX; key; value
//! end     = 0xffff, number of rows as u64, SHA-256 over all rows' bytes before it
//! ```

use crate::disk::{KEY_BYTES_MAX, Row};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read, Write};
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

/// The longest value of a row, in bytes: no entry of a log is longer.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

const VERSION: u8 = 1;
const END: u16 = u16::MAX;
const ZSTD_LEVEL: i32 = 3;
/// What a reader lets the stream refer back to, as a power of two of bytes: what the writer's level uses.
const WINDOW_LOG_MAX: u32 = 21;

/// Whose rows an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A device's whole store.
    Device = 1,
    /// A part of a relay's log.
    Log = 2,
}

/// Why bytes are not an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// They cannot be read or written at all.
    #[error("the backup cannot be read or written ({cause}): check the place and its free space")]
    Io {
        /// The operating system's words.
        cause: String,
    },
    /// Written by a newer release.
    #[error("the backup was written by a newer release (format {found}, this one reads {VERSION}): upgrade Comptoir")]
    NewerFormat {
        /// The format found.
        found: u8,
    },
    /// Another kind of archive, or none.
    #[error("this is no backup of {wanted}: name the right file")]
    OtherKind {
        /// What was expected.
        wanted: &'static str,
    },
    /// Not what was written.
    #[error("the backup is damaged ({what}): use another one, nothing was changed")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// A row past its limit: a bug in the caller.
    #[error("a row of {bytes} bytes is too long for a backup")]
    TooLong {
        /// Its key or value, in bytes.
        bytes: usize,
    },
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self::Io { cause: error.to_string() }
    }
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over them.
    pub hash: [u8; 32],
}

/// Counts and hashes rows as they go by.
#[derive(Default)]
struct Tally {
    rows: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, row: [&[u8]; 3]) {
        self.rows += 1;
        row.iter().for_each(|bytes| self.hash.update(bytes));
    }

    fn contents(self) -> Contents {
        Contents { rows: self.rows, hash: self.hash.finalize().into() }
    }
}

fn lengths(key: usize, value: usize) -> Option<[u8; 6]> {
    let fits = key <= KEY_BYTES_MAX && value <= VALUE_BYTES_MAX;
    let ([k0, k1], [v0, v1, v2, v3]) = ((key as u16).to_le_bytes(), (value as u32).to_le_bytes());
    fits.then_some([k0, k1, v0, v1, v2, v3])
}

/// Writes an archive. Whole only after [`ArchiveWriter::finish`].
pub struct ArchiveWriter<W: Write> {
    stream: Encoder<'static, W>,
    tally: Tally,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive of this kind.
    pub fn new(mut out: W, kind: Kind) -> Result<Self, ArchiveError> {
        out.write_all(&[VERSION, kind as u8])?;
        let mut stream = Encoder::new(out, ZSTD_LEVEL)?;
        stream.include_checksum(true)?;
        Ok(Self { stream, tally: Tally::default() })
    }

    /// Adds a row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let lengths = lengths(key.len(), value.len());
        let lengths = lengths.ok_or(ArchiveError::TooLong { bytes: key.len().max(value.len()) })?;
        let row = [&lengths[..], key, value];
        row.iter().try_for_each(|bytes| self.stream.write_all(bytes))?;
        self.tally.add(row);
        Ok(())
    }

    /// Ends the archive; gives back where it was written to, with everything written.
    pub fn finish(mut self) -> Result<(W, Contents), ArchiveError> {
        let contents = self.tally.contents();
        self.stream.write_all(&END.to_le_bytes())?;
        self.stream.write_all(&contents.rows.to_le_bytes())?;
        self.stream.write_all(&contents.hash)?;
        let mut out = self.stream.finish()?;
        out.flush()?;
        Ok((out, contents))
    }
}

/// Reads an archive, with memory for its window of 2 MiB and one row.
pub struct ArchiveReader<R: BufRead> {
    stream: Decoder<'static, R>,
    tally: Tally,
    contents: Contents,
}

impl<R: BufRead> ArchiveReader<R> {
    /// Begins to read an archive of this kind.
    pub fn new(mut from: R, kind: Kind) -> Result<Self, ArchiveError> {
        let wanted = match kind {
            Kind::Device => "a device's store",
            Kind::Log => "a relay's log",
        };
        let mut head = [0; 2];
        from.read_exact(&mut head).map_err(|error| cut_short(error, "its head"))?;
        match head {
            [VERSION, found] if found == kind as u8 => {}
            [found, 1 | 2] if found > VERSION => return Err(ArchiveError::NewerFormat { found }),
            _ => return Err(ArchiveError::OtherKind { wanted }),
        }
        let mut stream = Decoder::with_buffer(from)?.single_frame();
        stream.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Self { stream, tally: Tally::default(), contents: Contents::default() })
    }

    /// The next row; `None` once after the last, when all of the archive proved to be what was written. Rows given before
    /// that are to be trusted only then.
    pub fn next_row(&mut self) -> Result<Option<Row>, ArchiveError> {
        let mut key_length = [0; 2];
        self.fill(&mut key_length)?;
        if u16::from_le_bytes(key_length) == END {
            return self.end().map(|()| None);
        }
        let mut value_length = [0; 4];
        self.fill(&mut value_length)?;
        let (key, value) = (u16::from_le_bytes(key_length).into(), u32::from_le_bytes(value_length) as usize);
        let lengths = lengths(key, value).ok_or(ArchiveError::Damaged { what: "a row's length" })?;
        let (key, value) = (self.take(key)?, self.take(value)?);
        self.tally.add([&lengths, &key, &value]);
        Ok(Some((key, value)))
    }

    /// What the archive held, once its last row was read.
    pub fn contents(&self) -> Contents {
        self.contents
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let (mut rows, mut hash) = ([0; 8], [0; 32]);
        self.fill(&mut rows)?;
        self.fill(&mut hash)?;
        self.contents = std::mem::take(&mut self.tally).contents();
        if (self.contents.rows, self.contents.hash) != (u64::from_le_bytes(rows), hash) {
            return Err(ArchiveError::Damaged { what: "its rows are not those that were written" });
        }
        // The frame's own checksum is read with its last byte, and nothing may follow.
        let mut rest = [0; 1];
        let behind = self.stream.read(&mut rest).map_err(|error| cut_short(error, "its end"))?;
        let behind = behind + self.stream.get_mut().read(&mut rest)?;
        if behind == 0 { Ok(()) } else { Err(ArchiveError::Damaged { what: "bytes behind its end" }) }
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut taken = vec![0; bytes];
        self.fill(&mut taken)?;
        Ok(taken)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.stream.read_exact(bytes).map_err(|error| cut_short(error, "a row"))
    }
}

/// What the stream is not: the operating system's own errors are told apart from bytes that make no sense.
fn cut_short(error: io::Error, what: &'static str) -> ArchiveError {
    match error.raw_os_error() {
        Some(_) => error.into(),
        None => ArchiveError::Damaged { what },
    }
}
