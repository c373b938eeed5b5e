//! Who did what: one JSON line a deed, in `DATA/audit/audit.DATE.jsonl`, a file a day, for its owner's eyes only. Must not know what
//! a deed means, or who reads it.
//!
//! A line is written soon after the deed, by a thread of its own, and is not synced: the log and the ledger of tokens are what must
//! not be lost. A deed that finds the queue full is counted and told in a line of its own, so that nobody waits for the disk.

use crate::catalog::make_private_folder;
use crate::clock::Clock;
use comptoir_engine::id::WorkspaceId;
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// Deeds that may wait for the disk.
const WAITING_MAX: usize = 4096;

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed<'d> {
    /// What, as in `session.begun`.
    pub deed: &'d str,
    /// Who: a token's subject or name, or `operator`.
    pub who: &'d str,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "named")]
    pub workspace: Option<&'d WorkspaceId>,
    /// With which token: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'d str>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'d str,
}

fn named<S: serde::Serializer>(workspace: &Option<&WorkspaceId>, serializer: S) -> Result<S::Ok, S::Error> {
    workspace.map(WorkspaceId::as_str).serialize(serializer)
}

/// Where deeds are written. Clones write into the same file; the last one to go writes what waits.
#[derive(Clone)]
pub struct Audit {
    clock: Arc<dyn Clock>,
    lines: Option<Arc<Lines>>,
}

struct Lines {
    writer: Mutex<(NonBlocking, usize)>,
    unwritten: ErrorCounter,
    _guard: WorkerGuard,
}

impl Audit {
    /// Into the data folder. Files of days before the last `days_kept` ones are removed; none, unless that is said.
    pub fn open(data: &Path, days_kept: Option<usize>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let folder = data.join("audit");
        make_private_folder(&folder)?;
        let daily = RollingFileAppender::builder().rotation(Rotation::DAILY);
        let daily = daily.filename_prefix("audit").filename_suffix("jsonl");
        let daily = match days_kept {
            Some(days) => daily.max_log_files(days),
            None => daily,
        };
        let files = daily.build(&folder).map_err(io::Error::other)?;
        let (writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(WAITING_MAX).thread_name("audit").finish(files);
        let unwritten = writer.error_counter();
        let lines = Lines { writer: Mutex::new((writer, 0)), unwritten, _guard: guard };
        Ok(Self { clock, lines: Some(Arc::new(lines)) })
    }

    /// Nowhere: for who serves without a data folder.
    pub fn none(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lines: None }
    }

    /// Writes a deed down, soon.
    pub fn note(&self, deed: &Deed<'_>) {
        let Some(lines) = &self.lines else { return };
        let at = self.clock.now().to_string();
        let mut line = json!({"at": at});
        if let (Some(line), Ok(serde_json::Value::Object(said))) = (line.as_object_mut(), serde_json::to_value(deed)) {
            line.extend(said);
        }
        let mut held = lines.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = lines.unwritten.dropped_lines();
        let mut text = String::new();
        if unwritten > held.1 {
            text =
                format!("{}\n", json!({"at": at, "deed": "audit.missed", "who": "relay", "deeds": unwritten - held.1}));
            held.1 = unwritten;
        }
        text.push_str(&format!("{line}\n"));
        // It never fails: what finds no room is counted.
        let _ = held.0.write_all(text.as_bytes());
    }
}
