//! The log's one writer: a thread that takes all waiting pushes, stores them as one group, and answers only after the
//! flush. After a failure it drops the disk and opens it again, with backoff. Must not know what a push holds.

use super::append::Group;
use super::rows::{self, IdentityRow, WorkspaceRow};
use super::{Command, Listener, Log, LogError, OpenDisk, Outcome, Push, Slot};
use crate::clock::Clock;
use crate::config::Config;
use comptoir_engine::disk::Disk;
use comptoir_engine::disk::txn::{self, Txn};
use comptoir_engine::id::{LogEpoch, WorkspaceId};
use comptoir_engine::time::Timestamp;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

const REOPEN_FIRST_MS: u64 = 100;
const REOPEN_MAX_MS: u64 = 10_000;
/// While the disk is gone, those who ask are told so this often.
const TURN_AWAY_MS: u64 = 50;
const EPOCH_PAGE_ROWS: usize = 256;

/// The committer's thread. It ends by [`Committer::stop`], or when every [`Log`] is gone.
pub struct Committer {
    thread: thread::JoinHandle<()>,
    commands: mpsc::WeakSender<Command>,
}

struct Work {
    open: Box<dyn OpenDisk>,
    slot: Arc<Slot>,
    receiver: mpsc::Receiver<Command>,
    listeners: HashMap<WorkspaceId, Vec<Weak<dyn Listener>>>,
    group_pushes_max: usize,
    group_bytes_max: usize,
    group_changes_max: usize,
    clock: Arc<dyn Clock>,
}

impl Committer {
    pub(super) fn start(
        mut open: Box<dyn OpenDisk>,
        slot: Arc<Slot>,
        commands: mpsc::Sender<Command>,
        receiver: mpsc::Receiver<Command>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        slot.set(Some(open_log(&mut *open)?));
        let work = Work {
            open,
            slot,
            receiver,
            listeners: HashMap::new(),
            group_pushes_max: config.group_pushes_max,
            group_bytes_max: config.group_bytes_max,
            group_changes_max: config.group_changes_max,
            clock,
        };
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || work.run());
        let thread = thread.map_err(|_| LogError::Unavailable)?;
        Ok(Self { thread, commands: commands.downgrade() })
    }

    /// Stores what waits already, closes the disk and returns. Blocks; not for an async task.
    pub fn stop(self, log: Log) {
        drop(log);
        if let Some(commands) = self.commands.upgrade() {
            // The thread is gone already when nobody takes the command.
            let _ = commands.blocking_send(Command::Stop);
        }
        if self.thread.join().is_err() {
            tracing::error!("the committer's thread panicked");
        }
    }
}

impl Work {
    fn run(mut self) {
        let mut next = self.receiver.blocking_recv();
        while let Some(command) = next.take() {
            let done = match command {
                Command::Stop => break,
                Command::Attach { grant, listener, done } => match self.attach(grant.workspace(), listener) {
                    Err(error) if !error.is_fatal() => {
                        tracing::error!(%error, workspace = %grant.workspace(), "a workspace cannot be opened");
                        Ok(())
                    }
                    // The session may have ended: the room is open all the same.
                    attached => attached.map(|()| _ = done.send(())),
                },
                Command::Append(push) => {
                    let (group, behind) = self.gather(push);
                    next = behind;
                    self.store(group)
                }
            };
            if let Err(error) = done {
                tracing::error!(%error, "the log failed: nothing is acknowledged until it is open again");
                if !self.reopen() {
                    break;
                }
            }
            if next.is_none() {
                next = self.receiver.blocking_recv();
            }
        }
        self.tell_lost();
        self.slot.set(None);
    }

