//! `comptoir import`.

use super::lines::{self, Line};
use super::output::Output;
use crate::error::Error;
use crate::handle::Comptoir;
use crate::text::{text, text_with};
use clap::Args;
use comptoir_engine::record::json;
use comptoir_engine::{FieldEdit, Fields, RecordId, StoreError, Value};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json as object;
use std::collections::BTreeSet;
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
    #[arg(long, default_value = "", help = text("arg.label"))]
    label: String,
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

impl Counts {
    /// Records of the file that are now in the store.
    fn saved(&self) -> u64 {
        self.created + self.changed + self.unchanged
    }
}

/// A line that is a record.
struct Row {
    line: u64,
    record: RecordId,
    fields: Fields,
}

impl Row {
    fn edit(&self) -> (RecordId, FieldEdit) {
        (self.record.clone(), FieldEdit::Import(self.fields.clone()))
    }
}

impl Import {
    pub(super) async fn run(self, shop: &Comptoir, output: &Output) -> Result<(), Error> {
        let bar = progress(&self.file);
        let seen = bar.clone();
        let mut from = lines::open(&self.file, move |bytes| seen.inc(bytes))?;
        let mut counts = Counts::default();
        let mut chunk = Chunk::default();
        loop {
            let line = match lines::next(&mut *from, &self.file) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(Error::File { path, cause }) => {
                    self.save(shop, chunk, &mut counts).await?;
                    return Err(Error::ImportCut { path, cause, line: counts.lines, saved: counts.saved() });
                }
                Err(other) => return Err(other),
            };
            counts.lines += 1;
            match self.row(line, counts.lines) {
                Ok(None) => {}
                Ok(Some((row, bytes))) => {
                    if !chunk.has_room_for(&row.record) {
                        self.save(shop, std::mem::take(&mut chunk), &mut counts).await?;
                    }
                    chunk.push(row, bytes);
                }
                Err(error) => {
                    let line = counts.lines;
                    self.save(shop, std::mem::take(&mut chunk), &mut counts).await?;
                    self.refuse(line, &error, &mut counts)?;
                }
            }
        }
        self.save(shop, chunk, &mut counts).await?;
        bar.finish_and_clear();
        say(output, &counts);
        Ok(())
    }

    /// The record that a line is, and the line's length; `None` for an empty one.
    fn row(&self, line: Line, number: u64) -> Result<Option<(Row, usize)>, Error> {
        let Line::Whole(line) = line else { return Err(Error::LongLine { bytes_max: lines::LINE_BYTES_MAX }) };
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let given = || String::from_utf8_lossy(&line).chars().take(60).collect::<String>();
        let text = std::str::from_utf8(&line).map_err(|_| Error::Argument { given: given(), wanted: "UTF-8 text" })?;
        let fields = json::parse(text)?;
        let key = match fields.get(&self.key) {
            Some(Value::String(key)) => key.clone(),
            Some(Value::Int(key)) => key.to_string(),
            Some(Value::Uint(key)) => key.to_string(),
            _ => return Err(Error::NoKey { field: self.key.clone() }),
        };
        let record = RecordId::new(&self.collection, &key)?;
        Ok(Some((Row { line: number, record, fields }, line.len())))
    }

    /// A line that is no record, or none that can be saved: counted, or the end of the import.
    fn refuse(&self, line: u64, error: &Error, counts: &mut Counts) -> Result<(), Error> {
        match self.skip_bad {
            true => {
                counts.bad += 1;
                Ok(())
            }
            false => Err(Error::Line { line, cause: error.to_string(), saved: counts.saved() }),
        }
    }

    /// Saves a chunk as one transaction; where a record in it is deleted or refused, the others all the same.
    async fn save(&self, shop: &Comptoir, chunk: Chunk, counts: &mut Counts) -> Result<(), Error> {
        let mut rows = chunk.rows;
        if let Err(error) = commit(shop, &rows, &self.label, counts).await {
            if !is_about_a_row(&error) {
                return Err(error);
            }
        } else {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let view = shop.get(row.record.collection.as_str(), row.record.key.as_str()).await?;
            match view.is_some_and(|view| view.deleted) {
                true => counts.deleted += 1,
                false => kept.push(row),
            }
        }
        match commit(shop, &kept, &self.label, counts).await {
            Err(error) if is_about_a_row(&error) => {}
            outcome => return outcome,
        }
        for row in &kept {
            match commit(shop, std::slice::from_ref(row), &self.label, counts).await {
                Err(error) if is_about_a_row(&error) => self.refuse(row.line, &error, counts)?,
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

/// Rows to be saved together, each of another record.
#[derive(Default)]
struct Chunk {
    rows: Vec<Row>,
    records: BTreeSet<RecordId>,
    bytes: usize,
}

impl Chunk {
    /// A key that comes twice is two transactions: the second row meets the record that the first has made.
    fn has_room_for(&self, record: &RecordId) -> bool {
        !self.records.contains(record) && self.rows.len() < CHUNK_RECORDS && self.bytes < CHUNK_BYTES
    }

    fn push(&mut self, row: Row, bytes: usize) {
        self.bytes += bytes;
        self.records.insert(row.record.clone());
        self.rows.push(row);
    }
}

async fn commit(shop: &Comptoir, rows: &[Row], label: &str, counts: &mut Counts) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let committed = shop.commit_labelled(rows.iter().map(Row::edit).collect(), label).await?;
    let changed = committed.changed.len() as u64;
    counts.created += committed.created;
    counts.changed += changed - committed.created;
    counts.unchanged += rows.len() as u64 - changed;
    Ok(())
}

/// Whether one row is at fault, and not the store.
fn is_about_a_row(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Edit { .. } | StoreError::TooLarge { .. }))
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
