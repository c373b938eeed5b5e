//! How much each workspace's log holds: a row that moves in the same transaction as the entries it counts. Must not know what
//! they may hold.

use super::LogError;
use super::read::read_entries;
use super::rows::{self, UsageRow, WorkspaceRow};
use comptoir_engine::disk::{Disk, txn};
use comptoir_engine::id::{LogSeq, WorkspaceId};

/// Entries that are counted at a time, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// The workspace's row, or what a count gives where a release without such rows has written last.
pub(super) fn read(disk: &dyn Disk, workspace: &WorkspaceId, row: &WorkspaceRow) -> Result<UsageRow, LogError> {
    let tail = row.head().tail;
    let known: Option<UsageRow> = rows::decode(txn::read(disk, &rows::usage_key(workspace))?)?;
    if let Some(known) = known.filter(|known| known.tail == tail.0) {
        return Ok(known);
    }
    let mut usage = UsageRow { tail: tail.0, ..UsageRow::default() };
    let mut after = LogSeq(0);
    loop {
        let page = read_entries(disk, workspace, after, tail, PAGE_BYTES)?;
        let Some(last) = page.last() else { return Ok(usage) };
        after = last.seq;
        usage.entries += page.len() as u64;
        usage.bytes += page.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
    }
}
