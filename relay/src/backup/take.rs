//! Taking a backup beside a log that is written: what was written is tried before it counts. Must not know whether a relay
//! serves meanwhile.

use super::manifest::{self, Manifest};
use super::pack::{Base, Damaged, Read, Source, Writer, lacks};
use super::parts::{PART_BYTES_MAX, Row};
use super::restore::try_out;
use super::{BackupError, Lack, Owner, Place, Scratch, owner, rotate};
use crate::auth::Operator;
use crate::catalog::Catalog;
use crate::log::{Log, LogError};
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When a backup would name more parts than this, and more than it takes to hold the same anew, it is taken in full.
const SMALL_PARTS_MAX: usize = 64;

/// A backup to be taken.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Whose it is.
    pub owner: Owner,
    /// Whether the place becomes its owner's where it is another relay's.
    pub take_over: bool,
    /// Everything is written anew, also what an earlier backup has.
    pub full: bool,
    /// How many backups are kept, this one included; `None`: all.
    pub keep: Option<usize>,
    /// Where it is tried; `None`: it is not tried.
    pub scratch: Option<Scratch>,
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
    /// The workspaces whose logs are damaged.
    pub lacks: Vec<Lack>,
    /// Why earlier backups were not removed; this one is good all the same.
    pub not_removed: Option<String>,
}

impl Backup {
    /// Takes it. At most one is to be taken into a place at a time. Damaged logs do not keep the others from being backed up:
    /// [`Taken::lacks`] names them.
    pub async fn take(
        self,
        log: &Log,
        keys: &Arc<Catalog>,
        place: &Place,
        now: Timestamp,
    ) -> Result<Taken, BackupError> {
        owner::claim(place, &self.owner, self.take_over, now).await?;
        let operator = &Operator::with(keys);
        let opening = log.opening();
        let source = Source { log, operator, workspaces: log.workspaces(operator).await? };
        let mut damaged = Damaged::new();
        let (made, base) = self.base(&source, place, &mut damaged, now).await?;
        let full = base.is_none();
        let base = base.unwrap_or_default();
        let (manifest, parts_written, bytes_written) = loop {
            let (states, mut written) = match source.read(&base, &damaged, place).await? {
                Read::Whole { states, written } => (states, written),
                Read::Damaged(found) => {
                    damaged.extend(found);
                    continue;
                }
            };
            if let Some(what) = damaged.values().next().filter(|_| states.is_empty()) {
                return Err(LogError::Damaged(what.clone()).into());
            }
            let keys = keys_part(keys, place).await?;
            // What was read may be younger than the log's last flush, and gone where its disk was opened again.
            log.settle(operator, opening).await?;
            written.retain(|part| !base.parts.contains(part));
            let (parts_written, bytes_written) = (written.len(), written.iter().map(|part| part.bytes).sum());
            let parts = base.parts.iter().cloned().chain(written).collect();
            let mut manifest = Manifest::new(made, states, parts, keys);
            manifest.lacks = lacks(&base, &damaged);
            if self.tried(place, &mut manifest, &mut damaged, now).await? {
                break (manifest, parts_written, bytes_written);
            }
        };
        let name = manifest.write(place, made).await?;
        let rotated = rotate::rotate(place, &self.owner, self.keep, now).await;
        let (removed, not_removed) = match rotated {
            Ok(removed) => (removed, None),
            Err(error) => (0, Some(error.to_string())),
        };
        let (workspaces, bytes) = (manifest.workspaces.len(), manifest.all_parts().map(|part| part.bytes).sum());
        let Manifest { tried, lacks, .. } = manifest;
        Ok(Taken { name, workspaces, parts_written, bytes_written, bytes, full, tried, removed, lacks, not_removed })
    }

    /// Tries it where that is wanted: false where a log did not come out as it was, which is among the damaged then.
    async fn tried(
        &self,
        place: &Place,
        manifest: &mut Manifest,
        damaged: &mut Damaged,
        now: Timestamp,
    ) -> Result<bool, BackupError> {
        let Some(scratch) = &self.scratch else { return Ok(true) };
        let mut is_whole = true;
        for (workspace, found) in try_out(place, manifest, scratch, now).await? {
            let Err(what) = found else { continue };
            // Without what is new it does not come out either: then it is the place that is damaged.
            if damaged.insert(workspace, what.clone()).is_some() {
                return Err(place.damaged(what));
            }
            is_whole = false;
        }
        manifest.tried = is_whole;
        Ok(is_whole)
    }

    /// When the backup is said to be taken, and what of an earlier one it can build on.
    async fn base(
        &self,
        source: &Source<'_>,
        place: &Place,
        damaged: &mut Damaged,
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
            Some(last) if !self.full => Ok((made, usable(source, place, damaged, last).await?)),
            _ => Ok((made, None)),
        }
    }
}

/// Writes the signing keys.
async fn keys_part(keys: &Arc<Catalog>, place: &Place) -> Result<super::Part, BackupError> {
    let keys = keys.clone();
    let files = super::folder::blocking(move || Ok(keys.files()?)).await?;
    let mut writer = Writer::new(place);
    writer.add(files.into_iter().map(|(file, text)| Row::Key { file, text }).collect()).await?;
    Ok(writer.finish().await?.pop().ok_or(LogError::Unavailable)?)
}

/// What of an earlier backup still is so: all of it, or nothing. A log that is damaged stays as the backup has it.
async fn usable(
    source: &Source<'_>,
    place: &Place,
    damaged: &mut Damaged,
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
        let is_there = source.workspaces.binary_search(&workspace).is_ok();
        let now = if is_there { source.log.standing(source.operator, &workspace).await } else { Ok(None) };
        match now.map_err(BackupError::from) {
            Ok(Some(now)) if now.epoch == then.epoch && now.head.tail >= then.head.tail => {}
            Ok(_) => return Ok(None),
            Err(error) => {
                let what = error.damage_of_log().ok_or(error)?;
                damaged.insert(workspace.clone(), what);
            }
        }
        states.insert(workspace, then);
    }
    Ok(Some(Base { states, parts: last.parts }))
}
