//! Records from a stream of JSON lines, as `comptoir import` takes them: what is imported twice, or on two devices, is one
//! record. Must not hold more than a chunk of them.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named};
use super::transactions::OfWorkspace;
use crate::service::{Service, ServiceError, Write, Written};
use axum::Json;
use axum::body::{Body, HttpBody as _};
use comptoir_engine::record::json;
use comptoir_engine::{Collection, FieldEdit, Fields, Label, RecordId, StoreError, Value};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::mem::take;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

/// Records saved together.
const CHUNK_RECORDS: usize = 500;
/// Bytes of lines saved together.
const CHUNK_BYTES: usize = 512 << 10;
/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 4 << 20;
/// How long the next bytes may take.
const BYTES_TIMEOUT: Duration = Duration::from_secs(30);

/// How to import.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Importing {
    /// Into this collection.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", example = "products")]
    collection: String,
    /// The field that is the record's key: a text or a whole number.
    #[param(default = "id")]
    key: Option<String>,
    /// What is done, for the history: 1 to 200 bytes.
    #[param(min_length = 1, max_length = 200)]
    label: Option<String>,
}

/// What became of the lines.
#[derive(Serialize, ToSchema, Default)]
pub(super) struct Counts {
    lines: u64,
    created: u64,
    changed: u64,
    unchanged: u64,
    /// Lines whose record is deleted here: it stays so.
    skipped_deleted: u64,
}

#[derive(Clone)]
struct Row {
    line: u64,
    record: RecordId,
    fields: Fields,
}

struct Import {
    caller: Caller,
    service: std::sync::Arc<Service>,
    collection: Collection,
    key: String,
    label: Option<Label>,
    counts: Counts,
    rows: Vec<Row>,
    records: BTreeSet<RecordId>,
    bytes: usize,
}

/// Makes a record of each line. Counters of records that are there already are left alone. Chunks of lines are saved as
/// they come; a line that cannot be saved ends it, and those before it stay.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/import", tag = "streams", params(OfWorkspace, Importing),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = Counts, description = "What became of the lines")))]
pub(super) async fn import(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(asked): Asked<Importing>,
    mut body: Body,
) -> Result<Json<Counts>, RestError> {
    let mut import = Import {
        collection: caller.writes(&asked.collection)?,
        label: caller.label(asked.label.as_deref())?,
        service: caller.service()?,
        key: asked.key.unwrap_or_else(|| "id".to_owned()),
        counts: Counts::default(),
        rows: Vec::new(),
        records: BTreeSet::new(),
        bytes: 0,
        caller,
    };
    let mut rest = Vec::new();
    while !body.is_end_stream() {
        let frame = timeout(BYTES_TIMEOUT, body.frame()).await;
        let frame = frame.map_err(|_| RestError::BodySlow { seconds: BYTES_TIMEOUT.as_secs() })?;
        let Some(frame) = frame else { break };
        let Ok(bytes) = frame.map_err(RestError::json)?.into_data() else { continue };
        rest.extend_from_slice(&bytes);
        let mut done = 0;
        while let Some(length) = rest[done..].iter().position(|byte| *byte == b'\n') {
            import.line(&rest[done..=done + length]).await?;
            done += length + 1;
        }
        rest.drain(..done);
        if rest.len() > LINE_BYTES_MAX {
            return Err(RestError::BodyTooLarge { bytes_max: LINE_BYTES_MAX });
        }
    }
    import.line(&rest).await?;
    import.save().await?;
    Ok(Json(import.counts))
}

impl Import {
    async fn line(&mut self, line: &[u8]) -> Result<(), RestError> {
        if line.is_empty() {
            return Ok(());
        }
        self.counts.lines += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let row = match self.row(line) {
            Ok(row) => row,
            Err(cause) => {
                self.save().await?;
                return Err(self.refused(self.counts.lines, cause));
            }
        };
        if self.records.contains(&row.record) || self.rows.len() >= CHUNK_RECORDS || self.bytes >= CHUNK_BYTES {
            self.save().await?;
        }
        self.bytes += line.len();
        self.records.insert(row.record.clone());
        self.rows.push(row);
        Ok(())
    }

    fn row(&self, line: &[u8]) -> Result<Row, String> {
        let text = std::str::from_utf8(line).map_err(|cause| cause.to_string())?;
        let fields = json::parse(text).map_err(|cause| cause.to_string())?;
        let key = match fields.get(&self.key) {
            Some(Value::String(key)) => key.clone(),
            Some(Value::Int(key)) => key.to_string(),
            Some(Value::Uint(key)) => key.to_string(),
            _ => return Err(format!("no text or whole number in the field \"{}\"", self.key)),
        };
        let record = RecordId::new(self.collection.as_str(), &key).map_err(|cause| cause.to_string())?;
        Ok(Row { line: self.counts.lines, record, fields })
    }

    fn refused(&self, line: u64, cause: String) -> RestError {
        let Counts { created, changed, unchanged, .. } = self.counts;
        RestError::ImportLine { line, cause, saved: created + changed + unchanged }
    }

    /// Saves what has come, as one transaction; where a row in it is at fault, the others all the same.
    async fn save(&mut self) -> Result<(), RestError> {
        let (rows, bytes) = (take(&mut self.rows), take(&mut self.bytes));
        self.records.clear();
        if rows.is_empty() {
            return Ok(());
        }
        // Its body is read more slowly meanwhile.
        self.caller.pays_in_time(rows.len(), bytes).await;
        self.caller.check_again()?;
        match self.commit(rows.clone()).await {
            Err(ServiceError::Store(StoreError::Edit { .. } | StoreError::TooLarge { .. })) => {}
            saved => return Ok(saved?),
        }
        for row in rows {
            let (line, record) = (row.line, row.record.clone());
            let view = self.service.look(move |engine| engine.get(&record)).await?;
            if view.is_some_and(|view| view.deleted) {
                self.counts.skipped_deleted += 1;
                continue;
            }
            match self.commit(vec![row]).await {
                Err(ServiceError::Store(error @ (StoreError::Edit { .. } | StoreError::TooLarge { .. }))) => {
                    return Err(self.refused(line, error.to_string()));
                }
                saved => saved?,
            }
        }
        Ok(())
    }

    async fn commit(&mut self, rows: Vec<Row>) -> Result<(), ServiceError> {
        let count = rows.len() as u64;
        let edits: Vec<_> = rows.into_iter().map(|row| (row.record, FieldEdit::Import(row.fields))).collect();
        let label = self.label.clone();
        let commit =
            Write::new(Vec::new(), None, move |engine, now| Ok(engine.commit_labelled(&edits, label.as_ref(), now)?));
        let Written { changed, created, .. } = self.service.write(commit).await?;
        self.counts.created += created;
        self.counts.changed += changed - created;
        self.counts.unchanged += count - changed;
        Ok(())
    }
}
