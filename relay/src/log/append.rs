//! One group of pushes, staged together and made durable by one flush: dedup, admission, numbering, digest. Must not
//! know threads or who waits for the answer.

use super::lineages::Lineages;
use super::rows::{self, CollectionRow, DocumentRow, Head, UsageRow, WorkspaceRow};
use super::{ENTRY_BYTES_MAX, Entry, LogError, Outcome, Receipt, usage};
use crate::auth::{Access, Grant};
use comptoir_engine::change::Change;
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::gate::{Admission, Lineage, Refusal};
use comptoir_engine::id::{Collection, DocumentId, LogSeq, RecordId, WorkspaceId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::batch::{self, Batch, Item, Style, Unpacked};
use comptoir_engine::wire::message::{Refused, Role};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Pushes staged over a disk.
pub(super) struct Group<'d> {
    disk: &'d dyn Disk,
    workspaces: BTreeMap<WorkspaceId, Staged<'d>>,
}

/// One workspace as it will be after the group.
struct Staged<'d> {
    disk: &'d dyn Disk,
    row: WorkspaceRow,
    usage: UsageRow,
    lineages: Lineages<'d>,
    touched: HashSet<RecordId>,
    /// The digests of the collections that were touched.
    collections: BTreeMap<Collection, Digest>,
    entries: Vec<Arc<Entry>>,
}

/// What a group added to one workspace.
pub(super) struct Appended {
    pub(super) workspace: WorkspaceId,
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) head: Head,
    /// How long the log is with it, in bytes.
    pub(super) bytes: u64,
}

/// What the gate said of a push's changes.
struct Admitted {
    /// The lineages the push adds to, as they will be after it.
    lineages: HashMap<RecordId, Lineage>,
    /// The places of the new changes in the push.
    new: Vec<usize>,
    refused: Vec<Refused>,
}

impl Admitted {
    /// Whether the device will make some of these changes again under another author. Then nothing of the push is stored:
    /// of a transaction the others would see a part.
    fn shows_a_copied_store(&self, unpacked: &Unpacked) -> bool {
        self.refused.iter().filter(|refused| refused.reason == Refusal::Forked).any(|refused| {
            let (_, change) = &unpacked.changes[refused.index as usize];
            change.as_ref().is_ok_and(|change| !change.parts().actor.is_derived())
        })
    }

    /// The new changes are refused too.
    fn refuse_all(self, reason: &Refusal) -> Vec<Refused> {
        let new = self.new.iter().map(|index| Refused { index: *index as u32, reason: reason.clone() });
        let mut refused: Vec<_> = self.refused.into_iter().chain(new).collect();
        refused.sort_by_key(|refused| refused.index);
        refused
    }
}

impl<'d> Group<'d> {
    pub(super) fn new(disk: &'d dyn Disk) -> Self {
        Self { disk, workspaces: BTreeMap::new() }
    }

    /// Stages a push by somebody; by nobody when it comes out of a log. What is wrong with it is its outcome; an error is the
    /// log's own and fails the whole group.
    pub(super) fn append(
        &mut self,
        workspace: &WorkspaceId,
        by: Option<&Grant>,
        bytes: &[u8],
    ) -> Result<Outcome, LogError> {
        let staged = self.workspace(workspace)?;
        let after = match staged.entries.first() {
            Some(first) if planted!(SeqGivenTwice) => first.after,
            _ => staged.row.head().tail,
        };
        let batch = match Batch::decode(bytes) {
            Ok(batch) => batch,
            Err(fault) => return Ok(Outcome::Unreadable(fault)),
        };
        let receipt =
            |seq, changes, refused| Outcome::Stored(Receipt { seq, changes, after, head: Head::default(), refused });
        if by.is_some_and(|grant| grant.role() < Role::Editor) {
            return Ok(receipt(None, 0, refuse_all(batch.len(), &Refusal::RoleTooLow)));
        }
        let unpacked = match staged.lineages.unpack(&batch)? {
            Ok(unpacked) if !unpacked.clear => return Ok(Outcome::Unclear),
            Ok(unpacked) => unpacked,
            Err(fault) => return Ok(Outcome::Unreadable(fault)),
        };
        let seq = LogSeq(after.0 + 1);
        let admitted = staged.admit(workspace, by, &unpacked, seq)?;
        if admitted.new.is_empty() {
            return Ok(receipt(None, 0, admitted.refused));
        }
        if admitted.shows_a_copied_store(&unpacked) {
            return Ok(receipt(None, 0, admitted.refuse_all(&Refusal::Waits)));
        }
        let packed = match admitted.new.len() == unpacked.changes.len() {
            true => Some(bytes.to_vec()),
            false => repack(&unpacked, &admitted)?,
        };
        let Some(packed) = packed.filter(|packed| packed.len() <= ENTRY_BYTES_MAX) else {
            let limit = Refusal::TooLarge { limit: "bytes in a push".to_owned(), limit_max: ENTRY_BYTES_MAX as u64 };
            return Ok(receipt(None, 0, admitted.refuse_all(&limit)));
        };
        let changes = admitted.new.len();
        staged.take(workspace, admitted.lineages, Entry { seq, after, batch: packed })?;
        Ok(receipt(Some(seq), changes, admitted.refused))
    }

