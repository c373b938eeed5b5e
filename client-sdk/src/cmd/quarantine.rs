//! `comptoir quarantine`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::{Args, Subcommand};
use comptoir_engine::Quarantined;
use comptoir_engine::change::Change;
use serde_json::{Value as Json, json};

#[derive(Args)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    #[command(about = text("cli.quarantine-list"))]
    List,
    #[command(about = text("cli.quarantine-show"))]
    Show {
        #[arg(help = text("arg.quarantined"))]
        number: u64,
    },
    #[command(about = text("cli.quarantine-retry"))]
    Retry {
        #[arg(help = text("arg.quarantined-or-all"))]
        number: Option<u64>,
    },
    #[command(about = text("cli.quarantine-discard"))]
    Discard {
        #[arg(help = text("arg.quarantined"))]
        number: u64,
    },
}

impl Quarantine {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let all = shop.quarantine().await?;
        let find = |number| all.iter().find(|each| each.number == number).ok_or(Error::NotQuarantined { number });
        match self.what.unwrap_or(What::List) {
            What::List => all.iter().for_each(|each| output.say(|| line(each), || object(each))),
            What::Show { number } => {
                let each = find(number)?;
                output.say(|| format!("{}\n{}", line(each), details(each)), || object(each));
            }
            What::Retry { number } => {
                let mut records: Vec<_> = match number {
                    Some(number) => vec![find(number)?.record.clone()],
                    None => all.iter().map(|each| each.record.clone()).collect(),
                };
                records.dedup();
                for record in &records {
                    shop.retry(record.collection.as_str(), record.key.as_str()).await?;
                }
                left(shop, output, "said.quarantine-retry").await?;
            }
            What::Discard { number } => {
                let record = &find(number)?.record;
                shop.discard(record.collection.as_str(), record.key.as_str()).await?;
                left(shop, output, "said.quarantine-discard").await?;
            }
        }
        Ok(())
    }
}

async fn left(shop: &Comptoir, output: &Output, said: &str) -> Result<(), Error> {
    let left = shop.quarantine().await?.len();
    output.say(|| text_with(said, &[("left", left.to_string())]), || json!({"quarantined": left}));
    Ok(())
}

fn line(each: &Quarantined) -> String {
    let side = if each.own { "said.quarantine-own" } else { "said.quarantine-foreign" };
    let values = [
        ("number", each.number.to_string()),
        ("record", each.record.to_string()),
        ("reason", each.reason.to_string()),
        ("side", text(side)),
        ("at", each.at.to_string()),
    ];
    text_with("said.quarantine", &values)
}

fn details(each: &Quarantined) -> String {
    let Ok(change) = Change::parse(&each.bytes) else { return text("said.quarantine-unread") };
    let parts = change.parts();
    let values = [
        ("hash", change.hash().to_string()),
        ("actor", format!("{:?}", parts.actor)),
        ("seq", parts.seq.to_string()),
        ("ops", change.ops().to_string()),
        ("bytes", each.bytes.len().to_string()),
    ];
    text_with("said.quarantine-details", &values)
}

fn object(each: &Quarantined) -> Json {
    let mut object = json!({
        "number": each.number,
        "collection": each.record.collection.as_str(),
        "key": each.record.key.as_str(),
        "reason": each.reason.to_string(),
        "own": each.own,
        "at": each.at.to_string(),
        "bytes": each.bytes.len(),
    });
    if let Ok(change) = Change::parse(&each.bytes) {
        let parts = change.parts();
        object["change"] = json!({
            "hash": change.hash().to_string(), "actor": format!("{:?}", parts.actor), "seq": parts.seq, "ops": change.ops(),
        });
    }
    object
}
