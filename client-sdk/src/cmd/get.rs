//! `comptoir get`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::text;
use clap::Args;
use comptoir_engine::record::json;
use serde_json::json as object;
use std::io::IsTerminal as _;

#[derive(Args)]
pub(super) struct Get {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
}

impl Get {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let absent = || Error::NoRecord { record: format!("{}/{}", self.collection, self.key) };
        let view = shop.get(&self.collection, &self.key).await?.ok_or_else(absent)?;
        if view.deleted && !output.json {
            return Err(absent());
        }
        let fields = json::object(&view.fields);
        output.say(
            || match std::io::stdout().is_terminal() {
                true => format!("{fields:#}"),
                false => fields.to_string(),
            },
            || object!({"collection": self.collection, "key": self.key, "deleted": view.deleted, "fields": fields}),
        );
        Ok(())
    }
}
