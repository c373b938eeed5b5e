//! A backup's parts: entries and keys as an archive each, named by its hash. Must not know which of them make a backup.
//!
//! ```text
//! key                                  value
//! e 00 <workspace> 00 <seq, u64 BE>    an entry, as in the log
//! k 00 <file>                          a signing key's file
//! ```

use super::error::in_place;
use super::{BackupError, Part, Place};
use crate::catalog::FILES_MAX;
use crate::text::hex;
use comptoir_engine::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Contents, Kind};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use sha2::{Digest as _, Sha256};

/// A part is closed when it holds so many bytes before they are compressed.
const PART_BYTES: usize = 8 << 20;
/// No part is longer than this: a row behind the last one that fitted, and what zstd adds where nothing becomes shorter.
pub(super) const PART_BYTES_MAX: u64 = 10 << 20;

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    Entry { workspace: WorkspaceId, seq: LogSeq, batch: Vec<u8> },
    Key { file: String, text: String },
}

impl Row {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Entry { workspace, seq, .. } => {
                [b"e\0", workspace.as_str().as_bytes(), b"\0", &seq.0.to_be_bytes()].concat()
            }
            Self::Key { file, .. } => [b"k\0", file.as_bytes()].concat(),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Entry { batch, .. } => batch,
            Self::Key { text, .. } => text.as_bytes(),
        }
    }

    fn parse(key: &[u8], value: Vec<u8>) -> Option<Self> {
        if let Some(file) = key.strip_prefix(b"k\0") {
            return Some(Self::Key {
                file: String::from_utf8(file.to_vec()).ok()?,
                text: String::from_utf8(value).ok()?,
            });
        }
        let (name, seq) = key.strip_prefix(b"e\0")?.split_last_chunk()?;
        let name = std::str::from_utf8(name.strip_suffix(b"\0")?).ok()?;
        let seq = LogSeq(u64::from_be_bytes(*seq));
        Some(Self::Entry { workspace: WorkspaceId::new(name).ok()?, seq, batch: value })
    }
}

/// A part and its bytes.
pub(super) type Packed = (Part, Vec<u8>);

/// Packs rows into parts, one after the other. Must not be driven by a task that others wait for: it compresses.
#[derive(Default)]
pub(super) struct Packer {
    open: Option<ArchiveWriter<Vec<u8>>>,
    open_bytes: usize,
}

impl Packer {
    /// Adds a row; gives the part that it filled.
    pub(super) fn add(&mut self, row: &Row) -> Result<Option<Packed>, ArchiveError> {
        let (key, value) = (row.key(), row.value());
        let mut writer = match self.open.take() {
            Some(writer) => writer,
            None => ArchiveWriter::new(Vec::new(), Kind::Log)?,
        };
        writer.add(&key, value)?;
        self.open = Some(writer);
        self.open_bytes += key.len() + value.len();
        if self.open_bytes >= PART_BYTES { self.close() } else { Ok(None) }
    }

    /// Ends the part that is open, so that what comes next is in another one.
    pub(super) fn close(&mut self) -> Result<Option<Packed>, ArchiveError> {
        let Some(writer) = self.open.take() else { return Ok(None) };
        self.open_bytes = 0;
        let (bytes, Contents { rows, .. }) = writer.finish()?;
        let part = Part { sha256: hex(&Sha256::digest(&bytes)), bytes: bytes.len() as u64, rows };
        Ok(Some((part, bytes)))
    }
}

/// The bytes of a part as they are in the place.
pub(super) async fn read(place: &Place, part: &Part) -> Result<Vec<u8>, BackupError> {
    let file = part.file();
    let bytes = place.read(&file, PART_BYTES_MAX).await?;
    bytes.ok_or_else(|| place.damaged(format!("{file} is missing")))
}

/// An error where these bytes are not those that were written.
pub(super) fn whole(place: &Place, part: &Part, bytes: &[u8]) -> Result<(), BackupError> {
    match hex(&Sha256::digest(bytes)) == part.sha256 {
        true => Ok(()),
        false => Err(place.damaged(format!("{} is not what was written", part.file()))),
    }
}

/// The keys in a part that holds nothing else.
pub(super) fn keys(place: &Place, bytes: &[u8]) -> Result<Vec<(String, String)>, BackupError> {
    let mut keys = Vec::new();
    let take = |row| match row {
        Row::Key { file, text } if keys.len() < FILES_MAX => {
            keys.push((file, text));
            Ok(())
        }
        _ => Err(place.damaged("an entry among keys, or too many files".to_owned())),
    };
    each_row(bytes, take, |fault| in_place(&place.to_string(), &fault))?;
    Ok(keys)
}

/// Hands over the rows of a part's bytes, in order.
pub(super) fn each_row(
    bytes: &[u8],
    mut take: impl FnMut(Row) -> Result<(), BackupError>,
    failed: impl Fn(ArchiveError) -> BackupError,
) -> Result<(), BackupError> {
    let mut reader = ArchiveReader::new(bytes, Kind::Log).map_err(&failed)?;
    while let Some((key, value)) = reader.next_row().map_err(&failed)? {
        let row = Row::parse(&key, value).ok_or_else(|| failed(ArchiveError::Damaged { what: "a row's key" }))?;
        take(row)?;
    }
    Ok(())
}
