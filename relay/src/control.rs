//! What a serving relay does for the command line on the same machine: it has the log open, so a backup, a check and the
//! removal of a workspace are its work, also where they are asked for over REST. This door: Loopback only, and only for who can read the data folder. Must not know what devices say.
//!
//! `DATA/control` holds, while the relay serves, the address and a secret of this run, for its owner's eyes only. A request is
//! `POST` to `/backup`, `/verify`, `/workspaces`, `/workspace`, `/remove` or `/webhook` with JSON, `authorization: Bearer SECRET` and
//! `accept-language`; an answer is JSON, or, with a status from 400 on, a text for people.

mod client;
mod schedule;
mod state;
mod workspaces;

use crate::audit::Audit;
use crate::backup::{Backup, BackupError, Owner, Place, Scratch, Taken, verify};
use crate::catalog::{Catalog, write_private};
use crate::clock::Clock;
use crate::config::{BackupSettings, BucketSettings};
use crate::log::Log;
use crate::service::Services;
use crate::text::{Told, hex, tell_in};
use crate::webhooks::{Ordered, WebhookError, Webhooks};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::time::Timestamp;
use getrandom::fill;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Duration, Instant, sleep, timeout};

pub use client::{Asked, ControlError, ask};
pub use state::BackupState;
pub use workspaces::{ManageError, Workspace};

/// Requests at a time.
const CONNECTIONS_MAX: usize = 8;
/// The longest request's content, in bytes.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Time to send a request's head, and again for its content.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for what is asked: no backup takes longer.
const WORK_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A backup as the command line asks for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupOrder {
    /// The folder to back up into, not relative, or the bucket.
    pub out: String,
    /// See [`Backup::full`].
    pub full: bool,
    /// See [`Backup::keep`].
    pub keep: Option<usize>,
    /// Whether it is tried before it counts.
    pub trial: bool,
    /// See [`Backup::take_over`].
    #[serde(default)]
    pub take_over: bool,
}

/// The file with the address and the secret.
#[derive(Serialize, Deserialize)]
struct Door {
    address: SocketAddr,
    secret: String,
}

/// Where requests come in.
pub struct OpenDoor {
    listener: TcpListener,
    secret: Arc<str>,
}

fn door_file(data: &Path) -> PathBuf {
    data.join("control")
}

/// What is done on request, one at a time.
pub struct Control {
    data: PathBuf,
    log: Log,
    keys: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    buckets: BucketSettings,
    /// What is said of backups on time, where they are.
    backups: Option<BackupSettings>,
    /// The service devices, where a relay serves.
    services: Option<Arc<Services>>,
    /// Where it is noted what is done on time.
    audit: Option<Audit>,
    webhooks: Option<Arc<Webhooks>>,
    one_at_a_time: Mutex<()>,
    last: std::sync::Mutex<BackupState>,
}

impl Control {
    /// For the log and the keys of this data folder.
    pub fn new(data: &Path, log: Log, keys: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        let (data, buckets) = (data.to_owned(), BucketSettings::default());
        let (one_at_a_time, last) = (Mutex::new(()), std::sync::Mutex::default());
        let (backups, services, audit, webhooks) = (None, None, None, None);
        Self { data, log, keys, clock, buckets, backups, services, audit, webhooks, one_at_a_time, last }
    }

    /// With these settings of backups, before those of the environment.
    pub fn with_backups(self, settings: Option<&BackupSettings>) -> Self {
        let buckets = settings.map(|settings| settings.s3.clone()).unwrap_or_default();
        Self { buckets, backups: settings.cloned(), ..self }
    }

    /// Notes what is done on time here.
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Beside these service devices.
    pub fn with_services(self, services: Arc<Services>) -> Self {
        Self { services: Some(services), ..self }
    }

