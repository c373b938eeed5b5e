//! Taking a backup beside a log that is written: each log is read from where the last backup ended to where its digest
//! stands, and what was written is tried before it counts. Must not know whether a relay serves meanwhile.

use super::manifest::{self, Manifest, WorkspaceState};
use super::pages::Pages;
use super::parts::{PART_BYTES_MAX, Packed, Packer, Row};
use super::restore::{blocking, check};
use super::{BackupError, Part, Place, in_place};
use crate::auth::Operator;
use crate::catalog::Catalog;
use crate::log::{Entry, Log, LogError, Standing};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// When a backup would name more parts than this, and more than it takes to hold the same anew, it is taken in full.
const SMALL_PARTS_MAX: usize = 64;
/// A part that no backup names is removed when it is so old: a younger one may belong to a backup that is under way.
const ORPHAN_MS: i64 = 24 * 60 * 60 * 1000;

/// A backup to be taken.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Everything is written anew, also what an earlier backup has.
    pub full: bool,
    /// How many backups are kept, this one included; `None`: all.
    pub keep: Option<usize>,
    /// Where it is tried, a folder that is not there, on a drive with room for the logs; `None`: it is not tried.
    pub scratch: Option<PathBuf>,
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its name in the place.
    pub name: String,
    /// How many workspaces it holds.
    pub workspaces: usize,
    /// The parts that were written for it.
    pub parts_written: usize,
    /// Their length in bytes.
    pub bytes_written: u64,
    /// All its parts' length in bytes.
    pub bytes: u64,
    /// Whether everything was written anew.
    pub full: bool,
    /// Whether a log was restored from it and had the same digests.
    pub tried: bool,
    /// How many earlier backups were removed.
    pub removed: usize,
}

/// What an earlier backup has already.
#[derive(Default)]
struct Base {
    states: BTreeMap<WorkspaceId, Standing>,
    parts: Vec<Part>,
}

impl Backup {
    /// Takes it. At most one is to be taken into a place at a time.
    pub async fn take(self, log: &Log, keys: &Catalog, place: &Place, now: Timestamp) -> Result<Taken, BackupError> {
        let operator = &Operator::with(keys);
        let opening = log.opening();
        let workspaces = log.workspaces(operator).await?;
        let (made, base) = self.base(log, operator, place, &workspaces, now).await?;
        let full = base.is_none();
        let Base { states: known, mut parts } = base.unwrap_or_default();
        let mut writer = Writer { place, packer: Packer::default(), written: Vec::new() };
        let mut states = Vec::with_capacity(workspaces.len());
        for workspace in &workspaces {
            let after = known.get(workspace).map_or(LogSeq(0), |standing| standing.head.tail);
            let mut pages = Pages::after(log, operator, workspace, after).await?;
            while let Some(page) = pages.next().await? {
                let row = |entry: &Arc<Entry>| Row::Entry {
                    workspace: workspace.clone(),
                    seq: entry.seq,
                    batch: entry.batch.clone(),
                };
                writer.add(page.iter().map(row).collect()).await?;
            }
            states.push(WorkspaceState::new(workspace, pages.standing()));
        }
        writer.close().await?;
        let mut written = std::mem::take(&mut writer.written);
        writer.add(keys.files()?.into_iter().map(|(file, text)| Row::Key { file, text }).collect()).await?;
        writer.close().await?;
        let keys = writer.written.pop().ok_or(LogError::Unavailable)?;
        // What was read may be younger than the log's last flush, and gone where its disk was opened again.
        log.settle(operator, opening).await?;
        written.retain(|part| !parts.contains(part));
        let (parts_written, bytes_written) = (written.len(), written.iter().map(|part| part.bytes).sum());
        parts.append(&mut written);
        let manifest = Manifest::new(made, states, parts, keys);
        if let Some(scratch) = &self.scratch {
            check(place, &manifest, scratch, now).await?;
        }
        let name = manifest.write(place, made).await?;
        let removed = match self.keep {
            Some(keep) => rotate(place, keep, now).await?,
            None => 0,
        };
        let (workspaces, bytes) = (workspaces.len(), manifest.all_parts().map(|part| part.bytes).sum());
        let tried = self.scratch.is_some();
        Ok(Taken { name, workspaces, parts_written, bytes_written, bytes, full, tried, removed })
    }

