//! `comptoir tx`.

use super::lines::{self, Line};
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, RecordId, SeriesName};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json as object};
use std::path::{Path, PathBuf};

/// The most operations of one transaction; the store's own limits on changes and bytes come on top.
const OPERATIONS_MAX: usize = 16_384;

#[derive(Args)]
pub(super) struct Tx {
    #[arg(default_value = "-", value_name = "FILE", help = text("arg.tx-file"))]
    file: PathBuf,
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
}

/// One line of a transaction.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Operation {
    Put { collection: String, key: String, fields: Map<String, Json> },
    Incr { collection: String, key: String, field: String, by: i64 },
    Unset { collection: String, key: String, field: String },
    Number { collection: String, key: String, field: String, series: String },
    Delete { collection: String, key: String },
    Restore { collection: String, key: String },
}

impl Tx {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let edits = read(&self.file)?;
        let committed = shop.commit_labelled(edits, &self.label).await?;
        let records = &committed.changed;
        let said = if records.is_empty() { "said.tx-nothing" } else { "said.tx" };
        let values = [("records", records.len().to_string()), ("numbers", committed.numbers.join(", "))];
        output.say(
            || match committed.numbers.is_empty() {
                true => text_with(said, &values),
                false => format!("{} {}", text_with(said, &values), text_with("said.numbers", &values)),
            },
            || {
                let name =
                    |record: &RecordId| object!({"collection": record.collection.as_str(), "key": record.key.as_str()});
                let changed: Vec<_> = records.iter().map(name).collect();
                let transaction = committed.transaction.map(|id| id.to_string());
                object!({"changed": changed, "created": committed.created, "numbers": committed.numbers,
                    "transaction": transaction})
            },
        );
        Ok(())
    }
}

/// All operations of a file; a line that is none refuses the whole.
fn read(file: &Path) -> Result<Vec<(RecordId, FieldEdit)>, Error> {
    let mut from = lines::open(file, |_| {})?;
    let (mut edits, mut line) = (Vec::new(), 0);
    while let Some(next) = lines::next(&mut *from, file)? {
        line += 1;
        let refuse = |cause: String| Error::Operation { line, cause };
        let Line::Whole(bytes) = next else {
            return Err(refuse(Error::LongLine { bytes_max: lines::LINE_BYTES_MAX }.to_string()));
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if edits.len() >= OPERATIONS_MAX {
            return Err(refuse(format!("a transaction has at most {OPERATIONS_MAX} operations")));
        }
        let operation: Operation = serde_json::from_slice(&bytes).map_err(|cause| refuse(cause.to_string()))?;
        edits.push(operation.edit().map_err(|cause| refuse(cause.to_string()))?);
    }
    Ok(edits)
}

impl Operation {
    fn edit(self) -> Result<(RecordId, FieldEdit), Error> {
        Ok(match self {
            Self::Put { collection, key, fields } => {
                (RecordId::new(&collection, &key)?, FieldEdit::Set(json::fields(Json::Object(fields))?))
            }
            Self::Incr { collection, key, field, by } => {
                (RecordId::new(&collection, &key)?, FieldEdit::Increment { field, by })
            }
            Self::Unset { collection, key, field } => (RecordId::new(&collection, &key)?, FieldEdit::Unset { field }),
            Self::Number { collection, key, field, series } => {
                let series = SeriesName::new(&series)?;
                (RecordId::new(&collection, &key)?, FieldEdit::Number { field, series })
            }
            Self::Delete { collection, key } => (RecordId::new(&collection, &key)?, FieldEdit::Delete),
            Self::Restore { collection, key } => (RecordId::new(&collection, &key)?, FieldEdit::Restore),
        })
    }
}
