//! Idempotency keys beside a service device's store: each request that is to be done once is noted before it is begun, and
//! what it did after. Must not know HTTP.
//!
//! A file of JSON lines, each durable before what follows it. One thread does one request at a time, so at most the last
//! one can have begun without an end; whether it was done, the digest of all records tells: nothing else moves it between. In
//! another store than it was begun in (the old one was damaged or lost) nothing tells, and whoever asks again is told so.

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
        /// The store's device; of a release that did not say, none.
        #[serde(default)]
        device: String,
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
    /// It was begun in a store that is gone: nobody knows whether it was done.
    Unknown {
        key: String,
        says: String,
        at_ms: i64,
    },
}

struct Known {
    says: String,
    at_ms: i64,
    /// What it did; `None`: nobody knows.
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
    /// It was begun, and nobody knows whether it was done.
    Unknown,
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
                Line::Unknown { key, says, at_ms } => {
                    order.push_back(key.clone());
                    known.insert(key, Known { says, at_ms, written: None });
                }
            }
        }
        let is_same = |digest: &str| crate::text::hex(&engine.status().digest.0) == digest;
        if let Some(Line::Begun { key, says, at_ms, digest, device, record, records, absent }) = begun
            && !(device == engine.device().to_string() && is_same(&digest))
        {
            let written = match device == engine.device().to_string() {
                true => Some(found(engine, record, records, absent)?),
                false => None,
            };
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
            Some(Known { written: None, .. }) => Seen::Unknown,
            None => Seen::Never,
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
            device: engine.device().to_string(),
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
        let Some(Known { says, at_ms, written }) = known.get(key) else { continue };
        let (key, says, at_ms) = (key.clone(), says.clone(), *at_ms);
        lines.push_str(&text(&match written.clone() {
            Some(written) => Line::Done { key, says, at_ms, written },
            None => Line::Unknown { key, says, at_ms },
        }));
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

#[cfg(test)]
mod tests {
    use super::*;
    use comptoir_engine::disk::sim::SimDisk;
    use comptoir_engine::{FieldEdit, Now, Settings};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    const NOW: Timestamp = Timestamp { unix_ms: 1_700_000_000_000 };

    fn engine(seed: u64) -> Engine {
        let settings = Settings {
            workspace: comptoir_engine::WorkspaceId::new("shop").expect("a name"),
            relay: String::new(),
            token: String::new(),
            device_name: String::new(),
        };
        let mut rng = StdRng::seed_from_u64(seed);
        Engine::create(Box::new(SimDisk::new()), "", settings, &mut rng).expect("a store")
    }

    fn once(key: &str) -> Once {
        Once { key: key.to_owned(), says: "this".to_owned() }
    }

    fn tea() -> RecordId {
        RecordId::new("products", "tea").expect("a name")
    }

    fn later(ms: i64) -> Timestamp {
        Timestamp { unix_ms: NOW.unix_ms + ms }
    }

    fn is_done(receipts: &Receipts, key: &str, now: Timestamp) -> bool {
        matches!(receipts.find(&once(key), now), Seen::Done(_))
    }

    #[test]
    fn a_key_is_known_for_a_day_also_behind_an_opening() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, engine) = (folder.path().join("keys"), engine(1));
        let mut receipts = Receipts::open(&path, &engine, NOW).expect("a file");
        receipts.end(&once("a"), &Written::default(), NOW).expect("noted");
        assert!(is_done(&receipts, "a", later(KEPT_MS - 1)));
        assert!(!is_done(&receipts, "a", later(KEPT_MS)));
        let again = Receipts::open(&path, &engine, later(KEPT_MS - 1)).expect("the file");
        assert!(is_done(&again, "a", later(KEPT_MS - 1)));
        let late = Receipts::open(&path, &engine, later(KEPT_MS)).expect("the file");
        assert!(late.known.is_empty() && fs::read(&path).expect("the file").is_empty(), "it is forgotten for good");
    }

    #[test]
    fn one_key_more_than_are_kept_and_the_older_half_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, engine) = (folder.path().join("keys"), engine(1));
        let done = |number: usize| {
            let (key, says) = (format!("k{number}"), "this".to_owned());
            text(&Line::Done { key, says, at_ms: NOW.unix_ms, written: Written::default() })
        };
        fs::write(&path, (0..KEYS_MAX).map(done).collect::<String>()).expect("a full file");
        let mut receipts = Receipts::open(&path, &engine, NOW).expect("the file");
        assert!(is_done(&receipts, "k0", NOW));
        receipts.end(&once("new"), &Written::default(), NOW).expect("noted");
        assert!(!is_done(&receipts, "k0", NOW) && is_done(&receipts, "new", NOW));
        assert!(is_done(&receipts, &format!("k{}", KEYS_MAX - 1), NOW));
        let again = Receipts::open(&path, &engine, NOW).expect("the file");
        assert_eq!(again.known.len(), receipts.known.len());
        assert!(again.known.len() <= KEYS_MAX / 2 + 1, "{}", again.known.len());
    }

    #[test]
    fn of_a_request_that_was_cut_short_its_own_store_knows_and_another_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut own) = (folder.path().join("keys"), engine(1));
        let begin = |engine: &Engine| {
            let mut receipts = Receipts::open(&path, engine, NOW).expect("a file");
            receipts.begin(&once("a"), engine, &[tea()], NOW).expect("noted");
        };
        begin(&own);
        let found = Receipts::open(&path, &own, NOW).expect("the file").find(&once("a"), NOW);
        assert!(matches!(found, Seen::Never), "nothing was done");
        begin(&own);
        let fields = comptoir_engine::record::json::parse(r#"{"n":1}"#).expect("fields");
        own.commit(&[(tea(), FieldEdit::Set(fields))], Now { wall: NOW, monotonic_ms: 0 }).expect("an edit");
        let lines = fs::read(&path).expect("the file");
        for _ in 0..2 {
            let found = Receipts::open(&path, &engine(2), NOW).expect("the file").find(&once("a"), NOW);
            assert!(matches!(found, Seen::Unknown), "another store, whatever its digest, also at its next opening");
        }
        fs::write(&path, lines).expect("the file as it was");
        let found = Receipts::open(&path, &own, NOW).expect("the file").find(&once("a"), NOW);
        assert!(matches!(found, Seen::Done(written) if written.created == 1), "it was done");
    }
}
