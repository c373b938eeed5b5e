//! `serve`: reads the settings, runs the relay, and stops it at a signal. Must not know what the relay is made of.

use super::logs;
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError, LogFormat};
use crate::relay::{Relay, StartError};
use crate::text::Told;
use comptoir_engine::disk::StoreKind;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal;

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
    /// The certificate's file; overrides the settings.
    pub tls_cert: Option<PathBuf>,
    /// Its key's file; overrides the settings.
    pub tls_key: Option<PathBuf>,
    /// The form of the log's lines; overrides the settings.
    pub log_format: Option<LogFormat>,
}

impl Serve {
    /// Serves until a signal to stop. Prints `listening on ADDRESS` on stdout once it does.
    ///
    /// With an address of their own for the metrics, a line `metrics on ADDRESS` comes before it.
    pub(super) fn run(self) -> Result<(), ServeError> {
        let data = self.data.clone();
        let config = self.settings()?;
        let _logs = logs::begin(&config.log)?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            let (stop, mut reload) = (stop_signal()?, ReloadSignal::new()?);
            let relay = Relay::start(&data, config, Arc::new(SystemClock)).await?;
            let mut out = io::stdout();
            if let Some(address) = relay.metrics_address() {
                writeln!(out, "metrics on {address}")?;
            }
            writeln!(out, "listening on {}", relay.address()).and_then(|()| out.flush())?;
            tokio::pin!(stop);
            loop {
                tokio::select! {
                    () = &mut stop => break,
                    () = reload.next() => relay.reload(),
                }
            }
            tracing::info!("stopping");
            relay.stop().await;
            Ok(())
        })
    }

    /// What the file says, and the command line over it.
    fn settings(self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        config.store = self.store.or(config.store);
        if self.tls_cert.is_some() || self.tls_key.is_some() {
            let tls = config.tls.get_or_insert_default();
            let shown = |path: PathBuf| path.display().to_string();
            tls.cert = self.tls_cert.map_or_else(|| std::mem::take(&mut tls.cert), shown);
            tls.key = self.tls_key.map_or_else(|| std::mem::take(&mut tls.key), shown);
        }
        config.log.format = self.log_format.unwrap_or(config.log.format);
        config.check()?;
        Ok(config)
    }
}

/// SIGHUP, by which a service manager asks for files to be read again.
struct ReloadSignal {
    #[cfg(unix)]
    signal: signal::unix::Signal,
}

impl ReloadSignal {
    fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: signal::unix::signal(signal::unix::SignalKind::hangup())?,
        })
    }

    /// Returns at the next one.
    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
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
