//! A device's store as an archive, and a store out of one. Must not know what the rows mean.
//!
//! What is restored is a copy, and finds that out as any copy does: it goes on under a fresh actor and device id, and compares
//! itself with the relay.

use super::{Store, StoreError};
use crate::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Contents, Kind};
use crate::disk::{Batch, Disk, RESERVED_KEY_FROM, VALUE_BYTES_MAX};
use std::io::{BufRead, Write};

/// Rows read or written at once.
const ROWS_MAX: usize = 1024;

impl Store {
    /// Writes every row of the store, as they are between two commits.
    pub fn back_up(&self, out: impl Write) -> Result<Contents, StoreError> {
        let mut archive = ArchiveWriter::new(out, Kind::Device)?;
        let mut from = Vec::new();
        loop {
            let rows = self.disk.range(&from, &RESERVED_KEY_FROM, ROWS_MAX)?;
            let Some((last, _)) = rows.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            rows.iter().try_for_each(|(key, value)| archive.add(key, value))?;
        }
        Ok(archive.finish()?.1)
    }
}

/// Fills a disk without rows from an archive that [`Store::back_up`] wrote; durable when it returns. On an error the disk has
/// some of the rows, and is of no use. What the rows come to is seen when the store is opened and checked.
pub fn restore(from: impl BufRead, disk: &dyn Disk) -> Result<Contents, StoreError> {
    let mut archive = ArchiveReader::new(from, Kind::Device)?;
    let mut batch = Batch::default();
    while let Some((key, value)) = archive.next_row()? {
        if value.len() > VALUE_BYTES_MAX {
            return Err(ArchiveError::Damaged { what: "a row longer than a store's" }.into());
        }
        batch.rows.insert(key, Some(value));
        if batch.rows.len() == ROWS_MAX {
            disk.apply(std::mem::take(&mut batch))?;
        }
    }
    disk.apply(batch)?;
    disk.flush()?;
    Ok(archive.contents())
}
