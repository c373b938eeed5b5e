//! The log of every workspace: what is durable, in which order. Its one writer is the committer; readers never hold it up. Must not know sockets or sessions; it speaks of changes and never loads a document.

mod append;
mod committer;
mod compact;
mod jobs;
mod lineages;
mod migrate;
mod read;
mod rebuild;
mod remove;
mod rows;
mod shown;
mod turns;
mod usage;
mod whole;
mod writer;

use crate::auth::{Grant, Operator};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::text::Told;
use comptoir_engine::codec::CodecError;
use comptoir_engine::disk::{Disk, DiskError};
use comptoir_engine::id::{LogEpoch, LogSeq, WorkspaceId};
use comptoir_engine::wire::BatchFault;
use comptoir_engine::wire::message::{FRAME_BYTES_MAX, Reach, Refused};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use tokio::sync::{Semaphore, mpsc, oneshot};
use turns::Turns;

pub use committer::Committer;
use committer::Work;
pub use compact::{Compacted, Look};
use jobs::Jobs;
pub use migrate::migrate;
pub use read::{Leaf, Reader};
pub use rebuild::Rebuild;
pub use rows::Head;
pub use whole::{Standing, Usage};
pub use writer::{DrawEpoch, Push, Writer};

/// The longest batch that is stored, in bytes. A frame has to hold it, what names it, and the hashes of a change's
/// dependencies when they are spelled out for a device with another history.
pub const ENTRY_BYTES_MAX: usize = FRAME_BYTES_MAX - (16 << 10);

/// Commands that wait for the committer.
const COMMANDS_MAX: usize = 1024;

/// Why the log does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A row is of a newer release.
    #[error("the log was written by a newer release ({0}): upgrade this relay")]
    NewerFormat(CodecError),
    /// A row is not what was written.
    #[error("the log is damaged ({0}): keep the folder, and start the relay on a new one; the devices will fill it")]
    Damaged(String),
    /// The log is being opened again after a failure, or it is closed.
    #[error("the log is not available at the moment: try again")]
    Unavailable,
}

impl From<CodecError> for LogError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Version { .. } => Self::NewerFormat(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl LogError {
    /// Whether nothing more can be stored or read before the disk is opened again. Damage stays where it is: the disk
    /// says by its next answer if it is damaged as a whole.
    fn is_fatal(&self) -> bool {
        match self {
            Self::Disk(
                DiskError::Damaged { .. }
                | DiskError::NoRoom { .. }
                | DiskError::TooLong { .. }
                | DiskError::ReservedKey { .. },
            ) => false,
            Self::Disk(_) | Self::Unavailable => true,
            Self::NewerFormat(_) | Self::Damaged(_) => false,
        }
    }
}

impl From<BatchFault> for LogError {
    fn from(fault: BatchFault) -> Self {
        Self::Damaged(format!("an entry: {fault}"))
    }
}

impl Told for LogError {
    fn code(&self) -> &'static str {
        match self {
            Self::Disk(error) => error.code(),
            Self::NewerFormat(_) => "log_newer_format",
            Self::Damaged(_) => "log_damaged",
            Self::Unavailable => "log_unavailable",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Disk(error) => error.args(),
            Self::NewerFormat(error) => vec![("cause", error.to_string())],
            Self::Damaged(what) => vec![("what", what.clone())],
            Self::Unavailable => Vec::new(),
        }
    }
}

/// A disk and its name: a copy of the folder has another one.
pub struct OpenedDisk {
    /// The rows.
    pub disk: Arc<dyn Disk>,
    /// Stable while the folder stays where it is.
    pub identity: String,
}

/// Opens the log's disk, at the start and again after each failure.
pub trait OpenDisk: Send + 'static {
    /// Opens it; every handle from before is dropped by then.
    fn open(&mut self) -> Result<OpenedDisk, DiskError>;

    /// Where the epochs of new logs come from: the system's randomness.
    fn epochs(&mut self) -> Box<DrawEpoch> {
        Box::new(writer::draw_epoch)
    }
}

