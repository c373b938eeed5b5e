//! Service devices: one for each workspace that is read or written over REST. Each is a device as every other, with a
//! store of its own, and syncs with this relay by the same session as every other. Opened when it is asked for, closed
//! when nobody asks any more. Must not know HTTP.
//!
//! `DATA/service/WORKSPACE/store` is its store, `keys` beside it the idempotency keys. A store that is damaged is set aside
//! as `damaged-1`, never deleted: what it has not sent yet may still be read out of it.

mod fault;
mod link;
mod place;
mod receipts;
mod worker;
mod write;

use crate::auth::{Auth, Grant, Permissions, Subject, TokenRequest};
use crate::catalog::{Allowance, make_private_folder};
use crate::clock::Clock;
use crate::config::Config;
use crate::limits::Limits;
use crate::lobby::Lobby;
use crate::room::Hub;
use crate::ws::Door;
use comptoir_engine::disk::{self, DiskError};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::wire::message::Role;
use comptoir_engine::{Engine, Settings, StoreError};
pub use fault::ServiceError;
use link::Inside;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use receipts::Receipts;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use worker::{Outside, Worker};
use write::Job;
pub use write::{Once, Stated, Write, Written, stated};

/// Requests that may wait for a worker.
const JOBS_MAX: usize = 64;
/// How long a request waits for its turn to be taken in.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for its answer. The worker's own deadlines are shorter; this one is for a disk that hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Memory that a service device's store may use as a cache, in bytes.
const CACHE_BYTES: u64 = 8 << 20;
/// How long the last owner of a store may take to close it.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// Damaged stores that are kept of one workspace.
const ASIDE_MAX: u32 = 8;
/// A device that was opened for a follower is closed when it has read nothing for so long.
const FOLLOWER_IDLE_MAX: Duration = Duration::from_secs(1);
const STORE: &str = "store";
const TOKEN_VALID: Duration = Duration::from_secs(30 * 86_400);

/// One service device. Clones of the [`Arc`] keep it from being closed.
pub struct Service {
    workspace: WorkspaceId,
    jobs: mpsc::Sender<Job>,
    /// Its thread holds the other end.
    thread: watch::Receiver<()>,
    /// Opened for a follower, and nobody else has asked for it since: it takes no place of those who ask.
    follows: Arc<AtomicBool>,
}

/// All service devices of a relay.
pub struct Services {
    folder: PathBuf,
    open: Mutex<HashMap<WorkspaceId, Arc<Service>>>,
    auth: Auth,
    hub: Arc<Hub>,
    door: Arc<Door>,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    lobby: Arc<Lobby>,
    places: Arc<Semaphore>,
    tasks: Handle,
    shutdown: watch::Receiver<bool>,
    services_max: u32,
    followers_max: u32,
    idle_max: Duration,
}

impl Services {
    /// None open yet. Called inside the runtime that serves sessions.
    pub fn new(
        folder: &Path,
        (auth, hub, door, limits): (Auth, Arc<Hub>, Arc<Door>, Arc<Limits>),
        config: &Config,
        clock: Arc<dyn Clock>,
        shutdown: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let followers_max = config.webhooks.services_max;
        let places = config.services_max.saturating_add(followers_max).saturating_mul(2);
        Arc::new(Self {
            folder: folder.to_owned(),
            open: Mutex::default(),
            auth,
            hub,
            door,
            limits,
            clock,
            lobby: Lobby::new(places, places),
            places: Arc::new(Semaphore::new(places as usize)),
            tasks: Handle::current(),
            shutdown,
            services_max: config.services_max,
            followers_max,
            idle_max: Duration::from_millis(config.service_idle_ms),
        })
    }

    /// Who checks tokens.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// What callers may take.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The rooms, for whoever follows a log.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Ends when the relay stops.
    pub fn shutdown(&self) -> watch::Receiver<bool> {
        self.shutdown.clone()
    }

    /// The service device of the grant's workspace. Errors: `Full`.
    pub fn of(self: &Arc<Self>, grant: &Grant) -> Result<Arc<Service>, ServiceError> {
        self.open(grant.workspace(), false)
    }

    /// The same for who follows a log on the relay's behalf: it takes none of the places of those who ask, and where nobody does
    /// it is closed as soon as it is let go. Errors: `Full`.
    pub fn for_follower(self: &Arc<Self>, grant: &Grant) -> Result<Arc<Service>, ServiceError> {
        self.open(grant.workspace(), true)
    }

