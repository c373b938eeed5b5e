//! Reading the log beside its writer: pages of entries, all leaves, whole documents. Reads at most through an entry
//! that the caller knows to be durable. Must not write.

use super::append::item;
use super::jobs::Jobs;
use super::rows::{self, DocumentRow};
use super::shown::show_entries;
use super::{Entry, Log, LogError};
use crate::auth::Grant;
use comptoir_engine::change::Change;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::{Disk, txn};
use comptoir_engine::gate::Lineage;
use comptoir_engine::id::{ChangeHash, DocumentId, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::wire::batch::{self, Batch, Item, Style};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows read at once: few at first, then as many as the last ones' size allows.
const ROWS_FIRST: usize = 16;
const ROWS_MAX: usize = 1024;
/// Documents' rows read at once.
const DOCUMENT_ROWS: usize = 256;
/// A batch of whole documents is closed when it holds so many bytes, uncompressed.
const RECORDS_BYTES: usize = 256 << 10;
/// Or so many changes.
const RECORDS_CHANGES: usize = 4096;

/// A leaf of the digest and the document it stands for.
pub type Leaf = (Digest, RecordId);

/// Reads an open log. Clones are handles on the same disk.
#[derive(Clone)]
pub struct Reader {
    disk: Arc<dyn Disk>,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// As [`Log::entries`], at once.
    pub fn entries(
        &self,
        grant: &Grant,
        after: LogSeq,
        through: LogSeq,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, LogError> {
        read_entries(&*self.disk, grant.workspace(), after, through, bytes_max)
    }

    /// As [`Log::shown_entries`], at once.
    pub fn shown_entries(
        &self,
        grant: &Grant,
        after: LogSeq,
        through: LogSeq,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, LogError> {
        let entries = self.entries(grant, after, through, bytes_max)?;
        match grant.readable() {
            Some(reach) => show_entries(&*self.disk, grant.workspace(), &reach, entries),
            None => Ok(entries),
        }
    }

    /// As [`Log::leaves`], at once.
    pub fn leaves(&self, grant: &Grant) -> Result<Vec<Leaf>, LogError> {
        let mut leaves = read_leaves(&*self.disk, grant.workspace())?;
        if let Some(reach) = grant.readable() {
            leaves.retain(|(_, record)| reach.contains(&record.collection));
        }
        Ok(leaves)
    }

    /// As [`Log::records`], at once: each batch goes to `send`, whose error ends it.
    pub fn records(
        &self,
        grant: &Grant,
        wanted: &[RecordId],
        through: LogSeq,
        send: &mut dyn FnMut(Vec<u8>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let (disk, workspace) = (&*self.disk, grant.workspace());
        Records { disk, workspace, send, items: Vec::new(), bytes: 0 }.send_all(wanted, through)
    }
}

impl Log {
    /// Entries after `after` and through `through`, in order and without a gap, at most `bytes_max` bytes of batches;
    /// one at least if there is one.
    pub async fn entries(
        &self,
        grant: &Grant,
        after: LogSeq,
        through: LogSeq,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, LogError> {
        let grant = grant.clone();
        self.read(move |reader| reader.entries(&grant, after, through, bytes_max)).await
    }

    /// The same entries with what the grant may read alone: where that is nothing, a batch is no bytes.
    pub async fn shown_entries(
        &self,
        grant: &Grant,
        after: LogSeq,
        through: LogSeq,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Entry>>, LogError> {
        let grant = grant.clone();
        self.read(move |reader| reader.shown_entries(&grant, after, through, bytes_max)).await
    }

    /// The leaf of every document that the grant may read. A document that changes while they are read has one of its states since the call.
    pub async fn leaves(&self, grant: &Grant) -> Result<Vec<Leaf>, LogError> {
        let grant = grant.clone();
        self.read(move |reader| reader.leaves(&grant)).await
    }

    /// Whole documents, as batches with every hash spelled out, each change behind those it follows; `through` bounds
    /// what is read. The sender ends after the last batch, or after an error.
    pub fn records(
        &self,
        grant: &Grant,
        wanted: Vec<RecordId>,
        through: LogSeq,
    ) -> mpsc::Receiver<Result<Vec<u8>, LogError>> {
        let (sender, receiver) = mpsc::channel(1);
        let (grant, slot, commands) = (grant.clone(), self.slot.clone(), self.commands.clone());
        let read = move |send: &mut dyn FnMut(Result<Vec<u8>, LogError>) -> Result<(), LogError>| {
            let mut each = |batch| send(Ok(batch));
            let sent = slot.reader().and_then(|reader| reader.records(&grant, &wanted, through, &mut each));
            if let Err(error) = sent {
                Self::report(&commands, &error);
                // Nobody listens when the session has ended.
                let _ = send(Err(error));
            }
        };
        match self.jobs {
            Jobs::Threads => drop(tokio::task::spawn_blocking(move || {
                read(&mut |batch| sender.blocking_send(batch).map_err(|_| LogError::Unavailable));
            })),
            Jobs::Here => {
                let mut batches = Vec::new();
                read(&mut |batch| {
                    batches.push(batch);
                    Ok(())
                });
                tokio::spawn(async move {
                    for batch in batches {
                        if sender.send(batch).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
        receiver
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = self.reads.clone().acquire_owned().await.map_err(|_| LogError::Unavailable)?;
        let slot = self.slot.clone();
        let job = move || {
            let _permit = permit;
            read(&slot.reader()?)
        };
        let read = self.jobs.run(job).await?;
        if let Err(error) = &read {
            Self::report(&self.commands, error);
        }
        read
    }
}

pub(super) fn read_entries(
    disk: &dyn Disk,
    workspace: &WorkspaceId,
    after: LogSeq,
    through: LogSeq,
    bytes_max: usize,
) -> Result<Vec<Arc<Entry>>, LogError> {
    let until = rows::entry_key(workspace, LogSeq(through.0.saturating_add(1)));
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let (mut last, mut bytes, mut rows_max) = (after, 0, ROWS_FIRST);
    loop {
        let from = rows::entry_key(workspace, LogSeq(last.0.saturating_add(1)));
        let page = txn::scan(disk, &from, &until, rows_max)?;
        let whole = page.len() == rows_max;
        for (key, batch) in page {
            let seq = rows::entry_seq(&key).ok_or_else(|| LogError::Damaged("an entry's key".to_owned()))?;
            if !entries.is_empty() && bytes + batch.len() > bytes_max {
                return Ok(entries);
            }
            bytes += batch.len();
            entries.push(Arc::new(Entry { seq, after: last, batch }));
            last = seq;
        }
        if !whole || bytes >= bytes_max {
            return Ok(entries);
        }
        let usual_bytes = (bytes / entries.len().max(1)).max(1);
        rows_max = ((bytes_max - bytes) / usual_bytes).clamp(ROWS_FIRST, ROWS_MAX);
    }
}

pub(super) fn read_leaves(disk: &dyn Disk, workspace: &WorkspaceId) -> Result<Vec<Leaf>, LogError> {
    let (mut from, until) = rows::documents(workspace);
    let mut leaves = Vec::new();
    loop {
        let page = txn::scan(disk, &from, &until, DOCUMENT_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(leaves) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let record = rows::record_of(workspace, &key);
            let record = record.ok_or_else(|| LogError::Damaged("a document's key".to_owned()))?;
            let row = rows::decode::<DocumentRow>(Some(value))?.unwrap_or_default();
            leaves.push((row.lineage.leaf(&DocumentId::derive(workspace, &record)), record));
        }
    }
}

/// A wanted document.
struct Wanted {
    lineage: Lineage,
    /// Changes that were not found yet.
    lacking: HashSet<ChangeHash>,
}

/// Gathers the changes of wanted documents from the log, entry by entry, and sends them in batches.
struct Records<'a> {
    disk: &'a dyn Disk,
    workspace: &'a WorkspaceId,
    send: &'a mut dyn FnMut(Vec<u8>) -> Result<(), LogError>,
    items: Vec<Item>,
    bytes: usize,
}

impl Records<'_> {
    fn send_all(&mut self, wanted: &[RecordId], through: LogSeq) -> Result<(), LogError> {
        let mut documents = HashMap::new();
        let mut entries = BTreeSet::new();
        for record in wanted {
            let row = txn::read(self.disk, &rows::document_key(self.workspace, record))?;
            let lineage = rows::decode::<DocumentRow>(row)?.unwrap_or_default().lineage;
            let mut lacking = HashSet::new();
            for (hash, seq) in lineage.changes().filter(|(_, seq)| *seq <= through) {
                entries.insert(seq);
                lacking.insert(hash);
            }
            documents.insert(record.clone(), Wanted { lineage, lacking });
        }
        // In order of the log, so that a change comes behind those it follows.
        let mut read = LogSeq(0);
        for seq in entries {
            // Its entry may have become one with those behind it.
            if seq > read {
                read = self.add_entry(&mut documents, seq)?;
            }
        }
        if let Some((record, _)) = documents.iter().find(|(_, wanted)| !wanted.lacking.is_empty()) {
            return Err(LogError::Damaged(format!("the entries of {} lack changes of {record}", self.workspace)));
        }
        self.close(self.items.len())
    }

    /// Adds what is wanted of the entry that holds this place of the log; where that entry stands.
    fn add_entry(&mut self, documents: &mut HashMap<RecordId, Wanted>, seq: LogSeq) -> Result<LogSeq, LogError> {
        let (from, until) = (rows::entry_key(self.workspace, seq), rows::entry_key(self.workspace, LogSeq(u64::MAX)));
        let row = txn::scan(self.disk, &from, &until, 1)?.pop();
        let missing = || LogError::Damaged(format!("entry {} of {} is missing", seq.0, self.workspace));
        let (key, bytes) = row.ok_or_else(missing)?;
        let seq = rows::entry_seq(&key).ok_or_else(missing)?;
        let unpacked = Batch::decode(&bytes)?
            .unpack(self.workspace, |record, actor, number| documents.get(record)?.lineage.hash_of(actor, number))?;
        for (record, change) in &unpacked.changes {
            // Changes of other documents, and those newer than the lineage, cannot be rebuilt here, and need not be.
            let (Some(wanted), Ok(change)) = (documents.get_mut(record), change) else { continue };
            if wanted.lacking.remove(&change.hash()) {
                self.add(record, change, &wanted.lineage)?;
            }
        }
        Ok(seq)
    }

    fn add(&mut self, record: &RecordId, change: &Change, lineage: &Lineage) -> Result<(), LogError> {
        self.bytes += change.bytes().len();
        self.items.push(item(record, change, Some(lineage))?);
        if self.bytes >= RECORDS_BYTES || self.items.len() >= RECORDS_CHANGES {
            self.close(self.items.len())?;
        }
        Ok(())
    }

    /// Sends the first `count` items, in halves when they make more than one entry may hold.
    fn close(&mut self, count: usize) -> Result<(), LogError> {
        if count == 0 {
            return Ok(());
        }
        let packed = batch::pack(&self.items[..count], Style::Explicit)?;
        if packed.len() > super::ENTRY_BYTES_MAX && count > 1 {
            let rest = count - count / 2;
            self.close(count / 2)?;
            return self.close(rest);
        }
        self.items.drain(..count);
        self.bytes = self.items.iter().map(|item| item.change.bytes().len()).sum();
        (self.send)(packed)
    }
}
