//! The relay's own log: lines on standard error, and spans for whoever collects them. Must not know what is logged.

#[cfg(feature = "otlp")]
mod otlp;

use crate::config::{ConfigError, LogFormat, LogSettings};
use std::io::{self, IsTerminal as _};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// What sends spans until it is dropped.
#[cfg(feature = "otlp")]
pub(super) use otlp::Sending;
/// Nothing is sent.
#[cfg(not(feature = "otlp"))]
pub(super) struct Sending;

/// Begins to log as the settings say; `RUST_LOG` chooses what, `info` unless said. Once in a process.
pub(super) fn begin(settings: &LogSettings) -> Result<Sending, ConfigError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::registry().with(filter).with(lines(settings.format));
    #[cfg(feature = "otlp")]
    {
        let (sending, spans) = otlp::spans(settings.otlp.as_deref())?;
        lines.with(spans).init();
        Ok(sending)
    }
    #[cfg(not(feature = "otlp"))]
    {
        if settings.otlp.is_some() {
            let cause = "this program was built without the feature otlp".to_owned();
            return Err(ConfigError::Otlp { cause });
        }
        lines.init();
        Ok(Sending)
    }
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    }
}
