//! Whether a relay's log is what was written: it is read from its first entry, hashed and asked about again, beside a relay
//! that serves it or without one. Must not change it.

use super::folder::blocking;
use super::pages::Pages;
use super::{BackupError, Scratch};
use crate::auth::Operator;
use crate::catalog::Catalog;
use crate::log::{Log, LogError, Rebuild};
use comptoir_engine::digest::Digest;
use comptoir_engine::disk::{self, CACHE_BYTES};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use comptoir_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How often the records' leaves are read while the log grows beside, before they are left uncompared.
const LEAVES_TRIES: usize = 16;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Every workspace, in order of their names.
    pub workspaces: Vec<VerifiedWorkspace>,
}

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedWorkspace {
    /// Its name.
    pub workspace: String,
    /// Its records, as far as they were read.
    pub records: u64,
    /// Its entries, as far as they were read.
    pub entries: u64,
    /// What it is like.
    pub found: Found,
}

/// What a workspace's log is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// As it was written.
    Whole,
    /// Its entries are whole, but its records changed too fast to be compared with them.
    Uncompared,
    /// Not as it was written; what was found.
    Damaged(String),
    /// It could not be read; why not.
    Unread(String),
}

/// Verifies all workspaces. They are made again in the folder `scratch`. Damage is what was found, not an error, and neither
/// is a log that cannot be read: the others are verified all the same.
pub async fn verify(log: &Log, keys: &Catalog, scratch: &Scratch, now: Timestamp) -> Result<Verified, BackupError> {
    scratch.make().await?;
    scratch.remove(verify_in(log, &Operator::with(keys), scratch, now).await).await
}

async fn verify_in(log: &Log, operator: &Operator, scratch: &Scratch, now: Timestamp) -> Result<Verified, BackupError> {
    let folder = scratch.folder().join("log");
    let opened = blocking(move || Ok(disk::open(&folder, None, CACHE_BYTES)?)).await?;
    let rebuild = Arc::new(Rebuild::new(opened.disk, now));
    let mut verified = Verified::default();
    for workspace in log.workspaces(operator).await? {
        let mut one = VerifiedWorkspace {
            workspace: workspace.to_string(),
            records: 0,
            entries: 0,
            found: Found::Unread(String::new()),
        };
        let verifier = Verifier { log, operator, scratch, rebuild: &rebuild, workspace: &workspace };
        one.found = match verifier.verify(&mut one).await {
            Ok(found) => found,
            Err(Fault::OfLog(error)) => match error.damage_of_log() {
                Some(what) => Found::Damaged(what),
                None => Found::Unread(error.to_string()),
            },
            Err(Fault::OfScratch(error)) => return Err(error),
        };
        verified.workspaces.push(one);
    }
    // Closing a store may wait for its disk.
    blocking(move || {
        drop(rebuild);
        Ok(())
    })
    .await?;
    Ok(verified)
}

/// Where something failed.
enum Fault {
    OfLog(BackupError),
    OfScratch(BackupError),
}

/// One workspace that is verified.
struct Verifier<'v> {
    log: &'v Log,
    operator: &'v Operator,
    scratch: &'v Scratch,
    rebuild: &'v Arc<Rebuild>,
    workspace: &'v WorkspaceId,
}

impl Verifier<'_> {
    async fn verify(&self, one: &mut VerifiedWorkspace) -> Result<Found, Fault> {
        let Self { log, operator, workspace, .. } = self;
        let damaged = |what: &str| Ok(Found::Damaged(what.to_owned()));
        let mut pages = Pages::after(log, operator, workspace, LogSeq(0)).await.map_err(Fault::OfLog)?;
        while let Some(page) = pages.next().await.map_err(Fault::OfLog)? {
            one.entries += page.len() as u64;
            let batches: Vec<_> = page.iter().map(|entry| entry.batch.clone()).collect();
            if let Err(what) = self.add(batches).await.map_err(Fault::OfScratch)? {
                return Ok(Found::Damaged(what));
            }
        }
        let (again, named) = (self.rebuild.clone(), (*workspace).clone());
        let head = blocking(move || Ok(again.head(&named)?)).await.map_err(Fault::OfScratch)?;
        if head.digest != pages.standing().head.digest {
            return damaged("the entries do not give the digest that the log says it has");
        }
        let of_log = |error: LogError| Fault::OfLog(error.into());
        for _ in 0..LEAVES_TRIES {
            let before = log.standing(operator, workspace).await.map_err(of_log)?;
            let leaves = log.leaves_of(operator, workspace).await.map_err(of_log)?;
            if log.standing(operator, workspace).await.map_err(of_log)? != before {
                continue;
            }
            one.records = leaves.len() as u64;
            let sum = leaves.into_iter().fold(Digest::default(), |sum, (leaf, _)| sum.plus(leaf));
            if before.is_none_or(|standing| standing.head.digest != sum) {
                return damaged("the records' rows do not give the digest that the log says it has");
            }
            return Ok(Found::Whole);
        }
        Ok(Found::Uncompared)
    }

    /// Adds entries to the log that is made again; what is wrong with them.
    async fn add(&self, batches: Vec<Vec<u8>>) -> Result<Result<(), String>, BackupError> {
        self.scratch.check()?;
        let (rebuild, workspace) = (self.rebuild.clone(), self.workspace.clone());
        blocking(move || match rebuild.add(&workspace, &batches) {
            Err(LogError::Damaged(what)) => Ok(Err(what)),
            added => Ok(Ok(added?)),
        })
        .await
    }
}
