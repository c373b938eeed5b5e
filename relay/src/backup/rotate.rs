//! Removing backups that are past their number, and what belongs to none. Must not remove the last backup that holds a
//! workspace.

use super::manifest::{self, Manifest};
use super::{BackupError, Owner, Part, Place, check_owner};
use comptoir_engine::time::Timestamp;
use std::collections::BTreeSet;

/// A part that no backup names is removed when it is so old: a younger one may belong to a backup that is under way. So is
/// what was half-written.
const ORPHAN_MS: i64 = 24 * 60 * 60 * 1000;

/// Removes the oldest backups but `keep`, and the parts that none needs any more. Besides those `keep` the newest one stays
/// that holds a workspace which they do not hold, or not tried. How many backups went.
pub(super) async fn rotate(
    place: &Place,
    relay: &Owner,
    keep: Option<usize>,
    now: Timestamp,
) -> Result<usize, BackupError> {
    let old_ms = now.unix_ms - ORPHAN_MS;
    place.sweep(Timestamp { unix_ms: old_ms }).await?;
    let Some(keep) = keep else { return Ok(0) };
    // The backup before this took its time.
    check_owner(place, relay).await?;
    let (mut backups, mut damaged, mut newer) = (Vec::new(), Vec::new(), false);
    for name in manifest::names(place).await? {
        match Manifest::read(place, &name).await {
            Ok(manifest) => backups.push((name, manifest)),
            // It does not count.
            Err(BackupError::Damaged { .. }) => damaged.push(name),
            Err(BackupError::NewerFormat { .. }) => newer = true,
            Err(error) => return Err(error),
        }
    }
    let kept = kept(&backups, keep.max(1));
    let first = backups.len().saturating_sub(keep.max(1));
    let first = backups.get(first).map(|(name, _)| name.clone());
    let (old, backups): (Vec<_>, Vec<_>) = backups.into_iter().partition(|(name, _)| !kept.contains(name));
    let (past, damaged): (Vec<_>, Vec<_>) =
        damaged.into_iter().partition(|name| first.as_ref().is_some_and(|first| name < first));
    for name in old.iter().map(|(name, _)| name).chain(&past) {
        Manifest::remove(place, name).await?;
    }
    if newer || !damaged.is_empty() {
        // What they need is not known.
        return Ok(old.len());
    }
    let (freed, needed) = (files(&old), files(&backups));
    for stored in place.list("parts").await? {
        let (file, is_old) = (format!("parts/{}", stored.name), stored.written_ms < old_ms);
        if !needed.contains(&file) && (is_old || freed.contains(&file)) {
            place.remove(&file).await?;
        }
    }
    Ok(old.len())
}

/// Which stay of all these, the newest of which is last.
fn kept(backups: &[(String, Manifest)], keep: usize) -> BTreeSet<String> {
    let newest = backups.iter().rev().take(keep);
    let mut kept: BTreeSet<String> = newest.clone().map(|(name, _)| name.clone()).collect();
    let mut held: BTreeSet<&str> =
        newest.filter(|(_, manifest)| manifest.tried).flat_map(|(_, manifest)| names(manifest)).collect();
    for (name, manifest) in backups.iter().rev().skip(keep).filter(|(_, manifest)| manifest.tried) {
        if names(manifest).any(|workspace| !held.contains(workspace)) {
            kept.insert(name.clone());
            held.extend(names(manifest));
        }
    }
    kept
}

fn names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.workspaces.iter().map(|state| state.workspace.as_str())
}

fn files(backups: &[(String, Manifest)]) -> BTreeSet<String> {
    backups.iter().flat_map(|(_, manifest)| manifest.all_parts().map(Part::file)).collect()
}
