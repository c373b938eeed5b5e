//! The writer's loop and its thread: takes all waiting pushes, hands them over as one group, and begins again after a
//! failure by opening the disk anew, with backoff. Must not know what a push holds.

use super::writer::{Push, Writer};
use super::{Command, Compacted, Jobs, Log, LogError, OpenDisk, Slot};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use comptoir_engine::disk::DiskError;
use comptoir_engine::id::WorkspaceId;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

const REOPEN_FIRST_MS: u64 = 100;
const REOPEN_MAX_MS: u64 = 4_000;
/// While the disk is gone, those who ask are told so this often.
const TURN_AWAY_MS: u64 = 50;

/// The committer's thread. It ends by [`Committer::stop`], or when every [`Log`] is gone.
pub struct Committer {
    thread: thread::JoinHandle<()>,
    commands: mpsc::WeakSender<Command>,
}

/// A look at a log that is under way.
type Looking = Pin<Box<dyn Future<Output = Result<Result<Option<Compacted>, LogError>, LogError>> + Send>>;

/// What the committer does, wherever that is.
pub(super) struct Work {
    open: Box<dyn OpenDisk>,
    slot: Arc<Slot>,
    receiver: mpsc::Receiver<Command>,
    writer: Writer,
    group_pushes_max: usize,
    group_bytes_max: usize,
    group_changes_max: usize,
    compact_entries: usize,
    looking: Option<Looking>,
    /// Logs that are being removed, and who waits for it.
    removing: VecDeque<(WorkspaceId, oneshot::Sender<()>)>,
    /// Whether a removal is the next to have a turn.
    removal_due: bool,
    clock: Arc<dyn Clock>,
    jobs: Jobs,
    metrics: Metrics,
}

