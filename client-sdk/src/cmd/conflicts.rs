//! `comptoir conflicts`.

use super::history::{author_object, name, value};
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::store::CONFLICTS_MAX;
use comptoir_engine::{Collection, Conflict, Rival};
use serde_json::{Value as Json, json as object};

#[derive(Args)]
pub(super) struct Conflicts {
    #[arg(help = text("arg.collection"))]
    collection: Option<String>,
    #[arg(help = text("arg.key"))]
    key: Option<String>,
}

impl Conflicts {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let mut count = 0;
        if let (Some(collection), Some(key)) = (&self.collection, &self.key) {
            count += say(output, &shop.conflicts_of(collection, key).await?);
        } else {
            let collection = self.collection.as_deref().map(Collection::new).transpose()?;
            let mut after = None;
            loop {
                let (page, next) = shop.conflicts(collection.as_ref(), after.as_ref(), CONFLICTS_MAX).await?;
                count += say(output, &page);
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        if count == 0 && !output.json {
            output.line(&text("said.no-conflicts"));
        }
        Ok(())
    }
}

fn say(output: &Output, conflicts: &[Conflict]) -> usize {
    conflicts.iter().for_each(|conflict| output.say(|| lines(conflict), || conflict_object(conflict)));
    conflicts.len()
}

fn lines(conflict: &Conflict) -> String {
    let line = |(place, rival): (usize, &Rival)| {
        let said = if place == 0 { "conflicts.shown" } else { "conflicts.other" };
        let at = rival.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let values = [
            ("value", value(&rival.value).to_string()),
            ("name", name(&rival.author)),
            ("at", at),
            ("change", rival.change.short()),
        ];
        text_with(said, &values)
    };
    let lines = conflict.values.iter().enumerate().map(line);
    let first = format!("{} {}", conflict.record, conflict.field);
    std::iter::once(first).chain(lines).collect::<Vec<_>>().join("\n")
}

fn conflict_object(conflict: &Conflict) -> Json {
    let rival = |rival: &Rival| {
        object!({"value": value(&rival.value), "change": rival.change.to_string(), "short": rival.change.short(),
            "author": author_object(&rival.author), "at": rival.at.map(|at| at.to_string())})
    };
    object!({
        "collection": conflict.record.collection.as_str(),
        "key": conflict.record.key.as_str(),
        "field": conflict.field,
        "values": conflict.values.iter().map(rival).collect::<Vec<_>>(),
    })
}
