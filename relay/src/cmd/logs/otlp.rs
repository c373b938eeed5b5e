//! Spans sent to a collector, as OTLP over HTTP. Must not know what they say.

use crate::config::ConfigError;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::time::Duration;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// Time for the collector to take a batch of spans; then they are dropped.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans in a thread of its own; what waits goes out when it is dropped.
pub(in crate::cmd) struct Sending(Option<SdkTracerProvider>);

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// What passes spans on to the collector at `endpoint`; to nobody without one.
pub(super) fn spans<S: Subscriber + for<'span> LookupSpan<'span>>(
    endpoint: Option<&str>,
) -> Result<(Sending, Option<OpenTelemetryLayer<S, SdkTracer>>), ConfigError> {
    let Some(endpoint) = endpoint else { return Ok((Sending(None), None)) };
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).with_timeout(SEND_TIMEOUT).build();
    let exporter = exporter.map_err(|error| ConfigError::Otlp { cause: error.to_string() })?;
    let resource = Resource::builder().with_service_name("comptoir-relay").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("comptoir-relay");
    Ok((Sending(Some(provider)), Some(tracing_opentelemetry::layer().with_tracer(tracer))))
}
