//! Whether a relay's log is what was written: it is read from its first entry, hashed and asked about again, beside a relay
//! that serves it or without one. Must not change it.

use super::BackupError;
use super::pages::Pages;
use super::restore::{blocking, clear};
use crate::auth::Operator;
use crate::catalog::Catalog;
use crate::log::{Log, LogError, Rebuild};
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::{self, CACHE_BYTES};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// How often the records' leaves are read while the log grows beside, before they are left uncompared.
const LEAVES_TRIES: usize = 16;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Workspaces that were read.
    pub workspaces: usize,
    /// Their records.
    pub records: u64,
    /// Their entries.
    pub entries: u64,
    /// Workspaces whose entries are whole, but whose records changed too fast to be compared with them.
    pub uncompared: Vec<String>,
    /// What is not as it was written.
    pub damaged: Vec<Damage>,
}

/// One workspace's fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The workspace.
    pub workspace: String,
    /// What was found.
    pub what: String,
}

/// Verifies all workspaces. They are made again in the folder `scratch`, which is not there before or after, on a drive with
/// room for them. Damage is what was found, not an error.
pub async fn verify(log: &Log, keys: &Catalog, scratch: &Path, now: Timestamp) -> Result<Verified, BackupError> {
    let verified = verify_in(log, &Operator::with(keys), scratch, now).await;
    let removed = clear(scratch).await;
    verified.and_then(|verified| removed.map(|()| verified))
}

async fn verify_in(log: &Log, operator: &Operator, scratch: &Path, now: Timestamp) -> Result<Verified, BackupError> {
    clear(scratch).await?;
    let folder = scratch.to_owned();
    let opened = blocking(move || Ok(disk::open(&folder, None, CACHE_BYTES)?)).await?;
    let rebuild = Arc::new(Rebuild::new(opened.disk, now));
    let mut verified = Verified::default();
    for workspace in log.workspaces(operator).await? {
        verified.workspaces += 1;
        let what = match verify_one(log, operator, &rebuild, &workspace, &mut verified).await {
            Ok(()) => continue,
            Err(BackupError::Log(LogError::Damaged(what))) => what,
            Err(BackupError::Log(LogError::Disk(disk::DiskError::Damaged { what }))) => what,
            Err(error) => return Err(error),
        };
        verified.damaged.push(Damage { workspace: workspace.to_string(), what });
    }
    // Closing a store may wait for its disk.
    blocking(move || {
        drop(rebuild);
        Ok(())
    })
    .await?;
    Ok(verified)
}

async fn verify_one(
    log: &Log,
    operator: &Operator,
    rebuild: &Arc<Rebuild>,
    workspace: &WorkspaceId,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let damaged = |what: &str| Err(LogError::Damaged(what.to_owned()).into());
    let mut pages = Pages::after(log, operator, workspace, LogSeq(0)).await?;
    while let Some(page) = pages.next().await? {
        verified.entries += page.len() as u64;
        let (rebuild, workspace) = (rebuild.clone(), workspace.clone());
        let batches: Vec<_> = page.iter().map(|entry| entry.batch.clone()).collect();
        blocking(move || Ok(rebuild.add(&workspace, &batches)?)).await?;
    }
    let (again, named) = (rebuild.clone(), workspace.clone());
    let head = blocking(move || Ok(again.head(&named)?)).await?;
    if head.digest != pages.standing().head.digest {
        return damaged("the entries do not give the digest that the log says it has");
    }
    for _ in 0..LEAVES_TRIES {
        let before = log.standing(operator, workspace).await?;
        let leaves = log.leaves_of(operator, workspace).await?;
        if log.standing(operator, workspace).await? != before {
            continue;
        }
        verified.records += leaves.len() as u64;
        let sum = leaves.into_iter().fold(Digest::default(), |sum, (leaf, _)| sum.plus(leaf));
        if before.is_none_or(|standing| standing.head.digest != sum) {
            return damaged("the records' rows do not give the digest that the log says it has");
        }
        return Ok(());
    }
    verified.uncompared.push(workspace.to_string());
    Ok(())
}
