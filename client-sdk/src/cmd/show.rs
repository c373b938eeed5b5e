//! `comptoir show`.

use super::history;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::Timestamp;
use comptoir_engine::record::json;
use serde_json::json as object;

#[derive(Args)]
pub(super) struct Show {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(long, value_name = "TIME|CHANGE", help = text("arg.at"))]
    at: String,
}

impl Show {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let record = || format!("{}/{}", self.collection, self.key);
        let view = match Timestamp::parse(&self.at) {
            Some(time) => shop.get_at_time(&self.collection, &self.key, time).await?,
            None if !self.at.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                return Err(Error::Argument { given: self.at, wanted: "a time like 2026-05-01T12:00:00Z or a change" });
            }
            None => {
                let change = history::change(shop, &self.collection, &self.key, &self.at).await?;
                shop.get_at_change(&self.collection, &self.key, change).await?
            }
        };
        let view = view.ok_or_else(|| Error::NotThen { record: record(), at: self.at.clone() })?;
        let fields = json::object(&view.fields);
        output.say(
            || match view.deleted {
                true => text_with("said.show-deleted", &[("fields", fields.to_string())]),
                false => fields.to_string(),
            },
            || {
                object!({"collection": self.collection, "key": self.key, "at": self.at, "deleted": view.deleted,
                    "fields": fields})
            },
        );
        Ok(())
    }
}
