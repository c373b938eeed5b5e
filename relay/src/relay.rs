//! A whole relay: puts the parts together on one data folder and one address, and takes them down in order. Must not
//! know command lines or signals.
//!
//! The data folder holds `keys/` (see [`crate::catalog`]) and `log/` (the store, see [`crate::log`]).

use crate::auth::Auth;
use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::http;
use crate::log::{Committer, Log, LogError, OpenDisk, OpenedDisk};
use crate::room::Hub;
use crate::text::Told;
use crate::ws::Door;
use comptoir_engine::disk::{self, DiskError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

/// Why a relay does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The settings are not right.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
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
            Self::Catalog(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::AddressInUse { .. } => "address_in_use",
            Self::Listen { .. } => "listen_failed",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Config(error) => error.args(),
            Self::Catalog(error) => error.args(),
            Self::Log(error) => error.args(),
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

/// A running relay.
pub struct Relay {
    address: SocketAddr,
    auth: Auth,
    log: Log,
    committer: Committer,
    shutdown: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Relay {
    /// Opens the data folder, makes what is missing in it, and serves at [`Config::listen`].
    pub async fn start(data: &Path, config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let (dir, kind, cache_bytes) = (log_folder(data), config.store, config.cache_bytes);
        let open = move || -> Result<OpenedDisk, DiskError> {
            let opened = disk::open(&dir, kind, cache_bytes)?;
            Ok(OpenedDisk { disk: opened.disk.into(), identity: opened.identity })
        };
        Self::start_on(open, &keys_folder(data), config, clock).await
    }

    /// As [`Relay::start`], on any disk.
    pub async fn start_on(
        open: impl OpenDisk,
        keys: &Path,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        config.check()?;
        let address = config.listen_address()?;
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
            _ => StartError::Listen { address, cause: error.to_string() },
        })?;
        let bound = listener.local_addr();
        let address = bound.map_err(|error| StartError::Listen { address, cause: error.to_string() })?;
        let opening = (config.clone(), clock.clone(), keys.to_owned());
        let opened = spawn_blocking(move || -> Result<_, StartError> {
            let (config, clock, keys) = opening;
            let (log, committer) = Log::start(open, &config, clock)?;
            Ok((log, committer, Catalog::open(&keys)?))
        });
        let (log, committer, catalog) = opened.await.map_err(|_| LogError::Unavailable)??;
        let auth = Auth::new(Arc::new(catalog), clock);
        let (shutdown, stopping) = watch::channel(false);
        let door = Arc::new(Door::new(auth.clone(), Hub::new(log.clone(), &config), &config, stopping.clone()));
        let serving = tokio::spawn(async move { http::serve(listener, door, &config, stopping).await });
        Ok(Self { address, auth, log, committer, shutdown, serving })
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
        let Self { log, committer, shutdown, serving, .. } = self;
        shutdown.send_replace(true);
        if serving.await.is_err() {
            tracing::error!("the task that takes connections panicked");
        }
        if spawn_blocking(move || committer.stop(log)).await.is_err() {
            tracing::error!("the committer could not be stopped");
        }
    }
}
