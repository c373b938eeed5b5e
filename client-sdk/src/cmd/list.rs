//! `comptoir list`.

mod ask;

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::text;
use ask::Ask;
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Key, View};
use serde_json::json as object;

/// Records read at a time.
const PAGE_RECORDS: usize = 500;

#[derive(Args)]
pub(super) struct List {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(long, help = text("arg.deleted"))]
    deleted: bool,
    #[command(flatten)]
    ask: Ask,
}

impl List {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        if self.ask.asks() {
            return self.ask.run(shop, &self.collection, self.deleted, output).await;
        }
        let collection = Collection::new(&self.collection)?;
        let mut after = None;
        loop {
            let page = shop.list(&collection, after.as_ref(), PAGE_RECORDS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            page.iter()
                .filter(|(_, view)| self.deleted || !view.deleted)
                .for_each(|(key, view)| show(key, view, output));
        }
    }
}

fn show(key: &Key, view: &View, output: &Output) {
    let fields = json::object(&view.fields);
    output.say(
        || format!("{key} {fields}"),
        || object!({"key": key.as_str(), "deleted": view.deleted, "fields": fields}),
    );
}
