//! Compaction: a run of short entries becomes one, which holds the same changes in the same order and stands where the
//! run's last entry stood. What a follower has of it already changes nothing there, so no cursor loses its place. A run is
//! found beside the writer, and put in place by it. Must not load a document.
//!
//! Nothing is left out, and history stays whole: what is saved is rows and headers, and like stands beside like.

use super::append::item;
use super::lineages::Lineages;
use super::read::read_entries;
use super::rows::{self, CompactedRow, WorkspaceRow};
use super::{ENTRY_BYTES_MAX, Entry, LogError, usage};
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::id::{LogEpoch, LogSeq, WorkspaceId};
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run is this long at most, in bytes of its batches.
const RUN_BYTES_MAX: usize = 128 << 10;
/// Or this long, in changes: all are in memory at a time.
const RUN_CHANGES_MAX: usize = 4_096;
/// Of the entries after which a log is looked at, a run has at least this part.
const RUN_ENTRIES_PART: usize = 32;

/// By how much each workspace's log has grown since it was looked at.
#[derive(Default)]
pub(super) struct Growth(BTreeMap<WorkspaceId, Grown>);

struct Grown {
    entries: usize,
    /// The last durable entry.
    tail: LogSeq,
}

impl Growth {
    /// A workspace is used: its log is looked at once in a process, because it may have grown by little in each.
    pub(super) fn opened(&mut self, workspace: &WorkspaceId, tail: LogSeq) {
        self.0.entry(workspace.clone()).or_insert(Grown { entries: usize::MAX, tail });
    }

    /// So many entries more are durable.
    pub(super) fn appended(&mut self, workspace: &WorkspaceId, entries: usize, tail: LogSeq) {
        let grown = self.0.entry(workspace.clone()).or_insert(Grown { entries: 0, tail });
        (grown.entries, grown.tail) = (grown.entries.saturating_add(entries), tail);
    }

    /// A look at a log that has grown by `entries_min` entries, if there is one; it counts as looked at from then on.
    pub(super) fn look(&mut self, disk: &Arc<dyn Disk>, entries_min: usize) -> Option<Look> {
        let (workspace, grown) = self.0.iter_mut().find(|(_, grown)| grown.entries >= entries_min)?;
        grown.entries = 0;
        Some(Look { disk: disk.clone(), workspace: workspace.clone(), through: grown.tail, entries_min })
    }

    /// The log is gone.
    pub(super) fn forget(&mut self, workspace: &WorkspaceId) {
        self.0.remove(workspace);
    }

    /// There may be more to do in a log.
    fn look_again(&mut self, workspace: &WorkspaceId) {
        self.0.get_mut(workspace).into_iter().for_each(|grown| grown.entries = usize::MAX);
    }
}

/// A look at one workspace's log: see [`Writer::look`](super::Writer::look).
pub struct Look {
    disk: Arc<dyn Disk>,
    workspace: WorkspaceId,
    /// Where a run may end at the latest: what is durable.
    through: LogSeq,
    entries_min: usize,
}

/// A run and what it becomes.
pub struct Compacted {
    workspace: WorkspaceId,
    epoch: LogEpoch,
    /// The entries that go, but for the last, whose place the new one takes.
    run: Vec<LogSeq>,
    /// By how many bytes they are longer than the new one.
    saved_bytes: usize,
    batch: Vec<u8>,
    /// Through here the log need not be looked at again.
    done: LogSeq,
}

impl Compacted {
    pub(super) fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// How many entries become one, and by how many bytes that is shorter.
    pub(super) fn savings(&self) -> (usize, usize) {
        (self.run.len(), self.saved_bytes)
    }

    /// Puts the new entry in the run's place, in one transaction. Needs no flush: what it replaces is the same.
    /// The log's length in bytes with it; `None` where nothing was to be done.
    pub(super) fn write(self, disk: &dyn Disk, growth: &mut Growth) -> Result<Option<u64>, LogError> {
        let Self { workspace, epoch, run, batch, done, saved_bytes } = self;
        let row = rows::decode::<WorkspaceRow>(txn::read(disk, &rows::workspace_key(&workspace))?)?;
        let Some((last, others)) = run.split_last() else { return Ok(None) };
        // The disk may have been opened again meanwhile.
        let Some(row) = row.filter(|row| row.epoch() == epoch && row.head().tail >= *last) else { return Ok(None) };
        let mut usage = usage::read(disk, &workspace, &row)?;
        usage.entries = usage.entries.saturating_sub(others.len() as u64);
        usage.bytes = usage.bytes.saturating_sub(saved_bytes as u64);
        let mut txn = Txn::new(disk);
        txn.put_short(rows::usage_key(&workspace), &rows::encode(&usage)?);
        others.iter().for_each(|seq| txn.remove(rows::entry_key(&workspace, *seq)));
        txn.put(rows::entry_key(&workspace, *last), &batch);
        txn.put_short(rows::compacted_key(&workspace), &rows::encode(&CompactedRow { through: done.0 })?);
        txn.commit()?;
        growth.look_again(&workspace);
        Ok(Some(usage.bytes))
    }
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
                let run_bytes: usize = entries.iter().take(run.len()).map(|entry| entry.batch.len()).sum();
                entries = &entries[run.len().max(1)..];
                if run.len() < run_entries_min {
                    continue;
                }
                let packed = batch::pack(&items, Style::Compact).ok().filter(|packed| packed.len() <= ENTRY_BYTES_MAX);
                if let Some(batch) = packed {
                    let workspace = self.workspace.clone();
                    let (epoch, saved_bytes) = (row.epoch(), run_bytes.saturating_sub(batch.len()));
                    return Ok(Some(Compacted { workspace, epoch, run, saved_bytes, batch, done }));
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
        let mut lineages = Lineages::new(&*self.disk, self.workspace.clone());
        let (mut items, mut run) = (Vec::new(), Vec::new());
        for entry in entries {
            let damaged = || LogError::Damaged(format!("entry {} of {}", entry.seq.0, self.workspace));
            let batch = Batch::decode(&entry.batch)?;
            if items.len() + batch.len() > RUN_CHANGES_MAX {
                break;
            }
            let unpacked = lineages.unpack(&batch)??;
            for (record, change) in &unpacked.changes {
                let change = change.as_ref().ok().filter(|_| unpacked.clear).ok_or_else(damaged)?;
                items.push(item(record, change, Some(lineages.get(record)?))?);
            }
            run.push(entry.seq);
        }
        if planted!(CompactedShort) {
            items.pop();
        }
        Ok((items, run))
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
