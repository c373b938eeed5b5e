//! `comptoir sync`.

use super::output::Output;
use super::status;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use crate::worker::Notice;
use clap::{Args, ValueEnum};
use comptoir_engine::{Mode, State};
use jiff::{Span, SpanRelativeTo, Unit};
use std::time::Duration;

/// Which way changes go.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Way {
    Push,
    Pull,
    Both,
}

impl From<Way> for Mode {
    fn from(way: Way) -> Self {
        match way {
            Way::Push => Self::Push,
            Way::Pull => Self::Pull,
            Way::Both => Self::Both,
        }
    }
}

#[derive(Args)]
pub(super) struct Sync {
    #[arg(long, value_enum, default_value = "both", help = text("arg.mode"))]
    mode: Way,
    #[arg(long, default_value = "30s", value_parser = duration, help = text("arg.timeout"))]
    timeout: Duration,
}

impl Sync {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let before = shop.status().await?.engine.pending;
        let mut notices = shop.watch();
        let syncing = shop.sync_once(self.mode.into(), self.timeout);
        tokio::pin!(syncing);
        let mut received = Some(0u64);
        let mut status = loop {
            tokio::select! {
                biased;
                outcome = &mut syncing => break outcome?,
                Some(notice) = notices.next() => count(&mut received, &notice),
            }
        };
        while let Some(notice) = notices.now() {
            count(&mut received, &notice);
        }
        if status.engine.state == State::Syncing {
            // One way only, and that is done: what waits on the other way is not known.
            status.engine.state = State::Pending;
        }
        let sent = before.saturating_sub(status.engine.pending);
        let values = [
            ("state", text(&format!("state.{}", status::word(status.engine.state)))),
            ("sent", sent.to_string()),
            ("received", received.map_or_else(|| text("said.many"), |received| received.to_string())),
            ("records", status.engine.total_records.to_string()),
            ("up", status.traffic.sent_bytes.to_string()),
            ("down", status.traffic.received_bytes.to_string()),
        ];
        let mut object = status::object(&status);
        object["sent"] = sent.into();
        object["received"] = received.into();
        output.say(|| text_with("said.sync", &values), || object);
        Ok(())
    }
}

/// Counts records received; `None` once there were more than were told one by one.
fn count(received: &mut Option<u64>, notice: &Notice) {
    *received = match notice {
        Notice::Changed(_) => received.map(|received| received + 1),
        Notice::Refresh => None,
    };
}

/// A time such as `30s` or `15m`.
pub(super) fn duration(given: &str) -> Result<Duration, Error> {
    let wrong = || Error::Argument { given: given.to_owned(), wanted: "a time like 30s or 15m" };
    let span: Span = given.parse().map_err(|_| wrong())?;
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| wrong())?;
    match (0.001..=1e9).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(wrong()),
    }
}
