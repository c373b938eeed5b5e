//! `comptoir unset`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(super) struct Unset {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(help = text("arg.field"))]
    field: String,
}

impl Unset {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let committed = shop.unset(&self.collection, &self.key, &self.field).await?;
        let record = format!("{}/{}", self.collection, self.key);
        let changed = !committed.changed.is_empty();
        let said = if changed { "said.unset" } else { "said.nothing" };
        output.say(
            || text_with(said, &[("record", record.clone())]),
            || json!({"collection": self.collection, "key": self.key, "changed": changed}),
        );
        Ok(())
    }
}