impl<F: FnMut() -> Result<OpenedDisk, DiskError> + Send + 'static> OpenDisk for F {
    fn open(&mut self) -> Result<OpenedDisk, DiskError> {
        self()
    }
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub seq: LogSeq,
    /// The position of the entry before it; 0 for the first.
    pub after: LogSeq,
    /// One push; no bytes where nothing of it is shown.
    pub batch: Vec<u8>,
}

/// Whoever follows a workspace. Called by the committer, in order; must not wait.
pub trait Listener: Send + Sync {
    /// What of the log it is shown; everything unless said.
    fn reach(&self) -> Option<&Reach> {
        None
    }

    /// The log as it is when the listener joins.
    fn opened(&self, epoch: LogEpoch, head: Head);

    /// These entries are durable; the last one is the tail. Their authors have no receipt yet. Who is shown a part is handed
    /// no entries, but reads them.
    fn appended(&self, entries: &[Arc<Entry>], head: Head);

    /// The authors of what was appended have their receipts: now it may go to the others.
    fn announce(&self);

    /// So long the log is, in bytes of its entries. Said when the listener joins, and whenever that changes.
    fn measured(&self, _bytes: u64) {}

    /// The log failed. Nothing more comes; what was durable is to be read again.
    fn lost(&self);
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it but what was refused is durable.
    Stored(Receipt),
    /// It did not give the hashes its author computed.
    Unclear,
    /// It is no batch.
    Unreadable(BatchFault),
}

/// The receipt for a stored push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its entry; `None` when it held nothing new.
    pub seq: Option<LogSeq>,
    /// How many of its changes were new.
    pub changes: usize,
    /// The tail before it.
    pub after: LogSeq,
    /// The log once the flush it waited for was done.
    pub head: Head,
    /// What was set aside.
    pub refused: Vec<Refused>,
}

/// What the committer is asked to do.
enum Command {
    Attach {
        grant: Grant,
        listener: Weak<dyn Listener>,
        done: oneshot::Sender<()>,
    },
    Append(Push),
    /// A reader met a failed disk.
    Probe,
    Remove {
        workspace: WorkspaceId,
        done: oneshot::Sender<()>,
    },
    /// The committer's own: some more of a log is to be removed.
    RemoveMore,
    /// The committer's own: a look at a log has ended.
    Looked(Result<Option<Compacted>, LogError>),
    Stop,
}

/// The log as readers find it: `None` while its disk is being opened again.
#[derive(Default)]
struct Slot {
    reader: RwLock<Option<Reader>>,
    ready: AtomicBool,
    openings: AtomicU64,
}

impl Slot {
    fn reader(&self) -> Result<Reader, LogError> {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(LogError::Unavailable)
    }

    fn opening(&self) -> u64 {
        self.openings.load(Ordering::Acquire)
    }

    fn set(&self, reader: Option<Reader>) {
        self.ready.store(reader.is_some(), Ordering::Release);
        self.openings.fetch_add(u64::from(reader.is_some()), Ordering::AcqRel);
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }
}

/// A handle on all workspaces' logs. Clones share one committer.
#[derive(Clone)]
pub struct Log {
    commands: mpsc::Sender<Command>,
    slot: Arc<Slot>,
    waiting: Arc<Semaphore>,
    waiting_bytes_max: u32,
    turns: Arc<Turns>,
    reads: Arc<Semaphore>,
    jobs: Jobs,
    metrics: Metrics,
}

impl Log {
    /// Opens the disk and starts the committer. A disk with another identity than the one the log was written under
    /// may have lost its newest entries: every workspace then gets a new epoch.
    pub fn start(open: impl OpenDisk, config: &Config, clock: Arc<dyn Clock>) -> Result<(Self, Committer), LogError> {
        let (log, work) = Self::open(Box::new(open), config, clock, Jobs::Threads)?;
        let committer = Committer::start(work, log.commands.downgrade())?;
        Ok((log, committer))
    }

