//! A whole relay: puts the parts together on one data folder and one address, and takes them down in order. Must not
//! know command lines or signals.
//!
//! The data folder holds `keys/` (see [`crate::catalog`]), `log/` (the store, see [`crate::log`]), `service/` (see
//! [`crate::service`]), `audit/` (see [`crate::audit`]), and `control` while a relay serves it (see [`crate::control`]).

use crate::audit::Audit;
use crate::auth::{Auth, JwksError};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::control::Control;
use crate::http::{self, Site};
use crate::limits::Limits;
use crate::lobby::Lobby;
use crate::log::{Committer, Log, LogError, OpenDisk, OpenedDisk};
use crate::logins::Jwks;
use crate::rest::Rest;
use crate::room::Hub;
use crate::service::Services;
use crate::text::Told;
use crate::tls::{Tls, TlsError};
use crate::webhooks::{Ground, Webhooks};
use crate::ws::Door;
use comptoir_engine::disk::{self, DiskError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// Why a relay does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The settings are not right.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The keys of an app's login cannot be used.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// Nothing can be written into the audit.
    #[error("the audit in {path} cannot be written ({cause}): check the folder, its permissions and the free space")]
    Audit {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        cause: String,
    },
    /// Another program listens there.
    #[error("the address {address} is in use by another program: stop it, or choose another address with --listen")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not let the relay listen there.
    #[error("nothing can listen on {address} ({cause}): choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        cause: String,
    },
}

impl Told for StartError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Tls(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Jwks(JwksError::Unreadable { .. }) => "jwks_unreadable",
            Self::Jwks(JwksError::NotKeys { .. }) => "jwks_invalid",
            Self::Audit { .. } => "audit_failed",
            Self::AddressInUse { .. } => "address_in_use",
            Self::Listen { .. } => "listen_failed",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Config(error) => error.args(),
            Self::Tls(error) => error.args(),
            Self::Catalog(error) => error.args(),
            Self::Log(error) => error.args(),
            Self::Jwks(JwksError::Unreadable { place, cause } | JwksError::NotKeys { place, cause }) => {
                vec![("place", place.clone()), ("cause", cause.clone())]
            }
            Self::Audit { path, cause } => vec![("path", path.display().to_string()), ("cause", cause.clone())],
            Self::AddressInUse { address } => vec![("address", address.to_string())],
            Self::Listen { address, cause } => vec![("address", address.to_string()), ("cause", cause.clone())],
        }
    }
}

/// Where the signing keys are in a data folder.
pub fn keys_folder(data: &Path) -> PathBuf {
    data.join("keys")
}

/// Where the log is in a data folder.
pub fn log_folder(data: &Path) -> PathBuf {
    data.join("log")
}

/// Where the service devices are in a data folder.
pub fn service_folder(data: &Path) -> PathBuf {
    data.join("service")
}

/// Opens the log of a data folder as the settings say.
pub fn open_log(data: &Path, config: &Config) -> impl OpenDisk + use<> {
    let (dir, kind, cache_bytes) = (log_folder(data), config.store, config.cache_bytes);
    move || -> Result<OpenedDisk, DiskError> {
        let opened = disk::open(&dir, kind, cache_bytes)?;
        Ok(OpenedDisk { disk: opened.disk.into(), identity: opened.identity })
    }
}

/// How often the keys and the ledger of tokens are looked at: what is revoked ends its sessions within a second.
const KEYS_LOOK: Duration = Duration::from_millis(250);

/// Learns what the command line changes about tokens and keys, until the relay stops.
async fn watch_keys(keys: Arc<Catalog>, mut shutdown: watch::Receiver<bool>) {
    let mut failing = false;
    loop {
        // wait: the time of one look to the next
        if timeout(KEYS_LOOK, shutdown.wait_for(|stopped| *stopped)).await.is_ok() {
            return;
        }
        let looked = keys.clone();
        let done = spawn_blocking(move || looked.refresh()).await;
        // Said once; until it works again everything stays as it was known last.
        match done {
            Ok(Err(error)) if !failing => {
                tracing::error!(%error, "what was revoked cannot be read");
                failing = true;
            }
            Ok(Ok(())) => failing = false,
            _ => {}
        }
    }
}

/// Opens the audit of a data folder.
pub fn open_audit(data: &Path, config: &Config, clock: Arc<dyn Clock>) -> Result<Audit, StartError> {
    let opened = Audit::open(data, Some(config.audit_days), clock);
    opened.map_err(|error| StartError::Audit { path: data.join("audit"), cause: error.to_string() })
}

/// What a relay finds in its folder.
struct OpenedParts {
    log: Log,
    committer: Committer,
    keys: Arc<Catalog>,
    audit: Audit,
}

