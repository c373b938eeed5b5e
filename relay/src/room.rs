//! Rooms: who follows a workspace, how far its log has come, and its newest entries in memory. Made when the first
//! session comes, gone with the last. Must not know sockets.

mod recent;
mod shares;

use crate::auth::Grant;
use crate::config::Config;
use crate::log::{Entry, Head, Listener, Log, LogError};
use crate::metrics::Workspace;
use comptoir_engine::id::{LogEpoch, LogSeq, WorkspaceId};
use comptoir_engine::wire::message::Reach;
use recent::Recent;
pub use shares::Shares;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{OnceCell, watch};

/// The place of a session that compares histories.
const NOWHERE: u64 = u64::MAX;

/// Why nobody may enter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnterError {
    /// The room is full.
    #[error("the workspace has its {sessions_max} sessions already")]
    Full {
        /// The limit.
        sessions_max: u32,
    },
    /// The log does not say where it stands.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// How far a workspace's log has come, as its followers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    head: Head,
    lost: bool,
}

/// What the log holds, some moments before its followers are shown it.
struct Durable {
    head: Head,
    recent: Recent,
}

/// One workspace as its followers see it.
pub struct Room {
    attached: OnceCell<()>,
    epoch: OnceLock<LogEpoch>,
    progress: watch::Sender<Progress>,
    durable: Mutex<Durable>,
    sessions: AtomicU32,
    bytes: AtomicU64,
    /// Those who read the log for the relay itself, beside the sessions.
    watchers: AtomicU32,
    /// How far each session has been sent the log.
    followers: Mutex<Vec<Weak<AtomicU64>>>,
    shares: Shares,
    /// What of the log is shown here, where that is not everything.
    reach: Option<Reach>,
    /// The rooms where less of the same log is shown.
    shown: Mutex<HashMap<Reach, Weak<Room>>>,
}

impl Listener for Room {
    fn reach(&self) -> Option<&Reach> {
        self.reach.as_ref()
    }

    fn opened(&self, epoch: LogEpoch, head: Head) {
        // Set once: a room joins its log once.
        let _ = self.epoch.set(epoch);
        self.held().head = head;
        self.progress.send_replace(Progress { head, lost: false });
    }

    fn appended(&self, entries: &[Arc<Entry>], head: Head) {
        let mut durable = self.held();
        durable.head = head;
        durable.recent.extend(entries);
    }

    fn announce(&self) {
        if planted!(LostWakeUp) {
            return;
        }
        let head = self.held().head;
        self.progress.send_modify(|progress| progress.head = head);
    }

    fn measured(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn lost(&self) {
        self.progress.send_modify(|progress| progress.lost = true);
    }
}

/// All rooms.
pub struct Hub {
    log: Log,
    rooms: Mutex<HashMap<WorkspaceId, Arc<Room>>>,
    config: Config,
}

impl Hub {
    /// No rooms yet.
    pub fn new(log: Log, config: &Config) -> Arc<Self> {
        Arc::new(Self { log, rooms: Mutex::default(), config: config.clone() })
    }

    /// The log that the rooms follow.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How many rooms have someone in them.
    pub fn rooms(&self) -> usize {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many sessions a workspace has.
    pub fn sessions(&self, workspace: &WorkspaceId) -> u32 {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(workspace).map_or(0, |room| room.sessions.load(Ordering::Relaxed))
    }

    /// How each workspace with a session stands.
    pub fn standings(&self) -> Vec<Workspace> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let standings = rooms.into_iter().map(|(name, room)| {
            let (sessions, lag_entries) = (room.sessions.load(Ordering::Relaxed), room.lag_entries());
            Workspace { name, sessions, lag_entries }
        });
        standings.filter(|workspace| workspace.sessions > 0).collect()
    }

    /// A seat in the grant's room, which joins its log first if it is new.
    pub async fn enter(self: &Arc<Self>, grant: &Grant) -> Result<Seat, EnterError> {
        self.seat(grant, false).await
    }

    /// As [`Hub::enter`], for who reads the log for the relay itself: it is no session, and takes no session's place.
    pub async fn watch(self: &Arc<Self>, grant: &Grant) -> Result<Seat, EnterError> {
        self.seat(grant, true).await
    }

    async fn seat(self: &Arc<Self>, grant: &Grant, watches: bool) -> Result<Seat, EnterError> {
        let room = self.room(grant.workspace(), watches)?;
        let (workspace, changes, follower) = (grant.workspace().clone(), room.progress.subscribe(), room.follower());
        let seat = Seat { hub: self.clone(), workspace, changes, follower, whole: room.clone(), room, watches };
        self.attach(&seat.whole, grant).await?;
        Ok(seat)
    }

    /// As [`Hub::enter`], for a seat that is shown what the grant may read.
    pub async fn enter_as_shown(self: &Arc<Self>, grant: &Grant) -> Result<Seat, EnterError> {
        let mut seat = self.enter(grant).await?;
        if let Some(reach) = grant.readable() {
            seat.room = seat.whole.shown(reach, self.config.recent_bytes_max);
            seat.changes = seat.room.progress.subscribe();
            self.attach(&seat.room, grant).await?;
        }
        Ok(seat)
    }