    /// Makes everything staged durable: one batch, one flush; nothing staged, nothing written.
    pub(super) fn commit(self, now: Timestamp) -> Result<Vec<Appended>, LogError> {
        let mut txn = Txn::new(self.disk);
        let mut appended = Vec::new();
        for (workspace, mut staged) in self.workspaces {
            let head = staged.row.head();
            if !staged.entries.is_empty() {
                for entry in &staged.entries {
                    txn.put_new(rows::entry_key(&workspace, entry.seq), &entry.batch);
                }
                for (record, lineage) in staged.lineages.into_known() {
                    if !staged.touched.contains(&record) {
                        continue;
                    }
                    let key = rows::document_key(&workspace, &record);
                    txn.put(key, &rows::encode(&DocumentRow { lineage })?);
                }
                for (collection, digest) in staged.collections {
                    let key = rows::collection_key(&workspace, collection.as_str());
                    txn.put_short(key, &rows::encode(&CollectionRow { digest: digest.0 })?);
                }
                txn.put(rows::workspace_key(&workspace), &rows::encode(&staged.row)?);
                staged.usage.tail = head.tail.0;
                staged.usage.at_ms = now.unix_ms;
                staged.usage.entries += staged.entries.len() as u64;
                staged.usage.bytes += staged.entries.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
                txn.put_short(rows::usage_key(&workspace), &rows::encode(&staged.usage)?);
            }
            let bytes = staged.usage.bytes;
            appended.push(Appended { workspace, entries: staged.entries, head, bytes });
        }
        if !txn.is_empty() {
            txn.commit()?;
            if !planted!(AckBeforeFlush) {
                self.disk.flush()?;
            }
        }
        Ok(appended)
    }

    fn workspace(&mut self, workspace: &WorkspaceId) -> Result<&mut Staged<'d>, LogError> {
        if !self.workspaces.contains_key(workspace) {
            let row = rows::decode(txn::read(self.disk, &rows::workspace_key(workspace))?)?;
            let row = row.ok_or_else(|| LogError::Damaged(format!("the row of workspace {workspace} is missing")))?;
            let usage = usage::read(self.disk, workspace, &row)?;
            let lineages = Lineages::new(self.disk, workspace.clone());
            let staged = Staged {
                disk: self.disk,
                row,
                usage,
                lineages,
                touched: HashSet::new(),
                collections: BTreeMap::new(),
                entries: Vec::new(),
            };
            self.workspaces.insert(workspace.clone(), staged);
        }
        self.workspaces.get_mut(workspace).ok_or(LogError::Unavailable)
    }
}

