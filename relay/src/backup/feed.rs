//! Parts on their way into a log, in the order a backup names them: every change is hashed and asked about again, and what
//! came out is compared with what the logs said of themselves. Must not know where parts are kept.

use super::BackupError;
use super::error::in_place;
use super::parts::{Row, each_row};
use crate::log::{LogError, Rebuild, Standing};
use comptoir_engine::id::{LogSeq, WorkspaceId};
use std::collections::BTreeMap;

/// Entries are added to the new log so many bytes at a time.
const GROUP_BYTES: usize = 1 << 20;
/// What an entry takes in memory besides its bytes, at the least.
const ROW_BYTES: usize = 64;

/// What of a backup is wanted; all of it by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// This workspace alone.
    pub workspace: Option<WorkspaceId>,
    /// Its log through this entry.
    pub through: Option<LogSeq>,
}

/// A log that is being made of parts. Any bytes may be given. What is wrong in one workspace is kept for
/// [`Feed::compare`], and the others go on.
pub struct Feed {
    rebuild: Rebuild,
    cut: Cut,
    /// The place's name, for messages.
    place: String,
    /// The last entry of each workspace.
    reached: BTreeMap<WorkspaceId, LogSeq>,
    /// What is wrong with a workspace's entries: no more of them are added.
    faults: BTreeMap<WorkspaceId, String>,
    /// Entries of one workspace that are not added yet, and their length.
    group: Option<(WorkspaceId, Vec<Vec<u8>>)>,
    group_bytes: usize,
}

/// A workspace as it came out, or what is wrong with it.
pub type Compared = (WorkspaceId, Result<Standing, String>);

impl Feed {
    /// Begins a log; `place` is named in errors.
    pub fn new(rebuild: Rebuild, cut: Cut, place: &str) -> Self {
        let (place, reached, faults) = (place.to_owned(), BTreeMap::new(), BTreeMap::new());
        Self { rebuild, cut, place, reached, faults, group: None, group_bytes: 0 }
    }

    /// Takes in a part's bytes. After an error of a part that is none, or holds what is no entry, others may follow.
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let place = self.place.clone();
        each_row(bytes, |row| self.row(row), |fault| in_place(&place, &fault))
    }

    fn row(&mut self, row: Row) -> Result<(), BackupError> {
        let (workspace, seq, batch) = match row {
            Row::Entry { workspace, seq, batch } => (workspace, seq, batch),
            Row::Key { .. } => {
                let what = "a key among entries".to_owned();
                return Err(BackupError::Damaged { place: self.place.clone(), what });
            }
        };
        let is_wanted = self.cut.workspace.as_ref().is_none_or(|wanted| *wanted == workspace)
            && self.cut.through.is_none_or(|through| seq <= through);
        if !is_wanted || self.faults.contains_key(&workspace) {
            return Ok(());
        }
        if self.reached.insert(workspace.clone(), seq).is_some_and(|before| before >= seq) {
            let what = format!("the entries of {workspace} are not in order");
            self.faults.insert(workspace, what);
            return Ok(());
        }
        if self.group.as_ref().is_some_and(|(open, _)| *open != workspace) || self.group_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        self.group_bytes += batch.len() + ROW_BYTES;
        self.group.get_or_insert_with(|| (workspace, Vec::new())).1.push(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.group_bytes = 0;
        let Some((workspace, entries)) = self.group.take() else { return Ok(()) };
        match self.rebuild.add(&workspace, &entries) {
            Err(LogError::Damaged(what)) => {
                self.faults.insert(workspace, what);
                Ok(())
            }
            added => Ok(added?),
        }
    }

    /// Makes durable what is there, and compares it with what the logs said of themselves. More parts may follow, of a backup
    /// that goes on from there.
    pub fn compare(&mut self, states: Vec<(WorkspaceId, Standing)>) -> Result<Vec<Compared>, BackupError> {
        self.flush()?;
        let mut compared = Vec::with_capacity(states.len());
        for (workspace, mut standing) in states {
            if let Some(what) = self.faults.get(&workspace) {
                compared.push((workspace, Err(what.clone())));
                continue;
            }
            let head = self.rebuild.head(&workspace)?;
            let reached = self.reached.get(&workspace).copied().unwrap_or(LogSeq(0));
            if self.cut.through.is_some() && reached < standing.head.tail {
                standing.head.digest = head.digest;
            } else if head.digest != standing.head.digest || reached != standing.head.tail {
                let what = format!("the records of {workspace} are not those of its log");
                compared.push((workspace, Err(what)));
                continue;
            }
            standing.head.tail = reached;
            compared.push((workspace, Ok(standing)));
        }
        Ok(compared)
    }
}
