//! A workspace's log taken away for good. First it becomes an empty one under another epoch, so that nothing is put back into
//! it; then its rows go, some at a time, and the one that names it last. Cut short, it is done again from the start.

use super::LogError;
use super::rows::{self, WorkspaceRow};
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::id::{LogEpoch, WorkspaceId};
use comptoir_engine::time::Timestamp;

/// Rows removed by one commit: others' pushes wait meanwhile.
const ROWS: usize = 256;

/// Empties the log, if there is one.
pub(super) fn begin(disk: &dyn Disk, workspace: &WorkspaceId, epoch: LogEpoch) -> Result<(), LogError> {
    let key = rows::workspace_key(workspace);
    if txn::read(disk, &key)?.is_none() {
        return Ok(());
    }
    let mut txn = Txn::new(disk);
    txn.put(key, &rows::encode(&WorkspaceRow::new(epoch, Timestamp { unix_ms: 0 }))?);
    txn.commit()?;
    Ok(disk.flush()?)
}

/// Removes some rows; whether all are gone, as a power cut would find it.
pub(super) fn step(disk: &dyn Disk, workspace: &WorkspaceId) -> Result<bool, LogError> {
    let mut txn = Txn::new(disk);
    for (from, until) in [rows::entries(workspace), rows::documents(workspace), rows::collections(workspace)] {
        let page = disk.range(&from, &until, ROWS)?;
        if page.is_empty() {
            continue;
        }
        page.into_iter().for_each(|(key, _)| txn.remove(key));
        txn.commit()?;
        return Ok(false);
    }
    txn.remove(rows::compacted_key(workspace));
    txn.remove(rows::usage_key(workspace));
    txn.remove(rows::workspace_key(workspace));
    txn.commit()?;
    disk.flush()?;
    Ok(true)
}