/// The log first: a folder that is refused stays as it is. Waits for the disk.
fn open_parts(
    open: impl OpenDisk,
    keys: &Path,
    data: Option<&Path>,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Result<OpenedParts, StartError> {
    let (log, committer) = Log::start(open, config, clock.clone())?;
    let beside = || -> Result<_, StartError> {
        let audit = data.map(|data| open_audit(data, config, clock.clone())).transpose()?;
        Ok((Arc::new(Catalog::open(keys)?), audit.unwrap_or_else(|| Audit::none(clock.clone()))))
    };
    match beside() {
        Ok((keys, audit)) => Ok(OpenedParts { log, committer, keys, audit }),
        Err(error) => {
            // Whoever starts again finds the log closed.
            committer.stop(log);
            Err(error)
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
        _ => StartError::Listen { address, cause: error.to_string() },
    })?;
    let bound = listener.local_addr();
    let bound = bound.map_err(|error| StartError::Listen { address, cause: error.to_string() })?;
    Ok((listener, bound))
}

/// A running relay.
pub struct Relay {
    address: SocketAddr,
    auth: Auth,
    tls: Option<Arc<Tls>>,
    metrics_address: Option<SocketAddr>,
    readers: Option<JoinHandle<()>>,
    log: Log,
    committer: Committer,
    shutdown: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// What is done for the operator beside the sessions.
    operating: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Opens the data folder, makes what is missing in it, and serves at [`Config::listen`].
    pub async fn start(data: &Path, config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let (open, backup) = (open_log(data, &config), config.backup.clone());
        let (mut relay, control) = Self::begin(open, &keys_folder(data), Some(data), config, clock).await?;
        let Some(control) = control else { return Ok(relay) };
        let (finishing, stopping) = (control.clone(), relay.shutdown.subscribe());
        relay.operating.push(tokio::spawn(async move { finishing.finish_removals(stopping).await }));
        if let Some(settings) = backup {
            let (control, stopping) = (control.clone(), relay.shutdown.subscribe());
            relay.operating.push(tokio::spawn(async move { control.back_up_on_time(&settings, stopping).await }));
        }
        match control.listen().await {
            Ok(door) => relay.operating.push(tokio::spawn(control.serve(door, relay.shutdown.subscribe()))),
            // The devices are served all the same.
            Err(error) => tracing::error!(%error, "no backup can be asked of this relay from the command line"),
        }
        Ok(relay)
    }

    /// As [`Relay::start`], on any disk, and without REST and an audit.
    pub async fn start_on(
        open: impl OpenDisk,
        keys: &Path,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        Ok(Self::begin(open, keys, None, config, clock).await?.0)
    }

    async fn begin(
        open: impl OpenDisk,
        keys: &Path,
        data: Option<&Path>,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Option<Arc<Control>>), StartError> {
        config.check()?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        let (listener, address) = listen(config.listen_address()?).await?;
        let readers = match config.metrics_address()? {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        // Before the log is opened: whoever starts again finds it closed.
        let logins = match &config.jwt {
            Some(settings) => Some(Jwks::open(settings).await?),
            None => None,
        };
        let opening = (config.clone(), clock.clone(), keys.to_owned(), data.map(Path::to_owned));
        let opened = spawn_blocking(move || open_parts(open, &opening.2, opening.3.as_deref(), &opening.0, opening.1));
        let OpenedParts { log, committer, keys, audit } = opened.await.map_err(|_| LogError::Unavailable)??;
        let (shutdown, stopping) = watch::channel(false);
        let mut operating = vec![tokio::spawn(watch_keys(keys.clone(), shutdown.subscribe()))];
        let mut auth = Auth::new(keys.clone(), clock.clone());
        if let Some((logins, jwks)) = logins {
            auth = auth.with_logins(logins.clone());
            operating.push(tokio::spawn(jwks.keep(logins, shutdown.subscribe())));
        }
        let hub = Hub::new(log.clone(), &config);
        let limits = Limits::new(&config.limits, auth.clone());
        let door = Door::new(auth.clone(), audit.clone(), hub.clone(), &config, stopping.clone());
        let door = Arc::new(door.with_limits(limits.clone()));
        let control = data.map(|data| {
            let parts = (auth.clone(), hub.clone(), door.clone(), limits);
            let services = Services::new(&service_folder(data), parts, &config, clock.clone(), stopping.clone());
            operating.push(tokio::spawn(services.clone().settle()));
            let (auth, settings) = (auth.clone(), config.webhooks.clone());
            let webhooks =
                Webhooks::open(data, Ground { hub, auth, clock: clock.clone(), audit: audit.clone(), settings });
            operating.push(tokio::spawn(webhooks.clone().serve(services.clone())));
            let control = Control::new(data, log.clone(), keys.clone(), clock.clone());
            let control = control.with_backups(config.backup.as_ref()).with_audit(audit.clone());
            let control = Arc::new(control.with_services(services.clone()).with_webhooks(webhooks.clone()));
            (control.clone(), Rest::new(services, control, webhooks, audit))
        });
        let (control, rest) = control.unzip();
        let lobby = Lobby::new(config.guests_max, config.guests_per_address_max);
        let site = Arc::new(Site::new(door, rest, lobby, &config));
        let metrics_address = readers.as_ref().map(|(_, address)| *address);
        let readers = readers.map(|(readers, _)| tokio::spawn(http::serve_readers(readers, site.clone())));
        if let Some(tls) = tls.clone() {
            let (metrics, stopping) = (log.metrics().clone(), stopping.clone());
            operating.push(tokio::spawn(async move { tls.follow_files(&metrics, stopping).await }));
        }
        let certificate = tls.clone();
        let serving = tokio::spawn(async move { http::serve(listener, site, certificate, &config, stopping).await });
        let relay = Self { address, auth, tls, metrics_address, readers, log, committer, shutdown, serving, operating };
        Ok((relay, control))
    }

    /// Reads the certificate's files again, whether they have changed or not.
    pub fn reload(&self) {
        self.tls.as_ref().inspect(|tls| tls.reload());
    }

    /// Where the metrics have an address of their own, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes and checks its tokens.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Takes no more connections, ends the sessions with a word, stores what waits, closes the disk, and returns.
    pub async fn stop(self) {
        let Self { log, committer, shutdown, serving, operating, readers, .. } = self;
        shutdown.send_replace(true);
        if serving.await.is_err() {
            tracing::error!("the task that takes connections panicked");
        }
        readers.inspect(JoinHandle::abort);
        for task in operating {
            if task.await.is_err() {
                tracing::error!("a task beside the sessions panicked");
            }
        }
        if spawn_blocking(move || committer.stop(log)).await.is_err() {
            tracing::error!("the committer could not be stopped");
        }
    }
}
