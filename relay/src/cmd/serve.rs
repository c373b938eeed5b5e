//! `serve`: reads the settings, runs the relay, and stops it at a signal. Must not know what the relay is made of.

use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::relay::{Relay, StartError};
use crate::text::Told;
use comptoir_engine::disk::StoreKind;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal;
use tracing_subscriber::EnvFilter;

/// Why the relay does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The settings are not right.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The relay does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No threads, no signals, or a closed output.
    #[error("the system refused what the relay needs to run ({cause}): check its limits, then try again")]
    System {
        /// The operating system's words.
        cause: String,
    },
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::System { cause: error.to_string() }
    }
}

impl Told for ServeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::System { .. } => "system_refused",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Config(error) => error.args(),
            Self::Start(error) => error.args(),
            Self::System { cause } => vec![("cause", cause.clone())],
        }
    }
}

/// What `serve` was asked.
#[derive(Debug, Clone)]
pub struct Serve {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen; overrides the settings.
    pub listen: Option<String>,
    /// The settings' file.
    pub config: Option<PathBuf>,
    /// What keeps the log; overrides the settings.
    pub store: Option<StoreKind>,
}

impl Serve {
    /// Serves until a signal to stop. Prints `listening on ADDRESS` on stdout once it does.
    pub(super) fn run(self) -> Result<(), ServeError> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .init();
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.store = self.store.or(config.store);
        config.check()?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            let stop = stop_signal()?;
            let relay = Relay::start(&self.data, config, Arc::new(SystemClock)).await?;
            let mut out = io::stdout();
            writeln!(out, "listening on {}", relay.address()).and_then(|()| out.flush())?;
            stop.await;
            tracing::info!("stopping");
            relay.stop().await;
            Ok(())
        })
    }
}

/// Ends at the first SIGINT or SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    #[cfg(unix)]
    let mut interrupt = signal::unix::signal(signal::unix::SignalKind::interrupt())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = signal::ctrl_c().await;
    })
}