    /// The pushes that wait already, up to the group's limits, and the command behind them.
    fn gather(&mut self, first: Push) -> (Vec<Push>, Option<Command>) {
        let (mut bytes, mut changes) = (first.batch.len(), first.changes);
        let mut group = vec![first];
        while group.len() < self.group_pushes_max && bytes < self.group_bytes_max && changes < self.group_changes_max {
            match self.receiver.try_recv() {
                Ok(Command::Append(push)) => {
                    bytes += push.batch.len();
                    changes += push.changes;
                    group.push(push);
                }
                Ok(command) => return (group, Some(command)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    /// Stores a group. On an error nobody is answered: the receivers find their senders dropped.
    fn store(&mut self, pushes: Vec<Push>) -> Result<(), LogError> {
        let disk = self.slot.disk()?;
        let mut group = Group::new(&*disk);
        let mut outcomes = Vec::with_capacity(pushes.len());
        for push in &pushes {
            outcomes.push(stage(&mut group, push)?);
        }
        let appended = group.commit()?;
        let heads: HashMap<_, _> = appended.iter().map(|each| (&each.workspace, each.head)).collect();
        let mut told = Vec::new();
        for each in appended.iter().filter(|each| !each.entries.is_empty()) {
            for listener in self.listeners.get(&each.workspace).into_iter().flatten().filter_map(Weak::upgrade) {
                listener.appended(&each.entries, each.head);
                told.push(listener);
            }
        }
        for (push, outcome) in pushes.into_iter().zip(outcomes) {
            let Some(mut outcome) = outcome else { continue };
            if let (Outcome::Stored(receipt), Some(head)) = (&mut outcome, heads.get(push.grant.workspace())) {
                receipt.head = *head;
            }
            // The session may have ended: its push is durable all the same.
            let _ = push.done.send(outcome);
        }
        // Authors first: a session that is shown the new tail finds its own receipts waiting.
        told.iter().for_each(|listener| listener.announce());
        Ok(())
    }

    fn attach(&mut self, workspace: &WorkspaceId, listener: Weak<dyn Listener>) -> Result<(), LogError> {
        let disk = self.slot.disk()?;
        let row = open_workspace(&*disk, workspace, self.clock.now())?;
        self.listeners.retain(|_, listeners| {
            listeners.retain(|listener| listener.strong_count() > 0);
            !listeners.is_empty()
        });
        if let Some(each) = listener.upgrade() {
            each.opened(row.epoch(), row.head());
            self.listeners.entry(workspace.clone()).or_default().push(listener);
        }
        Ok(())
    }

    fn tell_lost(&mut self) {
        let listeners = std::mem::take(&mut self.listeners);
        listeners.values().flatten().filter_map(Weak::upgrade).for_each(|listener| listener.lost());
    }

    /// Drops the disk and opens it again, however long that takes; `false` when the log is closed meanwhile.
    fn reopen(&mut self) -> bool {
        self.slot.set(None);
        self.tell_lost();
        let mut wait_ms = REOPEN_FIRST_MS;
        loop {
            for _ in 0..wait_ms / TURN_AWAY_MS {
                if !self.turn_away() {
                    return false;
                }
                thread::sleep(Duration::from_millis(TURN_AWAY_MS));
            }
            match open_log(&mut *self.open) {
                Ok(disk) => {
                    tracing::info!("the log is open again");
                    self.slot.set(Some(disk));
                    return true;
                }
                Err(error) => tracing::error!(%error, "the log cannot be opened: it will be tried again"),
            }
            wait_ms = (wait_ms * 2).min(REOPEN_MAX_MS);
        }
    }

    /// Drops the commands that wait, unanswered; `false` when the log is closed.
    fn turn_away(&mut self) -> bool {
        loop {
            match self.receiver.try_recv() {
                Ok(Command::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => return false,
                Ok(_) => {}
                Err(mpsc::error::TryRecvError::Empty) => return true,
            }
        }
    }
}

/// Stages one push; `None` when the log cannot take this one, whose sender is then told nothing. An error fails all.
fn stage(group: &mut Group<'_>, push: &Push) -> Result<Option<Outcome>, LogError> {
    let (workspace, role) = (push.grant.workspace(), push.grant.role());
    // What a device sent must not end the one thread that all workspaces stand on.
    match catch_unwind(AssertUnwindSafe(|| group.append(workspace, role, &push.batch))) {
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

/// Opens the disk; gives every workspace a new epoch when it is not the disk the log was written on.
fn open_log(open: &mut dyn OpenDisk) -> Result<Arc<dyn Disk>, LogError> {
    let opened = open.open()?;
    let disk = opened.disk;
    let known: Option<IdentityRow> = rows::decode(txn::read(&*disk, rows::IDENTITY_KEY)?)?;
    if known.as_ref().is_some_and(|row| row.identity == opened.identity) {
        return Ok(disk);
    }
    if known.is_some() {
        tracing::warn!("this log was copied, moved or restored: every workspace gets a new epoch");
        renew_epochs(&*disk)?;
    }
    // Last: if it is cut short, it is done again from the start.
    let mut txn = Txn::new(&*disk);
    txn.put(rows::IDENTITY_KEY.to_vec(), &rows::encode(&IdentityRow { identity: opened.identity })?);
    txn.commit()?;
    disk.flush()?;
    Ok(disk)
}

fn renew_epochs(disk: &dyn Disk) -> Result<(), LogError> {
    let (mut from, until) = (rows::WORKSPACES.0.to_vec(), rows::WORKSPACES.1);
    loop {
        let page = txn::scan(disk, &from, until, EPOCH_PAGE_ROWS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        let mut txn = Txn::new(disk);
        for (key, value) in page {
            if let Some(mut row) = rows::decode::<WorkspaceRow>(Some(value))? {
                row.renew(draw_epoch()?);
                txn.put(key, &rows::encode(&row)?);
            }
        }
        txn.commit()?;
        disk.flush()?;
    }
}

/// The workspace's row; makes a durable one where there is none.
fn open_workspace(disk: &dyn Disk, workspace: &WorkspaceId, now: Timestamp) -> Result<WorkspaceRow, LogError> {
    let key = rows::workspace_key(workspace);
    if let Some(row) = rows::decode(txn::read(disk, &key)?)? {
        return Ok(row);
    }
    let row = WorkspaceRow::new(draw_epoch()?, now);
    let mut txn = Txn::new(disk);
    txn.put_new(key, &rows::encode(&row)?);
    txn.commit()?;
    disk.flush()?;
    Ok(row)
}

fn draw_epoch() -> Result<LogEpoch, LogError> {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(|_| LogError::Unavailable)?;
    Ok(LogEpoch(epoch))
}
