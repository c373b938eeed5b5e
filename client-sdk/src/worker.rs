//! The thread that owns the engine: takes commands, drives the connection, tells what happened. Must not know the command
//! line.

use crate::error::Error;
use crate::handle::Notice;
use crate::socket::{self, Counters, Heard, Link};
use comptoir_engine::disk::DiskError;
use comptoir_engine::disk::sled::{SledDisk, SledOptions};
use comptoir_engine::{
    Collection, Committed, DeviceId, Engine, Event, FieldEdit, Key, Mode, Now, RecordId, Settings, State, StoreError,
    Timestamp, View,
};
use rand::SeedableRng as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// How long a store that failed stays shut before it is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// How often a single sync connects before it gives up.
const ATTEMPTS_MAX: u32 = 3;

/// Bytes on the wire, WebSocket and HTTP framing included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Sent.
    pub sent_bytes: u64,
    /// Received.
    pub received_bytes: u64,
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

/// What the thread can be asked.
pub(crate) enum Command {
    Commit(Vec<(RecordId, FieldEdit)>, Reply<Committed>),
    Get(RecordId, Reply<Option<View>>),
    List(Collection, Option<Key>, usize, Reply<Vec<(Key, View)>>),
    Collections(Reply<Vec<Collection>>),
    Configure(Settings, Reply<()>),
    SyncOnce(Mode, Reply<Status>),
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

/// Opens or makes the store in `dir`.
pub(crate) fn open(dir: &Path, make: Option<Settings>) -> Result<Engine, Error> {
    let disk = SledDisk::open(dir, &SledOptions::default()).map_err(StoreError::from)?;
    let identity = disk.identity();
    let mut rng = rand::rngs::StdRng::from_rng(&mut rand::rng());
    Ok(match make {
        Some(settings) => Engine::create(Box::new(disk), &identity, settings, &mut rng)?,
        None => Engine::open(Box::new(disk), &identity, &mut rng)?,
    })
}

/// The thread's state.
pub(crate) struct Worker {
    dir: PathBuf,
    engine: Option<Engine>,
    failed_at: Instant,
    started: Instant,
    rng: rand::rngs::StdRng,
    link: Option<Link>,
    counters: Counters,
    once: Option<(Reply<Status>, u32)>,
    live: Option<Mode>,
    telling: Telling,
}

impl Worker {
    pub(crate) fn new(dir: PathBuf, engine: Engine, telling: Telling) -> Self {
        Self {
            dir,
            engine: Some(engine),
            failed_at: Instant::now(),
            started: Instant::now(),
            rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
            link: None,
            counters: Counters::default(),
            once: None,
            live: None,
            telling,
        }
    }

