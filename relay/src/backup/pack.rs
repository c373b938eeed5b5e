//! Reading every workspace's log into parts, from where the last backup ended to where its digest stands. A log that is damaged
//! is set aside, and the others go on. Must not know what becomes of the parts.

use super::error::in_place;
use super::folder::blocking;
use super::manifest::WorkspaceState;
use super::pages::Pages;
use super::parts::{Packed, Packer, Row};
use super::{BackupError, Lack, Part, Place};
use crate::auth::Operator;
use crate::log::{Entry, Log, Standing};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an earlier backup has already.
#[derive(Default)]
pub(super) struct Base {
    pub(super) states: BTreeMap<WorkspaceId, Standing>,
    pub(super) parts: Vec<Part>,
}

/// Workspaces whose logs are damaged, and what was found.
pub(super) type Damaged = BTreeMap<WorkspaceId, String>;

/// The logs that are backed up.
pub(super) struct Source<'l> {
    pub(super) log: &'l Log,
    pub(super) operator: &'l Operator,
    pub(super) workspaces: Vec<WorkspaceId>,
}

/// What became of reading them.
pub(super) enum Read {
    /// All of it is in parts, but for those that were known to be damaged.
    Whole { states: Vec<WorkspaceState>, written: Vec<Part> },
    /// These are damaged too. What was written is of no use: it may hold a piece of one.
    Damaged(Damaged),
}

impl Source<'_> {
    /// Reads all logs but those in `damaged`, each from where `base` has it, into parts of the place.
    pub(super) async fn read(&self, base: &Base, damaged: &Damaged, place: &Place) -> Result<Read, BackupError> {
        let mut writer = Writer::new(place);
        let mut states = Vec::with_capacity(self.workspaces.len());
        for (index, workspace) in self.workspaces.iter().enumerate() {
            if damaged.contains_key(workspace) {
                continue;
            }
            match self.read_one(base, workspace, Some(&mut writer)).await {
                Ok(standing) => states.push(WorkspaceState::new(workspace, standing)),
                Err(error) => {
                    let what = error.damage_of_log().ok_or(error)?;
                    let mut found = Damaged::from([(workspace.clone(), what)]);
                    for later in self.workspaces[index + 1..].iter().filter(|each| !damaged.contains_key(each)) {
                        if let Err(error) = self.read_one(base, later, None).await {
                            found.insert(later.clone(), error.damage_of_log().ok_or(error)?);
                        }
                    }
                    return Ok(Read::Damaged(found));
                }
            }
        }
        // As the last backup has them; in full they are in no part.
        let kept = damaged.keys().filter_map(|workspace| Some((workspace, base.states.get(workspace)?)));
        states.extend(kept.map(|(workspace, standing)| WorkspaceState::new(workspace, *standing)));
        states.sort_by(|one, other| one.workspace.cmp(&other.workspace));
        Ok(Read::Whole { states, written: writer.finish().await? })
    }

    async fn read_one(
        &self,
        base: &Base,
        workspace: &WorkspaceId,
        mut writer: Option<&mut Writer<'_>>,
    ) -> Result<Standing, BackupError> {
        let after = base.states.get(workspace).map_or(LogSeq(0), |standing| standing.head.tail);
        let mut pages = Pages::after(self.log, self.operator, workspace, after).await?;
        while let Some(page) = pages.next().await? {
            let row = |entry: &Arc<Entry>| Row::Entry {
                workspace: workspace.clone(),
                seq: entry.seq,
                batch: entry.batch.clone(),
            };
            if let Some(writer) = &mut writer {
                writer.add(page.iter().map(row).collect()).await?;
            }
        }
        Ok(pages.standing())
    }
}

/// What a backup says of damaged logs.
pub(super) fn lacks(base: &Base, damaged: &Damaged) -> Vec<Lack> {
    let lack = |(workspace, what): (&WorkspaceId, &String)| Lack {
        workspace: workspace.to_string(),
        what: what.clone(),
        through: base.states.get(workspace).map(|standing| standing.head.tail.0),
    };
    damaged.iter().map(lack).collect()
}

/// Rows on their way into parts of a place.
pub(super) struct Writer<'p> {
    place: &'p Place,
    packer: Packer,
    written: Vec<Part>,
}

impl<'p> Writer<'p> {
    pub(super) fn new(place: &'p Place) -> Self {
        Self { place, packer: Packer::default(), written: Vec::new() }
    }

    pub(super) async fn add(&mut self, rows: Vec<Row>) -> Result<(), BackupError> {
        let mut packer = std::mem::take(&mut self.packer);
        let packing = move || {
            let packed = rows.iter().filter_map(|row| packer.add(row).transpose()).collect::<Result<Vec<_>, _>>();
            Ok((packer, packed))
        };
        let (packer, packed) = blocking(packing).await?;
        self.packer = packer;
        for packed in packed.map_err(|fault| in_place(&self.place.to_string(), &fault))? {
            self.write(packed).await?;
        }
        Ok(())
    }

    /// Ends the part that is open. All parts that were written, in order.
    pub(super) async fn finish(mut self) -> Result<Vec<Part>, BackupError> {
        let mut packer = std::mem::take(&mut self.packer);
        let packed = blocking(move || Ok(packer.close())).await?;
        if let Some(packed) = packed.map_err(|fault| in_place(&self.place.to_string(), &fault))? {
            self.write(packed).await?;
        }
        Ok(self.written)
    }

    async fn write(&mut self, (part, bytes): Packed) -> Result<(), BackupError> {
        self.place.write(&part.file(), bytes).await?;
        self.written.push(part);
        Ok(())
    }
}
