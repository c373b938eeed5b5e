//! Whether all backups of a place can be restored: a log is made of each, and everything that is wrong is told. Must not
//! change the place.

use super::feed::{Compared, Cut, Feed};
use super::folder::blocking;
use super::manifest::{self, Lack, Manifest};
use super::restore::{feed_part, import_keys, open};
use super::{BackupError, Part, Place, Scratch};
use crate::catalog::CatalogError;
use crate::log::Standing;
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use std::collections::BTreeMap;

/// One backup as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBackup {
    /// The backup's name.
    pub name: String,
    /// When it was taken, where it says so.
    pub made: String,
    /// Each workspace that can be restored, with the last entry of the log it had.
    pub workspaces: Vec<(WorkspaceId, Standing)>,
    /// What was damaged when it was taken.
    pub lacks: Vec<Lack>,
    /// All that is wrong with it.
    pub faults: Vec<String>,
}

/// Checks every backup in the place, the newest first. What is damaged is what was found, not an error.
pub async fn check_all(place: &Place, scratch: &Scratch, now: Timestamp) -> Result<Vec<CheckedBackup>, BackupError> {
    let names = manifest::names(place).await?;
    if names.is_empty() {
        return Err(BackupError::NoBackup { place: place.to_string() });
    }
    let checked = async {
        let mut checker = Checker { place, scratch, now, chain: None, known: BTreeMap::new() };
        let mut checked = Vec::with_capacity(names.len());
        for name in names {
            checked.push(checker.check(name).await?);
        }
        checker.close().await?;
        checked.reverse();
        Ok(checked)
    };
    scratch.remove(checked.await).await
}

/// A log of the parts that some backups have in common, in their order.
struct Chain {
    feed: Feed,
    fed: Vec<Part>,
}

struct Checker<'p> {
    place: &'p Place,
    scratch: &'p Scratch,
    now: Timestamp,
    chain: Option<Chain>,
    /// What is wrong with each part that was read.
    known: BTreeMap<Part, Option<String>>,
}

impl Checker<'_> {
    async fn check(&mut self, name: String) -> Result<CheckedBackup, BackupError> {
        let manifest = match Manifest::read(self.place, &name).await {
            Ok(manifest) => manifest,
            Err(error) => {
                let (made, faults) = (String::new(), vec![fault(error)?]);
                return Ok(CheckedBackup { name, made, workspaces: Vec::new(), lacks: Vec::new(), faults });
            }
        };
        let states = match manifest.standings(self.place) {
            Ok(states) => states,
            Err(error) => {
                let Manifest { made, lacks, .. } = manifest;
                return Ok(CheckedBackup { name, made, workspaces: Vec::new(), lacks, faults: vec![fault(error)?] });
            }
        };
        let compared = self.compare(&manifest, states).await?;
        self.check_keys(&manifest.keys).await?;
        let wrong = manifest.all_parts().filter_map(|part| self.known.get(part).cloned().flatten());
        let mut checked = CheckedBackup {
            name,
            workspaces: Vec::new(),
            faults: wrong.collect(),
            made: manifest.made.clone(),
            lacks: manifest.lacks.clone(),
        };
        for (workspace, found) in compared {
            match found {
                Ok(standing) => checked.workspaces.push((workspace, standing)),
                Err(what) => checked.faults.push(what),
            }
        }
        Ok(checked)
    }

    /// Goes on from the backup before where this one does, else begins anew.
    async fn compare(
        &mut self,
        manifest: &Manifest,
        states: Vec<(WorkspaceId, Standing)>,
    ) -> Result<Vec<Compared>, BackupError> {
        let (mut feed, mut fed) = match self.chain.take() {
            Some(chain) if manifest.parts.starts_with(&chain.fed) => (chain.feed, chain.fed),
            chain => {
                self.chain = chain;
                self.close().await?;
                self.scratch.make().await?;
                let feed = open(self.place, self.scratch.folder(), None, Cut::default(), self.now).await?;
                (feed, Vec::new())
            }
        };
        for part in &manifest.parts[fed.len()..] {
            self.scratch.check()?;
            let done = feed_part(self.place, part, feed).await?;
            feed = done.feed;
            self.known.insert(part.clone(), done.fault.map(fault).transpose()?);
            fed.push(part.clone());
        }
        let (feed, compared) = blocking(move || {
            let compared = feed.compare(states)?;
            Ok((feed, compared))
        })
        .await?;
        self.chain = Some(Chain { feed, fed });
        Ok(compared)
    }

    async fn check_keys(&mut self, part: &Part) -> Result<(), BackupError> {
        if !self.known.contains_key(part) {
            let wrong = match import_keys(self.place, part, self.scratch.folder()).await {
                Ok(()) => None,
                Err(error) => Some(fault(error)?),
            };
            self.known.insert(part.clone(), wrong);
        }
        Ok(())
    }

    /// Closing a store may wait for its disk.
    async fn close(&mut self) -> Result<(), BackupError> {
        let chain = self.chain.take();
        blocking(move || {
            drop(chain);
            Ok(())
        })
        .await
    }
}

/// What is wrong with a backup; an error that is not the backup's is one here too.
fn fault(error: BackupError) -> Result<String, BackupError> {
    match error {
        BackupError::Damaged { what, .. } => Ok(what),
        BackupError::NewerFormat { .. } | BackupError::Catalog(CatalogError::NotAKey { .. }) => Ok(error.to_string()),
        error => Err(error),
    }
}