    /// With these webhooks to manage.
    pub fn with_webhooks(self, webhooks: Arc<Webhooks>) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }

    /// Does what is asked about webhooks.
    pub async fn order(&self, ordered: Ordered) -> Result<serde_json::Value, WebhookError> {
        match &self.webhooks {
            Some(webhooks) => webhooks.obey(ordered).await,
            None => Err(WebhookError::Order { cause: "it has no webhooks".to_owned() }),
        }
    }

    /// Removes what a killed process left of a trial. For the one process that has the log open.
    pub async fn sweep(&self) -> Result<(), BackupError> {
        // Who is at work has cleared it, and needs it.
        let Ok(_turn) = self.one_at_a_time.try_lock() else { return Ok(()) };
        self.scratch().sweep().await
    }

    /// Where a log is made to see whether it can be.
    fn scratch(&self) -> Scratch {
        Scratch::like(self.data.join("trial"), self.log_folder())
    }

    fn log_folder(&self) -> PathBuf {
        self.data.join("log")
    }

    /// Takes a backup.
    pub async fn back_up(&self, order: &BackupOrder) -> Result<Taken, BackupError> {
        let _turn = self.one_at_a_time.lock().await;
        let _begun = self.begun();
        let made = self.clock.now();
        let taken = self.take(order, made).await;
        self.ended(made, &taken);
        taken
    }

    async fn take(&self, order: &BackupOrder, made: Timestamp) -> Result<Taken, BackupError> {
        let place = Place::make(&order.out, &self.buckets)?;
        let BackupOrder { full, keep, trial, take_over, .. } = *order;
        let (owner, scratch) = (Owner::of(&self.log_folder())?, trial.then(|| self.scratch()));
        let backup = Backup { owner, take_over, full, keep, scratch };
        let (metrics, begun) = (self.log.metrics(), Instant::now());
        let taken = backup.take(&self.log, &self.keys, &place, made).await;
        match &taken {
            Ok(taken) if taken.lacks.is_empty() => metrics.backed_up(made.unix_ms, begun.elapsed()),
            _ => metrics.backup_failed(),
        }
        taken
    }

    /// Verifies the log.
    pub async fn verify(&self) -> Result<crate::backup::Verified, BackupError> {
        let _turn = self.one_at_a_time.lock().await;
        verify(&self.log, &self.keys, &self.scratch(), self.clock.now()).await
    }

    /// Opens a door of its own: from now on the command line finds it.
    pub async fn listen(&self) -> io::Result<OpenDoor> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut secret = [0; 32];
        fill(&mut secret).map_err(|_| io::Error::other("no random numbers"))?;
        let secret = hex(&secret);
        let door = Door { address: listener.local_addr()?, secret: secret.clone() };
        write_private(&self.data, &door_file(&self.data), &serde_json::to_string(&door).map_err(io::Error::other)?)?;
        Ok(OpenDoor { listener, secret: format!("Bearer {secret}").into() })
    }

    /// Does what is asked at the door until `shutdown` turns true; what is under way then is dropped.
    pub async fn serve(self: Arc<Self>, door: OpenDoor, mut shutdown: watch::Receiver<bool>) {
        let OpenDoor { listener, secret } = door;
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "what a killed process left of a trial is still there");
        }
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stopped| *stopped) => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // wait: the system gave no connection, and may have none for a while
                sleep(ACCEPT_RETRY).await;
                continue;
            };
            // One too many is closed at once.
            let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
            let (control, secret, mut shutdown) = (self.clone(), secret.clone(), shutdown.clone());
            tokio::spawn(async move {
                let _permit = permit;
                let service = service_fn(move |request| {
                    let (control, secret) = (control.clone(), secret.clone());
                    async move { Ok::<_, Infallible>(control.answer(request, &secret).await) }
                });
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // Who asked has the answer, or is gone.
                    _ = timeout(WORK_MAX, connection) => {}
                    _ = shutdown.wait_for(|stopped| *stopped) => {}
                }
            });
        }
        // The next run writes its own.
        let _ = std::fs::remove_file(door_file(&self.data));
    }

    async fn answer(&self, request: Request<Incoming>, secret: &str) -> Response<Full<Bytes>> {
        let said = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if said(header::AUTHORIZATION) != secret {
            return text(StatusCode::UNAUTHORIZED, "not allowed".to_owned());
        }
        let locale = said(header::ACCEPT_LANGUAGE).to_owned();
        let path = request.uri().path().to_owned();
        if request.method() != Method::POST {
            return text(StatusCode::NOT_FOUND, "not found".to_owned());
        }
        let content = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
        let content =
            timeout(REQUEST_TIMEOUT, content).await.ok().and_then(Result::ok).map(|content| content.to_bytes());
        match self.done(&path, &content.unwrap_or_default()).await {
            Some(Ok(json)) => Response::new(Full::new(json.into())),
            Some(Err(error)) => text(StatusCode::UNPROCESSABLE_ENTITY, tell_in(&locale, &*error)),
            None => text(StatusCode::BAD_REQUEST, "nothing that is done here".to_owned()),
        }
    }

    /// Does what is asked; `None` where that is nothing of this door's.
    async fn done(&self, path: &str, order: &[u8]) -> Option<Result<Vec<u8>, Box<dyn Told + Send>>> {
        let named = || serde_json::from_slice::<String>(order).ok().and_then(|name| WorkspaceId::new(&name).ok());
        Some(match path {
            "/backup" => answered(self.back_up(&serde_json::from_slice(order).ok()?).await),
            "/verify" => answered(self.verify().await),
            "/workspaces" => answered(self.workspaces().await),
            "/workspace" => answered(self.workspace(&named()?).await),
            "/webhook" => answered(self.order(serde_json::from_slice(order).ok()?).await),
            "/remove" => answered(self.remove(&named()?).await),
            _ => return None,
        })
    }
}

fn answered<T: Serialize, E: Told + Send + 'static>(done: Result<T, E>) -> Result<Vec<u8>, Box<dyn Told + Send>> {
    match done {
        Ok(done) => Ok(serde_json::to_vec(&done).unwrap_or_default()),
        Err(error) => Err(Box::new(error)),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
