//! `comptoir choose`.

use super::history;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(super) struct Choose {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(help = text("arg.field"))]
    field: String,
    #[arg(help = text("arg.chosen"))]
    change: String,
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
}

impl Choose {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let change = history::change(shop, &self.collection, &self.key, &self.change).await?;
        let committed = shop.choose(&self.collection, &self.key, &self.field, change, &self.label).await?;
        let record = format!("{}/{}", self.collection, self.key);
        let changed = !committed.changed.is_empty();
        output.say(
            || text_with("said.choose", &[("record", record.clone()), ("field", self.field.clone())]),
            || json!({"collection": self.collection, "key": self.key, "field": self.field, "changed": changed}),
        );
        Ok(())
    }
}
