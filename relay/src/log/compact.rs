//! Compaction: a run of short entries becomes one, which holds the same changes in the same order and stands where the
//! run's last entry stood. What a follower has of it already changes nothing there, so no cursor loses its place. Finds a
//! run beside the writer and without a document; must not write.
//!
//! Nothing is left out, and history stays whole: what is saved is rows and headers, and like stands beside like.

use super::append::item;
use super::read::read_entries;
use super::rows::{self, CompactedRow, DocumentRow, WorkspaceRow};
use super::{ENTRY_BYTES_MAX, Entry, LogError};
use comptoir_engine::disk::{Disk, txn};
use comptoir_engine::gate::Lineage;
use comptoir_engine::id::{LogEpoch, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use std::collections::HashMap;
use std::sync::Arc;

/// A run is this long at most, in bytes of its batches.
const RUN_BYTES_MAX: usize = 128 << 10;
/// Or this long, in changes: all are in memory at a time.
const RUN_CHANGES_MAX: usize = 4_096;
/// Of the entries after which a log is looked at, a run has at least this part.
const RUN_ENTRIES_PART: usize = 32;

/// A look at one workspace's log: see [`Writer::look`](super::Writer::look).
pub struct Look {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) workspace: WorkspaceId,
    /// Where a run may end at the latest: what is durable.
    pub(super) through: LogSeq,
    pub(super) entries_min: usize,
}

/// A run and what it becomes.
pub struct Compacted {
    pub(super) workspace: WorkspaceId,
    pub(super) epoch: LogEpoch,
    /// The entries that go, but for the last, whose place the new one takes.
    pub(super) run: Vec<LogSeq>,
    pub(super) batch: Vec<u8>,
    /// Through here the log need not be looked at again.
    pub(super) done: LogSeq,
}

impl Look {
    /// The first run there is; `None` when there is none.
    pub fn run(&self) -> Result<Option<Compacted>, LogError> {
        let Some(row) = rows::decode::<WorkspaceRow>(self.read(&rows::workspace_key(&self.workspace))?)? else {
            return Ok(None);
        };
        let done = rows::decode::<CompactedRow>(self.read(&rows::compacted_key(&self.workspace))?)?;
        let mut done = LogSeq(done.map_or(0, |row| row.through));
        let run_entries_min = (self.entries_min / RUN_ENTRIES_PART).max(2);
        loop {
            let page = read_entries(&*self.disk, &self.workspace, done, self.through, RUN_BYTES_MAX)?;
            let Some(last) = page.last() else { return Ok(None) };
            let mut entries = worthwhile(&page);
            while entries.len() >= run_entries_min {
                let (items, run) = self.changes(entries)?;
                entries = &entries[run.len().max(1)..];
                if run.len() < run_entries_min {
                    continue;
                }
                let packed = batch::pack(&items, Style::Compact).ok().filter(|packed| packed.len() <= ENTRY_BYTES_MAX);
                if let Some(batch) = packed {
                    let workspace = self.workspace.clone();
                    return Ok(Some(Compacted { workspace, epoch: row.epoch(), run, batch, done }));
                }
            }
            if last.seq >= self.through {
                return Ok(None);
            }
            done = last.seq;
        }
    }

    /// The changes of entries, as many of the first ones as a run may hold, and which those are.
    fn changes(&self, entries: &[Arc<Entry>]) -> Result<(Vec<Item>, Vec<LogSeq>), LogError> {
        let mut lineages: HashMap<RecordId, Lineage> = HashMap::new();
        let (mut items, mut run) = (Vec::new(), Vec::new());
        for entry in entries {
            let damaged = || LogError::Damaged(format!("entry {} of {}", entry.seq.0, self.workspace));
            let batch = Batch::decode(&entry.batch)?;
            if items.len() + batch.len() > RUN_CHANGES_MAX {
                break;
            }
            let mut failed = None;
            let unpacked = batch.unpack(&self.workspace, |record, actor, number| {
                let lineage = self.lineage(&mut lineages, record);
                lineage.map_err(|error| failed = Some(error)).ok()?.hash_of(actor, number)
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            for (record, change) in &unpacked.changes {
                let change = change.as_ref().ok().filter(|_| unpacked.clear).ok_or_else(damaged)?;
                items.push(item(record, change, Some(self.lineage(&mut lineages, record)?))?);
            }
            run.push(entry.seq);
        }
        if planted!(CompactedShort) {
            items.pop();
        }
        Ok((items, run))
    }

    fn lineage<'l>(
        &self,
        lineages: &'l mut HashMap<RecordId, Lineage>,
        record: &RecordId,
    ) -> Result<&'l Lineage, LogError> {
        if !lineages.contains_key(record) {
            let row = rows::decode::<DocumentRow>(self.read(&rows::document_key(&self.workspace, record))?)?;
            lineages.insert(record.clone(), row.unwrap_or_default().lineage);
        }
        lineages.get(record).ok_or(LogError::Unavailable)
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LogError> {
        Ok(txn::read(&*self.disk, key)?)
    }
}

/// The entries without the first ones that are longer than all that follow: what a run became is not written again before
/// as much has come behind it, so that a byte is written some few times in all.
fn worthwhile(page: &[Arc<Entry>]) -> &[Arc<Entry>] {
    let mut behind: usize = page.iter().map(|entry| entry.batch.len()).sum();
    let first = page.iter().position(|entry| {
        behind -= entry.batch.len();
        entry.batch.len() <= behind
    });
    &page[first.unwrap_or(page.len())..]
}
