//! All workspaces' logs at once, as their operator reads them: for backups and checks. Must not write.

use super::read::{Leaf, read_entries, read_leaves};
use super::rows::{self, Head, UsageRow, WorkspaceRow};
use super::{Entry, Log, LogError, usage};
use crate::auth::Operator;
use comptoir_engine::disk::{Disk, txn};
use comptoir_engine::id::{LogEpoch, LogSeq, WorkspaceId};
use comptoir_engine::store::DEVICES;
use comptoir_engine::time::Timestamp;
use std::sync::Arc;

/// Workspaces' rows read at once.
const WORKSPACE_ROWS: usize = 256;
/// Devices counted in one workspace.
const DEVICES_MAX: usize = 10_000;

/// How much one workspace's log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Its entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Stores of devices that have written in it.
    pub devices: u64,
    /// When its last entry came; `None` where that is not known.
    pub last: Option<Timestamp>,
}

/// Where one workspace's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The log's identity.
    pub epoch: LogEpoch,
    /// Its last entry, and the digest there.
    pub head: Head,
}

impl Log {
    /// All workspaces, in order of their names, also those whose rows are damaged.
    pub async fn workspaces(&self, _: &Operator) -> Result<Vec<WorkspaceId>, LogError> {
        self.read(|reader| {
            let (mut found, mut from, until) = (Vec::new(), rows::WORKSPACES.0.to_vec(), rows::WORKSPACES.1);
            loop {
                // The keys alone: a row that is not what was written says so to whoever reads that workspace.
                let page = reader.disk().range(&from, until, WORKSPACE_ROWS)?;
                let Some((last, _)) = page.last() else { return Ok(found) };
                from = [last.as_slice(), &[0]].concat();
                for (key, _) in page {
                    found.push(workspace_of(&key).ok_or_else(|| LogError::Damaged("a workspace's name".to_owned()))?);
                }
            }
        })
        .await
    }

    /// Where a workspace's log stands; `None` when there is none.
    pub async fn standing(&self, _: &Operator, workspace: &WorkspaceId) -> Result<Option<Standing>, LogError> {
        let key = rows::workspace_key(workspace);
        self.read(move |reader| {
            let row = rows::decode::<WorkspaceRow>(txn::read(reader.disk(), &key)?)?;
            Ok(row.map(|row| Standing { epoch: row.epoch(), head: row.head() }))
        })
        .await
    }

    /// How much a workspace's log holds; `None` when there is none.
    pub async fn usage(&self, _: &Operator, workspace: &WorkspaceId) -> Result<Option<Usage>, LogError> {
        let workspace = workspace.clone();
        self.read(move |reader| {
            let disk = reader.disk();
            let row = rows::decode::<WorkspaceRow>(txn::read(disk, &rows::workspace_key(&workspace))?)?;
            let Some(row) = row else { return Ok(None) };
            let UsageRow { entries, bytes, at_ms, .. } = usage::read(disk, &workspace, &row)?;
            let (from, until) = rows::documents_of(&workspace, DEVICES);
            let devices = disk.range(&from, &until, DEVICES_MAX)?.len() as u64;
            let last = (at_ms > 0).then_some(Timestamp { unix_ms: at_ms });
            Ok(Some(Usage { entries, bytes, devices, last }))
        })
        .await
    }

    /// Entries of any workspace after `after`, as [`Log::entries`].
    pub async fn entries_of(
        &self,
        _: &Operator,
        workspace: &WorkspaceId,
        after: LogSeq,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, LogError> {
        let workspace = workspace.clone();
        self.read(move |reader| read_entries(reader.disk(), &workspace, after, LogSeq(u64::MAX), bytes_max)).await
    }

    /// How often the disk was opened: what was read by one opening need not be there at the next.
    pub fn opening(&self) -> u64 {
        self.slot.opening()
    }

    /// Returns when all that was read since `opening` would survive a power cut; [`LogError::Unavailable`] where the disk was
    /// opened again meanwhile.
    pub async fn settle(&self, _: &Operator, opening: u64) -> Result<(), LogError> {
        self.read(|reader| Ok(reader.disk().flush()?)).await?;
        if self.opening() == opening { Ok(()) } else { Err(LogError::Unavailable) }
    }

    /// The leaf of every document of a workspace, as [`Log::leaves`].
    pub async fn leaves_of(&self, _: &Operator, workspace: &WorkspaceId) -> Result<Vec<Leaf>, LogError> {
        let workspace = workspace.clone();
        self.read(move |reader| read_leaves(reader.disk(), &workspace)).await
    }
}

/// Hands over the row of every workspace, in order of their names.
pub(super) fn each_workspace(
    disk: &dyn Disk,
    mut take: impl FnMut(WorkspaceId, WorkspaceRow) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let (mut from, until) = (rows::WORKSPACES.0.to_vec(), rows::WORKSPACES.1);
    loop {
        let page = txn::scan(disk, &from, until, WORKSPACE_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let workspace = workspace_of(&key);
            let row = rows::decode::<WorkspaceRow>(Some(value))?;
            let damaged = || LogError::Damaged("a workspace's row".to_owned());
            let (workspace, row) = workspace.zip(row).ok_or_else(damaged)?;
            take(workspace, row)?;
        }
    }
}

/// The workspace whose row has this key.
fn workspace_of(key: &[u8]) -> Option<WorkspaceId> {
    let name = key.strip_prefix(rows::WORKSPACES.0).and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(|name| WorkspaceId::new(name).ok())
}
