//! `comptoir status`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use crate::worker;
use clap::Args;
use comptoir_engine::{Mode, State};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// How long the relay is asked.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct Status {
    #[arg(long, help = text("arg.offline"))]
    offline: bool,
}

impl Status {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let mut status = shop.status().await?;
        if status.enabled && !self.offline {
            status = ask(shop, status).await?;
        }
        output.say(|| line(&status), || object(&status));
        Ok(())
    }
}

/// Says hello to the relay, so that "up to date" is known and not assumed. Nothing is sent from the outbox.
async fn ask(shop: &Comptoir, before: worker::Status) -> Result<worker::Status, Error> {
    match shop.sync_once(Mode::Pull, ASK_TIMEOUT).await {
        Ok(status) => Ok(status),
        Err(Error::Sync { .. } | Error::Untrusted { .. } | Error::Timeout { .. }) => shop.status().await,
        Err(Error::Address { .. } | Error::NoRelay) => Ok(before),
        Err(other) => Err(other),
    }
}

/// One word for the state, the same in every language.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::UpToDate => "up_to_date",
        State::Pending => "pending",
        State::Syncing => "syncing",
        State::Offline => "offline",
        State::Error => "error",
    }
}

/// The status for programs.
pub(super) fn object(status: &worker::Status) -> Json {
    let engine = &status.engine;
    json!({
        "enabled": status.enabled,
        "state": word(engine.state),
        "last_sync": engine.last_sync.map(|at| at.to_string()),
        "in_progress": engine.in_progress,
        "error": engine.error,
        "total_records": engine.total_records,
        "pending": engine.pending,
        "quarantined": engine.quarantined,
        "digest": engine.digest.to_string(),
        "workspace": status.settings.workspace.as_str(),
        "relay": status.settings.relay,
        "device": status.device.to_string(),
        "device_name": status.settings.device_name,
        "sent_bytes": status.traffic.sent_bytes,
        "received_bytes": status.traffic.received_bytes,
    })
}

/// The status for people.
pub(super) fn line(status: &worker::Status) -> String {
    let engine = &status.engine;
    let never = || text("state.never");
    let values = [
        ("state", text(&format!("state.{}", word(engine.state)))),
        ("records", engine.total_records.to_string()),
        ("pending", engine.pending.to_string()),
        ("quarantined", engine.quarantined.to_string()),
        ("last_sync", engine.last_sync.map_or_else(never, |at| at.to_string())),
        ("digest", engine.digest.to_string().chars().take(12).collect()),
    ];
    let line = text_with("said.status", &values);
    match &engine.error {
        Some(error) => format!("{line}; {error}"),
        None => line,
    }
}
