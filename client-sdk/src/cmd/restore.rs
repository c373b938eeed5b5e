//! `comptoir restore`: brings back a deleted record, or, with `--from`, a whole store.

use super::Place;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::{FieldEdit, RecordId};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Restore {
    #[arg(help = text("arg.collection"), required_unless_present = "from", conflicts_with = "from", requires = "key")]
    collection: Option<String>,
    #[arg(help = text("arg.key"))]
    key: Option<String>,
    #[arg(long, value_name = text("arg.file-name"), help = text("arg.restore-from"))]
    pub(super) from: Option<PathBuf>,
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
}

impl Restore {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let (collection, key) = (self.collection.unwrap_or_default(), self.key.unwrap_or_default());
        let edit = (RecordId::new(&collection, &key)?, FieldEdit::Restore);
        let committed = shop.commit_labelled(vec![edit], &self.label).await?;
        let record = format!("{collection}/{key}");
        let changed = !committed.changed.is_empty();
        let said = if changed { "said.restore" } else { "said.nothing" };
        output.say(
            || text_with(said, &[("record", record.clone())]),
            || json!({"collection": collection, "key": key, "changed": changed}),
        );
        Ok(())
    }
}

/// `comptoir restore --from`.
pub(super) async fn restore_store(file: &Path, place: &Place, output: &Output) -> Result<(), Error> {
    let contents = Comptoir::restore_store(file, &place.store).await?;
    let (store, rows) = (place.store.display().to_string(), contents.rows);
    let values = [("store", store.clone()), ("file", file.display().to_string()), ("rows", rows.to_string())];
    output.say(|| text_with("said.restored-store", &values), || json!({"store": store, "rows": rows}));
    Ok(())
}