    /// When the backup is said to be taken, and what of an earlier one it can build on.
    async fn base(
        &self,
        log: &Log,
        operator: &Operator,
        place: &Place,
        workspaces: &[WorkspaceId],
        now: Timestamp,
    ) -> Result<(Timestamp, Option<Base>), BackupError> {
        let last = match manifest::newest(place, None).await {
            // The way out where the last one is damaged.
            Err(BackupError::Damaged { .. } | BackupError::NewerFormat { .. }) if self.full => None,
            last => last?.map(|(_, last)| last),
        };
        // In order of their names the newest is the last one, whatever the clock does.
        let earliest = manifest::newest_made(place).await?.map(|last| last.unix_ms + 1);
        let made = Timestamp { unix_ms: now.unix_ms.max(earliest.unwrap_or(now.unix_ms)) };
        match last {
            Some(last) if !self.full => Ok((made, usable(log, operator, place, workspaces, last).await?)),
            _ => Ok((made, None)),
        }
    }
}

/// Rows on their way into parts of a place.
struct Writer<'p> {
    place: &'p Place,
    packer: Packer,
    written: Vec<Part>,
}

impl Writer<'_> {
    async fn add(&mut self, rows: Vec<Row>) -> Result<(), BackupError> {
        let mut packer = std::mem::take(&mut self.packer);
        let packing = move || {
            let packed = rows.iter().filter_map(|row| packer.add(row).transpose()).collect::<Result<Vec<_>, _>>();
            Ok((packer, packed))
        };
        let (packer, packed) = blocking(packing).await?;
        self.packer = packer;
        for packed in packed.map_err(|fault| in_place(self.place.name(), &fault))? {
            self.write(packed).await?;
        }
        Ok(())
    }

    /// Ends the part that is open.
    async fn close(&mut self) -> Result<(), BackupError> {
        let mut packer = std::mem::take(&mut self.packer);
        let packed = blocking(move || Ok(packer.close())).await?;
        match packed.map_err(|fault| in_place(self.place.name(), &fault))? {
            Some(packed) => self.write(packed).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, (part, bytes): Packed) -> Result<(), BackupError> {
        self.place.write(&part.file(), bytes).await?;
        self.written.push(part);
        Ok(())
    }
}

/// What of an earlier backup still is so: all of it, or nothing.
async fn usable(
    log: &Log,
    operator: &Operator,
    place: &Place,
    workspaces: &[WorkspaceId],
    last: Manifest,
) -> Result<Option<Base>, BackupError> {
    let bytes: u64 = last.parts.iter().map(|part| part.bytes).sum();
    if last.parts.len() > SMALL_PARTS_MAX + 2 * (bytes / PART_BYTES_MAX) as usize {
        return Ok(None);
    }
    let stored: BTreeMap<_, _> =
        place.list("parts").await?.into_iter().map(|stored| (format!("parts/{}", stored.name), stored.bytes)).collect();
    if last.parts.iter().any(|part| stored.get(&part.file()) != Some(&part.bytes)) {
        return Ok(None);
    }
    let mut states = BTreeMap::new();
    for state in &last.workspaces {
        let Some((workspace, then)) = state.parse() else { return Ok(None) };
        let now =
            if workspaces.binary_search(&workspace).is_ok() { log.standing(operator, &workspace).await? } else { None };
        if now.is_none_or(|now| now.epoch != then.epoch || now.head.tail < then.head.tail) {
            return Ok(None);
        }
        states.insert(workspace, then);
    }
    Ok(Some(Base { states, parts: last.parts }))
}

/// Removes the oldest backups but `keep`, and the parts that none needs any more. How many backups went.
async fn rotate(place: &Place, keep: usize, now: Timestamp) -> Result<usize, BackupError> {
    let (mut backups, mut unread) = (Vec::new(), Vec::new());
    for name in manifest::names(place).await? {
        match Manifest::read(place, &name).await {
            Ok(manifest) => backups.push((name, manifest.all_parts().map(Part::file).collect::<Vec<_>>())),
            // It does not count.
            Err(BackupError::Damaged { .. } | BackupError::NewerFormat { .. }) => unread.push(name),
            Err(error) => return Err(error),
        }
    }
    let (old, kept) = backups.split_at(backups.len().saturating_sub(keep.max(1)));
    let (past, unread): (Vec<_>, Vec<_>) =
        unread.iter().partition(|name| kept.first().is_some_and(|(first, _)| *name < first));
    for name in old.iter().map(|(name, _)| name).chain(past) {
        Manifest::remove(place, name).await?;
    }
    if !unread.is_empty() {
        // What they need is not known.
        return Ok(old.len());
    }
    let files = |backups: &[(String, Vec<String>)]| -> BTreeSet<String> {
        backups.iter().flat_map(|(_, files)| files.iter().cloned()).collect()
    };
    let (freed, needed) = (files(old), files(kept));
    for stored in place.list("parts").await? {
        let (file, is_old) = (format!("parts/{}", stored.name), stored.written_ms < now.unix_ms - ORPHAN_MS);
        if !needed.contains(&file) && (is_old || freed.contains(&file)) {
            place.remove(&file).await?;
        }
    }
    Ok(old.len())
}
