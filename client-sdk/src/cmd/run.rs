//! `comptoir run`.

use super::output::Output;
use super::{status, sync};
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::text;
use clap::Args;
use comptoir_engine::Mode;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Run {
    #[arg(long, value_parser = sync::duration, help = text("arg.every"))]
    every: Option<Duration>,
    #[arg(long, value_enum, default_value = "both", help = text("arg.mode"))]
    mode: sync::Way,
}

/// How long one turn of a periodic sync may take.
const TURN_TIMEOUT: Duration = Duration::from_secs(300);

impl Run {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let work = async {
            match self.every {
                Some(every) => periodic(shop, output, self.mode.into(), every).await,
                None => live(shop, output, self.mode.into()).await,
            }
        };
        tokio::select! {
            outcome = work => outcome,
            () = asked_to_stop() => Ok(()),
        }
    }
}

async fn periodic(shop: &Comptoir, output: &Output, mode: Mode, every: Duration) -> Result<(), Error> {
    loop {
        match shop.sync_once(mode, TURN_TIMEOUT).await {
            Ok(status) => output.say(|| status::line(&status), || status::object(&status)),
            Err(error @ (Error::Sync { .. } | Error::Untrusted { .. } | Error::Timeout { .. })) => output.error(&error),
            Err(other) => return Err(other),
        }
        tokio::time::sleep(every).await;
    }
}

async fn live(shop: &Comptoir, output: &Output, mode: Mode) -> Result<(), Error> {
    shop.stay_live(mode).await?;
    let mut statuses = shop.statuses();
    let mut said = None;
    loop {
        let status = statuses.borrow_and_update().clone();
        if let Some(status) = status.filter(|status| said != Some((status.engine.state, status.engine.error.clone()))) {
            said = Some((status.engine.state, status.engine.error.clone()));
            output.say(|| status::line(&status), || status::object(&status));
        }
        statuses.changed().await.map_err(|_| Error::ShutDown)?;
    }
}

/// Ctrl-C, or the signal a service manager sends.
pub(super) async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
