//! The lineages of one workspace's records, read from the disk when they are first asked for. Must not know what they are
//! asked for.

use super::LogError;
use super::rows::{self, DocumentRow};
use comptoir_engine::disk::{Disk, txn};
use comptoir_engine::gate::Lineage;
use comptoir_engine::id::{RecordId, WorkspaceId};
use comptoir_engine::wire::batch::{Batch, BatchFault, Unpacked};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) struct Lineages<'d> {
    disk: &'d dyn Disk,
    workspace: WorkspaceId,
    known: HashMap<RecordId, Lineage>,
}

impl<'d> Lineages<'d> {
    pub(super) fn new(disk: &'d dyn Disk, workspace: WorkspaceId) -> Self {
        Self { disk, workspace, known: HashMap::new() }
    }

    /// The record's lineage; empty when there is no such record.
    pub(super) fn get(&mut self, record: &RecordId) -> Result<&Lineage, LogError> {
        Ok(match self.known.entry(record.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let key = rows::document_key(&self.workspace, record);
                let row = rows::decode::<DocumentRow>(txn::read(self.disk, &key)?)?;
                vacant.insert(row.unwrap_or_default().lineage)
            }
        })
    }

    /// Puts a lineage in the place of what is known.
    pub(super) fn set(&mut self, record: RecordId, lineage: Lineage) {
        self.known.insert(record, lineage);
    }

    /// All that were asked for or set.
    pub(super) fn into_known(self) -> HashMap<RecordId, Lineage> {
        self.known
    }

    /// A batch's changes on top of these. The inner error is the batch's, the outer the disk's.
    pub(super) fn unpack(&mut self, batch: &Batch) -> Result<Result<Unpacked, BatchFault>, LogError> {
        let workspace = self.workspace.clone();
        let mut failed = None;
        let unpacked = batch.unpack(&workspace, |record, actor, number| {
            self.get(record).map_err(|error| failed = Some(error)).ok()?.hash_of(actor, number)
        });
        failed.map_or(Ok(unpacked), Err)
    }
}