impl Staged<'_> {
    /// Asks the gate about every change in turn, each on top of those before it.
    fn admit(
        &mut self,
        workspace: &WorkspaceId,
        by: Option<&Grant>,
        unpacked: &Unpacked,
        seq: LogSeq,
    ) -> Result<Admitted, LogError> {
        let mut admitted = Admitted { lineages: HashMap::new(), new: Vec::new(), refused: Vec::new() };
        let mut blocked: HashSet<&RecordId> = HashSet::new();
        for (index, (record, change)) in unpacked.changes.iter().enumerate() {
            let lineage = match admitted.lineages.get_mut(record) {
                Some(lineage) => lineage,
                None => {
                    let lineage = self.lineages.get(record)?.clone();
                    admitted.lineages.entry(record.clone()).or_insert(lineage)
                }
            };
            let document = DocumentId::derive(workspace, record);
            let checked = change.as_ref().map_err(Refusal::clone).and_then(|change| {
                let admission = match lineage.check(&document, change) {
                    Err(Refusal::MissingDeps) if planted!(ClosedLogUnchecked) => Admission::New,
                    checked => checked?,
                };
                // What the log has anyway may come again from whoever holds it.
                let open = by.is_none_or(|grant| grant.access(&record.collection) == Access::Write);
                if admission == Admission::New && !open {
                    Err(Refusal::CollectionClosed)
                } else {
                    Ok((change, admission))
                }
            });
            let reason = match checked {
                Ok((_, Admission::Known)) if !planted!(DedupOff) => continue,
                _ if blocked.contains(record) => Refusal::Waits,
                Ok((change, Admission::New | Admission::Known)) => {
                    lineage.extend(change, seq);
                    admitted.new.push(index);
                    continue;
                }
                Err(reason) => reason,
            };
            blocked.insert(record);
            admitted.refused.push(Refused { index: index as u32, reason });
        }
        let touched: HashSet<_> = admitted.new.iter().map(|index| &unpacked.changes[*index].0).collect();
        admitted.lineages.retain(|record, _| touched.contains(record));
        Ok(admitted)
    }

    /// The push becomes the tail.
    fn take(
        &mut self,
        workspace: &WorkspaceId,
        lineages: HashMap<RecordId, Lineage>,
        entry: Entry,
    ) -> Result<(), LogError> {
        // What may fail comes first: a push is staged whole or not at all.
        for record in lineages.keys() {
            self.lineages.get(record)?;
            if !self.collections.contains_key(&record.collection) {
                let row = txn::read(self.disk, &rows::collection_key(workspace, record.collection.as_str()))?;
                let row: CollectionRow = rows::decode(row)?.unwrap_or_default();
                self.collections.insert(record.collection.clone(), Digest(row.digest));
            }
        }
        let mut digest = self.row.head().digest;
        for (record, lineage) in lineages {
            let document = DocumentId::derive(workspace, &record);
            let before = self.lineages.get(&record)?.leaf(&document);
            let moved = lineage.leaf(&document).minus(before);
            digest = digest.plus(moved);
            let of_collection = self.collections.entry(record.collection.clone()).or_default();
            *of_collection = of_collection.plus(moved);
            self.touched.insert(record.clone());
            self.lineages.set(record, lineage);
        }
        self.row.set_head(Head { tail: entry.seq, digest });
        self.entries.push(Arc::new(entry));
        Ok(())
    }
}

fn refuse_all(changes: usize, reason: &Refusal) -> Vec<Refused> {
    (0..changes).map(|index| Refused { index: index as u32, reason: reason.clone() }).collect()
}

/// The new changes alone, as followers with this log's history read them; `None` when that is over a batch's limits.
fn repack(unpacked: &Unpacked, admitted: &Admitted) -> Result<Option<Vec<u8>>, LogError> {
    let mut items = Vec::with_capacity(admitted.new.len());
    for index in &admitted.new {
        if let Some((record, Ok(change))) = unpacked.changes.get(*index) {
            items.push(item(record, change, admitted.lineages.get(record))?);
        }
    }
    Ok(batch::pack(&items, Style::Compact).ok())
}

/// The change with the names of what it follows.
pub(super) fn item(record: &RecordId, change: &Change, lineage: Option<&Lineage>) -> Result<Item, LogError> {
    let place = |dep| lineage.and_then(|lineage| lineage.place_of(dep));
    let deps = change.parts().deps.iter().map(place).collect::<Option<Vec<_>>>();
    let deps = deps.ok_or_else(|| LogError::Damaged(format!("the row of {record} lacks what its changes follow")))?;
    Ok(Item { record: record.clone(), change: change.clone(), deps })
}
