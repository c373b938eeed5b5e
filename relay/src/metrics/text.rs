//! The numbers as a text for Prometheus, in the format OpenMetrics 1.0. Must not know how they come about.

use super::{Metrics, Numbers, Process};
use comptoir_engine::id::WorkspaceId;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

/// What the text is, for its reader.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Shops = Family<[(&'static str, String); 1], Gauge>;
type Fraction = Gauge<f64, AtomicU64>;

/// How things stand at the moment the text is asked for.
pub struct Standing {
    /// Whether the log's disk is open.
    pub is_ready: bool,
    /// Connections that have shown no token.
    pub guests: usize,
    /// Every workspace with a session.
    pub workspaces: Vec<Workspace>,
    /// The webhooks.
    pub webhooks: Webhooks,
    /// This process.
    pub process: Process,
}

/// How the webhooks stand.
#[derive(Default)]
pub struct Webhooks {
    /// Those that send.
    pub active: u32,
    /// Those that send nothing until somebody does something.
    pub suspended: u32,
    /// Each of them.
    pub each: Vec<Webhook>,
}

/// How one webhook stands.
pub struct Webhook {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Positions of the log behind what it has delivered.
    pub lag_entries: u64,
    /// Messages that were given up.
    pub dead_letters: usize,
}

/// How one workspace stands.
pub struct Workspace {
    /// Which one.
    pub name: WorkspaceId,
    /// Its sessions.
    pub sessions: u32,
    /// Positions of the log between its end and the session that has been sent the least.
    pub lag_entries: u64,
}

impl Metrics {
    /// All numbers.
    pub fn text(&self, standing: &Standing) -> String {
        let mut registry = Registry::default();
        register_process(&mut registry, standing.process);
        let relay = registry.sub_registry_with_prefix("comptoir_relay");
        self.register_standing(relay, standing);
        self.0.register_sessions(relay);
        self.0.register_log(relay);
        self.0.register_backups(relay);
        let mut text = String::new();
        // A String takes everything.
        let _ = encode(&mut text, &registry);
        text
    }

    fn register_standing(&self, relay: &mut Registry, standing: &Standing) {
        let (sessions, lags) = (Shops::default(), Shops::default());
        let mut shops: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for each in &standing.workspaces {
            let (in_all, furthest) = shops.entry(self.label(each.name.as_str())).or_default();
            *in_all += i64::from(each.sessions);
            *furthest = (*furthest).max(i64::try_from(each.lag_entries).unwrap_or(i64::MAX));
        }
        for (label, (in_all, furthest)) in shops {
            sessions.get_or_create(&[("workspace", label.clone())]).set(in_all);
            lags.get_or_create(&[("workspace", label)]).set(furthest);
        }
        relay.register("sessions", "Devices with a session", sessions);
        relay.register(
            "follower_lag_entries",
            "Log positions between the end and the session that was sent the least",
            lags,
        );
        gauge(relay, "guests", "Connections that have shown no token yet", standing.guests as i64);
        gauge(relay, "log_ready", "1 while the log's disk is open", i64::from(standing.is_ready));
        self.register_webhooks(relay, &standing.webhooks);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        relay.register("build", "The release", version);
    }

    fn register_webhooks(&self, relay: &mut Registry, webhooks: &Webhooks) {
        let (lags, letters, states) = (Shops::default(), Shops::default(), Shops::default());
        let mut shops: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for each in &webhooks.each {
            let (furthest, in_all) = shops.entry(self.label(each.workspace.as_str())).or_default();
            *furthest = (*furthest).max(i64::try_from(each.lag_entries).unwrap_or(i64::MAX));
            *in_all += i64::try_from(each.dead_letters).unwrap_or(i64::MAX);
        }
        for (label, (furthest, in_all)) in shops {
            lags.get_or_create(&[("workspace", label.clone())]).set(furthest);
            letters.get_or_create(&[("workspace", label)]).set(in_all);
        }
        for (state, count) in [("active", webhooks.active), ("suspended", webhooks.suspended)] {
            states.get_or_create(&[("state", state.to_owned())]).set(i64::from(count));
        }
        relay.register("webhooks", "Webhooks, by whether they send", states);
        let lag = "Log positions between the end and the webhook that has delivered the least";
        relay.register("webhook_lag_entries", lag, lags);
        relay.register("webhook_dead_letters", "Deliveries that were given up and are kept", letters);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn register_process(registry: &mut Registry, process: Process) {
    let started = Fraction::default();
    started.set(process.started_seconds());
    registry.register("process_start_time_seconds", "When the process started, in seconds since 1970", started);
    let whole = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (memory, files) = (whole(process.resident_bytes()), whole(process.open_files()));
    gauge(registry, "process_resident_memory_bytes", "Memory the process holds", memory);
    gauge(registry, "process_open_fds", "Files and connections the process has open", files);
}

impl Numbers {
    fn register_sessions(&self, relay: &mut Registry) {
        add(relay, "connections", "Connections taken", &self.connections);
        add(relay, "connections_refused", "Connections not served, or not to their end", &self.connections_refused);
        add(relay, "received_bytes", "Bytes received, TLS included", &self.received_bytes);
        add(relay, "sent_bytes", "Bytes sent, TLS included", &self.sent_bytes);
        add(relay, "sessions_ended", "Sessions that ended, and devices that were not let in", &self.sessions_ended);
        add(relay, "webhook_attempts", "Attempts to deliver to a webhook", &self.webhook_attempts);
        add(relay, "certificate_reloads", "The certificate's files read anew", &self.certificate_reloads);
    }

    fn register_log(&self, relay: &mut Registry) {
        add(relay, "pushes", "Pushes that were stored", &self.pushes);
        add(relay, "changes_appended", "New changes in them", &self.changes_appended);
        add(relay, "changes_refused", "Changes in them that were set aside", &self.changes_refused);
        add(relay, "append_seconds", "From reading a push until it is durable", &self.append_seconds);
        add(relay, "flush_seconds", "To judge, write and flush one group of pushes", &self.flush_seconds);
        add(relay, "log_failures", "What the log could not do", &self.log_failures);
        add(relay, "compactions", "Runs of entries that became one", &self.compactions);
        add(relay, "compacted_entries", "Entries in them", &self.compacted_entries);
        add(relay, "compaction_saved_bytes", "Bytes by which they became shorter", &self.compaction_saved_bytes);
    }

    fn register_backups(&self, relay: &mut Registry) {
        add(relay, "backups", "Backups taken", &self.backups);
        add(relay, "backup_failures", "Backups that failed", &self.backup_failures);
        let last = "When the newest backup was taken, in seconds since 1970; 0: none is known";
        add(relay, "backup_last_success_timestamp_seconds", last, &self.backup_last_success);
        add(relay, "backup_last_duration_seconds", "How long the last backup took", &self.backup_last_seconds);
        let interval = "How often the relay takes one by itself; 0: it does not";
        add(relay, "backup_interval_seconds", interval, &self.backup_interval_seconds);
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: &M) {
    registry.register(name, help, metric.clone());
}