    async fn attach(&self, room: &Arc<Room>, grant: &Grant) -> Result<(), LogError> {
        let listener: Weak<dyn Listener> = Arc::downgrade(room) as Weak<dyn Listener>;
        room.attached.get_or_try_init(|| self.log.attach(grant, listener)).await.map(|_| ())
    }

    /// The room, with one more session or watcher counted in it.
    fn room(&self, workspace: &WorkspaceId, watches: bool) -> Result<Arc<Room>, EnterError> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.get(workspace).is_none_or(|room| room.progress.borrow().lost) {
            let shares = Shares::new(&self.config);
            let room = Room { shares, ..Room::new(self.config.recent_bytes_max) };
            rooms.insert(workspace.clone(), Arc::new(room));
        }
        let room = rooms.get(workspace).cloned().ok_or(LogError::Unavailable)?;
        let sessions_max = self.config.sessions_per_workspace_max;
        if !watches && room.sessions.load(Ordering::Relaxed) >= sessions_max {
            return Err(EnterError::Full { sessions_max });
        }
        room.seats(watches).fetch_add(1, Ordering::Relaxed);
        Ok(room)
    }

    fn leave(&self, workspace: &WorkspaceId, room: &Arc<Room>, watches: bool) {
        // Under the lock, so that nobody enters a room that is about to go.
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        room.seats(watches).fetch_sub(1, Ordering::Relaxed);
        let empty = [&room.sessions, &room.watchers].iter().all(|seats| seats.load(Ordering::Relaxed) == 0);
        if empty && rooms.get(workspace).is_some_and(|current| Arc::ptr_eq(current, room)) {
            rooms.remove(workspace);
        }
    }
}

impl Room {
    /// Knows nothing yet; [`Log::attach`] or [`crate::log::Writer::attach`] joins it to its log.
    pub fn new(recent_bytes_max: usize) -> Self {
        Self {
            attached: OnceCell::new(),
            epoch: OnceLock::new(),
            progress: watch::Sender::new(Progress::default()),
            durable: Mutex::new(Durable { head: Head::default(), recent: Recent::new(recent_bytes_max) }),
            sessions: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            watchers: AtomicU32::new(0),
            followers: Mutex::default(),
            shares: Shares::new(&Config::default()),
            reach: None,
            shown: Mutex::default(),
        }
    }

    /// The room of those who are shown this much of the log.
    fn shown(&self, reach: Reach, recent_bytes_max: usize) -> Arc<Self> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = shown.get(&reach).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(Self { reach: Some(reach.clone()), ..Self::new(recent_bytes_max) });
        shown.insert(reach, Arc::downgrade(&room));
        room
    }

    fn seats(&self, watches: bool) -> &AtomicU32 {
        if watches { &self.watchers } else { &self.sessions }
    }

    /// What its sessions may take together.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// The log's identity.
    pub fn epoch(&self) -> LogEpoch {
        self.epoch.get().copied().unwrap_or(LogEpoch([0; 16]))
    }

    /// The last durable entry and the digest there: what a device that comes now has to be told.
    pub fn durable(&self) -> Head {
        self.held().head
    }

    /// The last entry to be followed, and the digest there. Whoever made it, or one before it, has the receipt.
    pub fn head(&self) -> Head {
        self.progress.borrow().head
    }

    /// How long the log is, in bytes of its entries.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the log failed since the room joined it: then nothing more comes.
    pub fn is_lost(&self) -> bool {
        self.progress.borrow().lost
    }

    /// The entries after `after`, at most `bytes_max` bytes and one at least, if all of them are still in memory.
    pub fn recent(&self, after: LogSeq, bytes_max: usize) -> Option<Vec<Arc<Entry>>> {
        self.held().recent.after(after, bytes_max)
    }

    /// A new session's place in the log, which is nowhere yet.
    fn follower(&self) -> Arc<AtomicU64> {
        let follower = Arc::new(AtomicU64::new(NOWHERE));
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|other| other.strong_count() > 0);
        followers.push(Arc::downgrade(&follower));
        follower
    }

    /// Positions between the log's end and the session that has been sent the least.
    fn lag_entries(&self) -> u64 {
        let tail = self.durable().tail.0;
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let places = followers.iter().filter_map(Weak::upgrade).map(|follower| follower.load(Ordering::Relaxed));
        tail.saturating_sub(places.filter(|place| *place != NOWHERE).min().unwrap_or(tail))
    }

    fn held(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a room, of a session or a watcher. Dropping it leaves the room.
pub struct Seat {
    hub: Arc<Hub>,
    workspace: WorkspaceId,
    /// Where it is counted.
    whole: Arc<Room>,
    room: Arc<Room>,
    changes: watch::Receiver<Progress>,
    follower: Arc<AtomicU64>,
    watches: bool,
}

impl Seat {
    /// The session has been sent the log through here; `None` while it compares histories.
    pub fn reached(&self, place: Option<LogSeq>) {
        self.follower.store(place.map_or(NOWHERE, |place| place.0), Ordering::Relaxed);
    }

    /// The whole workspace's room, whose shares the session has its part of.
    pub fn whole(&self) -> &Arc<Room> {
        &self.whole
    }

    /// The room, with what of the log is shown to the session.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Returns when the head moved or the log was lost since the last call.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender is in the room, and the room is here.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.leave(&self.workspace, &self.whole, self.watches);
    }
}
