//! Idempotency keys beside a service device's store: each request that is to be done once is noted before it is begun, and
//! what it did after. Must not know HTTP.
//!
//! A file of JSON lines, each durable before what follows it. One thread does one request at a time, so at most the last
//! one can have begun without an end; whether it was done, the digest of all records tells: nothing else moves it between.

use super::ServiceError;
use super::write::{Once, Written, stated};
use comptoir_engine::id::RecordId;
use comptoir_engine::{Engine, HistoryPage, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How long a key is known, in milliseconds.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// The most keys that are known at once; the oldest is forgotten first.
const KEYS_MAX: usize = 10_000;
/// The most their lines take, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Line {
    Begun {
        key: String,
        says: String,
        at_ms: i64,
        digest: String,
        record: Option<(String, String)>,
        records: u64,
        absent: u64,
    },
    Done {
        key: String,
        says: String,
        at_ms: i64,
        written: Written,
    },
    Dropped {
        key: String,
    },
}

struct Known {
    says: String,
    at_ms: i64,
    written: Option<Written>,
}

/// What is known of a request.
pub(super) enum Seen {
    /// Its key is new.
    Never,
    /// Its key stands for another request.
    Other,
    /// It was done.
    Done(Written),
}

/// The keys of one workspace.
pub(super) struct Receipts {
    path: PathBuf,
    file: File,
    bytes: u64,
    known: HashMap<String, Known>,
    order: VecDeque<String>,
}

fn unkept(error: &io::Error) -> ServiceError {
    ServiceError::Keys { cause: error.to_string() }
}

impl Receipts {
    /// Reads the file, made if missing, and finds out what became of a request that was cut short. Before the engine is
    /// told anything else.
    pub(super) fn open(path: &Path, engine: &Engine, now: Timestamp) -> Result<Self, ServiceError> {
        let mut known = HashMap::new();
        let mut order = VecDeque::new();
        let mut begun = None;
        // Bytes that are no line are what a power cut left of the last one.
        for line in read(path)?.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            match line {
                Line::Begun { .. } => begun = Some(line),
                Line::Dropped { .. } => begun = None,
                Line::Done { key, says, at_ms, written } => {
                    begun = None;
                    order.push_back(key.clone());
                    known.insert(key, Known { says, at_ms, written: Some(written) });
                }
            }
        }
        if let Some(Line::Begun { key, says, at_ms, digest, record, records, absent }) = begun
            && crate::text::hex(&engine.status().digest.0) != digest
        {
            let written = Some(found(engine, record, records, absent)?);
            order.push_back(key.clone());
            known.insert(key, Known { says, at_ms, written });
        }
        order.retain(|key| known.get(key).is_some_and(|known| now.unix_ms.saturating_sub(known.at_ms) < KEPT_MS));
        let kept: std::collections::HashSet<&String> = order.iter().collect();
        known.retain(|key, _| kept.contains(key));
        let (file, bytes) = rewrite(path, &known, &order).map_err(|error| unkept(&error))?;
        Ok(Self { path: path.to_owned(), file, bytes, known, order })
    }

    pub(super) fn find(&self, once: &Once, now: Timestamp) -> Seen {
        match self.known.get(&once.key) {
            Some(known) if now.unix_ms.saturating_sub(known.at_ms) >= KEPT_MS => Seen::Never,
            Some(known) if known.says != once.says => Seen::Other,
            Some(Known { written: Some(written), .. }) => Seen::Done(written.clone()),
            _ => Seen::Never,
        }
    }

    /// Notes durably that a request is about to be done.
    pub(super) fn begin(
        &mut self,
        once: &Once,
        engine: &Engine,
        records: &[RecordId],
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let mut absent = 0;
        for record in records {
            absent += u64::from(engine.get(record)?.is_none());
        }
        let record = records.first().map(|record| (record.collection.to_string(), record.key.to_string()));
        self.append(&Line::Begun {
            key: once.key.clone(),
            says: once.says.clone(),
            at_ms: now.unix_ms,
            digest: crate::text::hex(&engine.status().digest.0),
            record,
            records: records.len() as u64,
            absent,
        })
    }

    /// Notes that it was refused and did nothing.
    pub(super) fn drop_begun(&mut self, once: &Once) -> Result<(), ServiceError> {
        self.append(&Line::Dropped { key: once.key.clone() })
    }

    /// Notes durably what it did.
    pub(super) fn end(&mut self, once: &Once, written: &Written, now: Timestamp) -> Result<(), ServiceError> {
        let done =
            Line::Done { key: once.key.clone(), says: once.says.clone(), at_ms: now.unix_ms, written: written.clone() };
        self.append(&done)?;
        let known = Known { says: once.says.clone(), at_ms: now.unix_ms, written: Some(written.clone()) };
        if self.known.insert(once.key.clone(), known).is_none() {
            self.order.push_back(once.key.clone());
        }
        if self.order.len() > KEYS_MAX || self.bytes > FILE_BYTES_MAX {
            self.forget(now)?;
        }
        Ok(())
    }

    /// Forgets what is too old, and the older half of what is too much.
    fn forget(&mut self, now: Timestamp) -> Result<(), ServiceError> {
        let half = self.order.len() / 2;
        for key in self.order.drain(..half) {
            self.known.remove(&key);
        }
        let fresh = |known: &Known| now.unix_ms.saturating_sub(known.at_ms) < KEPT_MS;
        self.known.retain(|_, known| fresh(known));
        let known = &self.known;
        self.order.retain(|key| known.contains_key(key));
        (self.file, self.bytes) = rewrite(&self.path, &self.known, &self.order).map_err(|error| unkept(&error))?;
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<(), ServiceError> {
        let text = text(line);
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| unkept(&error))?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

fn text(line: &Line) -> String {
    format!("{}\n", serde_json::to_value(line).unwrap_or_default())
}

fn read(path: &Path) -> Result<Vec<u8>, ServiceError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unkept(&error)),
    }
}

/// Writes what is known into a new file and puts it in the old one's place.
fn rewrite(path: &Path, known: &HashMap<String, Known>, order: &VecDeque<String>) -> io::Result<(File, u64)> {
    let mut lines = String::new();
    for key in order {
        let Some(Known { says, at_ms, written: Some(written) }) = known.get(key) else { continue };
        let (key, says, written) = (key.clone(), says.clone(), written.clone());
        lines.push_str(&text(&Line::Done { key, says, at_ms: *at_ms, written }));
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    let file = OpenOptions::new().append(true).open(path)?;
    Ok((file, lines.len() as u64))
}

/// What a request did that was done and cut short before it could be noted.
fn found(
    engine: &Engine,
    record: Option<(String, String)>,
    records: u64,
    absent: u64,
) -> Result<Written, ServiceError> {
    let record = record.map(|(collection, key)| RecordId::new(&collection, &key)).transpose()?;
    let mut written = Written { changed: records, created: absent, ..Written::default() };
    if let Some(record) = record {
        let page = HistoryPage { changes_max: 1, after: None, field: None };
        let newest = engine.get(&record)?.map(|_| engine.history(&record, &page)).transpose()?;
        let newest = newest.and_then(|history| history.versions.into_iter().next());
        written.transaction = newest.and_then(|version| version.transaction).map(|id| id.to_string());
        if records == 1 {
            written.etag = stated(engine, &record)?.map(|stated| stated.etag);
        }
    }
    Ok(written)
}
