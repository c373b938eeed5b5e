//! `comptoir export`.

use super::lines::Writer;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{Collection, Key, View};
use serde_json::{Value as Json, json as object};
use std::path::PathBuf;

/// Records read at a time.
const PAGE_RECORDS: usize = 500;

#[derive(Args)]
pub(super) struct Export {
    #[arg(long, help = text("arg.export-collection"))]
    collection: Option<String>,
    #[arg(long, value_name = "FILE", help = text("arg.out"))]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let all = self.collection.is_none();
        let collections = match &self.collection {
            Some(name) => vec![Collection::new(name)?],
            None => shop.collections().await?,
        };
        let mut writer = Writer::create(self.out.as_deref())?;
        let mut records = 0u64;
        for collection in &collections {
            let mut after = None;
            loop {
                let page = shop.list(collection, after.as_ref(), PAGE_RECORDS).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (key, view) in page.iter().filter(|(_, view)| !view.deleted) {
                    writer.line(&line(all.then_some(collection), key, view).to_string())?;
                    records += 1;
                }
            }
        }
        writer.finish()?;
        if let Some(out) = &self.out {
            let file = out.display().to_string();
            let values = [("records", records.to_string()), ("file", file.clone())];
            output.say(|| text_with("said.export", &values), || object!({"records": records, "file": file}));
        }
        Ok(())
    }
}

/// A record's fields; with its key and collection where the fields alone would not tell.
fn line(collection: Option<&Collection>, key: &Key, view: &View) -> Json {
    let mut line = json::object(&view.fields);
    if let Json::Object(fields) = &mut line {
        let own = |value: &Json| {
            value.as_str() == Some(key.as_str())
                || value.as_i64().is_some_and(|number| number.to_string() == key.as_str())
        };
        if collection.is_some() || !fields.values().any(own) {
            fields.insert("_key".to_owned(), key.as_str().into());
        }
        if let Some(collection) = collection {
            fields.insert("_collection".to_owned(), collection.as_str().into());
        }
    }
    line
}
