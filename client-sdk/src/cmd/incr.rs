//! `comptoir incr`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::{FieldEdit, RecordId};
use serde_json::json;

#[derive(Args)]
pub(super) struct Incr {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(help = text("arg.field"))]
    field: String,
    #[arg(allow_negative_numbers = true, help = text("arg.by"))]
    by: i64,
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
}

impl Incr {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let edit =
            (RecordId::new(&self.collection, &self.key)?, FieldEdit::Increment { field: self.field, by: self.by });
        let committed = shop.commit_labelled(vec![edit], &self.label).await?;
        let record = format!("{}/{}", self.collection, self.key);
        let changed = !committed.changed.is_empty();
        let said = if changed { "said.incr" } else { "said.nothing" };
        output.say(
            || text_with(said, &[("record", record.clone())]),
            || json!({"collection": self.collection, "key": self.key, "changed": changed}),
        );
        Ok(())
    }
}
