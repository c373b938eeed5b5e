//! The owner of the store: takes commands one after another and answers them, in a thread of its own or wherever its loop
//! is run. Must not know the command line.

mod session;
mod slot;

use crate::error::Error;
use crate::machine::Machine;
use crate::socket::{Counters, Link, Traffic};
use comptoir_engine::{DeviceId, Engine, Mode, Now, RecordId, Settings, State, StoreError};
use rand::rngs::StdRng;
use session::Once;
use slot::Slot;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

/// The longest the thread sleeps when nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A record changed, here or elsewhere.
    Changed(RecordId),
    /// More changed than was kept: read again what is shown.
    Refresh,
}

/// How things stand. Never claims more than is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What the engine says.
    pub engine: comptoir_engine::Status,
    /// Whether a relay is set.
    pub enabled: bool,
    /// The workspace, the relay, the device's name.
    pub settings: Settings,
    /// This installation.
    pub device: DeviceId,
    /// Bytes on the wire since the store was opened.
    pub traffic: Traffic,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something done with the engine, and its outcome passed on.
pub(crate) type Use = Box<dyn FnOnce(&mut Worker) + Send>;

/// What the thread can be asked.
pub(crate) enum Command {
    Use(Use),
    Status(Reply<Status>),
    SyncOnce(Mode, Reply<Status>),
    GiveUp(Reply<Option<String>>),
    Live(Mode, Reply<()>),
    Pause(Reply<()>),
    ShutDown(Reply<()>),
}

/// Where the thread tells what happened.
#[derive(Clone)]
pub(crate) struct Telling {
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) status: watch::Sender<Option<Status>>,
}

/// The owner's state.
pub(crate) struct Worker {
    slot: Slot,
    started: Instant,
    rng: StdRng,
    link: Option<Link>,
    counters: Counters,
    once: Option<Once>,
    live: Option<Mode>,
    /// Indexes are worked on; not after an error, until the store is opened again.
    indexing: bool,
    telling: Telling,
}

impl Worker {
    /// Opens the machine's store; with settings, makes one where there is none.
    pub(crate) fn open(mut machine: Box<dyn Machine>, make: Option<Settings>, telling: Telling) -> Result<Self, Error> {
        let rng = machine.rng();
        Ok(Self {
            slot: Slot::open(machine, make)?,
            started: Instant::now(),
            rng,
            link: None,
            counters: Counters::default(),
            once: None,
            live: None,
            indexing: true,
            telling,
        })
    }

    /// Runs until it is shut down or every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            self.reopen();
            self.tell();
            self.end_once();
            self.connect();
            let blocked = self.send();
            let due = self.due();
            let frames = self.link.as_ref().filter(|_| blocked).map(|link| link.frames.clone());
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::ShutDown(reply)) => {
                        drop(self);
                        // Whoever asked may have gone; the store is closed all the same.
                        let _ = reply.send(Ok(()));
                        return;
                    }
                    Some(command) => self.obey(command),
                    None => return,
                },
                heard = session::hear(&mut self.link) => self.heard(heard),
                () = session::room(frames) => {}
                () = std::future::ready(()), if self.has_index_work() => self.index(),
                () = tokio::time::sleep_until(due) => self.time_out(),
            }
        }
    }

    fn has_index_work(&self) -> bool {
        self.indexing && self.slot.engine().is_some_and(Engine::has_index_work)
    }

    /// One piece of what indexes wait for.
    fn index(&mut self) {
        self.indexing = self.with(|engine, _| engine.index_step()).is_ok();
    }

    fn now(&self) -> Now {
        Now { wall: self.slot.machine().wall(), monotonic_ms: self.started.elapsed().as_millis() as u64 }
    }

    fn due(&self) -> Instant {
        let idle = Instant::now() + IDLE_MAX;
        let due = match self.slot.engine() {
            Some(_) if planted!(DueSlept) => None,
            Some(engine) => engine.poll_timeout().map(|due_ms| self.started + Duration::from_millis(due_ms)),
            None => Some(self.slot.retry_at()),
        };
        due.map_or(idle, |due| due.min(idle))
    }

    fn obey(&mut self, command: Command) {
        // Whoever asked may have gone; what was done stays done.
        match command {
            Command::Use(run) => run(self),
            Command::Status(reply) => drop(reply.send(self.status().ok_or(Error::ShutDown))),
            Command::SyncOnce(mode, reply) => self.sync_once(mode, reply),
            Command::GiveUp(reply) => {
                let cause = self.give_up_once();
                drop(reply.send(Ok(cause)));
            }
            Command::Live(mode, reply) => drop(reply.send(self.stay_live(mode))),
            Command::Pause(reply) => drop(reply.send(self.pause())),
            // The loop ends with this one; it never comes here.
            Command::ShutDown(reply) => drop(reply.send(Ok(()))),
        }
    }

    /// Lets the engine do something, and passes the outcome on. When its disk has failed, the store is closed, so that
    /// nothing is built on what may not be durable, and opened again a little later.
    pub(crate) fn with<T>(&mut self, run: impl FnOnce(&mut Engine, Now) -> Result<T, StoreError>) -> Result<T, Error> {
        let now = self.now();
        let outcome = run(self.slot.engine_mut()?, now);
        if let Err(error) = &outcome
            && slot::is_fatal(error)
        {
            self.link = None;
            self.slot.fail(error);
            if let Some(once) = self.once.take() {
                once.answer(Err(error.clone().into()));
            }
            self.telling.status.send_replace(self.status());
        }
        Ok(outcome?)
    }

    /// Has the machine do something.
    pub(crate) fn with_machine<T>(&mut self, run: impl FnOnce(&mut dyn Machine) -> T) -> T {
        run(self.slot.machine_mut())
    }

    /// Opens a store again that was closed when its disk failed, once it is time.
    fn reopen(&mut self) {
        if !self.slot.reopen() {
            return;
        }
        self.indexing = true;
        let now = self.now();
        if let (Some(mode), Ok(engine)) = (self.live, self.slot.engine_mut()) {
            engine.start(mode, now);
        }
        if !planted!(RefreshUntold) {
            // Whether the edit that failed was kept is known only now. No watchers, nobody to tell.
            let _ = self.telling.notices.send(Notice::Refresh);
        }
        self.telling.status.send_replace(self.status());
    }

    /// How things stand now; of a store whose disk failed, how they stood, and why it is closed.
    fn status(&self) -> Option<Status> {
        let Some(engine) = self.slot.engine() else {
            let mut status = self.telling.status.borrow().clone()?;
            status.engine.state = State::Error;
            status.engine.in_progress = false;
            status.engine.error = self.slot.cause().map(ToString::to_string);
            return Some(status);
        };
        Some(Status {
            engine: engine.status(),
            enabled: !engine.settings().relay.is_empty(),
            settings: engine.settings().clone(),
            device: engine.device(),
            traffic: self.counters.traffic(),
        })
    }
}