    fn open(self: &Arc<Self>, workspace: &WorkspaceId, follows: bool) -> Result<Arc<Service>, ServiceError> {
        if *self.shutdown.borrow() {
            return Err(ServiceError::Closed);
        }
        let mut open = self.held();
        open.retain(|_, service| !service.jobs.is_closed());
        let places_max = if follows { self.followers_max } else { self.services_max };
        let taken = open.values().filter(|service| service.follows.load(Ordering::Relaxed) == follows).count();
        let has_room = taken < places_max as usize;
        let found = open.get(workspace);
        // One that was opened for a follower becomes theirs who ask, where they have a place for it.
        let is_free = found.is_some_and(|service| follows || !service.follows.load(Ordering::Relaxed));
        if !is_free && !has_room {
            return Err(ServiceError::Full { services_max: places_max });
        }
        if let Some(service) = found {
            service.follows.fetch_and(follows, Ordering::Relaxed);
            return Ok(service.clone());
        }
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let follows = Arc::new(AtomicBool::new(follows));
        let thread = self.start(workspace, follows.clone(), inbox)?;
        let service = Arc::new(Service { workspace: workspace.clone(), jobs, thread, follows });
        open.insert(workspace.clone(), service.clone());
        Ok(service)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Arc<Service>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what an earlier run of this relay has saved and not sent: opens each device there is, one after another.
    pub async fn settle(self: Arc<Self>) {
        let Ok(folder) = fs::read_dir(&self.folder) else { return };
        let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut workspaces: Vec<_> = names.filter_map(|name| WorkspaceId::new(&name).ok()).collect();
        workspaces.retain(|workspace| self.folder.join(workspace.as_str()).is_dir());
        for workspace in workspaces {
            let settled = match self.open(&workspace, false) {
                Ok(service) => service.settle().await,
                Err(error) => Err(error),
            };
            if let Err(error) = settled {
                tracing::warn!(%workspace, %error, "a service device could not be settled");
            }
        }
    }

    /// Closes a device that nothing opens any more, and returns when its store is closed. Whoever holds it still, lets it go when
    /// it asks again.
    pub async fn close(&self, workspace: &WorkspaceId) {
        let service = self.held().remove(workspace);
        let Some(mut thread) = service.map(|service| service.thread.clone()) else { return };
        // It ends by itself, as its token opens nothing; an error means that it has ended.
        let _ = timeout(CLOSE_MAX, thread.changed()).await;
    }

    /// Takes a device off the list, unless somebody holds it.
    fn retire(&self, workspace: &WorkspaceId) -> bool {
        let mut open = self.held();
        match open.get(workspace).is_none_or(|service| Arc::strong_count(service) == 1) {
            true => {
                open.remove(workspace);
                true
            }
            false => false,
        }
    }

    /// Opens the store and serves it, in a thread of its own.
    fn start(
        self: &Arc<Self>,
        workspace: &WorkspaceId,
        follows: Arc<AtomicBool>,
        inbox: mpsc::Receiver<Job>,
    ) -> Result<watch::Receiver<()>, ServiceError> {
        let (services, workspace) = (Arc::downgrade(self), workspace.clone());
        let folder = |cause: std::io::Error| ServiceError::Folder { cause: cause.to_string() };
        let thread = thread::Builder::new().name("service".to_owned());
        let (alive, ended) = watch::channel(());
        let spawned = thread.spawn(move || {
            serve(&services, &workspace, follows, inbox);
            drop(alive);
        });
        spawned.map(|_| ended).map_err(folder)
    }

    fn outside(self: &Arc<Self>, workspace: &WorkspaceId, follows: Arc<AtomicBool>) -> Outside {
        let (auth, named, of) = (self.auth.clone(), workspace.clone(), workspace.clone());
        let (clock, services) = (self.clock.clone(), Arc::downgrade(self));
        let (limits, limited) = (self.limits.clone(), workspace.clone());
        let (door, tasks, lobby) = (self.door.clone(), self.tasks.clone(), self.lobby.clone());
        let (for_all, for_followers) = (self.idle_max, self.idle_max.min(FOLLOWER_IDLE_MAX));
        Outside {
            inside: Inside { door, tasks, lobby, places: self.places.clone() },
            hub: self.hub.clone(),
            shutdown: self.shutdown.clone(),
            grant: Box::new(move || granted(&auth, &named)),
            wall: Box::new(move || clock.now()),
            log_bytes_max: Box::new(move || limits.log_bytes_max(&limited)),
            idle_max: Box::new(move || if follows.load(Ordering::Relaxed) { for_followers } else { for_all }),
            retire: Box::new(move || services.upgrade().is_none_or(|services| services.retire(&of))),
        }
    }
}

/// A token that the relay makes for its own device, and what it opens.
fn granted(auth: &Auth, workspace: &WorkspaceId) -> Result<(String, Grant), ServiceError> {
    let request = TokenRequest {
        workspace: workspace.clone(),
        role: Role::Admin,
        permissions: Permissions::ALL,
        allowance: Allowance::default(),
        subject: Some(Subject::User("relay".to_owned())),
        name: "REST".to_owned(),
        valid_for: TOKEN_VALID,
    };
    let token = auth.sign(&request).map_err(|error| ServiceError::Folder { cause: error.to_string() })?;
    let grant = auth.check(&token, workspace.as_str());
    grant.map(|grant| (token, grant)).map_err(|error| ServiceError::Folder { cause: error.to_string() })
}

/// The thread of one device.
fn serve(services: &Weak<Services>, workspace: &WorkspaceId, follows: Arc<AtomicBool>, mut inbox: mpsc::Receiver<Job>) {
    let opened = services.upgrade().ok_or(ServiceError::Closed).and_then(|services| {
        let (engine, receipts, rng) = open_store(&services, workspace)?;
        Ok(Worker::new(engine, receipts, services.outside(workspace, follows), rng))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|cause| ServiceError::Folder { cause: cause.to_string() });
    match opened.and_then(|worker| Ok((worker, runtime?))) {
        Ok((worker, runtime)) => runtime.block_on(worker.run(inbox)),
        Err(error) => {
            tracing::error!(%workspace, %error, "a service device cannot be opened");
            inbox.close();
            while let Ok(job) = inbox.try_recv() {
                job.refuse(error.clone());
            }
        }
    }
}

fn open_store(services: &Services, workspace: &WorkspaceId) -> Result<(Engine, Receipts, StdRng), ServiceError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|cause| ServiceError::Folder { cause: cause.to_string() })?;
    let mut rng = StdRng::from_seed(seed);
    let settings = Settings {
        workspace: workspace.clone(),
        relay: "relay:".to_owned(),
        token: String::new(),
        device_name: "REST".to_owned(),
    };
    let folder = services.folder.join(workspace.as_str());
    // The store holds a token of the relay's own.
    make_private_folder(&services.folder)
        .and_then(|()| make_private_folder(&folder))
        .map_err(|cause| ServiceError::Folder { cause: cause.to_string() })?;
    let engine = loop {
        match open_folder(&folder.join(STORE), &settings, &mut rng) {
            Err(StoreError::Damaged { .. } | StoreError::Disk(DiskError::Damaged { .. })) => set_aside(&folder)?,
            opened => break opened?,
        }
    };
    let receipts = Receipts::open(&folder.join("keys"), &engine, services.clock.now())?;
    Ok((engine, receipts, rng))
}

