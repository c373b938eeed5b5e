//! `comptoir import`.

use super::lines;
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, RecordId, Value};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json as object;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Records saved together.
const CHUNK_RECORDS: usize = 500;
/// Bytes of lines saved together.
const CHUNK_BYTES: usize = 512 << 10;

#[derive(Args)]
pub(super) struct Import {
    #[arg(value_name = "FILE", help = text("arg.file"))]
    file: PathBuf,
    #[arg(long, help = text("arg.collection"))]
    collection: String,
    #[arg(long, default_value = "id", value_name = "FIELD", help = text("arg.key-field"))]
    key: String,
    #[arg(long, help = text("arg.skip-bad"))]
    skip_bad: bool,
}

/// What became of the lines.
#[derive(Default)]
struct Counts {
    lines: u64,
    created: u64,
    changed: u64,
    unchanged: u64,
    deleted: u64,
    bad: u64,
}

impl Import {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let bar = progress(&self.file);
        let seen = bar.clone();
        let mut from = lines::open(&self.file, move |bytes| seen.inc(bytes))?;
        let mut counts = Counts::default();
        let mut chunk = BTreeMap::new();
        let mut chunk_bytes = 0;
        while let Some(line) = lines::next(&mut *from, &self.file)? {
            counts.lines += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.row(&line) {
                Ok((record, edit)) => {
                    // A key that comes twice is two rows: the second meets the record the first has made.
                    if chunk.contains_key(&record) || chunk.len() >= CHUNK_RECORDS || chunk_bytes > CHUNK_BYTES {
                        save(shop, std::mem::take(&mut chunk), &mut counts).await?;
                        chunk_bytes = 0;
                    }
                    chunk_bytes += line.len();
                    chunk.insert(record, edit);
                }
                Err(_) if self.skip_bad => counts.bad += 1,
                Err(error) => {
                    save(shop, chunk, &mut counts).await?;
                    let saved = counts.created + counts.changed + counts.unchanged;
                    return Err(Error::Line { line: counts.lines, cause: error.to_string(), saved });
                }
            }
        }
        save(shop, chunk, &mut counts).await?;
        bar.finish_and_clear();
        say(output, &counts);
        Ok(())
    }

    fn row(&self, line: &[u8]) -> Result<(RecordId, FieldEdit), Error> {
        let given = || String::from_utf8_lossy(line).chars().take(60).collect::<String>();
        let text = std::str::from_utf8(line).map_err(|_| Error::Argument { given: given(), wanted: "UTF-8 text" })?;
        let fields = json::parse(text)?;
        let key = match fields.get(&self.key) {
            Some(Value::String(key)) => key.clone(),
            Some(Value::Int(key)) => key.to_string(),
            Some(Value::Uint(key)) => key.to_string(),
            _ => return Err(Error::Argument { given: given(), wanted: "a record with its key field (see --key)" }),
        };
        Ok((RecordId::new(&self.collection, &key)?, FieldEdit::Import(fields)))
    }
}

/// Saves records together, those that are deleted left out.
async fn save(shop: &Comptoir, chunk: BTreeMap<RecordId, FieldEdit>, counts: &mut Counts) -> Result<(), Error> {
    if chunk.is_empty() {
        return Ok(());
    }
    let edits: Vec<_> = chunk.into_iter().collect();
    let mut rows = edits.len() as u64;
    let committed = match shop.commit(edits.clone()).await {
        Err(Error::Store(comptoir_engine::StoreError::Edit { error: comptoir_engine::EditError::Deleted, .. })) => {
            let mut kept = Vec::new();
            for (record, edit) in edits {
                let view = shop.get(record.collection.as_str(), record.key.as_str()).await?;
                match view.is_some_and(|view| view.deleted) {
                    true => counts.deleted += 1,
                    false => kept.push((record, edit)),
                }
            }
            rows = kept.len() as u64;
            shop.commit(kept).await?
        }
        outcome => outcome?,
    };
    let changed = committed.changed.len() as u64;
    counts.created += committed.created;
    counts.changed += changed - committed.created;
    counts.unchanged += rows - changed;
    Ok(())
}

/// A bar over the file's bytes, on a terminal only.
fn progress(file: &Path) -> ProgressBar {
    let bar = match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => ProgressBar::new(metadata.len()),
        _ => ProgressBar::new_spinner(),
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn say(output: &Output, counts: &Counts) {
    let Counts { lines, created, changed, unchanged, deleted, bad } = counts;
    let values = [
        ("created", created.to_string()),
        ("changed", changed.to_string()),
        ("unchanged", unchanged.to_string()),
        ("deleted", deleted.to_string()),
        ("bad", bad.to_string()),
    ];
    output.say(
        || text_with("said.import", &values),
        || {
            object!({"lines": lines, "created": created, "changed": changed, "unchanged": unchanged,
                "skipped_deleted": deleted, "skipped_bad": bad})
        },
    );
}
