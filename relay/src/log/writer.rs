//! The log's writer without its loop: opens the disk, stores groups of pushes, and tells followers and authors in the
//! right order. The committer drives it, and so does a simulation. Must not know what a push holds.

use super::append::Group;
use super::compact::{Compacted, Growth, Look};
use super::rows::{self, Head, IdentityRow, WorkspaceRow};
use super::shown::{mend_collections, show_head};
use super::{Listener, LogError, OpenedDisk, Outcome, Reader, remove, usage};
use crate::auth::Grant;
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::id::{LogEpoch, WorkspaceId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::Batch;
use comptoir_engine::wire::message::Reach;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

const EPOCH_PAGE_ROWS: usize = 256;

/// Draws the epoch of a new log.
pub type DrawEpoch = dyn FnMut() -> Result<LogEpoch, LogError> + Send;

/// A push that waits to be stored.
pub struct Push {
    grant: Grant,
    batch: Vec<u8>,
    changes: usize,
    done: oneshot::Sender<Outcome>,
    /// Its part of what the waiting pushes of its workspace, and all of them, may take.
    pub(super) room: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Push {
    /// A push, and who is told what became of it. What is no batch is answered at once, and there is no push.
    pub fn new(grant: &Grant, batch: Vec<u8>) -> (Option<Self>, oneshot::Receiver<Outcome>) {
        let (done, outcome) = oneshot::channel();
        // Read here too, so that the writer knows how much it takes on, and meets no nonsense.
        match Batch::decode(&batch).map(|batch| batch.len()) {
            Ok(changes) => (Some(Self { grant: grant.clone(), batch, changes, done, room: None }), outcome),
            Err(fault) => {
                // The receiver is right here.
                let _ = done.send(Outcome::Unreadable(fault));
                (None, outcome)
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn changes(&self) -> usize {
        self.changes
    }
}

/// Writes one open disk. After an error that is fatal it is to be given up with [`Writer::give_up`] and opened again.
pub struct Writer {
    disk: Arc<dyn Disk>,
    draw: Box<DrawEpoch>,
    listeners: HashMap<WorkspaceId, Vec<Weak<dyn Listener>>>,
    growth: Growth,
    /// Workspaces whose logs are being removed.
    removing: HashSet<WorkspaceId>,
}

impl Writer {
    /// Takes over a disk that was just opened; gives every workspace a new epoch when it is not the disk the log was
    /// written on.
    pub fn open(opened: OpenedDisk, mut draw: Box<DrawEpoch>) -> Result<Self, LogError> {
        let disk = opened.disk;
        let known: Option<IdentityRow> = rows::decode(txn::read(&*disk, rows::IDENTITY_KEY)?)?;
        if known.as_ref().is_none_or(|row| row.identity != opened.identity) {
            if known.is_some() && !planted!(EpochKept) {
                tracing::warn!("this log was copied, moved or restored: every workspace gets a new epoch");
                renew_epochs(&*disk, &mut *draw)?;
            }
            // Last: if it is cut short, it is done again from the start.
            let mut txn = Txn::new(&*disk);
            txn.put(rows::IDENTITY_KEY.to_vec(), &rows::encode(&IdentityRow { identity: opened.identity })?);
            txn.commit()?;
            disk.flush()?;
        }
        Ok(Self { disk, draw, listeners: HashMap::new(), growth: Growth::default(), removing: HashSet::new() })
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> Reader {
        Reader::new(self.disk.clone())
    }

    /// Whether the disk still answers.
    pub fn probe(&self) -> Result<(), LogError> {
        Ok(txn::read(&*self.disk, rows::IDENTITY_KEY).map(drop)?)
    }

    /// Lets `listener` follow the grant's workspace, which is made if there is none.
    pub fn attach(&mut self, grant: &Grant, listener: Weak<dyn Listener>, now: Timestamp) -> Result<(), LogError> {
        let workspace = grant.workspace();
        let row = open_workspace(&*self.disk, workspace, now, &mut *self.draw)?;
        let bytes = usage::read(&*self.disk, workspace, &row)?.bytes;
        self.growth.opened(workspace, row.head().tail);
        self.listeners.retain(|_, listeners| {
            listeners.retain(|listener| listener.strong_count() > 0);
            !listeners.is_empty()
        });
        if let Some(each) = listener.upgrade() {
            if each.reach().is_some() {
                mend_collections(&*self.disk, workspace, row.head())?;
            }
            each.opened(row.epoch(), self.shown(workspace, each.reach(), row.head())?);
            each.measured(bytes);
            self.listeners.entry(workspace.clone()).or_default().push(listener);
        }
        Ok(())
    }

    /// The head as whoever has this reach sees it.
    fn shown(&self, workspace: &WorkspaceId, reach: Option<&Reach>, head: Head) -> Result<Head, LogError> {
        reach.map_or(Ok(head), |reach| show_head(&*self.disk, workspace, reach, head))
    }

    /// Stores a group by one flush, at this time. On an error nobody is answered: the receivers find their senders dropped.
    pub fn store(&mut self, pushes: Vec<Push>, now: Timestamp) -> Result<(), LogError> {
        let mut group = Group::new(&*self.disk);
        let mut outcomes = Vec::with_capacity(pushes.len());
        for push in &pushes {
            outcomes.push(match self.removing.contains(push.grant.workspace()) {
                true => None,
                false => stage(&mut group, push)?,
            });
        }
        let appended = group.commit(now)?;
        let heads: HashMap<_, _> = appended.iter().map(|each| (&each.workspace, each.head)).collect();
        let mut told = Vec::new();
        for each in appended.iter().filter(|each| !each.entries.is_empty()) {
            self.growth.appended(&each.workspace, each.entries.len(), each.head.tail);
            for listener in self.listeners_of(&each.workspace) {
                let entries = if listener.reach().is_none() { each.entries.as_slice() } else { &[] };
                listener.appended(entries, self.shown(&each.workspace, listener.reach(), each.head)?);
                listener.measured(each.bytes);
                told.push(listener);
            }
        }
        for (push, outcome) in pushes.into_iter().zip(outcomes) {
            let Some(mut outcome) = outcome else { continue };
            if let (Outcome::Stored(receipt), Some(head)) = (&mut outcome, heads.get(push.grant.workspace())) {
                let workspace = push.grant.workspace();
                receipt.head = self.shown(workspace, push.grant.readable().as_ref(), *head)?;
            }
            // The session may have ended: its push is durable all the same.
            let _ = push.done.send(outcome);
        }
        // Authors first: a session that is shown the new tail finds its own receipts waiting.
        told.iter().for_each(|listener| listener.announce());
        Ok(())
    }

    /// A look for what to compact, in a log that has so many more entries than when it was last looked at; `None` when
    /// no log has. [`Look::run`] may take long and is for another thread; its result goes to [`Writer::replace`].
    pub fn look(&mut self, entries_min: usize) -> Option<Look> {
        self.growth.look(&self.disk, entries_min)
    }

    /// Puts one entry in the place of the run it was made of.
    pub fn replace(&mut self, compacted: Compacted) -> Result<(), LogError> {
        let workspace = compacted.workspace().clone();
        if let Some(bytes) = compacted.write(&*self.disk, &mut self.growth)? {
            self.listeners_of(&workspace).for_each(|listener| listener.measured(bytes));
        }
        Ok(())
    }

    /// Begins to remove a workspace's log: nobody follows it any more, and nothing is stored in it until it is gone.
    pub fn begin_removal(&mut self, workspace: &WorkspaceId) -> Result<(), LogError> {
        self.removing.insert(workspace.clone());
        self.listeners_of(workspace).for_each(|listener| listener.lost());
        self.listeners.remove(workspace);
        self.growth.forget(workspace);
        remove::begin(&*self.disk, workspace, (self.draw)()?)
    }

    /// Removes some of it; whether all is gone.
    pub fn removal_step(&mut self, workspace: &WorkspaceId) -> Result<bool, LogError> {
        let gone = remove::step(&*self.disk, workspace)?;
        if gone {
            self.removing.remove(workspace);
        }
        Ok(gone)
    }

    /// Whether a workspace's log is being removed.
    pub(super) fn removes(&self, workspace: &WorkspaceId) -> bool {
        self.removing.contains(workspace)
    }

    fn listeners_of(&self, workspace: &WorkspaceId) -> impl Iterator<Item = Arc<dyn Listener>> {
        self.listeners.get(workspace).into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// Tells the followers that nothing more comes, and lets go of the disk.
    pub fn give_up(self) {
        self.listeners.values().flatten().filter_map(Weak::upgrade).for_each(|listener| listener.lost());
    }
}

/// Stages one push; `None` when the log cannot take this one, whose sender is then told nothing. An error fails all.
fn stage(group: &mut Group<'_>, push: &Push) -> Result<Option<Outcome>, LogError> {
    let workspace = push.grant.workspace();
    // What a device sent must not end the one thread that all workspaces stand on.
    match catch_unwind(AssertUnwindSafe(|| group.append(workspace, Some(&push.grant), &push.batch))) {
        Ok(Ok(outcome)) => Ok(Some(outcome)),
        Ok(Err(error)) if error.is_fatal() => Err(error),
        Ok(Err(error)) => {
            tracing::error!(%error, %workspace, "a push cannot be stored");
            Ok(None)
        }
        Err(_) => {
            tracing::error!(%workspace, "a push made the relay panic: it was dropped");
            Ok(None)
        }
    }
}

pub(super) fn draw_epoch() -> Result<LogEpoch, LogError> {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(|_| LogError::Unavailable)?;
    Ok(LogEpoch(epoch))
}

fn renew_epochs(disk: &dyn Disk, draw: &mut DrawEpoch) -> Result<(), LogError> {
    let (mut from, until) = (rows::WORKSPACES.0.to_vec(), rows::WORKSPACES.1);
    loop {
        let page = txn::scan(disk, &from, until, EPOCH_PAGE_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        let mut txn = Txn::new(disk);
        for (key, value) in page {
            if let Some(mut row) = rows::decode::<WorkspaceRow>(Some(value))? {
                row.renew(draw()?);
                txn.put(key, &rows::encode(&row)?);
            }
        }
        txn.commit()?;
        disk.flush()?;
    }
}

/// The workspace's row; makes a durable one where there is none.
pub(super) fn open_workspace(
    disk: &dyn Disk,
    workspace: &WorkspaceId,
    now: Timestamp,
    draw: &mut DrawEpoch,
) -> Result<WorkspaceRow, LogError> {
    let key = rows::workspace_key(workspace);
    if let Some(row) = rows::decode(txn::read(disk, &key)?)? {
        return Ok(row);
    }
    let row = WorkspaceRow::new(draw()?, now);
    let mut txn = Txn::new(disk);
    txn.put_new(key, &rows::encode(&row)?);
    txn.commit()?;
    disk.flush()?;
    Ok(row)
}