/// Opens a store; waits while the last owner still closes it.
fn open_folder(folder: &Path, settings: &Settings, rng: &mut StdRng) -> Result<Engine, StoreError> {
    let begun = Instant::now();
    loop {
        match disk::open(folder, None, CACHE_BYTES) {
            Ok(opened) => return Engine::create(opened.disk, &opened.identity, settings.clone(), rng),
            Err(DiskError::InUse { .. }) if begun.elapsed() < CLOSE_MAX => {
                // wait: for the last owner, who closes the store in another thread
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes room for a new store. The damaged one is kept: it may hold what was not sent yet.
fn set_aside(folder: &Path) -> Result<(), ServiceError> {
    let free = (1..=ASIDE_MAX).map(|number| folder.join(format!("damaged-{number}"))).find(|to| !to.exists());
    let error = |cause: String| ServiceError::Folder { cause };
    let to = free.ok_or_else(|| error(format!("{ASIDE_MAX} damaged stores lie there already")))?;
    tracing::error!(folder = %folder.display(), to = %to.display(), "a service device's store is damaged and set aside");
    fs::rename(folder.join(STORE), to).map_err(|cause| error(cause.to_string()))
}

impl Service {
    /// Reads the store once it holds everything that the log holds now. `look` runs on the store's thread: some
    /// milliseconds at most.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        self.ask(|reply| {
            Job::Look(Box::new(move |engine| {
                // Whoever asked may have gone.
                drop(reply.send(engine.and_then(|engine| Ok(look(engine)?))));
            }))
        })
        .await
    }

    /// Writes, and returns when the relay's log holds it. `Unsent`: it is durable here, and will be sent.
    pub async fn write(&self, write: Write) -> Result<Written, ServiceError> {
        self.ask(|reply| Job::Write(write, reply)).await
    }

    /// Returns when everything that was saved here is in the log.
    pub async fn settle(&self) -> Result<(), ServiceError> {
        self.ask(Job::Settle).await
    }

    async fn ask<T>(&self, job: impl FnOnce(write::Reply<T>) -> Job) -> Result<T, ServiceError> {
        let (reply, answer) = oneshot::channel();
        let busy = || ServiceError::Busy { workspace: self.workspace.clone() };
        let taken = timeout(TAKE_TIMEOUT, self.jobs.send(job(reply))).await.map_err(|_| busy())?;
        taken.map_err(|_| ServiceError::Closed)?;
        let answer = timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| ServiceError::Unsent)?;
        answer.map_err(|_| ServiceError::Closed)?
    }
}