impl Committer {
    pub(super) fn start(work: Work, commands: mpsc::WeakSender<Command>) -> Result<Self, LogError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|_| LogError::Unavailable)?;
        let thread = thread::Builder::new().name("committer".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run())).map_err(|_| LogError::Unavailable)?;
        Ok(Self { thread, commands })
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
    pub(super) fn open(
        mut open: Box<dyn OpenDisk>,
        slot: Arc<Slot>,
        receiver: mpsc::Receiver<Command>,
        config: &Config,
        clock: Arc<dyn Clock>,
        (jobs, metrics): (Jobs, Metrics),
    ) -> Result<Self, LogError> {
        let writer = open_log(&mut *open)?;
        slot.set(Some(writer.reader()));
        let Config { group_pushes_max, group_bytes_max, group_changes_max, compact_entries, .. } = *config;
        Ok(Self {
            open,
            slot,
            receiver,
            writer,
            group_pushes_max,
            group_bytes_max,
            group_changes_max,
            compact_entries,
            looking: None,
            removing: VecDeque::new(),
            removal_due: false,
            clock,
            jobs,
            metrics,
        })
    }

    /// Runs until it is stopped or every log is gone.
    pub(super) async fn run(mut self) {
        let mut next = self.next().await;
        while let Some(command) = next.take() {
            let done = match command {
                Command::Stop => break,
                // Whoever waits is told to come again.
                Command::Attach { grant, .. } if self.writer.removes(grant.workspace()) => Ok(()),
                Command::Attach { grant, listener, done } => {
                    match self.writer.attach(&grant, listener, self.clock.now()) {
                        Err(error) if !error.is_fatal() => {
                            tracing::error!(%error, workspace = %grant.workspace(), "a workspace cannot be opened");
                            Ok(())
                        }
                        // The session may have ended: the room is open all the same.
                        attached => attached.map(|()| _ = done.send(())),
                    }
                }
                Command::Probe => self.writer.probe(),
                Command::Remove { workspace, done } => {
                    let begun = self.writer.begin_removal(&workspace);
                    begun.inspect(|()| self.removing.push_back((workspace, done)))
                }
                Command::RemoveMore => self.remove_more(),
                Command::Looked(Ok(None)) => Ok(()),
                Command::Looked(Ok(Some(compacted))) => {
                    let (entries, saved_bytes) = compacted.savings();
                    let replaced = self.writer.replace(compacted);
                    replaced.inspect(|()| self.metrics.compacted(entries, saved_bytes))
                }
                Command::Looked(Err(error)) if error.is_fatal() => Err(error),
                Command::Looked(Err(error)) => {
                    self.metrics.log_failed("damaged");
                    tracing::error!(%error, "a log cannot be compacted");
                    Ok(())
                }
                Command::Append(push) => {
                    let (group, behind) = self.gather(push);
                    next = behind;
                    let begun = Instant::now();
                    self.writer.store(group, self.clock.now()).inspect(|()| self.metrics.flushed(begun.elapsed()))
                }
            };
            if let Err(error @ LogError::Disk(DiskError::NoRoom { .. })) = done {
                self.metrics.log_failed("full");
                // Whoever pushed is told to come again; everybody else reads on.
                tracing::error!(%error, "nothing is acknowledged until there is room");
            } else if let Err(error) = done {
                self.metrics.log_failed("disk");
                tracing::error!(%error, "the log failed: nothing is acknowledged until it is open again");
                match self.reopen().await.filter(|_| !planted!(LogStaysClosed)) {
                    Some(work) => self = work,
                    None => return,
                }
            }
            if next.is_none() {
                next = self.next().await;
            }
        }
        self.slot.set(None);
        self.writer.give_up();
    }

    /// The next thing to do; meanwhile one log at a time is looked at for what to compact.
    async fn next(&mut self) -> Option<Command> {
        if !self.removing.is_empty() {
            // In turns with whatever else there is to do.
            self.removal_due = !self.removal_due;
            if self.removal_due {
                return Some(Command::RemoveMore);
            }
            match self.receiver.try_recv() {
                Ok(command) => return Some(command),
                Err(mpsc::error::TryRecvError::Empty) => return Some(Command::RemoveMore),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
            }
        }
        if self.looking.is_none()
            && let Some(look) = self.writer.look(self.compact_entries)
        {
            let jobs = self.jobs;
            self.looking = Some(Box::pin(async move { jobs.run(move || look.run()).await }));
        }
        let Some(looking) = &mut self.looking else { return self.receiver.recv().await };
        let looked = tokio::select! {
            biased;
            looked = looking => looked,
            command = self.receiver.recv() => return command,
        };
        self.looking = None;
        Some(Command::Looked(looked.and_then(|looked| looked)))
    }

    fn remove_more(&mut self) -> Result<(), LogError> {
        let Some((workspace, done)) = self.removing.pop_front() else { return Ok(()) };
        // Where that fails whoever asked is told to come again.
        match self.writer.removal_step(&workspace)? {
            true => _ = done.send(()),
            false => self.removing.push_front((workspace, done)),
        }
        Ok(())
    }

    /// The pushes that wait already, up to the group's limits, and the command behind them.
    fn gather(&mut self, first: Push) -> (Vec<Push>, Option<Command>) {
        let (mut bytes, mut changes) = (first.bytes(), first.changes());
        let mut group = vec![first];
        while group.len() < self.group_pushes_max && bytes < self.group_bytes_max && changes < self.group_changes_max {
            match self.receiver.try_recv() {
                Ok(Command::Append(push)) => {
                    bytes += push.bytes();
                    changes += push.changes();
                    group.push(push);
                }
                Ok(command) => return (group, Some(command)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    /// Drops the disk and opens it again, however long that takes; `None` when the log is closed meanwhile.
    async fn reopen(self) -> Option<Self> {
        let Self { mut open, slot, mut receiver, writer, looking, removing, clock, jobs, metrics, .. } = self;
        drop((looking, removing));
        slot.set(None);
        writer.give_up();
        let mut wait_ms = REOPEN_FIRST_MS;
        let writer = loop {
            for _ in 0..wait_ms / TURN_AWAY_MS {
                if !turn_away(&mut receiver) {
                    return None;
                }
                sleep(Duration::from_millis(TURN_AWAY_MS)).await;
            }
            match open_log(&mut *open) {
                Ok(writer) => break writer,
                Err(error) => tracing::error!(%error, "the log cannot be opened: it will be tried again"),
            }
            wait_ms = (wait_ms * 2).min(REOPEN_MAX_MS);
        };
        tracing::info!("the log is open again");
        slot.set(Some(writer.reader()));
        let removing = VecDeque::new();
        Some(Self { open, slot, receiver, writer, looking: None, removing, clock, jobs, metrics, ..self })
    }
}

/// Drops the commands that wait, unanswered; `false` when the log is closed.
fn turn_away(receiver: &mut mpsc::Receiver<Command>) -> bool {
    loop {
        match receiver.try_recv() {
            Ok(Command::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => return false,
            Ok(_) => {}
            Err(mpsc::error::TryRecvError::Empty) => return true,
        }
    }
}

fn open_log(open: &mut dyn OpenDisk) -> Result<Writer, LogError> {
    let opened = open.open()?;
    Writer::open(opened, open.epochs())
}
