//! What the relay counts about itself. A handle is cheap to clone, and counting is an atomic addition, so the log and the
//! sessions count as they go. Must not know clocks, or who reads the numbers.

mod process;
mod text;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use process::Process;
pub use text::{CONTENT_TYPE, Standing, Webhook, Webhooks, Workspace};

/// Workspaces with a label of their own: those whose numbers were read first. All others are `other`.
pub const WORKSPACES_MAX: usize = 100;

/// One label, whose values come from the code and not from strangers.
type Kinds = Family<[(&'static str, &'static str); 1], Counter>;

/// How a session ends.
const SESSION_ENDS: [&str; 14] = [
    "gone",
    "silent",
    "token_missing",
    "token_invalid",
    "token_expired",
    "wrong_workspace",
    "out_of_turn",
    "unreadable",
    "over_limit",
    "unavailable",
    "shutting_down",
    "token_revoked",
    "token_too_narrow",
    "code_invalid",
];
/// Why a change is set aside.
const REFUSALS: [&str; 13] = [
    "malformed",
    "hash",
    "too_large",
    "missing_deps",
    "seq_gap",
    "start_op",
    "forked",
    "derived_actor",
    "document_full",
    "poison",
    "waits",
    "role_too_low",
    "collection_closed",
];

/// All numbers. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Numbers>);

struct Numbers {
    connections: Counter,
    connections_refused: Kinds,
    received_bytes: Counter,
    sent_bytes: Counter,
    sessions_ended: Kinds,
    pushes: Counter,
    changes_appended: Counter,
    changes_refused: Kinds,
    append_seconds: Histogram,
    flush_seconds: Histogram,
    log_failures: Kinds,
    compactions: Counter,
    compacted_entries: Counter,
    compaction_saved_bytes: Counter,
    backups: Counter,
    backup_failures: Counter,
    backup_last_success: Gauge,
    backup_last_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    backup_interval_seconds: Gauge,
    certificate_reloads: Kinds,
    webhook_attempts: Kinds,
    /// The workspaces that have labels, in the order they came.
    named: Mutex<Vec<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 0.1 ms to 3.3 s, each twice the one before.
        let latency = || Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        Self(Arc::new(Numbers {
            connections: Counter::default(),
            connections_refused: kinds("reason", &["busy", "crowded", "tls"]),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            sessions_ended: kinds("kind", &SESSION_ENDS),
            pushes: Counter::default(),
            changes_appended: Counter::default(),
            changes_refused: kinds("reason", &REFUSALS),
            append_seconds: latency(),
            flush_seconds: latency(),
            log_failures: kinds("kind", &["full", "disk", "damaged"]),
            compactions: Counter::default(),
            compacted_entries: Counter::default(),
            compaction_saved_bytes: Counter::default(),
            backups: Counter::default(),
            backup_failures: Counter::default(),
            backup_last_success: Gauge::default(),
            backup_last_seconds: Gauge::default(),
            backup_interval_seconds: Gauge::default(),
            certificate_reloads: kinds("result", &["good", "refused"]),
            webhook_attempts: kinds("outcome", &["delivered", "failed", "dead", "gone"]),
            named: Mutex::default(),
        }))
    }
}

/// A family whose members are there from the start, so that the first of a kind is seen as a step from 0.
fn kinds(label: &'static str, values: &[&'static str]) -> Kinds {
    let kinds = Kinds::default();
    for value in values {
        drop(kinds.get_or_create(&[(label, *value)]));
    }
    kinds
}

fn add_kind(kinds: &Kinds, label: &'static str, kind: &'static str) {
    kinds.get_or_create(&[(label, kind)]).inc();
}

impl Metrics {
    /// A connection was taken.
    pub fn connected(&self) {
        self.0.connections.inc();
    }

    /// A connection was not served, or not to its end: `busy` (too many in all), `crowded` (it made room for newer ones that
    /// showed no token either) or `tls` (no handshake).
    pub fn connection_refused(&self, reason: &'static str) {
        add_kind(&self.0.connections_refused, "reason", reason);
    }

    /// Bytes on the wire, TLS included.
    pub fn received(&self, bytes: usize) {
        self.0.received_bytes.inc_by(bytes as u64);
    }

    /// As [`Metrics::received`].
    pub fn sent(&self, bytes: usize) {
        self.0.sent_bytes.inc_by(bytes as u64);
    }

    /// A session, or a device that was not let in, is done with.
    pub fn session_ended(&self, kind: &'static str) {
        add_kind(&self.0.sessions_ended, "kind", kind);
    }

    /// A push has its outcome; with so many new changes, so long after it was read.
    pub fn pushed(&self, changes: usize, took: Duration) {
        self.0.pushes.inc();
        self.0.changes_appended.inc_by(changes as u64);
        self.0.append_seconds.observe(took.as_secs_f64());
    }

    /// A change of a push was set aside.
    pub fn change_refused(&self, reason: &'static str) {
        add_kind(&self.0.changes_refused, "reason", reason);
    }

    /// A group of pushes was judged, written and flushed.
    pub fn flushed(&self, took: Duration) {
        self.0.flush_seconds.observe(took.as_secs_f64());
    }

    /// The log could not do something: `full`, `disk` or `damaged`.
    pub fn log_failed(&self, kind: &'static str) {
        add_kind(&self.0.log_failures, "kind", kind);
    }

    /// So many entries became one, which is so many bytes shorter.
    pub fn compacted(&self, entries: usize, saved_bytes: usize) {
        self.0.compactions.inc();
        self.0.compacted_entries.inc_by(entries as u64);
        self.0.compaction_saved_bytes.inc_by(saved_bytes as u64);
    }

    /// A backup was taken at this time, in so long.
    pub fn backed_up(&self, unix_ms: i64, took: Duration) {
        self.0.backups.inc();
        self.0.backup_last_seconds.set(took.as_secs_f64());
        self.backup_found(unix_ms);
    }

    /// The newest backup is of this time.
    pub fn backup_found(&self, unix_ms: i64) {
        self.0.backup_last_success.set(unix_ms / 1000);
    }

    /// No backup could be taken.
    pub fn backup_failed(&self) {
        self.0.backup_failures.inc();
    }

    /// Backups are taken by the relay itself, so often.
    pub fn backups_due_every(&self, every: Duration) {
        self.0.backup_interval_seconds.set(i64::try_from(every.as_secs()).unwrap_or(i64::MAX));
    }

    /// The certificate's files were read anew.
    pub fn certificate_read(&self, is_good: bool) {
        add_kind(&self.0.certificate_reloads, "result", if is_good { "good" } else { "refused" });
    }

    /// A webhook's delivery was tried: `delivered`, `failed`, `dead` (given up) or `gone` (the endpoint wants no more).
    pub fn webhook_attempted(&self, outcome: &'static str) {
        add_kind(&self.0.webhook_attempts, "outcome", outcome);
    }

    /// What stands for this workspace in a label.
    fn label(&self, workspace: &str) -> String {
        let mut named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.iter().any(|known| known == workspace) {
            return workspace.to_owned();
        }
        if named.len() == WORKSPACES_MAX {
            return "other".to_owned();
        }
        named.push(workspace.to_owned());
        workspace.to_owned()
    }
}
