//! `comptoir undo`.

use super::history;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::{HistoryPage, RecordId, TransactionId, Undone};
use serde_json::json;

#[derive(Args)]
pub(super) struct Undo {
    #[arg(required_unless_present = "transaction", conflicts_with = "transaction", requires = "key", help = text("arg.collection"))]
    collection: Option<String>,
    #[arg(help = text("arg.key"))]
    key: Option<String>,
    #[arg(help = text("arg.change"))]
    change: Option<String>,
    #[arg(long, value_name = "ID", help = text("arg.transaction"))]
    transaction: Option<String>,
    #[arg(long, help = text("arg.undo-label"))]
    label: Option<String>,
}

impl Undo {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let undone = match (&self.transaction, &self.collection, &self.key) {
            (Some(given), _, _) => {
                let wrong = || Error::Argument { given: given.clone(), wanted: "a transaction's 16 digits" };
                let id = TransactionId::parse(given).ok_or_else(wrong)?;
                let label = self.label.clone().unwrap_or_else(|| format!("undo {id}"));
                shop.undo_transaction(id, &label).await?
            }
            (None, Some(collection), Some(key)) => self.undo_change(shop, collection, key).await?,
            _ => return Err(Error::Usage { what: text("usage.undo") }),
        };
        say(output, &undone);
        Ok(())
    }

    async fn undo_change(&self, shop: &Comptoir, collection: &str, key: &str) -> Result<Undone, Error> {
        let change = match &self.change {
            Some(digits) => history::change(shop, collection, key, digits).await?,
            None => {
                let newest =
                    shop.history(collection, key, HistoryPage { changes_max: 1, ..HistoryPage::default() }).await?;
                let none = || Error::NoRecord { record: format!("{collection}/{key}") };
                newest.versions.first().map(|version| version.change).ok_or_else(none)?
            }
        };
        let label = self.label.clone().unwrap_or_else(|| format!("undo {}", change.short()));
        shop.undo(collection, key, Some(change), &label).await
    }
}

fn say(output: &Output, undone: &Undone) {
    let name = |record: &RecordId| record.to_string();
    let changed: Vec<_> = undone.committed.changed.iter().map(name).collect();
    let left: Vec<_> = undone.left.iter().map(|(record, field)| format!("{record} {field}")).collect();
    if output.json {
        let left = undone.left.iter().map(|(record, field)| {
            json!({"collection": record.collection.as_str(), "key": record.key.as_str(), "field": field})
        });
        let object = json!({
            "changed": changed,
            "left": left.collect::<Vec<_>>(),
            "transaction": undone.committed.transaction.map(|id| id.to_string()),
        });
        output.line(&object.to_string());
        return;
    }
    match changed.is_empty() {
        true => output.line(&text("said.undo-nothing")),
        false => output.line(&text_with("said.undo", &[("records", changed.join(", "))])),
    }
    if !left.is_empty() {
        output.line(&text_with("said.undo-left", &[("fields", left.join(", "))]));
    }
}