    /// As [`Log::start`], without threads: nothing is stored but while the loop that comes with the log is polled, and
    /// reads are done by whoever asks for them. The loop ends when every [`Log`] is gone.
    pub fn start_here(
        open: Box<dyn OpenDisk>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), LogError> {
        let (log, work) = Self::open(open, config, clock, Jobs::Here)?;
        Ok((log, work.run()))
    }

    fn open(
        open: Box<dyn OpenDisk>,
        config: &Config,
        clock: Arc<dyn Clock>,
        jobs: Jobs,
    ) -> Result<(Self, Work), LogError> {
        let slot = Arc::new(Slot::default());
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let metrics = Metrics::default();
        let work = Work::open(open, slot.clone(), receiver, config, clock, (jobs, metrics.clone()))?;
        let waiting_bytes_max = config.waiting_bytes_max.max(FRAME_BYTES_MAX as u32);
        let waiting = Arc::new(Semaphore::new(waiting_bytes_max as usize));
        let reads = Arc::new(Semaphore::new(config.reads_max as usize));
        let turns = Arc::new(Turns::new(config.waiting_changes_per_workspace_max));
        Ok((Self { commands, slot, waiting, waiting_bytes_max, turns, reads, jobs, metrics }, work))
    }

    /// Whether the disk is open.
    pub fn is_ready(&self) -> bool {
        self.slot.ready.load(Ordering::Acquire) && !self.commands.is_closed()
    }

    /// What it and everything on it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Lets `listener` follow the grant's workspace, which is made if there is none. [`Listener::opened`] is called
    /// before this returns, and nothing appended after that is missed.
    pub async fn attach(&self, grant: &Grant, listener: Weak<dyn Listener>) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Attach { grant: grant.clone(), listener, done }).await?;
        answer.await.map_err(|_| LogError::Unavailable)
    }

    /// Hands a push to the committer; waits while too many bytes wait already. The receiver gets what became of it once
    /// that is durable, and an error when the log failed. Pushes of one caller are stored in the order of the calls.
    pub async fn append(&self, grant: &Grant, batch: Vec<u8>) -> Result<oneshot::Receiver<Outcome>, LogError> {
        let bytes = u32::try_from(batch.len()).unwrap_or(u32::MAX).min(self.waiting_bytes_max);
        let (push, outcome) = Push::new(grant, batch);
        if let Some(mut push) = push {
            // Of the workspace first: who waits there keeps nobody else waiting.
            let turn = self.turns.take(grant.workspace(), push.changes()).await?;
            let room = self.waiting.clone().acquire_many_owned(bytes).await.map_err(|_| LogError::Unavailable)?;
            push.room = Some((turn, room));
            self.command(Command::Append(push)).await?;
        }
        Ok(outcome)
    }

    /// Removes a workspace's log for good; its followers find it lost. Returns when it is gone. An error leaves a part, which is
    /// removed by calling this again.
    pub async fn remove(&self, _: &Operator, workspace: &WorkspaceId) -> Result<(), LogError> {
        let (done, gone) = oneshot::channel();
        self.command(Command::Remove { workspace: workspace.clone(), done }).await?;
        gone.await.map_err(|_| LogError::Unavailable)
    }

    /// Does work that would hold up a task.
    pub(crate) async fn job<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, LogError> {
        self.jobs.run(job).await
    }

    /// Has the committer look at the disk when a reader met a failure of it: nobody may write for hours. One that is busy
    /// finds out by itself.
    fn report(commands: &mpsc::Sender<Command>, error: &LogError) {
        if matches!(error, LogError::Disk(_)) && error.is_fatal() {
            let _ = commands.try_send(Command::Probe);
        }
    }

    async fn command(&self, command: Command) -> Result<(), LogError> {
        if !self.is_ready() {
            return Err(LogError::Unavailable);
        }
        self.commands.send(command).await.map_err(|_| LogError::Unavailable)
    }
}
