//! `comptoir list`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::text;
use clap::Args;
use comptoir_engine::Collection;
use comptoir_engine::record::json;
use serde_json::json as object;

/// Records read at a time.
const PAGE_RECORDS: usize = 500;

#[derive(Args)]
pub(super) struct List {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(long, help = text("arg.deleted"))]
    deleted: bool,
}

impl List {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let collection = Collection::new(&self.collection)?;
        let mut after = None;
        loop {
            let page = shop.list(&collection, after.as_ref(), PAGE_RECORDS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, view) in page.into_iter().filter(|(_, view)| self.deleted || !view.deleted) {
                let fields = json::object(&view.fields);
                output.say(
                    || format!("{key} {fields}"),
                    || object!({"key": key.as_str(), "deleted": view.deleted, "fields": fields}),
                );
            }
        }
    }
}
