//! `comptoir put`.

use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, RecordId, SeriesName};
use serde_json::json as object;

#[derive(Args)]
pub(super) struct Put {
    #[arg(help = text("arg.collection"))]
    collection: String,
    #[arg(help = text("arg.key"))]
    key: String,
    #[arg(value_name = "JSON", help = text("arg.json"))]
    fields: String,
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
    #[arg(long, value_name = "FIELD=SERIES", value_parser = numbered, help = text("arg.number"))]
    number: Vec<(String, SeriesName)>,
}

impl Put {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let fields = json::parse(&self.fields)?;
        let id = RecordId::new(&self.collection, &self.key)?;
        let numbers = self.number.into_iter().map(|(field, series)| FieldEdit::Number { field, series });
        let edits = std::iter::once(FieldEdit::Set(fields)).chain(numbers).map(|edit| (id.clone(), edit));
        let committed = shop.commit_labelled(edits.collect(), &self.label).await?;
        let record = format!("{}/{}", self.collection, self.key);
        let changed = !committed.changed.is_empty();
        let said = if changed { "said.put" } else { "said.nothing" };
        output.say(
            || {
                let said = text_with(said, &[("record", record.clone())]);
                match committed.numbers.is_empty() {
                    true => said,
                    false => format!("{said} {}", text_with("said.numbers", &[("numbers", committed.numbers.join(", "))])),
                }
            },
            || {
                let (collection, key) = (&self.collection, &self.key);
                match committed.numbers.is_empty() {
                    true => object!({"collection": collection, "key": key, "changed": changed}),
                    false => object!({"collection": collection, "key": key, "changed": changed, "numbers": committed.numbers}),
                }
            },
        );
        Ok(())
    }
}

/// A field and the series that numbers it: `receipt=T1`.
fn numbered(given: &str) -> Result<(String, SeriesName), Error> {
    let wrong = || Error::Argument { given: given.to_owned(), wanted: "FIELD=SERIES, such as receipt=T1" };
    let (field, series) = given.split_once('=').ok_or_else(wrong)?;
    Ok((field.to_owned(), SeriesName::new(series)?))
}