    /// Runs until it is shut down or every handle is gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            self.tell();
            self.end_once();
            self.connect();
            let blocked = self.send().await;
            let due = self.due();
            let frames = self.link.as_ref().filter(|_| blocked).map(|link| link.frames.clone());
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::ShutDown(reply)) => {
                        drop(self);
                        let _ = reply.send(Ok(()));
                        return;
                    }
                    Some(command) => self.obey(command),
                    None => return,
                },
                heard = hear(&mut self.link) => self.heard(heard),
                () = room(frames) => {}
                () = tokio::time::sleep_until(due.into()) => {
                    let now = self.now();
                    if let Some(engine) = &mut self.engine {
                        engine.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        Now { wall: Timestamp { unix_ms }, monotonic_ms: self.started.elapsed().as_millis() as u64 }
    }

    fn due(&self) -> Instant {
        let due_ms = self.engine.as_ref().and_then(Engine::poll_timeout);
        let far = Instant::now() + Duration::from_secs(3600);
        due_ms.map_or(far, |due_ms| (self.started + Duration::from_millis(due_ms)).min(far))
    }

    /// The engine, opened again if it failed a while ago.
    fn engine(&mut self) -> Result<&mut Engine, Error> {
        if self.engine.is_none() {
            if self.failed_at.elapsed() < REOPEN_AFTER {
                return Err(StoreError::Disk(DiskError::Poisoned).into());
            }
            self.failed_at = Instant::now();
            let mut engine = open(&self.dir, None)?;
            if let Some(mode) = self.live {
                engine.start(mode, self.now());
            }
            self.engine = Some(engine);
        }
        self.engine.as_mut().ok_or(Error::ShutDown)
    }

    /// Passes an outcome on. A failed disk takes the engine with it: it is opened again, so that nothing is built on what
    /// may not be durable.
    fn checked<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, Error> {
        if let Err(StoreError::Disk(DiskError::Full { .. } | DiskError::Io { .. } | DiskError::Poisoned)) = &outcome {
            self.engine = None;
            self.link = None;
            self.failed_at = Instant::now();
        }
        Ok(outcome?)
    }

    fn with<T>(&mut self, run: impl FnOnce(&mut Engine, Now) -> Result<T, StoreError>) -> Result<T, Error> {
        let now = self.now();
        let outcome = run(self.engine()?, now);
        self.checked(outcome)
    }

    fn obey(&mut self, command: Command) {
        // Whoever asked may have gone; what was done stays done.
        match command {
            Command::Commit(edits, reply) => drop(reply.send(self.with(|engine, now| engine.commit(&edits, now)))),
            Command::Get(record, reply) => drop(reply.send(self.with(|engine, _| engine.get(&record)))),
            Command::List(collection, after, max, reply) => {
                drop(reply.send(self.with(|engine, _| engine.list(&collection, after.as_ref(), max))));
            }
            Command::Collections(reply) => drop(reply.send(self.with(|engine, _| Ok(engine.collections())))),
            Command::Configure(settings, reply) => {
                drop(reply.send(self.with(|engine, _| engine.configure(settings))));
            }
            Command::SyncOnce(mode, reply) => self.begin(mode, Some(reply)),
            Command::Live(mode, reply) => {
                self.begin(mode, None);
                drop(reply.send(Ok(())));
            }
            Command::Pause(reply) => drop(reply.send(self.pause())),
            Command::ShutDown(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn begin(&mut self, mode: Mode, once: Option<Reply<Status>>) {
        self.link = None;
        let relay = self.with(|engine, _| Ok(engine.settings().relay.clone()));
        let refused = match relay {
            Err(error) => Some(error),
            Ok(relay) if relay.is_empty() => Some(Error::NoRelay),
            Ok(relay) if !socket::is_address(&relay) => Some(Error::Address { address: relay }),
            Ok(_) => None,
        };
        match (refused, once) {
            (Some(error), Some(reply)) => return drop(reply.send(Err(error))),
            (Some(_), None) => return,
            (None, Some(reply)) => self.once = Some((reply, 0)),
            (None, None) => self.live = Some(mode),
        }
        let now = self.now();
        if let Some(engine) = &mut self.engine {
            engine.start(mode, now);
        }
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.live = None;
        self.once = None;
        self.link = None;
        self.engine()?.stop();
        Ok(())
    }

    fn connect(&mut self) {
        let now = self.now();
        let Some(engine) = &mut self.engine else { return };
        if engine.wants_connection(now) {
            self.link = Some(socket::connect(&engine.settings().relay, self.counters.clone()));
        }
    }

    /// Hands frames to the connection; true when it takes no more for now.
    async fn send(&mut self) -> bool {
        loop {
            let Some(link) = &self.link else { return false };
            let permit = match link.frames.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) => return true,
                Err(mpsc::error::TrySendError::Closed(())) => return false,
            };
            let now = Now { wall: Timestamp::default(), monotonic_ms: self.started.elapsed().as_millis() as u64 };
            let Some(engine) = &mut self.engine else { return false };
            match engine.poll_message(now) {
                Ok(Some(frame)) => permit.send(frame),
                Ok(None) => return false,
                Err(error) => {
                    drop(permit);
                    drop(self.checked::<()>(Err(error)));
                    return false;
                }
            }
        }
    }

    fn heard(&mut self, heard: Heard) {
        let now = self.now();
        let Some(engine) = &mut self.engine else { return };
        match heard {
            Heard::Connected => engine.handle_connected(now),
            Heard::Closed { cause } => {
                self.link = None;
                engine.handle_disconnected(&cause, now, &mut self.rng);
                if let Some((_, failures)) = &mut self.once {
                    *failures += 1;
                }
            }
            Heard::Frame(frame) => {
                let outcome = engine.handle_message(&frame, now);
                if let Err(error) = self.checked(outcome) {
                    self.give_up(&error.to_string());
                }
            }
        }
    }

    fn give_up(&mut self, cause: &str) {
        let now = self.now();
        self.link = None;
        if let Some(engine) = &mut self.engine {
            engine.handle_disconnected(cause, now, &mut self.rng);
        }
        if let Some((reply, _)) = self.once.take() {
            drop(reply.send(Err(Error::Sync { cause: cause.to_owned() })));
        }
    }

    /// Tells watchers what happened, and closes a connection the engine wants closed.
    fn tell(&mut self) {
        let now = self.now();
        let Some(engine) = &mut self.engine else { return };
        let mut any = false;
        while let Some(event) = engine.poll_event() {
            any = true;
            // No watchers, nobody to tell.
            let _ = match event {
                Event::Changed(record) => self.telling.notices.send(Notice::Changed(record)),
                Event::Refresh => self.telling.notices.send(Notice::Refresh),
                Event::Status => continue,
                Event::Disconnect => {
                    self.link = None;
                    let cause = "the relay ended the session";
                    engine.handle_disconnected(cause, now, &mut self.rng);
                    if let Some((_, failures)) = &mut self.once {
                        *failures += 1;
                    }
                    continue;
                }
            };
        }
        if any || self.telling.status.borrow().is_none() {
            self.telling.status.send_replace(Some(status_of(engine, &self.counters)));
        }
    }

    /// Answers who waits for a single sync, when it is done or cannot be.
    fn end_once(&mut self) {
        let (Some(engine), Some((_, failures))) = (&mut self.engine, &self.once) else { return };
        let status = engine.status();
        let cause = status.error.clone().unwrap_or_else(|| "the relay ended the session".to_owned());
        let outcome = match () {
            _ if engine.is_done() && status.state == State::Error => Err(Error::Sync { cause }),
            _ if engine.is_done() => Ok(()),
            _ if *failures > 0 && status.state == State::Error => Err(Error::Sync { cause }),
            _ if *failures >= ATTEMPTS_MAX => Err(Error::Sync { cause }),
            _ => return,
        };
        // The status while the session still knows; then goes back to what was going on before.
        let outcome = outcome.map(|()| status_of(engine, &self.counters));
        let Some((reply, _)) = self.once.take() else { return };
        self.link = None;
        let now = self.now();
        if let Some(engine) = &mut self.engine {
            engine.stop();
            if let Some(mode) = self.live {
                engine.start(mode, now);
            }
        }
        self.tell();
        drop(reply.send(outcome));
    }
}

fn status_of(engine: &Engine, counters: &Counters) -> Status {
    Status {
        engine: engine.status(),
        enabled: !engine.settings().relay.is_empty(),
        settings: engine.settings().clone(),
        device: engine.device(),
        traffic: counters.traffic(),
    }
}

/// What the connection tells next; never, while there is none.
async fn hear(link: &mut Option<Link>) -> Heard {
    match link {
        Some(link) => link.heard.recv().await.unwrap_or(Heard::Closed { cause: "the connection broke".to_owned() }),
        None => std::future::pending().await,
    }
}

/// Returns when the connection takes another frame, or will never; without one to wait for, not at all.
async fn room(frames: Option<mpsc::Sender<Vec<u8>>>) {
    match frames {
        Some(frames) => drop(frames.reserve().await),
        None => std::future::pending().await,
    }
}
