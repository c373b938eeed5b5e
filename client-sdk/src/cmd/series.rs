//! `comptoir series`.

use super::output::Output;
use super::sync;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::{Args, Subcommand};
use comptoir_engine::{Mode, Series as Counted};
use serde_json::{Value as Json, json};
use std::time::Duration;

#[derive(Args)]
pub(super) struct Series {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    #[command(about = text("cli.series-claim"))]
    Claim {
        #[arg(help = text("arg.series"))]
        name: String,
        #[arg(long, default_value = "30s", value_parser = sync::duration, help = text("arg.timeout"))]
        timeout: Duration,
    },
    #[command(about = text("cli.series-list"))]
    List,
}

impl Series {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        if let Some(What::Claim { name, timeout }) = self.what {
            let mut series = shop.claim_series(&name).await?;
            if !series.held {
                shop.sync_once(Mode::Both, timeout).await?;
                series = shop.claim_series(&name).await?;
            }
            if !series.held {
                return Err(Error::SeriesTaken { name, label: series.label });
            }
            say(output, &series);
            return Ok(());
        }
        shop.series().await?.iter().for_each(|series| say(output, series));
        Ok(())
    }
}

fn say(output: &Output, series: &Counted) {
    let said = if series.held { "said.series-held" } else { "said.series-tagged" };
    let next = format!("{}-{:06}", series.label, series.next);
    let values = [("series", series.name.to_string()), ("next", next.clone())];
    output.say(|| text_with(said, &values), || object(series, &next));
}

fn object(series: &Counted, next: &str) -> Json {
    json!({"series": series.name.as_str(), "label": series.label, "held": series.held, "next": next})
}
